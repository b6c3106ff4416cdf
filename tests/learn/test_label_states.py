import pandas as pd
import pytest

from qma_predict.learn.labels import STATES, label_states, labels

CUTOFF = pd.Timestamp("2026-03-02 12:00", tz="UTC")
MATURE = CUTOFF + pd.Timedelta("5D")  # the tiny line waits five days
POINTS = pd.DataFrame({"unit_id": ["u"], "cutoff": [CUTOFF]})


@pytest.fixture(scope="module")
def line(tiny_line):
    """The tiny line with codes: V1 and V2 are void, Q is disputed."""
    return tiny_line.model_copy(
        update={"gate": tiny_line.gate.model_copy(update={"void": ("V1", "V2"), "disputed": ("Q",)})}
    )


def found(characteristic, passed, code=None, at="2026-03-03 08:00", recorded=None):
    row = {"unit_id": "u", "gate": "final", "characteristic": characteristic, "passed": passed, "occurred_at": at}
    return row | {"code": code} | ({} if recorded is None else {"recorded_at": recorded})


SIZE = found("size", True)
AGAIN = "2026-03-04 08:00"


@pytest.mark.parametrize(
    ("what", "inspections", "expected"),
    [
        ("never inspected", [], "pending"),
        ("one characteristic is still to come", [SIZE], "pending"),
        ("both passed", [found("leak", True), SIZE], "good"),
        ("one failed", [found("leak", False, "L10")], "defect"),
        ("every result is void", [found("leak", False, "V1"), found("size", True, "V2")], "void"),
        ("the void one was not repeated", [found("leak", False, "V1"), SIZE], "pending"),
        ("the one after the void one decides, good", [found("leak", False, "V1"), found("leak", True, at=AGAIN), SIZE],
         "good"),
        ("the one after the void one decides, bad", [found("leak", True, "V1"), found("leak", False, at=AGAIN)],
         "defect"),
        ("declared void later", [found("leak", False), found("leak", False, "V1", recorded=AGAIN)], "void"),
        ("not void after all", [found("leak", False, "V1"), found("leak", False, "L10", recorded=AGAIN)], "defect"),
        ("in question", [found("leak", False, "Q"), SIZE], "disputed"),
        ("a pass in question", [found("leak", True, "Q"), SIZE], "disputed"),
        ("the first is called in question by a later one",
         [found("leak", False), found("leak", True, "Q", AGAIN), SIZE], "disputed"),
        ("settled by a correction", [found("leak", False, "Q"), found("leak", True, recorded=AGAIN), SIZE], "good"),
        ("one is in question, the other failed for certain", [found("leak", True, "Q"), found("size", False)],
         "defect"),
        ("in question, and the other still to come", [found("leak", False, "Q")], "disputed"),
        ("in question before the cutoff", [found("leak", False, "Q", "2026-03-01 08:00"), found("leak", True), SIZE],
         "good"),
        ("a later result contradicts, and nobody calls the first in question",
         [found("leak", False), found("leak", True, at=AGAIN), SIZE], "defect"),
        ("the codes of another gate say nothing",
         [found("leak", True), SIZE, found("leak", False, "Q") | {"gate": "x"}], "good"),
    ],
)  # fmt: skip
def test_the_definition(make_history, line, what, inspections, expected):
    history = make_history({"inspections": inspections}, as_of=MATURE)
    assert label_states(history, POINTS, line).item() == expected
    assert label_states(history.at(MATURE - pd.Timedelta("1us")), POINTS, line).item() == "pending"


def test_labels_follow_from_the_states(make_history, line):
    each = {
        "good": [found("leak", True), SIZE],
        "defect": [found("leak", False)],
        "disputed": [found("leak", False, "Q")],
        "void": [found("leak", False, "V1")],
    }
    inspections = [row | {"unit_id": state} for state, rows in each.items() for row in rows]
    points = pd.DataFrame({"unit_id": list(STATES), "cutoff": [CUTOFF] * 5})
    history = make_history({"inspections": inspections}, as_of=MATURE)
    assert label_states(history, points, line).tolist() == list(STATES)
    label = labels(history, points, line)
    assert label[["good", "defect"]].tolist() == [0.0, 1.0]
    assert label.isna().sum() == 3


def test_without_codes_in_the_line_a_code_changes_nothing(make_history, tiny_line):
    history = make_history({"inspections": [found("leak", False, "V1"), found("size", True, "Q")]}, as_of=MATURE)
    assert label_states(history, POINTS, tiny_line).item() == "defect"
