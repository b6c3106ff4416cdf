"""Trials of a search: candidates that learn in time order and are judged on folds, one thread a fit."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from qma_predict.errors import NotEnoughData
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.label_quality import label_quality
from qma_predict.learn.later import apart, group_codes
from qma_predict.learn.recipes import Parameter
from qma_predict.learn.reliability import losses
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.training import leaks_of
from qma_predict.learn.weights import fit_weighted

FOLDS = 4


@dataclass(frozen=True)
class Fold:
    """Rows to learn from with their labels then, and rows to judge; `number` 1 is the oldest.

    `weight` and `stands_for` are how many units each of both stands for, None where all stand for as many; `groups`
    are what rows to learn from share, None where the line names nothing of that kind.
    """

    number: int
    train: np.ndarray
    labels: np.ndarray
    weight: np.ndarray | None
    judged: np.ndarray
    outcome: np.ndarray
    night: np.ndarray
    stands_for: np.ndarray | None = None
    groups: np.ndarray | None = None


@dataclass
class Trial:
    """A candidate; `losses` has an array a fold, the newest fold first, and `seconds` how long each took.

    `asked` is Optuna's own, None for what the line has; `reason` is why it has failed, empty if it has not.
    """

    parameters: dict[str, Parameter]
    asked: Any = None
    state: str = "complete"
    reason: str = ""
    seconds: list[float] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)

    def log_loss(self, folds: int | None = None) -> float:
        """Mean over the units of the first so many folds; by default of all it was judged on (NaN if on none)."""
        return float(np.concatenate(self.losses[:folds]).mean()) if self.losses else np.nan


def rows_and_folds(dataset: Dataset) -> tuple[pd.DataFrame, list[Fold]]:
    """Features in time order without leaks, and the folds, the newest first."""
    line, known = dataset.line, dataset.y.dropna()
    units = dataset.points.loc[known.index, ["cutoff", "night"]].reset_index()
    units = units.sort_values(["cutoff", "unit_id"]).set_index("unit_id")
    y, X, cutoff = known.loc[units.index].to_numpy(), dataset.X.loc[units.index], units["cutoff"]
    half = (cutoff.max() - cutoff.min()) / 2
    if pd.isna(half) or half <= pd.Timedelta(0):
        raise NotEnoughData(f"line {line.name}: {len(units)} units with a known label before the backtest.")
    splitter = RollingOriginSplit(FOLDS, test=half / FOLDS, gap=line.gate.maturity)
    leaks = leaks_of(dataset)
    X = X.drop(columns=leaks.loc[~leaks["kept"], "feature"].unique())
    candidate = units["night"].notna().to_numpy()
    night = pd.factorize(units["night"], sort=True)[0]
    weight, together = label_quality(dataset).weight, group_codes(dataset.groups_of(units.index))
    folds = []
    splits = zip(splitter.origins(cutoff), splitter.split(X, groups=cutoff), strict=True)
    for number, (origin, (train, judged)) in enumerate(splits, start=1):
        train = apart(train, judged, together)
        labels = dataset.labels_at(origin).reindex(units.index[train]).to_numpy(dtype=float)
        train, labels, judged = train[~np.isnan(labels)], labels[~np.isnan(labels)], judged[candidate[judged]]
        if len(np.unique(labels)) == 2 and len(judged):
            ids = units.index[train], units.index[judged]
            learnt, told = (None if weight is None else weight.loc[some].to_numpy() for some in ids)
            known = train, labels.astype(int), learnt
            shared = None if together is None else together[train]
            folds.append(Fold(number, *known, judged, y[judged], night[judged], told, shared))
    if not folds:
        shared = "" if together is None else f" that share no {line.learning.group} with its units"
        raise NotEnoughData(
            f"line {line.name}: none of {FOLDS} folds from {cutoff.max() - half} to {cutoff.max()} has candidates, and "
            f"defects and good units known before it{shared}. Wait for more history, or keep the recipe's own "
            "parameters."
        )
    return X, folds[::-1]


def judge(
    parallel: Parallel, recipe: BaseEstimator, X: pd.DataFrame, folds: Sequence[Fold], trials: Sequence[Trial]
) -> None:
    """Add the losses on these folds to the trials; one that cannot be fitted or gives no scores has failed.

    Raises
    ------
    Exception
        What the fit raised of what the line has (`asked` is None): there is then nothing to be better than.
    """
    with threadpool_limits(1):  # of all threads of this process, where the fits are spread over them
        scored = parallel(
            delayed(_losses if trial.asked is None else _losses_or_reason)(
                clone(recipe).set_params(**trial.parameters), X, fold
            )
            for trial in trials
            for fold in folds
        )
    for place, trial in enumerate(trials):
        for values, seconds in scored[place * len(folds) : (place + 1) * len(folds)]:
            trial.seconds.append(seconds)
            if isinstance(values, str):
                trial.state, trial.reason = "failed", trial.reason or values
            elif not trial.reason:
                trial.losses.append(values)


def _losses_or_reason(recipe: BaseEstimator, X: pd.DataFrame, fold: Fold) -> tuple[np.ndarray | str, float]:
    """As `_losses`, with the reason in words where there are none."""
    started = time.perf_counter()
    try:
        return _losses(recipe, X, fold)
    except Exception as error:  # whatever a classifier by import path raises at some parameters
        return f"{type(error).__name__}: {error}", time.perf_counter() - started


def _losses(recipe: BaseEstimator, X: pd.DataFrame, fold: Fold) -> tuple[np.ndarray, float]:
    """Log loss of each judged unit, times what it stands for if the recipe learns with that, and how long it took [s].

    In one thread, however the fits are spread: threads of threads slow each other down, and sums of numbers in
    another order round differently.
    """
    started = time.perf_counter()
    with threadpool_limits(1), parallel_config("sequential"):
        model = fit_weighted(clone(recipe), X.iloc[fold.train], fold.labels, fold.weight, fold.groups)
        score = model.predict_proba(X.iloc[fold.judged])[:, 1]
    found = losses(fold.outcome, score)
    if fold.stands_for is not None and has_fit_parameter(recipe, "sample_weight"):
        found *= fold.stands_for / fold.stands_for.mean()  # so that the mean is that of all units, not of the inspected
    return found, time.perf_counter() - started


def rungs(folds: int) -> list[tuple[int, int]]:
    """From which to which fold a trial is judged before it is pruned or goes on.

    Examples
    --------
    >>> rungs(4)
    [(0, 1), (1, 2), (2, 4)]
    """
    ends = sorted({0, min(1, folds), min(2, folds), folds})
    return list(itertools.pairwise(ends))


def prune(going_on: Sequence[Trial], all_trials: Sequence[Trial], folds: int) -> None:
    """Prune those that are worse on the first so many folds than the median of all that were judged on them."""
    median = np.median([trial.log_loss(folds) for trial in all_trials if len(trial.losses) >= folds])
    for trial in going_on:
        if trial.log_loss(folds) > median:
            trial.state = "pruned"
