import pytest


def visit(station, started, ended=None, recorded=None):
    times = {"started_at": started, "ended_at": ended, "recorded_at": recorded}
    dated = {name: None if at is None else f"2026-03-02 {at}" for name, at in times.items()}
    return {"unit_id": "u", "station": station, "machine": "M"} | dated


def test_stays_and_the_wait_between_them(make_history, features_of):
    history = make_history({"visits": [visit("press", "08:00", "08:30"), visit("oven", "09:15", "10:00:30")]})
    assert features_of("times", history) == {"press.stay": 30.0, "oven.stay": 45.5, "oven.wait": 45.0}


def test_the_last_stay_at_each_station_counts_and_its_wait_is_since_the_stay_just_before(make_history, features_of):
    visits = [
        visit("press", "08:00", "08:10"),
        visit("oven", "08:20", "08:50"),
        visit("press", "09:00", "09:05"),
        visit("oven", "09:30", "10:30"),
    ]
    found = features_of("times", make_history({"visits": visits}))
    assert found == {"press.stay": 5.0, "press.wait": 10.0, "oven.stay": 60.0, "oven.wait": 25.0}


def test_a_stay_elsewhere_does_not_shorten_a_wait(make_history, features_of):
    visits = [visit("press", "08:00", "08:30"), visit("store", "08:30", "09:00"), visit("oven", "09:00", "10:00")]
    assert features_of("times", make_history({"visits": visits}))["oven.wait"] == 30.0


def test_a_wait_below_zero_is_an_overlap(make_history, features_of):
    history = make_history({"visits": [visit("press", "08:00", "08:30"), visit("oven", "08:28", "09:00")]})
    assert features_of("times", history)["oven.wait"] == -2.0


@pytest.mark.parametrize(("recorded", "stay"), [("12:00", 30.0), ("12:00:00.000001", None)])
def test_an_end_counts_only_if_recorded_by_the_cutoff(make_history, features_of, recorded, stay):
    visits = [visit("press", "08:00"), visit("press", "08:00", "08:30", recorded), visit("oven", "09:00", "10:00")]
    found = features_of("times", make_history({"visits": visits}))
    assert found.get("press.stay") == found.get("oven.wait") == stay


@pytest.mark.parametrize(("recorded", "wait"), [("12:00", 20.0), ("12:00:00.000001", 30.0)])
def test_a_corrected_end_counts_only_if_recorded_by_the_cutoff(make_history, features_of, recorded, wait):
    visits = [
        visit("press", "08:00", "08:40", recorded),
        visit("press", "08:00", "08:30"),
        visit("oven", "09:00", "10:00"),
    ]
    assert features_of("times", make_history({"visits": visits}))["oven.wait"] == wait
