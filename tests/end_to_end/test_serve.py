"""`qma serve` with a real Prefect server: runs fire, one that is killed is retried, and the server may be away."""

import re
import shutil
import signal
import subprocess
import sys

import pytest
from prefect_processes import asked, due_plant, environment, kill, objects, ours, until
from small_plant import assert_whole

from pipelines.steps import answers

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
    return due_plant(tmp_path)


@pytest.fixture
def serving(plant, tmp_path):
    """`qma serve`, whose log is a file, and which is killed in the end with all that it started."""
    script, said = tmp_path / "serve.py", tmp_path / "serve.log"
    script.write_text(SERVE)
    words = [sys.executable, str(script), str(plant[0].folder), str(plant[0].home.folder)]
    quick = environment(tmp_path, PREFECT_RUNNER_POLL_FREQUENCY="2", QMA_LOG="json")
    with said.open("w") as log:
        process = subprocess.Popen(words, env=quick, stdout=log, stderr=log, cwd=tmp_path)
    yield process, said
    kill(tmp_path)
    process.wait()


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
    ingests = [entry for entry in objects(said) if entry["logger"] == "qma_predict.data.ingest"]
    assert {(entry["line"], entry["business_date"]) for entry in ingests} == {("tiny", str(day))}
    assert len({entry["message"] for entry in ingests}) == len(ingests) == 3  # tables, and each is told once

    # a run is killed on its way; nothing of Prefect starts another one
    (deployment,) = asked(url, "deployments/filter", flows={"name": {"any_": ["nightly run"]}})
    asked(url, f"deployments/{deployment['id']}/pause_deployment")
    until(lambda: not ours(tmp_path, "prefect.") or not runs(url, "RUNNING"), said, "the end of the runs")
    with plant.home.writing("tiny.run"), plant.home.writing("tiny"):
        forget(plant)
        asked(url, f"deployments/{deployment['id']}/create_flow_run")
        until(lambda: runs(url, "RUNNING"), said, "a run that is asked for")
        kill(tmp_path, "engine")
        until(lambda: runs(url, "CRASHED"), said, "a crash")
    until(is_made(plant, day), said, "the list of a run that was killed")
    until(lambda: not ours(tmp_path, "engine"), said, "the end of the runs")
    assert "is made without Prefect" in said.read_text()

    # the server is killed
    before = said.read_text().count("is made without Prefect")
    with plant.home.writing("tiny.run"), plant.home.writing("tiny"):
        assert_whole(plant, [day])
        kill(tmp_path, "server start")
        kill(tmp_path, "uvicorn")
        forget(plant)
    until(is_made(plant, day), said, "the list without a server")
    assert said.read_text().count("is made without Prefect") > before
    until(lambda: answers(url), said, "another start of the server")

    # told to end, it ends with all that it started
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    until(lambda: not ours(tmp_path), said, "the end of everything")
    assert_whole(plant, [day])
