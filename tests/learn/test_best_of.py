import numpy as np
import pytest

from qma_predict.learn.best_of import best_of

NIGHTS, A_NIGHT = 30, 10
NIGHT = np.repeat(np.arange(NIGHTS), A_NIGHT)
FOLD = NIGHT // 10


def no_better(rng, candidates):
    """Losses of many candidates that differ from the one in use by chance alone, night by night."""
    in_use = rng.random(NIGHTS * A_NIGHT)
    return in_use, [in_use + np.repeat(rng.normal(0, 0.1, NIGHTS), A_NIGHT) for _ in range(candidates)]


def test_the_best_is_the_one_with_the_lowest_mean_loss():
    in_use = np.full(300, 0.5)
    found = best_of(in_use, [in_use + 0.1, in_use - 0.02, in_use - 0.01], NIGHT, FOLD, defects=20)
    assert (found.best, found.difference) == (1, pytest.approx(0.02))
    assert found.low == found.high == pytest.approx(0.02)  # lower by as much in every night
    assert found.in_words() == "better (lower by 0.0200, 95 % interval 0.0200 to 0.0200): take the best"


def test_the_luckiest_of_many_that_are_no_better_is_seldom_taken_for_better():
    rng = np.random.default_rng(5)
    of_many = [best_of(*no_better(rng, 30), NIGHT, FOLD, defects=50) for _ in range(40)]
    assert sum(found.better for found in of_many) <= 4  # 1 in 40 expected; without regard to the choice about half
    assert all(found.difference > 0 for found in of_many)


def test_one_that_is_better_by_more_than_chance_is_found_among_many_that_are_not():
    in_use, candidates = no_better(np.random.default_rng(5), 30)
    candidates[7] = candidates[7] - 0.15
    found = best_of(in_use, candidates, NIGHT, FOLD, defects=50)
    assert (found.best, found.better) == (7, True)
    assert 0 < found.low < found.difference < found.high


def test_the_more_were_tried_the_less_is_sure():
    in_use, candidates = no_better(np.random.default_rng(5), 30)
    candidates[0] = candidates[0] - 0.15
    alone, among = (best_of(in_use, candidates[:n], NIGHT, FOLD, defects=50) for n in (1, 30))
    assert alone.difference == among.difference
    assert among.low < alone.low
    assert among.high == pytest.approx(alone.high)


@pytest.mark.parametrize(("nights", "defects"), [(9, 50), (30, 19)])
def test_few_nights_or_defects_give_no_interval(nights, defects):
    units = nights > NIGHT
    found = best_of(np.full(units.sum(), 0.5), [np.full(units.sum(), 0.1)], NIGHT[units], FOLD[units], defects=defects)
    assert np.isnan([found.low, found.high]).all()
    assert not found.better
    assert found.in_words().startswith("not enough yet to tell (fewer than 10 nights or 20 known defects): keep")
