"""The registry, on the champion that the flow of this folder's conftest trained and logged."""

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.tree import DecisionTreeClassifier

from qma_predict.data.lake import Lake
from qma_predict.errors import ModelError
from qma_predict.features.points import candidates, prediction_points
from qma_predict.features.table import feature_table
from qma_predict.home import open_home
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish import registry

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


def test_the_champion_is_the_model_that_was_promoted(trained, line):
    assert registry.champion(trained.home, line) == trained.model


def test_a_home_without_models_has_no_champion(line, tmp_path):
    with pytest.raises(ModelError, match="line demo has no champion. Train one first: qma train demo"):
        registry.champion(open_home(tmp_path / "home"), line)


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


def test_the_plots_of_the_backtest_are_pictures_in_the_run(trained, client):
    run = client.get_run(trained.model.run_id)
    logged = [Path(file.path) for file in client.list_artifacts(run.info.run_id, "plots")]
    assert {path.stem for path in logged} == {
        *("precision_recall", "calibration", "recall_by_capacity", "metrics_by_block")
    }
    for path in logged:
        picture = Path(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/{path}"))
        assert picture.read_bytes().startswith(b"\x89PNG")


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
    assert np.array_equal(risk, registry.load(trained.home, trained.model)(X))
    assert 0.0 <= risk.min() < risk.mean() < 0.3  # P(good) would be near one


def test_the_scores_are_those_of_the_fitted_classifier(trained, client, X):
    loaded = mlflow.sklearn.load_model("models:/demo@champion")
    direct = loaded.classifier.predict_proba(X.reindex(columns=loaded.features))[:, 1]
    assert np.array_equal(registry.load(trained.home, trained.model)(X), direct)


def test_missing_features_are_missing_values_and_others_are_ignored(trained, X):
    predict = registry.load(trained.home, trained.model)
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
    loaded = skops.io.loads(skops.io.dumps(model), trusted=registry._trusted_types(model))
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_a_model_of_types_that_nobody_trusts_is_not_logged():
    class Stranger(DecisionTreeClassifier):
        pass

    with pytest.raises(ModelError, match="Stranger"):
        registry._trusted_types(RiskModel(Stranger(), [], []))


@pytest.mark.proof
def test_three_processes_may_make_the_store_at_once(tmp_path):
    home = open_home(tmp_path / "home")
    script = f"""
from qma_predict.home import open_home
from qma_predict.publish import registry
registry._store(open_home({str(home.folder)!r})).create_experiment("made by " + __import__("sys").argv[1])
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    workers = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(3)]
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], errors
    assert len(registry._store(home).search_experiments()) == 1 + 3
