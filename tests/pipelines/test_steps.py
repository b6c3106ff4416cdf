import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from prefect import Flow, flow
from prefect.exceptions import CancelledRun
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from pipelines import steps
from pipelines.steps import answers, from_outside, run, step
from qma_predict.errors import LineError, PublicationError


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(steps, "WAIT_SECONDS", 0)


def flaky(failures):
    """A function that raises these errors one by one, then returns how often it was called."""
    left = list(failures)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call


def caused_by_disk():
    error = PublicationError("cannot be written")
    error.__cause__ = OSError("disk full")
    return error


@pytest.mark.parametrize("error", [OSError("share away"), caused_by_disk()])
def test_what_the_outside_does_is_tried_again_three_times(error):
    assert step(flaky([error] * 3))() == "done"
    with pytest.raises(type(error)):
        step(flaky([error] * 4))()


def test_other_errors_are_not_tried_again():
    with pytest.raises(LineError):
        step(flaky([LineError("unknown key")]))()


def test_an_error_is_from_outside_by_itself_or_by_its_cause():
    assert from_outside(OSError())
    assert from_outside(caused_by_disk())
    assert not from_outside(PublicationError("damaged"))
    assert not from_outside(None)


@pytest.fixture
def server():
    """Return a function: the URL of a server that answers every question with this status, and takes as it says."""
    started = []

    def start(status, taking=500):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(status)

            def do_POST(self):
                self.answer(taking)

            def answer(self, status):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        one = HTTPServer(("127.0.0.1", 0), Answer)
        started.append(one)
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{one.server_port}/api"

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize(("status", "there"), [(200, True), (401, True), (503, False)])
def test_a_server_answers_if_it_is_there(server, status, there):
    assert answers(server(status)) is there


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "nonsense", "http://not a host/api"])
def test_nobody_answers_where_there_is_no_server(url):
    assert not answers(url)


def test_a_flow_runs_directly_where_the_server_that_is_set_up_does_not_answer(caplog):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert run(flow(lambda: "done", name="any")) == "done"
    assert "http://127.0.0.1:9/api: the Prefect server does not answer" in caplog.text


@pytest.fixture
def under(monkeypatch):
    """Return a function: run a flow under the server at a URL, which is asked once."""

    def start(url, *words):
        with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
            return run(*words)

    return start


def noted(error=None):
    """The work of a flow, and how often it was done."""
    times = []

    def work(word):
        times.append(word)
        if error is not None:
            raise error
        return word

    return work, times


@pytest.mark.parametrize(("status", "taking"), [(401, 401), (200, 500), (200, 404), (200, 200)])
def test_a_flow_runs_directly_once_where_the_server_answers_and_refuses(server, under, caplog, status, taking):
    work, times = noted()
    assert under(server(status, taking), flow(work, name="any"), "done") == "done"
    assert times == ["done"]
    assert "the Prefect server cannot be used, so that it is done without" in caplog.text


def test_an_error_of_the_work_that_is_done_without_is_raised_and_the_work_is_not_done_again(server, under):
    work, times = noted(LineError("unknown key"))
    with pytest.raises(LineError):
        under(server(200), flow(work, name="any"), "once")
    assert times == ["once"]


class Around(Flow):
    """A flow whose work is done, or not, and around which Prefect raises `error`."""

    error: BaseException
    begins = True

    def __call__(self, *words):
        try:
            return self.fn(*words) if self.begins else None
        finally:
            if self.error is not None:
                raise self.error


def around(work, error, begins=True):
    made = Around(work, name="any")
    made.error, made.begins = error, begins
    return made


LOST = httpx.ConnectError("connection refused")


def test_what_the_work_returned_counts_where_the_server_is_lost_on_the_way(server, under, caplog):
    work, times = noted()
    assert under(server(200), around(work, LOST), "done") == "done"
    assert times == ["done"]
    assert "does not know how the run ended: connection refused" in caplog.text


@pytest.mark.parametrize("error", [LineError("unknown key"), OSError("disk full"), KeyboardInterrupt()])
def test_what_the_work_raised_counts_where_the_server_is_lost_on_the_way(server, under, error):
    work, times = noted(error)
    with pytest.raises(type(error)) as raised:
        under(server(200), around(work, LOST), "once")
    assert (raised.value, times) == (error, ["once"])


@pytest.mark.parametrize("error", [httpx.ReadTimeout("of a web hook"), ValueError("odd")])
def test_an_error_of_the_work_that_looks_like_one_of_prefect_is_raised_as_it_is(server, under, caplog, error):
    work, times = noted(error)
    with pytest.raises(type(error)) as raised:
        under(server(200), around(work, None), "once")
    assert (raised.value, times, caplog.text) == (error, ["once"], "")


def interrupted():
    """What Prefect raises when it cannot tell its server that somebody ended the run."""
    error = httpx.ConnectError("connection refused")
    error.__context__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize("error", [interrupted(), CancelledRun("by somebody")])
def test_a_run_that_somebody_ended_before_its_work_began_is_not_done_without(server, under, error):
    work, times = noted()
    with pytest.raises(type(error)):
        under(server(200), around(work, error, begins=False), "never")
    assert times == []
