from datetime import UTC, date, datetime, time, timedelta

import pandas as pd
import pytest

from qma_predict.features.points import candidates, prediction_points, whereabouts


def utc(text):
    return pd.Timestamp(text, tz="UTC")


def oven(unit, ended, **more):
    return {"unit_id": unit, "station": "oven", "started_at": "2026-03-02 08:00", "ended_at": ended} | more


def result(unit, recorded, **more):
    row = {"unit_id": unit, "gate": "final", "characteristic": "leak", "passed": True, "occurred_at": recorded}
    return row | more


def one(points, unit):
    return points.set_index("unit_id").loc[unit]


def at(line, as_of):
    """The line with its list at another time of day."""
    return line.model_copy(update={"list": line.list.model_copy(update={"as_of": as_of})})


def test_the_cutoff_is_the_end_of_the_stay_plus_grace(make_history, tiny_line):
    points = prediction_points(make_history({"visits": [oven("u", "2026-03-02 09:00")]}), tiny_line)
    assert one(points, "u")["cutoff"] == utc("2026-03-02 09:15")
    assert list(points) == ["unit_id", "cutoff", "known_at", "open_until", "night"]
    assert (points.dtypes[["cutoff", "known_at", "open_until"]] == "datetime64[us, UTC]").all()


@pytest.mark.parametrize(("as_of", "points"), [("2026-03-02 09:14:59", 0), ("2026-03-02 09:15", 1)])
def test_a_unit_whose_cutoff_is_still_to_come_is_no_point_yet(make_history, tiny_line, as_of, points):
    history = make_history({"visits": [oven("u", "2026-03-02 09:00")]})
    assert len(prediction_points(history.at(utc(as_of)), tiny_line)) == points


def test_a_later_correction_of_the_end_moves_no_cutoff(make_history, tiny_line):
    first = oven("u", "2026-03-02 09:00", recorded_at="2026-03-02 09:05")
    visits = [oven("u", "2026-03-02 08:30", recorded_at="2026-03-02 10:00"), first]
    assert one(prediction_points(make_history({"visits": visits}), tiny_line), "u")["cutoff"] == utc("2026-03-02 09:15")


def test_a_second_stay_at_the_station_moves_no_cutoff(make_history, tiny_line):
    visits = [oven("u", "2026-03-02 09:00"), oven("u", "2026-03-03 09:00", started_at="2026-03-03 08:00")]
    assert one(prediction_points(make_history({"visits": visits}), tiny_line), "u")["cutoff"] == utc("2026-03-02 09:15")


def test_a_stay_without_an_end_and_another_station_make_no_point(make_history, tiny_line):
    visits = [oven("still inside", None), oven("at the press", "2026-03-02 09:00", station="press")]
    assert prediction_points(make_history({"visits": visits}), tiny_line).empty


def test_a_stay_recorded_open_and_then_ended_has_the_end(make_history, tiny_line):
    visits = [oven("u", None), oven("u", "2026-03-02 09:00")]
    assert one(prediction_points(make_history({"visits": visits}), tiny_line), "u")["cutoff"] == utc("2026-03-02 09:15")


@pytest.mark.parametrize(
    ("recorded", "known_at"),
    [
        ("2026-03-02 09:00", "2026-03-02 09:15"),
        ("2026-03-02 09:15", "2026-03-02 09:15"),
        ("2026-03-02 09:15:00.000001", "2026-03-02 09:15:00.000001"),
        ("2026-03-04 00:00", "2026-03-04 00:00"),
    ],
)
def test_a_point_is_known_when_cutoff_and_record_are_there(make_history, tiny_line, recorded, known_at):
    history = make_history({"visits": [oven("u", "2026-03-02 09:00", recorded_at=recorded)]})
    assert one(prediction_points(history, tiny_line), "u")["known_at"] == utc(known_at)


def test_a_point_is_open_until_the_first_of_result_leaving_and_age(make_history, tiny_line):
    visits = [oven(unit, "2026-03-02 09:00") for unit in ("inspected", "shipped", "old", "all")]
    for unit, when in (("shipped", "2026-03-03 12:00"), ("all", "2026-03-03 12:00")):
        visits.append({"unit_id": unit, "station": "shipping", "started_at": "2026-03-03 11:00", "recorded_at": when})
    inspections = [
        result("inspected", "2026-03-03 10:00", recorded_at="2026-03-03 10:30"),
        result("inspected", "2026-03-03 09:00", characteristic="size", recorded_at="2026-03-03 13:00"),
        result("all", "2026-03-03 10:00"),
        result("old", "2026-03-03 10:00", gate="incoming"),
        result("old", "2026-03-03 10:00", characteristic="colour"),
    ]
    points = prediction_points(make_history({"visits": visits, "inspections": inspections}), tiny_line)
    assert points.set_index("unit_id")["open_until"].to_dict() == {
        "inspected": utc("2026-03-03 10:30"),
        "shipped": utc("2026-03-03 12:00"),
        "old": utc("2026-03-05 09:15"),
        "all": utc("2026-03-03 10:00"),
    }


