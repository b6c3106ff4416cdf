import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score

from qma_predict.errors import NotEnoughData
from qma_predict.learn.splits import RollingOriginSplit


def days(*numbers: float) -> pd.DatetimeIndex:
    return pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(numbers, unit="D")


def folds(splitter, cutoff):
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(cutoff, groups=cutoff)]


def test_a_block_is_open_at_its_start_and_closed_at_its_end():
    # newest is day 10, block (8, 10]; day 8 itself is in no block and is training data with a gap of 0
    cutoff = days(7, 8, 8.001, 10)
    assert folds(RollingOriginSplit(1, test="2D", gap="0D"), cutoff) == [([0, 1], [2, 3])]


def test_training_ends_at_the_start_minus_the_gap_inclusive():
    cutoff = days(4.999, 5, 5.001, 10)
    assert folds(RollingOriginSplit(1, test="2D", gap="3D"), cutoff) == [([0, 1], [3])]


def test_blocks_follow_each_other_up_to_the_newest_cutoff():
    cutoff = days(*range(11))
    splitter = RollingOriginSplit(3, test="2D", gap="1D")
    assert splitter.origins(cutoff).equals(days(4, 6, 8))
    assert [test for _, test in folds(splitter, cutoff)] == [[5, 6], [7, 8], [9, 10]]
    assert [train[-1] for train, _ in folds(splitter, cutoff)] == [3, 5, 7]


def test_a_window_without_rows_does_not_use_up_a_block():
    cutoff = days(0, 1, 5, 9, 10)  # windows of 2 days back from day 10: (8,10], (6,8] empty, (4,6]
    assert folds(RollingOriginSplit(2, test="2D", gap="1D"), cutoff) == [([0, 1], [2]), ([0, 1, 2], [3, 4])]


def test_rows_without_a_label_place_no_window_and_lie_in_those_of_the_others():
    cutoff, y = days(0, 1, 5, 8, 9, 10, 11), [0.0, np.nan, 1.0, np.nan, np.nan, 0.0, np.nan]
    splitter = RollingOriginSplit(2, test="2D", gap="1D")
    assert splitter.origins(cutoff, y).equals(days(4, 8))  # day 11 ends none, and (6, 8] has no label
    assert [(train.tolist(), test.tolist()) for train, test in splitter.split(cutoff, y, cutoff)] == [
        ([0, 1], [2]),
        ([0, 1, 2], [4, 5]),
    ]
    with pytest.raises(NotEnoughData, match="found no rows"):
        splitter.origins(cutoff, [np.nan] * 7)


def test_row_order_does_not_change_which_rows_are_chosen_and_training_is_in_time_order():
    cutoff = days(*np.linspace(0, 60, 101))
    shuffled = cutoff[np.random.default_rng(0).permutation(101)]
    splitter = RollingOriginSplit()
    for (train, test), (mixed_train, mixed_test) in zip(
        splitter.split(cutoff, groups=cutoff), splitter.split(shuffled, groups=shuffled), strict=True
    ):
        assert cutoff[train].equals(shuffled[mixed_train])
        assert cutoff[test].equals(shuffled[mixed_test])


def test_other_zones_and_times_without_a_zone_mean_the_same_moments():
    cutoff = days(*range(11))
    splitter = RollingOriginSplit(2, test="2D", gap="1D")
    expected = folds(splitter, cutoff)
    assert folds(splitter, cutoff.tz_convert("Asia/Tokyo")) == expected
    assert folds(splitter, cutoff.tz_localize(None).to_numpy()) == expected
    assert folds(splitter, pd.Series(cutoff, index=range(50, 61))) == expected


def test_scikit_learn_can_search_and_score_with_it():
    cutoff = pd.Series(days(*range(40)))
    X, y = np.zeros((40, 1)), np.tile([0, 1], 20)
    splitter = RollingOriginSplit(3, test="4D", gap="2D")
    assert len(cross_val_score(DummyClassifier(), X, y, groups=cutoff, cv=splitter)) == 3
    search = GridSearchCV(DummyClassifier(), {"strategy": ["prior", "uniform"]}, cv=splitter)
    assert search.fit(X, y, groups=cutoff).n_splits_ == 3


def test_a_history_that_is_too_short_says_what_was_found_and_needed():
    cutoff = days(*range(8))
    message = r"found 8 rows with cutoffs from 2026-01-01 .* to 2026-01-08 .*need more than 9 days"
    with pytest.raises(NotEnoughData, match=message):
        RollingOriginSplit(4, test="2D", gap="1D").origins(cutoff)


def test_history_that_just_reaches_the_first_training_row_is_enough():
    splitter = RollingOriginSplit(1, test="2D", gap="1D")
    assert folds(splitter, days(0, 3)) == [([0], [1])]
    with pytest.raises(NotEnoughData):
        folds(splitter, days(0.001, 3))


def test_too_little_history_says_which_keys_to_change_and_what_would_fit():
    """Two months with a maturity of six days: 58 - 6 days are five times 10, four blocks and what is before them."""
    with pytest.raises(NotEnoughData) as raised:
        RollingOriginSplit(4, test="14D", gap="6D").origins(days(*range(59)))
    assert str(raised.value).endswith(
        "ask for fewer or shorter blocks (of a training: learning.blocks and learning.block in line.toml); "
        '4 blocks of "10 d" would fit, with 10 d before them to learn from.'
    )
    assert len(RollingOriginSplit(4, test="10D", gap="6D").origins(days(*range(59)))) == 4
    with pytest.raises(NotEnoughData, match=r"learning.block in line.toml\)\.$"):
        RollingOriginSplit(4, test="14D", gap="6D").origins(days(*range(10)))


def test_no_rows_are_not_enough():
    with pytest.raises(NotEnoughData, match="found no rows"):
        RollingOriginSplit().origins(days())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (None, "groups is missing"),
        ([1, 2, 3], "groups are int64"),
        (pd.DatetimeIndex(["2026-01-01", None], tz="UTC"), "1 of 2 cutoffs are missing"),
    ],
)
def test_cutoffs_that_are_not_times_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        RollingOriginSplit().origins(groups)


@pytest.mark.parametrize("wrong", [{"n_splits": 0}, {"test": "0D"}, {"gap": "-1D"}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="expected n_splits >= 1"):
        RollingOriginSplit(**wrong).origins(days(*range(100)))
