"""How a night's list answers to what became of the lists before it, and what others would have scored."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qma_predict.errors import ModelError, PublicationError
from qma_predict.learn.base_rate import moved_by
from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.learn.trust import NO_RANGES
from qma_predict.publish.models.model import Model

SHADOW = "shadow.parquet"
"""The file of a list with the scores that did not decide it."""

SHADOWS = ("model", "rule", "challenger")
"""Whose they are: the champion's own, before its level was moved; the best simple rule's; a challenger's."""

_NONE: Mapping[str, pd.Series] = {}

Predict = Callable[[pd.DataFrame], np.ndarray]
"""P(defect), shape (n_units,), for a feature table."""


@dataclass(frozen=True)
class Scorers:
    """Who can score a night's units.

    Attributes
    ----------
    model : callable or None
        The champion; None if it is not valid, which `Reaction.invalid` explains.
    rule : callable or None
        The best simple rule of its training; None if there is none beside the champion.
    challenger : callable or None
        What wants to be champion, or was refused.
    """

    model: Predict | None
    rule: Predict | None = None
    challenger: Predict | None = None


@dataclass(frozen=True)
class Reaction:
    """What is done because earlier lists were not as they said; nothing, by default.

    Attributes
    ----------
    moved : float
        What is added to all log odds of the model.
    why_moved : str
        A sentence; empty if they are not moved.
    ranking : str
        Why the model's scores are taken as a ranking from now on; empty if they may be read as probabilities.
    rule : str
        Why the simple rule makes the list in the model's place until that earned it back; empty if the model does.
    invalid : str
        Why the model cannot be used tonight, so that the rule makes the list; empty if it can.
    instead : str
        Why an earlier champion makes the list; empty if the champion does.
    spread : PromiseSpread, optional
        How far the probabilities of a night are off together, by the model's own lists; None if the model's stands.
    left_out : tuple of str
        Which of these lists are damaged, so that nothing is known of them, and what to do.
    """

    moved: float = 0.0
    why_moved: str = ""
    ranking: str = ""
    rule: str = ""
    invalid: str = ""
    instead: str = ""
    spread: PromiseSpread | None = None
    left_out: tuple[str, ...] = ()

    @property
    def without_model(self) -> str:
        """Why the simple rule makes the list; empty if the model does."""
        return self.invalid or self.rule

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons for which a list is DEGRADED."""
        of_model = () if self.without_model else (self.why_moved, self.ranking)
        return tuple(reason for reason in (self.instead, *of_model, *self.left_out) if reason)


NOTHING = Reaction()


def acting(reaction: Reaction, model: Model, scorers: Scorers) -> tuple[Model, Predict]:
    """Return what makes the list: what is said of it, and its P(defect) for a feature table.

    Parameters
    ----------
    reaction : Reaction
    model : Model
        The champion.
    scorers : Scorers

    Raises
    ------
    ModelError
        If the one that is to make the list is not there.
    """
    if why := reaction.without_model:
        alone = replace(
            model,
            contestant=model.baseline,
            is_recipe=False,
            finding=why,
            ranking="the simple rule stands in for the model",
            ranges=NO_RANGES,
            spread=CHANCE_ALONE,
        )
        return alone, _there(scorers.rule, model, f"simple rule that could stand in ({why})")
    predict = _there(scorers.model, model, "model")
    if reaction.ranking:
        model = replace(model, ranking=model.ranking or reaction.ranking, ranges=NO_RANGES, spread=CHANCE_ALONE)
    elif reaction.spread is not None:
        model = replace(model, spread=reaction.spread)
    if not reaction.moved:
        return model, predict
    usual = float(moved_by(model.base_rate, reaction.moved))
    model = replace(model, base_rate=usual, ranges=model.ranges.moved(reaction.moved))
    return model, lambda X: moved_by(predict(X), reaction.moved)


def _there(scorer: Predict | None, model: Model, what: str) -> Predict:
    if scorer is None:
        again = f"Train again: qma train {model.line}"
        raise ModelError(f"line {model.line}: v{model.version} has no {what} to make the list with. {again}")
    return scorer


def as_listed(reaction: Reaction, candidates: pd.DataFrame) -> dict[str, pd.Series]:
    """Scores of a list by whose they are, of `SHADOWS`; none where the model's were moved.

    Parameters
    ----------
    reaction : Reaction
    candidates : DataFrame
        ``unit_id`` and ``score``.
    """
    if reaction.moved and not reaction.without_model:
        return {}
    return {"rule" if reaction.without_model else "model": candidates.set_index("unit_id")["score"]}


def shadow_bytes(X: pd.DataFrame, scorers: Scorers, known: Mapping[str, pd.Series] = _NONE) -> bytes:
    """Scores of units by everybody who can score, whoever makes the list, as a Parquet file.

    Parameters
    ----------
    X : DataFrame, shape (n_units, n_features), indexed by unit_id
    scorers : Scorers
    known : mapping of str to Series of float, indexed by unit_id, optional
        Scores that are known already, by name.
    """
    by_name = {"model": scorers.model, "rule": scorers.rule, "challenger": scorers.challenger}
    scores = {name: score.loc[X.index].to_numpy(dtype=float) for name, score in known.items()}
    for name in by_name.keys() - known.keys():
        predict = by_name[name]
        scores[name] = np.full(len(X), np.nan) if predict is None or X.empty else predict(X)
    columns = {name: pa.array(np.round(scores[name], 6), from_pandas=True) for name in SHADOWS}
    table = pa.table({"unit_id": pa.array(X.index.astype(str), pa.string())} | columns)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_shadow(path: Path) -> pd.DataFrame:
    """Scores that did not decide a published list.

    Parameters
    ----------
    path : Path
        A date of a line's folder, or one of the revisions.

    Returns
    -------
    DataFrame, shape (n_units, 4)
        ``unit_id`` and `SHADOWS`; without rows for lists of earlier versions of the program.

    Raises
    ------
    PublicationError
        If the file is damaged.
    """
    file = path.resolve() / SHADOW
    if not file.exists():
        empty = {"unit_id": pd.Series(dtype="str")} | {name: pd.Series(dtype=float) for name in SHADOWS}
        return pd.DataFrame(empty)
    try:
        return pq.read_table(file).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise PublicationError(f"{file}: cannot be read ({error}); restore the folder from a backup") from error
