import pandas as pd
import pytest

from qma_predict.data.contract import check
from qma_predict.line import Source

NOW = pd.Timestamp("2025-06-01 12:00", tz="UTC")
READING = {"unit_id": "u1", "station": "oven", "tag": "temp", "occurred_at": "2025-05-01 10:00", "value": "212"}
TAG = {
    "station": "oven",
    "tag": "temp",
    "valid_from": "2025-01-01",
    "unit": "degF",
    "set_point": "212",
    "lower": "32",
    "upper": "",
    "plausible_low": "-40",
    "plausible_high": "392",
}


def taken(rows: list[dict], kept: dict, table: str = "readings", **rules) -> tuple[pd.DataFrame, list[str]]:
    source = Source.model_validate({"table": table, "path": "r.csv", "delay": "0 s"} | rules)
    rows, reasons = check(pd.DataFrame(rows, dtype="str"), source, NOW, kept)
    return rows, reasons.tolist()


def test_a_unit_declared_for_both_converts():
    rows, reasons = taken([READING, READING | {"tag": "load"}], {"oven.temp": "degC"}, units={"*": "degF"})
    assert reasons == ["", ""]
    assert rows["value"].tolist() == [100.0, 212.0]  # the line keeps load in nothing: as it comes


@pytest.mark.parametrize(("units", "rules"), [({}, {"units": {"*": "degF"}}), ({"*": "degC"}, {})])
def test_a_unit_declared_for_one_alone_changes_nothing(units, rules):
    rows, reasons = taken([READING], units, **rules)
    assert reasons == [""]
    assert rows["value"].tolist() == [212.0]


def test_each_row_may_say_its_unit_which_goes_before_the_source_s():
    given = [READING | {"u": unit} for unit in ("degF", "degC", None)]
    rows, reasons = taken(given, {"*": "degC"}, columns={"unit": "u"}, units={"temp": "K"})
    assert reasons == ["", "", ""]
    assert rows["value"].tolist() == [100.0, 212.0, pytest.approx(-61.15)]
    assert "unit" not in rows


@pytest.mark.parametrize(
    ("unit", "units", "expected"),
    [
        ("bar", {"*": "degC"}, "unit: found 'bar', which contradicts 'degC', in which line.toml keeps oven.temp"),
        ("warm", {"*": "degC"}, "unit: found 'warm', not a known unit of measure; line.toml keeps oven.temp in 'degC'"),
        ("degF", {}, "unit: found 'degF', but line.toml declares no unit for oven.temp: declare it under units"),
        (None, {"*": "degC"}, "unit: missing, expected one to convert to 'degC', in which line.toml keeps oven.temp"),
        (None, {}, ""),
    ],
)
def test_a_row_s_unit_that_does_not_fit_refuses_the_row_alone(unit, units, expected):
    rows = [READING | {"unit": unit}, READING | {"tag": "other", "unit": "mm"}]
    assert taken(rows, {"*.other": "mm"} | units, columns={"unit": "unit"})[1] == [expected, ""]


def test_a_declared_unit_that_contradicts_refuses_too():
    assert taken([READING], {"*": "degC"}, units={"*": "bar"})[1] == [
        "unit: found 'bar', which contradicts 'degC', in which line.toml keeps oven.temp"
    ]


def test_a_reading_without_a_station_has_an_empty_one_in_the_pattern():
    row = {name: text for name, text in READING.items() if name not in ("unit_id", "station")} | {"machine": "M1"}
    for pattern, expected in (("*.temp", 100.0), ("*", 100.0), ("oven.*", 212.0)):
        rows, reasons = taken([row], {pattern: "degC"}, units={"*": "degF"})
        assert reasons == [""]
        assert rows["value"].tolist() == [expected]


def test_the_plant_s_words_for_units_are_mapped():
    given = READING | {"unit": "F"}
    rows, reasons = taken([given], {"*": "degC"}, columns={"unit": "unit"}, values={"unit": {"F": "degF"}})
    assert (reasons, rows["value"].tolist()) == ([""], [100.0])


def test_a_number_too_large_for_the_other_unit_is_refused():
    _, reasons = taken([READING | {"value": "1e308"}], {"*": "mm"}, units={"*": "km"})
    assert reasons == ["value: not a finite number in 'mm': '1e+308'"]


def test_limits_of_a_tag_are_converted_and_its_unit_becomes_the_line_s():
    rows, reasons = taken([TAG, TAG | {"tag": "x"}], {"*.temp": "degC"}, "tags")
    assert reasons == ["", ""]
    names = ["set_point", "lower", "plausible_low", "plausible_high", "unit"]
    assert rows.loc[0, names].tolist() == [100.0, 0.0, -40.0, 200.0, "degC"]
    assert rows["upper"].isna().all()
    assert rows.loc[1, names].tolist() == [212.0, 32.0, -40.0, 392.0, "degF"]


def test_a_tag_without_a_unit_is_taken_as_it_is_and_one_that_contradicts_is_refused():
    rows, reasons = taken([TAG | {"unit": None}, TAG | {"unit": "bar"}], {"*": "degC"}, "tags")
    assert reasons == ["", "unit: found 'bar', which contradicts 'degC', in which line.toml keeps oven.temp"]
    assert rows["set_point"].tolist() == [212.0, 212.0]
    assert pd.isna(rows.loc[0, "unit"])
