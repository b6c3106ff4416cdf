"""Which files of a folder a draft takes for one source: those of months, parts, stations and machines."""

from pathlib import Path

import pandas as pd
import pytest

from qma_predict.data.draft import draft_line, write_draft
from qma_predict.data.draft.groups import looks
from qma_predict.data.survey import survey
from qma_predict.line import Line, load_line

NOW = pd.Timestamp("2026-05-05 12:00", tz="UTC")
ROWS = 30


def wide(start: str, *tags: str, units: str = "A", **more: str) -> str:
    """CSV with a column a tag, a unit every ten hours."""
    begun = pd.Timestamp(start) + pd.to_timedelta(range(0, 10 * ROWS, 10), unit="h")
    rows = {"serial": [f"{units}{n}" for n in range(ROWS)], "ts": begun.strftime("%Y-%m-%d %H:%M:%S")}
    values = {tag: [0.5 + (n * 7 + k) % 11 for n in range(ROWS)] for k, tag in enumerate(tags or ("force", "temp"))}
    return pd.DataFrame(rows | values | more).to_csv(index=False)


def placed(tmp_path: Path, files: dict[str, str | bytes]) -> tuple[Line, str, dict[str, str]]:
    """Draft of files: the line, its text, and stations by the patterns of its visits below the folder."""
    folder = tmp_path / "files"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    file = write_draft(folder, tmp_path / "line", "x")
    line = load_line(file.parent)
    own = {str(one.path).removeprefix(f"{folder}/"): one for one in line.sources if one.table == "visits"}
    return line, file.read_text(encoding="utf-8"), {path: one.constants["station"] for path, one in own.items()}


def accepted(line: Line) -> dict[str, int]:
    found = survey(line, now=NOW)
    return found.tables.set_index("table")["accepted"].to_dict()


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["press_2025-12.csv", "press_2026-01.csv"], "press_*.csv"),
        (["press_Jan_2026.csv", "press_Mrz_2026.csv"], "press_*.csv"),
        (["press März 2026.csv", "press Oktober 2026.csv"], "press *.csv"),
        (["press_2025-Q4.csv", "press_2026-Q1.csv"], "press_*.csv"),
        (["2026KW03 press.csv", "2026KW09 press.csv"], "* press.csv"),
        (["press_20260101_060000.csv", "press_20260201_060000.csv"], "press_*.csv"),
        (["2025/12/press.csv", "2026/01/press.csv"], "*/*/press.csv"),
        (["2026/01/31/press.csv", "2026/02/28/press.csv"], "*/*/*/press.csv"),
    ],
)
def test_files_of_months_weeks_and_days_are_one_source_a_table(tmp_path, names, pattern):
    files = {name: wide(f"2026-0{n}-01", units=f"{n}-") for n, name in enumerate(names, start=1)}
    line, text, stations = placed(tmp_path, files)
    assert [one.table for one in line.sources] == ["visits", "readings"]
    assert stations == {pattern: "press"}
    assert "numbers that are no dates" not in text
    assert accepted(line) == {"visits": 2 * ROWS, "readings": 4 * ROWS}


def test_a_month_without_rows_and_an_empty_one_do_not_part_the_others(tmp_path):
    files = {f"press_2026-0{n}.csv": wide(f"2026-0{n}-01") for n in (1, 2)}
    line, text, stations = placed(
        tmp_path, files | {"press_2026-03.csv": "serial,ts,force,temp\n", "press_2026-04.csv": ""}
    )
    assert stations == {"press_*.csv": "press"}
    assert "# CHECK: the pattern also fits press_2026-03.csv: a header without rows\n" in text
    assert "# CHECK: the pattern also fits press_2026-04.csv: the file is empty\n" in text
    unread = [one.what for one in survey(line, now=NOW).findings if one.kind == "source not read"]
    assert len(unread) == 1  # although two sources read it
    assert "press_2026-04.csv: the file is empty" in unread[0]


def test_columns_in_another_order_and_a_tag_that_came_later_are_read_from_all_months(tmp_path):
    files = {"press_2026-01.csv": wide("2026-01-01"), "press_2026-02.csv": wide("2026-02-01", "temp", "force")}
    line, text, stations = placed(tmp_path, files | {"press_2026-03.csv": wide("2026-03-01", "force", "temp", "dwell")})
    assert stations == {"press_*.csv": "press"}
    assert line.sources[1].tags == "*"
    assert "# CHECK: columns that only some of the files have are tags or not used: dwell (1 of 3); if one is" in text
    assert "#   a column a tag: force, temp, dwell\n" in text
    assert accepted(line) == {"visits": 3 * ROWS, "readings": 7 * ROWS}


def test_a_column_that_only_some_months_have_is_neither_mapped_nor_a_pattern_of_its_own(tmp_path):
    new = wide("2026-02-01", "force", "width", "dwell", booked="2026-03-01 06:00:00", operator="joe")
    files = {"press_2026-01.csv": wide("2026-01-01", "force", "width", operator="ann"), "press_2026-02.csv": new}
    line, text, _ = placed(tmp_path, files)
    assert all("recorded_at" not in one.columns for one in line.sources)
    assert [one.tags for one in line.sources] == [None, "force", "width"]
    assert "not used: booked (1 of 2), dwell (1 of 2)" in text
    assert "# CHECK: no pattern takes dwell, which only some of the files have\n" in text
    assert accepted(line) == {"visits": 2 * ROWS, "readings": 4 * ROWS}
    assert "source not read" not in {one.kind for one in survey(line, now=NOW).findings}


