import pandas as pd
import pytest

from qma_predict.features.table import feature_table

NOON = pd.Timestamp("2026-03-02 12:00", tz="UTC")
POINT = pd.DataFrame({"unit_id": ["u"], "cutoff": [NOON]})


def visit(station, machine, started, ended=None, recorded=None):
    times = {"started_at": started, "ended_at": ended, "recorded_at": recorded}
    return {"unit_id": "u", "station": station, "machine": machine} | {
        name: None if at is None else f"2026-03-02 {at}" for name, at in times.items()
    }


def machines(history, line):
    return feature_table(history, POINT, line).loc["u"].to_dict()


def test_the_machine_of_each_station_of_the_route(make_history, tiny_line):
    visits = [
        visit("press", "P1", "08:00", "09:00"),
        visit("oven", "O2", "10:00", "11:00"),
        visit("store", "S1", "11:30"),
    ]
    found = feature_table(make_history({"visits": visits}), POINT, tiny_line)
    assert found.loc["u"].to_dict() == {"oven.machine": "O2", "press.machine": "P1"}
    assert (found.dtypes == "str").all()


@pytest.mark.parametrize("recorded", ["09:00", "11:00"])
def test_after_a_second_stay_its_machine_counts_even_if_the_first_was_recorded_later(make_history, tiny_line, recorded):
    visits = [visit("press", "P2", "10:00", "10:30"), visit("press", "P1", "08:00", "09:00", recorded)]
    assert machines(make_history({"visits": visits}), tiny_line) == {"press.machine": "P2"}


@pytest.mark.parametrize(("recorded", "machine"), [("12:00", "P9"), ("12:00:00.000001", "P1")])
def test_a_corrected_machine_counts_only_if_recorded_by_the_cutoff(make_history, tiny_line, recorded, machine):
    visits = [visit("press", "P9", "08:00", "09:00", recorded), visit("press", "P1", "08:00", "09:00")]
    assert machines(make_history({"visits": visits}), tiny_line) == {"press.machine": machine}


def test_a_stay_that_ended_after_the_cutoff_counts_as_it_was_known(make_history, tiny_line):
    visits = [visit("oven", "O1", "11:00"), visit("oven", "O2", "11:00", "12:30")]
    assert machines(make_history({"visits": visits}), tiny_line) == {"oven.machine": "O1"}


def test_a_station_that_was_not_visited_and_a_machine_that_is_not_named_are_missing(make_history, tiny_line):
    visits = [visit("press", "P1", "08:00", "09:00"), visit("oven", None, "10:00", "11:00")]
    assert machines(make_history({"visits": visits}), tiny_line) == {"press.machine": "P1"}
