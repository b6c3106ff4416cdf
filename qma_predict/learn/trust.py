"""How far scores may be read as risks: whether they are probabilities at all, and the range around each.

Both come from a backtest: from scores of units that were unknown when the model was fitted, and what became of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from qma_predict.learn.base_rate import defects_worth, log_odds, moved_by

if TYPE_CHECKING:
    from qma_predict.learn.backtest import Backtest

MIN_DEFECTS = 20
"""With fewer known defects in all blocks, observed over expected is known to a factor of 2.5 at best."""

FACTOR = 2.0
"""Promises that are off by more than this factor, beyond chance, are no probabilities."""

_EACH = 10
_MOST_BINS = 20


def ranking_because(result: "Backtest", contestant: str, weight: pd.Series | None = None) -> str:
    """Say why a contestant's scores are a ranking and not probabilities; empty if they may be read as such.

    They are a ranking if its blocks together hold fewer than `MIN_DEFECTS` known defects, or if the 95 % interval
    of observed over expected (`observed_over_expected_interval`) lies wholly beyond a factor of `FACTOR`. With weights
    it is told over all units. Where the defects are then worth fewer than `MIN_DEFECTS` (`base_rate.defects_worth`), as
    those of lists with a few audits are, that interval is too wide to find much, and the inspected units as they are
    must pass, too: the lists' own promises are of units like them.

    Parameters
    ----------
    result : Backtest
    contestant : str
    weight : Series of float, indexed by unit_id, optional
        How many units each inspected unit stands for, where the contestant was fitted with it.

    Returns
    -------
    str
    """
    from qma_predict.learn.metrics import observed_over_expected
    from qma_predict.learn.reliability import observed_over_expected_interval

    rows = with_outcome(result, contestant, weight)
    defects = int(rows["outcome"].sum())
    if defects < MIN_DEFECTS:
        return f"its backtest holds {defects} known defects, too few to check probabilities (fewer than {MIN_DEFECTS})"
    outcome, score, w = (rows[name].to_numpy(dtype=float) for name in ("outcome", "score", "weight"))
    counted = f"in its backtest {score.sum():.0f} defects were expected and {defects} found"
    low, high = observed_over_expected_interval(outcome, score, sample_weight=w)
    if _is_off(low, high):
        ratio = observed_over_expected(outcome, score, sample_weight=w)
        over_all = (
            f" among inspected units, over all units {ratio:.2g} times as many as expected (95 % interval {low:.2g} to "
            f"{high:.2g})"
        )
        return f"{counted}{over_all if np.ptp(w) else ''}, off by more than chance"
    if defects_worth(score, outcome, w) < MIN_DEFECTS and _is_off(*observed_over_expected_interval(outcome, score)):
        return f"{counted} among inspected units, off by more than chance"
    return ""


def _is_off(low: float, high: float) -> bool:
    return low > FACTOR or high < 1.0 / FACTOR


@dataclass(frozen=True)
class RiskRanges:
    """Range of the risk by score, read off between the points; without points there is none.

    Attributes
    ----------
    score : tuple of float
        Points, rising.
    low, high : tuple of float
        Ends of the 95 % interval of the share of defects among past units with about that score; never falling.
    """

    score: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def at(self, score: np.ndarray | pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the range at each score, which holds the score itself.

        Beyond the highest point nothing is known of the past: the log odds of its ends are moved by as much as those
        of the score are above it.

        Parameters
        ----------
        score : array of float, shape (n_units,)
            P(defect); NaN gives NaN.

        Returns
        -------
        low, high : ndarray of float, shape (n_units,)
            NaN where there is no range.

        Examples
        --------
        >>> low, high = RiskRanges((0.1, 0.3), (0.05, 0.2), (0.2, 0.4)).at(np.array([0.2, 0.9]))
        >>> low.round(3), high.round(3)
        (array([0.125, 0.84 ]), array([0.3  , 0.933]))
        """
        scores = np.asarray(score, dtype=float)
        if not self.score:
            return np.full(len(scores), np.nan), np.full(len(scores), np.nan)
        above = np.maximum(log_odds(np.nan_to_num(scores)) - log_odds([self.score[-1]]), 0.0)
        low, high = (
            expit(log_odds(np.interp(np.nan_to_num(scores), self.score, ends)) + above) + 0.0 * scores
            for ends in (self.low, self.high)
        )
        return np.minimum(low, scores), np.maximum(high, scores)

    def moved(self, by: float) -> "RiskRanges":
        """Return the ranges of scores whose log odds were all moved.

        Parameters
        ----------
        by : float
            What was added to the log odds of each score.

        Examples
        --------
        >>> low, high = RiskRanges((0.2,), (0.1,), (0.5,)).moved(float(np.log(4))).at(np.array([0.5]))
        >>> low.round(3), high.round(3)
        (array([0.308]), array([0.8]))
        """
        return RiskRanges(*(tuple(moved_by(ends, by).tolist()) for ends in (self.score, self.low, self.high)))


