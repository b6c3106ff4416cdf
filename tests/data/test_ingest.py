import gzip
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qma_predict.data import ingest as module
from qma_predict.data.ingest import Counts, ingest
from qma_predict.data.lake import Lake

HEADER = "unit_id,lot_id,material,occurred_at,recorded_at"
NIGHT = pd.Timestamp("2025-06-01 05:00", tz="UTC")
NOW = pd.Timestamp("2025-07-01", tz="UTC")
DAY = pd.Timedelta(days=1)


def row(unit: str, material: str = "steel", hour: int = 1) -> str:
    return f"{unit},L1,{material},2025-05-01,2025-05-01 {hour:02}:00"


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def counted(files: tuple[Counts, ...]) -> dict[str, tuple[int, int, int, int]]:
    """In, accepted, duplicates, quarantined by the file's name."""
    return {Path(one.path).name: (one.rows, one.accepted, one.duplicates, one.quarantined) for one in files}


def held(lake: Lake) -> list[tuple[str, str, str]]:
    """Unit, material and hour recorded of every row in the lake."""
    rows = lake.read("materials")
    hours = rows["recorded_at"].dt.strftime("%H")
    return sorted(zip(rows["unit_id"], rows["material"].fillna(""), hours, strict=True))


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def plant(tmp_path):
    (tmp_path / "plant").mkdir()
    return tmp_path / "plant"


@pytest.fixture
def take(material_line, plant, lake):
    """Return a function that ingests the plant's files."""

    def take(*more, as_of=NIGHT, **rules):
        return ingest(material_line(plant, *more, **rules), lake, as_of=as_of, now=NOW)

    return take


def test_every_row_of_a_file_is_accepted_a_duplicate_or_quarantined(take, plant, lake):
    write(
        plant / "m-1.csv",
        row("u1"),
        row("u1"),  # duplicate
        row("u2"),
        row("u2", "brass", 2),  # correction
        "u3,L1",  # broken
        row("", "steel"),  # no unit
        row("u4", "steel"),
        row("u4", "brass"),  # contradicts the row before
    )
    done = take()
    assert counted(done.files) == {"m-1.csv": (8, 3, 1, 4)}
    assert done.problems == ()
    assert held(lake) == [("u1", "steel", "01"), ("u2", "brass", "02"), ("u2", "steel", "01")]


def test_a_quarantined_row_says_why_and_where_it_came_from(take, plant, lake):
    file = write(plant / "m-1.csv", row("u1"), "u3,L1", row(""), row("u4", "steel"), row("u4", "brass"))
    done = take()
    assert len(done.refused) == 4
    assert done.refused[1] == f"{file}, row 3: unit_id: missing"
    quarantine = lake.read("quarantine").sort_values("row")
    assert quarantine["row"].tolist() == [2, 3, 4, 5]
    assert set(quarantine["path"]) == {str(file)}
    assert set(quarantine["table"]) == {"materials"}
    assert set(quarantine["ingested_at"]) == {NIGHT}
    conflict = "conflict: another row has the same key and recorded_at but other values"
    assert quarantine["reason"].tolist() == [
        "expected 5 values as in the header, found 2",
        "unit_id: missing",
        conflict,
        conflict,
    ]
    contents = quarantine["content"].tolist()
    assert contents[:2] == [
        "u3,L1",
        '{"unit_id":null,"lot_id":"L1","material":"steel","occurred_at":"2025-05-01","recorded_at":"2025-05-01 01:00"}',
    ]
    assert '"material":"brass"' in contents[3]


def test_quarantined_text_is_kept_whatever_is_in_it(take, plant, lake):
    (plant / "m-1.csv").write_text(
        f'{HEADER}\n,L1,"a\n""b"",é\u2028",2025-05-01,2025-05-01 01:00\n,L2,c,2025-05-01,x\n'
    )
    assert counted(take().files) == {"m-1.csv": (2, 0, 0, 2)}
    [first] = lake.read("quarantine").query("row == 1")["content"]
    assert '"material":"a\\n\\"b\\",é\u2028"' in first


def test_duplicates_and_conflicts_are_found_across_files(take, plant, lake):
    write(plant / "m-1.csv", row("u1"), row("u2"), row("u3"))
    write(plant / "m-2.csv", row("u1"), row("u2", "brass"), row("u3", "brass", 2))
    assert counted(take().files) == {"m-1.csv": (3, 2, 0, 1), "m-2.csv": (3, 1, 1, 1)}
    assert held(lake) == [("u1", "steel", "01"), ("u3", "brass", "02"), ("u3", "steel", "01")]


