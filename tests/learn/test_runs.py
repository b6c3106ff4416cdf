import numpy as np
import pytest

from qma_predict.learn.runs import spread_of_ratio

NIGHTS, LASTS, TIMES = 56, 4, 400


def coverage(lasts, rng):
    """How often the 95 % interval of a ratio holds the true one, where what moves it lasts for some nights."""
    held = 0
    for _ in range(TIMES):
        below = rng.poisson(30, NIGHTS) + 1.0
        moved = np.repeat(rng.normal(0, 0.1, NIGHTS // lasts), lasts)
        spread = spread_of_ratio((0.2 + moved + rng.normal(0, 0.05, NIGHTS)) * below, below, np.arange(NIGHTS))
        held += spread.low(0.975) <= 0.2 <= spread.high(0.975)
    return held / TIMES


@pytest.mark.parametrize("lasts", [1, LASTS])
def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says_where_effects_last(lasts):
    """95 % nominal; nights drawn one by one hold it in 69 % where effects last for four."""
    assert (
        coverage(lasts, np.random.default_rng(11)) >= 0.89
    )  # less once in 500 times, at the 93 % that runs of seven nights reach


def test_nights_count_in_their_order_and_not_in_that_of_the_rows():
    rng = np.random.default_rng(0)
    above, below, night = rng.random(40), rng.random(40) + 1, np.repeat(np.arange(20), 2)
    order = rng.permutation(40)
    one, other = spread_of_ratio(above, below, night), spread_of_ratio(above[order], below[order], night[order])
    assert other.each == pytest.approx(one.each)
    assert (other.low(0.975), other.high(0.975)) == pytest.approx((one.low(0.975), one.high(0.975)))
    assert len(one.each) == 5  # runs of four nights
    assert one.value == pytest.approx(above.sum() / below.sum())
