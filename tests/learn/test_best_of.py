import numpy as np
import pytest

from qma_predict.learn.best_of import best_of

NIGHTS, A_NIGHT = 30, 10
NIGHT = np.repeat(np.arange(NIGHTS), A_NIGHT)


def no_better(rng, candidates, nights=NIGHTS, lasts=1):
    """Losses of many candidates that differ from the one in use by chance alone, which lasts for some nights."""
    in_use = rng.random(nights * A_NIGHT)
    spans = rng.normal(0, 0.1, (candidates, -(-nights // lasts)))
    return in_use, [in_use + np.repeat(span, lasts * A_NIGHT)[: len(in_use)] for span in spans]


def test_the_best_is_the_one_with_the_lowest_mean_loss():
    in_use = np.full(300, 0.5)
    found = best_of(in_use, [in_use + 0.1, in_use - 0.02, in_use - 0.01], NIGHT, defects=20)
    assert (found.best, found.difference) == (1, pytest.approx(0.02))
    assert found.low == found.high == pytest.approx(0.02)  # lower by as much in every night
    assert found.in_words() == "better (lower by 0.0200, 95 % interval 0.0200 to 0.0200): take the best"


def test_the_luckiest_of_many_that_are_no_better_is_seldom_taken_for_better():
    rng = np.random.default_rng(5)
    of_many = [best_of(*no_better(rng, 30), NIGHT, defects=50) for _ in range(40)]
    assert sum(found.better for found in of_many) <= 4  # 1 in 40 expected; without regard to the choice about half
    assert all(found.difference > 0 for found in of_many)


@pytest.mark.parametrize("candidates", [1, 30])
def test_chance_that_lasts_for_four_nights_is_seldom_taken_for_better(candidates):
    """1 in 40 is what the interval allows. Nights drawn one by one: 6 of 40, and of the best of many 32 of 40."""
    rng, night = np.random.default_rng(3), np.repeat(np.arange(56), A_NIGHT)
    drawn = [best_of(*no_better(rng, candidates, 56, lasts=4), night, defects=50) for _ in range(300)]
    # 1 in 28, since runs of seven nights cut effects in two; more than 20 of 300 are then 1 in 300
    assert sum(found.better for found in drawn) <= 20


def test_those_that_were_given_up_were_tried_too():
    in_use, candidates = no_better(np.random.default_rng(5), 1)
    few, many = (best_of(in_use, candidates, NIGHT, defects=50, tried=n) for n in (1, 30))
    assert (few.difference, few.high) == (many.difference, many.high)
    assert many.low < few.low == best_of(in_use, candidates, NIGHT, defects=50).low


@pytest.mark.parametrize("tried", [110, 200, 5000])
def test_of_hundreds_that_are_no_better_over_a_year_of_nights_none_is_taken_for_better(tried):
    """2.5 % shared out among so many lie beyond what means of 4,096 subsets of runs can tell."""
    rng, night = np.random.default_rng(7), np.repeat(np.arange(250), A_NIGHT)
    drawn = [best_of(*no_better(rng, 5, 250), night, defects=50, tried=tried) for _ in range(20)]
    assert not any(found.better for found in drawn)
    assert all(found.low < found.difference for found in drawn)


def test_one_that_is_better_by_more_than_chance_is_found_among_many_that_are_not():
    in_use, candidates = no_better(np.random.default_rng(5), 30)
    candidates[7] = candidates[7] - 0.15
    found = best_of(in_use, candidates, NIGHT, defects=50)
    assert (found.best, found.better) == (7, True)
    assert 0 < found.low < found.difference < found.high


def test_the_more_were_tried_the_less_is_sure():
    in_use, candidates = no_better(np.random.default_rng(5), 30)
    candidates[0] = candidates[0] - 0.15
    alone, among = (best_of(in_use, candidates[:n], NIGHT, defects=50) for n in (1, 30))
    assert alone.difference == among.difference
    assert among.low < alone.low
    assert among.high == pytest.approx(alone.high)


@pytest.mark.parametrize(("nights", "defects"), [(9, 50), (30, 19)])
def test_few_nights_or_defects_give_no_interval(nights, defects):
    units = nights > NIGHT
    found = best_of(np.full(units.sum(), 0.5), [np.full(units.sum(), 0.1)], NIGHT[units], defects=defects)
    assert np.isnan([found.low, found.high]).all()
    assert not found.better
    assert found.in_words().startswith("not enough yet to tell (fewer than 10 nights or 20 known defects): keep")
