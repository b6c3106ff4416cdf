from datetime import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from qma_predict.data import values


def text(*given: str | None) -> pd.Series:
    return pd.Series(given, dtype="str")


def instants(series: pd.Series) -> list[str | None]:
    assert series.dtype == "datetime64[us, UTC]"
    return [None if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M:%S.%f}".removesuffix(".000000") for moment in series]


def test_blanks_around_text_are_no_part_of_it():
    assert values.tidied(text(" a b ", "  ", "", None, "\tc")).tolist() == ["a b", np.nan, np.nan, np.nan, "c"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pd.Series([4711, 12]), ["4711", "12"]),
        (pd.Series([4711.0, np.nan]), ["4711", np.nan]),
        (pd.Series([4711.5, 12.0]), ["4711.5", "12.0"]),
        (pd.Series([12345678901234567, None], dtype="Int64"), ["12345678901234567", np.nan]),
        (pd.Series([1e20, np.nan]), ["1e+20", np.nan]),
        (text("007", None), ["007", np.nan]),
    ],
)
def test_a_code_is_text_however_it_comes(given, expected):
    assert values.texts(given).tolist() == expected


@pytest.mark.parametrize(
    ("decimal", "given", "expected"),
    [
        (".", "1.5", 1.5),
        (".", "-1e-3", -0.001),
        (".", "+7", 7.0),
        (".", "1,5", None),
        (".", "1,234.5", 1234.5),
        (".", "-12,345,678.", -12345678.0),
        (".", "1,234", None),  # one thousand, or a decimal comma of another source: not to be guessed
        (".", "1,234,567", None),
        (".", "1,23.4", None),
        (".", "0,123.4", None),
        (".", "1_000", None),
        (".", "0x10", None),
        (".", "inf", None),
        (".", "-Infinity", None),
        (".", "NaN", None),
        (".", "1e999", None),
        (".", "12 mm", None),
        (".", "OK", None),
        (",", "1,5", 1.5),
        (",", "1234", 1234.0),
        (",", "1.234", 1234.0),
        (",", "1.234,5", 1234.5),
        (",", "-12.345.678,25", -12345678.25),
        (",", "0.123", None),
        (",", "1.23", None),
        (",", "1234.567", None),
        (",", "1.2345,6", None),
        (",", "1,234.5", None),
        (",", "1.234e3", None),
        (",", "1,234,5", None),
    ],
)
def test_numbers_have_the_source_s_decimal_sign_and_are_finite(source, decimal, given, expected):
    read = values.numbers(text(given), source(decimal=decimal))
    assert read.dtype == np.float64
    assert read.isna().tolist() == [expected is None]
    assert expected is None or read.tolist() == [expected]


def test_beside_points_of_another_kind_a_point_alone_is_not_one_for_thousands(source):
    """Of 0.690 and 1.036 the second is no thousand; where a comma follows, nothing else can be meant."""
    read = values.numbers(text("0.690", "1.036", "1.036,5", "961", None), source(decimal=","))
    assert read.tolist() == pytest.approx([np.nan, np.nan, 1036.5, 961, np.nan], nan_ok=True)
    words = values.numbers(text("n.a.", "1.036", "961"), source(decimal=","))
    assert words.tolist() == pytest.approx([np.nan, 1036, 961], nan_ok=True)


def test_typed_numbers_are_as_they_are_and_infinite_ones_are_missing(source):
    given = pd.Series([1.5, np.inf, -np.inf, np.nan])
    assert values.numbers(given, source(decimal=",")).tolist() == pytest.approx(
        [1.5, np.nan, np.nan, np.nan], nan_ok=True
    )
    assert values.numbers(pd.Series([3, None], dtype="Int64"), source()).tolist() == pytest.approx(
        [3, np.nan], nan_ok=True
    )
    assert values.numbers(pd.Series([pd.Timestamp(0)]), source()).isna().all()


def test_no_number_is_negative_zero(source):
    read = values.numbers(text("-0.0", "0"), source())
    assert not np.signbit(read).any()


@pytest.mark.parametrize(
    ("good", "bad"), [("OK", "NOK"), ("pass", "FAIL"), ("1", "0"), ("true", "False"), ("i.O.", "n.i.O."), ("yes", "no")]
)
def test_results_are_written_in_many_ways(good, bad):
    assert values.flags(text(good, bad, None, "maybe")).tolist() == [True, False, pd.NA, pd.NA]


@pytest.mark.parametrize("typed", [pd.Series([True, False]), pd.Series([1, 0]), pd.Series([1.0, 0.0])])
def test_typed_results_are_results(typed):
    assert values.flags(typed).tolist() == [True, False]


