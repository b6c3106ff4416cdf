from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.operate.monitor import health

AS_OF = pd.Timestamp("2026-03-30 03:00", tz="UTC")  # Monday


def readings(per_night, *, tag="force", station="press", nights=35, first=0):
    """Readings of the nights before `AS_OF`: `per_night(ago)` rows, an hour and some minutes before each list."""
    return [
        {"unit_id": f"{tag}{ago}-{n}", "station": station, "tag": tag, "value": 1.0,
         "occurred_at": AS_OF - timedelta(days=ago, hours=1, minutes=n / 100)}
        for ago in range(first, nights)
        for n in range(per_night(ago))
    ]  # fmt: skip


def of(frame, table):
    return frame[frame["table"] == table].set_index("ago")


def test_freshness_tells_the_newest_of_both_clocks(make_history, tiny_line):
    rows = [
        {"unit_id": "u1", "station": "press", "started_at": AS_OF - timedelta(hours=9),
         "ended_at": AS_OF - timedelta(hours=8), "recorded_at": AS_OF - timedelta(hours=3)},
        {"unit_id": "u2", "station": "press", "started_at": AS_OF - timedelta(hours=2),
         "ended_at": AS_OF - timedelta(hours=1), "recorded_at": AS_OF + timedelta(hours=1)},
    ]  # fmt: skip
    found = health.freshness(make_history({"visits": rows}, as_of=AS_OF), tiny_line)
    assert found.index.tolist() == ["inspections", "readings", "tags", "units", "visits"]
    assert found.loc["visits", "happened"] == AS_OF - timedelta(hours=8)
    assert found.loc["visits", "hours"] == 3.0
    assert found.loc["readings"].isna().all()


def test_volume_is_judged_by_the_same_day_of_the_week(make_history, tiny_line):
    def rests_on_sundays(ago):
        return 0 if ago % 7 == 1 else 40

    history = make_history({"readings": readings(rests_on_sundays)}, as_of=AS_OF)
    found = of(health.volume(history, tiny_line), "readings")
    assert found["rows"].tolist() == [40, 0, 40, 40, 40, 40, 40]
    assert found["usual"].tolist() == [40.0, 0.0, 40.0, 40.0, 40.0, 40.0, 40.0]
    assert found["ratio"].isna().tolist() == [False, True] + [False] * 5
    assert not found["unusual"].any()


@pytest.mark.parametrize(("tonight", "unusual"), [(40, False), (21, False), (19, True), (0, True), (81, True)])
def test_half_or_twice_as_many_rows_are_unusual(make_history, tiny_line, tonight, unusual):
    history = make_history({"readings": readings(lambda ago: 40 if ago else tonight)}, as_of=AS_OF)
    found = of(health.volume(history, tiny_line), "readings")
    assert found["unusual"].tolist() == [unusual] + [False] * 6


def test_one_bad_night_among_the_usual_does_not_hide_the_next(make_history, tiny_line):
    history = make_history({"readings": readings(lambda ago: 2 if ago in (0, 14) else 40)}, as_of=AS_OF)
    assert of(health.volume(history, tiny_line), "readings")["unusual"].tolist() == [True] + [False] * 6


def test_what_varies_much_is_unusual_only_far_from_it(make_history, tiny_line):
    history = make_history({"readings": readings(lambda ago: (2, 9, 30)[ago % 3] if ago else 60)}, as_of=AS_OF)
    assert not of(health.volume(history, tiny_line), "readings")["unusual"].any()


def test_a_young_line_has_no_usual_volume(make_history, tiny_line):
    history = make_history({"readings": readings(lambda ago: 40, nights=9)}, as_of=AS_OF)
    found = of(health.volume(history, tiny_line), "readings")
    assert found["rows"].tolist() == [40] * 7
    assert found["unusual"].isna().all()


