"""What a metric would have been had other nights come: a contestant's nights drawn again, with replacement."""

import numpy as np
import pandas as pd

from qma_predict.learn.costs import total_cost
from qma_predict.learn.metrics import expected_average_precision
from qma_predict.learn.reliability import losses
from qma_predict.line import Costs

_TIE_BREAKS = 20


def redrawn(
    rows: pd.DataFrame,
    draws: np.ndarray,
    metric: str,
    rng: np.random.Generator,
    *,
    capacity: int | np.ndarray,
    prevalence: float = float("nan"),
    costs: Costs | None = None,
) -> np.ndarray:
    """Return the metric for each draw of nights.

    Where places of a list or a ranking are shared by equal scores they are given at random, anew for every
    twentieth part of the draws: against their expected value a ranking by chance would mostly look worse than
    none, since it is seldom lucky. Other metrics do not depend on the order of equal scores.

    Parameters
    ----------
    rows : DataFrame
        A contestant's predictions in one block: ``night``, ``score`` and ``outcome``.
    draws : ndarray of int, shape (n_draws, n_nights)
        ``draws[i, j]`` is how often draw i holds night j, in ascending order of the nights.
    metric : str
        One of `verdict.COMPARABLE`.
    rng : numpy Generator
        What breaks ties.
    capacity : int, or ndarray of int of shape (n_nights,)
        Units that can be checked a night, or on each in ascending order.
    prevalence : float
        Share of defects in the block's training rows, for ``brier_skill``.
    costs : Costs, optional
        For ``expected_cost``.

    Returns
    -------
    ndarray of float, shape (n_draws,)
        NaN where the draw leaves the metric undefined.

    Examples
    --------
    >>> rows = pd.DataFrame({"night": [1, 1, 2], "score": [0.9, 0.1, 0.5], "outcome": [1.0, 0.0, 0.0]})
    >>> rng = np.random.default_rng(0)
    >>> redrawn(rows, np.array([[1, 1], [2, 0], [0, 2]]), "precision_at_capacity", rng, capacity=1)
    array([0.5, 1. , 0. ])
    """
    night = pd.factorize(rows["night"], sort=True)[0]
    outcome, score = rows["outcome"].to_numpy(dtype=float), rows["score"].to_numpy(dtype=float)
    if metric == "roc_auc":
        return _areas(outcome, score, night, draws)
    if metric in ("log_loss", "brier_skill"):
        return _mean_errors(outcome, score, night, draws, metric, prevalence)
    if metric == "average_precision":  # others take no places in it
        night, outcome, score = (each[~np.isnan(outcome)] for each in (night, outcome, score))
    results = []
    for some in np.array_split(draws, _TIE_BREAKS):
        ranked = np.lexsort((rng.random(len(score)), -score))
        if metric == "average_precision":
            results.append(_ranked_precision(outcome[ranked], night[ranked], some))
        else:
            results.append(_ranked_lists(outcome[ranked], night[ranked], some, metric, capacity, costs))
    return np.concatenate(results)


def spread(values: np.ndarray) -> tuple[float, float]:
    """Distance of the ends of the 95 % interval from its middle: percentiles of redraws about their own mean.

    A redraw is biased (a night drawn twice puts its defects next to their copies), so that its percentiles are moved.

    Parameters
    ----------
    values : ndarray of float, shape (n_draws,)
        None missing.

    Examples
    --------
    >>> spread(np.array([0.0, 20.0, 40.0]))
    (-19.0, 19.0)
    """
    low, high = np.quantile(values, [0.025, 0.975]) - values.mean()
    return float(low), float(high)


def _ranked_precision(outcome: np.ndarray, night: np.ndarray, draws: np.ndarray) -> np.ndarray:
    times = (draw[night] for draw in draws)
    return np.array([expected_average_precision(each * outcome, each) for each in times])


def _ranked_lists(
    outcome: np.ndarray,
    night: np.ndarray,
    draws: np.ndarray,
    metric: str,
    capacity: int | np.ndarray,
    costs: Costs | None,
) -> np.ndarray:
    place, nights = pd.Series(night).groupby(night).cumcount().to_numpy(), draws.shape[1]
    on_list, known, defects = place < np.broadcast_to(capacity, nights)[night], ~np.isnan(outcome), outcome == 1.0
    found, listed, units, all_defects = (
        np.bincount(night, which, nights) for which in (on_list & defects, on_list & known, known, defects)
    )
    if metric == "precision_at_capacity":
        return _ratio(draws @ found, draws @ listed)
    if metric == "recall_at_capacity":
        return _ratio(draws @ found, draws @ all_defects)
    return _ratio(draws @ total_cost(found, listed, all_defects, costs or Costs()), draws @ units)


def _areas(outcome: np.ndarray, score: np.ndarray, night: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: pairs of a defect and a good unit, counted by their two nights."""
    nights = draws.shape[1]
    defect = outcome == 1.0
    above = np.zeros((nights, nights))  # of the defects of a night and the goods of another
    goods = np.zeros(nights)
    for other in range(nights):
        of = np.sort(score[(night == other) & (outcome == 0.0)])
        below = sum(np.searchsorted(of, score[defect], side=side) for side in ("left", "right")) / 2.0
        above[:, other] = np.bincount(night[defect], below, nights)
        goods[other] = len(of)
    defects = np.bincount(night[defect], minlength=nights)
    return _ratio(((draws @ above) * draws).sum(axis=1), (draws @ defects) * (draws @ goods))


def _mean_errors(
    outcome: np.ndarray, score: np.ndarray, night: np.ndarray, draws: np.ndarray, metric: str, prevalence: float
) -> np.ndarray:
    known = ~np.isnan(outcome)
    labels, p, nights = outcome[known], score[known], draws.shape[1]
    error, reference = (losses(labels, p), np.ones(len(p)))
    if metric == "brier_skill":
        error, reference = (p - labels) ** 2, (prevalence - labels) ** 2
    ratio = _ratio(*(draws @ np.bincount(night[known], each, nights) for each in (error, reference)))
    return 1.0 - ratio if metric == "brier_skill" else ratio


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
