"""What a shuffled split would have shown, beside the time-ordered one: the gap is a finding."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from qma_predict.errors import NotEnoughData
from qma_predict.learn import metrics
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.weights import fit_weighted


@dataclass(frozen=True)
class Shuffled:
    """A contestant on a random split of a block's rows and those before it, and on that block itself.

    Attributes
    ----------
    average_precision, roc_auc : float
        On the random split; NaN if it could not be made.
    average_precision_in_order, roc_auc_in_order : float
        On the block.
    sentence : str
        The same in words, with the gaps, or why there is nothing to compare.
    """

    average_precision: float
    roc_auc: float
    average_precision_in_order: float
    roc_auc_in_order: float
    sentence: str


def shuffled_split(
    result: Backtest,
    name: str,
    estimator: BaseEstimator,
    X: pd.DataFrame,
    cutoff: pd.Series,
    outcome: pd.Series,
    *,
    splitter: RollingOriginSplit,
    weight: pd.Series | None = None,
    random_state: int = 0,
) -> Shuffled:
    """Fit a contestant once more, on units drawn at random instead of the older ones.

    Only for the oldest block that was measured, which trains on the fewest rows: fits cost most. From the units with a
    known outcome that are in the block or may train for it, as many as the block's judged units are drawn to be
    judged, and the others train, in time order. Neighbours of a judged unit, which share its lots, tools and setups,
    are then among those that the model learnt from, and so is what came after it. One draw is noisy: the sentence
    names its defects.

    Parameters
    ----------
    result : Backtest
        In which `name` took part, of the same units and `splitter`.
    name : str
        A contestant.
    estimator : scikit-learn classifier
        The contestant, unfitted.
    X, cutoff, outcome, splitter, weight
        As for `backtest`.
    random_state : int, default 0
        Seed of the draw.
    """
    values = result.table[result.table["contestant"] == name].pivot(index="block", columns="metric", values="value")
    measured = values[["average_precision", "roc_auc"]].dropna()
    if measured.empty:
        return _nothing(name, (np.nan, np.nan), "it was measured in no block")
    oldest = int(measured.index[0])
    before = float(measured.iloc[0, 0]), float(measured.iloc[0, 1])
    rows = result.predictions
    judged = rows[(rows["block"] == oldest) & (rows["contestant"] == name) & rows["outcome"].notna()]
    units = cutoff.reindex(X.index).rename("cutoff").rename_axis("unit_id").reset_index()
    units = units.sort_values(["cutoff", "unit_id"], ignore_index=True)
    labels = outcome.reindex(units["unit_id"])
    train, block = list(splitter.split(units, labels, units["cutoff"]))[oldest - 1]
    y = labels.iloc[np.concatenate([train, block])].dropna().astype(int)
    chosen = np.zeros(len(y), dtype=bool)
    chosen[np.random.default_rng(random_state).choice(len(y), len(judged), replace=False)] = True
    learnt, held = y[~chosen], y[chosen]
    if learnt.nunique() < 2 or held.nunique() < 2:
        return _nothing(name, before, f"{int(y.sum())} defects among {len(y)} units are too few to draw from")
    weights = None if weight is None else weight.loc[learnt.index].to_numpy()
    try:
        model = fit_weighted(clone(estimator), X.loc[learnt.index], learnt, weights)
    except NotEnoughData as error:
        return _nothing(name, before, str(error))
    score = model.predict_proba(X.loc[held.index])[:, 1]
    after = metrics.average_precision(held, score), metrics.roc_auc(held, score)
    found, drawn = int(judged["outcome"].sum()), int(held.sum())
    return Shuffled(*after, *before, _in_words(name, after, before, f"{len(held):,} units with {drawn}", found))


def _in_words(name: str, after: tuple[float, float], before: tuple[float, float], drawn: str, found: int) -> str:
    precision, area = (
        f"{random:.2f} instead of {in_order:.2f}" for random, in_order in zip(after, before, strict=True)
    )
    return (
        f"shuffled split: {name} would show average precision {precision} in time order "
        f"(gap {after[0] - before[0]:.2f}) and ROC AUC {area} (gap {after[1] - before[1]:.2f}); "
        f"one draw of {drawn} defects against a block with {found}"
    )


def _nothing(name: str, in_order: tuple[float, float], why: str) -> Shuffled:
    return Shuffled(np.nan, np.nan, *in_order, f"shuffled split: {name} is not compared: {why}")
