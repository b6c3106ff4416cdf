"""What lists of the highest scores hold, where so many units can be checked a night.

Labels, scores and weights are those of `qma_predict.learn.metrics`. Places on a list are units, whatever they weigh.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qma_predict.learn.metrics import checked, ratio, units_each


class Tally(NamedTuple):
    """What the lists are expected to hold: defects, and units whose label is known; and all known defects."""

    found: np.ndarray
    known: np.ndarray
    defects: np.ndarray


def tally_nights(
    y_true: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    capacity: int | np.ndarray,
    nights: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Tally:
    """Return what each night's list of the `capacity` highest scores is expected to hold.

    A night with fewer candidates than `capacity` lists them all. Where the last places of a list are
    shared by `m` units with equal scores, each has the chance (places left) / `m` to be on it. Units
    without a label take places like all others.

    Parameters
    ----------
    y_true, score : array-like of shape (n_units,)
        See `qma_predict.learn.metrics`.
    capacity : int, or ndarray of int of shape (n_nights,)
        Units that can be checked a night, or on each in ascending order, 0 or more.
    nights : array-like of shape (n_units,), optional
        The business date whose list the unit competes for; by default all units compete for one list.
    sample_weight : array-like of shape (n_units,), optional
        See `qma_predict.learn.metrics`; what is counted is then the sum of weights.

    Returns
    -------
    Tally of numpy.ndarray of float, shape (n_nights,)
        Nights in ascending order.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, a score or a night is missing, `capacity` is negative.
    """
    labels, scores = checked(y_true, score)
    night = _night_numbers(nights, len(labels))
    if np.min(capacity, initial=0) < 0:
        raise ValueError(f"capacity is {capacity}; expected 0 or more units a night")
    weights = units_each(sample_weight, len(labels))
    order = np.lexsort((-scores, night))  # per night from the highest score down
    night, scores = night[order], scores[order]
    begins = np.ones(len(order), dtype=bool)  # of units with equal scores
    begins[1:] = (night[1:] != night[:-1]) | (scores[1:] != scores[:-1])
    tie = np.cumsum(begins) - 1
    units = np.bincount(tie).astype(float)
    known, defects = (np.bincount(tie, (each * weights)[order]) for each in (~np.isnan(labels), np.nan_to_num(labels)))
    night = night[begins]
    nights_in_all = int(night.max(initial=-1)) + 1
    places = np.broadcast_to(capacity, nights_in_all)
    before = np.cumsum(units) - units
    before -= before[np.searchsorted(night, night)]  # of the same night
    chance = np.clip((places[night] - before) / units, 0.0, 1.0)
    parts = (chance * defects, chance * known, defects)
    return Tally(*(np.bincount(night, part, minlength=nights_in_all) for part in parts))


def precision_at_capacity(
    y_true: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    capacity: int | np.ndarray,
    nights: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Return the share of defects among the listed units, pooled over nights.

        precision = sum over nights of F / sum over nights of K

    with F the defects and K the units with a known label that a night's list is expected to hold when
    ties are broken at random (`tally_nights`). Units without a label count neither in F nor in K, though
    they take places. If all labels are known this is the expected precision; otherwise, where a tie at the
    end of a list mixes known and unknown labels, it is the ratio of two expected values.

    Parameters
    ----------
    y_true, score, capacity, nights, sample_weight
        See `tally_nights`.

    Returns
    -------
    float
        In [0, 1]; NaN if no listed unit has a known label.

    Raises
    ------
    ValueError
        As `tally_nights`.

    Examples
    --------
    >>> # two nights, one place each; on the second night a defect and a good unit tie for it
    >>> precision_at_capacity([1, 0, 1, 0], [0.9, 0.2, 0.5, 0.5], capacity=1, nights=[1, 1, 2, 2])
    0.75
    """
    tally = tally_nights(y_true, score, capacity=capacity, nights=nights, sample_weight=sample_weight)
    return ratio(tally.found.sum(), tally.known.sum())


def recall_at_capacity(
    y_true: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    capacity: int | np.ndarray,
    nights: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Return the share of all known defects that the lists hold, pooled over nights.

        recall = sum over nights of F / sum over nights of D

    with F the defects that a night's list is expected to hold when ties are broken at random
    (`tally_nights`) and D the known defects among the night's candidates.

    Parameters
    ----------
    y_true, score, capacity, nights, sample_weight
        See `tally_nights`.

    Returns
    -------
    float
        In [0, 1]; NaN if there are no known defects.

    Raises
    ------
    ValueError
        As `tally_nights`.

    Examples
    --------
    >>> recall_at_capacity([1, 1, 0, 1], [0.9, 0.8, 0.7, 0.1], capacity=2)
    0.6666666666666666
    >>> recall_at_capacity([0, 0], [0.9, 0.8], capacity=1)
    nan
    """
    tally = tally_nights(y_true, score, capacity=capacity, nights=nights, sample_weight=sample_weight)
    return ratio(tally.found.sum(), tally.defects.sum())


def _night_numbers(nights: npt.ArrayLike | None, n_units: int) -> np.ndarray:
    if nights is None:
        return np.zeros(n_units, dtype=int)
    numbers = pd.factorize(pd.Series(nights), sort=True)[0]
    if len(numbers) != n_units or (numbers < 0).any():
        raise ValueError(
            f"nights: found {len(numbers)} nights of {n_units} units, {(numbers < 0).sum()} of them missing; "
            "expected one business date for each unit"
        )
    return numbers
