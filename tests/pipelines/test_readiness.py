"""A night waits for files that are not there yet, as long as its line says, and then goes without."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from pipelines.ingest import take_in_for
from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.line import load_line

AS_OF = datetime(2026, 3, 2, 4, tzinfo=UTC)  # Monday 05:00 in Berlin
DAY = AS_OF.date()

TOML = """
name = "tiny"
title = "Tiny line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["oven"]
prediction = { after = "oven", grace = "0 s" }
gate = { name = "final", characteristics = ["leak"], maturity = "5 d" }
candidates = { max_age = "3 d" }
list = { as_of = "05:00", capacity = 2 }
schedule = { wait_until = "05:05" }
sources = [
    { table = "visits", path = "visits*.csv", delay = "0 s" },
    { table = "events", path = "events*.csv", delay = "0 s" },
]
"""


class Clock:
    """A clock that only waiting moves, and what happens meanwhile."""

    def __init__(self, now):
        self.now, self.then = now, {}

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += timedelta(seconds=seconds)
        for moment in [moment for moment in self.then if moment <= self.now]:
            self.then.pop(moment)()


@pytest.fixture
def plant(tmp_path):
    """Folder of a line that makes a unit an hour, whose file of the last day is not there yet."""
    folder = tmp_path / "line"
    folder.mkdir()
    (folder / "line.toml").write_text(TOML.replace('path = "', f'path = "{folder.as_posix()}/'))
    (folder / "events.csv").write_text("machine,kind,occurred_at\noven-1,repair,2026-02-01T00:00:00Z\n")
    write(folder, "visits-1.csv", pd.date_range("2026-01-01", "2026-03-01 04:00", freq="h", tz="UTC"))
    return folder


def write(folder, name, hours):
    rows = [f"u{at:%m%d%H},oven,{at.isoformat()},{at.isoformat()}" for at in hours]
    (folder / name).write_text("\n".join(["unit_id,station,started_at,ended_at", *rows]) + "\n")


def last_day(folder):
    return lambda: write(
        folder, "visits-2.csv", pd.date_range("2026-03-01 05:00", "2026-03-02 04:00", freq="h", tz="UTC")
    )


def take(plant, tmp_path, clock, day=DAY):
    home = str(tmp_path / "home")
    missing = take_in_for(str(plant), home, day, clock=clock, sleep=clock.sleep)
    return missing, Lake(open_home(home).lake("tiny"))


def test_a_night_starts_when_the_file_is_there(plant, tmp_path, caplog):
    clock = Clock(AS_OF)
    clock.then[AS_OF + timedelta(minutes=3)] = last_day(plant)
    missing, lake = take(plant, tmp_path, clock)
    assert (missing, clock.now) == ((), AS_OF + timedelta(minutes=3))
    assert lake.at(AS_OF).newest("visits").count().execute() == 59 * 24 + 29


def test_what_came_while_the_night_waited_is_known_to_its_list_though_the_line_was_set_up_before(plant, tmp_path):
    take(plant, tmp_path, Clock(AS_OF - timedelta(days=1)), day=DAY - timedelta(days=1))
    clock = Clock(AS_OF)
    clock.then[AS_OF + timedelta(minutes=3)] = last_day(plant)
    _, lake = take(plant, tmp_path, clock)
    assert lake.at(AS_OF).newest("visits").occurred_at.max().execute() == pd.Timestamp(AS_OF)


def test_when_the_time_is_over_the_night_goes_without_and_says_what_is_missing(plant, tmp_path, caplog):
    clock = Clock(AS_OF)
    missing, _ = take(plant, tmp_path, clock)
    assert clock.now == AS_OF + timedelta(minutes=5)
    usual = "on this day of the week it is usually 1 hour at most"
    assert missing == (f"the newest visits were recorded 24 hours before the list; {usual}",)
    assert f"the list is made without: {missing[0]}" in caplog.text


def test_a_list_of_an_earlier_day_says_too_which_sources_it_is_made_without(plant, tmp_path, caplog):
    """Before, such a run said nothing but where its page is."""
    (plant / "events.csv").unlink()
    missing, _ = take(plant, tmp_path, Clock(AS_OF + timedelta(days=3)))
    assert len(missing) == 1
    assert missing[0].startswith("source of events: no file matches")
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [
        f"the list is made without: {missing[0]}"
    ]


def test_a_run_that_starts_late_does_not_wait(plant, tmp_path):
    clock = Clock(AS_OF + timedelta(hours=3))
    missing, _ = take(plant, tmp_path, clock)
    assert (len(missing), clock.now) == (1, AS_OF + timedelta(hours=3))


def test_a_line_that_waits_for_nothing_does_not(plant, tmp_path):
    toml = plant / "line.toml"
    toml.write_text(toml.read_text().replace('schedule = { wait_until = "05:05" }\n', ""))
    clock = Clock(AS_OF)
    assert len(take(plant, tmp_path, clock)[0]) == 1
    assert clock.now == AS_OF


def test_a_source_that_can_be_read_again_while_the_night_waits_is_no_problem_of_it(plant, tmp_path):
    last_day(plant)()
    (plant / "events.csv").rename(plant / "away.csv")
    clock = Clock(AS_OF)
    clock.then[AS_OF + timedelta(minutes=2)] = lambda: (plant / "away.csv").rename(plant / "events.csv")
    missing, lake = take(plant, tmp_path, clock)
    assert (missing, clock.now) == ((), AS_OF + timedelta(minutes=2))
    assert lake.read("problems").empty


def test_a_source_that_stays_away_is_a_problem_once(plant, tmp_path):
    last_day(plant)()
    (plant / "events.csv").unlink()
    (problem,), lake = take(plant, tmp_path, Clock(AS_OF))
    assert list(lake.read("problems")["problem"]) == [problem]
    assert "events*.csv" in problem


def test_a_list_in_retrospect_waits_for_nothing_and_knows_nothing_that_came_after(plant, tmp_path):
    take(plant, tmp_path, Clock(AS_OF - timedelta(days=1)), day=DAY - timedelta(days=1))
    last_day(plant)()
    clock = Clock(AS_OF + timedelta(days=1))
    assert load_line(plant).as_of(DAY) == AS_OF
    _, lake = take(plant, tmp_path, clock)
    assert clock.now == AS_OF + timedelta(days=1)
    assert lake.at(AS_OF).newest("visits").occurred_at.max().execute() == pd.Timestamp("2026-03-01 04:00", tz="UTC")
