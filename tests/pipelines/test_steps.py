import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

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
    """Return a function: the URL of a server that answers every question with this status."""
    started = []

    def start(status):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
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
