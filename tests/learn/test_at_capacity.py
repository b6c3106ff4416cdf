from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qma_predict.learn.at_capacity import precision_at_capacity, recall_at_capacity, tally_nights

NAN = np.nan
# worked by hand: night 1 has scores 4 3 2 1 with labels 1 0 ? 1, night 2 has 9 8 with labels 0 1
Y, SCORE, NIGHTS = [1, 0, NAN, 1, 0, 1], [4, 3, 2, 1, 9, 8], [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("capacity", "precision", "recall"),
    [
        (0, NAN, 0 / 3),
        (1, 1 / 2, 1 / 3),  # listed: 1 | 0
        (2, 2 / 4, 2 / 3),  # listed: 1 0 | 0 1
        (3, 2 / 4, 2 / 3),  # listed: 1 0 ? | 0 1; the unknown takes a place and counts for nothing
        (4, 3 / 5, 3 / 3),
        (99, 3 / 5, 3 / 3),
    ],
)
def test_precision_and_recall_at_capacity_pooled_over_nights(capacity, precision, recall):
    found = precision_at_capacity(Y, SCORE, capacity=capacity, nights=NIGHTS)
    np.testing.assert_equal(found, precision)
    np.testing.assert_equal(recall_at_capacity(Y, SCORE, capacity=capacity, nights=NIGHTS), recall)


def test_without_nights_all_units_compete_for_one_list():
    # the two highest scores are night 2's: 0 and 1
    assert precision_at_capacity(Y, SCORE, capacity=2) == 1 / 2
    assert recall_at_capacity(Y, SCORE, capacity=2) == 1 / 3


def test_a_tie_at_the_end_of_the_list_counts_in_expected_value():
    # one place is left for three units that tie, two of them defects
    y, score = [0, 1, 1, 0], [0.9, 0.5, 0.5, 0.5]
    assert precision_at_capacity(y, score, capacity=2) == pytest.approx((0 + 2 / 3) / 2)
    assert recall_at_capacity(y, score, capacity=2) == pytest.approx((2 / 3) / 2)


def test_the_tally_is_per_night_in_ascending_order():
    tally = tally_nights([1, 1, 0], [1, 1, 1], capacity=1, nights=[date(2026, 1, 2), *[date(2026, 1, 1)] * 2])
    assert tally.found.tolist() == [0.5, 1.0]
    assert tally.known.tolist() == [1.0, 1.0]
    assert tally.defects.tolist() == [1.0, 1.0]


def test_each_night_may_have_a_capacity_of_its_own():
    y, score, nights = [1, 0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6, 0.5], [2, 2, 1, 1, 1]
    tally = tally_nights(y, score, capacity=np.array([2, 1]), nights=nights)
    assert np.array(tally).tolist() == [[1, 1], [2, 1], [2, 1]]  # of the first night two, of the second one
    assert recall_at_capacity(y, score, capacity=np.array([2, 1]), nights=nights) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="capacity is"):
        tally_nights(y, score, capacity=np.array([2, -1]), nights=nights)


@settings(deadline=None, max_examples=50)  # a busy machine is no error
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.integers(0, 4), st.integers(0, 2)), min_size=1))
def test_capacity_for_all_finds_all(units):
    y, score, night = np.array(units).T
    recall = recall_at_capacity(y, score, capacity=len(y), nights=night)
    np.testing.assert_equal(recall, 1.0 if np.nansum(y) else NAN)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_at_capacity([1], [1.0], capacity=-1), "capacity is -1"),
        (lambda: precision_at_capacity([1, 0], [1, 2], capacity=1, nights=[1, None]), "1 of them missing"),
        (lambda: recall_at_capacity([1, 0], [1, 2], capacity=1, nights=[1]), "found 1 nights of 2 units"),
    ],
)
def test_capacities_and_nights_that_make_no_sense_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nights_of_every_kind_give_the_same():
    dates = [date(2026, 1, day) for day in NIGHTS]
    for nights in (dates, pd.Series(dates, index=range(7, 13)), pd.to_datetime(dates), NIGHTS):
        assert precision_at_capacity(Y, SCORE, capacity=1, nights=nights) == 1 / 2