def test_months_of_other_columns_are_a_source_each_way_of_writing_and_that_is_told(tmp_path):
    files = {f"press_2025-0{n}.csv": wide(f"2025-0{n}-01") for n in (8, 9)}
    files |= {f"press_2026-0{n}.csv": wide(f"2026-0{n}-01", *"abcdefgh") for n in (1, 2)}
    _, text, stations = placed(tmp_path, files)
    assert stations == {"press_2025-0*.csv": "press", "press_2026-0*.csv": "press"}
    assert text.count("# CHECK: no wider pattern fits these files and no others; later files may not fit it\n") == 4


def test_one_month_with_umlauts_tells_the_encoding_of_all(tmp_path):
    files = {
        "press_2026-01.csv": wide("2026-01-01"),
        "press_2026-02.csv": wide("2026-02-01", units="Ö").encode("cp1252"),
    }
    line, _, _ = placed(tmp_path, files)
    assert [one.encoding for one in line.sources] == ["cp1252", "cp1252"]
    assert accepted(line) == {"visits": 2 * ROWS, "readings": 4 * ROWS}
    units = {look.encoding for look in looks(tmp_path / "files")[0]}
    (tmp_path / "files" / "press_2026-03.csv").write_text(wide("2026-03-01", units="Ö"), encoding="utf-8")
    assert units | {look.encoding for look in looks(tmp_path / "files")[0]} == {"cp1252", "utf-8"}


def test_numbered_files_of_the_same_time_and_units_are_stations(tmp_path):
    files = {f"op{n}_2026-0{m}.csv": wide(f"2026-0{m}-01 0{n // 10}:00") for n in (10, 20, 30) for m in (1, 2)}
    line, text, stations = placed(tmp_path, files)
    assert stations == {f"op{n}_*.csv": f"op{n}" for n in (10, 20, 30)}
    assert line.route == ("op10", "op20", "op30")
    assert "# CHECK: op10_*.csv, op20_*.csv, op30_*.csv are of the same time: taken for a station each" in text


def test_numbered_files_of_the_same_time_and_other_units_are_machines(tmp_path):
    files = {f"press_{n}_2026-0{m}.csv": wide(f"2026-0{m}-01", units=f"{n}-{m}-") for n in (1, 2) for m in (1, 2)}
    line, text, stations = placed(tmp_path, files)
    assert stations == {"press_1_*.csv": "press", "press_2_*.csv": "press"}
    assert [one.constants["machine"] for one in line.sources] == ["press_1", "press_2"] * 2
    assert "are of the same time and of other units: taken for machines of one station\n" in text
    assert accepted(line) == {"visits": 4 * ROWS, "readings": 8 * ROWS}


@pytest.mark.parametrize(
    ("names", "pattern", "asked"),
    [
        (["press_1.csv", "press_2.csv"], "press_*.csv", True),  # their times follow each other
        (["part-00000.csv", "part-00001.csv"], "part-*.csv", False),
        (["export 1.csv", "export 2.csv"], "export *.csv", False),
    ],
)
def test_numbered_parts_of_an_export_are_one_source(tmp_path, names, pattern, asked):
    apart = 1 if asked else 0
    files = {name: wide(f"2026-0{1 + apart * n}-01", units=f"{n}-") for n, name in enumerate(names)}
    _, text, stations = placed(tmp_path, files)
    assert list(stations) == [pattern]
    assert ("# CHECK: the names differ in numbers that are no dates: taken for parts of one export" in text) == asked


def test_numbered_files_that_name_their_machine_are_one_source(tmp_path):
    files = {f"press_{n}.csv": wide("2026-01-01", units=f"{n}-", machine=f"P{n}") for n in (1, 2)}
    line, _, _ = placed(tmp_path, files)
    assert {Path(str(one.path)).name for one in line.sources} == {"press_*.csv"}


def test_copies_and_corrections_of_a_month_are_no_stations(tmp_path):
    files = {f"press_2026-0{n}.csv": wide(f"2026-0{n}-01") for n in (1, 2)}
    files |= {"press_2026-01_neu.csv": wide("2026-01-01 00:30"), "press_2026-02 - Kopie.csv": wide("2026-02-01")}
    line, text, stations = placed(tmp_path, files)
    assert stations == {
        "press_[0-9][0-9][0-9][0-9]-[0-9][0-9].csv": "press",
        "press_2026-01_neu.csv": "press",
    }
    assert line.route == ("press",)
    assert "# CHECK: named as press_2026-01 and more, with the same columns: is it a copy" in text
    assert "#   press_2026-02 - Kopie.csv: the same content as press_2026-02.csv\n" in text


def test_files_that_no_pattern_tells_from_others_are_told(tmp_path):
    for n, tags in ((1, "ab"), (2, "cdefgh"), (3, "ab")):
        (tmp_path / f"press_2026-0{n}.csv").write_text(wide(f"2026-0{n}-01", *tags))
    text = draft_line(tmp_path, "x")
    assert text.count("# CHECK: no pattern fits 2 files of such names and no others; rename them for one source\n") == 4
