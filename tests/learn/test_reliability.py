import numpy as np
import pytest
from scipy.stats import gamma, poisson

from qma_predict.learn.reliability import log_loss, losses, observed_over_expected_interval


def test_the_logarithmic_loss_is_the_mean_surprise_over_known_units():
    expected = -(np.log(0.8) + np.log(1 - 0.3) + np.log(0.1)) / 3
    assert log_loss([1, 0, 1, np.nan], [0.8, 0.3, 0.1, 0.9]) == pytest.approx(expected)


def test_a_defect_that_was_thought_impossible_costs_much_but_not_all():
    assert log_loss([1], [0.0]) == pytest.approx(-np.log(1e-9))
    assert log_loss([0], [0.0]) == pytest.approx(0.0, abs=1e-8)


def test_only_true_probabilities_reach_the_smallest_loss():
    labels = np.array([1.0] * 2 + [0.0] * 8)
    by_promise = [losses(labels, np.full(10, p)).sum() for p in (0.1, 0.2, 0.3)]
    assert np.argmin(by_promise) == 1


def test_nothing_known_is_missing():
    assert np.isnan(log_loss([np.nan], [0.5]))
    assert np.isnan(observed_over_expected_interval([np.nan], [0.5])).all()
    assert np.isnan(observed_over_expected_interval([0, 0], [0.0, 0.0])).all()


def test_the_interval_ends_where_as_many_defects_would_be_a_surprise():
    # 4 defects where 8 were promised: Poisson means at which 4 or more, or 4 or fewer, come with a chance of 2.5 %
    low, high = observed_over_expected_interval([1] * 4 + [0] * 12, [0.5] * 16)
    assert poisson.sf(3, 8 * low) == pytest.approx(0.025)
    assert poisson.cdf(4, 8 * high) == pytest.approx(0.025)


def test_equal_weights_change_nothing_and_few_heavy_defects_are_worth_less_than_many():
    y, p = [1.0] * 8 + [0.0] * 92, [0.1] * 100
    plain = observed_over_expected_interval(y, p)
    assert observed_over_expected_interval(y, p, sample_weight=[3.0] * 100) == pytest.approx(plain)
    # one of 8 defects weighs 8: 15 / 10.7, worth 15^2 / (7 + 64) = 3.17 defects
    weight = np.array([8.0] + [1.0] * 99)
    low, high = observed_over_expected_interval(y, p, sample_weight=weight)
    worth = 15**2 / 71
    assert low == pytest.approx(gamma.ppf(0.025, worth) / worth * 15 / 10.7)
    assert high == pytest.approx(gamma.isf(0.025, worth + 1) / worth * 15 / 10.7)
    assert observed_over_expected_interval([0] * 9, [0.1] * 9, sample_weight=[2.0] * 9).high == pytest.approx(
        -np.log(0.025) / 0.9
    )


def test_without_a_defect_the_interval_starts_at_zero():
    low, high = observed_over_expected_interval([0] * 30, [0.1] * 30)
    assert low == 0.0
    assert high == pytest.approx(-np.log(0.025) / 3)  # exp(-mean) = 2.5 %


def test_the_interval_holds_the_truth_in_at_least_95_of_100_cases():
    rng = np.random.default_rng(5)
    p = rng.beta(1, 30, size=600)
    ends = np.array([observed_over_expected_interval(rng.random(600) < p, p) for _ in range(400)])
    assert 0.94 <= ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean() <= 1.0


def test_the_interval_holds_the_truth_where_a_few_drawn_units_stand_for_all_others():
    """Lists of twenty and two audits a night, 280 others: of the audits' 1.3 defects often none is found."""
    rng = np.random.default_rng(3)
    weight, held = np.repeat([1.0, 140.0], [1120, 112]), 0
    for _ in range(400):
        p = np.concatenate([rng.beta(2, 23, size=1120), rng.beta(1, 80, size=112)])
        low, high = observed_over_expected_interval(rng.random(1232) < p, p, sample_weight=weight)
        held += low <= 1 <= high
    assert held >= 370  # nominal 380 at least, of which chance takes 10 of 400 draws once in 100


@pytest.mark.parametrize("score", [[1.2, 0.1], [-0.1, 0.1]])
def test_what_is_no_probability_is_refused(score):
    for measure in (log_loss, observed_over_expected_interval):
        with pytest.raises(ValueError, match="must be probabilities"):
            measure([1, 0], score)
