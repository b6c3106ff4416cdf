from datetime import date

import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import ModelError
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.reference import Reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish.models import kept_references


@pytest.fixture
def reference():
    X = pd.DataFrame(
        {
            "press.force.last": np.array([1.5, np.nan, 2.5], dtype="float32"),
            "press.machine": pd.array(["P1", None, "P2"], dtype="str"),
        },
        index=pd.Index(["a", "b", "c"], name="unit_id"),
    )
    return Reference(
        siblings=X,
        products=pd.Series(["A", None, "B"], index=X.index, dtype="str", name="product"),
        groups=pd.Series({name: name for name in X}, dtype="str"),
        refits=(RiskModel.of(make_baseline("recent_rate").fit(X, [0, 0, 1]), X),),
        past=pd.DataFrame({"unit_id": ["x"], "night": [date(2026, 3, 3)], "score": [0.25]}),
    )


def test_a_reference_comes_back_as_it_was(reference):
    again = kept_references.of_files(kept_references.as_files(reference))
    pd.testing.assert_frame_equal(again.siblings, reference.siblings)
    pd.testing.assert_series_equal(again.products, reference.products)
    pd.testing.assert_series_equal(again.groups, reference.groups)
    assert again.past.to_numpy().tolist() == [["x", date(2026, 3, 3), 0.25]]
    X = reference.siblings
    assert np.array_equal(again.refits[0].predict(X), reference.refits[0].predict(X))


def test_what_is_missing_or_damaged_is_said(reference):
    whole = kept_references.as_files(reference)
    assert all(kept_references.is_part(name) for name in whole)
    with pytest.raises(ModelError, match="the reference of the model cannot be read: .*siblings.parquet"):
        kept_references.of_files({})
    with pytest.raises(ModelError, match="Restore the home"):
        kept_references.of_files(whole | {"past.parquet": b"PAR1"})
    refit = whole["refit_1.skops"]
    for damaged in (b"", refit[:200], refit.replace(b"schema", b"schemo")):
        with pytest.raises(ModelError, match="cannot be read"):
            kept_references.of_files(whole | {"refit_1.skops": damaged})
