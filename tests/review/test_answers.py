import io
from datetime import UTC, date, datetime, timedelta
from shutil import rmtree

import openpyxl
import pandas as pd
import pytest
import xlsxwriter
from published_lists import put_list
from sqlalchemy import select

from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.publish import risk_list
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.desk import open_desk
from qma_predict.publish.lists.desk_tables import ANSWERS
from qma_predict.publish.pages import workbook
from qma_predict.publish.pages.facts import Facts
from qma_predict.publish.policy import select as policy
from qma_predict.review.answers import import_answers, imported_words

DAY = date(2026, 11, 24)
LIST = "tiny-2026-11-24"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
UNITS = {
    "u1": 0.3,
    "u2": {"score": 0.2, "check": "leak"},
    "u3": {"score": 0.01, "selected_by": "audit", "selection_probability": 0.25},
    "u4": 0.1,
    "=u5": 0.1,
    "u6": {"score": 0.05, "listed": False},
}


class Plant:
    """A home with one published list, and a lake whose books say that it was set up before."""

    def __init__(self, folder, line, make_lake):
        self.home, self.line = open_home(folder / "home"), line
        self.lake = make_lake({}, set_up="2026-11-01")
        self.lists = self.home.published("tiny")
        put_list(self.lists, line, DAY, UNITS)

    def take(self, file, *, now=NOW, line=None, lake=None):
        desk = open_desk(self.home, {})
        return import_answers(desk, lake or self.lake, line or self.line, self.lists, file, now=now)

    def answers(self):
        rows = self.lake.read("answers").sort_values(["unit_id", "answered_at"])
        rows = rows[["unit_id", "code", "text"]].astype(object).where(rows[["unit_id", "code", "text"]].notna(), None)
        return [tuple(row) for row in rows.itertuples(index=False)]

    def desk_answers(self):
        with open_desk(self.home, {}).connect() as connection:
            rows = connection.execute(select(ANSWERS).order_by(ANSWERS.c.unit_id, ANSWERS.c.answered_at))
            return [row._mapping for row in rows]

    def results(self, at=None):
        """Newest version of each inspection known at a moment: unit, characteristic, passed, code."""
        history = self.lake.at(at or LATER + timedelta(days=9))
        rows = history.newest("inspections").to_pandas().sort_values(["unit_id", "characteristic", "occurred_at"])
        return [(r.unit_id, r.characteristic, r.passed, None if pd.isna(r.code) else r.code) for r in rows.itertuples()]


@pytest.fixture
def plant(tmp_path, tiny_line, make_lake):
    return Plant(tmp_path, tiny_line, make_lake)


@pytest.fixture
def csv(tmp_path):
    """Return a function that writes a CSV of rows `unit,result,comment[,answered_at]`."""

    def write(*rows, name="filled.csv", head="list_id,unit_id,result,comment"):
        (tmp_path / name).write_text("\n".join([head, *(f"{LIST},{row}" for row in rows)]) + "\n")
        return tmp_path / name

    return write


@pytest.fixture
def xlsx(tmp_path):
    """Return a function that writes a workbook of the sheets' rows (unit, result, comment)."""

    def write(units=(), check=(), name="filled.xlsx"):
        with xlsxwriter.Workbook(tmp_path / name) as book:
            for sheet, rows in (("Read me", []), ("Units", units), ("Check sheet", check)):
                page = book.add_worksheet(sheet)
                page.write_row(0, 0, ["list_id", "rank", "unit_id", "result", "comment"])
                for number, (unit, result, comment) in enumerate(rows, start=1):
                    page.write_row(number, 0, [LIST, number])
                    page.write_string(number, 2, unit)
                    page.write_row(number, 3, [result, comment])
        return tmp_path / name

    return write


def counts(done):
    assert done.rows == done.accepted + done.duplicates + len(done.refused)
    return done.accepted, done.duplicates, len(done.refused)


def test_answers_become_rows_of_answers_and_results_those_of_inspections(plant, csv):
    done = plant.take(csv("u1,1,flash", "u2,2 no fault found,", "u3,No Fault Found,", "u4,3,", "'=u5,,left"))
    assert counts(done) == (5, 0, 0)
    assert plant.answers() == [
        ("=u5", None, "left"),
        ("u1", "1", "flash"),
        ("u2", "2", None),
        ("u3", "2", None),
        ("u4", "3", None),
    ]
    assert plant.results() == [  # u2 was to be checked for leaks only
        ("u1", "leak", False, None),
        ("u1", "size", False, None),
        ("u2", "leak", True, None),
        ("u3", "leak", True, None),
        ("u3", "size", True, None),
    ]
    assert done.results == 5
    rows = plant.lake.read("inspections").set_index("unit_id")
    assert rows.loc["u2", ["gate", "reason", "probability"]].tolist() == ["final", "risk list", 1.0]
    assert rows.loc["u3", "reason"].tolist() == ["audit"] * 2
    assert rows.loc["u3", "probability"].tolist() == [0.25] * 2
    assert set(rows["occurred_at"]) == {pd.Timestamp(NOW)}


