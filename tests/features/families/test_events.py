import ibis
import numpy as np
import pandas as pd
import pytest

from qma_predict.features.families import family
from qma_predict.features.points import prediction_points


def at(time):
    return None if time is None else f"2026-03-02 {time}"


def visit(unit, started, *, station="press", machine="P1", recorded=None):
    row = {"unit_id": unit, "station": station, "machine": machine, "started_at": at(started), "ended_at": at(started)}
    return row if recorded is None else row | {"recorded_at": at(recorded)}


def event(time, *, kind="tool", machine="P1", recorded=None):
    row = {"machine": machine, "kind": kind, "occurred_at": at(time)}
    return row if recorded is None else row | {"recorded_at": at(recorded)}


OTHERS = [visit("a", "07:00"), visit("b", "08:00"), visit("c", "09:00"), visit("d", "11:00")]


def test_hours_and_units_since_the_last_event_before_the_stay(make_history, features_of):
    history = make_history({"visits": [*OTHERS, visit("u", "10:00")], "events": [event("06:00"), event("07:30")]})
    assert features_of("events", history) == {"press.tool.hours_since": 2.5, "press.tool.units_since": 2.0}


def test_each_kind_of_event_of_each_machine_on_the_route(make_history, features_of):
    visits = [*OTHERS, visit("u", "10:00"), visit("u", "11:30", station="oven", machine="O1")]
    visits += [visit("b", "11:15", station="oven", machine="O1"), visit("u", "11:45", station="store", machine="S1")]
    events = [event("09:30"), event("08:30", kind="alarm"), event("11:00", machine="O1"), event("11:40", machine="S1")]
    assert features_of("events", make_history({"visits": visits, "events": events})) == {
        "press.tool.hours_since": 0.5,
        "press.tool.units_since": 0.0,
        "press.alarm.hours_since": 1.5,
        "press.alarm.units_since": 1.0,
        "oven.tool.hours_since": 0.5,
        "oven.tool.units_since": 1.0,
    }


def found_in_each(make_history, tiny_line, cases):
    """Features of the unit of each case, which has its machine for itself: one query for all."""
    visits, events = [], []
    for what, (its_visits, its_events) in cases.items():
        rows = [*OTHERS, visit("u", "10:00"), *its_visits]
        visits += [row | {"unit_id": f"{row['unit_id']} {what}", "machine": elsewhere(row, what)} for row in rows]
        events += [row | {"machine": elsewhere(row, what)} for row in its_events]
    cutoff = pd.Timestamp("2026-03-02 12:00", tz="UTC").as_unit("us")
    points = pd.DataFrame({"unit_id": [f"u {what}" for what in cases], "cutoff": cutoff, "point": range(len(cases))})
    history = make_history({"visits": visits, "events": events})
    rows = family("events").compute(history, ibis.memtable(points), tiny_line).to_pandas()
    assert set(rows["of"]) == {"press.tool"}
    found = {list(cases)[row.point]: (row.hours_since, row.units_since) for row in rows.itertuples()}
    return {what: found.get(what, (None, None)) for what in cases}


def elsewhere(row, what):
    return None if row["machine"] is None else f"{row['machine']} {what}"


EVENTS = {
    "none": ([], (None, None)),
    "on another machine": ([event("07:30", machine="P2")], (None, None)),
    "during the stay or after it": ([event("10:00:00.000001")], (None, None)),
    "as the stay began": ([event("10:00")], (0.0, 0.0)),
    "as another stay began, which then counts": ([event("09:00")], (1.0, 1.0)),
    "before all": ([event("06:00")], (4.0, 3.0)),
    "recorded at the cutoff": ([event("06:00"), event("08:30", recorded="12:00")], (1.5, 1.0)),
    "recorded after it": ([event("06:00"), event("08:30", recorded="12:00:00.000001")], (4.0, 3.0)),
    "the last recorded first": ([event("06:00", recorded="09:50"), event("08:30", recorded="09:00")], (1.5, 1.0)),
    "the last but one recorded last, the last never": (
        [event("06:00"), event("07:30", recorded="11:50"), event("08:30", recorded="13:00")],
        (2.5, 2.0),
    ),
    "recorded again": ([event("08:30", recorded="09:00"), event("08:30", recorded="13:00")], (1.5, 1.0)),
}


