"""`qma serve` with a real Prefect server: runs fire, one that is killed is retried, and the server may be away."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_plant import Plant, assert_whole, make_plant

from pipelines.steps import answers
from qma_predict.home import Home

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
MARK = "QMA_TEST_OF_SERVE"

SERVE = """
if __name__ == "__main__":
    import sys
    from datetime import timedelta
    from pipelines import logs
    from pipelines.serve import serve

    logs.set_up(as_json=False)
    serve([sys.argv[1]], sys.argv[2], every=timedelta(seconds=25), look=1.0, grace=4.0)
"""


@pytest.fixture
def plant(tmp_path):
    """The small plant, with rows up to the last days and no list, and the date whose list is due."""
    maker = multiprocessing.get_context("spawn").Process(target=make_plant, args=(tmp_path,))
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    made = Plant(tmp_path / "line", Home(tmp_path / "home"))
    day = made.line.current_business_date(datetime.now(UTC))
    made.record(*(day - timedelta(days=n) for n in (2, 1)))
    return made, day


@pytest.fixture
def serving(plant, tmp_path):
    """`qma serve`, whose log is a file, and which is killed in the end with all that it started."""
    script, said = tmp_path / "serve.py", tmp_path / "serve.log"
    script.write_text(SERVE)
    quick = {"PREFECT_RUNNER_POLL_FREQUENCY": "2", "PYTHONPATH": str(ROOT), MARK: str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | quick
    words = [sys.executable, str(script), str(plant[0].folder), str(plant[0].home.folder)]
    with said.open("w") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    yield process, said
    for pid in ours(tmp_path):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def ours(mark, part=""):
    """Processes that `qma serve` of this test consists of, and whose command has this part."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes() and part in command:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(condition, said, what):
    """What a condition gives as soon as it gives anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen. The log:\n{said.read_text()}")


def asked(url, path, **body):
    """What Prefect's server answers."""
    data = json.dumps(body).encode()
    question = urllib.request.Request(f"{url}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(question, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def runs(url, state):
    """Runs of the night that are in this state, by the server."""
    wanted = {"flows": {"name": {"any_": ["nightly run"]}}, "flow_runs": {"state": {"type": {"any_": [state]}}}}
    return asked(url, "flow_runs/filter", **wanted)


def forget(plant):
    """Remove all lists; the caller holds the line's locks."""
    shutil.rmtree(plant.home.published("tiny"))
    plant.home.desk.unlink()


def is_made(plant, day):
    return lambda: (
        (plant.home.published("tiny") / "latest" / "manifest.json").exists()
        and not list(plant.home.published("tiny").glob("revisions/.staging*"))
    )


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_nights_are_made_by_prefect_after_a_kill_and_without_its_server(plant, serving, tmp_path):
    (plant, day), (process, said) = plant, serving
    until(lambda: "server of our own: http" in said.read_text(), said, "the start")
    url = re.search(r"http://127\.0\.0\.1:\d+", said.read_text())[0] + "/api"
    until(lambda: answers(url), said, "an answer of the server")

    # runs fire, and the second of them leaves the list of the first as it is
    until(lambda: len(runs(url, "COMPLETED")) >= 2, said, "two runs")
    assert_whole(plant, [day])

    # a run is killed on its way; nothing of Prefect starts another one
    (deployment,) = asked(url, "deployments/filter", flows={"name": {"any_": ["nightly run"]}})
    asked(url, f"deployments/{deployment['id']}/pause_deployment")
    until(lambda: not ours(tmp_path, "prefect.") or not runs(url, "RUNNING"), said, "the end of the runs")
    with plant.home.writing("tiny.run"), plant.home.writing("tiny"):
        forget(plant)
        asked(url, f"deployments/{deployment['id']}/create_flow_run")
        until(lambda: runs(url, "RUNNING"), said, "a run that is asked for")
        for pid in ours(tmp_path, "engine"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: runs(url, "CRASHED"), said, "a crash")
    until(is_made(plant, day), said, "the list of a run that was killed")
    until(lambda: not ours(tmp_path, "engine"), said, "the end of the runs")
    assert "is made without Prefect" in said.read_text()

    # the server is killed
    before = said.read_text().count("is made without Prefect")
    with plant.home.writing("tiny.run"), plant.home.writing("tiny"):
        assert_whole(plant, [day])
        for pid in ours(tmp_path, "server start") + ours(tmp_path, "uvicorn"):
            os.kill(pid, signal.SIGKILL)
        forget(plant)
    until(is_made(plant, day), said, "the list without a server")
    assert said.read_text().count("is made without Prefect") > before
    until(lambda: answers(url), said, "another start of the server")

    # told to end, it ends with all that it started
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    until(lambda: not ours(tmp_path), said, "the end of everything")
    assert_whole(plant, [day])
