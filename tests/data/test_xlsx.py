import io
import zipfile
from datetime import date, datetime, time

import pandas as pd
import pytest
import xlsxwriter

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.parsing import parse
from qma_predict.errors import SourceError

FILE = "plant/m-1.xlsx"
MOMENT = datetime(2025, 5, 1, 8, 30)  # noqa: DTZ001  # a workbook knows no zones
NOW = pd.Timestamp("2025-07-01", tz="UTC")


def workbook(**sheets) -> bytes:
    """A workbook of sheets, each a list of rows; a text that starts with # is an error of Excel's."""
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"default_date_format": "yyyy-mm-dd hh:mm:ss"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row, cells in enumerate(rows):
                for column, cell in enumerate(cells):
                    if isinstance(cell, str) and cell.startswith("#"):
                        sheet.write_formula(row, column, "=1/0", None, cell)
                    elif cell is not None:
                        sheet.write(row, column, cell)
    return content.getvalue()


@pytest.fixture(scope="module")
def read(source):
    """Return a function that parses a workbook, or one of rows."""

    def read(rows, **rules) -> pd.DataFrame:
        content = rows if isinstance(rows, bytes) else workbook(all=rows)
        raw = parse(FILE, content, source(**rules))
        assert raw.broken.empty
        return raw.rows

    return read


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([4711, 12], [4711, 12]),
        ([4711, 1.5], [4711.0, 1.5]),
        ([MOMENT, date(2025, 5, 2)], [pd.Timestamp(MOMENT), pd.Timestamp("2025-05-02")]),
        ([True, False], [True, False]),
        (["steel", "007"], ["steel", "007"]),
        ([4711, "A12"], ["4711", "A12"]),
        ([1.5, "x"], ["1.5", "x"]),
        ([MOMENT, "soon"], ["2025-05-01 08:30:00", "soon"]),
        ([True, "x"], ["True", "x"]),
        ([time(8, 30), "x"], ["08:30:00", "x"]),
        (["NA", "null"], ["NA", "null"]),
    ],
)
def test_cells_keep_their_kind_where_a_column_has_one_and_are_text_where_it_mixes_them(read, cells, expected):
    assert read([["value"], *([cell] for cell in cells)])["value"].tolist() == expected


@pytest.mark.parametrize("cell", [4711, 1.5, MOMENT, True, "x", None])
def test_an_empty_cell_is_missing_in_a_column_of_any_kind(read, cell):
    rows = read([["unit", "value"], ["u1", cell], ["u2", None]])
    assert rows["value"].isna().tolist() == [cell is None, True]


def test_mixed_cells_are_written_as_the_source_writes_times_and_numbers(read):
    rows = read(
        [["at", "number"], [MOMENT, 1.5], ["02.05.2025 09:00", "2,5"]], time_format="%d.%m.%Y %H:%M", decimal=","
    )
    assert rows["at"].tolist() == ["01.05.2025 08:30", "02.05.2025 09:00"]
    assert rows["number"].tolist() == ["1,5", "2,5"]


def test_rows_are_numbered_as_in_the_sheet_and_empty_ones_left_out(read):
    assert read([["unit"], ["u1"], [], [], ["u2"]])["unit"].to_dict() == {1: "u1", 4: "u2"}


def test_a_column_without_a_name_stays_and_an_empty_one_does_not(read):
    rows = read([["unit", None, None, "lot", None], ["u1", None, "note", "L1", "another"]])
    assert rows.columns.tolist() == ["unit", "(column 3)", "lot", "(column 5)"]


def test_the_first_sheet_is_read_unless_the_source_names_another(read):
    content = workbook(one=[["unit"], ["u1"]], two=[["unit"], ["#N/A"], ["u2"]])
    assert read(content)["unit"].tolist() == ["u1"]
    assert read(content, sheet="two")["unit"].tolist() == ["#N/A", "u2"]


def test_an_error_of_excel_is_text_wherever_it_stands(read):
    rows = read([["unit", "value"], ["u1", 1.5], [None, "#DIV/0!"], *[["u", 2.5]] * 30, ["u2", "#N/A"]])
    assert rows["value"].iloc[[0, 1, -1]].tolist() == ["1.5", "#DIV/0!", "#N/A"]
    assert read([["unit"], [None] * 27 + ["#REF!"]]).iloc[0].dropna().tolist() == ["#REF!"]


def test_a_header_alone_is_a_file_without_rows(read):
    rows = read([["unit", "lot"]])
    assert rows.columns.tolist() == ["unit", "lot"]
    assert rows.empty


