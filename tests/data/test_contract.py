from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.data.contract import TABLES, check, columns_of
from qma_predict.errors import SourceError
from qma_predict.line import Source

NOW = pd.Timestamp("2025-06-01 12:00", tz="UTC")

VISIT = {
    "unit_id": "u1",
    "station": "mill",
    "started_at": "2025-05-01 10:00",
    "machine": "M1",
    "ended_at": "2025-05-01 10:05",
    "recorded_at": "2025-05-01 10:06",
}
READING = {"unit_id": "u1", "station": "mill", "tag": "load", "occurred_at": "2025-05-01 10:00", "value": "1.5"}
INSPECTION = {
    "unit_id": "u1",
    "gate": "final",
    "characteristic": "leak",
    "occurred_at": "2025-05-01 10:00",
    "passed": "OK",
    "measured": "1,5",
}


def visits(**given) -> Source:
    told = {"table": "visits", "path": "v.csv", "timezone": "Europe/Berlin", "columns": {"recorded_at": "recorded_at"}}
    return Source.model_validate(told | given)


def readings(**given) -> Source:
    return Source.model_validate({"table": "readings", "path": "r.csv", "delay": "10 min"} | given)


def inspections(**given) -> Source:
    return Source.model_validate({"table": "inspections", "path": "i.csv", "delay": "1 d", "decimal": ","} | given)


def as_text(*rows: dict[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), dtype="str", index=range(1, len(rows) + 1))


def reason(row: dict[str, str | None], source: Source) -> str:
    return check(as_text(row), source, NOW)[1].loc[1]


@pytest.mark.parametrize(("row", "source"), [(VISIT, visits()), (READING, readings()), (INSPECTION, inspections())])
def test_a_row_that_fits_has_no_reason(row, source):
    assert reason(row, source) == ""


BAD_VISITS = {
    "missing": ({"unit_id": None}, "unit_id: missing"),
    "blank": ({"unit_id": "  "}, "unit_id: missing"),
    "no time": ({"started_at": "yesterday"}, "started_at: not a time of Europe/Berlin (format ISO8601): 'yesterday'"),
    "skipped by the clock change": (
        {"ended_at": "2025-03-30 02:30", "started_at": "2025-03-30 01:59", "recorded_at": "2025-03-30 03:01"},
        "ended_at: not a time of Europe/Berlin (format ISO8601): '2025-03-30 02:30'",
    ),
    "before 1990": (
        {"started_at": "1970-01-01 00:00"},
        "started_at: impossible time, before 1990-01-01: '1970-01-01 00:00'",
    ),
    "year one": (
        {"started_at": "0001-01-01 00:00"},
        "started_at: impossible time, before 1990-01-01: '0001-01-01 00:00'",
    ),
    "in the future": (
        {"ended_at": "2025-06-02 14:01", "recorded_at": "2025-06-02 14:01"},
        "ended_at: impossible time, in the future: '2025-06-02 14:01'; "
        "recorded_at: impossible time, in the future: '2025-06-02 14:01'",
    ),
    "recorded at the end of all time": (
        {"recorded_at": "9999-12-31 23:59:59"},
        "recorded_at: impossible time, in the future: '9999-12-31 23:59:59'",
    ),
    "recorded before it happened": (
        {"recorded_at": "2025-05-01 10:04:59"},
        "recorded_at: impossible time, recorded before it happened: '2025-05-01 10:04:59'",
    ),
    "ended before it started": (
        {"ended_at": "2025-05-01 09:59"},
        "ended_at: impossible time, before started_at: '2025-05-01 09:59'",
    ),
    "never recorded": ({"recorded_at": None}, "recorded_at: missing"),
    "several reasons": (
        {"unit_id": "", "started_at": "x" * 100, "recorded_at": "1999-13-01"},
        f"unit_id: missing; started_at: not a time of Europe/Berlin (format ISO8601): '{'x' * 80}'; "
        "recorded_at: not a time of Europe/Berlin (format ISO8601): '1999-13-01'",
    ),
}


