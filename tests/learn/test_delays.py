import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.delays import reporting_delays, too_short
from qma_predict.learn.labels import label_states

START = pd.Timestamp("2026-03-01", tz="UTC")
END = START + pd.Timedelta("40D")
DAY = pd.Timedelta("1D")


def plant(defects, good, units=40):
    """Points, one a day, and their results: `defects` and `good` give the delay [d] of the n-th unit, or None."""
    points, inspections = [], []
    for n in range(units):
        cutoff = START + n * DAY
        for kind, delays in (("d", defects), ("g", good)):
            points.append({"unit_id": f"{kind}{n}", "cutoff": cutoff})
            delay = delays(n)
            if delay is not None:
                row = {"unit_id": f"{kind}{n}", "gate": "final", "occurred_at": cutoff + pd.Timedelta("1h")}
                row |= {"recorded_at": cutoff + delay * DAY}
                inspections += [row | {"characteristic": "leak", "passed": kind == "g"}]
                inspections += [row | {"characteristic": "size", "passed": True}]
    return pd.DataFrame(points), {"inspections": inspections}


def test_defects_and_good_units_are_told_apart(make_history, tiny_line):
    points, tables = plant(defects=lambda n: 1 + n % 2, good=lambda n: 6 if n % 4 == 0 else 3)
    found = reporting_delays(make_history(tables, as_of=END), points, tiny_line)
    # watched for at least half of forty days: the units of days 0 to 20
    assert found["units"].to_dict() == {"defect": 21, "good": 21}
    assert found["median"].to_dict() == {"defect": DAY, "good": 3 * DAY}
    assert found["q99"].to_dict() == {"defect": 2 * DAY, "good": 6 * DAY}
    assert found["longest"].to_dict() == {"defect": 2 * DAY, "good": 6 * DAY}
    assert found["in_time"].to_dict() == {"defect": 1.0, "good": pytest.approx(15 / 21)}  # six days, the line waits 5


def test_recent_units_of_which_only_short_delays_can_be_seen_do_not_count(make_history, tiny_line):
    # a delay of 10 d every second day: of the last 10 days only the short ones are recorded
    points, tables = plant(defects=lambda n: 1 if n % 2 else 10, good=lambda n: None)
    found = reporting_delays(make_history(tables, as_of=END), points, tiny_line).loc["defect"]
    assert found["in_time"] == pytest.approx(10 / 21)
    assert np.isnan(reporting_delays(make_history(tables, as_of=END), points, tiny_line).loc["good", "in_time"])


def test_a_good_unit_waits_for_its_last_characteristic_and_a_defect_for_its_first_failure(make_history, tiny_line):
    rows = [
        {"unit_id": unit, "gate": "final", "characteristic": name, "passed": passed, "recorded_at": START + days * DAY}
        for unit, name, passed, days in (
            *(("g", "leak", True, 2), ("g", "size", True, 7)),
            *(("d", "leak", False, 3), ("d", "size", False, 4), ("half", "leak", True, 1)),
        )
    ]
    points = pd.DataFrame({"unit_id": ["g", "d", "half"], "cutoff": START})
    tables = {"inspections": [row | {"occurred_at": START + pd.Timedelta("1h")} for row in rows]}
    found = reporting_delays(make_history(tables, as_of=END), points, tiny_line)
    assert found["longest"].to_dict() == {"defect": 3 * DAY, "good": 7 * DAY}
    assert found["units"].to_dict() == {"defect": 1, "good": 1}


def test_a_correction_that_turned_the_verdict_is_what_decided_and_one_that_left_it_is_not(make_history, tiny_line):
    row = {"gate": "final", "characteristic": "leak", "occurred_at": START + pd.Timedelta("1h")}
    versions = {"turned": [(True, 1), (False, 6), (False, 8)], "left": [(False, 1), (False, 9)]}
    tables = {
        "inspections": [
            row | {"unit_id": unit, "passed": passed, "recorded_at": START + days * DAY}
            for unit, said in versions.items()
            for passed, days in said
        ]
    }
    history = make_history(tables, as_of=END)
    for unit, days in (("turned", 6), ("left", 1)):
        points = pd.DataFrame({"unit_id": [unit], "cutoff": [START]})
        assert reporting_delays(history, points, tiny_line).loc["defect", "longest"] == days * DAY


