from datetime import date, timedelta

import pandas as pd
import pytest
from published_lists import put_list

from qma_predict.review.earlier import lists_before
from qma_predict.review.promises import promises

DAY, NEXT = date(2026, 11, 24), date(2026, 11, 25)
LIST = "tiny-2026-11-24"
EVEN = [f"u{number}" for number in range(6)]
"""Six units with a score of 0.5: 3 defects are promised, and chance alone gives 1 to 5 in nine of ten such lists."""

SOON, MATURE = "2026-11-25 05:00", "2026-11-29 05:00"
"""Before and after the five days that the tiny line waits for labels."""


@pytest.fixture
def lists(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def even(lists, tiny_line):
    put_list(lists, tiny_line, DAY, dict.fromkeys(EVEN, 0.5))
    return lists


def results(*defects, of=EVEN, at="2026-11-24 12:00"):
    """Rows of inspections: both characteristics of these units, the defects leaking."""
    return [
        {"unit_id": unit, "gate": "final", "characteristic": one, "occurred_at": at,
         "passed": not (unit in defects and one == "leak")}
        for unit in of
        for one in ("leak", "size")
    ]  # fmt: skip


def answers(codes, *, at="2026-11-24 09:00", list_id=LIST):
    return [{"list_id": list_id, "unit_id": unit, "answered_at": at, "code": code} for unit, code in codes.items()]


def told_of(folder, history, line, **more):
    return promises(lists_before(folder, line, history.as_of.to_pydatetime()), history, line, **more)


def row(folder, history, line, at=0):
    return told_of(folder, history, line).iloc[at]


def counts(told):
    assert told["listed"] == told["checked"] + told["pending"] + told["not_checked"]
    return told["checked"], told["found"], told["pending"], told["not_checked"]


@pytest.mark.parametrize(
    ("defects", "verdict", "reason"),
    [
        (0, "broken", "found 0 in 6 checked, promised 1 to 5: fewer than promised"),
        (1, "kept", "found 1 in 6 checked, promised 1 to 5"),
        (5, "kept", "found 5 in 6 checked, promised 1 to 5"),
        (6, "broken", "found 6 in 6 checked, promised 1 to 5: more than promised"),
    ],
)
def test_a_promise_is_kept_if_what_was_found_lies_in_its_interval(
    even, make_history, tiny_line, defects, verdict, reason
):
    history = make_history({"inspections": results(*EVEN[:defects])}, as_of=MATURE)
    told = row(even, history, tiny_line)
    assert (told["business_date"], told["promised"], told["low"], told["high"]) == (DAY, 3.0, 1.0, 5.0)
    assert counts(told) == (6, defects, 0, 0)
    assert (told["verdict"], told["reason"]) == (verdict, reason)


def test_what_the_gate_found_counts_after_the_maturity_only(even, make_history, tiny_line):
    told = row(even, make_history({"inspections": results(*EVEN)}, as_of=SOON), tiny_line)
    assert counts(told) == (0, 0, 6, 0)
    assert pd.isna(told["promised"])
    assert (told["verdict"], told["reason"]) == ("not enough yet", "0 of 6 checked, expected 5 or more")


def test_the_promise_is_that_of_the_checked_units(lists, make_history, tiny_line):
    units = dict(zip(EVEN, (0.9, 0.8, 0.7, 0.6, 0.5, 0.4), strict=True))
    put_list(lists, tiny_line, DAY, units | {"u9": {"score": 0.3, "listed": False}})
    checked = [unit for unit in EVEN if unit != "u0"]
    history = make_history({"inspections": results("u1", "u2", "u3", of=[*checked, "u9"])}, as_of=MATURE)
    told = row(lists, history, tiny_line)
    assert told["promised"] == pytest.approx(0.8 + 0.7 + 0.6 + 0.5 + 0.4)
    assert counts(told) == (5, 3, 0, 1)


def test_an_answer_tells_at_once(even, make_history, tiny_line):
    codes = {"u0": "1", "u1": "1", "u2": "2", "u3": "2", "u4": "3", "u5": "5"}
    told = row(even, make_history({"answers": answers(codes)}, as_of=SOON), tiny_line)
    assert counts(told) == (4, 2, 0, 2)
    codes["u4"] = "2"
    told = row(even, make_history({"answers": answers(codes)}, as_of=SOON), tiny_line)
    assert counts(told) == (5, 2, 0, 1)
    assert (told["promised"], told["verdict"]) == (2.5, "kept")


def test_the_newest_answer_counts(even, make_history, tiny_line):
    both = [*answers({"u0": "1"}), *answers({"u0": "2"}, at="2026-11-24 10:00")]
    assert counts(row(even, make_history({"answers": both}, as_of=SOON), tiny_line)) == (1, 0, 5, 0)


def test_an_answer_on_another_list_is_none_on_this_one(even, make_history, tiny_line):
    other = answers({"u0": "1"}, list_id="tiny-2026-11-23")
    assert counts(row(even, make_history({"answers": other}, as_of=SOON), tiny_line)) == (0, 0, 6, 0)


def test_where_the_line_wants_results_confirmed_answers_decide_nothing(even, make_history, tiny_line):
    line = tiny_line.model_copy(update={"list": tiny_line.list.model_copy(update={"confirm": True})})
    known = answers({"u0": "1", "u1": "2", "u2": "3"})
    assert counts(row(even, make_history({"answers": known}, as_of=SOON), line)) == (0, 0, 5, 1)
    history = make_history({"answers": known, "inspections": results(of=["u0"])}, as_of=MATURE)
    assert counts(row(even, history, line)) == (1, 0, 0, 5)


def test_of_few_checks_or_hardly_any_promised_defect_nothing_is_said(lists, make_history, tiny_line):
    put_list(lists, tiny_line, DAY, dict.fromkeys(EVEN, 0.1))
    told = row(lists, make_history({"inspections": results()}, as_of=MATURE), tiny_line)
    assert (told["verdict"], told["reason"]) == ("not enough yet", "0.6 defects promised among 6 checked units")


def test_a_ranking_promises_no_number(lists, make_history, tiny_line):
    put_list(lists, tiny_line, DAY, {unit: {"score": 0.5, "score_is": "ranking"} for unit in EVEN})
    told = row(lists, make_history({"inspections": results("u0")}, as_of=MATURE), tiny_line)
    assert told[["promised", "low", "high"]].isna().all()
    assert counts(told) == (6, 1, 0, 0)
    assert (told["verdict"], told["reason"]) == (
        "not enough yet",
        "its scores were a ranking, which promises no number",
    )


def test_a_promise_names_the_model_that_made_it(lists, make_history, tiny_line):
    put_list(lists, tiny_line, DAY, {"u0": 0.5})
    put_list(lists, tiny_line, NEXT, {"u0": 0.5}, facts={"model": {"version": "3", "sha256": "0123456789abcdef"}})
    assert told_of(lists, make_history({}), tiny_line)["model"].tolist() == ["v3 0123456789ab", ""]


def test_the_interval_is_by_the_spread_that_the_list_names(lists, make_history, tiny_line):
    spread = {"shift": [-1.0, 1.0], "chance": [0.5, 0.5]}  # odds divided or multiplied by e all night
    put_list(lists, tiny_line, DAY, dict.fromkeys(EVEN, 0.5), facts={"promise_spread": spread})
    told = row(lists, make_history({"inspections": results()}, as_of=MATURE), tiny_line)
    # 0.269 each: none in 0.153 of such nights, and so in 0.076 of all
    assert (told["low"], told["high"], told["verdict"]) == (0.0, 6.0, "kept")


def test_lists_come_newest_first_and_those_of_the_moment_and_later_do_not(even, make_history, tiny_line):
    for days in (1, 2, 3):
        put_list(even, tiny_line, DAY + timedelta(days=days), {"w": 0.5})
    history = make_history({}, as_of=tiny_line.as_of(DAY + timedelta(days=2)))
    assert told_of(even, history, tiny_line)["business_date"].tolist() == [NEXT, DAY]
    assert told_of(even, history, tiny_line, most=1)["business_date"].tolist() == [NEXT]
    assert told_of(even, history.at(tiny_line.as_of(DAY)), tiny_line).empty


def test_no_list_is_an_empty_table_and_an_empty_list_promises_nothing(lists, make_history, tiny_line):
    assert list(told_of(lists, make_history({}), tiny_line)) == [
        "business_date", "model", "promised", "low", "high", "listed", "checked", "found", "pending", "not_checked",
        "verdict", "reason",
    ]  # fmt: skip
    put_list(lists, tiny_line, DAY, {"u0": {"score": 0.5, "listed": False}})
    assert counts(row(lists, make_history({}), tiny_line)) == (0, 0, 0, 0)


def test_nothing_that_becomes_known_later_changes_what_was_told(even, make_history, tiny_line):
    known = {"inspections": results("u0", "u1", of=EVEN[:5]), "answers": answers({"u5": "3"})}
    before = told_of(even, make_history(known, as_of=MATURE), tiny_line)
    later = {"recorded_at": "2026-11-29 05:00:00.000001"}
    known["inspections"] += [one | later for one in results(*EVEN)]
    known["answers"] += [one | later for one in answers(dict.fromkeys(EVEN, "1"), at="2026-11-24 11:00")]
    put_list(even, tiny_line, date(2026, 11, 29), {"w": 0.5})
    replaced = pd.Timestamp("2026-11-29 05:00:01", tz="UTC")
    put_list(even, tiny_line, DAY, dict.fromkeys(EVEN[:2], 0.9), replace="late file", published_at=replaced)
    history = make_history(known, as_of=MATURE)
    after = told_of(even, history, tiny_line)
    pd.testing.assert_frame_equal(after[after["business_date"] == DAY].reset_index(drop=True), before)


def test_of_a_replaced_list_the_revision_counts_that_was_shown(even, make_history, tiny_line):
    replaced = pd.Timestamp("2026-11-24 06:00", tz="UTC")
    put_list(even, tiny_line, DAY, dict.fromkeys(EVEN[:2], 0.9), replace="late file", published_at=replaced)
    assert row(even, make_history({}, as_of="2026-11-24 05:59"), tiny_line)["listed"] == 6
    assert row(even, make_history({}, as_of="2026-11-24 06:00"), tiny_line)["listed"] == 2


def test_of_nights_that_are_replayed_the_first_revision_counts(lists, make_history, tiny_line):
    years_later = pd.Timestamp("2028-01-01", tz="UTC")
    put_list(lists, tiny_line, DAY, {"u0": 0.5}, published_at=years_later)
    put_list(lists, tiny_line, DAY, {"u0": 0.5, "u1": 0.5}, replace="again", published_at=years_later)
    assert row(lists, make_history({}, as_of=MATURE), tiny_line)["listed"] == 1
