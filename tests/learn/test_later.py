import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.later import later_blocks, passing_texts


def test_the_newest_twelfth_is_set_apart_and_older_ones_until_enough_defects_are_there():
    sparse, dense = np.arange(6000) % 50 == 0, np.arange(6000) % 4 == 0
    spans = [
        [(len(train), block[0], block[-1]) for train, block in later_blocks(y.astype(int))] for y in (sparse, dense)
    ]
    assert spans[0] == [(first, first, first + 499) for first in range(3000, 6000, 500)]  # 10 defects each
    assert spans[1] == [(5500, 5500, 5999)]  # 125 defects
    assert [block[0] for _, block in later_blocks(sparse.astype(int), parts=6)] == [3000, 4000, 5000]


@pytest.mark.parametrize(
    "place", [slice(0, 50), slice(70, 120)], ids=["goods alone at first", "defects alone at first"]
)
def test_a_block_before_which_a_class_is_missing_is_left_out(place):
    y = np.zeros(120, dtype=int)
    y[place] = 1
    assert len(later_blocks(y)) == (6 if place.start == 0 else 4)  # from rows 60 and 80 on
    y[:], y[110:] = 0, 1
    assert later_blocks(y) == []


def test_a_group_that_goes_on_in_a_block_is_not_learnt_from_before_it():
    y = np.arange(60) % 2
    (train, block), *_ = later_blocks(y, groups=np.arange(60) // 4)[-1:]
    assert block.tolist() == list(range(55, 60))
    assert train.tolist() == list(range(52))  # rows 52 to 55 are a group


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match="groups: found 3 for 60 rows"):
        later_blocks(np.arange(60) % 2, groups=[1, 2, 3])


def test_a_text_that_comes_again_in_one_block_is_kept():
    X = pd.DataFrame({"melt.lot": list("AABBCC"), "mill.tool": list("AABACA"), "unit.rank": range(6)})
    blocks = [(np.arange(2), np.arange(2, 4)), (np.arange(4), np.arange(4, 6))]
    assert passing_texts(X, blocks) == ["melt.lot"]
    assert passing_texts(X, []) == []


def test_times_are_no_texts_though_they_do_not_come_again():
    when = pd.Series(pd.date_range("2026-01-05", periods=6, freq="D"))
    X = pd.DataFrame({"at": when, "day": when.dt.date, "for": when - when[0], "lot": list("ABCDEF")})
    assert passing_texts(X, [(np.arange(4), np.arange(4, 6))]) == ["lot"]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=["None", "NaN", "NA", "NaT"])
def test_rows_whose_group_is_missing_belong_with_no_other(missing):
    y = np.arange(60) % 2
    nowhere = np.array([missing] * 60, dtype=object)
    expected = [(train.tolist(), block.tolist()) for train, block in later_blocks(y)]
    assert [(train.tolist(), block.tolist()) for train, block in later_blocks(y, groups=nowhere)] == expected
    some = nowhere.copy()
    some[[3, 55]] = "shot 7"
    train, _ = later_blocks(y, groups=some)[-1]
    assert train.tolist() == [row for row in range(55) if row != 3]
