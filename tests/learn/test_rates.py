import numpy as np
import pytest

from qma_predict.learn.rates import corrected_rate, effective_size, rate_size, weighted_rate, wilson


def test_wilson_is_scipys_interval():
    from scipy.stats import binomtest

    theirs = binomtest(7, 40).proportion_ci(0.95, "wilson")
    ours = wilson(7 / 40, 40)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("rate", [wilson(float("nan"), 0), weighted_rate(np.array([]), np.array([]))])
def test_of_nothing_there_is_no_rate(rate):
    assert np.isnan(rate).all()
    assert str(rate) == "an unknown share"


def test_of_equal_weights_the_effective_size_is_the_number():
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7)


def test_a_weighted_rate_counts_what_each_unit_stands_for():
    # 8 units stand for 10 each and 1 of them is defect, 4 for one each and 3 of them are: 13 of 84
    y = np.array([1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0])
    found = weighted_rate(y, np.array([10.0] * 8 + [1.0] * 4))
    assert found.value == pytest.approx(13 / 84)
    assert found == pytest.approx(wilson(13 / 84, 84**2 / 804))


def test_a_rate_of_equal_weights_is_known_as_of_its_number_to_the_bit():
    for defects in (0, 1, 3, 1237, 49_999, 50_000):
        assert rate_size(np.arange(50_000) < defects, np.ones(50_000)) == 50_000


def test_the_interval_of_a_weighted_rate_holds_the_truth_where_defects_are_seldom_looked_for():
    """Of 4000 units 3200 are inspected by halves, 0.5 % of them defect; of the others 1 in 20, of which 15 % are."""
    rng, true, held = np.random.default_rng(0), 0.8 * 0.005 + 0.2 * 0.15, 0
    for _ in range(2000):
        often, seldom = rng.binomial([3200, 800], [0.5, 0.05])
        y = np.concatenate([rng.random(often) < 0.005, rng.random(seldom) < 0.15]).astype(float)
        held += (rate := weighted_rate(y, np.repeat([2.0, 20.0], [often, seldom]))).low <= true <= rate.high
    assert 1870 <= held <= 1970  # nominal 1900, of which chance moves 2000 draws by 23 once in 100; Kish's size: 1530


def test_the_corrected_rate_is_rogan_and_gladens_with_lang_and_reiczigels_interval():
    # 10 % recorded, 90 % of the defects found and 5 % of the good ones failed: (0.10 - 0.05) / 0.85
    found = corrected_rate(0.1, 1000, 0.9, 50, 0.95, 100)
    assert found.value == pytest.approx(0.05 / 0.85)
    # by hand: r' = 101.9207 / 1003.8415, Se' = 46 / 52, Sp' = 96 / 102, p' = 0.051735, dp = -0.003193, z s = 0.057367
    assert found.low == 0.0
    assert found.high == pytest.approx(0.105909, abs=1e-6)


def test_perfect_inspectors_need_no_correction_but_a_study_is_never_certain():
    found = corrected_rate(0.03, 10_000, 1.0, 100, 1.0, 100)
    assert found.value == pytest.approx(0.03)
    assert found.low < 0.022
    assert found.high > 0.03


@pytest.mark.parametrize(("recorded", "sensitivity", "specificity"), [(0.01, 0.9, 0.95), (0.9, 0.6, 0.95)])
def test_a_rate_that_no_rate_of_defects_gives_with_such_inspectors_is_not_known(recorded, sensitivity, specificity):
    assert np.isnan(corrected_rate(recorded, 10_000, sensitivity, 50, specificity, 100)).all()


@pytest.mark.parametrize(("recorded", "expected"), [(0.05, 0.0), (1 - 0.95, 0.0), (0.9, 1.0)])
def test_a_rate_at_the_end_of_what_is_possible_is_known(recorded, expected):
    assert corrected_rate(recorded, 10_000, 0.9, 50, 0.95, 100).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "told", [(0.32, 4242, 1.0, 2, 0.966, 147), (0.0138, 1061, 0.9375, 96, 1.0, 1), (0.49, 53922, 1.0, 1, 0.9677, 31)]
)
def test_the_interval_of_a_study_of_hardly_any_units_holds_the_rate_itself(told):
    found = corrected_rate(*told)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.4, 0.6), (0.2, 0.3), (float("nan"), 1.0)])
def test_inspectors_who_tell_nothing_correct_nothing(sensitivity, specificity):
    assert np.isnan(corrected_rate(0.1, 1000, sensitivity, 50, specificity, 100)).all()


def test_the_interval_of_the_corrected_rate_holds_the_truth_as_often_as_it_says():
    rng, true, se, sp = np.random.default_rng(0), 0.05, 0.85, 0.97
    held = 0
    for _ in range(1000):
        recorded = rng.binomial(2000, true * se + (1 - true) * (1 - sp)) / 2000
        found = corrected_rate(recorded, 2000, rng.binomial(60, se) / 60, 60, rng.binomial(150, sp) / 150, 150)
        held += found.low <= true <= found.high
    assert 930 <= held <= 990  # nominal 950, of which chance moves 1000 draws by 21 at most, once in 400