def test_answers_are_known_from_their_import_on_and_keep_no_night_from_its_data(plant, csv):
    plant.take(csv("u1,1,"))
    assert len(plant.lake.at(NOW - timedelta(minutes=1)).newest("inspections").to_pandas()) == 0
    assert len(plant.lake.at(NOW).newest("inspections").to_pandas()) == 2
    book = plant.lake.read("files")
    assert book["ingested_at"].max() == plant.line.as_of(DAY)  # the day's list may still have to be made


def test_the_desk_database_has_the_answers_with_their_place(plant, xlsx):
    plant.take(xlsx(units=[("u1", "1 defect found", "x")], check=[("u4", "", ""), ("u2", "2", "")]))
    rows = [(row["unit_id"], row["code"], row["sheet"], row["row"]) for row in plant.desk_answers()]
    assert rows == [("u1", "1", "Units", 2), ("u2", "2", "Check sheet", 3)]
    assert {row["answered_at"] for row in plant.desk_answers()} == {NOW}


def test_the_same_file_twice_changes_nothing(plant, csv):
    file = csv("u1,1,x", "u4,3,", "u9,1,")
    assert counts(plant.take(file)) == (2, 0, 1)
    before = plant.answers(), plant.results(), plant.desk_answers(), plant.lake.versions()
    again = plant.take(file, now=LATER)
    assert counts(again) == (0, 2, 1)
    assert again.results == 0
    assert (plant.answers(), plant.results(), plant.desk_answers(), plant.lake.versions()) == before


def test_a_file_that_was_filled_further_adds_what_is_new(plant, csv):
    plant.take(csv("u1,1,x", "u2,,"))
    done = plant.take(csv("u1,1,x", "u2,2,", "u3,2,", name="later.csv"), now=LATER)
    assert counts(done) == (2, 1, 0)
    assert plant.answers() == [("u1", "1", "x"), ("u2", "2", None), ("u3", "2", None)]


def test_an_older_file_again_after_a_correction_changes_nothing(plant, csv):
    first = csv("u1,1,")
    plant.take(first)
    plant.take(csv("u1,2,", name="corrected.csv"), now=LATER)
    assert counts(plant.take(first, now=LATER + timedelta(hours=1))) == (0, 1, 0)
    assert plant.answers() == [("u1", "1", None), ("u1", "2", None)]


def test_a_changed_answer_corrects_the_same_inspection(plant, csv):
    plant.take(csv("u1,1,scratch"))
    done = plant.take(csv("u1,2,", name="corrected.csv"), now=LATER)
    assert counts(done) == (1, 0, 0)
    assert plant.answers() == [("u1", "1", "scratch"), ("u1", "2", "scratch")]  # what is left empty stays
    assert plant.results(LATER - timedelta(seconds=1)) == [("u1", "leak", False, None), ("u1", "size", False, None)]
    assert plant.results(LATER) == [("u1", "leak", True, None), ("u1", "size", True, None)]
    assert [row["answered_at"] for row in plant.desk_answers()] == [NOW, LATER]


def test_a_comment_that_comes_later_keeps_the_result(plant, csv):
    plant.take(csv("u1,1,"))
    plant.take(csv("u1,,seen by B", name="comment.csv"), now=LATER)
    assert plant.answers() == [("u1", "1", None), ("u1", "1", "seen by B")]
    assert plant.results() == [("u1", "leak", False, None), ("u1", "size", False, None)]


def test_a_result_that_is_taken_back_needs_a_code_that_does_not_count(plant, csv):
    plant.take(csv("u1,1,"))
    back = csv("u1,5,wrong unit", name="back.csv")
    done = plant.take(back, now=LATER)
    assert counts(done) == (0, 0, 1)
    assert done.refused[0].reason.startswith("result: takes back a result, which needs a code for results that do not")
    gate = plant.line.gate.model_copy(update={"void": ("VOID",)})
    assert counts(plant.take(back, now=LATER, line=plant.line.model_copy(update={"gate": gate}))) == (1, 0, 0)
    assert plant.results() == [("u1", "leak", False, "VOID"), ("u1", "size", False, "VOID")]


