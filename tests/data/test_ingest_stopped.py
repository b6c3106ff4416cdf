"""An ingest is killed at each durable step and run again: the lake is as if nothing had happened.

Every kill is a process of its own, forked from one that has imported everything and done nothing. The steps are
those that an uninterrupted ingest names, so that a new durable step is covered by itself.
"""

import os
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from processes import PROCESSES

from qma_predict.data import database
from qma_predict.data import ingest as module
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.line import Line

NIGHT = pd.Timestamp("2025-06-01 05:00", tz="UTC")
NEXT_NIGHT = pd.Timestamp("2025-06-02 05:00", tz="UTC")
NOW = pd.Timestamp("2025-07-01", tz="UTC")
KILLED = 9
BATCH_ROWS = 9
"""The first two files of materials are one batch, the third is the next, and one that comes later another."""


FILES = {
    # a duplicate, a row without a unit, and one that m-2 contradicts
    "m-1.csv": ["u1,steel,1", "u1,steel,1", ",steel,1", "u2,steel,1", "u3,steel,1"],
    # a broken row, the contradiction, a correction and a duplicate across files
    "m-2.csv": ["u2", "u2,brass,1", "u3,brass,2", "u1,steel,1"],
    # corrected back, a contradiction of the batch before, a broken row
    "m-3.csv": ["u3,steel,3", "u3,copper,1", "u4,steel,1", "u5,steel,1,1", "u6,steel,1"],
    "n-1.csv": ["u1,steel,1", "u7,steel,1", "u4,brass,1", "u8,steel,1", "u8,brass,1"],
}
ROWS = [
    *["s1,steel,1", "s1,steel,1", ",steel,1", "s2,steel,1", "s3,steel,1"],
    # a contradiction of the part before, a duplicate of m-1, a correction
    *["s2,brass,1", "u1,steel,1", "s3,brass,2", ",steel,2", "s5,steel,2"],
    # the row with the greatest watermark, which is asked for again, is one that is refused
    *["s6,steel,3", ",steel,3"],
]
"""Rows of a database, asked for by the hour, in parts of five, of which the last two are a batch."""

PART_ROWS = 5

FILES["m-4.csv"] = FILES["m-1.csv"]
"""Unit, material and hour recorded of each row; m-4 is m-1 under another name. The files of `m` and `n` are two
sources of one table; a third source has no file, and the last is the database."""

NEW = ["u2,steel,1", "u6,brass,2", "u4,brass,1", "u9,steel,1", "u9,tin,1", "u1", "u1,steel,1", "u10,steel,1"]
"""A file that arrives later: it repeats, corrects and contradicts rows of the others and of itself."""


def write(file: Path, rows: list[str]) -> None:
    lines = [re.sub(r",(\d)$", r",2025-05-01 0\1:00", row) for row in rows]
    file.write_text("\n".join(["lot_id,occurred_at,unit_id,material,hour", *(f"L1,2025-05-01,{one}" for one in lines)]))


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plant")
    for name, rows in FILES.items():
        write(folder / name, rows)
    with closing(sqlite3.connect(folder / "plant.db")) as connection, connection:
        connection.execute("create table lots (id integer primary key, unit_id text, material text, hour text)")
        rows = [row.split(",") for row in ROWS]
        rows = [(unit or None, material, f"2025-05-01 0{hour}:00") for unit, material, hour in rows]
        connection.executemany("insert into lots (unit_id, material, hour) values (?, ?, ?)", rows)
    return folder


@pytest.fixture(scope="module")
def line(material_line, plant) -> Line:
    columns = {"recorded_at": "hour"}
    second = {"table": "materials", "path": str(plant / "n-*.csv"), "columns": columns}
    third = {"table": "events", "path": str(plant / "e-*.csv"), "delay": "0 s"}
    query = (
        "select *, 'L1' as lot_id, '2025-05-01' as occurred_at from lots where :watermark is null or hour >= :watermark"
    )
    fourth = {"table": "materials", "url": f"sqlite:///{plant / 'plant.db'}", "watermark": "hour", "columns": columns}
    return material_line(plant, second, third, fourth | {"query": f"{query} order by hour, id"}, columns=columns)