@pytest.mark.parametrize(("changed", "expected"), BAD_VISITS.values(), ids=BAD_VISITS.keys())
def test_why_a_visit_is_refused(changed, expected):
    assert reason(VISIT | changed, visits()) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"machine": None},
        {"ended_at": None},
        {"started_at": "1990-01-01 01:00", "ended_at": None},
        {"started_at": "2025-06-02 14:00", "ended_at": None, "recorded_at": "2025-06-02 14:00"},
        {"recorded_at": "2025-05-01 10:05"},
        {"ended_at": "2025-05-01 10:00"},
        {"recorded_at": "2025-05-01T08:05:00Z"},
        {"recorded_at": "2025-05-01T13:35:00+05:30"},
    ],
    ids=str,
)
def test_what_just_fits_is_not_refused(changed):
    assert reason(VISIT | changed, visits()) == ""


@pytest.mark.parametrize("value", ["1,5", "n/a", "inf", "NaN", "1.5 kN"])
def test_what_is_no_number_is_refused(value):
    assert reason(READING | {"value": value}, readings()) == f"value: not a finite number (decimal sign '.'): {value!r}"


def test_a_missing_value_is_refused_only_where_one_is_required():
    assert reason(READING | {"value": None}, readings()) == "value: missing"
    assert reason(INSPECTION | {"measured": None}, inspections()) == ""


@pytest.mark.parametrize("given", ["5", "0", "-0,2", "1,0001"])
def test_what_is_no_probability_of_having_been_selected_is_refused(given):
    assert reason(INSPECTION | {"probability": given}, inspections()) == (
        "probability: no probability of having been selected, expected above 0, and 1 at most (0.05 for 5 %): "
        f"{given!r}"
    )


@pytest.mark.parametrize("given", ["1", "0,000001", None])
def test_a_probability_may_be_certainty_and_may_be_missing(given):
    assert reason(INSPECTION | {"probability": given}, inspections()) == ""


def test_a_constant_probability_is_checked_too():
    assert reason(INSPECTION, inspections(constants={"probability": "10"})).startswith("probability: no probability")


