"""Flow: from the lake to a champion, or to the reason why there is none."""

from datetime import UTC, date, datetime

from prefect import flow

from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import train
from qma_predict.line import load_line
from qma_predict.publish import registry


def learn(line: str, home: str, as_of: datetime) -> registry.Model:
    """Backtest, fit and log with what was known at `as_of` [UTC]; the winner becomes the champion."""
    definition, place = load_line(line), open_home(home)
    dataset = make_dataset(Lake(place.lake(definition.name)).at(as_of), definition)
    training = train(dataset)
    models = {name: RiskModel.of(fitted, dataset.X) for name, fitted in training.models.items()}
    finding = training.verdict.sentence
    model = registry.log_training(place, definition, dataset, training.backtest, models, training.winner, finding)
    registry.promote(place, model)
    return model


@flow(name="train")
def train_flow(line: str, home: str, business_date: date | None = None) -> registry.Model:
    """Train with what the list of a business date could know; by default with what is known now."""
    as_of = datetime.now(UTC) if business_date is None else load_line(line).as_of(business_date)
    return step(learn)(line, home, as_of)