def run(line: Line, lake: Path, as_of: pd.Timestamp = NIGHT, kill: int | None = None) -> list[str]:
    """Ingest and return the steps, or end the process at the step of number `kill`."""
    steps: list[str] = []

    def step(name: str) -> None:
        if len(steps) == kill:
            os._exit(KILLED)
        steps.append(name)

    usual, module.BATCH_ROWS, database.PART_ROWS = (module.BATCH_ROWS, database.PART_ROWS), BATCH_ROWS, PART_ROWS
    ingest(line, Lake(lake, step), as_of=as_of, now=NOW)
    module.BATCH_ROWS, database.PART_ROWS = usual
    return steps


@pytest.fixture(scope="module")
def whole(line, tmp_path_factory) -> tuple[Path, list[str]]:
    """Lake and steps of an ingest that nothing stopped."""
    lake = tmp_path_factory.mktemp("whole") / "lake"
    return lake, run(line, lake)


@pytest.fixture(scope="module")
def killed(line, whole, tmp_path_factory) -> dict[str, Path]:
    """For each step the lake of an ingest that was killed there. Copied before use.

    After a step and before the next the lake is the same, so that only the first is stopped at.
    """
    lakes = {}
    for number, name in enumerate(whole[1]):
        if number > 0 and whole[1][number - 1].startswith("after"):
            continue
        lake = lakes[f"{name} (step {number})"] = tmp_path_factory.mktemp("killed") / "lake"
        process = PROCESSES.Process(target=run, args=(line, lake, NIGHT, number))
        process.start()
        process.join()
        assert process.exitcode == KILLED
        lake.mkdir(exist_ok=True)
    return lakes


@pytest.fixture
def arrive(plant):
    """Return a function that puts a new file among the plant's, for this test."""
    arrived = []

    def arrive(name: str, rows: list[str]) -> None:
        write(plant / name, rows)
        arrived.append(plant / name)

    yield arrive
    for file in arrived:
        file.unlink()


def copied(lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lake, tmp_path / lake.parent.name / "lake"))


def content(lake: Path, *, without: tuple[str, ...] = ()) -> dict[str, Counter]:
    """Every row of the lake, in no order."""
    tables = {}
    for name in ("materials", "quarantine", "files"):
        rows = Lake(lake).read(name).drop(columns=list(without)).astype("str").fillna("")
        tables[name] = Counter(rows.itertuples(index=False, name=None))
    return tables


def test_the_ingest_that_is_killed_has_everything_that_can_happen(whole):
    lake, steps = whole
    assert Counter(steps) == Counter(
        {
            f"{when} {table}": times
            for when in ("before", "after")
            for table, times in {"quarantine": 5, "materials": 5, "files": 6, "problems": 1}.items()
        }
    )
    book = Lake(lake).read("files").assign(name=lambda book: book["path"].map(os.path.basename)).set_index("name")
    parts = book.loc["plant.db"].sort_values("rows")
    counts = ["rows", "accepted", "duplicates", "quarantined"]
    assert sorted(parts[counts].to_numpy(int).tolist()) == [[2, 1, 0, 1], [5, 2, 1, 2], [5, 3, 1, 1]]
    assert parts["watermark"].fillna("").tolist() == ["text 2025-05-01 03:00", "", ""]
    book = book.drop("plant.db")
    assert book[counts].to_numpy(int).tolist() == [
        {
            "m-1.csv": [5, 2, 1, 2],
            "m-2.csv": [4, 1, 1, 2],
            "m-3.csv": [5, 3, 0, 2],
            "m-4.csv": [5, 0, 5, 0],
            "n-1.csv": [5, 1, 1, 3],
        }[name]
        for name in book.index
    ]


