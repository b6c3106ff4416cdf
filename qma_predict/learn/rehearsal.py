"""What promotion is decided on: a refresh rehearsed on the newest block, and two recipes side by side."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial

import numpy as np
import pandas as pd
from sklearn.base import clone

from qma_predict.errors import NotEnoughData
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.promotion import CHALLENGER, CHAMPION, REFRESH, shortcomings, tells
from qma_predict.learn.sentinel import find_leaks
from qma_predict.learn.training import Training, recipe_of
from qma_predict.learn.weights import fit_weighted, inspection_weights


@dataclass(frozen=True)
class Rehearsal:
    """A refresh and the champion on the same blocks.

    Attributes
    ----------
    result : Backtest
        With the contestants `REFRESH` and `CHAMPION`; its table is empty.
    sides : str
        Who stood for whom, in words.
    """

    result: Backtest
    sides: str


def rehearse(
    dataset: Dataset,
    training: Training,
    contestant: str,
    champion_as_of: datetime,
    predict: Callable[[pd.DataFrame], np.ndarray] | None,
    margin: float,
) -> Rehearsal:
    """Hold the champion's recipe with newer data against the champion, on the newest block with known outcomes.

    The refresh is the contestant as it would have been fitted when the block began: by the backtest, unless what it
    left out as a leak, or how it weighed its rows, was not known then. The champion is the one in use if it knew no
    more than that. Otherwise it has seen some of the block, and the step is rehearsed further back: in its place is its
    recipe with what was known as long before the block as the champion is older than the training. Where the newest
    block is too small to tell the margin (`tells`), all blocks of the backtest are taken, each in this way.

    Parameters
    ----------
    dataset : Dataset
        Of the training.
    training : Training
        Of the champion's recipe.
    contestant : str
        What the champion is a fit of.
    champion_as_of : datetime, aware
        What the champion knew; before the dataset's `as_of`.
    predict : callable or None
        The champion; None if it cannot be loaded, and then its recipe stands for it in any case.
    margin : float
        Share of the champion's average precision that is asked about.

    Returns
    -------
    Rehearsal

    Raises
    ------
    NotEnoughData
        The recipe could not be fitted for the newest block, or with what was known before.
    """
    as_of, origins = pd.Timestamp(champion_as_of), training.backtest.table.groupby("block")["origin"].first()
    rows = training.backtest.predictions[training.backtest.predictions["contestant"] == contestant]
    older = dataset.history.as_of - as_of
    stood_in: dict[int, bool] = {}
    left_out_at = cache(partial(_left_out_at, dataset=dataset))

    def as_known_at(moment: pd.Timestamp, judged: pd.DataFrame) -> np.ndarray:
        return _as_known_at(moment, dataset, contestant, judged, left_out_at(moment))

    def both_on(block: int) -> pd.DataFrame:
        """Both in one block."""
        origin, ours = origins[block], rows[rows["block"] == block]
        if ours.empty:
            raise NotEnoughData(f"{contestant} could not be fitted for block {block}: {_reason(training, contestant)}")
        X = dataset.X.loc[ours["unit_id"]]
        if itself := (predict is not None and as_of <= origin):
            score = predict(X)
        else:
            score = as_known_at(as_of if as_of <= origin else origin - older, X)
        if training.labels.weight is not None or left_out_at(origin) != set(training.left_out):
            ours = ours.assign(score=as_known_at(origin, X))
        stood_in[block] = not itself
        return pd.concat([ours.assign(contestant=REFRESH), ours.assign(contestant=CHAMPION, score=score)])

    empty = replace(training.backtest, table=training.backtest.table.iloc[:0])
    newest, *earlier = sorted(origins.index, reverse=True)
    found = replace(empty, predictions=both_on(newest))
    if tells(found, margin):
        return Rehearsal(found, _sides(stood_in))
    parts = [found.predictions]
    for block in earlier:
        with contextlib.suppress(NotEnoughData):  # an early block may have too little before it
            parts.append(both_on(block))
    return Rehearsal(replace(empty, predictions=pd.concat(parts)), _sides(stood_in))


def _sides(stood_in: dict[int, bool]) -> str:
    """Say who stood for whom, of blocks and whether the champion's recipe stood for it there."""
    said = "for the refresh stood its recipe, fitted when each block began"
    times, blocks = sum(stood_in.values()), len(stood_in)
    if not times:
        return f"{said}, and the champion for itself"
    where = "" if times == blocks else f", in {times} of {blocks} blocks"
    return f"{said}, and for the champion, too{where}, fitted as much earlier as it is older"


