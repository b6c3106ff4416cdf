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
    """Weight of each point's label in a fit or a metric: what `uncut_weights` gives, and at most `LARGEST`.

    Cutting large weights trades some bias for much variance (Cole and Hernán 2008, American Journal of Epidemiology
    168, 656-664): a rate over all units is told from uncut ones.

    Parameters
    ----------
    history, points, line
        As `uncut_weights` has them.

    Returns
    -------
    Series of float, shape (n_points,), indexed by unit_id
    """
    return uncut_weights(history, points, line).clip(upper=LARGEST)


def uncut_weights(history: History, points: pd.DataFrame, line: Line) -> pd.Series:
    """How many units each point's label stands for, so that inspected units stand for all units.

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
        See `stabilised`, by weeks of the cutoff (spans of seven days, the same whatever the points are). The
        probability is that of the unit's deciding results, the smallest where they differ: a unit is known to be good
        only if each of them was selected. 1 where no result is valid, and for units that are younger than the gate's
        maturity, which have no label.

    Notes
    -----
    Units that could not have been selected at all are stood for by no one.

    What came later changes the weights of weeks that were over by one factor in common, that of the mean: their units
    weigh beside each other as they did then, so that a backtest may take the weights of today.
    """
    mature = points[(points["cutoff"] + pd.Timedelta(line.gate.maturity) <= history.as_of).to_numpy()]
    first = deciding(results(history, mature, line))
    chance = first.group_by("unit_id").agg(probability=first.probability.min()).to_pandas()
    probability = chance.set_index("unit_id")["probability"].sort_index()
    week = pd.Series(mature["cutoff"].dt.floor("7D").to_numpy(), index=mature["unit_id"])
    not_inspected = week[~week.index.isin(probability.index)].value_counts()
    weight = stabilised(probability, week[probability.index], not_inspected=not_inspected)
    return weight.reindex(points["unit_id"]).fillna(1.0)


def fit_weighted(
    estimator: BaseEstimator, X: pd.DataFrame, y: object, weight: np.ndarray | None, groups: object = None
) -> BaseEstimator:
    """Fit an estimator on rows, with their weights and groups as far as there are any and it takes them."""
    more = {"sample_weight": weight, "groups": groups}
    return estimator.fit(
        X, y, **{name: one for name, one in more.items() if one is not None and has_fit_parameter(estimator, name)}
    )


def stabilised(probability: pd.Series, week: pd.Series, *, not_inspected: pd.Series) -> pd.Series:
    """How many units each stands for, divided by the mean.

    That is the inverse of its probability: itself, and 1 / p - 1 units that were not inspected. A unit whose
    probability is not known, or not within 0 (exclusive) and 1, stands for itself. Such units tell that in their week
    there was another way to be inspected, which the known probabilities leave out; therefore the others of the week
    then stand, together, for no more than there are units that nobody inspected in it, in proportion to 1 / p - 1. A
    plant that inspects every unit and records no probability has none, and the answers to a list, which have one,
    weigh 1 like all. In a week in which no unit has a known probability each stands for itself alone.

    Where all probabilities are equal every unit weighs 1.

    Parameters
    ----------
    probability : Series of float, shape (n_inspected,)
        With which each inspected unit was selected; missing where that is not recorded.
    week : Series, shape (n_inspected,)
        The week of each, in the same order and with the same index.
    not_inspected : Series of float, indexed by week
        Units that nobody inspected; weeks that are not there have none.

    Examples
    --------
    Two of the three inspected units had a chance of one half:

    >>> week, left = pd.Series([1, 1, 1]), pd.Series({1: 3})
    >>> stabilised(pd.Series([0.5, 0.5, 1.0]), week, not_inspected=left).tolist()  # 2, 2 and 1, divided by 5 / 3
    [1.2, 1.2, 0.6]

    One was drawn with a chance of one tenth, and two were inspected as usual; three others were not, or none:

    >>> drawn = pd.Series([0.1, None, None])
    >>> stabilised(drawn, week, not_inspected=left).tolist()  # 1 + 3, 1 and 1, divided by 2
    [2.0, 0.5, 0.5]
    >>> stabilised(drawn, week, not_inspected=pd.Series({2: 3})).tolist()
    [1.0, 1.0, 1.0]
    """
    chance = probability.astype(float)
    chance = chance.where((chance > 0) & (chance <= 1))
    others = (1 / chance - 1).fillna(0.0)
    together = others.groupby(week).transform("sum")
    most = week.map(not_inspected).fillna(0)
    too_many = chance.isna().groupby(week).transform("any") & (together > most)
    stands_for = 1 + others.where(~too_many, others * (most / together))
    return (stands_for / stands_for.mean()).rename("weight")
