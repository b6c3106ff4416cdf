import pandas as pd
import pytest

from qma_predict.features.conditions import conditions, made_since


def utc(text):
    return pd.Timestamp(text, tz="UTC")


def stay(unit, station, machine, started, ended=None, **more):
    row = {"unit_id": unit, "station": station, "machine": machine, "started_at": started, "ended_at": ended}
    return row | more


def values(found, unit="u"):
    rows = found[found["unit_id"] == unit]
    return dict(zip(rows["attribute"], rows["value"], strict=True))


def times(found, unit="u"):
    rows = found[found["unit_id"] == unit]
    return dict(zip(rows["attribute"], rows["occurred_at"], strict=True))


TABLES = {
    "units": [{"unit_id": "u", "product": "A", "order_no": "77", "occurred_at": "2026-03-02 06:00"}],
    "visits": [
        stay("u", "press", "P1", "2026-03-02 07:00", "2026-03-02 07:30"),
        stay("u", "oven", "O2", "2026-03-02 08:00", "2026-03-02 09:00"),
        stay("u", "store", "S1", "2026-03-02 10:00"),
    ],
    "materials": [
        {"unit_id": "u", "lot_id": "R-1", "material": "resin", "supplier": "Acme", "occurred_at": "2026-03-02 06:30"}
    ],
    "events": [
        {"machine": "P1", "kind": "tool change", "occurred_at": "2026-03-01 10:00"},
        {"machine": "P1", "kind": "tool change", "occurred_at": "2026-03-02 07:00"},
        {"machine": "P1", "kind": "tool change", "occurred_at": "2026-03-02 07:01"},
        {"machine": "P2", "kind": "tool change", "occurred_at": "2026-03-02 06:59"},
        {"machine": "O2", "kind": "Alarm door", "occurred_at": "2026-03-02 07:59"},
    ],
}


def test_what_a_unit_shares_with_others(make_history, tiny_line):
    found = conditions(make_history(TABLES), ["u"], tiny_line)
    assert values(found) == {
        "product": "A",
        "order": "77",
        "press machine": "P1",
        "oven machine": "O2",
        "resin lot": "R-1",
        "resin supplier": "Acme",
        "press tool change": "P1 since tool change 2026-03-02 08:00",
        "time": "2026-03-02 08:00-16:00",
    }
    assert list(found) == ["unit_id", "attribute", "value", "occurred_at"]
    assert found["occurred_at"].dtype == "datetime64[us, UTC]"
    assert found["attribute"].is_monotonic_increasing


def test_each_condition_has_the_moment_at_which_the_unit_came_under_it(make_history, tiny_line):
    found = times(conditions(make_history(TABLES), ["u"], tiny_line))
    assert found["product"] == found["order"] == utc("2026-03-02 06:00")
    assert found["resin lot"] == found["resin supplier"] == utc("2026-03-02 06:30")
    assert found["press machine"] == found["press tool change"] == utc("2026-03-02 07:00")
    assert found["time"] == utc("2026-03-02 09:00")


@pytest.mark.parametrize(("as_of", "machine"), [("2026-03-02 09:59", "P1"), ("2026-03-02 10:00", "P2")])
def test_conditions_are_those_known_at_the_moment(make_history, tiny_line, as_of, machine):
    corrected = stay("u", "press", "P2", "2026-03-02 07:00", "2026-03-02 07:30", recorded_at="2026-03-02 10:00")
    tables = TABLES | {"visits": [*TABLES["visits"], corrected]}
    found = conditions(make_history(tables, as_of=as_of), ["u"], tiny_line)
    assert values(found)["press machine"] == machine
    event = {"P1": "P1 since tool change 2026-03-02 08:00", "P2": "P2 since tool change 2026-03-02 07:59"}
    assert values(found)["press tool change"] == event[machine]


def test_a_unit_shares_with_both_machines_of_two_stays(make_history, tiny_line):
    again = stay("u", "press", "P2", "2026-03-02 07:40", "2026-03-02 07:50")
    third = stay("u", "press", "P1", "2026-03-02 07:55", "2026-03-02 07:59")
    found = conditions(make_history({"visits": [*TABLES["visits"], again, third]}), ["u"], tiny_line)
    press = found[found["attribute"] == "press machine"].set_index("value")["occurred_at"]
    assert press.to_dict() == {"P1": utc("2026-03-02 07:55"), "P2": utc("2026-03-02 07:40")}


def test_the_time_window_is_local_also_in_the_hour_that_the_clock_change_repeats(make_history, tiny_line):
    visits = [
        stay("before", "oven", "O1", "2026-10-24 20:00", "2026-10-24 21:59"),
        stay("second hour", "oven", "O1", "2026-10-25 00:00", "2026-10-25 01:30"),
        stay("after", "oven", "O1", "2026-10-25 06:00", "2026-10-25 07:00"),
    ]
    found = conditions(make_history({"visits": visits}), ["before", "second hour", "after"], tiny_line)
    assert values(found, "before")["time"] == "2026-10-24 16:00-24:00"
    assert values(found, "second hour")["time"] == "2026-10-25 00:00-08:00"
    assert values(found, "after")["time"] == "2026-10-25 08:00-16:00"


def test_a_unit_inherits_the_conditions_of_what_it_was_made_from(make_history, tiny_line):
    tables = {
        "visits": [
            stay("whole", "oven", "O1", "2026-03-02 12:00", "2026-03-02 13:00"),
            stay("half", "press", "P9", "2026-03-02 07:00", "2026-03-02 08:00"),
        ],
        "materials": [
            {"unit_id": "whole", "lot_id": "half", "material": "bottom", "occurred_at": "2026-03-02 11:00"},
            {"unit_id": "half", "lot_id": "R-2", "material": "resin", "occurred_at": "2026-03-02 06:00"},
        ],
    }
    found = values(conditions(make_history(tables), ["whole"], tiny_line), "whole")
    assert found == {
        "oven machine": "O1",
        "bottom lot": "half",
        "bottom.press machine": "P9",
        "bottom.resin lot": "R-2",
        "time": "2026-03-02 08:00-16:00",
    }


def test_units_of_which_nothing_is_known_have_no_conditions(make_history, tiny_line):
    history = make_history(TABLES)
    for units in ([], ["unheard of"]):
        found = conditions(history, units, tiny_line)
        assert list(found) == ["unit_id", "attribute", "value", "occurred_at"]
        assert found.empty
    assert conditions(make_history({}), ["u"], tiny_line).empty


def test_only_the_units_asked_for_are_told(make_history, tiny_line):
    visits = [*TABLES["visits"], stay("other", "press", "P1", "2026-03-02 07:00")]
    found = conditions(make_history(TABLES | {"visits": visits}), ["u", "u"], tiny_line)
    assert set(found["unit_id"]) == {"u"}
    assert not found.duplicated(["unit_id", "attribute", "value"]).any()


@pytest.mark.parametrize(
    ("since", "units"),
    [("2026-03-02 09:00", ["u", "v"]), ("2026-03-02 10:00:01", ["v"]), ("2026-03-02 12:00", [])],
)
def test_units_of_which_anything_happened_since(make_history, since, units):
    tables = TABLES | {"materials": [{"unit_id": "v", "lot_id": "R-2", "occurred_at": "2026-03-02 11:00"}]}
    assert made_since(make_history(tables), utc(since)).tolist() == units
