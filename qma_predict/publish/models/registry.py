"""The registry of runs and models, for people who compare them: the only module that knows MLflow."""

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date
from functools import partial, wraps
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd
from sqlalchemy.exc import SQLAlchemyError

import qma_predict
from qma_predict.errors import ModelError
from qma_predict.home import STORE_LOCK, Home
from qma_predict.learn import looks, plots, reliance_plots
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.reference import make_reference
from qma_predict.learn.reliance import reliance
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.search import Search
from qma_predict.learn.training import Training
from qma_predict.line import Line
from qma_predict.publish.lists import definitions
from qma_predict.publish.models import kept_looks, kept_models, trusted
from qma_predict.publish.models.card import for_people
from qma_predict.publish.models.model import Model, described

CHAMPION = "champion"
_BLOCKS = "blocks"
_MONITORING = "monitoring"

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def _mlflow() -> ModuleType:
    """MLflow, imported when it is needed (3 s), silent, and without its telemetry."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def _store(home: Home) -> Any:
    """Client of the home's store, which one process at a time makes; MLflow points to it from now on.

    Raises
    ------
    ModelError
        If the store is locked, read-only or damaged.
    """
    mlflow = _mlflow()
    uri = f"sqlite:///{home.mlflow / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        _check_free(home)
        with home.writing(STORE_LOCK):
            home.mlflow.mkdir(exist_ok=True)
            client = mlflow.MlflowClient(uri, uri)
            client.search_experiments(max_results=1)  # the first touch makes the tables
    except (mlflow.MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _unusable(home, error) from error
    return client


def _unusable(home: Home, error: Exception) -> ModelError:
    return ModelError(
        f"{home.mlflow}: the MLflow store cannot be used: {error}. Trainings need it, nights do not: end who locks "
        "it, check its permissions and the disk, or restore the home; then train again."
    )


def _in_words(function: Callable[Concatenate[Home, P], T]) -> Callable[Concatenate[Home, P], T]:
    """Say in words what MLflow cannot do."""

    @wraps(function)
    def call(home: Home, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(home, *args, **kwargs)
        except (_mlflow().MlflowException, SQLAlchemyError, OSError) as error:
            raise _unusable(home, error) from error

    return call


def check(home: Home) -> None:
    """Touch the store, before hours are spent on what could not be logged then.

    Raises
    ------
    ModelError
        If it cannot be used.
    """
    _store(home)


@_in_words
def log_training(home: Home, dataset: Dataset, training: Training) -> Model:
    """Log a training: a run for each contestant with its metrics, plots, the winner as a model version, and its card.

    Then it is kept for the nights, which need no MLflow: see `kept_models`. What explains their lists
    (`make_reference`), and what the winner relies on (`reliance`), take a few more small fits each. The run has the
    blocks of the backtest as a record; how often they were looked at before is counted from `kept_looks`.

    Parameters
    ----------
    home : Home
    dataset : Dataset
        What everything was fitted on; its identity is logged.
    training : Training

    Returns
    -------
    Model
        The new version as it is kept; it is no champion until the log of champions says so. Its number is that of
        MLflow, or the next that is free where MLflow begins anew.

    Raises
    ------
    ModelError
        If the winner consists of types that are not trusted, or the home or MLflow's store cannot be written.
    """
    line, client, mlflow = dataset.line, _store(home), _mlflow()
    winner, table, trust = training.models[training.winner], training.backtest.table, line.learning.trust
    looked = kept_looks.note(home, dataset, training)
    also: tuple[str, ...] = (training.practice.sentence, training.shuffled.sentence, looks.in_words(looked))
    if winner.notice:
        log.warning("%s", winner.notice)
        also = (*also, winner.notice)
    reference = make_reference(dataset, training)
    relied = reliance(dataset, training, reference.groups)
    model = described(dataset, training, also)
    experiment = _experiment(client, home, line)
    with mlflow.start_run(experiment_id=experiment, run_name=f"train {dataset.history.as_of:%Y-%m-%d}") as run:
        mlflow.log_input(_dataset_input(home, dataset), context="training")
        mlflow.log_params(_parameters(line, dataset) | {"winner": training.winner})
        mlflow.set_tag("mlflow.note.content", "\n\n".join((training.verdict.sentence, *also)))
        mlflow.log_dict(dataset.identity | {"left_out": training.left_out}, "dataset.json")
        mlflow.log_text(training.leaks.to_csv(index=False), "leaks.csv")
        for name, text in _of_labels(training).items():
            mlflow.log_text(text, f"labels/{name}")
        mlflow.log_text(table.to_csv(index=False), "backtest.csv")
        mlflow.log_text(training.differences.to_csv(index=False), "differences.csv")
        mlflow.log_dict(asdict(training.practice) | {"shuffled": asdict(training.shuffled)}, "compared.json")
        mlflow.log_metrics(training.compared | {"looks_before": max(looked)})
        mlflow.set_tag(_BLOCKS, json.dumps(looks.spans(table)))
        mlflow.log_text(relied.groups.to_csv(index=False), "importance.csv")
        drawn = plots.figures(training.backtest, line.learning.recipe, line=line.title)
        for name, figure in (drawn | reliance_plots.figures(relied, line=line.title, units=dataset.units)).items():
            mlflow.log_figure(figure, f"plots/{name}.png")
        for name in training.models:
            _log_contestant(experiment, name, table)
        logged = _log_model(winner, dataset.X.head(3), trust)
    if not client.search_registered_models(f"name = '{line.name}'"):
        client.create_registered_model(line.name)
    tags = {name: str(getattr(model, name)) for name in ("contestant", "is_recipe", "as_of", "finding")}
    made = client.create_model_version(line.name, logged.model_uri, run.info.run_id, tags, model_id=logged.model_id)
    model = replace(model, version=str(made.version), run_id=run.info.run_id)
    words = partial(for_people, dataset, training, looked, relied)
    kept = kept_models.keep(home, model, winner, training.models[model.baseline], reference, words, trust=trust)
    with home.writing(line.name):
        definitions.keep(home, line)
    for name in (kept_models.CARD, kept_models.FEATURES):  # they say which version it is
        client.log_artifact(kept.run_id, str(home.card(line.name, kept.version).with_name(name)))
    return kept


def _of_labels(training: Training) -> dict[str, str]:
    """What is known about how the labels came about, as files by name."""
    over_all = training.over_all
    return training.labels.files() | ({} if over_all is None else {"over_all_units.csv": over_all.to_csv(index=False)})


@_in_words
def log_search(home: Home, dataset: Dataset, found: Search) -> str:
    """Log a search: a run with its finding and a child run for each trial; return the run's id."""
    client, mlflow = _store(home), _mlflow()
    experiment = _experiment(client, home, dataset.line)
    with mlflow.start_run(experiment_id=experiment, run_name=f"search {found.as_of:%Y-%m-%d}") as run:
        mlflow.log_input(_dataset_input(home, dataset), context="search")
        mlflow.log_params(_parameters(dataset.line, dataset) | {"trials": len(found.trials), "better": found.better})
        mlflow.set_tag("mlflow.note.content", found.sentence)
        mlflow.log_dict({"best": found.best, "to_use": found.parameters}, "parameters.json")
        mlflow.log_text(found.trials.to_csv(index=False), "trials.csv")
        for trial in found.trials.to_dict("records"):
            facts = {name: trial[name] for name in ("state", *found.best)}
            folds = found.folds[found.folds["trial"] == trial["trial"]].assign(metric="log_loss")
            steps = folds[["metric", "log_loss", "fold"]].itertuples(index=False)
            _log_child(experiment, f"trial {trial['trial']}", facts, steps, {"mean_log_loss": trial["log_loss"]})
    return str(run.info.run_id)


