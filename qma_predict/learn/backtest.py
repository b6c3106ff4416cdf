"""What would have happened: every contestant trained and judged in time order, block after block."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone

from qma_predict.errors import NotEnoughData
from qma_predict.learn.block_metrics import measure
from qma_predict.learn.later import apart, group_codes
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.weights import fit_weighted
from qma_predict.line import Costs

logger = logging.getLogger(__name__)

_NO_COSTS = Costs()


@dataclass(frozen=True)
class Backtest:
    """What `backtest` found.

    Attributes
    ----------
    table : pandas.DataFrame
        A row per block, contestant and metric: ``block`` (1 is the oldest), ``origin`` and ``end`` (of the
        block, UTC), ``train_units``, ``train_defects``, ``train_rate`` (their share of defects, by weight if there
        are weights), ``units`` and ``defects`` (the block's candidates with a known outcome), ``apart_units`` and
        ``apart_defects`` (what could have been learnt from, were others of its group not in the block),
        ``contestant``, ``metric`` (one of `block_metrics.METRICS`), ``value`` (NaN where it is not defined), ``low``
        and ``high`` (95 % interval of ``observed_over_expected``; missing for the other metrics, of which the
        differences count: `qma_predict.learn.verdict`) and ``reason`` (why the value is missing, else missing).
    predictions : pandas.DataFrame
        A row per block, contestant and candidate of the block: ``block``, ``contestant``, ``unit_id``,
        ``night``, ``score`` and ``outcome`` (1 defect, 0 good, NaN not known). Sorted by block,
        contestant in the order given, cutoff and unit.
    capacity : int
        Units that can be checked a night, as measured.
    costs : Costs
        Those of ``expected_cost``.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    capacity: int
    costs: Costs = _NO_COSTS


class _Fold(NamedTuple):
    """A block: its facts, positions, labels, weights and groups of its training rows, and the judged candidates."""

    facts: dict
    train: np.ndarray
    labels: np.ndarray
    weight: np.ndarray | None
    groups: np.ndarray | None
    judged: pd.DataFrame


def backtest(
    contestants: Mapping[str, BaseEstimator],
    X: pd.DataFrame,
    cutoff: pd.Series,
    *,
    labels_at: Callable[[pd.Timestamp], pd.Series],
    outcome: pd.Series,
    night: pd.Series,
    splitter: RollingOriginSplit,
    capacity: int,
    costs: Costs = _NO_COSTS,
    weight: pd.Series | None = None,
    groups: pd.Series | None = None,
    n_jobs: int | None = None,
) -> Backtest:
    """Train and measure every contestant on successive blocks, each with only what was known before it.

    In each block every contestant is cloned and fitted on the same rows in time order (by cutoff, then
    unit): the block's training rows whose label was known at its origin. It scores the units of the block
    that were candidates, and is measured on those: the ones that nobody inspected take places on the lists, as they
    would have. Blocks end with the newest unit whose outcome is known. A contestant that cannot be fitted in a block
    (`NotEnoughData`) gets missing values with the reason, and the rest goes on.

    Parameters
    ----------
    contestants : mapping of str to scikit-learn classifier
        Unfitted; ``predict_proba(X)[:, 1]`` is P(defect).
    X : pandas.DataFrame, shape (n_units, n_features), indexed by unit_id
        Features, of all units that could have been listed. This and all Series may be in any order; Series are matched
        by unit_id.
    cutoff : pandas.Series of datetime, UTC
        The units' cutoffs.
    labels_at : callable
        ``labels_at(origin)`` returns the labels (1, 0, NaN) by unit_id as known at that moment (UTC). A
        unit it leaves out has no label.
    outcome : pandas.Series of float
        What became known in the end: 1 defect, 0 good, NaN not known.
    night : pandas.Series of datetime.date
        Business date on which the unit was first a candidate; missing if it never was.
    splitter : RollingOriginSplit
        Where the blocks are. Its `gap` should be the label maturity.
    capacity : int
        Units that can be checked a night.
    costs : Costs, optional
        What an escape, a check and a false alarm cost; by default that is not known.
    weight : pandas.Series of float, optional
        How many units each stands for (`inspection_weights`): contestants whose `fit` takes ``sample_weight`` learn
        with it. The table stays over the inspected units; see `qma_predict.learn.over_all`.
    groups : pandas.Series, optional
        What belongs together, say the parts of one shot, missing where nothing does: units of which others are in the
        block are not learnt from before it. Contestants whose `fit` takes ``groups`` are given them.
    n_jobs : int, optional
        Fits at a time, of all blocks and contestants, as joblib has it: None is 1 unless a `joblib.parallel_config`
        says otherwise, on any backend that is registered. The result is the same bit for bit. Other processes do
        not log.

    Returns
    -------
    Backtest

    Raises
    ------
    NotEnoughData
        The history is too short for the blocks asked for.
    ValueError
        A unit_id is twice in `X`, or a cutoff is missing.
    """
    units = _in_time_order(X, cutoff, outcome, night)
    together = None if groups is None else group_codes(groups.reindex(units.index))
    placed = units["cutoff"], units["outcome"]
    folds: list[_Fold] = []
    for origin, (train, test) in zip(splitter.origins(*placed), splitter.split(X, *placed[::-1]), strict=True):
        known = labels_at(origin).reindex(units.index[train]).astype(float).to_numpy()
        train, known = train[~np.isnan(known)], known[~np.isnan(known)]
        kept = np.isin(train, apart(train, test, together))
        train, labels = train[kept], known[kept]
        shared = None if together is None else together[train]
        learnt = None if weight is None else weight.loc[units.index[train]].to_numpy()
        judged = units.iloc[test][units["night"].iloc[test].notna().to_numpy()]
        facts = {
            "block": len(folds) + 1,
            "origin": origin,
            "end": origin + pd.Timedelta(splitter.test),
            "train_units": len(labels),
            "train_defects": int(labels.sum()),
            "train_rate": float(np.average(labels, weights=learnt)) if len(labels) else np.nan,
            "units": int(judged["outcome"].count()),
            "defects": int(judged["outcome"].sum()),
            "apart_units": int((~kept).sum()),
            "apart_defects": int(known[~kept].sum()),
        }
        folds.append(_Fold(facts, train, labels, learnt, shared, judged))
    with_these = partial(measure, capacity=capacity, costs=costs)
    done = Parallel(n_jobs=n_jobs)(
        delayed(_take_part)(name, estimator, fold, X.loc[units.index[fold.train]], X.loc[fold.judged.index], with_these)
        for fold in folds
        for name, estimator in contestants.items()
    )
    rows = [row for measured, _ in done for row in measured]
    predictions = [rows for _, rows in done if rows is not None]
    return Backtest(_tidy(rows), _stack(predictions), capacity, costs)


def judge(
    scores: Mapping[str, pd.Series],
    night: pd.Series,
    outcome: pd.Series,
    *,
    capacity: int,
    prevalence: float,
    costs: Costs = _NO_COSTS,
) -> Backtest:
    """Measure scores that were given before the outcomes were known, as one block of a backtest.

    Parameters
    ----------
    scores : mapping of str to pandas.Series, indexed by unit_id
        P(defect) by contestant, for the units of `night`.
    night : pandas.Series of datetime.date, indexed by unit_id
        Business date on which each unit was first a candidate.
    outcome : pandas.Series of float, indexed by unit_id
        1 defect, 0 good, NaN not known.
    capacity, costs
        As for `backtest`.
    prevalence : float
        Share of defects before, which Brier skill is compared with.

    Returns
    -------
    Backtest
        With one block, whose ``origin`` and ``end`` are its first and last night.
    """
    order = pd.DataFrame({"unit_id": night.index, "night": night.to_numpy()}).sort_values(["night", "unit_id"])
    judged = order.set_index("unit_id").assign(outcome=outcome.reindex(order["unit_id"]).astype(float).to_numpy())
    facts = {
        "block": 1,
        "origin": judged["night"].min(),
        "end": judged["night"].max(),
        "train_units": 1.0,  # only their ratio is read
        "train_defects": prevalence,
        "train_rate": prevalence,
        "units": int(judged["outcome"].count()),
        "defects": int(judged["outcome"].sum()),
        "apart_units": 0,
        "apart_defects": 0,
    }
    rows, predictions = [], []
    for name, series in scores.items():
        score = series.reindex(judged.index).to_numpy(dtype=float)
        measured = measure(judged, score, None, facts, capacity=capacity, costs=costs)
        rows += [facts | {"contestant": name} | row for row in measured]
        predictions.append(_predictions(1, name, judged, score))
    return Backtest(_tidy(rows), _stack(predictions), capacity, costs)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric over the blocks in which it is defined.

    Parameters
    ----------
    table : pandas.DataFrame
        `Backtest.table`.

    Returns
    -------
    pandas.DataFrame
        Columns ``contestant``, ``metric``, ``mean`` (every block counts the same; NaN if there is none)
        and ``blocks`` (the number of blocks with a value). Contestants and metrics in the table's order.

    Examples
    --------
    >>> table = pd.DataFrame({"block": [1, 2], "contestant": "prevalence", "metric": "roc_auc"})
    >>> summarise(table.assign(value=[0.5, np.nan]))
       contestant   metric  mean  blocks
    0  prevalence  roc_auc   0.5       1
    """
    values = table.groupby(["contestant", "metric"], sort=False)["value"]
    return values.agg(mean="mean", blocks="count").reset_index()


def _in_time_order(X: pd.DataFrame, cutoff: pd.Series, outcome: pd.Series, night: pd.Series) -> pd.DataFrame:
    if not X.index.is_unique:
        raise ValueError(f"backtest: unit_id {X.index[X.index.duplicated()][0]!r} is twice in the features")
    ids = X.index.rename("unit_id")
    units = pd.DataFrame(
        {
            "cutoff": cutoff.reindex(ids),
            "night": night.reindex(ids).astype(object),
            "outcome": outcome.reindex(ids).astype(float),
        },
        index=ids,
    )
    if units["cutoff"].isna().any():
        raise ValueError(f"backtest: {units['cutoff'].isna().sum()} of {len(ids)} units have no cutoff")
    return units.reset_index().sort_values(["cutoff", "unit_id"]).set_index("unit_id")


def _take_part(
    name: str,
    estimator: BaseEstimator,
    fold: _Fold,
    train_X: pd.DataFrame,
    judged_X: pd.DataFrame,
    measured_by: Callable[..., list[dict]],
) -> tuple[list[dict], pd.DataFrame | None]:
    """What the table and the predictions say of a contestant in a block."""
    started = time.perf_counter()
    score, reason = _scores(estimator, train_X, fold, judged_X)
    measured = [fold.facts | {"contestant": name} | row for row in measured_by(fold.judged, score, reason, fold.facts)]
    facts, first = fold.facts, measured[0]
    logger.info(
        "block %d from %s: %s on %d units with %d defects in %.1f s: average precision %s",
        *(facts["block"], facts["origin"], name, facts["train_units"], facts["train_defects"]),
        *(time.perf_counter() - started, first["reason"] or f"{first['value']:.3f}"),
    )
    return measured, None if score is None else _predictions(facts["block"], name, fold.judged, score)


def _scores(
    estimator: BaseEstimator, train_X: pd.DataFrame, fold: _Fold, judged_X: pd.DataFrame
) -> tuple[np.ndarray | None, str | None]:
    labels, defects = fold.labels, int(fold.labels.sum())
    if defects in (0, len(labels)):
        apart_too = fold.facts["apart_units"]
        of_groups = f"; {apart_too} others are of groups that go on in the block" if apart_too else ""
        return None, f"{defects} defects and {len(labels) - defects} good units to learn from{of_groups}"
    if judged_X.empty:
        return None, "no candidates in the block"
    try:
        model = fit_weighted(clone(estimator), train_X, labels.astype(int), fold.weight, fold.groups)
    except NotEnoughData as error:
        return None, str(error)
    return model.predict_proba(judged_X)[:, 1], None


def _predictions(block: int, name: str, judged: pd.DataFrame, score: np.ndarray) -> pd.DataFrame:
    rows = judged.reset_index()[["unit_id", "night", "outcome"]]
    rows = rows.assign(block=block, contestant=name, score=score)
    return rows[["block", "contestant", "unit_id", "night", "score", "outcome"]]


def _tidy(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"contestant": "str", "metric": "str", "reason": "str"})


def _stack(predictions: list[pd.DataFrame]) -> pd.DataFrame:
    if not predictions:
        return pd.DataFrame(columns=["block", "contestant", "unit_id", "night", "score", "outcome"])
    return pd.concat(predictions, ignore_index=True).astype({"contestant": "str"})
