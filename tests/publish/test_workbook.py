import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from example_lists import FACTS, NASTY, because, issue, not_scored, promises, ranked

from qma_predict.publish.pages.facts import Facts
from qma_predict.publish.pages.workbook import MOST_ROWS, RESULTS, render
from qma_predict.publish.text import spreadsheet_text
from qma_predict.review.answer_files import answers_in

SHEETS = ["Read me", "Issues", "Units", "Check sheet", "Not scored", "Yesterday"]


def full(facts: Facts = FACTS, **given: object) -> bytes:
    rows = ranked([0.2, 0.1, 0.03, 0.01], listed=2, machine=["bay 9", "bay 1", "bay 2", "bay 3"])
    rows.loc[3, ["listed", "selected_by"]] = [True, "audit"]
    usual = {
        "issues": [issue()],
        "because": because(["u0", "u1", "u3"]),
        "promises": promises({}, {"verdict": "broken"}),
    }
    return render(facts, rows, not_scored(["no oven data", None]), **{**usual, **given})


def opened(content: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(content))


def table(book: openpyxl.Workbook, sheet: str) -> pd.DataFrame:
    head, *rows = book[sheet].iter_rows(values_only=True)
    return pd.DataFrame(rows, columns=head)


def test_every_sheet_is_there_with_a_frozen_header_a_filter_and_protection():
    book = opened(full())
    assert book.sheetnames == SHEETS
    for sheet in book:
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref.startswith("A1:")
        assert sheet.protection.sheet
        assert sheet.protection.password is None
        assert "line2-2026-11-24, valid until Wed 25 Nov 05:00" in sheet.oddFooter.left.text
        assert sheet.print_title_rows == "$1:$1"


def test_a_list_made_after_its_day_says_so_and_what_it_knows():
    rows = table(opened(full(replace(FACTS, retrospective=True))), "Read me")
    (made,) = rows.loc[rows.iloc[:, 0] == "MADE"].iloc[:, 1]
    assert made.startswith("in retrospect, for the record: it knows only what had been ingested by then")


def test_units_are_those_of_the_list_in_its_order():
    units = table(opened(full()), "Units")
    assert list(units["unit_id"]) == ["u0", "u1", "u3"]
    assert list(units["rank"]) == [1, 2, 4]
    assert list(units["risk"]) == ["20 in 100", "10 in 100", "1 in 100"]
    assert list(units["score"]) == [0.2, 0.1, 0.01]
    assert list(units["selected_by"]) == ["rank", "rank", "audit"]
    assert list(units["because"]) == ["hold pressure 412 bar, good parts 428-441"] * 3
    assert list(units["issues"].fillna("")) == ["1", "1", ""]
    assert list(units["minutes"]) == [5, 5, 5]
    assert list(units["since"]) == ["Mon 23 Nov 22:00"] * 3


def test_the_check_sheet_is_ordered_by_place_and_says_not_why():
    check = table(opened(full()), "Check sheet")
    assert list(check.columns) == ["list_id", "unit_id", "part", "place", "check", "by", "result", "comment"]
    assert list(check["unit_id"]) == ["u1", "u3", "u0"]


@pytest.mark.parametrize("sheet", ["Units", "Check sheet"])
def test_each_row_says_which_list_and_unit_it_answers_and_offers_the_codes(sheet):
    book = opened(full())
    rows = table(book, sheet)
    assert set(rows["list_id"]) == {FACTS.list_id}
    assert rows[["result", "comment"]].isna().all(axis=None)
    (offered,) = book[sheet].data_validations.dataValidation
    assert offered.type == "list"
    assert offered.formula1 == '"' + ",".join(RESULTS) + '"'
    column = openpyxl.utils.get_column_letter(1 + list(rows.columns).index("result"))
    assert str(offered.sqref) == f"{column}2:{column}4"
    assert [int(words.split(" ")[0]) for words in RESULTS] == [1, 2, 3, 4, 5, 6]


def test_only_what_people_fill_in_is_unlocked():
    for sheet in opened(full()):
        head, *rows = sheet.iter_rows()
        open_ones = {head[cell.column - 1].value for row in rows for cell in row if not cell.protection.locked}
        expected = {"Issues": {"owner", "due"}, "Units": {"result", "comment"}, "Check sheet": {"result", "comment"}}
        assert open_ones == expected.get(sheet.title, set())


def test_the_other_sheets_tell_what_the_page_tells():
    book = opened(full(replace(FACTS, more_hour=0.84, state="DEGRADED", state_reasons=("oven silent",))))
    says = table(book, "Read me").set_index("what")["says"]
    assert says["LIST"] == "line2-2026-11-24: Plant A, Line 2, for Tue 24 Nov 2026"
    assert says["STATUS"] == "DEGRADED: use with care; oven silent"
    assert says["CAPACITY"] == "2 checks (listed: 3, 15 min)"
    assert says["UNITS"] == "3 units, 2 ranked by risk, 1 audit"
    assert says["EXPECTED"].endswith("one more hour of inspection would add about 0.8")
    assert says["NOT SCORED"] == "2 units; 1 no oven data; 1 reason not recorded"
    assert says["YESTERDAY"].startswith("promised 5 (2-8) among the 31 checked, found 4")
    assert says["LAST NIGHTS"] == "promise kept 1 of 2"
    told = table(book, "Issues").iloc[0]
    assert told["list_id"] == FACTS.list_id
    assert pd.isna(told[["owner", "due"]]).all()
    assert [told["title"], told["risk"], told["normal"]] == [
        "Press W13 · mould 5400",
        "9 in 100 (5-14)",
        "normally predicted 1.2",
    ]
    assert told["places"] == "212 in stock, 40 shipped"
    assert pd.isna(told["beside"])
    assert "LAST JUDGED" not in says
    assert list(table(book, "Not scored")["reason"]) == ["no oven data", "reason not recorded"]
    assert list(table(book, "Yesterday")["business_date"]) == ["2026-11-23", "2026-11-22"]