# of leak: occurred after so many hours, passed, recorded after so many days, code
LIFTED = {
    "a void result was made valid": ("defect", 18, [(1, False, 3, "V"), (1, False, 18, None)]),
    "a dispute was withdrawn": ("defect", 18, [(1, False, 3, "Q"), (1, False, 18, None)]),
    "the first was declared void": ("good", 18, [(1, False, 3, None), (2, True, 4, None), (1, False, 18, "V")]),
    "the dispute of a later one was withdrawn": (
        "good",
        18,
        [(1, True, 3, None), (2, False, 4, "Q"), (2, False, 18, None)],
    ),
    "a dispute came and went": ("defect", 18, [(1, False, 3, None), (1, False, 6, "Q"), (1, False, 18, None)]),
    "the first was recorded last": ("defect", 18, [(2, True, 3, None), (1, False, 18, None)]),
    "another code, and a later result": ("defect", 3, [(1, False, 3, None), (1, False, 9, "B"), (2, True, 18, None)]),
    "a void one before that counts": ("defect", 4, [(1, True, 3, "V"), (2, False, 4, None)]),
    "the first, recorded last, says the same": ("defect", 3, [(2, False, 3, None), (1, False, 18, None)]),
}


@pytest.mark.parametrize(("label", "days", "said"), LIFTED.values(), ids=LIFTED.keys())
def test_a_label_is_decided_when_it_became_known_as_it_is(make_history, tiny_line, label, days, said):
    gate = tiny_line.gate.model_copy(update={"void": ("V",), "disputed": ("Q",), "maturity": pd.Timedelta(0)})
    line = tiny_line.model_copy(update={"gate": gate})
    row = {"gate": "final", "unit_id": "u"}
    hour = pd.Timedelta("1h")
    rows = [
        {"characteristic": "leak", "occurred_at": START + h * hour, "passed": ok, "recorded_at": START + d * DAY}
        | {"code": code}
        for h, ok, d, code in said
    ]
    rows.append({"characteristic": "size", "passed": True, "occurred_at": START + hour, "recorded_at": START + DAY})
    tables = {"inspections": [row | one for one in rows]}
    points = pd.DataFrame({"unit_id": ["u"], "cutoff": [START]})
    found = reporting_delays(make_history(tables, as_of=END), points, line)
    assert found["units"].to_dict() == {"defect": 0, "good": 0} | {label: 1}
    assert found.loc[label, "longest"] == days * DAY
    for moment, known in ((days * DAY - hour, False), (days * DAY, True)):  # as labels have it
        [state] = label_states(make_history(tables, as_of=START + moment), points, line)
        assert (state == label) is known


@pytest.mark.parametrize(("failed", "taken_back", "decided"), [(8, 10, 1), (8, 8, 1), (8, 5, 8), (8, None, 1)])
def test_a_defect_waited_for_what_made_it_one_though_another_failure_took_over(
    make_history, tiny_line, failed, taken_back, decided
):
    """The leak test failed after a day, which may be taken back; the size failed after so many."""
    said = [("leak", False, 1), ("size", False, failed)] + ([] if taken_back is None else [("leak", True, taken_back)])
    rows = [
        {"unit_id": "u", "gate": "final", "characteristic": name, "passed": passed, "recorded_at": START + days * DAY}
        | {"occurred_at": START + pd.Timedelta("1h")}
        for name, passed, days in said
    ]
    points = pd.DataFrame({"unit_id": ["u"], "cutoff": [START]})
    found = reporting_delays(make_history({"inspections": rows}, as_of=END), points, tiny_line)
    assert found["units"].to_dict() == {"defect": 1, "good": 0}
    assert found.loc["defect", "longest"] == decided * DAY


def test_a_maturity_that_is_too_short_is_told_with_one_that_would_do(make_history, tiny_line):
    points, tables = plant(defects=lambda n: 2, good=lambda n: 6.5 if n % 4 == 0 else 3)
    found = reporting_delays(make_history(tables, as_of=END), points, tiny_line)
    assert too_short(found, tiny_line) == (
        "gate.maturity is 5 d, but the results of 28.6 % of 21 good units came later, so that the newest "
        'labels are too few, and of one kind more than of the other; "7 d" would wait for 99 % of both'
    )


def test_a_maturity_that_waits_and_too_few_units_to_say_are_not_told(make_history, tiny_line):
    points, tables = plant(defects=lambda n: 2, good=lambda n: 4)
    assert too_short(reporting_delays(make_history(tables, as_of=END), points, tiny_line), tiny_line) == ""
    points, tables = plant(defects=lambda n: 9, good=lambda n: 9, units=10)
    assert too_short(reporting_delays(make_history(tables, as_of=END), points, tiny_line), tiny_line) == ""


def test_a_line_without_points_has_no_delays(make_history, tiny_line):
    points, _ = plant(defects=lambda n: None, good=lambda n: None)
    found = reporting_delays(make_history({}, as_of=END), points.iloc[:0], tiny_line)
    assert found["units"].tolist() == [0, 0]
    assert too_short(found, tiny_line) == ""