def _dataset_input(home: Home, dataset: Dataset) -> Any:
    _mlflow()
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = DeltaDatasetSource(path=str(home.lake(dataset.line.name)))
    return MetaDataset(source, name=dataset.line.name, digest=str(dataset.identity["digest"]))  # type: ignore[abstract]  # mlflow's own class, wrongly said to be abstract


def _log_model(model: RiskModel, example: pd.DataFrame, trust: Collection[str]) -> Any:
    return _mlflow().sklearn.log_model(
        model,
        name="model",
        code_paths=[str(Path(qma_predict.__file__).parent)],
        serialization_format="skops",
        skops_trusted_types=trusted.dumped(model, trust)[1],
        signature=_signature(model),
        input_example=_typed(example, model),
        pip_requirements=_requirements(),
        pyfunc_predict_fn="predict",
    )


def follow(home: Home, model: Model) -> None:
    """Let the alias of MLflow's own users name the champion of our log; what MLflow cannot do is only logged."""
    mlflow = _mlflow()
    try:
        client = _store(home)
        for made in client.search_model_versions(f"run_id = '{model.run_id}'"):
            client.set_registered_model_alias(model.line, CHAMPION, made.version)
    except (ModelError, mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        log.warning("%s: the alias of model %s v%s is not moved: %s", home.mlflow, model.line, model.version, error)


def log_monitoring(home: Home, line: Line, day: date, metrics: Mapping[str, float], page: str) -> None:
    """Log what monitoring saw as of a business date, in place of what an earlier look at that date logged.

    A store that is locked, read-only or broken is a warning: nothing that people need waits for it.

    Parameters
    ----------
    home : Home
    line : Line
    day : date
    metrics : mapping of str to float
        Names as MLflow allows them.
    page : str
        HTML.
    """
    mlflow = _mlflow()
    try:
        client = _store(home)
        experiment = _experiment(client, home, line)
        before = client.search_runs([experiment], f"tags.{_MONITORING} = '{day.isoformat()}'", max_results=1)
        tags = {_MONITORING: day.isoformat()}
        run = before[0] if before else client.create_run(experiment, tags=tags, run_name=f"monitor {day.isoformat()}")
        now = int(run.info.start_time)
        client.log_batch(run.info.run_id, [mlflow.entities.Metric(*one, now, 0) for one in metrics.items()])
        client.log_text(run.info.run_id, page, "monitoring.html")
        client.set_terminated(run.info.run_id)
    except (ModelError, mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        log.warning("%s: the monitoring of %s, %s is not logged: %s", home.mlflow, line.name, day, error)


def _check_free(home: Home) -> None:
    """Raise what SQLite says of a store that cannot be written now: MLflow would try again for minutes."""
    file = home.mlflow / "mlflow.db"
    if file.exists():
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=2.0)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE writable (x)")  # never kept; of a store that is read-only, BEGIN succeeds


def _experiment(client: Any, home: Home, line: Line) -> str:
    found = client.get_experiment_by_name(line.name)
    if found:
        return str(found.experiment_id)
    artifacts = (home.mlflow / "artifacts" / line.name).as_uri()
    return str(client.create_experiment(line.name, artifact_location=artifacts))


def _log_contestant(experiment: str, name: str, table: pd.DataFrame) -> None:
    """Log a contestant as a child run: each metric by block, and its mean over the blocks."""
    values = table[(table["contestant"] == name) & table["value"].notna()]
    means = {f"mean_{metric}": float(mean) for metric, mean in values.groupby("metric")["value"].mean().items()}
    steps = values[["metric", "value", "block"]].itertuples(index=False)
    _log_child(experiment, name, {"contestant": name}, steps, means)


def _log_child(
    experiment: str, name: str, facts: dict[str, Any], steps: Iterable[tuple[str, float, int]], means: dict[str, float]
) -> None:
    mlflow = _mlflow()
    with mlflow.start_run(experiment_id=experiment, run_name=name, nested=True):
        mlflow.log_params(facts)
        for metric, value, step in steps:
            mlflow.log_metric(metric, value, step=step)
        mlflow.log_metrics(means)


def _parameters(line: Line, dataset: Dataset) -> dict[str, object]:
    learning = line.learning.model_dump(mode="json")
    shape = {key: dataset.identity[key] for key in ("as_of", "units", "features", "labelled", "defects")}
    return learning | shape | {"maturity": str(line.gate.maturity), "capacity": line.list.capacity}


def _signature(model: RiskModel) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    texts = set(model.texts)
    columns: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in texts else "double", name, required=False) for name in model.features
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double")]))


def _typed(example: pd.DataFrame, model: RiskModel) -> pd.DataFrame:
    """Features as the signature has them: doubles and strings."""
    frame, texts = example.reindex(columns=model.features), set(model.texts)
    return frame.astype({name: "str" if name in texts else "float64" for name in model.features})


def _requirements() -> list[str]:
    packages = ("lightgbm", "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
    return [f"{package}=={version(package)}" for package in packages]
