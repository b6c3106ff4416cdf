from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from qma_predict.data import freshness

MONDAY = pd.Timestamp("2026-03-02 04:00", tz="UTC")  # 05:00 in Berlin


def late(history, line):
    return freshness.late(history, line, freshness.newest(history, line))


def shifts(*, until, sundays=True, weeks=10):
    """A visit and a reading an hour until a moment; without Sundays, work begins on Mondays at 06:00."""
    hours = pd.date_range(end=pd.Timestamp(until, tz="UTC"), periods=weeks * 7 * 24, freq="h")
    rest = (hours.day_of_week == 6) | ((hours.day_of_week == 0) & (hours.hour < 6))
    hours = hours[sundays | ~rest]
    visits = [{"unit_id": str(n), "station": "oven", "started_at": at, "ended_at": at} for n, at in enumerate(hours)]
    readings = [{"unit_id": "", "station": "oven", "tag": "heat", "occurred_at": at, "value": 1.0} for at in hours]
    return {"visits": visits, "readings": readings}


def test_what_is_as_old_as_usual_is_not_late(make_history, tiny_line):
    assert late(make_history(shifts(until="2026-03-02 03:00"), as_of=MONDAY), tiny_line) == []


def test_six_hours_older_than_usual_is_late(make_history, tiny_line):
    # the newest row is usually of the same hour
    assert late(make_history(shifts(until="2026-03-01 22:00"), as_of=MONDAY), tiny_line) == []
    assert late(make_history(shifts(until="2026-03-01 21:00"), as_of=MONDAY), tiny_line) == [
        "the newest visits were recorded 7 hours before the list; on this day of the week it is usually 1 hour at most",
        "the newest readings were recorded 7 hours before the list; on this day of the week it is usually 1 hour at "
        "most",
    ]


def test_a_plant_that_rests_on_sundays_is_not_late_on_mondays(make_history, tiny_line):
    # until Saturday 23:00: 29 hours old
    resting = shifts(until="2026-02-28 23:00", sundays=False)
    assert late(make_history(resting, as_of=MONDAY), tiny_line) == []
    (visits, _) = late(make_history(resting, as_of=MONDAY + pd.Timedelta("1D")), tiny_line)
    assert visits.startswith("the newest visits were recorded 2.2 days before the list; ")
    assert visits.endswith("on this day of the week it is usually 1 hour at most")  # on Tuesdays


def test_one_standstill_of_the_last_weeks_is_not_what_is_usual(make_history, tiny_line):
    tables = shifts(until="2026-03-01 20:00")
    stood = [pd.Timestamp(f"2026-02-{day}", tz="UTC").date() for day in (15, 16)]
    tables["visits"] = [row for row in tables["visits"] if row["ended_at"].date() not in stood]
    assert len(late(make_history(tables, as_of=MONDAY), tiny_line)) == 2


def test_with_little_history_a_day_is_late(make_history, tiny_line):
    young = {"weeks": 2}
    assert late(make_history(shifts(until="2026-03-01 05:00", **young), as_of=MONDAY), tiny_line) == []
    (visits, _) = late(make_history(shifts(until="2026-03-01 03:00", **young), as_of=MONDAY), tiny_line)
    assert visits == (
        "the newest visits were recorded 25 hours before the list; what is usual is not known yet, and more than "
        "24 hours is taken to be late"
    )


def test_a_table_without_rows_is_late_and_one_without_a_source_is_not(make_history, tiny_line):
    history = make_history({"visits": shifts(until="2026-03-02 03:00")["visits"]}, as_of=MONDAY)
    assert late(history, tiny_line) == ["no readings are known"]
    visits_only = [source for source in tiny_line.sources if source.table != "readings"]
    assert late(history, tiny_line.model_copy(update={"sources": tuple(visits_only)})) == []


def test_what_was_ingested_later_does_not_count(make_lake, tiny_line):
    tables = shifts(until="2026-03-02 03:00")
    lake = make_lake(tables, set_up="2026-03-02 05:00")
    assert len(late(lake.at(MONDAY.to_pydatetime()), tiny_line)) == 0  # of before the line was set up
    afterwards = {name: [row | {"ingested_at": "2026-03-02 05:00"} for row in rows] for name, rows in tables.items()}
    lake = make_lake(afterwards, set_up="2026-03-02 03:30")
    (visits, _) = late(lake.at(MONDAY.to_pydatetime()), tiny_line)
    assert visits == "no visits are known"


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
def test_the_hour_of_a_clock_change_is_not_late(make_history, tiny_line, day):
    as_of = tiny_line.as_of(day)
    hours = shifts(until=datetime.combine(day, datetime.min.time()) + timedelta(hours=2))
    assert as_of.astimezone(UTC).hour in (3, 4)
    assert late(make_history(hours, as_of=pd.Timestamp(as_of)), tiny_line) == []
