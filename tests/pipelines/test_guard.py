"""What `qma serve` does itself beside Prefect, and how its children log."""

import json
import logging
import os
import threading
from datetime import timedelta
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from pipelines import logs
from pipelines.scheduled import run_lock
from pipelines.serve import Child, Guard, _works
from pipelines.served import that_load
from qma_predict.errors import LineError
from qma_predict.home import open_home


@pytest.fixture
def guard_of(tiny_line, tmp_path):
    """Return a function: guard of a line of this name whose children do nothing, two days after it last looked."""
    home = open_home(tmp_path / "home")

    def make(name):
        guard = Guard(tiny_line.model_copy(update={"name": name}), home, grace=0.0)
        guard.children = {flow: Child(flow, os.getpid) for flow in guard.children}
        guard.looked -= timedelta(days=2)
        made.append(guard)
        return guard

    made = []
    yield make
    for guard in made:
        for child in guard.children.values():
            child.end()


def started(guard):
    """Names of the flows that were started without Prefect."""
    return {name for name, child in guard.children.items() if child.process is not None}


def test_a_lock_that_cannot_be_opened_starves_neither_the_lines_other_flows_nor_other_lines(guard_of, caplog):
    first, second = guard_of("first"), guard_of("second")
    (first.home.folder / "locks" / f"{run_lock(first.line)}.lock").mkdir(parents=True)
    for guard in (first, second):
        guard.look(works=False)
    assert started(first) == {"watch", "monitoring"}
    assert started(second) == {"nightly run", "watch", "monitoring"}
    assert "first.run.lock" in caplog.text


def test_a_child_that_cannot_be_started_keeps_no_other_one_waiting(guard_of, caplog):
    class Broken(Child):
        def start(self):
            raise OSError("no memory")

    guard = guard_of("first")
    guard.children["watch"] = Broken("watch", os.getpid)
    guard.look(works=False)
    assert started(guard) == {"nightly run", "monitoring"}
    assert "no memory" in caplog.text


def test_where_prefect_works_only_a_missing_list_is_made_without(guard_of):
    guard = guard_of("first")
    guard.look(works=True)
    assert started(guard) == {"nightly run"}


def test_prefect_works_where_its_server_answers_and_its_runner_runs(tmp_path):
    (tmp_path / "health").touch()
    with HTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        runner = Child("the runner", threading.Event().wait)
        assert not _works(runner, url)
        runner.process = Running()
        assert _works(runner, url)
        server.shutdown()
    assert not _works(runner, url)


class Running:
    """A process that runs."""

    def is_alive(self):
        return True


def test_a_line_that_can_no_longer_be_loaded_is_left_out_and_named(tiny_line, tmp_path, caplog):
    good, gone = str(Path(tiny_line.file).parent), str(tmp_path / "gone")
    assert list(that_load([gone, good])) == [good]
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert record.getMessage().startswith(f"{gone}: its flows are left out")


def test_without_any_line_that_can_be_loaded_the_runner_ends_with_an_error(tmp_path):
    with pytest.raises(SystemExit) as ended:
        that_load([str(tmp_path / "gone")])
    assert ended.value.code == LineError.exit_code


@pytest.fixture
def _logging_as_before():
    root, in_use = logging.getLogger(), list(logs._in_use)
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in logs.OURS}
    yield
    logs._in_use[:], root.handlers[:] = in_use, handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("asked", ["json", "JSON"])
@pytest.mark.usefixtures("_logging_as_before")
def test_the_log_is_json_where_the_environment_asks_for_it(monkeypatch, capsys, asked):
    monkeypatch.setenv(logs.VARIABLE, asked)
    logs.set_up_as_asked()
    logging.getLogger("pipelines.served").info("there")
    assert json.loads(capsys.readouterr().err)["message"] == "there"