NO_RANGES = RiskRanges()


def risk_ranges(result: "Backtest", contestant: str, weight: pd.Series | None = None) -> RiskRanges:
    """Return what became of past units with about the same score, by score.

    The units of all blocks with a known outcome are put into bins by score that hold about equally many expected
    defects, ten at least and twenty bins at most. Each gives Jeffreys' interval of its share of defects, at the mean
    of its scores. Higher scores cannot mean lower risks, so the lower ends are put in rising order, and the upper
    ends too: that never lowers the chance that the intervals hold a risk that rises. Units of a night share machines
    and material, which the intervals do not know: they are rather too narrow where those drift. With weights, shares
    are of weights, and a bin holds as many units as they are worth, ``(sum of w)^2 / sum of w^2`` (Kish 1965).

    Parameters
    ----------
    result : Backtest
    contestant : str
    weight : Series of float, indexed by unit_id, optional
        As for `ranking_because`.

    Returns
    -------
    RiskRanges
        Without points if no outcome is known or no defect was expected.

    References
    ----------
    Brown, L., Cai, T. and DasGupta, A. (2001). Interval estimation for a binomial proportion. Statistical Science 16.
    Chernozhukov, V., Fernández-Val, I. and Galichon, A. (2009). Improving point and interval estimators of monotone
    functions by rearrangement. Biometrika 96, 559-575.
    """
    rows = with_outcome(result, contestant, weight)
    score, w = rows["score"].to_numpy(), rows["weight"].to_numpy()
    if not score.sum() > 0:
        return NO_RANGES
    bins = equal_promises(score, each=_EACH, most=_MOST_BINS)
    whole, promised, found, squares = (np.bincount(bins, of) for of in (w, w * score, w * rows["outcome"], w**2))
    units = whole**2 / squares
    low, high = jeffreys_interval(found / whole * units, units)
    points = (promised / whole, np.sort(low), np.sort(high))
    return RiskRanges(*(tuple(each.tolist()) for each in points))


def jeffreys_interval(hits: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a share, with Jeffreys' prior.

    Parameters
    ----------
    hits, trials : numpy.ndarray, shape (n,)
        ``0 <= hits <= trials``, and `trials` at least 1.

    Returns
    -------
    low, high : numpy.ndarray, shape (n,)
        0 where there are no hits, 1 where there are only hits, as Brown, Cai and DasGupta (2001) have it.

    Examples
    --------
    >>> low, high = jeffreys_interval(np.array([0, 5]), np.array([10, 10]))
    >>> low.round(3), high.round(3)
    (array([0.   , 0.224]), array([0.217, 0.776]))
    """
    from scipy.stats import beta  # half a second to import

    low = np.where(hits > 0, beta.ppf(0.025, hits + 0.5, trials - hits + 0.5), 0.0)
    high = np.where(hits < trials, beta.ppf(0.975, hits + 0.5, trials - hits + 0.5), 1.0)
    return low, high


def equal_promises(score: np.ndarray, *, each: float, most: int) -> np.ndarray:
    """Return the number of each score's bin: bins promise about equally many defects, and equal scores share one.

    Parameters
    ----------
    score : ndarray of float, shape (n_units,)
        P(defect), in any order.
    each : float
        Defects that a bin promises at least, as far as there are so many.
    most : int
        Bins at most.

    Examples
    --------
    >>> equal_promises(np.array([0.1, 0.4, 0.2, 0.3]), each=0.5, most=9)
    array([0, 1, 0, 0])
    """
    ordered = np.sort(score)
    promised = ordered.cumsum()
    bins = int(np.clip(promised[-1] // each, 1, most))
    ends = np.searchsorted(promised, promised[-1] * np.arange(1, bins) / bins)
    return np.searchsorted(np.unique(ordered[ends]), score)


def with_outcome(result: "Backtest", contestant: str, weight: pd.Series | None) -> pd.DataFrame:
    """Rows of a contestant's predictions whose outcome is known, with their ``weight``, 1 each by default."""
    rows = result.predictions
    rows = rows[(rows["contestant"] == contestant) & rows["outcome"].notna()]
    return rows.assign(weight=1.0 if weight is None else weight.reindex(rows["unit_id"]).fillna(1.0).to_numpy())
