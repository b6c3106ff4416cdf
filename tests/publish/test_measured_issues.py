"""Issues by what was measured: units beyond the usual range of good units."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.publish.issues.blast_radius import with_places
from qma_predict.publish.issues.courses import courses
from qma_predict.publish.issues.find import find_issues
from qma_predict.publish.issues.measured import _by_machine, _sides, compared_with

NIGHT, NIGHTS, UNITS = date(2026, 3, 12), 10, 80
MORNING = pd.Timestamp("2026-03-12 00:00", tz="UTC")
USUAL, HOT = 205.0, 230.0
GOOD = pd.DataFrame({"press.heat.last": np.linspace(200, 210, 201)})


def plant(risky, risk=0.3, always=False):
    """Ten nights and tonight, of units on P1 and P2 in turn, 0.01 each but `risky` ones, tonight or `always`."""
    rows = []
    for back in range(NIGHTS, -1, -1):
        for number in range(UNITS):
            at = MORNING - timedelta(days=back) - timedelta(minutes=15 * (UNITS - number))
            score = risk if (always or back == 0) and risky(number) else 0.01
            unit = f"n{back:02d}-{number:02d}"
            rows.append((unit, NIGHT - timedelta(days=back), score, f"P{number % 2 + 1}", at, back))
    return pd.DataFrame(rows, columns=["unit_id", "night", "score", "machine", "at", "back"])


def frames(units):
    tidy = [
        pd.DataFrame({"unit_id": units["unit_id"], "attribute": name, "value": value, "occurred_at": units["at"]})
        for name, value in {"press machine": units["machine"], "product": "A"}.items()
    ]
    scored = units[units["back"] == 0].rename(columns={"night": "first_night"})[["unit_id", "score", "first_night"]]
    return scored, pd.concat(tidy, ignore_index=True), units[units["back"] > 0][["unit_id", "night", "score"]]


def heats(units, hot):
    """`press.heat.last` of tonight's units: hot ones lie above every good unit."""
    tonight = units.loc[units["back"] == 0, "unit_id"]
    values = [HOT if hot(number) else USUAL for number in range(UNITS)]
    return pd.DataFrame({"press.heat.last": values}, index=pd.Index(tonight, name="unit_id"))


def found(units, line, features, siblings=GOOD):
    return find_issues(
        *frames(units), line, NIGHT, features=features, siblings=siblings, units_of_measure={"press.heat.last": "degC"}
    )


def sixth(number):
    """Of both machines, and of every hour."""
    return number % 7 == 3


def test_units_above_the_usual_range_are_an_issue_though_they_share_no_machine(tiny_line):
    units = plant(sixth)
    assert found(units, tiny_line, None) == ()
    [issue] = found(units, tiny_line, heats(units, sixth))
    assert issue.title == "press heat above its usual range"
    assert (issue.conditions, issue.feature, issue.side) == ((), "press.heat.last", "above")
    assert issue.unit_ids == tuple(f"n00-{number:02d}" for number in range(UNITS) if sixth(number))
    assert issue.driver == "press heat 230 degC, good parts 201-209, high in 11 of 77 units since Wed 11 Mar 05:45"
    assert (issue.risk, issue.normal) == (pytest.approx(0.3), pytest.approx(0.01))
    assert issue.nights == 0
    assert issue.action == "check sensor"  # twice the width of the good units' range away


def test_units_that_return_from_the_night_before_belong_to_it(tiny_line):
    units = plant(sixth)
    scored, conditions, past = frames(units)
    again = scored.assign(night=NIGHT - timedelta(days=1)).drop(columns="first_night").head(10)
    scored.loc[scored.index[:10], "first_night"] = NIGHT - timedelta(days=1)
    measured = {"features": heats(units, sixth), "siblings": GOOD}
    [issue] = find_issues(scored, conditions, pd.concat([past, again]), tiny_line, NIGHT, **measured)
    assert (issue.units, issue.normal) == (11, pytest.approx(0.01, rel=0.1))


def test_a_machine_that_all_of_them_share_is_told_rather_than_what_was_measured(tiny_line):
    def of_p2(number):
        return number % 2 == 1 and number > 20

    units = plant(of_p2)
    [issue] = found(units, tiny_line, heats(units, of_p2))
    assert (issue.title, issue.side) == ("press P2", "")


def test_as_many_as_of_the_good_units_are_none(tiny_line):
    units = plant(sixth)
    some_hot = np.where(np.arange(201) % 8 == 3, HOT, GOOD["press.heat.last"])  # a usual range reaches up to there
    assert found(units, tiny_line, heats(units, sixth), GOOD.assign(**{"press.heat.last": some_hot})) == ()


def test_more_beyond_than_of_good_units_are_none_where_it_is_those_that_become_defect(tiny_line):
    def ninth(number):
        return number % 9 == 3  # 9 of 80, of which 2.7 stay good: 4 % of the good ones, of whom 2 in 201 may be 3 %

    units = plant(ninth, risk=0.7, always=True)
    assert found(units, tiny_line, heats(units, ninth)) == ()
    units = plant(ninth, risk=0.7)  # as on no night before
    [issue] = found(units, tiny_line, heats(units, ninth))
    assert issue.title == "press heat above its usual range"


