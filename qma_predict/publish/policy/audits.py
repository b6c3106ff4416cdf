"""Audits: units drawn at random with known probabilities, so that what escapes the ranking can be estimated."""

import hashlib

import numpy as np
import pandas as pd

FLOOR = 0.5
"""Share of the places that every unit has the same part in; the others go by score."""


def inclusion_probabilities(scores: np.ndarray | pd.Series, places: int) -> np.ndarray:
    """Return each unit's probability of being drawn: half of the places evenly, half of them by score.

        pi = places * (FLOOR / n + (1 - FLOOR) * score / sum of scores)

    A unit for which that is more than 1 is drawn for certain, and the other places go to the rest by the same rule.
    So no unit has less than `FLOOR` times an even draw's probability, and no drawn unit stands for more than twice
    as many as it would there.

    Parameters
    ----------
    scores : array of float, shape (n_units,)
        P(defect) of the units that are drawn from.
    places : int
        Units to draw [units].

    Returns
    -------
    ndarray of float, shape (n_units,)
        In (0, 1] if there is a place, with the sum ``min(places, n_units)``.

    Examples
    --------
    >>> inclusion_probabilities([0.3, 0.1, 0.0, 0.0], places=1)
    array([0.5  , 0.25 , 0.125, 0.125])
    >>> inclusion_probabilities([0.9, 0.0, 0.0], places=2)
    array([1. , 0.5, 0.5])
    """
    score = np.asarray(scores, dtype=float)
    if places >= len(score):
        return np.ones(len(score))
    certain = np.zeros(len(score), dtype=bool)
    while True:
        rest = score[~certain]
        even = np.full(len(rest), 1 / len(rest))
        by_score = rest / rest.sum() if rest.sum() > 0 else even
        probability = (places - certain.sum()) * (FLOOR * even + (1 - FLOOR) * by_score)
        if not (probability > 1).any():
            found = np.ones(len(score))
            found[~certain] = probability
            return found
        certain[np.flatnonzero(~certain)[probability > 1]] = True


def draw(unit_ids: np.ndarray | pd.Series, probabilities: np.ndarray, seed: str) -> np.ndarray:
    """Draw a fixed number of units with exactly the given probabilities (systematic sampling of a shuffled frame).

    The units are put in the order of their hashes with the seed. On a ruler on which each is as long as its
    probability, those are drawn that lie under the points ``u, u + 1, u + 2, ...`` with one uniform ``u`` in [0, 1)
    of the seed. As no unit is longer than 1, a unit is under a point with the probability of its length.

    Parameters
    ----------
    unit_ids : array of str, shape (n_units,)
        In any order; the units drawn do not depend on it.
    probabilities : ndarray of float, shape (n_units,)
        In [0, 1], with a whole number as their sum.
    seed : str
        The list's id: the same draws the same units again.

    Returns
    -------
    ndarray of bool, shape (n_units,)
        As many true as the probabilities sum up to.

    References
    ----------
    Hartley, H. O. and Rao, J. N. K. (1962). Sampling with unequal probabilities and without replacement.
    Annals of Mathematical Statistics 33, 350-374.

    Examples
    --------
    >>> draw(["a", "b", "c"], np.array([1.0, 0.5, 0.5]), seed="2026-11-24")
    array([ True, False,  True])
    """
    ids = np.asarray(unit_ids, dtype=object)
    order = np.array(sorted(range(len(ids)), key=lambda at: _hash(f"{seed}\n{ids[at]}")), dtype=int)
    ends = np.cumsum(np.asarray(probabilities, dtype=float)[order])
    total = round(float(ends[-1])) if len(ends) else 0
    points = int.from_bytes(_hash(seed)[:6], "big") / 2**48 + np.arange(total)
    drawn = np.zeros(len(ids), dtype=bool)
    drawn[order[np.searchsorted(ends, points, side="right").clip(max=len(ids) - 1)]] = True
    return drawn


def _hash(text: str) -> bytes:
    # a hash and no generator of random numbers: anybody can draw again, with whatever version of whatever language
    return hashlib.sha256(text.encode()).digest()
