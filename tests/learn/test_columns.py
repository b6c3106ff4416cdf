from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.columns import category_names, finite, is_number, is_time, origin, written_measurements


@pytest.mark.parametrize("other", [0.0, -1.0, 2.0**31 - 1])
def test_values_far_from_zero_stay_apart_though_a_third_of_them_is_none(other):
    values = np.where(np.arange(600) % 3 == 0, other, 1e9 + np.random.default_rng(0).normal(size=600))
    counted = (values - origin(values)).astype(np.float32)
    assert len(np.unique(counted)) == len(np.unique(values))


@pytest.mark.parametrize(
    "values",
    [
        np.tile([0.0, 1.0], 50),
        np.tile([0.0, 0.1], 50),
        np.tile([0.0, 0.0, np.nan], 50),
        np.full(9, np.nan),
        np.arange(100.0),
        100_000.0 + np.arange(10) / 2,
        np.random.default_rng(0).normal(20.0, 0.1, 100),
    ],
    ids=["a flag", "a flag of 0.1", "zeros", "missing", "from zero on", "few digits", "twenty degrees"],
)
def test_values_that_float32_tells_apart_are_counted_from_zero_on(values):
    assert origin(values) == 0.0


def test_numbers_that_no_float_holds_are_missing():
    column = pd.Series([10**400, Decimal("sNaN"), Decimal("NaN"), Decimal("1.5"), 2, None, "n/a"], dtype=object)
    assert is_number(column)
    np.testing.assert_array_equal(finite(column), [np.nan, np.nan, np.nan, 1.5, 2.0, np.nan, np.nan])
    assert category_names(column[1:4]).tolist() == ["", "", "1.5"]


def test_categories_that_are_numbers_are_read_as_numbers_where_numbers_were():
    column = pd.Series([3, 1, None, 2]).astype("Int64").astype("category")
    np.testing.assert_array_equal(finite(column), [3.0, 1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="held numbers in training, now: 'hot'"):
        finite(pd.Series(["hot", "cold"]).astype("category"))


@pytest.mark.parametrize(
    "values",
    [
        [date(2026, 1, 5), None],
        [timedelta(1), None],
        [pd.Timestamp("2026-01-05", tz="UTC"), pd.NaT],
        [pd.Period("2026-01"), None],
    ],
    ids=["dates", "durations", "times", "periods"],
)
@pytest.mark.parametrize("kind", [None, object, "category"], ids=["as they are", "objects", "categories"])
def test_times_are_times_in_whatever_type_they_come(values, kind):
    assert is_time(pd.Series(values, dtype=kind))


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1.52", "1,49", "-0.3", "1.5e-05", None], True),
        (["1.52", "1.52", "1.52", "1.53"], False),
        (["101", "102", "103"], False),
        (["1.52", "A", "B"], False),
        ([None, None], False),
        ([1.5, 2.5, 3.5], False),
    ],
    ids=["decimals", "few that come again", "whole numbers", "mostly names", "nothing", "numbers"],
)
def test_texts_look_like_measurements_if_nearly_all_are_decimals_and_most_distinct(texts, found):
    assert bool(written_measurements(pd.DataFrame({"t": pd.Series(texts, dtype=object)}))) == found
