"""What a run makes after nights that were missed, and that two runs at once make one list."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from processes import PROCESSES

from pipelines.nightly import missed_before
from pipelines.scheduled import Due, due, is_running, make_due, run_lock, timetable
from pipelines.serve import unmade
from qma_predict.errors import NoList
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle
from qma_predict.publish.messages.digest import digest
from qma_predict.publish.messages.watch import look

TUE, WED, THU, FRI = (date(2025, 11, day) for day in (11, 12, 13, 14))


@pytest.fixture
def line_with(trained, tmp_path):
    """Return a function: the folder of the demo line with this schedule."""

    def make(schedule):
        folder = tmp_path / "line"
        folder.mkdir(exist_ok=True)
        demo = (Path(trained.line) / "line.toml").read_text()
        (folder / "line.toml").write_text(demo.replace("[prediction]", f"[schedule]\n{schedule}\n\n[prediction]"))
        return str(folder)

    return make


@pytest.fixture
def tiny(tiny_line):
    """Return a function: the tiny line with this schedule; its lists are made as of 05:00 and promised by 06:00."""

    def make(**schedule):
        return tiny_line.model_copy(update={"schedule": tiny_line.schedule.model_copy(update=schedule)})

    return make


def at(day, hour, minute=0):
    """A moment of a day in Berlin's winter."""
    return datetime(day.year, day.month, day.day, hour - 1, minute, tzinfo=UTC)


@pytest.mark.parametrize(("missed", "found"), [("latest", Due(FRI)), ("none", Due(FRI)), ("all", Due(FRI, (WED, THU)))])
def test_after_missed_nights_a_run_makes_what_the_line_says(tiny, missed, found):
    assert due(tiny(missed=missed), [TUE], at(FRI, 5)) == found


def test_a_run_that_takes_place_each_night_makes_that_nights_list(tiny):
    for missed in ("latest", "all", "none"):
        assert due(tiny(missed=missed), [TUE, WED], at(THU, 5)) == Due(THU)


def test_once_the_promised_time_has_passed_a_line_may_want_no_list(tiny):
    assert due(tiny(missed="none"), [TUE], at(WED, 5, 59)) == Due(WED)
    with pytest.raises(NoList, match='2025-11-12: no list is made: it was promised by 2025-11-12 05:00 UTC, .* "none"'):
        due(tiny(missed="none"), [TUE], at(WED, 6))
    assert due(tiny(missed="latest"), [TUE], at(WED, 6)) == Due(WED)


def test_what_is_published_is_due_no_more(tiny):
    for missed in ("latest", "all", "none"):
        assert due(tiny(missed=missed), [TUE, WED], at(WED, 23)) == Due(WED)


def test_without_any_list_nothing_was_missed(tiny):
    assert due(tiny(missed="all"), [], at(FRI, 5)) == Due(FRI)
    assert due(tiny(missed="all"), [], at(FRI, 4)) == Due(THU)


def test_days_without_a_run_are_not_missed(tiny):
    weekdays = tiny(missed="all", cron="0 5 * * 1-5")
    friday, monday = FRI, date(2025, 11, 17)
    assert due(weekdays, [friday], at(monday, 5)) == Due(monday)
    assert due(weekdays, [], at(monday, 4)) == Due(friday)
    assert missed_before(weekdays, [friday, monday], monday) == ()
    assert missed_before(tiny(), [friday, monday], monday) == (date(2025, 11, 15), date(2025, 11, 16))


def test_a_list_of_a_clock_that_was_ahead_keeps_none_from_being_made_and_is_told(tiny, caplog):
    assert due(tiny(missed="all"), [TUE, FRI], at(THU, 5)) == Due(THU, (WED,))
    assert "it is 2025-11-13 by the clock, and there is a list of 2025-11-14" in caplog.text


def test_the_night_of_the_clock_change_is_due_once(tiny_line):
    sunday = date(2026, 3, 29)
    start = tiny_line.as_of(sunday)
    known = [sunday - timedelta(days=1)]
    assert due(tiny_line, known, start - timedelta(minutes=1)) == Due(known[0])
    assert due(tiny_line, known, start) == Due(sunday)
    assert due(tiny_line, [*known, sunday], start + timedelta(hours=23)) == Due(sunday)