def overdue(training: Training, champion_as_of: datetime) -> bool:
    """Whether a champion knew nothing even of the oldest block that a training was judged on."""
    return bool(pd.Timestamp(champion_as_of) < training.backtest.table["origin"].min())


def side_by_side(new: Training, contestant: str, old: Training, champion: str) -> Backtest:
    """A contestant of one training and the champion's of another on the same blocks.

    Returns
    -------
    Backtest
        With the contestants `CHALLENGER` and `CHAMPION`.
    """
    rows, others = new.backtest.predictions, old.backtest.predictions
    ours = rows[rows["contestant"] == contestant].assign(contestant=CHALLENGER)
    theirs = others[others["contestant"] == champion].assign(contestant=CHAMPION)
    return replace(new.backtest, table=new.backtest.table.iloc[:0], predictions=pd.concat([ours, theirs]))


def faults(dataset: Dataset, training: Training, predict: Callable[[pd.DataFrame], np.ndarray]) -> str:
    """Say what is wrong with a training's winner as it was kept; empty if nothing is, or if it is a simple rule.

    See `shortcomings`.
    """
    if training.winner in BASELINES:
        return ""
    y, rows = dataset.y.dropna(), training.backtest.predictions
    newest = rows.loc[rows["block"] == rows["block"].max(), "unit_id"].unique()
    score, X = predict(dataset.X.loc[y.index]), dataset.X.loc[newest, training.models[training.winner].features]
    weight = training.weight_of(training.winner)
    return shortcomings(score, y, X, ranking=bool(training.ranking), weight=weight)


def _reason(training: Training, contestant: str) -> str:
    told = training.backtest.table
    return str(told.loc[told["contestant"] == contestant, "reason"].iloc[-1])


def _as_known_at(
    moment: pd.Timestamp, dataset: Dataset, contestant: str, judged: pd.DataFrame, left_out: set[str]
) -> np.ndarray:
    """Scores by a contestant that learnt with what was known at a moment, without the features that are left out."""
    line = dataset.line
    estimator = make_baseline(contestant) if contestant in BASELINES else recipe_of(line)
    old = _mature_at(moment, dataset).reset_index()
    order = old.sort_values(["cutoff", "unit_id"])["unit_id"]
    y = dataset.labels_at(moment).reindex(dataset.apart(pd.Index(order), judged.index)).dropna().astype(int)
    if y.nunique() < 2:
        apart = "" if dataset.groups is None else f" that share no {line.learning.group} with those to be judged"
        raise NotEnoughData(
            f"{int(y.sum())} defects among {len(y)} units{apart} were known at {moment:%Y-%m-%d %H:%M} UTC"
        )
    features = dataset.X.columns.drop(left_out)
    weight = inspection_weights(dataset.history.at(moment), dataset.points.reset_index(), line).reindex(y.index)
    weights = weight.to_numpy() if weight.nunique() > 1 else None
    fitted = fit_weighted(clone(estimator), dataset.X.loc[y.index, features], y, weights, dataset.groups_of(y.index))
    return fitted.predict_proba(judged[features])[:, 1]


def _mature_at(moment: pd.Timestamp, dataset: Dataset) -> pd.DataFrame:
    """Points that were old enough to be inspected."""
    return dataset.points[dataset.points["cutoff"] <= moment - dataset.line.gate.maturity]


def _left_out_at(moment: pd.Timestamp, dataset: Dataset) -> set[str]:
    """Features that looked like leaks at a moment, and that the line does not keep."""
    points = _mature_at(moment, dataset)
    y = dataset.labels_at(moment).reindex(points.index)
    leaks = find_leaks(dataset.X.loc[points.index], y, points["cutoff"])
    return set(leaks["feature"]) - set(dataset.line.learning.keep)
