"""Hundreds of plants with something wrong in a file: no traceback, no row lost or doubled, every refusal has its place.

What must become of each row is known from how the files were made (`known_rows`) and what was done to them
(`mutations`), not from the program. `pytest tests/data/test_mutations.py --mutations 5000` runs more of them, and
`--mutation 4711` one alone. Plants of one habit are ingested together into one lake, which is what takes the time.
"""

import os
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from fates import File, plant_of, whole
from known_rows import HABITS, NOW, Habit, Row
from mutations import mutated

from qma_predict.data.ingest import Ingested, ingest
from qma_predict.data.lake import Lake
from qma_predict.line import Line

TOGETHER = 64
MENDED = NOW + timedelta(hours=1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" not in metafunc.fixturenames:
        return
    alone = metafunc.config.getoption("--mutation", None)
    seeds = range(metafunc.config.getoption("--mutations", 500)) if alone is None else [alone]
    groups = []
    for number, habit in enumerate(HABITS):
        mine = [seed for seed in seeds if seed % len(HABITS) == number]
        groups += [(habit, mine[first : first + TOGETHER]) for first in range(0, len(mine), TOGETHER)]
    metafunc.parametrize(
        ("habit", "seeds"), groups, ids=[f"{habit.name}-{seeds[0]}-{seeds[-1]}" for habit, seeds in groups]
    )


def line_of(habit: Habit, folder: Path) -> Line:
    return Line.model_validate(
        {
            "name": "mutated",
            "title": "Mutated line",
            "plant": "Test plant",
            "timezone": "UTC",
            "route": ["press", "oven"],
            "prediction": {"after": "press", "grace": "15 min"},
            "gate": {"name": "final", "characteristics": ["leak"], "maturity": "5 d"},
            "candidates": {"max_age": "3 d"},
            "list": {"as_of": "05:00", "capacity": 2},
            "sources": [habit.source(str(folder))],
        }
    )


def put(folder: Path, files: dict[str, File], moment: int) -> None:
    """The files, and no others, as changed at a moment [s]."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, file in files.items():
        (folder / name).write_bytes(file.content)
        os.utime(folder / name, (moment, moment))


def rows_of(lake: Lake, habit: Habit) -> list[tuple[str, Row]]:
    """File and row of all rows of the lake, as `known_rows` writes rows."""
    names = [name for name, _ in plant_of(habit, 0)[sorted(plant_of(habit, 0))[0]][0].rows[0]]
    table = lake.read(habit.table)
    files = lake.read("files").drop_duplicates("file_id").set_index("file_id")["path"]
    columns = {name: [_plain(value) for value in table[name].astype(object)] for name in sorted(names)}
    return [
        (Path(files[file_id]).name, tuple(zip(columns, cells, strict=True)))
        for file_id, *cells in zip(table["file_id"], *columns.values(), strict=True)
    ]


def _plain(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return None if pd.isna(value) else value


class Outcome:
    """What an ingest left behind, by file name."""

    def __init__(self, lake: Lake, habit: Habit, done: Ingested) -> None:
        self.done = done
        self.held = rows_of(lake, habit)
        self.rows = Counter(row for _, row in self.held)
        book = lake.read("files").sort_values("ingested_at", kind="stable")  # of a path the newest stays
        self.book = {Path(one["path"]).name: one for one in book.to_dict("records")}
        quarantine = lake.read("quarantine")
        self.refused = {Path(path).name: rows for path, rows in quarantine.groupby("path")}

    def of(self, name: str) -> Counter[Row]:
        return Counter(row for file, row in self.held if file == name)


def check(name: str, file: File, outcome: Outcome) -> None:
    """What became of a file is what must become of it."""
    told = [problem for problem in outcome.done.problems if f"/{name}: " in problem]
    assert bool(told) != (name in outcome.book), f"told {told}, booked {name in outcome.book}"
    if told:
        assert file.whole != "taken", told
        assert not outcome.of(name)
        return
    assert file.whole != "refused", "taken"
    book = outcome.book[name]
    assert book["rows"] == book["accepted"] + book["duplicates"] + book["quarantined"]
    if file.counted:
        assert book["rows"] == sum(len(fate.rows) for fate in file.fates)
    check_rows(name, file, outcome)
    check_quarantine(name, file, outcome)


def check_rows(name: str, file: File, outcome: Outcome) -> None:
    known = {row for fate in file.fates for row in fate.rows if row and fate.kind in ("good", "may")}
    missing = [row for fate in file.fates if fate.kind == "good" for row in fate.rows if not outcome.rows[row]]
    assert not missing, f"lost {missing}"
    mine = outcome.of(name)
    strange = [row for row in mine if row not in known]
    assert len(strange) <= sum(len(fate.rows) for fate in file.fates if fate.kind == "open"), f"from nowhere {strange}"
    for row in mine:
        assert outcome.rows[row] == 1, f"doubled {row}"


def check_quarantine(name: str, file: File, outcome: Outcome) -> None:
    quarantine = outcome.refused.get(name)
    book = outcome.book[name]
    assert (0 if quarantine is None else len(quarantine)) == book["quarantined"]
    numbers = set() if quarantine is None else set(quarantine["row"])
    if quarantine is not None:
        assert not quarantine.duplicated(["row", "column"]).any()
        assert (quarantine["reason"] != "").all()
        assert (quarantine["row"] > 0).all()
    if file.counted:
        bad = {number for number, fate in enumerate(file.fates, 1) if fate.kind == "bad" and fate.rows}
        good = {number for number, fate in enumerate(file.fates, 1) if fate.kind == "good"}
        assert bad <= numbers, f"rows {bad - numbers} are not in quarantine"
        assert not good & numbers, f"rows {good & numbers} are in quarantine"


def check_mended(habit: Habit, seed: int, outcome: Outcome) -> None:
    """Every original row is in the lake, or contradicted or already said by what was taken from the damaged file."""
    key = {"readings": ("unit_id", "station", "tag", "occurred_at"), "materials": ("unit_id", "lot_id"),
           "visits": ("unit_id", "station", "started_at"),
           "inspections": ("unit_id", "gate", "characteristic", "occurred_at")}[habit.table]  # fmt: skip
    others = {tuple(dict(row)[name] for name in key) for row in outcome.rows}
    for name, records in plant_of(habit, seed).items():
        quarantined = outcome.book[name]["quarantined"]
        lost = [row for record in records for row in record.rows if not outcome.rows[row]]
        assert all(tuple(dict(row)[part] for part in key) in others for row in lost), f"lost for good {lost}"
        assert len(lost) <= quarantined + outcome.book[name]["duplicates"]


def test_whatever_is_wrong_no_row_is_lost_or_doubled_and_every_refusal_has_its_place(habit, seeds, tmp_path):
    failed = []
    try:
        failed += run(habit, seeds, tmp_path)
    except Exception as error:  # any, to find whose it is
        if len(seeds) == 1:
            raise
        failed.append(f"together: {error!r}")
        for seed in seeds:
            try:
                failed += run(habit, [seed], tmp_path / "alone")
            except Exception as one:
                failed.append(told(habit, seed, repr(one)))
    assert not failed, "\n".join(failed)


def told(habit: Habit, seed: int, what: str) -> str:
    again = f"rerun: pytest tests/data/test_mutations.py --mutation {seed}"
    return f"seed {seed}, {habit.name}, {mutated(habit, seed)[0]}: {what[:1500]} ({again})"


def run(habit: Habit, seeds: list[int], tmp_path: Path) -> list[str]:
    """Ingest the mutated plants, again, and mended; what is not as it must be."""
    folder, lake = tmp_path / f"plant {seeds[0]}", Lake(tmp_path / f"lake {seeds[0]}")
    line, cases, failed = line_of(habit, folder), {seed: mutated(habit, seed)[1] for seed in seeds}, []
    put(folder, {name: file for case in cases.values() for name, file in case.items()}, 1_750_000_000)
    outcome = Outcome(lake, habit, ingest(line, lake, as_of=NOW, now=NOW))
    for seed, case in cases.items():
        for name, file in case.items():
            try:
                check(name, file, outcome)
            except AssertionError as error:
                failed.append(told(habit, seed, f"{name}: {error}"))
    before = lake.versions() | {"problems": 0}
    again = ingest(line, lake, as_of=NOW, now=NOW)
    assert again.files == ()
    assert lake.versions() | {"problems": 0} == before
    mended = {name: whole(habit, records) for seed in seeds for name, records in plant_of(habit, seed).items()}
    put(folder, mended, 1_760_000_000)
    done = ingest(line, lake, as_of=MENDED, now=MENDED)
    assert done.problems == ()
    outcome = Outcome(lake, habit, done)
    for seed in seeds:
        try:
            check_mended(habit, seed, outcome)
        except AssertionError as error:
            failed.append(told(habit, seed, f"mended: {error}"))
    return failed
