"""Wrong files, wrong lines, wrong homes, through the command a user types: words and an exit code, never a traceback.

Whatever is wrong, every row of a file that was read is taken, a duplicate or quarantined with its place, a file that
cannot be read leaves nothing behind, and once the input is mended the same command completes the lake.
"""

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import app
from qma_predict.data.lake import Lake
from qma_predict.home import FORMAT
from qma_predict.publish.lists import bundle

LINE = """
name = "small"
title = "Small line"
plant = "Test plant"
timezone = "UTC"
route = ["press"]
variables = ["QMA_DATA"]
prediction = { after = "press", grace = "0 s" }
gate = { name = "final", characteristics = ["leak"], maturity = "2 d" }
candidates = { max_age = "3 d" }
list = { as_of = "05:00", capacity = 2 }
learning = { recipe = "logistic", families = ["readings"], blocks = 1, block = "7 d" }
sources = [
    { table = "visits", path = "${QMA_DATA}/visits.csv", delay = "0 s", constants = { station = "press" } },
    { table = "readings", path = "${QMA_DATA}/readings.csv*", delay = "0 s", constants = { station = "press" } },
    { table = "inspections", path = "${QMA_DATA}/inspections.csv", delay = "0 s", constants = { gate = "final" } },
]
"""
BOOKED = ["rows", "accepted", "duplicates", "quarantined"]
HELD = ["visits", "readings", "inspections"]


class Plant(NamedTuple):
    """A line's folder, its data and a home, and the command on them."""

    line: Path
    data: Path
    home: Path
    run: Callable[..., Result]

    def lake(self) -> Lake:
        return Lake(self.home / "lake" / "small")


