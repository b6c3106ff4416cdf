"""Whether the best of many candidates is better than what it should replace, or was merely the luckiest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.learn.verdict import MIN_DEFECTS, MIN_NIGHTS

_REPLICATES = 2000


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
        95 % interval of it, `low` with regard to the choice among all; NaN if there is not enough data.
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
    in_use: np.ndarray,
    candidates: Sequence[np.ndarray],
    night: np.ndarray,
    fold: np.ndarray,
    *,
    defects: int,
    random_state: int = 0,
) -> BestOf:
    """Compare the candidate of the lowest mean loss with the one in use, on the same units.

    Within each fold whole nights are drawn again, with replacement, the same for all. Of many candidates that are
    no better one looks better, the more so the more there are: `low` is the difference minus the 97.5 percentile of
    the *largest* deviation, over all candidates, of a redrawn difference from the measured one (White's reality
    check). `high` is that of the best alone. Fewer than `MIN_NIGHTS` nights or `MIN_DEFECTS` defects give no
    interval.

    Parameters
    ----------
    in_use : ndarray of float, shape (n_units,)
        Loss of each unit.
    candidates : sequence of ndarray of float, shape (n_units,)
        At least one.
    night : ndarray, shape (n_units,)
    fold : ndarray of int, shape (n_units,)
    defects : int
        Among the units.
    random_state : int, default 0
        Seed of the draws.

    References
    ----------
    White, H. (2000). A reality check for data snooping. Econometrica 68(5), 1097-1126.

    Examples
    --------
    >>> night, fold = np.repeat(np.arange(20), 5), np.repeat([0, 1], 50)
    >>> found = best_of(np.full(100, 0.3), [np.full(100, 0.4), np.full(100, 0.2)], night, fold, defects=20)
    >>> found.best, round(found.difference, 3), found.better  # lower by as much in every night
    (1, 0.1, True)
    """
    gains = pd.DataFrame({place: in_use - losses for place, losses in enumerate(candidates)})
    measured = gains.mean().to_numpy()
    best = int(measured.argmax())
    gains["units"] = 1.0
    nights = gains.groupby([fold, night]).sum()
    difference = float(measured[best])
    if len(nights) < MIN_NIGHTS or defects < MIN_DEFECTS:
        return BestOf(best, difference, np.nan, np.nan)
    rng = np.random.default_rng(random_state)
    sums = np.zeros((_REPLICATES, nights.shape[1]))
    for _, of_fold in nights.groupby(level=0):
        draws = rng.multinomial(len(of_fold), np.full(len(of_fold), 1 / len(of_fold)), size=_REPLICATES)
        sums += draws @ of_fold.to_numpy()
    off = sums[:, :-1] / sums[:, -1:] - measured
    low = difference - float(np.quantile(off.max(axis=1), 0.975))
    high = difference - float(np.quantile(off[:, best], 0.025))
    return BestOf(best, difference, low, high)
