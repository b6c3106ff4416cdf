"""The registry, on the champion that the flow of this folder's conftest trained and logged."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from qma_predict.data.lake import Lake
from qma_predict.errors import ModelError
from qma_predict.features.points import candidates, prediction_points
from qma_predict.features.table import feature_table
from qma_predict.home import open_home
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.explanations import REST
from qma_predict.learn.reliance import BLOCKS, GROUPS
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish.models import champion_log, kept_looks, kept_models, registry, trusted

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(trained):
    uri = f"sqlite:///{trained.home.mlflow / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


@pytest.fixture
def X(trained, line):
    history = Lake(trained.home.lake("demo")).at(trained.model.as_of)
    return feature_table(history, candidates(prediction_points(history, line), trained.model.as_of), line)


def test_the_champion_is_the_model_that_was_promoted_and_the_alias_follows(trained, client):
    assert champion_log.champion(trained.home, "demo") == trained.model
    assert client.get_model_version_by_alias("demo", "champion").run_id == trained.model.run_id


def test_a_run_a_contestant_with_metrics_that_can_be_compared(trained, client):
    parent = client.get_run(trained.model.run_id)
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{trained.model.run_id}'")
    by_name = {run.data.params["contestant"]: run.data.metrics for run in children}
    assert set(by_name) == {"boosted_trees", *BASELINES}
    assert all("mean_average_precision" in metrics for metrics in by_name.values())
    steps = client.get_metric_history(children[0].info.run_id, "average_precision")
    blocks = [metric.step for metric in steps]
    assert blocks == sorted(set(blocks))  # a step a block; a block without defects has no value
    assert {4} <= set(blocks) <= {1, 2, 3, 4}


def test_the_run_says_what_it_was_made_from(trained, client, line):
    run = client.get_run(trained.model.run_id)
    assert run.data.params["recipe"] == "boosted_trees"
    assert run.data.params["as_of"] == trained.model.as_of.isoformat()
    identity = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/dataset.json")
    assert identity["line_digest"] == line.digest
    assert run.inputs.dataset_inputs[0].dataset.digest == identity["digest"]


def test_what_else_the_backtest_said_is_in_the_run_and_with_the_model(trained, client):
    run = client.get_run(trained.model.run_id)
    practice, shuffled, looks, *_notice = trained.model.also
    assert practice.startswith("boosted_trees against the plant's practice (suspicion): with the practice's ")
    assert shuffled.startswith("shuffled split: boosted_trees would show average precision ")
    assert looks == "its blocks were never looked at before"
    gap = run.data.metrics["shuffled_average_precision"] - run.data.metrics["shuffled_gap_average_precision"]
    table = pd.read_csv(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/backtest.csv"))
    ours = table.query("contestant == 'boosted_trees' and metric == 'average_precision'")
    assert gap == pytest.approx(ours["value"].dropna().iloc[0])  # of the oldest block that has one
    differences = pd.read_csv(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/differences.csv"))
    assert set(differences["baseline"]) == set(BASELINES)
    assert {"average_precision", "roc_auc", "log_loss"} <= set(differences["metric"])


def test_the_model_has_ranges_of_its_risks_or_says_that_its_scores_are_a_ranking(trained, line):
    model = champion_log.champion(trained.home, line.name)
    assert bool(model.ranking) != bool(model.ranges.score)
    assert model.ranges == trained.model.ranges


def test_the_blocks_that_a_training_looked_at_are_kept_in_the_home_and_told_in_its_run(trained, client):
    (look,) = kept_looks.read(trained.home, "demo")
    assert (len(look["blocks"]), look["as_of"]) == (4, trained.model.as_of.isoformat())
    assert look["blocks"][-1][1].startswith("2025-11-")
    run = client.get_run(trained.model.run_id)
    assert json.loads(run.data.tags["blocks"]) == look["blocks"]
    assert run.data.metrics["looks_before"] == 0


def test_the_plots_of_the_backtest_are_pictures_in_the_run(trained, client):
    run = client.get_run(trained.model.run_id)
    logged = [Path(file.path) for file in client.list_artifacts(run.info.run_id, "plots")]
    assert {path.stem for path in logged} == {
        *("precision_recall", "calibration", "recall_by_capacity", "metrics_by_block"),
        *("importance", "partial_dependence"),
    }
    for path in logged:
        picture = Path(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/{path}"))
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_the_model_relies_on_is_in_the_run_and_on_the_card(trained, client):
    run = client.get_run(trained.model.run_id)
    found = pd.read_csv(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/importance.csv"))
    assert len(found) == GROUPS + 1
    assert found["blocks"].between(0, BLOCKS).all()
    card = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/card.md")
    first = found["group"][found["group"] != REST].iloc[0]
    assert f"\n| {first} | " in card.split("## What it relies on")[1].split("## Leaks")[0]


def test_the_signature_has_every_feature_and_requires_none(client):
    inputs = mlflow.models.get_model_info("models:/demo@champion").signature.inputs
    assert {"unit.product", "wash.machine"} <= set(inputs.input_names())
    assert not any(column.required for column in inputs)
    assert {column.type.name for column in inputs} == {"double", "string"}
    assert mlflow.models.Model.load("models:/demo@champion").load_input_example() is not None


def test_the_logged_model_loads_with_mlflow_alone_and_gives_the_probability_of_a_defect(trained, X, tmp_path):
    X = X.astype(dict.fromkeys(X.select_dtypes("number"), "float64"))
    X.to_parquet(tmp_path / "X.parquet")
    script = f"""
import sys
sys.path = [path for path in sys.path if path != {str(ROOT)!r}]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
try:
    import qma_predict