def test_with_confirm_an_answer_is_no_inspection(plant, csv):
    settings = plant.line.list.model_copy(update={"confirm": True})
    done = plant.take(csv("u1,1,"), line=plant.line.model_copy(update={"list": settings}))
    assert counts(done) == (1, 0, 0)
    assert done.results == 0
    assert plant.results() == []


def test_refused_rows_are_told_with_their_number_and_kept_in_quarantine(plant, tmp_path):
    file = tmp_path / "filled.csv"
    file.write_text(
        "list_id;unit_id;result;comment\n"
        f"{LIST};u1;1;\n"
        "tiny-2026-11-23;u1;1;\n"
        f"{LIST};u6;1;\n"
        f"{LIST};u2;7;\n"
        ";u3;2;\n"
        f"{LIST};u3;2\n"
        f"{LIST};;;\n"
    )
    done = plant.take(file)
    assert counts(done) == (1, 0, 5)
    assert done.empty == 1
    assert {one.row: one.reason for one in done.refused} == {
        3: "list_id: no such list is published, or it lists no unit: 'tiny-2026-11-23'",
        4: "unit_id: not among the units to check of that list: 'u6'",
        5: "result: '7' is none of 1 defect found, 2 no fault found, 3 not checked (no time), "
        "4 not checked (gone), 5 data wrong, 6 known issue",
        6: "list_id: missing",
        7: "expected 4 values as in the header, found 3",
    }
    kept = plant.lake.read("quarantine")
    assert sorted(kept["row"]) == [3, 4, 5, 6, 7]
    assert set(kept["reason"]) == {one.reason for one in done.refused}
    text = imported_words(done).splitlines()
    assert text[0].endswith("filled.csv: 6 rows with an answer, 1 without: 1 accepted, 0 duplicates, 5 refused; "
                            "2 results at the gate")  # fmt: skip
    assert "  row 6: list_id: missing" in text


def test_two_sheets_that_say_the_same_are_one_answer(plant, xlsx):
    done = plant.take(
        xlsx(units=[("u1", "1", "edge"), ("u2", "", "warm")], check=[("u2", "2", ""), ("u1", 1, "bubble")])
    )
    assert counts(done) == (2, 2, 0)
    assert plant.answers() == [("u1", "1", "edge; bubble"), ("u2", "2", "warm")]


def test_two_sheets_that_contradict_each_other_are_refused_on_both(plant, xlsx):
    done = plant.take(xlsx(units=[("u4", "2", ""), ("u1", "1", "")], check=[("u1", "2", "")]))
    assert counts(done) == (1, 0, 2)
    reason = "result: the file contradicts itself: 1 in Units, row 3, 2 in Check sheet, row 2"
    assert [tuple(one) for one in done.refused] == [("Units", 3, reason), ("Check sheet", 2, reason)]


def test_a_list_that_is_published_after_its_answers_came_can_be_answered_by_the_same_file(plant, csv, tmp_path):
    file = csv("u1,1,")
    with file.open("a") as more:
        more.write("tiny-2026-11-25,v1,2,\n")
    assert counts(plant.take(file)) == (1, 0, 1)
    put_list(plant.lists, plant.line, date(2026, 11, 25), {"v1": 0.3})
    assert counts(plant.take(file, now=NOW + timedelta(days=1))) == (1, 1, 0)
    assert plant.answers() == [("u1", "1", None), ("v1", "2", None)]


def test_the_sheet_of_a_list_that_was_replaced_can_still_be_answered(plant, csv):
    put_list(plant.lists, plant.line, DAY, {"w1": 0.5}, replace="late file")
    assert counts(plant.take(csv("u1,1,", "w1,2,"))) == (2, 0, 0)


def test_answers_with_moments_of_their_own(plant, csv):
    head = "list_id,unit_id,result,comment,answered_at"
    done = plant.take(
        csv(
            "u1,2,,2026-11-24 07:00",
            "u1,1,,24.11.2026 08:30",
            "u2,1,,2026-11-24 03:00",
            "u3,1,,2026-11-26 03:00",
            "u4,1,,soon",
            head=head,
        )
    )
    assert counts(done) == (2, 0, 3)
    assert [one.reason.split(":")[1].strip() for one in done.refused] == [
        "impossible time, before the list was made",  # it is of 05:00 in Berlin
        "impossible time, in the future",
        "not a time of Europe/Berlin such as 2026-11-24 06",
    ]
    moments = [row["answered_at"] for row in plant.desk_answers()]
    assert moments == [datetime(2026, 11, 24, 6, tzinfo=UTC), datetime(2026, 11, 24, 7, 30, tzinfo=UTC)]
    assert plant.results() == [("u1", "leak", False, None), ("u1", "size", False, None)]
    other = plant.take(csv("u1,2,,2026-11-24 08:30", head=head, name="other.csv"), now=LATER)
    assert other.refused[0].reason == (
        "answered_at: the answer of this moment says otherwise; a correction has a later one"
    )