def write(data: Path, units: int, *, a_day: int = 12, defect_every: int = 9) -> None:
    """Files of a line from May on; every so manieth unit fails a day after it was made."""
    made = pd.Timestamp("2025-05-01 06:00") + pd.Timedelta("1h") * (pd.RangeIndex(units) % a_day)
    made += pd.Timedelta("1D") * (pd.RangeIndex(units) // a_day)
    unit = [f"u{n}" for n in range(units)]
    result = ["NOK" if defect_every and n % defect_every == defect_every - 1 else "OK" for n in range(units)]
    hour = pd.Timedelta("1h")
    tables = {
        "visits": {"unit_id": unit, "started_at": made, "ended_at": made + hour},
        "readings": {
            "unit_id": unit,
            "tag": "force",
            "occurred_at": made,
            "value": [n % 7 + 0.5 for n in range(units)],
        },
        "inspections": {
            **{"unit_id": unit, "characteristic": "leak", "occurred_at": made + 24 * hour, "passed": result},
        },
    }
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(data / f"{name}.csv", index=False)


@pytest.fixture
def plant(tmp_path, monkeypatch) -> Plant:
    """Six units, one of them a defect."""
    for name in ("line", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "line" / "line.toml").write_text(LINE)
    write(tmp_path / "data", 6, defect_every=6)
    monkeypatch.setenv("QMA_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # Prefect's handler keeps the stderr of the first runner
    home = tmp_path / "home"

    def run(command: str, *more: str) -> Result:
        done = CliRunner().invoke(app, ["--home", str(home), command, str(tmp_path / "line"), *more])
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert "Traceback" not in done.output
        return done

    return Plant(tmp_path / "line", tmp_path / "data", home, run)


def edited(old: str, new: str) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        assert old in content.decode()
        return content.replace(old.encode(), new.encode(), 1)

    return edit


def checked_lake(plant: Plant) -> None:
    """Every row of every file that was read is somewhere, and only once."""
    lake = plant.lake()
    book = lake.read("files")
    assert (book["rows"] == book[BOOKED[1:]].sum(axis=1)).all()
    assert len(lake.read("quarantine")) == book["quarantined"].sum()
    for name in HELD:
        assert len(lake.read(name)) == book.loc[book["table"] == name, "accepted"].sum()


MORNING = "u1,force,2025-05-01 07:00:00,1.5"

QUARANTINED = {
    "a text in a number": (edited("07:00:00,1.5", "07:00:00,high"), [(2, "value: not a finite number")]),
    "no number": (edited("07:00:00,1.5", "07:00:00,"), [(2, "value: missing")]),
    "a decimal comma": (
        edited("07:00:00,1.5", '07:00:00,"1,5"'),
        [(2, "value: not a finite number (decimal sign '.')")],
    ),
    "an impossible time": (edited("2025-05-01 07", "2025-02-30 07"), [(2, "occurred_at: not a time of UTC")]),
    "a time before there were any": (
        edited("2025-05-01 07", "1970-01-01 07"),
        [(2, "occurred_at: impossible time, be")],
    ),
    "a future date": (edited("2025-05-01 07", "2099-05-01 07"), [(2, "occurred_at: impossible time, in the future")]),
    "an unknown date format": (
        edited("2025-05-01 07:00:00", "5/1/2025 7 AM"),
        [(2, "occurred_at: not a time of UTC (f")],
    ),
    "no key": (edited(MORNING, MORNING[2:]), [(2, "unit_id: missing")]),
    "an error of a spreadsheet": (edited("u1,", "#N/A,"), [(2, "unit_id: an error of a spreadsheet")]),
    "a conflicting duplicate": (
        edited(MORNING, f"{MORNING}\n{MORNING}9"),
        [(2, "conflict: another row has the same key"), (3, "conflict: another row has the same key")],
    ),
    "a value too many": (edited(MORNING, f"{MORNING},9"), [(2, "expected 4 values as in the header, found 5")]),
    "cut in the middle of a row": (
        lambda content: content[: content.index(b"u1") + 20],
        [(2, "expected 4 values as in the header, found 3")],
    ),
    "cut inside quotes": (
        lambda content: content[: content.index(b"u1")] + b'u1,force,2025-05-01 07:00:00,"1',
        [(2, "the file ends inside quotes")],
    ),
}


@pytest.mark.parametrize(("damage", "places"), QUARANTINED.values(), ids=QUARANTINED)
def test_a_wrong_row_is_quarantined_with_its_place_and_the_mended_file_completes_the_lake(plant, damage, places):
    file = plant.data / "readings.csv"
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert plant.run("ingest").exit_code == 0
    checked_lake(plant)
    refused = plant.lake().read("quarantine").sort_values("row")
    assert refused["row"].tolist() == [row for row, _ in places]
    assert set(refused["path"]) == {str(file)}
    for found, (_, reason) in zip(refused["reason"], places, strict=True):
        assert found.startswith(reason)
    file.write_bytes(good)
    assert plant.run("ingest").exit_code == 0
    checked_lake(plant)
    assert sorted(plant.lake().read("readings")["unit_id"]) == ["u0", "u1", "u2", "u3", "u4", "u5"]
    assert "nothing new" in plant.run("ingest").output


def test_a_duplicate_is_counted_and_taken_once(plant):
    file = plant.data / "readings.csv"
    file.write_bytes(edited(MORNING, f"{MORNING}\n{MORNING}")(file.read_bytes()))
    done = plant.run("ingest")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2].split() == ["readings", "1", "7", "6", "1", "0"]
    checked_lake(plant)


def test_a_header_alone_is_a_file_without_rows(plant):
    file = plant.data / "readings.csv"
    file.write_text(file.read_text().split("\n")[0])
    done = plant.run("ingest")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2].split() == ["readings", "1", "0", "0", "0", "0"]
    checked_lake(plant)


REFUSED = {
    "a missing column": (
        "readings.csv",
        edited(",value", ",val"),
        ["columns missing for readings: value", "Found: unit"],
    ),
    "an empty file": ("readings.csv", lambda content: b"", ["the file is empty. Expected a whole CSV file in utf-8"]),
    "a file of blanks": ("readings.csv", lambda content: b"\n\n", ["the file is empty"]),
    "a wrong separator": (
        "readings.csv",
        lambda content: content.replace(b",", b";"),
        ["columns missing for readings", "Or is ',' not its separator?"],
    ),
    "a wrong encoding": (
        "readings.csv",
        lambda content: content.replace(b"u1", "\u00fc1".encode("latin-1")),
        ["cannot be read", "Expected a whole CSV file in utf-8"],
    ),
    "a repeated column": ("readings.csv", edited("tag", "unit_id"), ["columns named more than once: unit_id"]),
    "a cut gzip": ("readings.csv.gz", lambda content: gzip.compress(content * 50)[:-20], ["cannot be read"]),
    "no gzip": ("readings.csv.gz", lambda content: content, ["cannot be read"]),
}


