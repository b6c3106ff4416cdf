"""Weights for units that were selected for inspection with a known probability."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import has_fit_parameter

from qma_predict.data.lake import History
from qma_predict.learn.labels import deciding, results
from qma_predict.line import Line

LARGEST = 20.0
"""Largest weight, in units of the mean: a unit that nearly escaped selection must not decide alone."""


def inspection_weights(history: History, points: pd.DataFrame, line: Line) -> pd.Series:
    """Weight of each point's label, so that inspected units stand for all units.

    Where suspicious units are inspected more often, the inspected ones look worse than the plant is. A unit that was
    selected with probability p stands for 1 / p units (Horvitz and Thompson 1952).

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line

    Returns
    -------
    Series of float, shape (n_points,), indexed by unit_id
        See `stabilised`. The probability is that of the unit's deciding results, the smallest where they differ: a
        unit is known to be good only if each of them was selected.

    Notes
    -----
    Units that could not have been selected at all are stood for by no one.
    """
    first = deciding(results(history, points, line))
    chance = first.group_by("unit_id").agg(probability=first.probability.min()).to_pandas()
    return stabilised(chance.set_index("unit_id")["probability"].reindex(points["unit_id"]))


def fit_weighted(estimator: BaseEstimator, X: pd.DataFrame, y: object, weight: np.ndarray | None) -> BaseEstimator:
    """Fit an estimator on rows, with their weights if there are any and it takes them."""
    if weight is None or not has_fit_parameter(estimator, "sample_weight"):
        return estimator.fit(X, y)
    return estimator.fit(X, y, sample_weight=weight)


def stabilised(probability: pd.Series) -> pd.Series:
    """Inverse probabilities, divided by their mean, and at most `LARGEST`.

    A unit whose probability is not known, or not within 0 (exclusive) and 1, weighs 1. Where all known ones are
    equal every unit weighs 1. Cutting large weights trades some bias for much variance (Cole and Hernán 2008,
    American Journal of Epidemiology 168, 656-664).

    Examples
    --------
    Two of the three inspected units had a chance of one half:

    >>> stabilised(pd.Series([0.5, 0.5, 1.0, None])).tolist()  # 2, 2 and 1, divided by 5 / 3
    [1.2, 1.2, 0.6, 1.0]
    """
    chance = probability.astype(float)
    inverse = 1 / chance.where((chance > 0) & (chance <= 1))
    return (inverse / inverse.mean()).clip(upper=LARGEST).fillna(1.0).rename("weight")