def test_which_event_counts(make_history, tiny_line):
    found = found_in_each(make_history, tiny_line, {what: ([], events) for what, (events, _) in EVENTS.items()})
    assert found == {what: expected for what, (_, expected) in EVENTS.items()}


VISITS = {
    "recorded at the cutoff": ([visit("e", "09:30", recorded="12:00")], 3.0),
    "recorded after it": ([visit("e", "09:30", recorded="12:00:00.000001")], 2.0),
    "from before the event, recorded after the cutoff": ([visit("e", "07:15", recorded="13:00")], 2.0),
    "on another machine": ([visit("e", "09:30", machine="P2")], 2.0),
    "as this one began": ([visit("e", "10:00")], 2.0),
    "twice, the end recorded later": (
        [visit("e", "09:30"), visit("e", "09:30", recorded="11:00") | {"ended_at": at("10:00")}],
        3.0,
    ),
    "moved away": ([visit("e", "09:30"), visit("e", "09:30", machine="P2", recorded="11:00")], 2.0),
    "moved away after the cutoff": ([visit("e", "09:30"), visit("e", "09:30", machine="P2", recorded="13:00")], 3.0),
    "moved here": ([visit("e", "09:30", machine="P2"), visit("e", "09:30", recorded="11:00")], 3.0),
    "moved here after the cutoff": ([visit("e", "09:30", machine="P2"), visit("e", "09:30", recorded="13:00")], 2.0),
    "moved to no machine": ([visit("e", "09:30"), visit("e", "09:30", machine=None, recorded="11:00")], 2.0),
    "again by the same unit": ([visit("b", "09:45")], 3.0),
}


def test_which_stays_count(make_history, tiny_line):
    found = found_in_each(
        make_history, tiny_line, {what: (more, [event("07:30")]) for what, (more, _) in VISITS.items()}
    )
    assert found == {what: (2.5, units) for what, (_, units) in VISITS.items()}


def test_the_machine_of_the_last_stay_as_known_at_the_cutoff(make_history, features_of):
    visits = [*OTHERS, visit("u", "07:45"), visit("u", "10:00"), visit("u", "10:00", machine="P2", recorded="11:00")]
    events = [event("07:30"), event("09:00", machine="P2")]
    found = features_of("events", make_history({"visits": visits, "events": events}))
    assert found == {"press.tool.hours_since": 1.0, "press.tool.units_since": 0.0}


def counted_one_by_one(visits, events, unit, cutoff, route):
    known = visits[(visits["recorded_at"] <= cutoff) & (visits["occurred_at"] <= cutoff)].sort_values("recorded_at")
    known = known.drop_duplicates(["unit_id", "station", "started_at"], keep="last")
    events = events[events["recorded_at"] <= cutoff]
    found = {}
    own = known[(known["unit_id"] == unit) & known["station"].isin(route)].sort_values("started_at")
    for _, stay in own.drop_duplicates("station", keep="last").iterrows():
        before = events[(events["machine"] == stay["machine"]) & (events["occurred_at"] <= stay["started_at"])]
        for kind, moment in before.groupby("kind")["occurred_at"].max().items():
            others = known[(known["machine"] == stay["machine"]) & (known["started_at"] >= moment)]
            hours = (stay["started_at"] - moment) / pd.Timedelta("1h")
            found[f"{stay['station']}.{kind}.hours_since"] = hours
            found[f"{stay['station']}.{kind}.units_since"] = (others["started_at"] < stay["started_at"]).sum()
    return found


def test_units_of_the_small_plant_have_what_counting_one_by_one_gives(lake, line, features_of):
    history = lake.at(pd.Timestamp("2026-02-01", tz="UTC"))
    visits, events = lake.read("visits"), lake.read("events")
    values = 0
    for _, point in prediction_points(history, line).sample(3, random_state=2).iterrows():
        expected = counted_one_by_one(visits, events, point["unit_id"], point["cutoff"], line.route)
        cutoff = point["cutoff"].tz_localize(None)
        assert features_of("events", history, cutoff, point["unit_id"], line) == pytest.approx(expected)
        values += sum(np.isfinite(list(expected.values())))
    assert values > 30
