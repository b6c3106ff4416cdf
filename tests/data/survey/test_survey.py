"""Each trouble by a small line that has exactly that one; and a line without any, which is left in peace."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from qma_predict.data.survey import Survey, survey
from qma_predict.line import load_line

LINE = """
name = "small"
title = "Small line"
plant = "Test plant"
timezone = "UTC"
route = ["press", "oven"]
prediction = { after = "oven", grace = "15 min" }
gate = { name = "final", characteristics = ["leak"], maturity = "2 d" }
candidates = { max_age = "3 d" }
list = { as_of = "05:00", capacity = 2 }
sources = [
    { table = "units", path = "units.csv", delay = "1 min" },
    { table = "visits", path = "visits.csv", delay = "1 min" },
    { table = "readings", path = "readings.csv", delay = "1 min" },
    { table = "events", path = "events.csv", delay = "1 min" },
    { table = "inspections", path = "inspections.csv", delay = "1 min", constants = { gate = "final" } },
]
"""
NOW = pd.Timestamp("2025-12-01 12:00", tz="UTC")
UNITS = 120
"""One an hour for five days: pressed for half an hour, half an hour in the oven, inspected three hours later."""

Tables = dict[str, pd.DataFrame]


def tables(first: str = "2025-05-01", units: int = UNITS) -> Tables:
    """Files of the line by name, as frames."""
    hour = pd.Timedelta("1h")
    made = pd.Timestamp(first) + hour * pd.RangeIndex(units)
    unit = [f"SN-{n:04}" for n in range(units)]
    wave = [round(20 + 0.37 * (n * 7 % 23), 2) for n in range(units)]
    press = {"unit_id": unit, "station": "press", "machine": "M1", "started_at": made, "ended_at": made + 0.5 * hour}
    oven = {
        **{"unit_id": unit, "station": "oven", "machine": "O1"},
        **{"started_at": made + 0.5 * hour, "ended_at": made + 0.9 * hour},
    }
    return {
        "units": pd.DataFrame({"unit_id": unit, "product": "A", "occurred_at": made}),
        "visits": pd.concat([pd.DataFrame(press), pd.DataFrame(oven)], ignore_index=True),
        "readings": pd.DataFrame(
            {"unit_id": unit, "station": "press", "tag": "temp", "occurred_at": made + 0.2 * hour, "value": wave}
        ),
        "events": pd.DataFrame({"machine": ["M1", "O1"], "kind": "maintenance", "occurred_at": made[[3, 9]]}),
        "inspections": pd.DataFrame(
            {
                **{"unit_id": unit, "characteristic": "leak", "occurred_at": made + 4 * hour},
                "passed": ["NOK" if n % 9 == 4 else "OK" for n in range(units)],
            }
        ),
    }


@pytest.fixture
def surveyed(tmp_path: Path) -> Callable[..., Survey]:
    """Return `surveyed(files, old="", new="")`: the survey of these files, by the line with `old` replaced."""

    def look(files: Tables, old: str = "", new: str = "", now: pd.Timestamp = NOW) -> Survey:
        assert old in LINE
        (tmp_path / "line.toml").write_text(LINE.replace(old, new) if old else LINE)
        for name, frame in files.items():
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        return survey(load_line(tmp_path), now=now)

    return look


def test_a_line_without_trouble_has_no_findings_and_its_counts_add_up(surveyed):
    found = surveyed(tables())
    assert found.findings == ()
    assert found.problems == ()
    assert found.useful
    assert found.tables.set_index("table")["accepted"].to_dict() == {
        **{"units": 120, "visits": 240, "readings": 120, "events": 2, "inspections": 120}
    }
    assert (found.tables["rows"] == found.tables["accepted"]).all()
    coverage = found.coverage.set_index("what")
    assert coverage.loc["inspected units that left oven"].tolist() == [120, 120]
    assert coverage.loc["inspected units with readings of their own"].tolist() == [120, 120]
    # 120 units, of which those with n % 9 = 4 fail: 4, 13, ..., 112 are 13
    assert found.labels.iloc[0][["units", "defects", "good", "missing"]].tolist() == [120, 13, 107, 0]
    assert set(found.clocks["median"]) == {pd.Timedelta("1min")}
    assert found.clocks["late"].sum() == 0


def renamed(files, table, column, change):
    files[table][column] = [change(one) for one in files[table][column]]


def gone(files, table):
    files[table] = files[table].iloc[:0]


def first_values(files, *values):
    files["readings"].loc[: len(values) - 1, "value"] = list(values)


def second_tag(files, rows, value=1.0):
    extra = files["readings"].head(rows).assign(tag="flow", value=value)
    files["readings"] = pd.concat([files["readings"], extra], ignore_index=True)


def moved(files, table, columns, rows, span):
    for column in columns:
        files[table].loc[rows, column] += pd.Timedelta(span)


TROUBLES = {
    "nobody leaves the prediction station": (
        lambda files: files.update(visits=files["visits"][files["visits"]["station"] == "press"]),
        {"no prediction points", "few matches", "machine never visited"},
        "stations seen: press (120 units)",
    ),
    "a gate of another name": (
        None,
        {"gate never occurs"},
        "gate end never occurs; seen: final/leak (120 units)",
    ),
    "a characteristic of another name": (
        lambda files: renamed(files, "inspections", "characteristic", lambda one: "size"),
        {"characteristic never occurs"},
        "characteristic leak never occurs at gate final; seen: final/size (120 units)",
    ),
    "a station that is not on the route": (
        lambda files: renamed(files, "readings", "station", lambda one: "Press 1"),
        {"station not on the route", "keys never match"},
        "readings of station Press 1, which no unit visits",
    ),
    "units in small letters": (
        lambda files: renamed(files, "readings", "unit_id", str.lower),
        {"few matches", "keys would match"},
        "readings.unit_id: 0 of 120 names match (sn-0000, sn-0001 against SN-0000, SN-0001), 120 would",
    ),
    "units without their prefix": (
        lambda files: renamed(files, "readings", "unit_id", lambda one: one[3:]),
        {"few matches", "keys would match"},
        'normalise = { unit_id = ["add prefix SN-"] } in the source of readings',
    ),
    "machines with a blank": (
        lambda files: renamed(files, "events", "machine", lambda one: f"{one[0]} {one[1]}"),
        {"machine never visited", "keys would match"},
        'normalise = { machine = ["remove blanks"] } in the source of events',
    ),
    "units that nobody knows": (
        lambda files: renamed(files, "readings", "unit_id", lambda one: f"{hash(one)}x"),
        {"few matches", "keys never match"},
        "readings.unit_id: none of 120 names is known elsewhere",
    ),
    "a sentinel once": (
        lambda files: first_values(files, -9999),
        {"sentinel value"},
        "tag press.temp is -9999 in 1 of 120 rows, the next value is 20",
    ),
    "an unknown value that repeats far away": (
        lambda files: first_values(files, *[850] * 6),
        {"sentinel value"},
        "tag press.temp is 850 in 6 of 120 rows, the next value is 28.14",
    ),
    "points for thousands read as decimal ones": (
        lambda files: first_values(files, *(n if n < 1000 else n / 1000 for n in range(801, 801 + 3 * UNITS, 3))),
        {"thousands read as decimals"},
        "tag press.temp is whole in 67 of 120 rows and else has decimals as 1.158",
    ),
    "a constant tag": (
        lambda files: second_tag(files, UNITS),
        {"constant tag"},
        "tag press.flow is always 1 (120 rows)",
    ),
    "a tag that most units lack": (
        lambda files: second_tag(files, 12, [0.1 * n for n in range(12)]),
        {"mostly empty tag"},
        "tag press.flow is missing for 108 of 120 units with readings there",
    ),
    "degrees Fahrenheit among Celsius": (
        lambda files: files["readings"].update(files["readings"].loc[60:, ["value"]] * 1.8 + 32),
        {"two units in one tag"},
        "as degC and degF differ",
    ),
    "a time long before the rest": (
        lambda files: moved(files, "readings", ["occurred_at"], [5], "-4000D"),
        {"times long before the rest"},
        "readings: 1 rows long before the rest, such as 2014-05",
    ),
    "a stay that ends after the next began": (
        lambda files: moved(files, "visits", ["ended_at"], [7], "10min"),
        {"a unit at two stations at once"},
        "1 of 240 stays end after the unit came to the next station, such as SN-0007 at press and oven",
    ),
    "a machine with two units once": (
        lambda files: moved(files, "visits", ["started_at", "ended_at"], [UNITS + 7], "50min"),
        {"a machine holds two units"},
        "machine O1 holds two units at once in 1 of 120 stays",
    ),
    "results before the unit was made": (
        lambda files: moved(files, "inspections", ["occurred_at"], slice(None), "-4h"),
        {"result before the cutoff"},
        "120 of 120 units have a result by their cutoff already",
    ),
    "results after the maturity": (
        lambda files: moved(files, "inspections", ["occurred_at"], slice(0, 11), "3D"),
        {"maturity too short"},
        "12 of 120 results came later than gate.maturity",
    ),
    "no defects": (
        lambda files: renamed(files, "inspections", "passed", lambda one: "OK"),
        {"no defects"},
        "none of 120 judged units is a defect",
    ),
    "good and bad swapped": (
        lambda files: renamed(files, "inspections", "passed", lambda one: "OK" if one == "NOK" else "NOK"),
        {"more defects than good"},
        "107 of 120 judged units are defects",
    ),
    "texts in numbers": (
        lambda files: files.update(
            readings=files["readings"].assign(value=["high", "low", *files["readings"]["value"].tolist()[2:]])
        ),
        {"rows refused"},
        "readings: 2 of 120 rows refused: value: not a finite number (decimal sign '.')",
    ),
    "a table that is refused as a whole": (
        lambda files: renamed(files, "events", "occurred_at", lambda one: "soon"),
        {"nothing accepted"},
        "events: no row of 2 is accepted",
    ),
}


@pytest.mark.parametrize(("spoil", "kinds", "words"), TROUBLES.values(), ids=TROUBLES)
def test_a_trouble_is_found_and_nothing_else(surveyed, spoil, kinds, words):
    files = tables()
    if spoil is None:
        found = surveyed(files, 'name = "final"', 'name = "end"')
    else:
        spoil(files)
        found = surveyed(files)
    assert {one.kind for one in found.findings} == kinds
    assert any(words in f"{one.what} {one.do}" for one in found.findings), found.findings


def test_times_in_the_future_are_told_whether_refused_or_not(surveyed):
    files = tables()
    moved(files, "readings", ["occurred_at"], [0], "300D")
    moved(files, "readings", ["occurred_at"], [119], "1h")
    found = surveyed(files, now=pd.Timestamp("2025-05-05 23:30", tz="UTC"))
    told = [one.what for one in found.findings if "future" in one.kind + one.what]
    assert any("1 of 120 rows refused: occurred_at: impossible time, in the future" in what for what in told)
    assert any(what.startswith("readings: 1 rows happened in the future (up to 2025-05-06 00:12") for what in told)


def test_rows_after_the_cutoff_are_counted_with_the_grace_that_would_take_them(surveyed):
    old = 'path = "readings.csv", delay = "1 min"'
    found = surveyed(tables(), old, 'path = "readings.csv", delay = "3 h"')
    assert [one.kind for one in found.findings] == ["cutoff too early"]
    [one] = found.findings
    assert one.count == 120
    assert one.do == "prediction.grace of 3 h or more"


def local_year(hours_between: float = 0.1) -> pd.DataFrame:
    """Readings all through the nights around the end of summer time, as Berlin's clocks show them."""
    moments = pd.date_range("2025-10-20", "2025-11-02", freq=pd.Timedelta(hours=hours_between), tz="UTC")
    local = moments.tz_convert("Europe/Berlin").tz_localize(None)
    return pd.DataFrame(
        {
            **{"unit_id": [f"SN-{n:04}" for n in range(len(local))], "station": "press", "tag": "temp"},
            **{"occurred_at": local, "value": [n * 7 % 23 for n in range(len(local))]},
        }
    )


