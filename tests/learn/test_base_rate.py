import numpy as np
import pytest
from scipy.special import expit, logit

from qma_predict.learn.base_rate import base_rate_shift, defects_worth, weight_of_a_defect


def test_the_shift_is_what_brings_the_promised_number_to_the_shrunk_ratio():
    probability = np.linspace(0.01, 0.05, 1000)  # 30 promised
    shift = base_rate_shift(probability, [1] * 60 + [0] * 940)
    assert (shift.observed, shift.expected, shift.ratio) == (60, pytest.approx(30), pytest.approx(2))
    assert expit(logit(probability) + shift.log_odds).sum() == pytest.approx(30 * 65 / 35, rel=1e-6)
    deviation = 1.96 / np.sqrt(60.5)
    assert (shift.low, shift.high) == pytest.approx((60.5 / 30.5 * np.exp(-deviation), 60.5 / 30.5 * np.exp(deviation)))


def test_a_move_is_noticed_only_where_chance_does_not_explain_it():
    probability = np.full(1000, 0.02)
    assert base_rate_shift(probability, [1] * 30 + [0] * 970).notice == ""
    assert base_rate_shift(probability, [1] * 60 + [0] * 940).is_significant
    assert base_rate_shift(probability, [1] * 3 + [0] * 997).is_significant
    # 60 where 20 were promised is no surprise where the promise itself stood on five defects
    assert not base_rate_shift(probability, [1] * 60 + [0] * 940, known_from=5).is_significant


def test_chance_alone_is_noticed_rarely():
    rng = np.random.default_rng(0)
    probability = np.full(2000, 0.02)
    noticed = [base_rate_shift(probability, rng.random(2000) < 0.02).is_significant for _ in range(2000)]
    assert np.mean(noticed) < 0.01


def test_no_newer_rows_no_shift():
    shift = base_rate_shift([], [])
    assert (shift.log_odds, shift.is_significant, shift.notice) == (0.0, False, "")


@pytest.mark.parametrize("y", [[0] * 50, [1] * 50], ids=["goods", "defects"])
def test_newer_rows_of_one_class_give_a_finite_shift(y):
    shift = base_rate_shift([0.02] * 50, y)
    assert np.isfinite(shift.log_odds)
    assert np.sign(shift.log_odds) == (1 if y[0] else -1)


def test_chance_alone_is_noticed_rarely_with_unequal_weights_too():
    rng = np.random.default_rng(0)
    probability = np.full(2000, 0.04)
    weights = np.where(rng.random((300, 2000)) < 0.1, 20.0, 1.0)
    defects = rng.random((300, 2000)) < 0.04
    shifts = [base_rate_shift(probability, y, sample_weight=w) for y, w in zip(defects, weights, strict=True)]
    assert np.mean([shift.is_significant for shift in shifts]) < 0.01
    assert np.mean([shift.low < 1.0 < shift.high for shift in shifts]) > 0.92
    jump = rng.random(2000) < 0.16
    assert base_rate_shift(probability, jump, sample_weight=weights[0]).is_significant


def test_equal_weights_change_neither_interval_nor_significance():
    probability, y = np.linspace(0.01, 0.05, 1000), [1] * 60 + [0] * 940
    plain, seven = base_rate_shift(probability, y), base_rate_shift(probability, y, sample_weight=[7.0] * 1000)
    assert (seven.low, seven.high, seven.ratio) == pytest.approx((plain.low, plain.high, plain.ratio))
    assert (seven.observed, seven.is_significant) == (420.0, plain.is_significant)


def test_a_good_unit_that_stands_for_many_makes_the_sum_uncertain():
    probability, y = [0.1] * 100 + [0.5], [1] * 20 + [0] * 81
    weight = [1.0] * 100 + [90.0]  # 20 found where 10 + 45 were promised, 45 of them by one unit
    assert weight_of_a_defect(probability, y, weight) == pytest.approx((10 + 0.5 * 8100) / (10 + 45))
    assert not base_rate_shift(probability, y, sample_weight=weight).is_significant


def test_rows_that_weigh_nothing_say_nothing():
    shift = base_rate_shift([0.02] * 10, [1] * 10, sample_weight=[0.0] * 10)
    assert (shift.log_odds, shift.is_significant, shift.notice) == (0.0, False, "")


def test_defects_are_worth_their_number_unless_some_units_stand_for_many():
    probability, y = [0.02] * 1000, [1] * 60 + [0] * 940
    assert defects_worth(probability, y) == defects_worth(None, y) == 60.0
    assert defects_worth(None, y, [7.0] * 1000) == pytest.approx(60)
    # 60 defects of weight 1, and 100 good units of weight 50, of which the promise gives 2: it varies by them
    weight = [1.0] * 900 + [50.0] * 100
    assert defects_worth(probability, y, weight) == pytest.approx(60 / ((900 + 100 * 2500) / (900 + 100 * 50)))
    assert defects_worth([0.02] * 900 + [0.0] * 100, y, weight) == pytest.approx(60, rel=1e-3)
    assert defects_worth(None, y, [0.0] * 1000) == defects_worth(None, [], []) == 0.0


def test_a_notice_by_weights_tells_the_ratio_over_all_units_beside_plain_counts():
    probability, y, weight = [0.02] * 2000, [1] * 100 + [0] * 1900, [4.0] * 1000 + [0.5] * 1000
    assert base_rate_shift(probability, y).notice.startswith(
        "The defect rate has moved: 100 defects where 40.0 were expected, "
    )
    assert base_rate_shift(probability, y, sample_weight=weight).notice == (
        "The defect rate has moved: among the inspected 100 defects where 40.0 were expected, over all units 4.37 "
        "times as many as expected (95 % interval 3.59 to 5.31)."
    )