NAMES = ["7047-00318", "00318", "=1+1", "-5", "@x", "a; =b", "u\u202e1", "ü 1", "<b>x</b>", "'quoted", "x" * 90]


def test_the_workbook_of_a_list_is_filled_in_by_a_spreadsheet_and_comes_back_without_loss(plant, tmp_path):
    moment = pd.Timestamp(plant.line.as_of(DAY))
    night = pd.DataFrame({"unit_id": NAMES, "score": 0.2, "cutoff": moment, "since": moment, "first_night": DAY})
    night = night.reindex(columns=risk_list.CANDIDATE_COLUMNS)
    settings = plant.line.list.model_copy(update={"capacity": len(NAMES)})
    ranked = policy.select(night, plant.line.model_copy(update={"list": settings}), list_id="tiny-2026-11-25")
    none = risk_list.not_scored(night)
    table = risk_list.table(ranked, none, list_id="tiny-2026-11-25")
    facts = {"list_id": "tiny-2026-11-25", "as_of": moment.isoformat()}
    shown = Facts(
        **facts | {"as_of": moment.to_pydatetime()}, plant="P", line="L", business_date=DAY, valid_until=LATER,
        timezone="UTC", state="OK", state_reasons=(), data_until=None, tables=1, model="m", model_version=None,
        trained_until=None, capacity=len(NAMES), base_rate=None, expected=None, low=None, high=None, random_found=None,
    )  # fmt: skip
    (tmp_path / "filled.xlsx").write_bytes(workbook.render(shown, ranked, none))
    contents = {"scores.parquet": risk_list.to_parquet(table), "risk_list.csv": risk_list.to_csv(table)}
    bundle.publish(plant.lists, date(2026, 11, 25), contents, facts=facts, receipt={})

    book = openpyxl.load_workbook(tmp_path / "filled.xlsx")
    comments = [f"{sign}1+1 größer\nzweite Zeile <b>" for sign in "=+-@'x"]
    expected = []
    for place, row in enumerate(book["Units"].iter_rows(min_row=2)):
        cells = dict(zip([cell.value for cell in book["Units"][1]], row, strict=True))
        cells["result"].value = workbook.RESULTS[place % 6]
        cells["comment"].value = comments[place % 6]
        cells["comment"].data_type = "s"
        expected.append((ranked["unit_id"][place], str(place % 6 + 1), comments[place % 6]))
    book.save(tmp_path / "filled.xlsx")
    assert counts(plant.take(tmp_path / "filled.xlsx", now=LATER)) == (len(NAMES), 0, 0)
    assert plant.answers() == sorted(expected)

    filled = pd.read_csv(io.BytesIO(contents["risk_list.csv"]), dtype="str").assign(result="2", comment="by CSV")
    filled.to_csv(tmp_path / "filled.csv", index=False)
    gate = plant.line.gate.model_copy(update={"void": ("VOID",)})
    later = {"now": LATER + timedelta(hours=1), "line": plant.line.model_copy(update={"gate": gate})}
    assert counts(plant.take(tmp_path / "filled.csv", **later)) == (len(NAMES), 0, 0)


def test_a_unit_that_was_on_two_lists_of_one_file_is_inspected_twice_and_none_is_lost(plant, tmp_path):
    before = {"u1": {"score": 0.1, "selected_by": "audit", "selection_probability": 0.2, "check": "leak"}}
    put_list(plant.lists, plant.line, DAY - timedelta(days=1), before)
    file = tmp_path / "both.csv"
    file.write_text("list_id,unit_id,result,comment\ntiny-2026-11-23,u1,2,\ntiny-2026-11-24,u1,1,\n")
    done = plant.take(file)
    assert (done.accepted, done.refused) == (2, ())
    leak = [row for row in plant.results() if row[:2] == ("u1", "leak")]
    assert leak == [("u1", "leak", True, None), ("u1", "leak", False, None)]
    assert plant.lake.read("quarantine").empty


