import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from published_lists import put_list
from sqlalchemy import select

from qma_predict.data.lake import Lake
from qma_predict.errors import DamagedList
from qma_predict.home import open_home
from qma_predict.publish.issues.find import Issue
from qma_predict.publish.lists.desk import open_desk
from qma_predict.publish.lists.desk_tables import ISSUE_ANSWERS
from qma_predict.publish.pages import workbook
from qma_predict.publish.pages.facts import Facts
from qma_predict.review.answers import import_answers, imported_words
from qma_predict.review.issue_answers import Told, checked_issues, owners, told_issues

DAY = date(2026, 11, 24)
LIST = "tiny-2026-11-24"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
TITLES = ["wash W1 · order 7", "=lot 5", "mill M2", "cast C1"]
NOBODY = pd.DataFrame(columns=["list_id", "title", "answered_at", "owner", "due", "recorded_at"])


def book_of(known=None, list_id=LIST):
    """The workbook of a list with these issues."""
    issues = [
        Issue(number, title, (), 3, 0.3, 0.2, 0.4, 0.1, NOW, 2, "", (), "hold", ())
        for number, title in enumerate(TITLES, start=1)
    ]
    facts = Facts(
        plant="P", line="L", business_date=DAY, as_of=NOW, valid_until=LATER, timezone="UTC", list_id=list_id,
        state="OK", state_reasons=(), data_until=None, tables=1, model="m", model_version=None, trained_until=None,
        capacity=1, base_rate=None, expected=None, low=None, high=None, random_found=None,
    )  # fmt: skip
    columns = ["unit_id", "product", "station", "machine", "since", "score", "reason", "rank", "first_night"]
    none = pd.DataFrame(columns=[*columns, "risk_low", "risk_high"]).assign(listed=False)
    return workbook.render(facts, none, none, issues=issues, owners=known)


