import numpy as np
import pytest
from scipy.special import expit, logit

from qma_predict.learn.base_rate import base_rate_shift


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