def test_an_hour_that_is_doubled_in_autumn_is_a_sign_of_a_wrong_zone(surveyed):
    found = surveyed(tables() | {"readings": local_year()})
    told = [one for one in found.findings if one.kind == "clock change in the data"]
    assert [one.what for one in told] == [
        "readings: the hour of 2025-10-26 02:00 (UTC) is doubled, as clocks of Europe/Berlin would do"
    ]
    assert told[0].do == 'timezone = "Europe/Berlin" of the source?'
    old = 'path = "readings.csv", delay = "1 min"'
    right = surveyed(tables() | {"readings": local_year()}, old, f'{old}, timezone = "Europe/Berlin"')
    assert not [one for one in right.findings if one.kind == "clock change in the data"]


def test_an_hour_that_is_missing_in_spring_is_a_sign_too(surveyed):
    moments = pd.date_range("2025-03-24", "2025-04-05", freq="6min", tz="UTC")
    local = moments.tz_convert("Europe/Berlin").tz_localize(None)
    readings = local_year().head(len(local)).assign(occurred_at=local[: len(local_year())])
    found = surveyed(tables("2025-03-24") | {"readings": readings})
    told = [one.what for one in found.findings if one.kind == "clock change in the data"]
    assert told == ["readings: the hour of 2025-03-30 02:00 (UTC) is missing, as clocks of Europe/Berlin would do"]


