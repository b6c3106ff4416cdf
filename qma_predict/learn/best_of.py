"""Whether the best of many candidates is better than what it should replace, or was merely the luckiest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qma_predict.learn.runs import spread_of_ratio
from qma_predict.learn.verdict import MIN_DEFECTS, MIN_NIGHTS


@dataclass(frozen=True)
class BestOf:
    """How much lower the loss of the best candidate is than that of the one in use.

    Attributes
    ----------
    best : int
        Place of the candidate with the lowest loss.
    difference : float
        Mean loss in use minus that of the best; higher is better.
    low, high : float
        95 % interval of it, `low` with regard to the choice among all that were tried; NaN if there is not enough
        data.
    """

    best: int
    difference: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether the best one is better than chance among as many explains."""
        return self.low > 0

    def in_words(self) -> str:
        """How they compare, and which to take."""
        if np.isnan(self.low):
            few = f"(fewer than {MIN_NIGHTS} nights or {MIN_DEFECTS} known defects)"
            return f"not enough yet to tell {few}: keep what the line has"
        interval = f"(lower by {self.difference:.4f}, 95 % interval {self.low:.4f} to {self.high:.4f})"
        if self.better:
            return f"better {interval}: take the best"
        return f"not distinguishable {interval}: keep what the line has"


def best_of(
    in_use: np.ndarray, candidates: Sequence[np.ndarray], night: np.ndarray, *, defects: int, tried: int = 0
) -> BestOf:
    """Compare the candidate of the lowest mean loss with the one in use, on the same units.

    Of many candidates that are no better one looks better, the more so the more there are. So 2.5 % of chance are
    shared out among all that were tried: `low` is that of the best with a part of it, which holds however alike they
    are, and asks for too much where they are. `high` is that of the best alone. Both are told by runs of successive
    nights (`qma_predict.learn.runs`). Fewer than `MIN_NIGHTS` nights or `MIN_DEFECTS` defects give no interval.

    Parameters
    ----------
    in_use : ndarray of float, shape (n_units,)
        Loss of each unit.
    candidates : sequence of ndarray of float, shape (n_units,)
        At least one.
    night : ndarray, shape (n_units,)
    defects : int
        Among the units.
    tried : int, default 0
        How many there were to choose from, if more than `candidates`: those that were given up count, too.

    Examples
    --------
    >>> night = np.repeat(np.arange(20), 5)
    >>> found = best_of(np.full(100, 0.3), [np.full(100, 0.4), np.full(100, 0.2)], night, defects=20)
    >>> found.best, round(found.difference, 3), found.better  # lower by as much in every night
    (1, 0.1, True)
    """
    gains = [in_use - losses for losses in candidates]
    best = int(np.argmax([gain.mean() for gain in gains]))
    spread = spread_of_ratio(gains[best], np.ones(len(night)), night)
    if len(np.unique(night)) < MIN_NIGHTS or defects < MIN_DEFECTS:
        return BestOf(best, spread.value, np.nan, np.nan)
    chance = 0.025 / max(tried, len(candidates))
    return BestOf(best, spread.value, spread.low(1 - chance), spread.high(0.975))
