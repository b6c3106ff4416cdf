"""What promotion is decided on: a refresh rehearsed on the newest block, and two recipes side by side."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
from sklearn.base import clone

from qma_predict.errors import NotEnoughData
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.promotion import CHALLENGER, CHAMPION, REFRESH, shortcomings, tells
from qma_predict.learn.training import Training, recipe_of
from qma_predict.learn.weights import fit_weighted


def rehearse(
    dataset: Dataset,
    training: Training,
    contestant: str,
    champion_as_of: datetime,
    predict: Callable[[pd.DataFrame], np.ndarray] | None,
    margin: float,
) -> Backtest:
    """Hold the champion's recipe with newer data against the champion, on the newest block with known outcomes.

    The refresh is the contestant as the backtest fitted it for the block, with what was known when that began. The
    champion is the one in use if it knew no more than that. Otherwise it has seen some of the block, and the step is
    rehearsed further back: in its place is its recipe with what was known as long before the block as the champion is
    older than the training. Where the newest block is too small to tell the margin (`tells`), all blocks of the
    backtest are taken, each in this way.

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
    Backtest
        With the contestants `REFRESH` and `CHAMPION`; its table is empty.

    Raises
    ------
    NotEnoughData
        The recipe could not be fitted for the newest block, or with what was known before.
    """
    as_of, origins = pd.Timestamp(champion_as_of), training.backtest.table.groupby("block")["origin"].first()
    rows = training.backtest.predictions[training.backtest.predictions["contestant"] == contestant]

    def champion_on(block: int) -> pd.DataFrame:
        """Both in one block."""
        origin, ours = origins[block], rows[rows["block"] == block]
        if ours.empty:
            raise NotEnoughData(f"{contestant} could not be fitted for block {block}: {_reason(training, contestant)}")
        X = dataset.X.loc[ours["unit_id"]]
        if predict is not None and as_of <= origin:
            score = predict(X)
        else:
            known = as_of if as_of <= origin else origin - (dataset.history.as_of - as_of)
            score = _as_known_at(known, dataset, training, contestant, X)
        return pd.concat([ours.assign(contestant=REFRESH), ours.assign(contestant=CHAMPION, score=score)])

    empty = replace(training.backtest, table=training.backtest.table.iloc[:0])
    newest, *earlier = sorted(origins.index, reverse=True)
    found = replace(empty, predictions=champion_on(newest))
    if tells(found, margin):
        return found
    parts = [found.predictions]
    for block in earlier:
        with contextlib.suppress(NotEnoughData):  # an early block may have too little before it
            parts.append(champion_on(block))
    return replace(empty, predictions=pd.concat(parts))


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
    moment: pd.Timestamp, dataset: Dataset, training: Training, contestant: str, judged: pd.DataFrame
) -> np.ndarray:
    """Scores by a contestant that learnt with what was known at a moment."""
    line = dataset.line
    estimator = make_baseline(contestant) if contestant in BASELINES else recipe_of(line)
    old = dataset.points[dataset.points["cutoff"] <= moment - line.gate.maturity].reset_index()
    order = old.sort_values(["cutoff", "unit_id"])["unit_id"]
    y = dataset.labels_at(moment).reindex(dataset.apart(pd.Index(order), judged.index)).dropna().astype(int)
    if y.nunique() < 2:
        raise NotEnoughData(f"{int(y.sum())} defects among {len(y)} units were known at {moment:%Y-%m-%d %H:%M} UTC")
    weight = training.labels.weight
    weights = None if weight is None else weight.reindex(y.index).fillna(1.0).to_numpy()
    features = dataset.X.columns.drop(training.left_out)
    fitted = fit_weighted(clone(estimator), dataset.X.loc[y.index, features], y, weights, dataset.groups_of(y.index))
    return fitted.predict_proba(judged[features])[:, 1]
