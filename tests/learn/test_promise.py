import numpy as np
import pytest
from scipy.stats import binom

from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread, poisson_binomial


def test_interval_of_two_fair_units_by_hand():
    # P(0) = 0.25, P(1) = 0.5, P(2) = 0.25: the 5 % quantile is 0, the 95 % quantile is 2.
    assert CHANCE_ALONE.interval([0.5, 0.5]) == (1.0, 0, 2)


def test_a_quantile_that_is_hit_exactly_is_taken():
    # P(0) = 0.95 exactly, so that 95 % of such nights find nothing.
    assert CHANCE_ALONE.interval([0.05]) == (0.05, 0, 0)
    assert CHANCE_ALONE.interval([0.95]) == (0.95, 0, 1)


def test_interval_of_equal_risks_is_the_binomial_one():
    # Binomial(20, 0.3): P(X <= 2) = 0.0355, P(X <= 3) = 0.1071; P(X <= 8) = 0.8867, P(X <= 9) = 0.9520.
    assert CHANCE_ALONE.interval([0.3] * 20) == (pytest.approx(6.0), 3, 9)


def test_interval_holds_what_it_says_among_drawn_nights():
    risks = np.array([0.9, 0.4, 0.22, 0.1, 0.1, 0.05, 0.03, 0.01])
    found = (np.random.default_rng(5).random((20_000, len(risks))) < risks).sum(axis=1)
    interval = CHANCE_ALONE.interval(risks)
    assert interval.expected == pytest.approx(found.mean(), abs=0.03)
    assert interval[1:] == (np.quantile(found, 0.05), np.quantile(found, 0.95))


def test_the_expected_number_is_the_mean_of_what_the_interval_is_of():
    spread = PromiseSpread((-1.0, 0.0, 0.5), (0.5, 0.25, 0.25))
    scores = np.array([0.9, 0.4, 0.22, 0.1, 0.05])
    rng = np.random.default_rng(11)
    shift = rng.choice(spread.shift, 40_000, p=spread.chance)
    found = (rng.random((40_000, 5)) < 1 / (1 + (1 / scores - 1) * np.exp(-shift[:, None]))).sum(axis=1)
    assert spread.interval(scores).expected == pytest.approx(found.mean(), abs=0.03)
    assert spread.risks(scores).sum() == spread.interval(scores).expected < scores.sum()


def test_a_shift_shared_by_all_units_by_hand():
    # At odds of a half and of twice: P(0) = (4/9 + 1/9) / 2 = 5/18, P(1) = 4/9, P(2) = 5/18.
    twice = float(np.log(2))
    spread = PromiseSpread((-twice, twice), (0.5, 0.5))
    assert spread.pit([0.5, 0.5], 1, 0.0) == pytest.approx(5 / 18)
    assert spread.pit([0.5, 0.5], 1, 1.0) == pytest.approx(13 / 18)
    assert spread.pit([0.5, 0.5], 2, 1.0) == pytest.approx(1.0)


def test_a_unit_that_is_surely_good_or_defect_stays_so():
    assert PromiseSpread((-1.0, 1.0), (0.5, 0.5)).interval([1.0, 1.0, 0.0]) == (2.0, 2, 2)


def test_an_interval_holds_its_own_expectation():
    # nearly nothing is found on 97 nights of 100, and nearly all on three
    assert PromiseSpread((-9.0, 9.0), (0.97, 0.03)).interval([0.5] * 100) == (pytest.approx(3.0, abs=0.02), 0, 3)


def test_no_listed_unit_finds_nothing():
    assert CHANCE_ALONE.interval([]) == (0.0, 0, 0)
    assert CHANCE_ALONE.pit([], 0, 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_what_is_no_probability_has_no_expectation(score):
    with pytest.raises(ValueError, match="must lie in"):
        CHANCE_ALONE.interval([0.5, score])


def test_more_found_than_checked_is_refused():
    with pytest.raises(ValueError, match="3 defects found in 2 checked units"):
        CHANCE_ALONE.pit([0.5, 0.5], 3, 0.5)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_equal_chances_are_binomial(n):
    assert poisson_binomial(np.full(n, 0.3)) == pytest.approx(binom.pmf(np.arange(n + 1), n, 0.3), abs=1e-13)


def test_chances_of_unequal_units_add_up_one_by_one():
    p = np.random.default_rng(1).random((3, 33))
    chance = np.ones((3, 1))
    for at in range(33):
        more = np.zeros((3, at + 2))
        more[:, :-1] += chance * (1 - p[:, [at]])
        more[:, 1:] += chance * p[:, [at]]
        chance = more
    assert poisson_binomial(p) == pytest.approx(chance, abs=1e-13)