def test_what_is_due_wanted_and_not_published_is_still_to_be_made(tiny, tmp_path):
    home = open_home(tmp_path / "home")
    assert unmade(tiny(), home, at(WED, 5)) == WED
    assert unmade(tiny(missed="none"), home, at(WED, 6)) is None
    bundle.publish(home.published("tiny"), WED, {"risk_list.html": b"x"}, facts={}, receipt={})
    assert unmade(tiny(), home, at(THU, 4, 59)) is None
    assert unmade(tiny(), home, at(THU, 5)) == THU


def test_on_a_day_without_a_run_nobody_is_told_that_its_list_is_missing(tiny, tmp_path):
    home, sunday = open_home(tmp_path / "home"), date(2025, 11, 16)
    bundle.publish(home.published("tiny"), FRI, {"risk_list.html": b"x"}, facts={}, receipt={})
    assert look(home, tiny(cron="0 5 * * 1-5"), at(sunday, 12)).missing == ""
    assert "the newest list is that of 2025-11-14" in look(home, tiny(), at(sunday, 12)).missing


def test_the_timetable_has_the_lines_own_times(tiny_line):
    assert timetable(tiny_line) == {"nightly run": "0 5 * * *", "watch": "0 6 * * *", "monitoring": "0 6 * * *"}
    training = tiny_line.training.model_copy(update={"cron": "0 7 * * 0"})
    assert timetable(tiny_line.model_copy(update={"training": training}))["training"] == "0 7 * * 0"


def facts_of(home, day):
    return bundle.read(home.published("demo"), day)["facts"]


@pytest.fixture
def place(with_one_list):
    """A home of its own with the list of Tuesday."""
    assert bundle.published_dates(with_one_list.published("demo")) == [TUE]
    return with_one_list


def test_missed_nights_are_made_in_retrospect_or_named(line_with, place):
    make_due(line_with('missed = "all"'), str(place.folder), clock=lambda: at(THU, 5, 1))
    assert bundle.published_dates(place.published("demo")) == [TUE, WED, THU]
    told = {day: facts_of(place, day)["provenance"]["retrospective"] for day in (TUE, WED, THU)}
    assert told == {TUE: False, WED: True, THU: False}
    saturday = THU + timedelta(days=2)
    line = line_with('missed = "latest"')
    make_due(line, str(place.folder), clock=lambda: at(saturday, 9))
    dates = bundle.published_dates(place.published("demo"))
    assert dates == [TUE, WED, THU, saturday]
    missed = missed_before(load_line(line), dates, saturday)
    body = digest(bundle.read(place.published("demo"), saturday), where="x", missed=missed)[1]
    assert "No list was made for Fri 14 Nov 2025" in body.split("\n\n")


def test_a_run_that_starts_seconds_early_waits_for_its_time(trained, place):
    now = [at(WED, 5) - timedelta(seconds=8)]

    def sleep(seconds):
        now[0] += timedelta(seconds=seconds)

    folder = make_due(trained.line, str(place.folder), clock=lambda: now[0], sleep=sleep)
    assert (folder.name, now[0]) == (str(WED), at(WED, 5))


def on_wednesday():
    return at(WED, 5)


def run(line, home, environment):
    os.environ.clear()  # a server that was started earlier forks with the one of its start
    os.environ.update(environment)
    make_due(line, home, clock=on_wednesday)


def test_two_runs_at_once_make_one_list(trained, place):
    definition = load_line(trained.line)
    assert not is_running(place, definition)
    with open_home(place.folder).writing(run_lock(definition)):
        assert is_running(place, definition)
    both = [PROCESSES.Process(target=run, args=(trained.line, str(place.folder), dict(os.environ))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    folder = place.published("demo")
    bundle.verify(folder / str(WED))
    assert {path.name for path in (folder / "revisions").iterdir()} == {f"{TUE}.r1", f"{WED}.r1"}
    assert json.loads((folder / str(WED) / "receipt.json").read_text())["process"] in {one.pid for one in both}