def test_on_a_line_that_names_no_place_to_leave_units_never_leave(make_history, tiny_line):
    staying = tiny_line.model_copy(update={"candidates": tiny_line.candidates.model_copy(update={"leave_at": ()})})
    gone = {"unit_id": "u", "station": "shipping", "started_at": "2026-03-02 10:00"}
    points = prediction_points(make_history({"visits": [oven("u", "2026-03-02 09:00"), gone]}), staying)
    assert one(points, "u")["open_until"] == utc("2026-03-05 09:15")


@pytest.mark.parametrize(("recorded", "dropped"), [("2026-03-02 09:15", 1), ("2026-03-02 09:15:00.000001", 0)])
def test_points_whose_result_was_recorded_by_the_cutoff_are_dropped_and_counted(
    make_history, tiny_line, recorded, dropped
):
    tables = {
        "visits": [oven("u", "2026-03-02 09:00"), oven("other", "2026-03-02 09:00")],
        "inspections": [result("u", "2026-03-02 09:10", recorded_at=recorded)],
    }
    points = prediction_points(make_history(tables), tiny_line)
    assert points.attrs["already_known"] == dropped
    assert len(points) == 2 - dropped


def test_what_was_recorded_after_the_moment_is_not_known(make_history, tiny_line):
    tables = {
        "visits": [oven("u", "2026-03-02 09:00"), oven("v", "2026-03-02 09:00", recorded_at="2026-03-04 09:00")],
        "inspections": [result("u", "2026-03-03 10:00")],
    }
    points = prediction_points(make_history(tables, as_of="2026-03-03 09:59"), tiny_line)
    assert points["unit_id"].tolist() == ["u"]
    assert one(points, "u")["open_until"] == utc("2026-03-05 09:15")


@pytest.mark.parametrize(
    ("known_at", "night"),
    [
        ("2026-03-03 03:59:59.999999", date(2026, 3, 3)),
        ("2026-03-03 04:00", date(2026, 3, 3)),  # exactly at 05:00 in Berlin: the list knows it
        ("2026-03-03 04:00:00.000001", date(2026, 3, 4)),
        ("2026-03-03 23:30", date(2026, 3, 4)),  # 4 March in Berlin
    ],
)
def test_the_night_is_the_first_business_date_that_knows_the_point(make_history, tiny_line, known_at, night):
    history = make_history({"visits": [oven("u", "2026-03-02 09:00", recorded_at=known_at)]})
    assert one(prediction_points(history, tiny_line), "u")["night"] == night


@pytest.mark.parametrize(
    ("as_of", "known_at", "night"),
    [
        # 29 March 2026: 02:00 becomes 03:00, and 05:00 is an hour earlier in UTC than the day before
        (time(5), "2026-03-28 04:00", date(2026, 3, 28)),
        (time(5), "2026-03-29 03:00", date(2026, 3, 29)),
        (time(5), "2026-03-29 03:00:00.000001", date(2026, 3, 30)),
        # 02:30 does not exist that day: the list is made when the clock changes, at 01:00 UTC
        (time(2, 30), "2026-03-29 01:00", date(2026, 3, 29)),
        (time(2, 30), "2026-03-29 01:00:00.000001", date(2026, 3, 30)),
        # 25 October 2026: 03:00 becomes 02:00
        (time(5), "2026-10-25 04:00", date(2026, 10, 25)),
        (time(5), "2026-10-25 04:00:00.000001", date(2026, 10, 26)),
        # 02:30 comes twice: the list is made at the first, 00:30 UTC
        (time(2, 30), "2026-10-25 00:30", date(2026, 10, 25)),
        (time(2, 30), "2026-10-25 00:30:00.000001", date(2026, 10, 26)),
    ],
)
def test_nights_around_the_clock_changes(make_history, tiny_line, as_of, known_at, night):
    ended = utc(known_at) - pd.Timedelta("15min")
    visit = oven("u", ended, started_at=ended - pd.Timedelta("1h"))
    line = at(tiny_line, as_of)
    found = one(prediction_points(make_history({"visits": [visit]}), line), "u")
    assert found["night"] == night == line.business_date(utc(known_at).to_pydatetime())


