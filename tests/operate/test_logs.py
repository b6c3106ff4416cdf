import io
import json
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from small_homes import write_toml

from pipelines import audits, feedback, ingest, logs, scheduled
from pipelines.watch import watch
from qma_predict.errors import LakeError, NoList, QmaError


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    in_use, before = (
        list(logs._in_use),
        (list(root.handlers), {name: logging.getLogger(name).level for name in logs.OURS}),
    )
    yield
    logs._in_use[:] = in_use
    root.handlers[:] = before[0]
    for name, level in before[1].items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def stream():
    return io.StringIO()


def objects(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_message_is_one_json_object_with_the_line_and_the_date_it_is_about(stream):
    logs.set_up(as_json=True, stream=stream)
    ours = logging.getLogger("qma_predict.publish.night")
    ours.info("before")
    with logs.about(line="demo"):
        with logs.about(business_date=date(2026, 3, 3)):
            ours.warning("%d units\nof “all”", 3)
        ours.info("after")
    before, inside, after = objects(stream)
    written = datetime.fromisoformat(inside.pop("time"))
    assert written.utcoffset() == UTC.utcoffset(None)
    assert inside == {
        "level": "WARNING",
        "logger": "qma_predict.publish.night",
        "message": "3 units\nof “all”",
        "line": "demo",
        "business_date": "2026-03-03",
    }
    assert (before["line"], before["business_date"]) == (None, None)
    assert (after["line"], after["business_date"]) == ("demo", None)


def test_people_read_the_time_what_it_is_about_and_the_message(stream):
    logs.set_up(as_json=False, stream=stream)
    with logs.about(line="demo", business_date=date(2026, 3, 3)):
        logging.getLogger("pipelines").info("ingest")
        logging.getLogger("pipelines").warning("late")
    logging.getLogger("pipelines").info("done")
    assert [line[9:] for line in stream.getvalue().splitlines()] == [
        "[demo 2026-03-03] ingest",
        "[demo 2026-03-03] WARNING: late",
        "done",
    ]


def test_an_exception_stays_within_its_object(stream):
    logs.set_up(as_json=True, stream=stream)
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("qma_predict").exception("not done")
    (entry,) = objects(stream)
    assert entry["message"] == "not done"
    assert entry["exception"].endswith("ValueError: odd")


def test_an_exception_says_what_the_block_was_about_that_it_left_wherever_it_is_logged(stream):
    logs.set_up(as_json=True, stream=stream)
    theirs = logging.getLogger("a_library")
    try:
        with logs.about(line="demo"), logs.about(business_date=date(2026, 3, 3)):
            raise NoList("none")
    except NoList:
        theirs.exception("a run failed")
    theirs.error("another message")
    assert [(one["line"], one["business_date"]) for one in objects(stream)] == [("demo", "2026-03-03"), (None, None)]


def test_a_watch_that_fails_under_prefect_says_of_which_list(small, stream):
    logs.set_up(as_json=True, stream=stream)
    try:
        watch(str(small.folder), small.home.folder, datetime(2026, 3, 4, 6, tzinfo=UTC))
    except NoList:
        logging.getLogger("a_library").exception("as Prefect logs it")
    (said,) = objects(stream)
    assert (said["line"], said["business_date"]) == ("tiny", "2026-03-04")


def said_by(stream, work):
    """What work logs about which line and date, whether it ends in an error or not."""
    logs.set_up(as_json=True, stream=stream)
    with suppress(QmaError):
        work()
    return [(one["message"], one["line"], one["business_date"]) for one in objects(stream)]


def test_what_is_logged_of_a_missed_night_says_its_date(small, stream, monkeypatch):
    def list_night(line, home, day, **more):
        logging.getLogger("pipelines.nightly").info("making it")
        raise LakeError("no table")

    monkeypatch.setattr(scheduled, "list_night", list_night)
    monkeypatch.setattr(scheduled, "make_list", lambda *args, **more: None)
    write_toml(small.folder, lambda text: 'schedule = { missed = "all" }\n' + text)
    now = datetime(2026, 3, 6, 4, 30, tzinfo=UTC)
    told = said_by(stream, lambda: scheduled.make_due(str(small.folder), str(small.home.folder), clock=lambda: now))
    days = [f"2026-03-0{day}" for day in (4, 4, 5, 5)]
    assert [(line, day) for _, line, day in told] == [("tiny", day) for day in days]


def test_what_is_logged_of_an_ingest_of_answers_and_of_an_audit_plan_says_the_line(small, stream, monkeypatch):
    def logged(*args, **more):
        logging.getLogger("qma_predict.data.ingest").warning("odd")

    monkeypatch.setattr(ingest, "take_in", logged)
    monkeypatch.setattr(feedback, "import_answers", logged)
    line, home = str(small.folder), str(small.home.folder)
    assert said_by(stream, lambda: ingest.ingest_flow.fn(line, home)) == [("odd", "tiny", None)]
    assert said_by(stream, lambda: feedback.take_answers(line, home, small.folder / "x.csv"))[1:] == [
        ("odd", "tiny", None)
    ]
    (small.home.published("tiny") / "2026-03-03" / "risk_list.html").unlink()
    damaged = said_by(stream, lambda: audits.plan_audits(line, home))[2:]
    assert [one[1:] for one in damaged] == [("tiny", None)]
    assert "risk_list.html is missing" in damaged[0][0]


def test_others_are_heard_from_warnings_on_and_setting_up_again_doubles_nothing(stream):
    logs.set_up(as_json=True, stream=stream)
    logs.set_up(as_json=True, stream=stream)
    logging.getLogger("a_library").info("chatter")
    logging.getLogger("a_library").warning("heard")
    assert [entry["message"] for entry in objects(stream)] == ["heard"]


def test_what_is_said_in_another_thread_is_about_nothing_of_this_one(stream):
    logs.set_up(as_json=True, stream=stream)
    with logs.about(line="demo"):
        other = threading.Thread(target=lambda: logging.getLogger("pipelines").info("there"))
        other.start()
        other.join()
    assert objects(stream)[0]["line"] is None


def test_importing_prefect_changes_neither_the_form_of_the_log_nor_how_often_a_message_comes():
    script = (
        "import logging; from pipelines import logs; logs.set_up(as_json=True); import pipelines.nightly; "
        "logging.getLogger('pipelines.nightly').info('once')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["once"]