def filled(file, content, cells):
    """The workbook with these cells of the sheet Issues, by title and column."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    rows = list(book["Issues"].iter_rows())
    head = [cell.value for cell in rows[0]]
    by_title = {row[head.index("title")].value.removeprefix("'"): row for row in rows[1:]}
    for (title, column), value in cells.items():
        by_title[title][head.index(column)].value = value
    book.save(file)
    return file


def shown(content):
    head, *rows = openpyxl.load_workbook(io.BytesIO(content))["Issues"].iter_rows(values_only=True)
    return pd.DataFrame(rows, columns=head).set_index("title")[["owner", "due"]].fillna("")


@pytest.fixture
def lists(tmp_path, tiny_line):
    put_list(
        folder := open_home(tmp_path / "home").published("tiny"),
        tiny_line,
        DAY,
        {"u1": 0.3},
        facts={"issues": [{"title": title} for title in TITLES]},
    )
    return folder


def test_owner_and_day_of_an_issue_come_back_and_the_next_list_shows_them(tmp_path, tiny_line, make_lake, lists):
    lake, home = make_lake({}, set_up="2026-11-01"), open_home(tmp_path / "home")

    def take(file, now=NOW):
        done = import_answers(open_desk(home, {}), lake, tiny_line, lists, file, now=now)
        assert done.rows == done.accepted + done.duplicates + len(done.refused)
        return done

    def desk():
        with open_desk(home, {}).connect() as connection:
            return connection.execute(select(ISSUE_ANSWERS).order_by(ISSUE_ANSWERS.c.answered_at, "row")).all()

    cells = {
        (TITLES[0], "owner"): "B. Özil",
        (TITLES[0], "due"): "30.11.2026",
        (TITLES[1], "due"): date(2026, 12, 1),
    }
    file = filled(tmp_path / "filled.xlsx", book_of(), cells | {(TITLES[2], "owner"): "A", (TITLES[2], "due"): "soon"})
    done = take(file)
    assert (done.rows, done.accepted, done.issues, done.empty) == (3, 2, 2, 1)
    reason = "due: not a day such as 2026-11-30 or 30.11.2026: 'soon'"
    assert [tuple(one) for one in done.refused] == [("Issues", 4, reason)]
    assert "2 issues with an owner or a day" in imported_words(done)
    assert lake.read("quarantine")[["table", "row", "reason"]].values.tolist() == [["issue_answers", 4, reason]]
    first = desk()
    assert [(row.title, row.owner, row.due, row.sheet, row.row) for row in first] == [
        (TITLES[0], "B. Özil", date(2026, 11, 30), "Issues", 2),
        ("=lot 5", None, date(2026, 12, 1), "Issues", 3),
    ]
    before = lake.versions()
    again = take(file, LATER)
    assert (again.accepted, again.duplicates, len(again.refused)) == (0, 2, 1)
    assert (desk(), lake.versions()) == (first, before)

    assert owners(lake.at(NOW - timedelta(minutes=1))).empty
    later = filled(tmp_path / "later.xlsx", book_of(), {(TITLES[0], "owner"): "C. Lin"})
    assert take(later, LATER).accepted == 1
    assert take(file, LATER + timedelta(hours=1)).accepted == 0  # an older file changes nothing
    tonight = book_of(owners(lake.at(LATER)), "tiny-2026-11-25")
    assert shown(tonight).T.to_dict("list") == {
        TITLES[0]: ["C. Lin", "2026-11-30"],
        "'=lot 5": ["", "2026-12-01"],
        TITLES[2]: ["", ""],
        TITLES[3]: ["", ""],
    }


def rows_of(*rows):
    names = ["list_id", "title", "owner", "due"]
    return pd.DataFrame(rows, columns=names).astype("str").assign(sheet="Issues", row=range(2, len(rows) + 2))


def test_rows_that_cannot_be_taken_are_refused_with_the_reason():
    damaged = {"tiny-2026-11-20": DamagedList(Path("x"), ["cut"])}
    told = Told(pd.DataFrame([(LIST, title, DAY) for title in TITLES], columns=["list_id", "title", "day"]), damaged)
    rows = rows_of(
        (None, TITLES[0], "A", None),
        (LIST, "other", "A", None),
        ("tiny-2026-11-20", "x", "A", None),
        (LIST, TITLES[0], "=A", "2026-11-23"),
        (LIST, TITLES[1], "A", None),
        (LIST, TITLES[1], "B", None),
        (LIST, TITLES[1], "A", None),
        (LIST, TITLES[2], "x" * 101, "11/30/2026"),
        (LIST, TITLES[3], "A", "2026-11-24"),
        (LIST, TITLES[3], "A", "24.11.2026"),
    )
    answers, refused = checked_issues(rows, told, NOBODY, NOW)
    assert answers[["title", "owner", "due", "row"]].values.tolist() == [[TITLES[3], "A", "2026-11-24", 10]]
    damage = "the list is damaged, so that nobody knows its issues; restore it from a backup and import this file again"
    several = "title: the file contradicts itself: it has this issue several times: '=lot 5'"
    assert dict(zip(refused["row"], refused["reason"], strict=True)) == {
        2: "list_id: missing",
        3: "title: no issue of that list: 'other'",
        4: f"list_id: {damage}: 'tiny-2026-11-20'",
        5: "due: before the day of the list: '2026-11-23'; owner: expected a name without hidden characters and no "
        "formula: '=A'",
        6: several,
        7: several,
        8: several,
        9: f"due: not a day such as 2026-11-30 or 30.11.2026: '11/30/2026'; owner: longer than 100 characters: "
        f"'{'x' * 80}'",
    }


def test_issues_of_every_revision_can_be_answered_and_of_a_damaged_one_none(lists, tiny_line):
    put_list(lists, tiny_line, DAY, {"u1": 0.3}, replace="late", facts={"issues": [{"title": "new"}]})
    told = told_issues(lists, [LIST, "tiny-2026-01-01"])
    assert set(told.issues["title"]) == {*TITLES, "new"}
    assert not told.damaged
    (lists / "revisions" / f"{DAY}.r1" / "manifest.json").write_text("{}")
    told = told_issues(lists, [LIST])
    assert (list(told.issues["title"]), list(told.damaged)) == (["new"], [LIST])


def test_the_newest_owner_of_a_title_is_known_for_two_weeks(make_history):
    def row(at, owner, title="mill M2", list_id=LIST):
        return {"list_id": list_id, "title": title, "answered_at": at, "owner": owner, "due": None}

    rows = [
        row("2026-11-24 09:00", "A"),
        row("2026-11-25 09:00", "B", list_id="tiny-2026-11-25"),
        row("2026-11-26 09:00", "C"),
        row("2026-11-01 09:00", "D", title="cast C1"),
    ]
    known = make_history({"issue_answers": rows}, as_of="2026-11-25 12:00")
    assert owners(known)["owner"].to_dict() == {"mill M2": "B"}
    assert owners(make_history({"issue_answers": rows}, as_of="2026-12-12 12:00")).empty


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("last", ["quarantine", "issue_answers", "files"])
def test_an_import_that_is_stopped_and_run_again_loses_and_doubles_no_owner(
    tmp_path, tiny_line, make_lake, lists, last
):
    lake, desk = make_lake({}, set_up="2026-11-01"), open_desk(open_home(tmp_path / "home"), {})
    cells = {(TITLES[0], "owner"): "A", (TITLES[1], "due"): "soon"}
    file = filled(tmp_path / "filled.xlsx", book_of(), cells)

    def stop(name):
        of_units = lake.read("quarantine").empty  # the file's rows for units are booked first
        if name == f"after {last}" and (last == "quarantine" or not of_units):
            raise Stopped

    with pytest.raises(Stopped):
        import_answers(desk, Lake(lake.folder, stop), tiny_line, lists, file, now=NOW)
    for moment in (LATER, LATER):
        done = import_answers(desk, lake, tiny_line, lists, file, now=moment)
        assert (done.rows, len(done.refused)) == (2, 1)
    with desk.connect() as connection:
        assert [row.owner for row in connection.execute(select(ISSUE_ANSWERS))] == ["A"]
    assert (len(lake.read("issue_answers")), len(lake.read("quarantine"))) == (1, 1)
