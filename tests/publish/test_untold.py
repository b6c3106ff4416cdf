"""A list whose run ended between its publication and its message, under `qma serve`."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_nights import AS_OF, DAY, list_of, tables

from pipelines.scheduled import make_due
from pipelines.serve import Child, Guard, untold
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle

NOW = datetime(2026, 3, 3, 7, tzinfo=UTC)


@pytest.fixture
def line(tiny_line, webhook, tmp_path):
    """The tiny line, which tells two addresses of a service."""
    folder = tmp_path / "line"
    folder.mkdir()
    told = f'messages = {{ to = ["{webhook.url}", "{webhook.url}/second"] }}\n'
    (folder / "line.toml").write_text(told + Path(tiny_line.file).read_text())
    return load_line(folder)


@pytest.fixture
def home(line, make_history, tmp_path):
    """A home with tonight's list, of which nobody was told."""
    place = open_home(tmp_path / "home")
    night = list_of(make_history(tables("a", "b"), as_of=AS_OF), line)
    bundle.publish(place.published("tiny"), DAY, night.contents, facts=night.facts, receipt={})
    return place


def run(line, home):
    make_due(str(Path(line.file).parent), str(home.folder), clock=lambda: NOW)


def test_the_next_run_tells_each_address_once_whose_service_takes_it(line, home, webhook):
    assert untold(line, home, NOW) == DAY
    webhook.answer = 500
    run(line, home)
    assert (untold(line, home, NOW), len(webhook.posts)) == (DAY, 2)
    webhook.answer, webhook.posts[:] = 200, []
    for _ in range(2):
        run(line, home)
        assert untold(line, home, NOW) is None
    assert len(webhook.posts) == 2
    assert {path.rpartition("/")[2] for path in webhook.paths} == {"t0ken-t0ken", "second"}


def test_a_list_that_is_replaced_is_untold_again_and_one_whose_day_is_over_is_not(line, home):
    run(line, home)
    contents = {"risk_list.html": b"another"}
    bundle.publish(home.published("tiny"), DAY, contents, facts={}, receipt={}, replace="late file")
    assert untold(line, home, NOW) == DAY
    assert untold(line, home, NOW + timedelta(days=1)) is None


def test_without_addresses_or_lists_nobody_is_to_be_told(line, home, tmp_path):
    nobody = line.model_copy(update={"messages": line.messages.model_copy(update={"to": ()})})
    assert untold(nobody, home, NOW) is None
    assert untold(line, open_home(tmp_path / "other"), NOW) is None


def test_the_guard_waits_then_starts_a_run_and_after_each_waits_four_times_as_long(line, home, caplog):
    guard = Guard(line, home, grace=10.0)
    guard.children["nightly run"] = Counted("nightly run", os.getpid)
    started = []
    for seconds in range(0, 200, 5):
        guard.last = 1000.0 + seconds
        before = guard.children["nightly run"].times
        guard._see_to_the_message(NOW)
        started += [seconds] * (guard.children["nightly run"].times - before)
    assert started == [10, 50]  # and then at 210
    assert "the list of 2026-03-03 is published and not everybody was told" in caplog.text
    run(line, home)
    guard._see_to_the_message(NOW)
    assert guard.untold == {}


def test_the_guard_looks_whether_everybody_was_told(line, tmp_path):
    home = open_home(tmp_path / "home")
    today = line.current_business_date(datetime.now(UTC))
    bundle.publish(home.published("tiny"), today, {"risk_list.html": b"x"}, facts={}, receipt={})
    guard = Guard(line, home, grace=0.0)
    guard.children["nightly run"] = Counted("nightly run", os.getpid)
    guard.look(works=True)
    assert guard.children["nightly run"].times == 1


class Counted(Child):
    """A child that only counts how often it was started."""

    times = 0

    def start(self):
        self.times += 1
