import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from qma_predict.errors import NotEnoughData
from qma_predict.learn.baselines import BASELINES, RecentRateClassifier, SpcRuleClassifier, make_baseline
from qma_predict.learn.metrics import observed_over_expected, roc_auc


def machines(*names, column="press.machine"):
    return pd.DataFrame({column: pd.Series(list(names), dtype="str")})


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_can_be_fitted_and_gives_two_probabilities_a_row(name):
    X, y = machines("A", "B", "A", "B"), [0, 1, 0, 0]
    probabilities = make_baseline(name).fit(X, y).predict_proba(X)
    assert probabilities.shape == (4, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


def test_an_unknown_baseline_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown baseline 'luck'; expected one of prevalence, recent_rate, spc_rule"):
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


def tags(**values):
    return pd.DataFrame({f"press.{name}.last": np.asarray(column, dtype="float32") for name, column in values.items()})


def spc_of(X, **parameters):
    """The rule on good rows `X` and one defect without any value, which changes no limit."""
    return SpcRuleClassifier(**parameters).fit(pd.concat([X, X.iloc[:1] * np.nan]), [0] * len(X) + [1])


def chance(model, X):
    return model.predict_proba(X)[:, 1]


EVEN = np.arange(201.0)  # P2.5, median and P97.5 are 5, 100 and 195
SIGMA = 95 / 1.96


def at(*sigmas):
    return 100.0 + SIGMA * np.array(sigmas)


def test_limits_come_from_the_good_rows_and_each_side_has_its_own():
    model = spc_of(tags(even=EVEN, skewed=np.where(EVEN > 100, 2 * EVEN - 100, EVEN)))
    assert model.columns_ == ["press.even.last", "press.skewed.last"]
    np.testing.assert_allclose(model.median_, [100, 100])
    np.testing.assert_allclose(model.below_, [SIGMA, SIGMA])
    np.testing.assert_allclose(model.above_, [SIGMA, 2 * SIGMA])


def test_defects_and_a_glitch_among_the_goods_do_not_widen_the_limits():
    X = tags(force=[*EVEN, 1e9, *[5000.0] * 20])
    model = SpcRuleClassifier().fit(X, [0] * 202 + [1] * 20)
    assert model.above_[0] == pytest.approx(SIGMA, rel=0.02)
    with_defects = SpcRuleClassifier().fit(X, ([0, 1] * 111))
    assert with_defects.above_[0] > 10 * SIGMA  # had the defects been good


def test_a_side_without_spread_takes_the_sigma_of_the_other():
    # 121 zeros and 1 to 80: median 0, P2.5 0, P97.5 75
    model = spc_of(tags(count=np.maximum(EVEN - 120, 0)))
    np.testing.assert_allclose([model.below_[0], model.above_[0]], 75 / 1.96)


def test_constant_tags_and_those_with_fewer_than_20_good_values_have_no_limits():
    some = np.where(np.arange(201) < 20, EVEN, np.nan)
    few = np.where(np.arange(201) < 19, EVEN, np.nan)
    model = spc_of(tags(constant=np.full(201, 7.0), some=some, few=few, empty=np.full(201, np.nan)))
    assert model.columns_ == ["press.some.last"]


def test_more_tags_outside_and_further_outside_are_riskier_and_a_broken_sensor_does_not_outvote_them():
    X = tags(a=EVEN, b=EVEN, c=EVEN)
    rising = tags(
        a=at(0, 1, -2, 2.9, -3.5, 3.4, 5, 1e6, 4.5),
        b=at(0, 0, 1, 0, 0, 3.4, 0, 0, -4.5),
        c=at(0, 0, 0, 0, 0, 0, 0, 0, 4.5),
    )
    # scores 0, 1, 2, 2.9, 3.5, 3.8, 5, 6 (at most twice the limit), 7.5
    assert (np.diff(chance(spc_of(X), rising)) > 0).all()


def test_a_distance_counts_by_the_sigma_of_its_side():
    model = spc_of(tags(skewed=np.where(EVEN > 100, 2 * EVEN - 100, EVEN)))  # sigma is twice as long above
    below, above, twice_above = chance(model, tags(skewed=at(-2, 2, 4)))
    assert above < below == pytest.approx(twice_above, rel=1e-6)


def test_the_limit_is_a_parameter():
    model = spc_of(tags(a=EVEN, b=EVEN), limit=2.0)
    one, two = tags(a=at(2.9, 2.5), b=at(0, 2.5)), tags(a=at(2.9), b=at(0))
    assert np.diff(chance(model, one)) > 0  # scores 2.9 and 3
    assert np.diff(chance(spc_of(tags(a=EVEN, b=EVEN)), one)) < 0  # both inside: 2.9 and 2.5
    assert chance(model, two) == chance(model, one)[:1]


def test_the_rate_of_each_step_is_shrunk_towards_the_base_rate():
    # 96 goods at -1 and 1: median 0, sigma 1 / 1.96, score 1.96; 4 defects score 6. Base rate 0.04.
    X, y = tags(force=[-1.0, 1.0] * 48 + [10.0] * 4), [0] * 96 + [1] * 4
    model = SpcRuleClassifier(strength=50.0).fit(X, y)
    np.testing.assert_allclose(model.edges_, [1.96])
    np.testing.assert_allclose(model.rates_, [(0 + 2) / (96 + 50), (4 + 2) / (4 + 50)])
    np.testing.assert_allclose(chance(model, tags(force=[0.0, 1.0, 10.0])), [2 / 146, 2 / 146, 6 / 54], rtol=1e-3)


def test_steps_whose_rate_would_fall_are_pooled():
    # median 0 and sigma 1 / 1.96 again; 2 of 98 inside are defects, and the 2 far out are good
    X, y = tags(force=[-1.0, 1.0, *[-1.0] * 47, 0.0, 0.0, *[1.0] * 47, 10.0, 10.0]), [1, 1] + [0] * 98
    model = SpcRuleClassifier(strength=50.0).fit(X, y)
    # (2 + 1) / (98 + 50) and (0 + 1) / (2 + 50) would fall: pooled, what remains is the base rate
    np.testing.assert_allclose(model.rates_, 0.02)
    far, near = chance(model, tags(force=[10.0, 1.0]))
    assert near < far < 1.001 * near


def test_a_missing_or_infinite_value_is_inside_its_limits_and_a_unit_without_values_has_the_base_rate():
    model = SpcRuleClassifier().fit(tags(a=[*EVEN, *at(8, 9)], b=[*EVEN, *at(8, 9)]), [0] * 201 + [1, 1])
    known, *unknown = chance(model, tags(a=at(4, 4, 4, 4), b=[100, np.nan, np.inf, -np.inf]))
    assert unknown == [known] * 3
    assert chance(model, tags(a=[np.nan], b=[np.inf])) == model.base_rate_ == 2 / 203


def test_columns_are_the_last_values_or_else_all_numbers_or_those_asked_for():
    X = tags(force=EVEN).assign(**{"press.force.mean": EVEN, "unit.product": "A"})
    assert spc_of(X[["press.force.last", "press.force.mean"]]).columns_ == ["press.force.last"]
    y = [0] * 200 + [1]
    assert SpcRuleClassifier().fit(X, y).columns_ == ["press.force.last"]
    assert SpcRuleClassifier().fit(X.drop(columns="press.force.last"), y).columns_ == ["press.force.mean"]
    assert SpcRuleClassifier(columns=["press.force.mean"]).fit(X, y).columns_ == ["press.force.mean"]
    with pytest.raises(ValueError, match=r"columns not in the features: oven\.heat\.last"):
        SpcRuleClassifier(columns=["oven.heat.last"]).fit(X, y)


def test_without_numbers_the_spc_rule_is_the_prevalence():
    model = SpcRuleClassifier().fit(machines(*"ABAB"), [0, 1, 0, 0])
    np.testing.assert_array_equal(chance(model, machines("A", "B")), [0.25, 0.25])


def noise(rows, columns, seed):
    values = np.random.default_rng(seed).normal(size=(rows, columns)).astype("float32")
    return pd.DataFrame(values, columns=[f"s.t{i}.last" for i in range(columns)])


def test_600_columns_of_noise_and_10_defects_in_200_rows_promise_about_the_base_rate():
    y = np.arange(200) % 20 == 0
    for seed in range(3):
        promised = chance(SpcRuleClassifier().fit(noise(200, 600, seed), y), noise(1000, 600, seed + 100))
        assert promised.mean() == pytest.approx(0.05, abs=0.01)
        assert promised.max() < 0.1


def test_one_tag_that_tells_is_found_among_600_that_do_not():
    rng = np.random.default_rng(0)
    X, y = noise(4000, 600, 1), (rng.random(4000) < 0.05).astype(int)
    X.iloc[:, 300] += 7.0 * y * rng.choice([-1, 1], 4000)
    promised = chance(SpcRuleClassifier().fit(X[:2000], y[:2000]), X[2000:])
    assert roc_auc(y[2000:], promised) > 0.95
    assert promised.max() > 0.25


def test_probabilities_hold_on_rows_that_the_rule_has_not_seen():
    rng = np.random.default_rng(0)
    X, y = noise(40_000, 20, 1), (rng.random(40_000) < 0.03).astype(int)
    X.iloc[:, 3] += 4.0 * y * rng.choice([-1, 1], 40_000)
    promised = chance(SpcRuleClassifier().fit(X[:30_000], y[:30_000]), X[30_000:])
    assert observed_over_expected(y[30_000:], promised) == pytest.approx(1.0, abs=0.15)
    surest = promised > 0.5
    assert observed_over_expected(y[30_000:][surest], promised[surest]) == pytest.approx(1.0, abs=0.15)


def test_the_spc_rule_judges_row_by_row_whatever_the_order():
    X, y = noise(300, 5, 0), np.arange(300) % 7 == 0
    model = SpcRuleClassifier().fit(X, y)
    whole = chance(model, X)
    assert [chance(model, X.iloc[[row]])[0] for row in range(20)] == list(whole[:20])
    order = np.random.default_rng(0).permutation(300)
    shuffled = SpcRuleClassifier().fit(X.iloc[order], y[order])
    np.testing.assert_array_equal(chance(shuffled, X), whole)
    assert (model.predict(X) == (whole > 0.5)).all()


def test_the_spc_rule_can_be_cloned_and_pickled():
    X, y = noise(100, 3, 0), np.arange(100) % 7 == 0
    model = SpcRuleClassifier(columns=["s.t1.last"], limit=2.5, strength=20.0).fit(X, y)
    assert clone(model).get_params() == {"columns": ["s.t1.last"], "limit": 2.5, "strength": 20.0}
    np.testing.assert_array_equal(chance(pickle.loads(pickle.dumps(model)), X), chance(model, X))


def test_the_spc_rule_never_copies_the_table():
    X, y = noise(20_000, 100, 0), np.arange(20_000) % 50 == 0
    tracemalloc.start()
    chance(SpcRuleClassifier().fit(X, y), X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * X.to_numpy().nbytes  # 8 MB


@pytest.mark.parametrize("wrong", [{"limit": 0.0}, {"strength": 0.0}])
def test_parameters_of_the_spc_rule_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="spc_rule: found .* expected both above 0"):
        SpcRuleClassifier(**wrong).fit(tags(force=[1, 2]), [0, 1])


def test_one_class_is_not_enough_for_the_spc_rule():
    with pytest.raises(NotEnoughData, match="spc_rule: found 0 defects and 2 good units"):
        SpcRuleClassifier().fit(tags(force=[1, 2]), [0, 0])
