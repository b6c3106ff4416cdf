"""`prefect.yaml`, deployed as the README says to a real Prefect server, whose worker makes the list."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from prefect.utilities.importtools import import_object
from prefect_processes import ROOT, asked, due_plant, environment, kill, objects, until
from small_plant import assert_whole

from pipelines.scheduled import FLOWS, timetable
from pipelines.steps import answers
from qma_predict.line import load_line

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    (prefect [^#\n]*?) *(?:#.*)?$", README, re.MULTILINE)
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def test_what_is_deployed_are_the_flows_and_the_times_of_the_demo_line(monkeypatch):
    monkeypatch.setenv("QMA_DATA", "plant")
    line = load_line(str(ROOT / "models/demo"))
    told = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {one["name"] for one in told} == {line.name}
    by_flow = {import_object(one["entrypoint"]).name: one.get("schedules", []) for one in told}
    assert by_flow.keys() == FLOWS.keys()
    clocks = {name: [{"cron": cron, "timezone": line.timezone}] for name, cron in timetable(line).items()}
    assert {name: schedules for name, schedules in by_flow.items() if schedules} == clocks


@pytest.fixture
def shell(tmp_path):
    """Variables of a shell in `tmp_path`, which stands for the clone; all that it starts is killed in the end."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    yield environment(
        tmp_path, PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin", PWD=str(tmp_path), QMA_HOME="home",
        QMA_LOG="json", DO_NOT_TRACK="1", PREFECT_HOME=str(tmp_path / "prefect"), PREFECT_SERVER_API_PORT=port,
        PREFECT_SERVER_ANALYTICS_ENABLED="false", PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        PREFECT_WORKER_QUERY_SECONDS="1",
    )  # fmt: skip
    kill(tmp_path)


@contextmanager
def running(command, folder, **how):
    """What a command starts there, which is killed in the end."""
    process = subprocess.Popen(shlex.split(command), cwd=folder, **how)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_publishes_the_list_by_what_the_readme_says(shell, tmp_path):
    url, said = shell["PREFECT_API_URL"], tmp_path / "said.log"
    server, *once, worker = COMMANDS
    with said.open("w") as log, running(server, tmp_path, env=shell, stdout=log, stderr=log):
        plant, day = due_plant(tmp_path)  # while the server starts
        shutil.copy(ROOT / "prefect.yaml", tmp_path)
        (tmp_path / "models").mkdir()
        (tmp_path / "models/demo").symlink_to(plant.folder)
        until(lambda: answers(url), said, "an answer of the server")
        for command in once:
            subprocess.run(shlex.split(command), env=shell, cwd=tmp_path, stdout=log, stderr=log, check=True)
        night = {"flows": {"name": {"any_": ["nightly run"]}}}
        (deployment,) = asked(url, "deployments/filter", **night)
        run = asked(url, f"deployments/{deployment['id']}/create_flow_run")["id"]
        with running(worker, "/", env=shell, stdout=log, stderr=log):  # wherever it is started
            this = {"flow_runs": {"id": {"any_": [run]}}}
            runs = partial(asked, url, "flow_runs/filter", **this)
            how = until(lambda: ENDED & {one["state_type"] for one in runs()}, said, "the end of the run")
        shown = asked(url, "logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
    assert how == {"COMPLETED"}, said.read_text()
    assert_whole(plant, [day])

    # what the run says is in the worker's log, each once and with what it is about, and on the server
    ingests = [entry for entry in objects(said) if entry["logger"] == "qma_predict.data.ingest"]
    assert {(entry["line"], entry["business_date"]) for entry in ingests} == {("tiny", str(day))}
    assert len({entry["message"] for entry in ingests}) == len(ingests) == 3
    assert {entry["message"] for entry in ingests} <= {one["message"] for one in shown}
