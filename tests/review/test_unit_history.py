import shutil
from datetime import date

import pandas as pd
import pytest
from published_lists import put_list

from qma_predict.review.unit_history import unit_history, unit_words

DAY, NEXT = date(2026, 11, 24), date(2026, 11, 25)
TABLES = {
    "visits": [
        {"unit_id": "u1", "station": "press", "machine": "P1", "started_at": "2026-11-23 10:00",
         "ended_at": "2026-11-23 10:12"},
        {"unit_id": "u1", "station": "oven", "started_at": "2026-11-23 12:00"},
        {"unit_id": "u2", "station": "press", "machine": "P1", "started_at": "2026-11-23 11:00"},
    ],
    "answers": [
        {"list_id": "tiny-2026-11-24", "unit_id": "u1", "answered_at": "2026-11-24 09:00", "code": "3"},
        {"list_id": "tiny-2026-11-25", "unit_id": "u1", "answered_at": "2026-11-25 09:00", "code": "1", "text": "edge"},
    ],
    "inspections": [
        {"unit_id": "u1", "gate": "final", "characteristic": "leak", "occurred_at": "2026-11-25 10:00", "passed": False,
         "measured": 1.5, "code": "L2", "reason": "risk list"},
        {"unit_id": "u1", "gate": "final", "characteristic": "size", "occurred_at": "2026-11-25 10:00", "passed": True},
    ],
}  # fmt: skip


@pytest.fixture
def lists(tmp_path, tiny_line):
    folder = tmp_path / "published"
    put_list(folder, tiny_line, DAY, {"u1": 0.3, "u2": 0.2})
    audit = {"score": 0.012, "selected_by": "audit", "selection_probability": 0.1}
    put_list(folder, tiny_line, NEXT, {"u2": 0.5, "u1": audit, "u3": {"score": None, "listed": False}})
    return folder


def test_a_unit_is_told_from_its_first_stay_to_what_the_gate_found(lists, make_history, tiny_line):
    events = unit_history(lists, tiny_line, make_history(TABLES), "u1")
    assert events["at"].is_monotonic_increasing
    assert unit_words(events, tiny_line, "u1").splitlines() == [
        "u1, line tiny, times of Europe/Berlin",
        "2026-11-23 11:00  visit       press P1  stayed 12 min",
        "2026-11-23 13:00  visit       oven  arrived",
        "2026-11-24 05:00  list        tiny-2026-11-24  rank 1, risk 30 in 100, to be checked (by rank)",
        "2026-11-24 10:00  answer      tiny-2026-11-24  3 not checked (no time)",
        "2026-11-25 05:00  list        tiny-2026-11-25  rank 2, risk 1 in 100, to be checked (audit)",
        "2026-11-25 10:00  answer      tiny-2026-11-25  1 defect found: edge",
        "2026-11-25 11:00  inspection  final leak  failed, measured 1.5, code L2 (risk list)",
        "2026-11-25 11:00  inspection  final size  passed",
    ]


def test_nothing_is_told_that_was_not_known_yet(lists, make_history, tiny_line):
    events = unit_history(lists, tiny_line, make_history(TABLES, as_of="2026-11-24 09:00"), "u1")
    assert events["kind"].tolist() == ["visit", "visit", "list", "answer"]


def test_every_revision_is_told_and_a_unit_without_a_score_too(lists, make_history, tiny_line):
    put_list(lists, tiny_line, NEXT, {"u3": {"score": 0.4, "listed": False}}, replace="late file")
    events = unit_history(lists, tiny_line, make_history({}), "u3")
    assert events[["where", "what"]].values.tolist() == [
        ["tiny-2026-11-25", "not scored: reason not recorded"],
        ["tiny-2026-11-25, revision 2", "rank 1, risk 40 in 100, not listed"],
    ]


def test_of_a_unit_that_nobody_knows_nothing_is_told(lists, make_history, tiny_line):
    events = unit_history(lists, tiny_line, make_history(TABLES), "u9\u202e")
    assert list(events) == ["at", "kind", "where", "what"]
    assert unit_words(events, tiny_line, "u9\u202e") == "u9\\u202e, line tiny: nothing is known of such a unit"


def test_untrusted_text_is_shown_and_does_not_act(lists, make_history, tiny_line):
    row = {"list_id": "x\ny", "unit_id": "u1", "answered_at": "2026-11-24 09:00", "code": "9", "text": "\x1b[31mred"}
    text = unit_words(unit_history(lists, tiny_line, make_history({"answers": [row]}), "u1"), tiny_line, "u1")
    assert "answer      x\\ny  9: \\x1b[31mred" in text
    assert pd.Series(list(text)).isin(["\n"]).sum() == 3


def test_lists_that_are_damaged_or_gone_are_named_and_hide_nothing_else(lists, make_history, tiny_line):
    put_list(lists, tiny_line, NEXT, {"u2": 0.4}, replace="late file")
    (lists / "revisions" / "2026-11-24.r1" / "scores.parquet").unlink()
    shutil.rmtree(lists / "revisions" / "2026-11-25.r2")
    events = unit_history(lists, tiny_line, make_history(TABLES), "u1")
    told = [line[18:] for line in unit_words(events, tiny_line, "u1").splitlines() if "  inspection  " not in line]
    unknown = "nobody knows whether the unit was on it: published/tiny/revisions"
    assert told[3] == (
        f"damaged     tiny-2026-11-24  {unknown}/2026-11-24.r1 of the home, scores.parquet is missing. Restore it from "
        "a backup"
    )
    assert told[5] == "list        tiny-2026-11-25  rank 2, risk 1 in 100, to be checked (audit)"
    assert told[6].startswith(f"damaged     tiny-2026-11-25, revision 2  {unknown}/2026-11-25.r2 of the home, manifest")
    assert [line.split()[0] for line in told[1:]] == ["visit"] * 2 + ["damaged", "answer", "list", "damaged", "answer"]
    early = unit_history(lists, tiny_line, make_history(TABLES, as_of="2026-11-24 03:00"), "u1")
    assert early["kind"].tolist() == ["visit", "visit"]
    nobody = unit_words(unit_history(lists, tiny_line, make_history(TABLES), "u9"), tiny_line, "u9").splitlines()
    assert nobody[0] == "u9, line tiny: nothing is known of such a unit"
    assert [line.split()[2] for line in nobody[1:]] == ["damaged", "damaged"]
