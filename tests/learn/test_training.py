"""A training on a plant that inspects half of its units."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import NotEnoughData
from qma_predict.features.points import prediction_points
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.labels import labels
from qma_predict.learn.training import train

START = pd.Timestamp("2026-01-05 12:00", tz="UTC")
DAYS = 50


@pytest.fixture
def dataset(make_history, tiny_line):
    """Two hot and two cold units a day, of which one each is inspected: of the hot ones two of three are defect."""
    learning = {"recipe": "logistic", "blocks": 2, "block": pd.Timedelta("10D").to_pytimedelta()}
    line = tiny_line.model_copy(
        update={
            "learning": tiny_line.learning.model_copy(update=learning),
            "list": tiny_line.list.model_copy(update={"capacity": 1}),
        }
    )
    visits, inspections, heat = [], [], {}
    for day in range(DAYS):
        ended = START + pd.Timedelta(f"{day}D")
        for number, name in enumerate(("hot", "hot unseen", "cold", "cold unseen")):
            unit = f"{day:02} {name}"
            heat[unit] = 2.0 if "hot" in name else 1.0
            at = ended + pd.Timedelta(f"{number} min")
            visits.append({"unit_id": unit, "station": "oven", "machine": "O1", "started_at": at, "ended_at": at})
            row = {"unit_id": unit, "gate": "final", "passed": not (name == "hot" and day % 3)}
            row["occurred_at"] = ended + pd.Timedelta("1D")
            inspections += [row | {"characteristic": one} for one in ("leak", "size") if "unseen" not in name]
    history = make_history({"visits": visits, "inspections": inspections}, as_of=START + pd.Timedelta(f"{DAYS + 9}D"))
    points = prediction_points(history, line)
    y = labels(history, points, line)
    X = pd.DataFrame({"oven.heat.last": np.float32([heat[unit] for unit in y.index])}, index=y.index)
    return Dataset(history, line, points.set_index("unit_id"), X, y, {}, {})


def test_units_that_nobody_inspected_take_places_on_the_lists_of_the_backtest(dataset):
    training = train(dataset)
    found = training.backtest
    of_recipe = found.predictions[found.predictions["contestant"] == "logistic"]
    assert of_recipe.groupby("block").size().tolist() == [40, 40]  # ten days of four units
    assert of_recipe["outcome"].isna().mean() == 0.5
    value = found.table[found.table["contestant"] == "logistic"].pivot(index="metric", columns="block", values="value")
    # one place a night, for which the hot unit that is inspected and the one that is not tie
    assert value.loc["recall_at_capacity"].tolist() == pytest.approx([0.5, 0.5])
    # candidates with an outcome judge alone: 7 and 6 of 10 nights have a defect, before 10 good units that are colder
    assert found.table.drop_duplicates("block")["units"].tolist() == [20, 20]
    assert value.loc["roc_auc"].between(0.8, 0.9).all()
    assert "one draw of 20 units with" in training.shuffled.sentence


def test_a_plant_on_which_no_defect_is_known_gets_lists_by_the_prevalence(dataset):
    training = train(replace(dataset, y=dataset.y.where(dataset.y.isna(), 0.0)))
    assert (training.winner, list(training.models)) == ("prevalence", ["prevalence"])
    assert training.models["prevalence"].predict(dataset.X.head(3)).tolist() == [0.0] * 3
    assert "its backtest holds 0 known defects" in training.ranking
    assert "0 defects" in training.verdict.sentence


@pytest.mark.parametrize("label", [1.0, np.nan])
def test_without_a_good_unit_there_is_nothing_to_train_on(dataset, label):
    with pytest.raises(NotEnoughData, match="Expected good units, and some defects"):
        train(replace(dataset, y=dataset.y.where(dataset.y.isna(), label)))