def test_a_result_and_a_number_are_refused_in_the_order_of_the_columns():
    assert reason(INSPECTION | {"measured": "1.5", "passed": "perhaps"}, inspections()) == (
        "passed: not a result such as OK or NOK: 'perhaps'; measured: not a finite number (decimal sign ','): '1.5'"
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_typed_numbers_must_be_finite_too(value):
    raw = pd.DataFrame([READING]).assign(value=value, occurred_at=pd.Timestamp("2025-05-01 10:00"))
    _, reasons = check(raw, readings(), NOW)
    assert reasons.tolist() == [f"value: not a finite number (decimal sign '.'): '{value}'"]


def test_typed_columns_are_read_by_what_they_are():
    raw = pd.DataFrame(
        {
            "unit_id": pd.Series([4711, 4712], dtype="Int64"),
            "station": ["mill", "mill"],
            "tag": [7.0, 8.0],
            "occurred_at": pd.to_datetime(["2025-05-01 10:00", "2025-05-01 11:00"]),
            "value": [1.5, 2.0],
        }
    )
    rows, reasons = check(raw, readings(timezone="Europe/Berlin"), NOW)
    assert reasons.tolist() == ["", ""]
    assert rows["unit_id"].tolist() == ["4711", "4712"]
    assert rows["tag"].tolist() == ["7", "8"]
    assert rows["occurred_at"].tolist() == [pd.Timestamp("2025-05-01 08:00Z"), pd.Timestamp("2025-05-01 09:00Z")]


@pytest.mark.parametrize("flag", [pd.Series([True, False]), pd.Series(["ok", "NOK"]), pd.Series([1, 0])])
def test_results_are_flags_in_the_table(flag):
    rows, reasons = check(
        as_text(INSPECTION, INSPECTION).reset_index(drop=True).assign(passed=flag), inspections(), NOW
    )
    assert reasons.tolist() == ["", ""]
    assert rows["passed"].tolist() == [True, False]


def test_rows_keep_their_numbers_and_reasons_theirs():
    raw = as_text(READING, READING | {"value": "x"}, READING)
    raw.index = pd.Index([3, 7, 9])
    rows, reasons = check(raw, readings(), NOW)
    assert rows.index.tolist() == [3, 7, 9]
    assert reasons[reasons != ""].index.tolist() == [7]


def test_a_file_without_rows_has_the_table_s_types():
    rows, reasons = check(as_text(VISIT).iloc[:0], visits(), NOW)
    assert len(rows) == len(reasons) == 0
    assert rows["recorded_at"].dtype == "datetime64[us, UTC]"


def test_a_declared_delay_makes_the_second_clock():
    rows, _ = check(as_text(READING), readings(delay="10 min"), NOW)
    assert rows["recorded_at"].loc[1] - rows["occurred_at"].loc[1] == timedelta(minutes=10)


def test_a_visit_happens_when_it_ends_and_until_then_when_it_started():
    rows, _ = check(as_text(VISIT, VISIT | {"ended_at": None}), visits(), NOW)
    assert rows["occurred_at"].tolist() == [pd.Timestamp("2025-05-01 08:05Z"), pd.Timestamp("2025-05-01 08:00Z")]


def test_in_the_hour_that_comes_twice_nothing_is_known_too_early():
    """Without an offset, 02:30 is 00:30 or 01:30 UTC."""
    row = VISIT | {"started_at": "2025-10-26 02:10", "ended_at": "2025-10-26 02:30", "recorded_at": "2025-10-26 02:31"}
    rows, reasons = check(as_text(row), visits(), NOW + pd.Timedelta("365D"))
    assert reasons.tolist() == [""]
    assert rows.loc[1, ["started_at", "ended_at", "recorded_at"]].tolist() == [
        pd.Timestamp("2025-10-26 00:10Z"),
        pd.Timestamp("2025-10-26 00:30Z"),
        pd.Timestamp("2025-10-26 01:31Z"),
    ]


def test_with_a_delay_too_nothing_of_the_hour_that_comes_twice_is_known_too_early():
    now = NOW + pd.Timedelta("365D")
    moments = ["2025-10-26 01:59", "2025-10-26 02:30", "2025-10-26 03:00", "2025-10-26T02:30+02:00"]
    raw = as_text(*(READING | {"occurred_at": one} for one in moments))
    rows, _ = check(raw, readings(timezone="Europe/Berlin"), now)
    assert (rows["recorded_at"] - rows["occurred_at"]).tolist() == [
        pd.Timedelta(one) for one in ("10 min", "70 min", "10 min", "10 min")
    ]
    typed = pd.DataFrame([READING]).assign(occurred_at=pd.Timestamp("2025-10-26 02:30"))
    rows, _ = check(typed, readings(timezone="Europe/Berlin", shift="1 h"), now)
    assert rows.loc[0, ["occurred_at", "recorded_at"]].tolist() == [
        pd.Timestamp("2025-10-26 01:30Z"),
        pd.Timestamp("2025-10-26 02:40Z"),
    ]


def test_with_a_delay_a_stay_that_ends_in_the_hour_that_comes_twice_is_known_by_its_later_end():
    stay = {"started_at": "2025-10-26 01:30", "ended_at": "2025-10-26 02:30"}
    raw = as_text(VISIT | stay, VISIT | stay | {"started_at": "2025-10-26 02:10", "ended_at": None})
    source = Source.model_validate({"table": "visits", "path": "v.csv", "timezone": "Europe/Berlin", "delay": "0 s"})
    rows, reasons = check(raw.drop(columns="recorded_at"), source, NOW + pd.Timedelta("365D"))
    assert reasons.tolist() == ["", ""]
    assert rows["occurred_at"].tolist() == [pd.Timestamp("2025-10-26 00:30Z"), pd.Timestamp("2025-10-26 00:10Z")]
    assert rows["recorded_at"].tolist() == [pd.Timestamp("2025-10-26 01:30Z"), pd.Timestamp("2025-10-26 01:10Z")]


def test_a_stay_over_the_repeated_hour_ends_after_it_started():
    row = VISIT | {"started_at": "2025-10-26 02:55", "ended_at": "2025-10-26 02:05", "recorded_at": "2025-10-26 02:06"}
    rows, reasons = check(as_text(VISIT, row), visits(), NOW + pd.Timedelta("365D"))
    assert reasons.tolist() == ["", ""]
    assert rows.loc[2, "started_at"] == pd.Timestamp("2025-10-26 00:55Z")
    assert rows.loc[2, "ended_at"] == pd.Timestamp("2025-10-26 01:05Z")
    assert rows.loc[1, "ended_at"] == pd.Timestamp("2025-05-01 08:05Z")


def test_the_plant_s_names_are_mapped_and_constants_filled_in():
    raw = as_text({"serial": "u1", "ts": "2025-05-01", "v": "3"})
    source = readings(
        columns={"unit_id": "serial", "occurred_at": "ts", "value": "v"}, constants={"station": "mill", "tag": "load"}
    )
    rows, reasons = check(raw, source, NOW)
    assert reasons.tolist() == [""]
    assert rows[["unit_id", "station", "tag", "value"]].loc[1].tolist() == ["u1", "mill", "load", 3.0]


def test_a_constant_is_taken_before_a_column_of_that_name():
    rows, _ = check(as_text(READING), readings(constants={"station": "oven"}), NOW)
    assert rows["station"].tolist() == ["oven"]


def test_the_optional_part_of_a_key_is_empty_rather_than_missing():
    source = Source.model_validate({"table": "tags", "path": "t.csv", "delay": "0 s"})
    raw = as_text({"station": "mill", "tag": "load", "product": None, "valid_from": "2025-01-01"})
    rows, reasons = check(raw, source, NOW)
    assert reasons.tolist() == [""]
    assert rows["product"].tolist() == [""]


def test_all_missing_columns_are_told_with_those_there_are():
    raw = as_text({"serial": "u1", "tag": "load", "time": "2025-05-01", "value": "1"})
    with pytest.raises(SourceError) as error:
        check(raw, readings(columns={"unit_id": "serial", "occurred_at": "ts"}), NOW)
    assert str(error.value) == (
        "columns missing for readings: station, ts. Found: serial, tag, time, value. Give the plant's names under "
        "columns, or a fixed value under constants, of the source in line.toml."
    )


def test_a_mapped_column_must_be_there_even_if_the_table_could_do_without():
    with pytest.raises(SourceError, match=r"^columns missing for visits: equipment\. Found: unit_id, "):
        check(as_text(VISIT), visits(columns={"recorded_at": "recorded_at", "machine": "equipment"}), NOW)


def test_a_single_column_hints_at_the_separator():
    with pytest.raises(SourceError, match=r"Found: unit_id;station;tag\. .* Or is ',' not its separator\?$"):
        check(as_text({"unit_id;station;tag": "u1;mill;load"}), readings(), NOW)


@pytest.mark.parametrize("kind", ["columns", "constants"])
def test_a_mapping_of_what_the_table_does_not_have_is_told_with_the_nearest(kind):
    with pytest.raises(SourceError) as error:
        columns_of(readings(**{kind: {"valu": "v", "zone": "z"}}))
    assert str(error.value) == (
        "source of readings: columns, constants, values or normalise name valu, zone, which readings does not "
        "have. The nearest to valu is value; known are unit_id, machine, station, tag, occurred_at, value."
    )


def test_a_delay_and_recorded_at_exclude_each_other():
    assert "recorded_at" in [column.name for column in columns_of(visits())]
    assert "recorded_at" not in [column.name for column in columns_of(readings())]


@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_its_clocks_and_its_key(name):
    table = TABLES[name]
    assert set(table.key) <= set(table.schema.names)
    assert {"occurred_at", "recorded_at", "ingested_at", "file_id"} <= set(table.schema.names)
    assert set(table.key).isdisjoint(table.values)
    assert len(set(table.schema.names)) == len(table.schema.names)


def test_date_and_time_stand_in_two_columns_and_a_range_is_no_time():
    source = readings(columns={"occurred_at": ["Date", "Time"]}, timezone="Europe/Berlin")
    row = {name: text for name, text in READING.items() if name != "occurred_at"} | {"Date": "2025-05-01"}
    rows, reasons = check(
        as_text(row | {"Time": "13:30"}, row | {"Time": "13:30-14:00"}, row | {"Time": None}), source, NOW
    )
    assert rows.loc[1, "occurred_at"] == pd.Timestamp("2025-05-01 11:30Z")
    assert reasons.tolist() == [
        "",
        "occurred_at: not a time of Europe/Berlin (format ISO8601): '2025-05-01 13:30-14:00'",
        "occurred_at: missing",
    ]


def test_a_time_that_is_a_number_out_of_range_is_a_reason():
    row = READING | {"occurred_at": "1" * 30}
    assert reason(row, readings(time_format="epoch ms", timezone="Europe/Berlin")) == (
        f"occurred_at: not a time of UTC (format epoch ms): '{'1' * 30}'"
    )


def test_names_become_those_of_other_systems_and_an_empty_one_is_refused():
    source = readings(normalise={"unit_id": ["remove prefix SN-", "upper"]})
    rows, reasons = check(as_text(READING | {"unit_id": "SN-a1"}, READING | {"unit_id": "SN-"}), source, NOW)
    assert rows.loc[1, "unit_id"] == "A1"
    assert reasons.loc[2].startswith("unit_id: nothing is left of it after normalise: 'SN-'")


def test_rules_for_names_go_with_text_of_the_table():
    with pytest.raises(SourceError, match="normalise name zone, which readings does not have"):
        columns_of(readings(normalise={"zone": ["upper"]}))
    with pytest.raises(SourceError) as error:
        columns_of(readings(normalise={"value": ["upper"]}))
    assert str(error.value) == (
        "source of readings: normalise names value, expected columns of text: unit_id, machine, station, tag."
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"unit_id": None, "station": None}, ""),
        ({"machine": None}, ""),
        ({"unit_id": None, "machine": None}, "unit_id: missing, and machine too: expected one of them"),
        ({"station": None}, "station: missing, expected where there is a unit_id"),
    ],
)
def test_a_reading_is_of_a_unit_at_a_station_or_of_a_machine(changed, expected):
    row = READING | {"machine": "M1"} | changed
    rows, reasons = check(as_text(row), readings(), NOW)
    assert reasons.tolist() == [expected]
    assert not rows[["unit_id", "machine", "station"]].isna().any(axis=None)


