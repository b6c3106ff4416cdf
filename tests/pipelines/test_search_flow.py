"""`qma search` on the small plant, and what it leaves in MLflow."""

import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from joblib import parallel_config
from typer.testing import CliRunner

from pipelines.cli import app
from qma_predict.home import Home

DEMO = Path(__file__).parents[2] / "models" / "demo"


@pytest.fixture(scope="module")
def searched(home, plant_folder, tmp_path_factory):
    """A home in which a search of three trials ran, and what the command said."""
    place = Home(tmp_path_factory.mktemp("searched") / "home")
    shutil.copytree(home.folder, place.folder)
    command = ["--home", str(place.folder), "search", str(DEMO), "--date", "2026-01-05", "--trials", "3"]
    with parallel_config("threading"):  # other processes would take longer to start than to fit
        done = CliRunner().invoke(app, command, env={"QMA_DATA": str(plant_folder)})
    assert done.exit_code == 0, done.output
    return place, done.stdout


@pytest.fixture
def client(searched):
    uri = f"sqlite:///{searched[0].mlflow / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri, uri)


@pytest.fixture
def runs(client):
    [experiment] = [one for one in client.search_experiments() if one.name == "demo"]
    return client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])


def test_the_command_says_what_it_tried_and_what_to_make_of_it(searched):
    lines = searched[1].splitlines()
    assert lines[0].startswith("3 trials, ")
    assert any("(in use): " in line for line in lines)
    assert lines[-1].endswith("keep what the line has")


def test_a_search_is_a_run_with_a_child_run_for_each_trial(searched, client, runs):
    parent, *children = runs
    assert parent.info.run_name.startswith("search 2025-")
    assert parent.data.tags["mlflow.note.content"] == searched[1].splitlines()[-1]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert [run.info.run_name for run in children] == ["trial 0", "trial 1", "trial 2", "trial 3"]
    assert children[0].data.params["state"] == "in use"
    assert all("strength" in run.data.params and "mean_log_loss" in run.data.metrics for run in children)


def test_the_run_has_the_table_of_trials_and_the_parameters(runs):
    parent, *children = runs
    folder = parent.info.artifact_uri.removeprefix("file://")
    trials = pd.read_csv(Path(folder) / "trials.csv")
    assert trials["log_loss"].tolist() == pytest.approx([run.data.metrics["mean_log_loss"] for run in children])
    parameters = json.loads((Path(folder) / "parameters.json").read_text())
    assert parameters["to_use"] == {}
    assert set(parameters["best"]) == set(trials.columns[6:])


def test_a_trial_has_its_loss_on_each_fold_that_it_was_judged_on(client, runs):
    steps = [metric.step for metric in client.get_metric_history(runs[1].info.run_id, "log_loss")]
    assert steps == sorted(steps)
    assert steps[-1] == 4


def test_its_help_says_what_an_interrupt_keeps():
    said = " ".join(CliRunner().invoke(app, ["search", "--help"]).output.split())
    assert "Ctrl-C ends the search early and keeps what the batches of trials found that were finished by then." in said