def test_a_sensor_that_usually_reports_and_did_not_is_silent(make_history, tiny_line):
    rows = readings(lambda ago: 3) + readings(lambda ago: 1, tag="heat", first=2)
    rows += readings(lambda ago: ago % 2, tag="seldom", first=1)
    found = health.sensors(make_history({"readings": rows}, as_of=AS_OF), tiny_line)
    assert found[["tag", "nights", "silent"]].to_numpy().tolist() == [["heat", 1.0, True], ["force", 1.0, False]]
    assert found["newest"].iloc[0] == AS_OF - timedelta(days=2, hours=1)


def test_no_sensor_is_silent_while_the_line_rests(make_history, tiny_line):
    rows = readings(lambda ago: 3, first=2) + readings(lambda ago: 1, tag="heat", first=3)
    assert not health.sensors(make_history({"readings": rows}, as_of=AS_OF), tiny_line)["silent"].any()


def test_readings_of_a_machine_are_told_by_it(make_history, tiny_line):
    rows = [row | {"station": "", "machine": "M1", "unit_id": ""} for row in readings(lambda ago: 1)]
    found = health.sensors(make_history({"readings": rows}, as_of=AS_OF), tiny_line)
    assert found[["station", "tag"]].to_numpy().tolist() == [["M1", "force"]]


def test_delays_are_told_beside_what_is_usual(make_history, tiny_line):
    rows = readings(lambda ago: 4)
    for row in rows:
        recent = row["occurred_at"] > AS_OF - timedelta(days=7)
        row["recorded_at"] = row["occurred_at"] + timedelta(minutes=12 if recent else 6)
    found = health.delays(make_history({"readings": rows}, as_of=AS_OF), tiny_line)
    assert found.loc["readings", ["rows", "median", "q95", "usual_q95"]].tolist() == [28, 0.2, 0.2, 0.1]
    assert not found.loc["readings", "later"]  # twice as long, but by minutes
    assert found.loc["visits", "rows"] == 0
    assert np.isnan(found.loc["readings", "seen_late"])  # the line was not set up


def test_rows_that_take_hours_longer_come_later_than_usual(make_history, tiny_line):
    rows = readings(lambda ago: 4)
    for row in rows:
        recent = row["occurred_at"] > AS_OF - timedelta(days=7)
        row["occurred_at"] -= timedelta(hours=5 if recent else 1)
        row["recorded_at"] = row["occurred_at"] + timedelta(hours=5 if recent else 1)
    assert health.delays(make_history({"readings": rows}, as_of=AS_OF), tiny_line).loc["readings", "later"]


def test_rows_that_we_saw_after_their_own_night_are_counted(make_history, tiny_line):
    rows = readings(lambda ago: 1)
    for ago, row in enumerate(rows):
        row["ingested_at"] = AS_OF - timedelta(days=ago)
    rows[3]["ingested_at"] = AS_OF  # two nights late
    set_up = (AS_OF - timedelta(days=20)).isoformat()
    found = health.delays(make_history({"readings": rows}, as_of=AS_OF, set_up=set_up), tiny_line)
    assert found.loc["readings", "seen_late"] == 1


def test_refused_rows_and_problems_of_the_last_nights(make_history, tiny_line):
    def refused(reason, days):
        seen = AS_OF - timedelta(days=days)
        return {"table": "visits", "path": "v.csv", "row": 1, "reason": reason, "ingested_at": seen}

    def problem(days):
        return {"table": "units", "problem": "units.csv is cut", "ingested_at": AS_OF - timedelta(days=days)}

    rows = [refused("no unit_id", 1), refused("no unit_id", 2), refused("no station", 0), refused("old", 7)]
    history = make_history({"quarantine": rows, "problems": [problem(0), problem(1), problem(9)]}, as_of=AS_OF)
    assert health.refused(history)[["reason", "rows"]].to_numpy().tolist() == [["no unit_id", 2], ["no station", 1]]
    found = health.problems(history)
    assert found[["table", "problem", "times"]].to_numpy().tolist() == [["units", "units.csv is cut", 2]]
    assert found["newest"].iloc[0] == AS_OF
