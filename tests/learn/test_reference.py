from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import VotingClassifier

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.reference import FEW, SIBLINGS, Reference, _halves, make_reference, unfitted
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import Training

SIZE = 600


@pytest.fixture
def dataset(make_history, tiny_line):
    """Two products by turns, a unit every two hours for fifty days; half of those with much force fail."""
    rng = np.random.default_rng(3)
    ids = [f"u{n:03}" for n in range(SIZE)]
    cutoff = pd.Series(pd.date_range("2026-01-01", periods=SIZE, freq="2h", tz="UTC"), index=ids)
    rows = [
        {"unit_id": unit, "product": "AB"[n % 2], "occurred_at": str(cutoff[unit])} for n, unit in enumerate(ids) if n
    ]
    X = pd.DataFrame(
        {
            "press.force.last": rng.normal(size=SIZE),
            "oven.heat.last": rng.normal(size=SIZE),
            "press.machine": pd.array(["P1", "P2", "P3"] * (SIZE // 3), dtype="str"),
        },
        index=pd.Index(ids, name="unit_id"),
    ).astype({"press.force.last": "float32", "oven.heat.last": "float32"})
    y = ((X["press.force.last"] > 1) & (rng.random(SIZE) < 0.5)).astype(float)
    y.iloc[-20:] = np.nan
    points = pd.DataFrame({"cutoff": cutoff}).rename_axis("unit_id").sample(frac=1, random_state=1)
    return Dataset(make_history({"units": rows}), tiny_line, points, X, y, {}, {})


def trained(dataset, classifier):
    known = dataset.y.dropna()
    model = RiskModel.of(classifier.fit(dataset.X.loc[known.index], known.astype(int)), dataset.X)
    scores = [("ours", "u100", 0.1), ("other", "u100", 0.2), ("ours", "u101", 0.3)]
    predictions = pd.DataFrame(scores, columns=["contestant", "unit_id", "score"]).assign(night=date(2026, 1, 9))
    nothing = dict.fromkeys(("verdict", "leaks", "differences", "practice", "shuffled", "labels", "over_all"))
    return Training(backtest=Backtest(None, predictions, 2), models={"ours": model}, winner="ours", **nothing)


@pytest.fixture(scope="module")
def recipe():
    return make_recipe("sklearn.linear_model.LogisticRegression")


def test_siblings_are_good_units_of_the_last_weeks_with_their_products(dataset, recipe):
    found = make_reference(dataset, trained(dataset, recipe))
    assert (dataset.y[found.siblings.index] == 0).all()
    newest = dataset.points.loc[dataset.y.index[dataset.y == 0], "cutoff"].max()
    assert (dataset.points.loc[found.siblings.index, "cutoff"] >= newest - pd.Timedelta("28D")).all()
    assert found.products.isin(["A", "B"]).all()
    number = found.products.index.str[1:].astype(int)
    assert (found.products == np.where(number % 2, "B", "A")).all()
    pd.testing.assert_frame_equal(found.siblings, dataset.X.loc[found.siblings.index])


def test_of_a_product_at_most_two_hundred_are_drawn(dataset, recipe, monkeypatch):
    monkeypatch.setattr("qma_predict.learn.reference.SIBLINGS", 30)
    found = make_reference(dataset, trained(dataset, recipe))
    assert SIBLINGS == 200
    assert found.products.value_counts().to_dict() == {"A": 30, "B": 30}


def test_without_good_units_of_the_last_weeks_older_ones_are_taken(dataset, recipe):
    y = dataset.y.copy()
    y.iloc[100:-3] = 1.0
    y.iloc[-3:] = 0.0
    found = make_reference(replace(dataset, y=y), trained(dataset, recipe))
    assert len(found.siblings) > FEW


def test_products_that_nobody_recorded_are_missing(dataset, recipe, make_history):
    unknown = replace(dataset, history=make_history({}))
    found = make_reference(unknown, trained(dataset, recipe))
    assert found.products.isna().all()
    rows, alone = found.siblings_of("A")
    assert (len(rows), alone) == (len(found.siblings), False)


def test_refits_find_again_what_makes_the_defects(dataset, recipe):
    found = make_reference(dataset, trained(dataset, recipe))
    assert len(found.refits) == 4
    low, high = (
        dataset.X.head(1).assign(**{"press.force.last": -2.0}),
        dataset.X.head(1).assign(**{"press.force.last": 2.0}),
    )
    assert all(one.predict(high) > 3 * one.predict(low) for one in found.refits)
    assert len({float(one.predict(high)[0]) for one in found.refits}) == 4


def test_the_same_training_gives_the_same_reference(dataset, recipe):
    one, other = (make_reference(dataset, trained(dataset, recipe)) for _ in range(2))
    pd.testing.assert_frame_equal(one.siblings, other.siblings)
    pd.testing.assert_series_equal(one.groups, other.groups)
    for first, second in zip(one.refits, other.refits, strict=True):
        assert np.array_equal(first.predict(dataset.X), second.predict(dataset.X))


def test_past_scores_are_those_of_the_winner(dataset, recipe):
    found = make_reference(dataset, trained(dataset, recipe))
    assert found.past.to_numpy().tolist() == [["u100", date(2026, 1, 9), 0.1], ["u101", date(2026, 1, 9), 0.3]]


def test_features_that_were_left_out_of_the_model_are_left_out_here(dataset, recipe):
    training = trained(replace(dataset, X=dataset.X.drop(columns="oven.heat.last")), recipe)
    found = make_reference(dataset, training)
    assert list(found.siblings) == list(found.groups.index) == ["press.force.last", "press.machine"]


def test_a_recipe_is_refitted_without_its_calibration_and_a_baseline_as_it_is(dataset):
    blend = make_recipe("boosted_trees", boosted_trees__n_estimators=5)
    again = unfitted(trained(dataset, blend).models["ours"].classifier)
    assert isinstance(again.named_steps["mean"], VotingClassifier)
    assert [name for name, _ in again.named_steps["mean"].estimators] == ["boosted_trees"]
    rule = make_reference(dataset, trained(dataset, make_baseline("spc_rule")))
    assert rule.refits[0].predict(dataset.X.head(3)).shape == (3,)


def test_halves_share_no_unit_hold_both_classes_and_few_of_the_larger():
    labels = np.zeros(1000, dtype=int)
    labels[::100] = 1
    halves = list(_halves(labels, seed=0))
    assert [len(rows) for rows in halves] == [5 + 20 * 5] * 4
    assert [int(labels[rows].sum()) for rows in halves] == [5] * 4
    for one, other in (halves[:2], halves[2:]):
        assert not set(one) & set(other)
    assert all((np.diff(rows) > 0).all() for rows in halves)
    single = np.array([0, 0, 0, 1])
    assert [int(single[rows].sum()) for rows in _halves(single, seed=0)] == [1] * 4


def test_few_good_units_of_a_product_are_no_comparison_by_themselves():
    X = pd.DataFrame({"press.force.last": np.arange(40.0)}, index=[f"u{n}" for n in range(40)])
    products = pd.Series(["A"] * 20 + ["B"] * 19 + [None], index=X.index, dtype="str")
    reference = Reference(X, products, pd.Series(dtype="str"), (), pd.DataFrame())
    found = {product: reference.siblings_of(product) for product in ("A", "B", "C", None)}
    assert {product: (len(rows), alone) for product, (rows, alone) in found.items()} == {
        "A": (20, True),
        "B": (40, False),
        "C": (40, False),
        None: (40, False),
    }