def test_killed_at_any_step_and_run_again_the_lake_is_as_if_nothing_had_happened(killed, whole, line, tmp_path):
    expected = content(whole[0])
    for step, lake in killed.items():
        again = copied(lake, tmp_path)
        run(line, again)
        assert content(again) == expected, f"killed {step}"
        assert set(Lake(again).read("problems")["problem"]) == set(Lake(whole[0]).read("problems")["problem"])


@pytest.mark.proof
def test_killed_and_asked_in_other_parts_no_row_of_a_database_is_lost_or_doubled(killed, line, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PART_ROWS", 4)
    for step, lake in list(killed.items())[-6:]:
        again = copied(lake, tmp_path)
        run(line, again)
        held, refused = Lake(again).read("materials"), Lake(again).read("quarantine")
        assert not held.duplicated(["unit_id", "recorded_at"]).any(), f"killed {step}"
        refused = refused[refused["path"].str.endswith("plant.db")]
        assert not refused.duplicated(["reason", "content"]).any(), f"killed {step}"
        assert refused["reason"].str.startswith("unit_id: missing").sum() == 3, f"killed {step}"
        taken = set(zip(held["unit_id"], held["material"], held["recorded_at"].dt.hour, strict=True))
        contradictory = {("s2", "steel", 1), ("s2", "brass", 1)}  # one is taken, or none
        said = {(unit, material, int(hour)) for unit, material, hour in (row.split(",") for row in ROWS) if unit}
        assert said - taken <= contradictory, f"killed {step}"


@pytest.mark.proof
def test_a_file_may_arrive_between_the_kill_and_the_next_run(killed, whole, line, arrive, tmp_path):
    arrive("m-9.csv", NEW)
    whole_and_new = copied(whole[0], tmp_path)
    run(line, whole_and_new, NEXT_NIGHT)
    expected = content(whole_and_new, without=("ingested_at",))
    for step, lake in killed.items():
        again = copied(lake, tmp_path)
        run(line, again, NEXT_NIGHT)
        assert content(again, without=("ingested_at",)) == expected, f"killed {step}"


@pytest.mark.proof
def test_no_row_is_lost_or_taken_twice_if_what_arrives_is_read_first(killed, line, arrive, plant, tmp_path):
    """Read before the others, or with them, it changes which of two contradictory rows is refused, and nothing else."""
    arrive("m-0.csv", [*NEW[:6], "u3,tin,1"])
    for step, lake in killed.items():
        again = copied(lake, tmp_path)
        run(line, again, NEXT_NIGHT)
        held = Lake(again).read("materials")
        assert not held.duplicated(["unit_id", "recorded_at"]).any(), f"killed {step}"
        refused = Lake(again).read("quarantine")
        assert not refused.duplicated(["file_id", "row"]).any(), f"killed {step}"
        book = Lake(again).read("files").set_index("path")
        for file in plant.glob("*.csv"):
            one = book.loc[str(file)]
            if one["file_id"] in book.loc[book.index != str(file), "file_id"].tolist():
                continue  # m-1 and its copy, m-4
            assert one["accepted"] == (held["file_id"] == one["file_id"]).sum(), f"killed {step}"
            assert one["quarantined"] == (refused["file_id"] == one["file_id"]).sum(), f"killed {step}"
            assert one["duplicates"] == one["rows"] - one["accepted"] - one["quarantined"], f"killed {step}"
            said = pd.read_csv(file, names=range(6), skiprows=1, dtype="str")
            numbers = refused.loc[refused["file_id"] == one["file_id"], "row"]
            for _, _, unit, material, hour, _ in said.drop(index=numbers - 1).itertuples(index=False):
                known = held[(held["unit_id"] == unit) & (held["recorded_at"] <= pd.Timestamp(f"{hour}Z"))]
                newest = known.sort_values("recorded_at")["material"].iloc[-1]
                assert newest == material, f"killed {step}: {file.name} says {unit} is {material} at {hour}"
