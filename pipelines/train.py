"""Flow: from the lake to a champion, or to the reason why there is none."""

from datetime import UTC, date, datetime

from prefect import flow

from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.training import Training, train
from qma_predict.line import load_line
from qma_predict.publish.models import champion_log, registry
from qma_predict.publish.models.model import Model


def learn(line: str, home: str, as_of: datetime) -> tuple[Model, Training]:
    """Backtest, fit and log with what was known at `as_of` [UTC]; the winner becomes the champion."""
    definition, place = load_line(line), open_home(home)
    dataset = make_dataset(Lake(place.lake(definition.name)).at(as_of), definition)
    training = train(dataset)
    model = registry.log_training(place, dataset, training)
    why, now = training.verdict.sentence, datetime.now(UTC)
    champion_log.append(place, definition.name, "promoted", model.version, role="first", by="training", why=why, at=now)
    registry.follow(place, model)
    return model, training


def make_champion(line: str, home: str, as_of: datetime) -> Model:
    """Do as `learn` does, for a task: only what is small is returned."""
    return learn(line, home, as_of)[0]


@flow(name="train")
def train_flow(line: str, home: str, business_date: date | None = None) -> Model:
    """Train with what the list of a business date could know; by default with what is known now."""
    as_of = datetime.now(UTC) if business_date is None else load_line(line).as_of(business_date)
    return step(make_champion)(line, home, as_of)