def test_duplicates_and_conflicts_are_found_against_the_lake(take, plant, lake):
    write(plant / "m-1.csv", row("u1"), row("u2"), row("u3"))
    take()
    write(plant / "m-2.csv", row("u1"), row("u2", "brass"), row("u3", "brass", 2))
    assert counted(take().files) == {"m-2.csv": (3, 1, 1, 1)}
    assert held(lake) == [
        ("u1", "steel", "01"),
        ("u2", "steel", "01"),
        ("u3", "brass", "02"),
        ("u3", "steel", "01"),
    ]


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_batches_are_smaller_where_files_are_many(take, plant, lake, monkeypatch, batch_rows):
    monkeypatch.setattr(module, "BATCH_ROWS", batch_rows)
    for number in range(4):
        write(plant / f"m-{number}.csv", row("u0", "steel", number), row(f"u{number + 1}"), row(f"u{number}"))
    done = take()
    assert sum(one.rows for one in done.files) == 12
    assert [one.duplicates for one in done.files] == [
        1,
        2,
        2,
        2,
    ]  # u0 says the same again, and the unit of the file before
    assert [unit for unit, _, _ in held(lake)] == ["u0", "u1", "u2", "u3", "u4"]
    assert lake.at(NIGHT).versions["materials"] == {1: 3, 3: 3, 1000: 0}[batch_rows]


def test_the_same_file_again_adds_nothing(take, plant, lake):
    write(plant / "m-1.csv", row("u1"), row(""))
    take()
    versions = lake.versions()
    done = take(as_of=NIGHT + DAY)
    assert (done.files, done.problems) == ((), ())
    assert lake.versions() == versions


def test_a_touched_file_adds_nothing(take, plant, lake):
    file = write(plant / "m-1.csv", row("u1"), row(""))
    take()
    before = held(lake), len(lake.read("quarantine"))
    os.utime(file, (0, 0))
    assert counted(take().files) == {"m-1.csv": (2, 0, 2, 0)}
    assert (held(lake), len(lake.read("quarantine"))) == before
    assert take().files == ()


def test_a_copy_of_a_file_adds_nothing(take, plant, lake):
    file = write(plant / "m-1.csv", row("u1"), row(""))
    take()
    before = held(lake), len(lake.read("quarantine"))
    shutil.copy(file, plant / "m-2.csv")
    assert counted(take().files) == {"m-2.csv": (2, 0, 2, 0)}
    assert (held(lake), len(lake.read("quarantine"))) == before
    assert take().files == ()


def test_two_copies_of_a_new_file_are_taken_once(take, plant, lake):
    write(plant / "m-1.csv", row("u1"), row(""))
    shutil.copy(plant / "m-1.csv", plant / "m-2.csv")
    assert counted(take().files) == {"m-1.csv": (2, 1, 0, 1), "m-2.csv": (2, 0, 2, 0)}
    assert len(lake.read("quarantine")) == 1


def test_a_file_that_grew_adds_what_is_new(take, plant, lake):
    file = write(plant / "m-1.csv", row("u1"))
    take()
    write(file, row("u1"), row("u2"))
    assert counted(take().files) == {"m-1.csv": (2, 1, 1, 0)}
    assert [unit for unit, _, _ in held(lake)] == ["u1", "u2"]


def test_another_mapping_reads_the_files_again(take, plant, lake):
    """Told the wrong form of time, all rows went to quarantine; told the right one, they come in."""
    write(plant / "m-1.csv", row("u1"), row("u2"))
    assert counted(take(time_format="%d.%m.%Y %H:%M").files) == {"m-1.csv": (2, 0, 0, 2)}
    assert counted(take().files) == {"m-1.csv": (2, 2, 0, 0)}
    assert take().files == ()


def test_one_damaged_file_does_not_stop_the_others(take, plant, lake):
    write(plant / "m-1.csv", row("u1"))
    (plant / "m-2.csv").touch()
    (plant / "m-3.csv").write_text("unit_id;lot_id\nu1;L1\n")
    (plant / "m-4.csv").symlink_to(plant / "nowhere.csv")
    write(plant / "m-5.csv", row("u2"))
    done = take()
    assert counted(done.files) == {"m-1.csv": (1, 1, 0, 0), "m-5.csv": (1, 1, 0, 0)}
    assert [problem.split(".csv: ")[0] for problem in done.problems] == [str(plant / f"m-{n}") for n in (2, 3, 4)]
    assert "m-2.csv: the file is empty." in done.problems[0]
    assert "m-3.csv: columns missing for materials: unit_id, lot_id, occurred_at, recorded_at." in done.problems[1]
    assert "m-4.csv: cannot be read: No such file or directory." in done.problems[2]
    problems = lake.read("problems")
    assert sorted(problems["problem"]) == sorted(done.problems)
    assert set(problems["table"]) == {"materials"}
    assert set(problems["ingested_at"]) == {NIGHT}