def test_a_typed_result_of_another_number_is_none():
    assert values.flags(pd.Series([1, 2])).tolist() == [True, pd.NA]


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2025-01-15 10:00:00", "2025-01-15 09:00:00"),
        ("2025-07-15 10:00:00", "2025-07-15 08:00:00"),
        ("2025-07-15T10:00", "2025-07-15 08:00:00"),
        ("20250715T100000", "2025-07-15 08:00:00"),
        ("2025-07-15", "2025-07-14 22:00:00"),
        ("2025-07-15 10:00:00.123456", "2025-07-15 08:00:00.123456"),
        ("2025-07-15 10:00:00.123456999", "2025-07-15 08:00:00.123456"),
        ("2025-07-15T10:00:00Z", "2025-07-15 10:00:00"),
        ("2025-07-15T10:00:00+00:00", "2025-07-15 10:00:00"),
        ("2025-07-15 10:00:00-0430", "2025-07-15 14:30:00"),
        ("2025-07-15 10:00:00 +05", "2025-07-15 05:00:00"),
        ("2025-03-30 01:59:59", "2025-03-30 00:59:59"),
        ("2025-03-30 02:30:00", None),  # skipped
        ("2025-03-30 03:00:00", "2025-03-30 01:00:00"),
        ("2025-10-26 02:30:00", "2025-10-26 00:30:00"),  # twice: the earlier
        ("2025-10-26 03:00:00", "2025-10-26 02:00:00"),
        ("9999-12-31 23:59:59", "9999-12-31 23:59:59"),  # beyond what zones know, and impossible in any
        ("2025-07-15 13:30-14:00", None),  # from then to then
        ("2025-07-15 13:30:00-14:00", None),  # no zone is that far west
        ("2025-07-15T13:30-05:00", "2025-07-15 18:30:00"),
        ("2025-02-29", None),
        ("2025-07-15 24:00:00", None),
        ("2025-07-15 10", None),  # cut
        ("2025-07", None),
        ("2025", None),
        ("15.07.2025 10:00:00", None),
        ("10:00", None),
        ("now", None),
        ("today", None),
        ("1752570000", None),
    ],
)
def test_iso_times_are_local_unless_they_have_an_offset(source, given, instant):
    assert instants(values.times(text(given), source(timezone="Europe/Berlin"))) == [instant]


def test_offsets_local_times_and_no_times_may_stand_in_one_column(source):
    given = text("2025-07-15 10:00", "2025-07-15T10:00+02:00", "2025-07-15T10:00+05", "soon", None, "2025-07-15T10:00Z")
    read = values.times(given, source(timezone="Asia/Tokyo"))
    assert instants(read) == [
        "2025-07-15 01:00:00",
        "2025-07-15 08:00:00",
        "2025-07-15 05:00:00",
        None,
        None,
        "2025-07-15 10:00:00",
    ]


@pytest.mark.parametrize(
    ("form", "given", "instant"),
    [
        ("%d.%m.%Y %H:%M:%S", "15.07.2025 10:00:00", "2025-07-15 08:00:00"),
        ("%d.%m.%Y %H:%M:%S", "15.07.2025 10:00", None),
        ("%d.%m.%Y %H:%M:%S", "07/15/2025 10:00:00", None),
        ("%d.%m.%Y %H:%M:%S", "now", None),
        ("%d.%m.%Y", "today", None),
        ("%m/%d/%y %I:%M %p", "07/15/25 10:00 PM", "2025-07-15 20:00:00"),
        ("%Y-%m-%d %H:%M:%S%z", "2025-07-15 10:00:00-0430", "2025-07-15 14:30:00"),
        ("%d.%m.%Y %H:%M:%S", "30.03.2025 02:30:00", None),
        ("%d.%m.%Y %H:%M:%S", "26.10.2025 02:30:00", "2025-10-26 00:30:00"),
    ],
)
def test_times_in_the_source_s_own_form(source, form, given, instant):
    assert instants(values.times(text(given), source(timezone="Europe/Berlin", time_format=form))) == [instant]


def test_offsets_may_differ_within_a_column_of_the_source_s_own_form(source):
    given = text("15.07.2025 10:00 +0200", "15.01.2025 10:00 +0100")
    read = values.times(given, source(time_format="%d.%m.%Y %H:%M %z"))
    assert instants(read) == ["2025-07-15 08:00:00", "2025-01-15 09:00:00"]


def test_of_a_repeated_hour_the_later_instant_where_asked_for(source):
    given = text("2025-10-26 01:59", "2025-10-26 02:30", "2025-10-26 03:00", "2025-10-26T02:30+02:00")
    read = values.times(given, source(timezone="Europe/Berlin"), later=True)
    assert instants(read) == [
        "2025-10-25 23:59:00",
        "2025-10-26 01:30:00",
        "2025-10-26 02:00:00",
        "2025-10-26 00:30:00",
    ]


