"""The whole journey on a simulated plant, where the truth is known."""

import logging
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.ingest import ingest_flow
from pipelines.monitor import monitor_flow
from pipelines.nightly import nightly_flow
from pipelines.steps import run
from pipelines.train import learn
from qma_predict.data.ingest import Ingested
from qma_predict.data.lake import Lake
from qma_predict.data.simulate import simulate, write_plant
from qma_predict.errors import HomeError
from qma_predict.features.points import prediction_points
from qma_predict.features.table import feature_table
from qma_predict.home import Home, open_home
from qma_predict.learn.training import Training
from qma_predict.line import Line, load_line
from qma_predict.publish.models.model import Model
from qma_predict.review.performance import compare, published_scores

log = logging.getLogger(__name__)

LINE = "demo"
START = date(2025, 9, 1)
MARK = "demo-home"


@dataclass(frozen=True)
class Demo:
    """What the demo did, and how good it was against the true state of the units."""

    ingested: Ingested
    model: Model
    nights: list[date]
    performance: pd.DataFrame
    capacity: int
    home: Path
    monitoring: Path
    newest: Path


def demo(home: str, *, days: int = 120, units_per_day: int = 600, nights: int = 14, seed: int = 7) -> Demo:
    """Simulate a plant, ingest, train, replay and publish its last nights, and compare with the truth.

    The home is emptied first; one that an earlier demo did not make is refused.
    """
    place = _clean_home(home)
    plant = place.folder / "plant"
    log.info("simulate %d days of about %d units", days, units_per_day)
    write_plant(simulate(days=days, units_per_day=units_per_day, seed=seed, start=START.isoformat()), plant)
    os.environ["QMA_DATA"] = str(plant)
    ingested = run(ingest_flow, LINE, home)
    line = load_line(LINE)
    last = START + timedelta(days=days)
    dates = [last - timedelta(days=nights - 1 - n) for n in range(nights)]
    model, training = learn(LINE, home, line.as_of(dates[0]))
    for night in dates:
        log.info("night %s: %s", night, run(nightly_flow, LINE, home, night))
    truth = pd.read_parquet(plant / "truth" / "units.parquet").set_index("unit_id")
    performance = _performance(place, line, training, dates, truth)
    newest = place.published(LINE) / "latest" / "risk_list.html"
    monitoring = run(monitor_flow, LINE, home, dates[-1])
    return Demo(ingested, model, dates, performance, line.list.capacity, place.folder, monitoring, newest)


def _clean_home(folder: str) -> Home:
    path = Path(folder)
    if path.exists() and any(path.iterdir()) and not (path / MARK).exists():
        raise HomeError(f"{path}: not made by a demo, so it is left alone. Name another home: qma --home FOLDER demo")
    shutil.rmtree(path, ignore_errors=True)
    home = open_home(path)
    (path / MARK).write_text("The next demo removes this folder.\n")
    return home


def _performance(home: Home, line: Line, training: Training, nights: list[date], truth: pd.DataFrame) -> pd.DataFrame:
    """The published scores beside the oracle's and the baselines', all for the same nights and units."""
    published = published_scores(home.published(line.name), nights)
    history = Lake(home.lake(line.name)).at(datetime.now(UTC))
    points = prediction_points(history, line)
    X = feature_table(history, points[points["unit_id"].isin(published.index)], line)
    scores = {name: pd.Series(model.predict(X), X.index) for name, model in training.models.items()}
    scores |= {training.winner: published["score"], "oracle": truth["probability"]}
    return compare(scores, published["night"], truth["defect"].astype(float), capacity=line.list.capacity)
