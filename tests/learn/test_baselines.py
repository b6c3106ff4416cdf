import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import NotEnoughData
from qma_predict.learn.baselines import BASELINES, RecentRateClassifier, make_baseline


def machines(*names, column="press.machine"):
    return pd.DataFrame({column: pd.Series(list(names), dtype="str")})


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_can_be_fitted_and_gives_two_probabilities_a_row(name):
    X, y = machines("A", "B", "A", "B"), [0, 1, 0, 0]
    probabilities = make_baseline(name).fit(X, y).predict_proba(X)
    assert probabilities.shape == (4, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


def test_an_unknown_baseline_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown baseline 'luck'; expected one of prevalence, recent_rate"):
        make_baseline("luck")


def test_prevalence_is_the_defect_rate_of_the_training_rows():
    model = make_baseline("prevalence").fit(machines("A", "B", "A", "B"), [0, 1, 0, 0])
    assert model.predict_proba(machines("C"))[0, 1] == 0.25


def test_rates_are_shrunk_towards_the_base_rate_and_multiply_its_odds():
    # 10 of 40 defects, base 1/4, odds 1/3. With strength 20: A (0 + 5) / (20 + 20) = 1/8, odds 1/7;
    # B (10 + 5) / 40 = 3/8, odds 3/5.
    X, y = machines(*"A" * 20, *"B" * 20), [0] * 30 + [1] * 10
    model = RecentRateClassifier(strength=20.0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(machines("A", "B"))[:, 1], [1 / 8, 3 / 8])


def test_two_columns_multiply():
    # one column gives odds ratios (1/7) / (1/3) = 3/7 and (3/5) / (1/3) = 9/5; twice the same: squared
    X, y = machines(*"A" * 20, *"B" * 20), [0] * 30 + [1] * 10
    twice = X.assign(**{"unit.product": X["press.machine"]})
    model = RecentRateClassifier(strength=20.0).fit(twice, y)
    odds = np.array([1 / 3 * (3 / 7) ** 2, 1 / 3 * (9 / 5) ** 2])
    np.testing.assert_allclose(model.predict_proba(twice.iloc[[0, -1]])[:, 1], odds / (1 + odds))


def test_an_unseen_or_missing_category_gives_the_base_rate():
    X, y = machines(*"A" * 20, *"B" * 20), [0] * 30 + [1] * 10
    model = RecentRateClassifier().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(machines("C", None))[:, 1], [0.25, 0.25])


def test_a_column_that_is_all_missing_is_neutral():
    X, y = machines(*"A" * 20, *"B" * 20), [0] * 30 + [1] * 10
    empty = machines(*[None] * 40)["press.machine"]
    with_empty = RecentRateClassifier().fit(X.assign(**{"weld.machine": empty}), y)
    assert with_empty.odds_ratios_["weld.machine"] == {}


def test_only_the_newest_rows_count():
    X = machines(*"A" * 100, *"AB" * 10)
    y = [1] * 50 + [0] * 50 + [0, 1] * 10  # A was bad long ago; lately B is
    chance = RecentRateClassifier(recent=20, strength=5.0).fit(X, y).predict_proba(machines("A", "B"))[:, 1]
    assert chance[0] < 0.5 < chance[1]
    everything = RecentRateClassifier(recent=120, strength=5.0).fit(X, y)
    np.testing.assert_allclose(everything.base_rate_, 0.5)


def test_no_defect_lately_still_gives_a_probability_between_0_and_1():
    # base rate (0 + 50 * 0.1) / (10 + 50) = 1/12
    model = RecentRateClassifier(recent=10).fit(machines(*"A" * 100), [1] * 10 + [0] * 90)
    assert model.base_rate_ == pytest.approx(1 / 12)


def test_machine_and_product_columns_are_found_by_name_and_others_left_alone():
    columns = ["unit.product", "press.machine", "press.force.mean", "unit.supplier"]
    X = pd.DataFrame({column: ["a", "b"] for column in columns})
    assert list(RecentRateClassifier().fit(X, [0, 1]).odds_ratios_) == ["unit.product", "press.machine"]
    assert list(RecentRateClassifier(columns=["unit.supplier"]).fit(X, [0, 1]).odds_ratios_) == ["unit.supplier"]


def test_a_column_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"columns not in the features: oven\.machine"):
        RecentRateClassifier(columns=["oven.machine"]).fit(machines("A", "B"), [0, 1])


@pytest.mark.parametrize("wrong", [{"recent": 0}, {"strength": 0.0}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="expected both above 0"):
        RecentRateClassifier(**wrong).fit(machines("A", "B"), [0, 1])


@pytest.mark.parametrize(("y", "found"), [([0, 0], "0 defects and 2 good"), ([1, 1], "2 defects and 0 good")])
def test_one_class_is_not_enough(y, found):
    with pytest.raises(NotEnoughData, match=f"recent_rate: found {found} units"):
        RecentRateClassifier().fit(machines("A", "B"), y)


def test_labels_other_than_0_and_1_are_refused():
    with pytest.raises(ValueError, match="labels must be 0"):
        RecentRateClassifier().fit(machines("A", "B"), [0, np.nan])
