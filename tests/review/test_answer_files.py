import io
from pathlib import Path

import pytest
import xlsxwriter

from qma_predict.errors import SourceError
from qma_predict.review.answer_files import answers_in, issue_answers_in
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


@pytest.mark.parametrize(
    ("encoding", "separator", "first"),
    [
        ("cp1252", ";", "sep=;\r\n"),
        ("utf-8-sig", ";", "sep=;\r\n"),
        ("utf-8", "|", '"sep=|"\r\n'),
        ("utf-16", ";", "sep=;\r\n"),
        ("utf-16", "\t", ""),
    ],
)
def test_what_excel_says_of_its_csv_itself_is_heard(encoding, separator, first):
    lines = [["list_id", "unit_id", "result", "comment"], [LIST, "ü1", "1", "größer, als"], [LIST, "u2", "", ""]]
    text = first + "".join(separator.join(line) + "\r\n" for line in lines)
    rows, refused = answers_in(Path("a.csv"), text.encode(encoding))
    assert rows[["row", "unit_id", "code", "comment"]].values.tolist() == [[2, "ü1", "1", "größer, als"]]
    assert (rows.attrs["empty"], len(refused)) == (1, 0)


def test_unicode_text_with_the_other_order_of_bytes_is_read():
    text = f"\ufefflist_id\tunit_id\tresult\tcomment\n{LIST}\tü1\t2\t\n"
    rows, _ = answers_in(Path("a.txt"), text.encode("utf-16-be"))
    assert rows[["unit_id", "code"]].values.tolist() == [["ü1", "2"]]


@pytest.mark.parametrize(("written", "code"), [("1.0", "1"), ("1,0", "1"), ("2,00", "2"), ("6", "6"), ("1.5", None)])
def test_a_result_that_became_a_number_is_one(written, code):
    text = f"list_id;unit_id;result;comment\n{LIST};u1;{written};\n"
    rows, refused = answers_in(Path("a.csv"), text.encode())
    assert list(rows["code"]) == ([code] if code else [])
    assert len(refused) == (0 if code else 1)


def test_of_a_workbook_without_the_sheet_and_of_a_csv_no_issue_is_answered():
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        book.add_worksheet("Units").write_row(0, 0, ["list_id", "unit_id", "result"])
    assert issue_answers_in(Path("a.xlsx"), out.getvalue()).empty
    assert issue_answers_in(Path("a.csv"), b"list_id,unit_id,result\n").empty
