"""What published lists say of their candidates: for a later night, for monitoring, and for what became of them."""

from datetime import date
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qma_predict.publish.lists.published import rows_of
from qma_predict.publish.models.model import Model, identity
from qma_predict.publish.reaction import read_shadow
from qma_predict.review.earlier import EarlierLists


class Before(NamedTuple):
    """What the lists before a night say of their candidates."""

    scores: pd.DataFrame
    drawn: pd.Series
    listed: pd.Series


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
        a list, of the first that did. ``listed``, indexed by unit_id: the business date of the first list that named
        the unit among those to check.
    """
    scores = [pd.DataFrame({"unit_id": pd.Series(dtype="str"), "night": [], "score": pd.Series(dtype=float)})]
    drawn, listed = [pd.Series(dtype=float)], [pd.Series(dtype=object)]
    for day, one in lists.of_weeks(weeks).items():
        rows = rows_of(one.path, columns=["unit_id", "first_night", "score", "selection_probability", "listed"])
        drawn.append(rows[rows["score"].notna()].set_index("unit_id")["selection_probability"].astype(float))
        listed.append(pd.Series(day, rows.loc[rows["listed"], "unit_id"], dtype=object))
        if "reaction" in one.facts and identity(one.facts["model"]) == model.identity:
            theirs = read_shadow(one.path)[["unit_id", "model"]].dropna().rename(columns={"model": "score"})
            scores.append(_first(rows, day)[["unit_id", "night"]].merge(theirs, on="unit_id"))
    return Before(pd.concat(scores, ignore_index=True), _first_each(drawn), _first_each(listed))


def _first_each(by_unit: list[pd.Series]) -> pd.Series:
    together = pd.concat(by_unit)
    return together[~together.index.duplicated()]


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
    return _first(rows_of(path, columns=["unit_id", "first_night", "score", *more]), day)


def _first(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    found = rows[rows["score"].notna() & (rows["first_night"] == day)]
    return found.rename(columns={"first_night": "night"})
