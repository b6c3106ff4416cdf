"""How sure a mean or a ratio is, where what happens to a plant lasts for several nights: runs of them left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student


def run_length(nights: int) -> int:
    """Nights that are taken as one, of so many: their square root, rounded.

    A bad lot or a drifting machine lasts for more than a night, and nights taken one by one would make intervals too
    narrow. The cube root would estimate a variance with the least squared error, but what a test promises suffers more
    from a variance that is too small than from one that is unsteady, which an interval of few runs allows for; so runs
    are longer (Sun, Phillips and Jin 2008).

    References
    ----------
    Sun, Y., Phillips, P. C. B. and Jin, S. (2008). Optimal bandwidth selection in heteroskedasticity-autocorrelation
    robust testing. Econometrica 76, 175-194.

    Examples
    --------
    >>> [run_length(n) for n in (1, 14, 30, 56, 90)]
    [1, 4, 5, 7, 9]
    """
    return max(1, round(float(np.sqrt(nights))))


def leaving_out(night: npt.ArrayLike, length: int) -> list[np.ndarray]:
    """Which rows are left: all, and then all but those of each run of successive nights.

    Parameters
    ----------
    night : array-like, shape (n_rows,)
        At least one.
    length : int
        Nights of a run, about: the runs are as equally long as can be.

    Returns
    -------
    list of ndarray of bool, shape (n_rows,)
        One more than there are runs.

    Examples
    --------
    >>> [kept.astype(int).tolist() for kept in leaving_out([5, 5, 6, 8, 9, 11], 2)]
    [[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], [1, 1, 1, 1, 0, 0]]
    """
    run = _runs(night, length)
    return [run >= 0, *(run != one for one in range(run.max() + 1))]


def _runs(night: npt.ArrayLike, length: int) -> np.ndarray:
    """Which run each row is in, counted from 0."""
    place = pd.factorize(np.asarray(night), sort=True)[0]
    nights = int(place.max()) + 1
    return np.asarray(place * max(1, round(nights / length)) // nights)


@dataclass(frozen=True)
class Spread:
    """What a mean varies by, as runs of nights tell it.

    Attributes
    ----------
    value : float
        The mean.
    each : ndarray of float, shape (n_runs,)
        What each run stands for, so that their mean is `value`.
    share : ndarray of float, shape (n_runs,)
        Part of each in the mean; they add up to 1.
    """

    value: float
    each: np.ndarray
    share: np.ndarray

    @property
    def freedom(self) -> float:
        """One less than there are runs; where parts are unequal, than as many equal ones would tell as much."""
        return float(1 / (self.share**2).sum() - 1) if len(self.share) else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean: that of the jackknife over runs. NaN if there is but one."""
        squares = self.share**2
        if len(squares) < 2:
            return np.nan
        return float(np.sqrt((squares * (self.each - self.value) ** 2).sum() / (1 - squares.sum())))

    def low(self, confidence: float) -> float:
        """Lower end of the one-sided interval of the mean.

        It is a quantile of the means of all subsets of the runs (Hartigan 1969), which holds as often as it says
        wherever runs are as often above the true mean as below, also where a few of them count for much: a plant has
        nights in which much can be found, and nights with nothing. Student's t, where runs are too few for that, or
        more certainty is asked for than the subsets that are looked at can tell.
        """
        return self._end(confidence, -1)

    def high(self, confidence: float) -> float:
        """Upper end of the one-sided interval of the mean."""
        return self._end(confidence, 1)

    def _end(self, confidence: float, side: int) -> float:
        if len(self.each) < 2:
            return np.nan
        if (1 - confidence) * 2 ** min(len(self.each), _ALL_SUBSETS) < _ENOUGH:
            return self.value + side * float(student.ppf(confidence, self.freedom)) * self.error
        means = self._subset_means()
        place = int((1 - confidence) * (len(means) + 1))
        return float(means[place - 1] if side < 0 else means[-place])

    def _subset_means(self) -> np.ndarray:
        """In ascending order; of many runs, those of some subsets by chance, always the same."""
        runs = len(self.each)
        if runs <= _ALL_SUBSETS:
            taken = np.array(list(product((0.0, 1.0), repeat=runs)))
        else:
            taken = np.random.default_rng(0).integers(0, 2, (2**_ALL_SUBSETS, runs)).astype(float)
        parts = taken[taken.any(axis=1)] * self.share
        return np.sort(parts @ self.each / parts.sum(axis=1))


_ALL_SUBSETS = 12
_ENOUGH = 4  # subsets beyond the end of an interval: from eight runs on, at 97.5 %


def spread_of(blocks: Sequence[np.ndarray]) -> Spread:
    """What the mean of a value over blocks varies by.

    Each run stands for its block by what is left of the value when the other runs' is taken away, g v - (g - 1) v(-run)
    with g runs in the block (the pseudo-values of the jackknife over runs, Künsch 1989), and the runs of all blocks are
    taken together: so blocks that differ from each other count, too. A block in which the value is not defined without
    some run, as where one holds all its defects, is one run.

    Parameters
    ----------
    blocks : sequence of ndarray of float, shape (1 + n_runs,)
        Of each block: the value of all its nights, and with each run left out.

    References
    ----------
    Hartigan, J. A. (1969). Using subsample values as typical values. Journal of the American Statistical Association
    64, 1303-1317.

    Künsch, H. R. (1989). The jackknife and the bootstrap for general stationary observations. Annals of Statistics 17,
    1217-1241.

    Examples
    --------
    The mean of 1, 2, 3 and 6, each a run:

    >>> spread = spread_of([np.array([3, 11 / 3, 10 / 3, 3, 2])])
    >>> spread.each.round(3).tolist(), round(spread.error, 3), round(spread.freedom, 3)  # 2.16 / sqrt(4)
    ([1.0, 2.0, 3.0, 6.0], 1.08, 3.0)
    """
    stands_for, share = [np.zeros(0)], [np.zeros(0)]
    for values in blocks:
        whole, without = values[0], values[1:]
        runs = len(without)
        one = runs < 2 or bool(np.isnan(without).any())
        each = np.array([whole]) if one else runs * whole - (runs - 1) * without
        stands_for.append(each)
        share.append(np.full(len(each), 1 / (len(blocks) * len(each))))
    each, parts = np.concatenate(stands_for), np.concatenate(share)
    value = float(np.mean([values[0] for values in blocks])) if len(blocks) else np.nan
    return Spread(value, each + (value - each @ parts), parts)


def spread_of_ratio(above: np.ndarray, below: np.ndarray, night: npt.ArrayLike) -> Spread:
    """What the sum of something over nights, divided by that of something else, varies by.

    Each run stands for its own ratio, by its part of what divides.

    Parameters
    ----------
    above, below : ndarray of float, shape (n_rows,)
        What is divided, and by what, which is above 0.
    night : array-like, shape (n_rows,)
        Nights that follow each other, also where they are of several blocks.

    Examples
    --------
    Four nights are two runs, of 2 in 10 and of 6 in 30:

    >>> spread = spread_of_ratio(np.array([2, 0, 3, 3]), np.array([5, 5, 10, 20]), [1, 2, 3, 4])
    >>> spread.value, spread.each.tolist(), spread.share.tolist()
    (0.2, [0.2, 0.2], [0.25, 0.75])
    """
    run = _runs(night, run_length(len(np.unique(night))))
    parts, whole = (np.bincount(run, each) for each in (above, below))
    return Spread(float(parts.sum() / whole.sum()), parts / whole, whole / whole.sum())