def test_what_issues_share_and_the_newest_list_that_was_judged_are_told():
    open_one = {"checked": 0, "found": 0, "verdict": "not enough yet"}
    given = {"issues": [issue(number=2, beside=((1, 12),), nights=0)], "promises": promises(open_one, {})}
    book = opened(full(**given))
    told = table(book, "Issues").iloc[0]
    assert told["beside"] == "12 of issue 1"
    assert pd.isna(told["nights"])
    says = table(book, "Read me").set_index("what")["says"]
    assert says["LAST JUDGED"] == "Sun 22 Nov: promised 5 (2-8) among the 31 checked, found 4, kept"


def test_an_issue_that_has_an_owner_shows_it():
    known = pd.DataFrame({"owner": ["B. Lin"], "due": ["2026-11-30"]}, index=[issue().title])
    told = table(opened(full(issues=[issue(), issue(number=2, title="other")], owners=known)), "Issues")
    assert told.loc[0, ["owner", "due"]].tolist() == ["B. Lin", "2026-11-30"]
    assert told.loc[1, ["owner", "due"]].isna().all()


def test_scores_that_are_a_ranking_are_no_risks_here_either():
    book = opened(full(replace(FACTS, ranking="3 known defects", expected=None, low=None, high=None)))
    assert table(book, "Units")["risk"][0] == "riskier than 3 of 4"
    assert table(book, "Issues")["risk"].isna().all()


def test_a_night_without_units_issues_and_promises_is_a_workbook():
    book = opened(render(FACTS, ranked([], listed=0), not_scored([])))
    assert book.sheetnames == SHEETS
    assert len(table(book, "Units")) == len(table(book, "Check sheet")) == len(table(book, "Yesterday")) == 0
    assert book["Units"].data_validations.dataValidation == []


def test_no_text_of_the_plant_is_a_formula_or_breaks_the_file():
    n = len(NASTY)
    rows = ranked([0.2] * n, listed=n, unit_id=NASTY, product=NASTY, station=NASTY, machine=NASTY, check=NASTY)
    reasons = because(list(NASTY), sentence="=1+1", action="@SUM(A1)")
    told = [issue(title=text, driver=text, action=text, places=((text, 3),)) for text in NASTY]
    facts = replace(FACTS, plant="=1+1", list_id="=2&3", state="DEGRADED", state_reasons=NASTY)
    unscored = not_scored(list(NASTY))
    content = render(facts, rows, unscored, issues=told, because=reasons, promises=promises({"reason": "=1"}))
    cells = [cell for sheet in opened(content) for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} == {"s", "n"}
    assert [cell.value for cell in cells if str(cell.value)[:1] in "=+-@"] == []
    units = table(opened(content), "Units")["unit_id"]
    assert [unit for unit in units if len(unit) < 200] == [spreadsheet_text(t) for t in NASTY if len(t) < 200]
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        assert not any(b"<f>" in parts.read(name) or b"TargetMode=" in parts.read(name) for name in parts.namelist())


def test_every_unit_of_a_long_list_is_there_and_the_not_scored_end_at_the_longest():
    rows = ranked(list(np.linspace(0.9, 0.1, 5_200)), listed=5_000)
    unscored = not_scored(["no data"] * (MOST_ROWS + 10))
    with zipfile.ZipFile(io.BytesIO(render(FACTS, rows, unscored))) as parts:
        counts = [parts.read(f"xl/worksheets/sheet{number}.xml").count(b"<row ") - 1 for number in (3, 4, 5)]
        assert counts == [5_000, 5_000, MOST_ROWS]
        assert b"the first 5,000 units; the data files have all" in parts.read("xl/sharedStrings.xml")


@pytest.mark.parametrize("sheet", ["Units", "Check sheet"])
def test_a_filled_workbook_is_read_back(sheet):
    book = opened(full())
    cells = book[sheet]
    columns = {cell.value: cell.column for cell in cells[1]}
    cells.cell(3, columns["result"]).value = RESULTS[0]
    cells.cell(3, columns["comment"]).value = "leak at port 2"
    out = io.BytesIO()
    book.save(out)
    told, refused = answers_in(Path("filled.xlsx"), out.getvalue())
    assert refused.empty
    (answer,) = told.to_dict("records")
    unit = cells.cell(3, columns["unit_id"]).value
    expected = {"sheet": sheet, "row": 3, "list_id": FACTS.list_id, "unit_id": unit, "code": "1"}
    assert expected.items() <= answer.items()
    assert answer["comment"] == "leak at port 2"


def test_the_same_night_gives_the_same_bytes_and_names_no_clock():
    content = full()
    assert full() == content
    assert opened(content).properties.created == FACTS.as_of.replace(tzinfo=None)
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        assert {info.date_time for info in parts.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_rows_are_as_high_as_their_wrapped_texts_in_programs_that_do_not_fit_them():
    long = "hold pressure 412 bar, good parts 428-441; bath temperature 731 degC, good parts 690-712, on FUR-2 " * 2
    units = opened(full(because=because(["u0", "u3"]).assign(because=[long.strip(), "x" * 4_000])))["Units"]
    usual = None  # one line
    assert [units.row_dimensions[row].height for row in (2, 3, 4)] == [60.0, usual, 405.0]
