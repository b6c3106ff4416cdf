"""How well one feature alone tells two kinds of units apart, with bounds that many features and few units need."""

import numpy as np
from scipy.special import betaincinv
from scipy.stats import chi2, norm

FOLDS = 4
"""Parts, of every fourth week, from the others of which the share of defects of a name is taken."""

_PRIOR = 2.0
_ADDED = 2


def area(x: np.ndarray, positive: np.ndarray, stratum: np.ndarray, alpha: float) -> tuple[float, float]:
    """Area under the ROC curve within strata, and its lower bound.

    Parameters
    ----------
    x : ndarray of float, shape (n,)
        Without missing values.
    positive : ndarray of bool, shape (n,)
    stratum : ndarray of int, shape (n,)
        Only units of the same stratum are compared.
    alpha : float
        Chance that the bound is above the true area.

    Returns
    -------
    measured, lower : float
        Missing where no stratum has both kinds.

    Notes
    -----
    Each positive is one observation, however many negatives it is compared with: the share of them below it, in its
    stratum. Two more of one half are added for the bound, so that a few that all fit do not look certain.

    Examples
    --------
    >>> x, stratum = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0]), np.array([0, 0, 0, 1, 1, 1])
    >>> measured, lower = area(x, np.array([0, 0, 1, 0, 0, 1], dtype=bool), stratum, 0.01)
    >>> measured, round(lower, 2)
    (1.0, 0.41)
    """
    among_all = _ranks(x, stratum)[positive]
    among_own = _ranks(x[positive], stratum[positive])
    negatives = np.bincount(stratum[~positive], minlength=stratum.max(initial=0) + 1)[stratum[positive]]
    compared = negatives > 0
    if not compared.any():
        return np.nan, np.nan
    below = (among_all - among_own)[compared] / negatives[compared]
    measured = float(below.mean())
    if measured < 0.5:
        below, measured = 1 - below, 1 - measured
    added = np.concatenate([below, np.full(_ADDED, 0.5)])
    size = min(len(below), int((~positive).sum())) + _ADDED
    return measured, float(added.mean() - norm.isf(alpha) * added.std(ddof=1) / np.sqrt(size))


def _ranks(x: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Ranks of the values within strata, the mean where several are equal."""
    order = np.argsort(x)  # which of equal ones comes first does not matter
    order = order[np.argsort(stratum[order].astype(np.min_scalar_type(stratum.max(initial=0))), kind="stable")]
    ordered, of = x[order], stratum[order]
    new = np.ones(len(x), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (of[1:] != of[:-1])
    first = np.flatnonzero(new)
    size = np.diff(np.append(first, len(x)))
    start = np.searchsorted(of, of[first])
    ranks = np.empty(len(x))
    ranks[order] = np.repeat(first - start + (size + 1) / 2, size)
    return ranks


def share(positive: np.ndarray, alpha: float) -> tuple[float, float]:
    """Share of positives, and its lower bound (Clopper and Pearson).

    Examples
    --------
    >>> measured, lower = share(np.ones(20, dtype=bool), 0.001)
    >>> measured, round(lower, 3)  # 0.001 ** (1 / 20)
    (1.0, 0.708)
    """
    found, size = int(positive.sum()), len(positive)
    return found / size, float(betaincinv(found, size - found + 1, alpha)) if found else 0.0


def seldom(there: np.ndarray, positive: np.ndarray, stratum: np.ndarray, alpha: float) -> tuple[int, float, float]:
    """How many negatives are `there`, how many would be if that did not depend on the kind, and a bound of the ratio.

    Returns
    -------
    found : int
        Negatives that are `there`, in strata with both kinds.
    expected : float
        As many as the stratum's share of negatives gives.
    upper : float
        Upper bound of found / expected, for a count by Poisson; infinite where nothing is expected.

    Examples
    --------
    >>> there, positive = np.repeat([True, False], 100), np.repeat([True, False], 100)
    >>> found, expected, upper = seldom(there, positive, np.zeros(200, dtype=int), 0.01)
    >>> found, expected, round(upper, 3)  # -ln(0.01) / 50
    (0, 50.0, 0.092)
    """
    size = stratum.max(initial=0) + 1
    of = [np.bincount(stratum[rows], minlength=size) for rows in (positive, ~positive, there, there & ~positive)]
    both = (of[0] > 0) & (of[1] > 0)
    expected = float((of[2] * of[1] / np.maximum(of[0] + of[1], 1))[both].sum())
    found = int(of[3][both].sum())
    upper = chi2.isf(alpha, 2 * (found + 1)) / 2 / expected if expected else np.inf
    return found, expected, float(upper)


def shares_elsewhere(level: np.ndarray, positive: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Share of positives among units of the same level in other weeks, drawn a little towards that of all.

    Parameters
    ----------
    level : ndarray of int, shape (n,)
    positive : ndarray of bool, shape (n,)
    week : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of float, shape (n,)
    """
    fold, of_all = week % FOLDS, positive.mean()
    shape = (FOLDS, level.max(initial=0) + 1)
    units, found = np.zeros(shape), np.zeros(shape)
    np.add.at(units, (fold, level), 1)
    np.add.at(found, (fold, level), positive)
    elsewhere = units.sum(axis=0) - units, found.sum(axis=0) - found
    return ((elsewhere[1] + _PRIOR * of_all) / (elsewhere[0] + _PRIOR))[fold, level]
