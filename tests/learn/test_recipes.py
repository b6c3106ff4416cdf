import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import expit

from qma_predict.errors import NotEnoughData
from qma_predict.learn.metrics import average_precision
from qma_predict.learn.recipes import RECIPES, make_recipe

pytestmark = pytest.mark.parametrize("name", RECIPES)


def plant(n=3000, k=6, seed=0):
    """Machine P2 is bad, and the first quantity shows it; the newest rows come last."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, k)).astype("float32"), columns=[f"press.t{j}.mean" for j in range(k)])
    X[X > 2.0] = np.nan
    X["press.machine"] = pd.Series(rng.choice(["P1", "P2", None], n, p=[0.6, 0.3, 0.1]), dtype="str")
    z = -4.0 + 1.5 * X["press.t0.mean"].fillna(0) + 1.5 * (X["press.machine"] == "P2")
    chance = expit(z.to_numpy())
    return X, (rng.random(n) < chance).astype(int), chance


def scores(model, X):
    return model.predict_proba(X)[:, 1]


def test_it_finds_what_is_there_and_its_probabilities_are_those_that_are_true(name):
    X, y, chance = plant(6000)
    score = scores(make_recipe(name).fit(X[:4000], y[:4000]), X[4000:])
    later, true = y[4000:], chance[4000:]
    assert average_precision(later, score) > 0.7 * average_precision(later, true)
    assert score.sum() == pytest.approx(true.sum(), rel=0.25)
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 1.0)):
        some = (score >= low) & (score < high)
        assert score[some].mean() == pytest.approx(true[some].mean(), rel=0.35)


def test_the_same_rows_give_the_same_model_and_each_row_its_own_score(name):
    X, y, _ = plant(1500)
    first, second = make_recipe(name).fit(X, y), make_recipe(name).fit(X, y)
    whole = scores(first, X)
    assert (scores(second, X) == whole).all()
    shuffled = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(scores(first, X.iloc[shuffled]), whole[shuffled], rtol=1e-6)
    np.testing.assert_allclose(scores(first, X.iloc[[7]]), whole[[7]], rtol=1e-6)


def test_columns_are_found_by_name(name):
    X, y, _ = plant(1500)
    model = make_recipe(name).fit(X, y)
    assert (scores(model, X[X.columns[::-1]].assign(extra=1.0)) == scores(model, X)).all()
    with pytest.raises(ValueError, match=r"columns are missing: .*press\.machine"):
        model.predict_proba(X.drop(columns="press.machine"))


def test_two_hundred_rows_ten_defects_and_six_hundred_columns_of_every_kind(name):
    X, _, _ = plant(200, 600)
    y = np.zeros(200, dtype=int)
    y[::20] = 1
    X["oven.t1.max"] = np.float32(np.nan)
    X["oven.t2.max"] = np.float32(3.0)
    X['oven.t3[mm], "x":{1}.max'] = np.float32(1.0)
    X["oven.machine"] = pd.Series([None] * 200, dtype="str")
    X["paint.machine"] = pd.Series([None] * 200, dtype=object)
    model = make_recipe(name).fit(X, y)
    assert model[-1].calibrated_on_["rows"] == 0
    assert ((scores(model, X) > 0) & (scores(model, X) < 1)).all()


@pytest.mark.parametrize(
    "machine",
    [
        pd.Series(["P9"] * 5, dtype="str"),
        pd.Series([None] * 5, dtype="str"),
        pd.Series([None] * 5, dtype=object),
        pd.Series([np.nan] * 5, dtype="float64"),
    ],
    ids=["never seen", "missing text", "missing objects", "missing numbers"],
)
def test_a_night_whose_machines_are_unknown_gets_scores(name, machine):
    X, y, _ = plant(1500)
    model = make_recipe(name).fit(X, y)
    assert np.isfinite(scores(model, X[:5].assign(**{"press.machine": machine}))).all()


def test_a_column_missing_while_training_may_come_later(name):
    X, y, _ = plant(1500)
    empty = {"oven.t.max": np.float32(np.nan), "oven.machine": pd.Series([None] * 1500, dtype="str")}
    model = make_recipe(name).fit(X.assign(**empty), y)
    later = X.assign(**{"oven.t.max": np.float32(1e6), "oven.machine": "O1"})
    np.testing.assert_allclose(scores(model, later), scores(model, X.assign(**empty)), rtol=1e-3)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_number_counts_as_missing(name, infinite):
    X, y, _ = plant(1500)
    missing, endless = X.copy(), X.copy()
    missing.iloc[::50, 0] = np.nan
    endless.iloc[::50, 0] = infinite
    model = make_recipe(name)
    assert scores(model.fit(endless, y), endless).tolist() == scores(model.fit(missing, y), missing).tolist()


def test_one_class_is_not_enough(name):
    X, _, _ = plant(50)
    with pytest.raises(NotEnoughData, match="found 0 defects and 50 good units to learn from"):
        make_recipe(name).fit(X, np.zeros(50))


def test_it_survives_pickle_and_skops(name):
    X, y, _ = plant(1500)
    model = make_recipe(name).fit(X, y)
    assert (scores(pickle.loads(pickle.dumps(model)), X) == scores(model, X)).all()
    data = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=data)
    assert (scores(skops.io.loads(data, trusted=trusted), X) == scores(model, X)).all()


def test_an_unknown_recipe_names_the_known_ones(name):
    with pytest.raises(ValueError, match=f"unknown recipe 'magic'; expected one of .*{name}"):
        make_recipe("magic")


def test_features_keep_their_names_up_to_the_classifier(name):
    X, y, _ = plant(500)
    names = make_recipe(name).fit(X, y)[:-1].get_feature_names_out()
    assert {"press.t0.mean", "press.t5.mean"} < set(names)
