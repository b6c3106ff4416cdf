"""How far probabilities kept their word: their logarithmic loss, and the defects that they promised.

Every function takes ``y_true`` (1 defect, 0 good, NaN not known) and ``score`` (P(defect)) of the same length.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from qma_predict.learn.base_rate import weight_of_a_defect
from qma_predict.learn.metrics import known_probabilities, known_weights

_SMALLEST = 1e-9  # a defect where none was thought possible costs 21, not all


class Interval(NamedTuple):
    """Ends of an interval."""

    low: float
    high: float


def log_loss(y_true: npt.ArrayLike, score: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None) -> float:
    """Return the mean logarithmic loss over units with a known label.

        loss = -1 / N * sum_i (y_i log p_i + (1 - y_i) log(1 - p_i))

    with p kept a billionth away from 0 and 1. Lower is better; only true probabilities reach the minimum.

    Parameters
    ----------
    y_true, score
        See the module.
    sample_weight : array-like of shape (n_units,), optional
        How many units each stands for, up to a factor: the mean is then by it.

    Returns
    -------
    float
        0 or more [nat]; NaN if no label is known.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, or a score is not within [0, 1].

    References
    ----------
    Good, I. J. (1952). Rational decisions. JRSS B, 14(1), 107-114.

    Examples
    --------
    >>> round(log_loss([1, 0], [0.5, 0.0]), 4)  # log(2) / 2
    0.3466
    """
    labels, scores = known_probabilities(y_true, score)
    if not len(labels):
        return float("nan")
    return float(np.average(losses(labels, scores), weights=known_weights(sample_weight, y_true)))


def losses(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Logarithmic loss of each unit; NaN where the label is."""
    p = np.clip(scores, _SMALLEST, 1.0 - _SMALLEST)
    return -(labels * np.log(p) + (1.0 - labels) * np.log1p(-p))


def observed_over_expected_interval(
    y_true: npt.ArrayLike, score: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> Interval:
    """Return the 95 % interval of observed over expected defects (`metrics.observed_over_expected`).

        low = chi2(0.025, 2 O) / (2 E),   high = chi2(0.975, 2 O + 2) / (2 E)

    with O defects where E were promised: the exact limits of a Poisson mean, divided by E. The number of defects
    varies less than a Poisson variable where probabilities are high, so that the interval is rather too wide than
    too narrow; but it takes units as independent, and a machine that drifts makes neighbours fail together. With
    weights, O and E are sums of weights, divided for the limits by `base_rate.weight_of_a_defect`: a unit that stands
    for many makes the sum uncertain whether it is found to be defect or only might have been.

    Parameters
    ----------
    y_true, score
        See the module.
    sample_weight : array-like of shape (n_units,), optional
        How many units each stands for, up to a factor.

    Returns
    -------
    Interval
        ``low`` and ``high``; NaN if no label is known or no defect was promised.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, or a score is not within [0, 1].

    References
    ----------
    Garwood, F. (1936). Fiducial limits for the Poisson distribution. Biometrika 28, 437-442.
    Dobson, A. et al. (1991). Confidence intervals for weighted sums of Poisson parameters. Statistics in Medicine 10.

    Examples
    --------
    >>> low, high = observed_over_expected_interval([1] * 10 + [0] * 90, [0.1] * 100)  # 10 of 10 expected
    >>> round(low, 3), round(high, 3)
    (0.48, 1.839)
    """
    labels, scores = known_probabilities(y_true, score)
    weights = known_weights(sample_weight, y_true)
    observed, expected = weights @ labels, weights @ scores
    if expected <= 0:
        return Interval(float("nan"), float("nan"))
    each = weight_of_a_defect(scores, labels, weights)
    low = chi2.ppf(0.025, 2.0 * observed / each) / 2.0 if observed else 0.0
    high = chi2.isf(0.025, 2.0 * observed / each + 2.0) / 2.0
    return Interval(float(low * each / expected), float(high * each / expected))