def test_readings_of_machines_count_as_matched_during_a_visit_only(surveyed):
    files = tables()
    readings = files["readings"].drop(columns=["unit_id", "station"]).assign(machine="M1")
    moved({"readings": readings}, "readings", ["occurred_at"], slice(60, None), "25min")  # after the press
    found = surveyed(files | {"readings": readings})
    coverage = found.coverage.set_index("what")
    assert coverage.loc["readings of machines during a visit"].tolist() == [120, 60]
    assert [one.what for one in found.findings] == ["readings of machines during a visit: 60 of 120"]


def test_lots_that_are_units_are_counted(surveyed, tmp_path):
    (tmp_path / "materials.csv").write_text(
        "unit_id,lot_id,occurred_at\nSN-0001,SN-0000,2025-05-01 02:00:00\nSN-0002,L7,2025-05-01 03:00:00\n"
    )
    source = 'sources = [\n    { table = "materials", path = "materials.csv", delay = "0 s" },'
    found = surveyed(tables(), "sources = [", source)
    assert found.coverage.set_index("what").loc["lots that are units themselves"].tolist() == [2, 1]


def test_sources_that_cannot_be_read_block_and_nothing_read_is_not_useful(surveyed, tmp_path):
    found = surveyed({})
    assert not found.useful
    assert {one.kind for one in found.of("blocks")} >= {"source not read", "no prediction points", "gate never occurs"}
    assert len(found.problems) == 5
    assert str(tmp_path / "visits.csv") in " ".join(found.problems)
    assert found.findings[0].weight == "blocks"


def test_the_survey_leaves_nothing_behind(surveyed, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = {path.name for path in tmp_path.iterdir()}
    surveyed(tables())
    assert list(scratch.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} - before == {
        "line.toml",
        *(f"{name}.csv" for name in tables()),
    }
