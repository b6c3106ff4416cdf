"""Published lists against what became of the units."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qma_predict.learn.metrics import average_precision, precision_at_capacity, recall_at_capacity
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import rows_of
from qma_predict.publish.models.model import Model, identity
from qma_predict.publish.reaction import read_shadow
from qma_predict.review.earlier import EarlierLists


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


class Before(NamedTuple):
    """What the lists before a night say of their candidates."""

    scores: pd.DataFrame
    drawn: pd.Series


def earlier_candidates(lists: EarlierLists, model: Model, *, weeks: int = 5) -> Before:
    """Return what the lists before a moment say of their candidates.

    Parameters
    ----------
    lists : EarlierLists
    model : Model
        Whose scores are wanted: those of another model, of a rule or of a moved level are on another scale.
    weeks : int
        How far back.

    Returns
    -------
    Before
        ``scores``, shape (n_units, 3): ``unit_id``, ``night`` (business date) and ``score`` by the model on the
        unit's first night. ``drawn``, indexed by unit_id: the selection probability of every unit that was scored for
        a list, of the first that did.
    """
    scores = [pd.DataFrame({"unit_id": pd.Series(dtype="str"), "night": [], "score": pd.Series(dtype=float)})]
    drawn = [pd.Series(dtype=float)]
    for day, one in lists.of_weeks(weeks).items():
        rows = rows_of(one.path, columns=["unit_id", "first_night", "score", "selection_probability"])
        scored = rows[rows["score"].notna()]
        drawn.append(scored.set_index("unit_id")["selection_probability"].astype(float))
        if "reaction" in one.facts and identity(one.facts["model"]) == model.identity:
            first = scored.loc[scored["first_night"] == day, ["unit_id", "first_night"]]
            theirs = first.merge(read_shadow(one.path)[["unit_id", "model"]].dropna(), on="unit_id")
            scores.append(theirs.rename(columns={"first_night": "night", "model": "score"}))
    together = pd.concat(drawn)
    return Before(pd.concat(scores, ignore_index=True), together[~together.index.duplicated()])


def on_first_night(path: Path, day: date, *more: str) -> pd.DataFrame:
    """Scores of a list for the units that were candidates for the first time.

    Parameters
    ----------
    path : Path
        A date of a line's folder, or one of the revisions.
    day : date
        Its business date.
    *more : str
        Other columns that are wanted.

    Returns
    -------
    DataFrame
        ``unit_id``, ``night`` (business date), ``score`` and what else is wanted.
    """
    rows = rows_of(path, columns=["unit_id", "first_night", "score", *more])
    first = rows[rows["score"].notna() & (rows["first_night"] == day)]
    return first.rename(columns={"first_night": "night"})


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