def test_a_unit_that_was_gone_before_its_first_list_has_no_night(make_history, tiny_line):
    visits = [oven("gone", "2026-03-02 09:00"), oven("there", "2026-03-02 09:00")]
    inspections = [result("gone", "2026-03-03 04:00"), result("there", "2026-03-03 04:00:00.000001")]
    points = prediction_points(make_history({"visits": visits, "inspections": inspections}), tiny_line)
    assert points.set_index("unit_id")["night"].to_dict() == {"gone": None, "there": date(2026, 3, 3)}


def test_every_night_of_the_small_plant_is_the_first_that_can_name_the_unit(lake, line):
    points = prediction_points(lake.at(datetime(2026, 2, 1, tzinfo=UTC)), line)
    listed = {}
    for day in [date(2025, 9, 1) + timedelta(days=n) for n in range(90)]:
        for unit in candidates(points, line.as_of(day))["unit_id"]:
            listed.setdefault(unit, day)
    assert points.set_index("unit_id")["night"].dropna().to_dict() == listed
    assert len(listed) > 3000


@pytest.mark.parametrize(
    ("as_of", "there"),
    [
        ("2026-03-02 09:14:59.999999", False),
        ("2026-03-02 09:15", True),
        ("2026-03-05 09:14:59.999999", True),
        ("2026-03-05 09:15", False),
    ],
)
def test_a_unit_is_a_candidate_from_when_it_is_known_until_it_is_too_old(make_history, tiny_line, as_of, there):
    points = prediction_points(make_history({"visits": [oven("u", "2026-03-02 09:00")]}), tiny_line)
    assert len(candidates(points, utc(as_of))) == there


def test_a_line_without_any_visit_has_no_points_and_no_candidates(make_history, tiny_line):
    points = prediction_points(make_history({}), tiny_line)
    assert list(points) == ["unit_id", "cutoff", "known_at", "open_until", "night"]
    assert points.empty
    assert points.attrs["already_known"] == 0
    assert candidates(points, utc("2026-03-02")).empty


def test_points_are_sorted_by_cutoff_and_unit(make_history, tiny_line):
    visits = [oven("b", "2026-03-02 09:00"), oven("c", "2026-03-02 08:59"), oven("a", "2026-03-02 09:00")]
    points = prediction_points(make_history({"visits": visits}), tiny_line)
    assert points["unit_id"].tolist() == ["c", "a", "b"]


def test_whereabouts_is_the_visit_that_started_last_as_known_then(make_history):
    tables = {
        "units": [
            {"unit_id": "u", "product": "A", "occurred_at": "2026-03-02 06:00"},
            {"unit_id": "u", "product": "B", "occurred_at": "2026-03-02 06:00", "recorded_at": "2026-03-02 07:00"},
            {"unit_id": "v", "product": "C", "occurred_at": "2026-03-02 06:00"},
        ],
        "visits": [
            {"unit_id": "u", "station": "press", "started_at": "2026-03-02 07:00", "recorded_at": "2026-03-02 10:30"},
            {"unit_id": "u", "station": "oven", "machine": "wrong", "started_at": "2026-03-02 08:00"},
            oven("u", "2026-03-02 09:00", machine="O1"),
            {"unit_id": "u", "station": "store", "started_at": "2026-03-02 10:00", "recorded_at": "2026-03-02 12:00"},
        ],
    }
    found = whereabouts(make_history(tables, as_of="2026-03-02 11:00"), pd.Series(["v", "u", "unheard of"]))
    assert found.loc["u"].to_dict() == {
        "product": "B", "station": "oven", "machine": "O1", "since": utc("2026-03-02 08:00"),
    }  # fmt: skip
    assert found.loc["v", "product"] == "C"
    assert found.loc["v", ["station", "machine", "since"]].isna().all()
    assert found.loc["unheard of"].isna().all()
    assert sorted(found.index) == ["u", "unheard of", "v"]


def test_a_void_result_neither_closes_a_candidacy_nor_makes_a_unit_known_already(make_history, tiny_line):
    gate = tiny_line.gate.model_copy(update={"void": ("V1",)})
    line = tiny_line.model_copy(update={"gate": gate})
    stay = {"unit_id": "u1", "station": "oven", "started_at": "2025-05-01 08:00", "ended_at": "2025-05-01 09:00"}
    result = {"unit_id": "u1", "gate": "final", "characteristic": "leak", "passed": False, "code": "V1"}
    for at in ("2025-05-01 09:05", "2025-05-01 12:00"):  # before the cutoff at 09:15, and after
        tables = {"visits": [stay], "inspections": [result | {"occurred_at": at}]}
        assert prediction_points(make_history(tables), tiny_line).attrs["already_known"] == (at < "2025-05-01 09:15")
        [open_until] = prediction_points(make_history(tables), line)["open_until"]
        assert open_until == pd.Timestamp("2025-05-04 09:15", tz="UTC")
