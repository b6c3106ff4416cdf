"""Published lists against what became of the units."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from qma_predict.learn.at_capacity import precision_at_capacity, recall_at_capacity
from qma_predict.learn.metrics import average_precision
from qma_predict.publish.lists import bundle
from qma_predict.review.candidates import on_first_night


def published_scores(folder: Path, dates: list[date]) -> pd.DataFrame:
    """Scores that the lists of these business dates gave to units on their first night.

    A unit that returns to later lists counts once, so that nobody is praised twice for the same defect.

    Parameters
    ----------
    folder : Path
        `<home>/published/<line>`.
    dates : list of date

    Returns
    -------
    DataFrame, shape (n_units, 2), indexed by unit_id
        ``night`` (business date) and ``score``.

    Raises
    ------
    PublicationError
        If a list is missing or damaged.
    """
    nights = []
    for day in dates:
        bundle.read(folder, day)
        nights.append(on_first_night(folder / day.isoformat(), day))
    return pd.concat(nights).set_index("unit_id")[["night", "score"]]


def compare(scores: Mapping[str, pd.Series], night: pd.Series, outcome: pd.Series, *, capacity: int) -> pd.DataFrame:
    """How well each contestant's scores would have filled the nights' lists.

    Parameters
    ----------
    scores : mapping of str to Series, indexed by unit_id
        For the same units, higher is riskier.
    night : Series of date, indexed by unit_id
        Night whose candidates the unit is compared with.
    outcome : Series of float, indexed by unit_id
        1 defect, 0 good, missing unknown.
    capacity : int
        Units checked a night.

    Returns
    -------
    DataFrame, indexed by contestant
        ``precision`` and ``recall`` at capacity, and ``average_precision``.
    """
    rows = {}
    for name, score in scores.items():
        y, s = outcome.reindex(night.index).to_numpy(), score.reindex(night.index).to_numpy()
        rows[name] = {
            "precision": precision_at_capacity(y, s, capacity=capacity, nights=night.to_numpy()),
            "recall": recall_at_capacity(y, s, capacity=capacity, nights=night.to_numpy()),
            "average_precision": average_precision(y, s),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
