import ibis
import numpy as np
import pandas as pd
import pytest

from qma_predict.features.intervals import microseconds, within


def pairs(moments, intervals):
    left = pd.DataFrame(moments, columns=["machine", "at"]).assign(m=range(len(moments)))
    right = pd.DataFrame(intervals, columns=["machine", "start", "end"]).assign(i=range(len(intervals)))
    found = within(ibis.memtable(left), ibis.memtable(right), by="machine").to_pandas()
    assert set(found) == {"machine", "at", "m", "i"}
    return sorted(zip(found["m"].tolist(), found["i"].tolist(), strict=True))


def test_the_start_belongs_to_an_interval_and_the_end_does_not():
    assert pairs([("a", 9), ("a", 10), ("a", 19), ("a", 20)], [("a", 10, 20)]) == [(1, 0), (2, 0)]


def test_a_moment_lies_in_every_interval_that_holds_it_and_only_of_its_own_machine():
    intervals = [("a", 0, 100), ("a", 40, 60), ("a", 51, 52), ("b", 0, 100)]
    assert pairs([("a", 50), ("c", 50)], intervals) == [(0, 0), (0, 1)]


def test_an_interval_without_length_or_backwards_holds_nothing():
    assert pairs([("a", 10)], [("a", 10, 10), ("a", 12, 8), ("a", 10, 11)]) == [(0, 2)]


def test_moments_before_1970_have_their_cells_too():
    assert pairs([("a", -5), ("a", -11)], [("a", -10, 3)]) == [(0, 0)]


def test_any_intervals_give_the_pairs_that_a_comparison_of_all_with_all_gives():
    rng = np.random.default_rng(4)
    scale = 1_700_000_000_000_000  # as large as the microseconds of our days
    start = scale + rng.integers(0, 10**9, 300)
    end = start + (10 ** rng.uniform(0, 9, 300)).astype(np.int64)
    at = np.concatenate([scale + rng.integers(0, 2 * 10**9, 300), start, end, end - 1])
    machine, other = rng.choice(list("abc"), 300), rng.choice(list("abc"), len(at))
    holds = (other[:, None] == machine) & (start <= at[:, None]) & (at[:, None] < end)
    expected = [tuple(pair) for pair in np.argwhere(holds).tolist()]
    found = pairs(
        list(zip(other, at.tolist(), strict=True)), list(zip(machine, start.tolist(), end.tolist(), strict=True))
    )
    assert len(expected) > 1000
    assert found == expected


@pytest.mark.parametrize("text", ["2026-03-02T12:00:00.000001", "1999-12-31T23:59:59.999999"])
def test_microseconds_since_1970(text):
    moment = pd.Timestamp(text, tz="UTC").as_unit("us")
    table = ibis.memtable(pd.DataFrame({"moment": [moment]}))
    assert table.select(found=microseconds(table.moment)).to_pandas()["found"].tolist() == [moment.value // 1000]