def test_a_damaged_file_is_tried_again_and_taken_when_it_is_whole(take, plant, lake):
    whole = gzip.compress("\n".join([HEADER, row("u1"), row("u2")]).encode())
    (plant / "m-1.csv.gz").write_bytes(whole[: len(whole) // 2])
    pattern = str(plant / "m-*.csv.gz")
    done = take(path=pattern)
    assert done.files == ()
    assert "m-1.csv.gz: cannot be read: Truncated compressed stream." in done.problems[0]
    assert lake.versions() == {"problems": 0}
    (plant / "m-1.csv.gz").write_bytes(whole)
    done = take(path=pattern)
    assert counted(done.files) == {"m-1.csv.gz": (2, 2, 0, 0)}
    assert done.problems == ()


def test_a_file_cut_in_the_middle_comes_in_when_it_is_whole(take, plant, lake):
    whole = "\n".join([HEADER, row("u1"), row("u2"), row("u3")]) + "\n"
    (plant / "m-1.csv").write_text(whole[: whole.index("u3") + 4])
    assert counted(take().files) == {"m-1.csv": (3, 2, 0, 1)}
    assert lake.read("quarantine")["row"].tolist() == [3]
    (plant / "m-1.csv").write_text(whole)
    assert counted(take().files) == {"m-1.csv": (3, 1, 2, 0)}
    assert [unit for unit, _, _ in held(lake)] == ["u1", "u2", "u3"]


def test_a_header_alone_is_a_file_with_no_rows(take, plant, lake):
    write(plant / "m-1.csv")
    assert counted(take().files) == {"m-1.csv": (0, 0, 0, 0)}
    assert take().files == ()


def test_a_source_without_files_or_with_a_wrong_mapping_does_not_stop_the_others(take, plant, lake):
    write(plant / "m-1.csv", row("u1"))
    events = {"table": "events", "path": str(plant / "e-*.csv"), "delay": "0 s"}
    units = {"table": "units", "path": str(plant / "m-*.csv"), "delay": "0 s", "columns": {"unit": "unit_id"}}
    done = take(events, units)
    assert counted(done.files) == {"m-1.csv": (1, 1, 0, 0)}
    assert [problem.split(":")[0] for problem in done.problems] == ["source of events", "source of units"]


def test_problems_are_told_each_night(take, plant, lake):
    take()
    take(as_of=NIGHT + DAY)
    assert sorted(lake.read("problems")["ingested_at"]) == [NIGHT, NIGHT + DAY]


def test_two_sources_may_feed_one_table(take, plant, lake):
    write(plant / "m-1.csv", row("u1"), row("u2"))
    write(plant / "n-1.csv", row("u1"), row("u2", "brass"), row("u3"))
    second = {"table": "materials", "path": str(plant / "n-*.csv"), "columns": {"recorded_at": "recorded_at"}}
    assert counted(take(second).files) == {"m-1.csv": (2, 2, 0, 0), "n-1.csv": (3, 1, 1, 1)}


def test_one_file_may_feed_two_sources(take, plant, lake):
    write(plant / "m-1.csv", row("u1"))
    units = {"table": "units", "path": str(plant / "m-*.csv"), "columns": {"recorded_at": "recorded_at"}}
    assert [(one.table, one.accepted) for one in take(units).files] == [("materials", 1), ("units", 1)]
    assert take(units).files == ()


def test_ingested_at_never_goes_back(take, plant, lake):
    write(plant / "m-1.csv", row("u1"))
    take(as_of=NIGHT)
    write(plant / "m-2.csv", row("u2"), row(""))
    take(as_of=NIGHT - DAY)
    write(plant / "m-3.csv", row("u3"))
    take(as_of=NIGHT + DAY)
    rows = lake.read("materials").set_index("unit_id")["ingested_at"]
    assert rows.to_dict() == {"u1": NIGHT, "u2": NIGHT, "u3": NIGHT + DAY}
    assert lake.read("quarantine")["ingested_at"].tolist() == [NIGHT]


def test_a_file_that_comes_late_changes_no_earlier_night(take, plant, lake):
    write(plant / "m-1.csv", row("u1"))
    take(as_of=NIGHT)
    write(plant / "m-2.csv", row("u2"), row("u1", "brass", 2))
    take(as_of=NIGHT + DAY)
    history = lake.at(NIGHT)
    assert history.newest("materials").select("unit_id", "material").to_pandas().to_numpy().tolist() == [
        ["u1", "steel"]
    ]
    assert history.at(NIGHT + DAY).newest("materials").count().execute() == 2


def test_the_book_holds_the_counts(take, plant, lake):
    file = write(plant / "m-1.csv", row("u1"), row("u1"), row(""), row("u2"))
    take()
    [entry] = lake.read("files").to_dict("records")
    assert {name: entry[name] for name in ("table", "path", "rows", "accepted", "duplicates", "quarantined")} == {
        "table": "materials", "path": str(file), "rows": 4, "accepted": 2, "duplicates": 1, "quarantined": 1,
    }  # fmt: skip
    assert set(lake.read("materials")["file_id"]) == {entry["file_id"]} == set(lake.read("quarantine")["file_id"])


# Random small files against the rules said once more, row by row.

Record = tuple[str, str, int]
"""Unit, material, hour recorded."""

records = st.tuples(st.sampled_from(["u1", "u2"]), st.sampled_from(["steel", '"a,b"']), st.integers(1, 3))
unfit = st.sampled_from(["u1,L1", row(""), row("u1", "a,b"), "u1,L1,steel,someday,2025-05-01 01:00"])


def expected(files: list[list[Record | str]]) -> list[list[str]]:
    """What becomes of each row of each file, taken in one batch into an empty lake."""
    every = {record for file in files for record in file if isinstance(record, tuple)}
    contradicted = {(a[0], a[2]) for a in every for b in every if a[0] == b[0] and a[2] == b[2] and a[1] != b[1]}
    seen: set[Record] = set()

    def verdict(record: Record | str) -> str:
        if isinstance(record, str):
            return "quarantined"
        if record in seen:
            return "duplicates"
        seen.add(record)
        unit, material, hour = record
        if (unit, hour) in contradicted:
            return "quarantined"
        before = [(h, m) for u, m, h in every if u == unit and h < hour and (u, h) not in contradicted]
        return "duplicates" if before and max(before)[1] == material else "accepted"

    return [[verdict(record) for record in file] for file in files]


@settings(max_examples=20, deadline=None)
@given(files=st.lists(st.lists(st.one_of(records, unfit), max_size=6), min_size=1, max_size=3))
def test_in_is_accepted_and_duplicates_and_quarantined_for_any_files(files, material_line, tmp_path_factory):
    plant = tmp_path_factory.mktemp("plant")
    files = [[(f"only here {number}", "steel", 1), *file] for number, file in enumerate(files)]
    for number, file in enumerate(files):
        write(plant / f"m-{number}.csv", *(one if isinstance(one, str) else row(*one) for one in file))
    lake = Lake(plant / "lake")
    done = ingest(material_line(plant), lake, as_of=NIGHT, now=NOW)
    verdicts = expected(files)
    kinds = ("accepted", "duplicates", "quarantined")
    assert list(counted(done.files).values()) == [(len(file), *map(file.count, kinds)) for file in verdicts]
    assert len(lake.read("materials")) == sum(file.count("accepted") for file in verdicts)
    quarantine = lake.read("quarantine")
    assert set(zip(quarantine["path"], quarantine["row"], strict=True)) == {
        (str(plant / f"m-{number}.csv"), position)
        for number, file in enumerate(verdicts)
        for position, verdict in enumerate(file, start=1)
        if verdict == "quarantined"
    }
    assert ingest(material_line(plant), lake, as_of=NIGHT, now=NOW).files == ()


# Files as plants write them, through the whole ingest.


def test_titles_wrong_headers_and_footers_are_no_rows(take, plant, lake):
    body = "\n".join(["Press 4;;;;", "unit;lot", row("u1"), row(""), "u2,L1", "Rows: 3", ""])
    (plant / "m-1.csv").write_text(body.replace(",", ";"), encoding="utf-16")
    (plant / "m-2.csv").write_text(body.replace(",", ";")[:-9], encoding="utf-16")  # before its footer
    rules = {"skip": 2, "header": HEADER.split(","), "footer": "Rows: ", "separator": ";", "encoding": "utf-16"}
    done = take(**rules)
    assert counted(done.files) == {"m-1.csv": (3, 1, 0, 2)}
    assert done.refused == (
        f"{plant / 'm-1.csv'}, row 2: unit_id: missing",
        f"{plant / 'm-1.csv'}, row 3: expected 5 names in header, found 2",
    )
    [problem] = done.problems
    assert problem.startswith(f"{plant / 'm-2.csv'}: is cut or still being written")
    (plant / "m-2.csv").write_text(body.replace(",", ";").replace("u1", "u3"), encoding="utf-16")
    assert counted(take(**rules).files) == {"m-2.csv": (3, 1, 0, 2)}
    assert [unit for unit, _, _ in held(lake)] == ["u1", "u3"]


def test_the_first_refused_rows_are_those_of_this_ingest(take, plant, lake):
    file = write(plant / "m-1.csv", row(""))
    assert take().refused == (f"{file}, row 1: unit_id: missing",)
    write(file, row("u1"), row("u2"), row(""))
    assert take().refused == (f"{file}, row 3: unit_id: missing",)
    write(plant / "m-2.csv", row("u3"))
    assert take().refused == ()
