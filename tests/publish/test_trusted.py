"""Models as files."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish.models import trusted


def fitted(name: str) -> tuple[RiskModel, pd.DataFrame]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({f"press.tag_{n}.last": rng.normal(size=300) for n in range(3)}, [f"u{n}" for n in range(300)])
    X["unit.product"] = pd.Series(rng.choice(["A", "B"], 300), X.index, dtype="str")
    y = (X["press.tag_0.last"] + rng.normal(size=300) > 1).astype(int)
    estimator = make_baseline(name) if name in BASELINES else make_recipe(name)
    return RiskModel.of(estimator.fit(X, y), X), X


@pytest.mark.parametrize("name", ["logistic", "boosted_trees", *BASELINES])
def test_the_same_model_is_the_same_bytes_wherever_it_lies_in_memory(name):
    model, X = fitted(name)
    data, _ = trusted.dumped(model)
    again, _ = fitted(name)  # both are there, so that they lie at different addresses
    assert trusted.dumped(again)[0] == data
    assert np.array_equal(trusted.loaded(data).predict(X), model.predict(X))


def test_what_comes_back_from_the_file_is_dumped_and_loaded_again():
    model, X = fitted("logistic")
    again = trusted.loaded(trusted.dumped(deepcopy(model))[0])
    assert np.array_equal(trusted.loaded(trusted.dumped(again)[0]).predict(X), model.predict(X))