except ImportError:
    import mlflow, pandas, numpy
    mlflow.set_tracking_uri("sqlite:///{trained.home.mlflow}/mlflow.db")
    risk = mlflow.pyfunc.load_model("models:/demo@champion").predict(pandas.read_parquet("X.parquet"))
    numpy.save("risk.npy", risk)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    risk = np.load(tmp_path / "risk.npy")
    assert np.array_equal(risk, kept_models.load(trained.home, trained.model)(X))
    assert 0.0 <= risk.min() < risk.mean() < 0.3  # P(good) would be near one


def test_the_scores_are_those_of_the_fitted_classifier(trained, client, X):
    loaded = mlflow.sklearn.load_model("models:/demo@champion")
    direct = loaded.classifier.predict_proba(X.reindex(columns=loaded.features))[:, 1]
    assert np.array_equal(kept_models.load(trained.home, trained.model)(X), direct)


def test_missing_features_are_missing_values_and_others_are_ignored(trained, X):
    predict = kept_models.load(trained.home, trained.model)
    lost = [name for name in X if name.startswith("cast.")]
    without = predict(X.drop(columns=lost).assign(stranger=1.0))
    empty = X.copy()
    for name in lost:
        empty[name] = (
            pd.Series(np.nan, index=X.index) if X[name].dtype != "str" else pd.Series(pd.NA, X.index, dtype="str")
        )
    assert np.array_equal(without, predict(empty))
    assert np.isfinite(without).all()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_can_be_stored_and_loaded(name, X):
    y = np.arange(len(X)) % 5 == 0
    model = RiskModel.of(make_baseline(name).fit(X, y), X)
    loaded = trusted.loaded(trusted.dumped(model)[0])
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_a_model_of_types_that_nobody_trusts_is_not_logged():
    class Stranger(DecisionTreeClassifier):
        pass

    with pytest.raises(ModelError, match="Stranger"):
        trusted.dumped(RiskModel(Stranger(), [], []))


@pytest.mark.proof
def test_three_processes_may_make_the_store_at_once(tmp_path):
    home = open_home(tmp_path / "home")
    script = f"""
from qma_predict.home import open_home
from qma_predict.publish.models import kept_references
from qma_predict.publish.models import registry
from qma_predict.publish.models import trusted
registry._store(open_home({str(home.folder)!r})).create_experiment("made by " + __import__("sys").argv[1])
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    workers = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(3)]
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], errors
    assert len(registry._store(home).search_experiments()) == 1 + 3


def test_how_the_labels_came_about_is_in_the_run(trained, client):
    uri = f"{client.get_run(trained.model.run_id).info.artifact_uri}/labels"
    assert "selected for inspection with unequal probabilities" in mlflow.artifacts.load_text(f"{uri}/notices.txt")
    rate = mlflow.artifacts.load_dict(f"{uri}/rate.json")
    assert 0 < rate["low"] < rate["value"] < rate["high"] < 0.1
    assert mlflow.artifacts.load_text(f"{uri}/delays.csv").startswith("label,units,median,q99,longest,in_time\ndefect,")
    over_all = mlflow.artifacts.load_text(f"{uri}/over_all_units.csv").splitlines()
    assert over_all[0] == "contestant,metric,value,low,high,reason,blocks"
    assert len(over_all) == 1 + 4 * 8  # contestants and metrics
    assert {row.rpartition(",")[2] for row in over_all[1:]} == {"3"}  # nothing could be learnt before the first block


def test_the_reference_of_the_champion_comes_back_as_its_training_made_it(trained, line, X):
    reference = kept_models.load_reference(trained.home, trained.model)
    history = Lake(trained.home.lake("demo")).at(trained.model.as_of)
    points = prediction_points(history, line).set_index("unit_id")
    assert (points.loc[reference.siblings.index, "cutoff"] <= trained.model.as_of).all()
    assert reference.products.groupby(reference.products).size().max() <= 200
    assert list(reference.groups.index) == list(reference.siblings.columns)
    assert {str(kind) for kind in reference.siblings.dtypes} == {"float32", "str"}
    assert max(reference.past["night"]) <= trained.model.as_of.date()
    assert reference.past["score"].between(0, 1).all()
    predict = kept_models.load(trained.home, trained.model)
    ranks = [pd.Series(one.predict(X)).corr(pd.Series(predict(X)), method="spearman") for one in reference.refits]
    assert len(ranks) == 4
    assert min(ranks) > 0.1  # fits on halves of about thirty defects


def test_how_far_nights_are_off_together_is_known_with_the_model(trained, line):
    assert champion_log.champion(trained.home, line.name).spread == trained.model.spread
    assert sum(trained.model.spread.chance) == pytest.approx(1)


@pytest.mark.parametrize(("state", "words"), [("locked", "database is locked"), ("damaged", "not a database")])
def test_a_store_that_cannot_be_used_is_told_in_words_without_waiting_for_minutes(tmp_path, state, words):
    home = open_home(tmp_path / "home")
    home.mlflow.mkdir()
    file = home.mlflow / "mlflow.db"
    if state == "damaged":
        file.write_bytes(b"whatever it is, it is no database" * 50)
    with closing(sqlite3.connect(file if state == "locked" else ":memory:", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ModelError, match=f"the MLflow store cannot be used: .*{words}"):
            registry.check(home)


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"no database" * 100), lambda file: file.mkdir()])
def test_a_store_that_cannot_be_used_is_told_before_a_training(tmp_path, damage):
    home = open_home(tmp_path / "home")
    home.mlflow.mkdir()
    damage(home.mlflow / "mlflow.db")
    with pytest.raises(ModelError, match="the MLflow store cannot be used: .*Trainings need it, nights do not"):
        registry.check(home)