@pytest.mark.parametrize(("name", "damage", "words"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_read_is_named_and_leaves_nothing_behind(plant, name, damage, words):
    good = (plant.data / "readings.csv").read_bytes()
    (plant.data / "readings.csv").unlink()
    (plant.data / name).write_bytes(damage(good))
    done = plant.run("ingest")
    assert done.exit_code == 4
    assert f"not read: {plant.data / name}: " in done.output
    for word in words:
        assert word in done.output
    checked_lake(plant)
    assert len(plant.lake().read("visits")) == 6  # what can be read is taken
    assert plant.lake().read("readings").empty
    (plant.data / name).unlink()
    (plant.data / "readings.csv").write_bytes(good)
    assert plant.run("ingest").exit_code == 0
    checked_lake(plant)
    assert len(plant.lake().read("readings")) == 6


def test_a_source_without_a_file_is_named_with_its_path(plant):
    (plant.data / "readings.csv").unlink()
    done = plant.run("ingest")
    assert done.exit_code == 4
    assert f"source of readings: no file matches {plant.data}/readings.csv*. Check the path" in done.output
    checked_lake(plant)


LINES = {
    "an unknown key": ("ingest", "capacity = 2", "capacty = 2", ["list.capacty: unknown key", "'capacity'"]),
    "a wrong value": ("ingest", 'as_of = "05:00"', "as_of = 5", ["list.as_of: found 5, expected a local time"]),
    "an unknown zone": ("ingest", 'timezone = "UTC"', 'timezone = "Mars"', ["timezone: found 'Mars', expected a zone"]),
    "an unknown date format": (
        "ingest",
        'table = "visits",',
        'table = "visits", time_format = "dd.mm.yyyy",',
        ["sources[0].time_format: found 'dd.mm.yyyy', expected"],
    ),
    "no TOML": ("ingest", 'name = "small"', 'name = "small', ["not valid TOML", "line 2"]),
    "no station of the route": ("ingest", 'after = "press"', 'after = "oven"', ["prediction.after: found 'oven'"]),
    "an unlisted variable": ("ingest", 'variables = ["QMA_DATA"]', "", ["sources[0].path: found ${QMA_DATA}"]),
    "an unknown recipe": (
        "train",
        'recipe = "logistic"',
        'recipe = "magic"',
        ["learning: unknown recipe 'magic'; expected one of default, boosted_trees"],
    ),
    "an unknown family": (
        "train",
        '"readings"]',
        '"reading"]',
        ["learning.families: no family 'reading'. Expected some of calendar, events, inspections, limits"],
    ),
    "tags of another table": (
        "ingest",
        'table = "visits",',
        'table = "visits", tags = "s*",',
        ["tags goes with readings"],
    ),
}


@pytest.mark.parametrize(("command", "old", "new", "words"), LINES.values(), ids=LINES)
def test_a_wrong_line_is_refused_with_file_key_found_and_expected(plant, command, old, new, words):
    file = plant.line / "line.toml"
    if command != "ingest":
        assert plant.run("ingest").exit_code == 0
    file.write_bytes(edited(old, new)(file.read_bytes()))
    done = plant.run(command)
    assert done.exit_code == 3
    assert f"LineError: {file}:" in done.output
    for word in words:
        assert word in done.output
    file.write_text(LINE)
    assert plant.run("ingest").exit_code == 0
    checked_lake(plant)


@pytest.mark.parametrize("command", ["ingest", "train", "nightly", "champion"])
def test_a_variable_that_is_not_set_is_named(plant, command, monkeypatch):
    monkeypatch.delenv("QMA_DATA")
    done = plant.run(command)
    assert done.exit_code == 3
    assert f"LineError: {plant.line / 'line.toml'}:" in done.output
    assert "the environment variable QMA_DATA is not set, expected the folder that holds the data" in done.output


@pytest.mark.parametrize("command", ["ingest", "train", "nightly", "champion"])
def test_a_home_from_a_newer_version_is_refused_and_left_as_it_is(plant, command):
    plant.home.mkdir()
    mark = plant.home / "home.json"
    mark.write_text(json.dumps({"format": FORMAT + 1}))
    done = plant.run(command)
    assert done.exit_code == 5
    assert f"HomeError: {plant.home}: the home has format {FORMAT + 1}" in done.output
    assert "Upgrade the program, or name another home" in done.output
    assert [path.name for path in plant.home.iterdir()] == ["home.json"]


def test_a_folder_that_is_no_home_is_refused_and_left_as_it_is(plant):
    plant.home.mkdir()
    (plant.home / "precious").touch()
    done = plant.run("ingest")
    assert done.exit_code == 5
    assert "not empty, and not a home" in done.output
    assert [path.name for path in plant.home.iterdir()] == ["precious"]


def test_a_date_that_is_none_is_refused(plant):
    done = plant.run("nightly", "--date", "2025-02-30")
    assert done.exit_code == 2
    assert "2025-02-30" in done.output


TOO_LITTLE = {
    "nothing ingested": (None, "0 units with a known label, 0 of them defects"),
    "nothing but defects": (lambda data: write(data, 300, defect_every=1), "300 units with a known label, 300 of them"),
    "one unit": (lambda data: write(data, 1), "Wait for more history"),
    "two units": (lambda data: write(data, 2, defect_every=2), "need more than"),
    "no units": (lambda data: write(data, 0), "0 units with a known label, 0 of them defects"),
    "no results": (
        lambda data: (data / "inspections.csv").write_text("unit_id,characteristic,occurred_at,passed\n"),
        "0 units with a known label, 0 of them defects",
    ),
}


@pytest.mark.parametrize(("plant_files", "words"), TOO_LITTLE.values(), ids=TOO_LITTLE)
def test_too_little_to_learn_from_is_said_in_words(plant, plant_files, words):
    if plant_files is not None:
        plant_files(plant.data)
        assert plant.run("ingest").exit_code == 0
        checked_lake(plant)
    done = plant.run("train")
    assert done.exit_code == 7
    assert "NotEnoughData: " in done.output
    assert words in done.output
    checked_lake(plant)


def test_without_a_champion_a_night_takes_the_files_in_and_publishes_nothing(plant):
    write(plant.data, 1)
    done = plant.run("nightly", "--date", "2025-05-03")
    assert done.exit_code == 8
    assert "line small has no champion. Train one first: qma train small" in done.output
    assert not (plant.home / "published").exists()
    checked_lake(plant)
    assert len(plant.lake().read("visits")) == 1


def test_before_any_defect_is_known_there_is_a_list_that_says_so(plant):
    write(plant.data, 300, defect_every=0)
    for command in (["ingest"], ["train", "--date", "2025-05-26"], ["nightly", "--date", "2025-05-26"]):
        done = plant.run(*command)
        assert done.exit_code == 0, done.output
    folder = plant.home / "published" / "small" / "2025-05-26"
    facts = bundle.verify(folder)["facts"]
    assert (facts["state"], facts["expected"], facts["made_by"]) == ("BASELINE", None, "prevalence")
    assert facts["listed"] > 0
    assert "no defect known so far" in (folder / "risk_list.html").read_text()


def test_once_there_are_defects_there_is_a_champion_and_a_list_even_for_a_night_without_units(plant):
    write(plant.data, 180, defect_every=0)
    assert plant.run("ingest").exit_code == 0
    write(plant.data, 300)  # the results of the units that are known contradict those before
    done = plant.run("ingest")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[3].split() == ["inspections", "1", "300", "120", "160", "20"]
    checked_lake(plant)
    done = plant.run("train", "--date", "2025-05-26")
    assert done.exit_code == 0, done.output
    for night, units in (("2025-05-26", True), ("2025-07-31", False)):
        done = plant.run("nightly", "--date", night)
        assert done.exit_code == 0, done.output
        facts = bundle.verify(plant.home / "published" / "small" / night)["facts"]
        assert (facts["candidates"] > 0) is units
        assert facts["state"] == "BASELINE"
        assert facts["state_reasons"][0].startswith("no model in use was shown to be better than the simple rule")