def test_titles_above_and_a_footer_below_are_no_rows(read):
    sheet = [["Press 4"], [], [" unit ", None, "lot"], ["u1", None, "L1"], [], ["u2", None, 7], ["Total", 2], []]
    rows = read(sheet, skip=2, footer="Total")
    assert rows.columns.tolist() == ["unit", "lot"]
    assert rows["unit"].to_dict() == {1: "u1", 3: "u2"}


def test_names_are_given_where_the_sheet_has_none_or_wrong_ones(read):
    assert read([["u1", "L1"], [], ["u2", "L2"]], header=["unit", "lot"])["unit"].to_dict() == {1: "u1", 3: "u2"}
    assert read([["?", "?"], ["u1", "L1"]], header=["unit", "lot"], skip=1)["lot"].to_dict() == {1: "L1"}


WHOLE = workbook(all=[["unit"], *([f"u{n}"] for n in range(200))])


def damaged() -> bytes:
    """A workbook with zeros in the middle of its sheet."""
    content = bytearray(WHOLE)
    at = content.find(b"xl/worksheets/sheet1.xml") + 60
    content[at : at + 30] = bytes(30)
    return bytes(content)


def archive(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name, "nothing")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "rules", "found"),
    [
        pytest.param(WHOLE[: len(WHOLE) // 2], {}, "File is not a zip file", id="cut in the middle"),
        pytest.param(WHOLE[:-5], {}, "File is not a zip file", id="cut at the end"),
        pytest.param(damaged(), {}, "damaged workbook", id="damaged in the middle"),
        pytest.param(b"unit,lot\nu1,L1\n", {}, "File is not a zip file", id="CSV"),
        pytest.param(archive("a.txt"), {}, "no xl/workbook.xml", id="a zip that is no workbook"),
        pytest.param(archive("xl/workbook.xml"), {}, "damaged workbook", id="a workbook without content"),
        pytest.param(workbook(all=[]), {}, "the sheet is empty", id="empty sheet"),
        pytest.param(workbook(all=[[], ["unit"], ["u1"]]), {}, "first row of the sheet is empty", id="header below"),
        pytest.param(WHOLE, {"skip": 500}, "row 501 of the sheet is empty", id="skips all"),
        pytest.param(WHOLE, {"header": ["a", "b"]}, "header gives 2 names, the sheet has 1", id="too many names"),
        pytest.param(WHOLE, {"footer": "Total"}, "its last line is no footer", id="no footer"),
        pytest.param(WHOLE, {"sheet": "other"}, "no sheet 'other', found 'all'", id="missing sheet"),
        pytest.param(workbook(all=[["unit", "unit"]]), {}, "more than once: unit", id="repeated header"),
        pytest.param(b"", {}, "the file is empty", id="empty file"),
    ],
)
def test_a_workbook_that_cannot_be_read_is_refused_with_its_path_and_the_reason(read, content, rules, found):
    with pytest.raises(SourceError) as refused:
        read(content, **rules)
    assert str(refused.value).startswith(f"{FILE}: ")
    assert found in str(refused.value)
    assert "xpected" in str(refused.value)


def test_rows_of_a_workbook_are_taken_duplicates_or_quarantined_with_their_place(material_line, tmp_path):
    header = ["unit_id", "lot_id", "material", "occurred_at", "recorded_at"]
    rows = [
        header,
        [4711, 12, "steel", MOMENT, MOMENT],
        [4711, 12, "steel", MOMENT, MOMENT],
        [],
        ["#N/A", "L2", "brass", "yesterday", MOMENT],
        ["A1", "L2", "#DIV/0!", MOMENT, MOMENT],
        [None, "L2", "tin", MOMENT, MOMENT],
    ]
    (tmp_path / "m-1.XLSX").write_bytes(workbook(all=rows))
    lake = Lake(tmp_path / "lake")
    line = material_line(tmp_path, path=str(tmp_path / "m-*"), timezone="Europe/Berlin")
    [counts] = ingest(line, lake, as_of=NOW, now=NOW).files
    assert (counts.rows, counts.accepted, counts.duplicates, counts.quarantined) == (5, 1, 1, 3)
    [taken] = lake.read("materials").to_dict("records")
    assert (taken["unit_id"], taken["lot_id"]) == ("4711", "12")
    assert taken["occurred_at"] == pd.Timestamp("2025-05-01 06:30", tz="UTC")
    quarantine = lake.read("quarantine").sort_values("row").set_index("row")
    assert quarantine["reason"].to_dict() == {
        4: "unit_id: an error of a spreadsheet: '#N/A'; "
        "occurred_at: not a time of Europe/Berlin (format ISO8601): 'yesterday'",
        5: "material: an error of a spreadsheet: '#DIV/0!'",
        6: "unit_id: missing",
    }