def test_a_list_that_nobody_filled_in_has_no_answers(plant, xlsx, csv):
    done = plant.take(xlsx(units=[("u1", "", "")], check=[("u1", "", " ")]))
    assert counts(done) == (0, 0, 0)
    assert done.empty == 2
    assert counts(plant.take(csv())) == (0, 0, 0)
    assert plant.answers() == []
    assert plant.results() == []


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("last", ["quarantine", "answers", "files", "inspections", "files again"])
def test_an_import_that_is_stopped_and_run_again_loses_and_doubles_nothing(plant, csv, last):
    file = csv("u1,1,x", "u2,2,", "u4,3,", "u9,1,")
    steps = []

    def stop(name):
        step = name.removeprefix("after ")
        steps.append(f"{step} again" if step in steps else step)
        if steps[-1] == last:
            raise Stopped

    with pytest.raises(Stopped):
        plant.take(file, lake=Lake(plant.lake.folder, stop))
    done = plant.take(file, now=LATER)
    assert len(done.refused) == 1
    assert plant.answers() == [("u1", "1", "x"), ("u2", "2", None), ("u4", "3", None)]
    assert [row[:3] for row in plant.results()] == [("u1", "leak", False), ("u1", "size", False), ("u2", "leak", True)]
    assert len(plant.lake.read("inspections")) == 3
    assert len(plant.lake.read("quarantine")) == 1
    assert [row["unit_id"] for row in plant.desk_answers()] == ["u1", "u2", "u4"]
    assert counts(plant.take(file, now=LATER)) == (0, 3, 1)
    book = plant.lake.read("files").dropna(subset=["file_id"])
    assert (book["rows"] == book["accepted"] + book["duplicates"] + book["quarantined"]).all()
    assert book.loc[book["table"] == "answers", ["accepted", "quarantined"]].values.tolist() == [[3, 1]]


def test_what_no_run_before_brought_to_the_desk_database_a_later_file_does(plant, csv):
    plant.take(csv("u1,1,x"))
    plant.home.desk.unlink()
    plant.take(csv("u1,1,x", "u2,2,", name="later.csv"), now=LATER)
    assert [(row["unit_id"], row["answered_at"]) for row in plant.desk_answers()] == [("u1", NOW), ("u2", LATER)]


def cut(file):
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    return whole


def test_a_damaged_list_is_named_keeps_no_other_from_being_answered_and_its_rows_come_once_it_is_restored(plant, csv):
    put_list(plant.lists, plant.line, DAY - timedelta(days=1), {"v1": 0.3, "v2": 0.2})
    file = csv("u1,1,x", "u9,1,")
    with file.open("a") as more:
        more.write("tiny-2026-11-23,v1,2,\ntiny-2026-11-23,v9,2,\n")
    scores = plant.lists / "revisions" / "2026-11-23.r1" / "scores.parquet"
    whole = cut(scores)
    done = plant.take(file)
    assert counts(done) == (1, 0, 3)
    what = "the list is damaged, so that nobody knows its units; restore it from a backup and import this file again"
    assert [one.reason for one in done.refused if one.row > 3] == [f"list_id: {what}: 'tiny-2026-11-23'"] * 2
    assert [one.row for one in done.refused] == [3, 4, 5]
    (words,) = done.damaged
    assert imported_words(done).splitlines()[-1] == words
    assert f"{scores.parent}: the published list is damaged: scores.parquet has SHA-256" in words
    assert counts(plant.take(file, now=LATER)) == (0, 1, 3)
    scores.write_bytes(whole)
    done = plant.take(file, now=LATER)
    assert (counts(done), done.damaged) == ((1, 1, 2), ())
    assert plant.answers() == [("u1", "1", "x"), ("v1", "2", None)]
    assert len(plant.results()) == 4


def test_of_a_damaged_revision_and_those_before_it_nothing_counts_and_of_those_after_it_all(plant, csv):
    revisions = plant.lists / "revisions"
    cut(revisions / f"{DAY}.r1" / "scores.parquet")
    put_list(plant.lists, plant.line, DAY, {"u1": 0.5, "w1": 0.4}, replace="damaged files")
    file = csv("u1,1,", "u2,2,", "w1,2,")
    done = plant.take(file)
    assert (counts(done), [one.row for one in done.refused]) == ((2, 0, 1), [3])
    assert done.refused[0].reason.startswith("list_id: the list is damaged")
    put_list(plant.lists, plant.line, DAY, {"w1": 0.4, "w2": 0.3}, replace="late file")
    rmtree(revisions / f"{DAY}.r3")  # what the date shows is gone
    done = plant.take(csv("u1,1,", "w2,2,", name="other.csv"), now=LATER)
    assert (counts(done), len(done.damaged)) == ((0, 0, 2), 1)
