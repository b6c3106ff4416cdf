"""The promise of a list: how many defects its checks should find, with an interval that allows for shared errors.

If the probabilities were right and units failed independently, the number found would be Poisson-binomial. But a
drifting machine, a bad lot or a level that moved make a night's probabilities wrong together. So all log-odds of a
night are taken to be off by one shift, which is drawn anew each night. How it is distributed is learnt from nights that
are over: `qma_predict.learn.night_shifts`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit


class Found(NamedTuple):
    """How many defects a list is expected to find, with the central 90 % interval [defects]."""

    expected: float
    low: int
    high: int


@dataclass(frozen=True)
class PromiseSpread:
    """How far a night's probabilities are off together: the distribution of one shift of all its log-odds.

    Attributes
    ----------
    shift : tuple of float
        Points, rising [log-odds].
    chance : tuple of float
        Probability of each, with the sum 1.
    nights, checked, found : int
        What it was learnt from: nights, their units with a known outcome that were listed, or would have been, and
        the defects among these.
    expected : float
        Defects that were expected among these.
    level, between : tuple of float
        Mean and standard deviation [log-odds] of what is known of the shift that all nights of the model share, and
        of the spread between its nights; all zero if nothing was learnt.
    """

    shift: tuple[float, ...]
    chance: tuple[float, ...]
    nights: int = 0
    checked: int = 0
    found: int = 0
    expected: float = 0.0
    level: tuple[float, float] = (0.0, 0.0)
    between: tuple[float, float] = (0.0, 0.0)

    def interval(self, scores: npt.ArrayLike) -> Found:
        """Return how many defects the checks should find, with the central 90 % interval.

        Expected is the mean of the same distribution: the sum of `risks`, not of the scores. The interval runs from
        the 5 % to the 95 % quantile, so it holds at least 90 %; where these leave out the expected number itself,
        rounded, it is widened to hold it.

        Parameters
        ----------
        scores : array of float, shape (n_checked,)
            P(defect) of the units that are checked.

        Raises
        ------
        ValueError
            A score is missing or outside [0, 1].

        Examples
        --------
        >>> CHANCE_ALONE.interval([0.5, 0.5])
        Found(expected=1.0, low=0, high=2)
        >>> doubtful = PromiseSpread((-1.0, 1.0), (0.5, 0.5)).interval([0.25] * 40)
        >>> CHANCE_ALONE.interval([0.25] * 40), doubtful._replace(expected=round(doubtful.expected, 1))
        (Found(expected=10.0, low=6, high=15), Found(expected=11.7, low=2, high=23))
        """
        score = _probabilities(scores)
        up_to = np.cumsum(self._chances(score))
        rounding = 1e-12  # a quantile that is hit exactly must not be missed by a rounding error of the sum
        low, high = (int(np.argmax(up_to >= level - rounding)) for level in (0.05, 0.95))
        expected = float(self.risks(score).sum())
        return Found(expected, min(low, int(expected)), max(high, int(expected + 0.5)))

    def risks(self, scores: npt.ArrayLike) -> np.ndarray:
        """Return P(defect) of each unit with what is known of the shift, shape (n_units,): its mean over all shifts.

        What is counted over units (expected on the list, among as many at random, by one more hour) is counted with
        these. Lists show and rank by the scores themselves, which the shift moves all alike.

        Parameters
        ----------
        scores : array of float, shape (n_units,)
            P(defect) by the model.

        Raises
        ------
        ValueError
            A score is missing or outside [0, 1].

        Examples
        --------
        >>> PromiseSpread((-1.0, 0.0), (0.5, 0.5)).risks([0.5, 0.1]).round(2)
        array([0.38, 0.07])
        """
        return np.asarray(self.chance) @ shifted(_probabilities(scores), np.asarray(self.shift))

    def without_level(self) -> "PromiseSpread":
        """Return that of scores which were moved to the level that came: what is left of it is 0 on average.

        Examples
        --------
        >>> PromiseSpread((-1.0, 0.0), (0.5, 0.5), level=(-0.5, 0.2)).without_level()
        PromiseSpread(shift=(-0.5, 0.5), chance=(0.5, 0.5), nights=0, checked=0, found=0, expected=0.0, \
level=(0.0, 0.2), between=(0.0, 0.0))
        """
        mean, sd = self.level
        return replace(self, shift=tuple(round(one - mean, 6) for one in self.shift), level=(0.0, sd))

    def pit(self, scores: npt.ArrayLike, found: int, u: float) -> float:
        """Return the randomised probability integral transform of what was found.

        ``P(X < found) + u * P(X = found)``: uniform over nights if the promises are calibrated.

        Parameters
        ----------
        scores : array of float, shape (n_checked,)
            P(defect) of the units that were checked.
        found : int
            Defects among them.
        u : float
            Drawn uniformly in [0, 1].

        Raises
        ------
        ValueError
            A score is missing or outside [0, 1], or more was found than checked.

        References
        ----------
        Czado, C., Gneiting, T. and Held, L. (2009). Predictive model assessment for count data. Biometrics 65.

        Examples
        --------
        >>> CHANCE_ALONE.pit([0.5, 0.5], found=1, u=0.5)
        0.5
        """
        score = _probabilities(scores)
        if not 0 <= found <= len(score):
            raise ValueError(f"pit: {found} defects found in {len(score)} checked units, expected no more than these")
        chances = self._chances(score)
        return float(chances[:found].sum() + u * chances[found])

    def _chances(self, score: np.ndarray) -> np.ndarray:
        """P(k defects), shape (n_checked + 1,)."""
        return np.asarray(self.chance) @ poisson_binomial(shifted(score, np.asarray(self.shift)))


CHANCE_ALONE = PromiseSpread((0.0,), (1.0,))
"""Right probabilities of units that fail independently of each other."""


def poisson_binomial(probabilities: np.ndarray) -> np.ndarray:
    """Return P(k of n happen) for independent events, by multiplying their generating functions in pairs.

    Parameters
    ----------
    probabilities : ndarray of float, shape (..., n)

    Returns
    -------
    ndarray of float, shape (..., n + 1)
        Good to about 1e-15.

    References
    ----------
    Hong, Y. (2013). On computing the distribution function for the Poisson binomial distribution.
    Computational Statistics & Data Analysis 59, 41-51.

    Examples
    --------
    >>> poisson_binomial(np.array([0.5, 0.5, 1.0]))
    array([0.  , 0.25, 0.5 , 0.25])
    """
    p = np.asarray(probabilities, dtype=float)
    n = p.shape[-1]
    if n == 0:
        return np.ones((*p.shape[:-1], 1))
    each = np.stack([1 - p, p], axis=-1)
    while each.shape[-2] > 1:
        if each.shape[-2] % 2:
            nothing = np.zeros((*each.shape[:-2], 1, each.shape[-1]))
            nothing[..., 0] = 1.0
            each = np.concatenate([each, nothing], axis=-2)
        each = _multiplied(each[..., 0::2, :], each[..., 1::2, :])
    return each[..., 0, : n + 1].clip(min=0.0)


def _multiplied(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    length = one.shape[-1]
    if length > 64:  # the transform is faster only for long ones, and loses digits in the tails
        from scipy.signal import fftconvolve  # half a second to import

        return fftconvolve(one, other, axes=-1)
    product = np.zeros((*one.shape[:-1], 2 * length - 1))
    for at in range(length):
        product[..., at : at + length] += one[..., at : at + 1] * other
    return product


def _probabilities(scores: npt.ArrayLike) -> np.ndarray:
    score = np.asarray(scores, dtype=float)
    if not np.all((score >= 0) & (score <= 1)):
        raise ValueError("promise: every score must lie in [0, 1]; leave units without a score out")
    return score


def shifted(score: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return scores at each shift of their log-odds.

    Parameters
    ----------
    score : ndarray of float, shape (n_units,)
        Probabilities.
    shift : ndarray of float, shape (n_shifts,)
        Of the log-odds.

    Returns
    -------
    ndarray of float, shape (n_shifts, n_units)
    """
    at_each = expit(logit(score) + shift[:, None])  # 0 and 1 are sure, and stay so
    at_each[shift == 0.0] = score  # to the bit
    return at_each