def test_a_unit_is_compared_with_good_units_of_its_product(tiny_line):
    units = plant(sixth)
    features = heats(units, sixth).assign(**{"unit.product": "A"})
    cold = GOOD.assign(**{"unit.product": "A"})
    hot = pd.DataFrame({"press.heat.last": np.linspace(225, 235, 201), "unit.product": "B"})
    [issue] = found(units, tiny_line, features, pd.concat([cold, hot]))
    assert issue.title == "press heat above its usual range"
    assert found(units, tiny_line, features.assign(**{"unit.product": "B"}), pd.concat([cold, hot])) == ()


def of_machines(p1, p2, count=201):
    """Good units of P1 and P2 between these heats."""
    heats = {"P1": np.linspace(*p1, count), "P2": np.linspace(*p2, count)}
    tables = [pd.DataFrame({"press.heat.last": heat, "press.machine": name}) for name, heat in heats.items()]
    return pd.concat(tables, ignore_index=True)


def test_a_machine_is_compared_with_its_own_good_units(tiny_line):
    names = pd.factorize(np.array(["P1", "P2"] * 40))
    units = pd.Index([f"u{number}" for number in range(80)])
    own = pd.DataFrame({"press.heat.last": [205.0, 233.0] * 40}, units)
    good = of_machines((200, 210), (215, 235), count=2000)
    good = good.drop(good.index[(good["press.heat.last"] > 230) & (good.index % 20 != 0)])
    [side] = [one for one in _sides(own, good, tiny_line) if one.side == "above"]
    assert side.beyond.tolist() == [False, True] * 40  # beyond the range of all
    good = of_machines((200, 210), (215, 235))
    [again] = [one for one in _sides(own, good, tiny_line) if one.side == "above"]
    assert not _by_machine(again, own, good, *names, tiny_line).beyond.any()
    hot = own.assign(**{"press.heat.last": [212.0, 233.0] * 40})  # P1 as P2 often is
    assert _by_machine(again, hot, good, *names, tiny_line).beyond.tolist() == [True, False] * 40
    few = pd.concat([good[good["press.machine"] == "P1"].head(29), good[good["press.machine"] == "P2"]])
    for unknown in (few, good.drop(columns="press.machine")):
        assert not _by_machine(again, hot, unknown, *names, tiny_line).beyond.any()


def test_units_of_a_usual_risk_beyond_a_range_are_none(tiny_line):
    units = plant(lambda number: False)
    assert found(units, tiny_line, heats(units, sixth)) == ()


def test_too_few_good_units_tell_no_range(tiny_line):
    units = plant(sixth)
    assert found(units, tiny_line, heats(units, sixth), GOOD.head(29)) == ()


def test_its_units_have_places_and_its_course_is_drawn(make_history, tiny_line):
    units = plant(sixth)
    features = heats(units, sixth)
    issues = found(units, tiny_line, features)
    visits = [
        {"unit_id": unit, "station": "press", "machine": "P2", "started_at": at, "ended_at": at}
        for unit, at in units.loc[units["back"] == 0, ["unit_id", "at"]].itertuples(index=False)
    ]
    [placed] = with_places(issues, make_history({"visits": visits}), tiny_line, GOOD)
    assert placed.places == (("press", len(issues[0].unit_ids)),)
    no_tags = pd.DataFrame(columns=["station", "tag", "product", "valid_from", "recorded_at"])
    drawn = courses(issues, frames(units)[1], features, GOOD, no_tags, tiny_line)
    assert list(drawn) == [1]
    assert drawn[1].startswith("<svg")


def test_units_that_have_left_and_were_measured_alike_are_in_the_blast_radius(make_history, tiny_line):
    units = plant(sixth)
    [issue] = found(units, tiny_line, heats(units, sixth))
    minute = pd.Timedelta("1 min")
    visits, readings = [], []
    for unit, heat, at in (
        ("hot", HOT, issue.since + minute),
        ("usual", USUAL, issue.since + minute),
        ("hot before", HOT, issue.since - minute),
    ):
        for station, machine, after in (("press", "P1", 0), ("oven", "O1", 5), ("shipping", "D1", 60)):
            moment = at + after * minute
            stay = {"unit_id": unit, "station": station, "machine": machine}
            visits.append(stay | {"started_at": moment, "ended_at": moment})
        readings.append({"unit_id": unit, "station": "press", "tag": "heat", "occurred_at": at, "value": heat})
    history = make_history({"visits": visits, "readings": readings}, as_of="2026-03-12 04:00")
    [placed] = with_places([issue], history, tiny_line, GOOD)
    assert dict(placed.places) == {"not recorded": len(issue.unit_ids), "shipping": 1}
    here = replace(issue, conditions=(("press machine", "P2"),))
    of_p2 = GOOD.assign(**{"press.machine": "P2"})
    assert dict(with_places([here], history, tiny_line, of_p2)[0].places) == {"not recorded": len(issue.unit_ids)}


def test_what_is_said_of_a_machines_group_is_compared_with_its_good_units_too(tiny_line):
    good = of_machines((200, 210), (225, 235), count=40)
    of_p2 = compared_with(good, "press.heat.last", [("order", "77"), ("press machine", "P2")], tiny_line)
    assert of_p2["press.machine"].tolist() == ["P2"] * 40
    assert compared_with(good, "press.heat.last", [("oven machine", "P2")], tiny_line) is good
    untold = good.drop(columns="press.machine")
    assert compared_with(untold, "press.heat.last", [("press machine", "P2")], tiny_line).empty