@pytest.mark.parametrize(
    ("measured", "lower", "upper", "passed", "expected"),
    [
        ("1,5", "1,5", "2", True, ""),
        ("2", "1,5", "2", True, ""),
        ("1,4", "1,5", None, False, ""),
        ("2,1", None, "2", False, ""),
        (None, "1", "2", None, "passed: not given, and no measured value to tell it from"),
        ("1", None, None, None, "passed: not given, and no limit (lower, upper) to tell it from"),
        ("x", "1", "2", None, "measured: not a finite number (decimal sign ','): 'x'"),
    ],
)
def test_without_verdicts_the_limits_tell(measured, lower, upper, passed, expected):
    row = INSPECTION | {"measured": measured, "lower": lower, "upper": upper}
    del row["passed"]
    rows, reasons = check(as_text(row), inspections(), NOW)
    assert reasons.tolist() == [expected]
    assert rows["passed"].tolist() == [pd.NA if passed is None else passed]


def test_limits_may_be_constants_and_verdicts_without_measured_values_are_missing():
    row = {name: text for name, text in INSPECTION.items() if name != "passed"}
    rows, _ = check(as_text(row), inspections(constants={"upper": "1,4"}), NOW)
    assert rows["passed"].tolist() == [False]
    del row["measured"]
    with pytest.raises(SourceError, match="^columns missing for inspections: passed\\."):
        check(as_text(row), inspections(), NOW)
