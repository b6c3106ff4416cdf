"""Rates with their intervals: of samples, of weighted samples, and of what imperfect inspectors said."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

LEVEL = 0.95
"""Nominal level of every interval here."""

_Z = float(norm.isf((1 - LEVEL) / 2))
_ROUNDING = 1e-9


class Rate(NamedTuple):
    """A rate, and the limits of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Percent with the interval."""
        if np.isnan(self.value):
            return "an unknown share"
        return f"{percent(self.value)} ({100 * self.low:.1f} to {percent(self.high)})"


def percent(share: float) -> str:
    """Share as people read it.

    Examples
    --------
    >>> percent(0.0561)
    '5.6 %'
    """
    return f"{100 * share:.1f} %"


def wilson(value: float, size: float) -> Rate:
    """Rate of a sample with Wilson's interval.

        (p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Parameters
    ----------
    value : float
        Share that was observed, p.
    size : float
        Units that it was observed on, n; an effective number need not be whole.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22, 209-212.

    Examples
    --------
    >>> print(wilson(0.9, 50))
    90.0 % (78.6 to 95.7 %)
    """
    if not size > 0:
        return Rate(np.nan, np.nan, np.nan)
    shrunk = _Z**2 / size
    centre = (value + shrunk / 2) / (1 + shrunk)
    half = _Z * np.sqrt(value * (1 - value) / size + shrunk / (4 * size)) / (1 + shrunk)
    return Rate(float(value), max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def effective_size(weights: np.ndarray) -> float:
    """How many units of equal weight tell as much: (sum of w)^2 / (sum of w^2).

    References
    ----------
    Kish, L. (1965). Survey Sampling. Wiley.

    Examples
    --------
    >>> effective_size(np.array([1.0, 1.0, 2.0]))  # 16 / 6
    2.6666666666666665
    """
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def rate_size(y: np.ndarray, weights: np.ndarray) -> float:
    """As how many units of equal weight a weighted rate is known: the smaller of two effective sizes.

    One is Kish's, ``(sum of w)^2 / sum of w^2``, which takes weights as independent of what the units are. The other
    is by the rate's linearised variance: with p the rate,

        p (1 - p) (sum of w)^2 / sum of w^2 (y - p)^2

    which is smaller where defects are among the seldom inspected. It is not defined without defects or good units, and
    too large where those that are seldom inspected were all found to be good: Kish's stands then.

    Parameters
    ----------
    y, weights
        See `weighted_rate`.

    References
    ----------
    Särndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted Survey Sampling. Springer, section 5.7.

    Examples
    --------
    >>> rate_size(np.array([1, 0, 0, 0]), np.array([1.0, 1.0, 1.0, 1.0]))
    4.0
    >>> round(rate_size(np.array([1, 1] + [0] * 98), np.array([9.0, 9.0] + [1.0] * 98)), 1)  # Kish's: 51.8
    15.0
    """
    kish, parts = effective_size(weights), [weights[y == 1], weights[y == 0]]
    if not all(map(len, parts)):
        return kish
    (of_defects, of_goods), (defects, goods) = map(effective_size, parts), map(np.sum, parts)
    linearised = of_defects * of_goods / (defects * goods) * (weights.sum() ** 2 / (of_defects + of_goods))
    return min(kish, float(linearised))


def weighted_rate(y: np.ndarray, weights: np.ndarray) -> Rate:
    """Share of defects among all units, from those that were inspected.

    Horvitz and Thompson's estimator, divided by the same of the number of units (Hájek):

        sum of w y / sum of w

    with Wilson's interval at its `rate_size`. Where defects were sought out, this is wider than it had to be.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n_units,)
    weights : ndarray of float, shape (n_units,)
        Inverse probabilities of having been inspected, up to a factor.

    References
    ----------
    Horvitz, D. G. and Thompson, D. J. (1952). A generalization of sampling without replacement from a finite
    universe. JASA 47, 663-685.

    Examples
    --------
    Every tenth of the ordinary units was inspected and every suspicious one, of which two are defect:

    >>> weighted_rate(np.array([0, 0, 0, 1, 1]), np.array([10.0, 10.0, 8.0, 1.0, 1.0])).value
    0.06666666666666667
    """
    if not len(y):
        return Rate(np.nan, np.nan, np.nan)
    return wilson(float(np.average(y, weights=weights)), rate_size(y, weights))


def corrected_rate(
    recorded: float, size: float, sensitivity: float, defects: float, specificity: float, goods: float
) -> Rate:
    """Rate of true defects behind a rate of recorded ones.

        (recorded + Sp - 1) / (Se + Sp - 1)

    (Rogan and Gladen), and Lang and Reiczigel's interval, in which the errors of the study count too: with z^2 / 2
    failures and as many passes added to the recorded units, and one of each to both samples of the study, it is the
    corrected rate p' + dp ± z * s with

        dp = 2 z^2 (p' Se' (1 - Se') / n_Se' - (1 - p') Sp' (1 - Sp') / n_Sp')
        s  = sqrt(r' (1 - r') / n' + p'^2 Se' (1 - Se') / n_Se' + (1 - p')^2 Sp' (1 - Sp') / n_Sp') / (Se' + Sp' - 1)

    Parameters
    ----------
    recorded, size : float
        Share of units recorded as defect, and of how many (effective) units.
    sensitivity, defects : float
        Share of true defects that inspectors fail, Se, and on how many units of the study it was seen.
    specificity, goods : float
        Share of good units that they pass, Sp, and on how many.

    Returns
    -------
    Rate
        NaN where inspectors tell nothing (Se + Sp is not above 1), and where the corrected rate would be below 0 or
        above 1: the recorded units then were not judged as those of the study were. Limits of the interval alone are
        cut at 0 and 1, and hold the rate itself, which they might not at two or three units of a state.

    References
    ----------
    Rogan, W. J. and Gladen, B. (1978). Estimating prevalence from the results of a screening test. American Journal
    of Epidemiology 107, 71-76.
    Lang, Z. and Reiczigel, J. (2014). Confidence limits for prevalence of disease adjusted for estimated sensitivity
    and specificity. Preventive Veterinary Medicine 113, 13-22.

    Examples
    --------
    Of 5 % that were recorded, 2 % would have been without any defect, at 98 % specificity:

    >>> print(corrected_rate(0.05, 10000, 0.9, 200, 0.98, 400))
    3.4 % (1.5 to 4.8 %)
    """
    if not sensitivity + specificity > 1:
        return Rate(np.nan, np.nan, np.nan)
    value = (recorded + specificity - 1) / (sensitivity + specificity - 1)
    if not -_ROUNDING <= value <= 1 + _ROUNDING:
        return Rate(np.nan, np.nan, np.nan)
    n, n_se, n_sp = size + _Z**2, defects + 2, goods + 2
    rate = (size * recorded + _Z**2 / 2) / n
    se, sp = (defects * sensitivity + 1) / n_se, (goods * specificity + 1) / n_sp
    tells = se + sp - 1
    if not tells > 0:
        return Rate(np.nan, np.nan, np.nan)
    p = (rate + sp - 1) / tells
    of_se, of_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    centre = p + 2 * _Z**2 * (p * of_se - (1 - p) * of_sp)
    half = _Z * np.sqrt(rate * (1 - rate) / n + p**2 * of_se + (1 - p) ** 2 * of_sp) / tells
    limits = (value, min(value, centre - half), max(value, centre + half))
    return Rate(*(float(np.clip(one, 0.0, 1.0)) for one in limits))
