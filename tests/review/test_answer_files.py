import pytest
import xlsxwriter

from qma_predict.errors import SourceError
from qma_predict.review.answers import read_answers

LIST = "tiny-2026-11-24"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"unit,code\nu1,1\n", "columns missing: list_id, unit_id, result. Found: unit, code"),
        ("a.csv", b"", "the file is empty"),
        ("a.xlsx", b"PK\x03\x04 no book", "cannot be read: .*Expected the filled workbook of a list, whole"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_filled_list_is_told(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_answers(tmp_path / name)


def test_a_workbook_without_the_sheets_is_told(tmp_path):
    with xlsxwriter.Workbook(tmp_path / "other.xlsx") as book:
        book.add_worksheet("Sheet1").write_row(0, 0, ["list_id", "unit_id", "result"])
    with pytest.raises(SourceError, match="no sheet Units or Check sheet, found Sheet1"):
        read_answers(tmp_path / "other.xlsx")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_csv_as_spreadsheets_write_it_is_read(tmp_path, separator, encoding):
    lines = [["list_id", "unit_id", "result", "comment"], [LIST, "ü1", "1", "größer"]]
    (tmp_path / "a.csv").write_text("\r\n".join(separator.join(line) for line in lines), encoding=encoding)
    rows, refused = read_answers(tmp_path / "a.csv")
    assert rows[["row", "unit_id", "code", "comment"]].values.tolist() == [[2, "ü1", "1", "größer"]]
    assert refused.empty