def test_moments_already_read_become_the_later_ones_of_the_hour_that_comes_twice(source):
    given = text("2025-10-26 01:59", "2025-10-26 02:30", "2025-10-26T02:30+02:00", "0001-01-01", "soon", None)
    berlin = source(timezone="Europe/Berlin")
    read = values.times(given, berlin)
    first, _, *others = instants(read)
    assert instants(values.later(read, given, berlin)) == [first, "2025-10-26 01:30:00", *others]
    assert instants(values.later(read, given, source(timezone="UTC"))) == instants(read)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_typed_times_are_local_where_they_have_no_zone(source, unit):
    naive = pd.Series(pd.to_datetime(["2025-07-15 10:00", "2025-03-30 02:30"])).astype(f"datetime64[{unit}]")
    berlin = source(timezone="Europe/Berlin")
    assert instants(values.times(naive, berlin)) == ["2025-07-15 08:00:00", None]
    aware = naive.dt.tz_localize("Asia/Tokyo")
    assert instants(values.times(aware, berlin)) == ["2025-07-15 01:00:00", "2025-03-29 17:30:00"]


@pytest.mark.parametrize("typed", [pd.Series([1752570000]), pd.Series([1.5]), pd.Series([True])])
def test_typed_columns_that_are_no_times_are_none(source, typed):
    assert instants(values.times(typed, source())) == [None]


def test_dates_of_a_typed_column_are_read_as_text(source):
    dates = pa.array([pd.Timestamp("2025-07-15").date()]).to_pandas()
    read = values.times(values.tidied(pd.Series(dates)), source(timezone="Europe/Berlin"))
    assert instants(read) == ["2025-07-14 22:00:00"]


@pytest.mark.parametrize(
    ("unit", "given", "instant"),
    [
        ("s", "1752570000", "2025-07-15 09:00:00"),
        ("s", "1752570000.123456", "2025-07-15 09:00:00.123456"),
        ("ms", "1752570000123", "2025-07-15 09:00:00.123000"),
        ("us", "1752570000123456", "2025-07-15 09:00:00.123456"),
        ("ns", "1752570000123456999", "2025-07-15 09:00:00.123456"),
        ("s", "1752570000123", None),  # year 57506
        ("ns", "99999999999999999999", None),
        ("s", "2025-07-15", None),
        ("s", "inf", None),
    ],
)
def test_times_may_be_numbers_since_1970_in_utc(source, unit, given, instant):
    read = values.times(text(given, None), source(time_format=f"epoch {unit}", timezone="Europe/Berlin"))
    assert instants(read) == [instant, None]


def test_typed_numbers_are_times_too(source):
    seconds = source(time_format="epoch s")
    assert instants(values.times(pd.Series([1752570000.123456, 1e300]), seconds)) == [
        "2025-07-15 09:00:00.123456",
        None,
    ]
    assert instants(values.times(pd.Series([1752570000, None], dtype="Int64"), seconds)) == [
        "2025-07-15 09:00:00",
        None,
    ]
    assert instants(values.times(pd.Series([True]), seconds)) == [None]


def test_the_end_of_all_time_is_read_in_zones_of_the_west(source):
    read = values.times(text("9999-12-31 23:59:59"), source(timezone="America/New_York"))
    assert instants(read) == ["9999-12-31 23:59:59"]


@pytest.mark.parametrize(
    ("form", "date", "time", "expected"),
    [
        ("ISO8601", text("2025-07-15", None), text("13:30", "13:30"), ["2025-07-15 13:30", np.nan]),
        ("ISO8601", text("2025-07-15 00:00:00.000", "x"), text("13:30", None), ["2025-07-15 13:30", np.nan]),
        (
            "ISO8601",
            pd.Series(pd.to_datetime(["2025-07-15 00:00", "2025-07-15 08:00"])),
            pd.Series([time(13, 30), time(13, 30)], dtype=object),
            ["2025-07-15 13:30:00", "2025-07-15 08:00:00 13:30:00"],
        ),
        (
            "%d.%m.%Y %H:%M:%S",
            pd.Series(pd.to_datetime(["2025-07-15", None])),
            text("13:30:00", "13:30:00"),
            ["15.07.2025 13:30:00", np.nan],
        ),
    ],
)
def test_date_and_time_in_two_columns_are_one_time(source, form, date, time, expected):
    assert values.joined([date, time], source(time_format=form)).tolist() == expected


def test_a_date_that_no_calendar_writes_stays_text_beside_a_time(source):
    dates = pd.Series(np.array(["36812-02-20", "2026-03-01"], dtype="datetime64[s]"))
    found = values.joined([dates, pd.Series(["08:00", "08:00"], dtype="str")], source())
    assert found[1] == "2026-03-01 08:00"
    assert found[0].startswith("36812-02-20")
