"""How good a ranking and its probabilities were, as far as that can be known.

Every function takes ``y_true`` (1 defect, 0 good, NaN not known) and ``score`` (higher is likelier to be a
defect) of the same length, row by row, in any row order. A measure that is not defined is NaN, never 0.

Every function also takes ``sample_weight``, of the same length and above 0: how many units each stands for, up to a
factor (`qma_predict.learn.weights`). Rates are then over all units instead of the inspected ones.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import digamma
from sklearn.metrics import roc_auc_score


def average_precision(
    y_true: npt.ArrayLike, score: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Return the expected average precision of the ranking, over units with a known label.

        AP = 1 / D * sum over defects of (defects at or above it) / (units at or above it)

    with D the number of defects, expected when ties are broken at random. Without ties it is
    `sklearn.metrics.average_precision_score`. That function takes each group of ties whole, which puts
    a ranking by chance above one that does not rank at all: 14 defects among 1400 units come to 0.015
    on average when shuffled, and to 0.010 there when they all tie. Here both are 0.015.

    Parameters
    ----------
    y_true, score, sample_weight
        See the module. Where units that tie differ in weight, each is taken to weigh as their mean.

    Returns
    -------
    float
        In (0, 1]; NaN if there are no known defects.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, or a score is missing.

    References
    ----------
    McSherry, F. and Najork, M. (2008). Computing information retrieval performance measures efficiently
    in the presence of tied scores. ECIR 2008.

    Examples
    --------
    >>> round(average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6]), 3)
    0.833
    >>> # one defect and one good unit that tie: it comes first or second, (1 + 1/2) / 2
    >>> round(average_precision([1, 0], [0.5, 0.5]), 3)
    0.75
    """
    labels, scores = _known(y_true, score)
    weights = known_weights(sample_weight, y_true)
    _, group = np.unique(-scores, return_inverse=True)
    defects, units = np.bincount(group, weights=labels), np.bincount(group)
    weight = np.bincount(group, weights=weights * labels), np.bincount(group, weights=weights)
    return expected_average_precision(defects, units, weight=weight)


def expected_average_precision(
    defects: np.ndarray, units: np.ndarray, *, weight: tuple[np.ndarray, np.ndarray] | None = None
) -> float:
    """Return the expected average precision from the groups of equal scores; NaN without defects.

    In a group of m units, r of them defects, that follows t units with R defects, place i holds a defect
    with chance r / m, and R + 1 + (i - 1) (r - 1) / (m - 1) defects are then expected down to it. The sum
    over the places of a group is a difference of harmonic numbers.

    Parameters
    ----------
    defects, units : numpy.ndarray, shape (n_groups,)
        Number in each group, from the highest score down; a group may be empty.
    weight : tuple of two numpy.ndarray, shape (n_groups,), optional
        What these defects and these units weigh together; by default 1 each.

    Examples
    --------
    >>> round(expected_average_precision(np.array([1, 0, 1]), np.array([1, 1, 1])), 3)
    0.833
    """
    of_defects, of_units = (defects, units) if weight is None else weight
    holds = np.flatnonzero(defects)  # the other groups only push it down
    r, m = defects[holds].astype(float), units[holds].astype(float)
    defect, unit = of_defects[holds] / r, of_units[holds] / m  # what one weighs
    above = (np.cumsum(of_units)[holds] - of_units[holds]) / unit
    defects_above = np.cumsum(of_defects[holds]) - of_defects[holds]
    step = defect * (r - 1.0) / np.maximum(m - 1.0, 1.0)
    harmonic = digamma(above + m + 1.0) - digamma(above + 1.0)
    gain = step * m + (defects_above + defect - step * (above + 1.0)) * harmonic
    return ratio(np.sum(defect * r / (unit * m) * gain), of_defects[holds].sum())


def roc_auc(y_true: npt.ArrayLike, score: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None) -> float:
    """Return the probability that a defect scores higher than a good unit, ties counting half.

    Over units with a known label (`sklearn.metrics.roc_auc_score`).

    Parameters
    ----------
    y_true, score, sample_weight
        See the module.

    Returns
    -------
    float
        In [0, 1]; NaN if there are no known defects or no known goods.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, or a score is missing.

    Examples
    --------
    >>> roc_auc([1, 0, 0], [0.5, 0.5, 0.1])
    0.75
    """
    labels, scores = _known(y_true, score)
    if not 0 < labels.sum() < len(labels):
        return np.nan
    return float(roc_auc_score(labels, scores, sample_weight=known_weights(sample_weight, y_true)))


def brier_skill(
    y_true: npt.ArrayLike, score: npt.ArrayLike, *, prevalence: float, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Return how much smaller the squared error is than that of always saying the prevalence.

        skill = 1 - sum_i (p_i - y_i)^2 / sum_i (prevalence - y_i)^2

    over units with a known label; 1 is perfect, 0 no better than the prevalence, negative worse.

    Parameters
    ----------
    y_true, score, sample_weight
        See the module; the scores are probabilities in [0, 1].
    prevalence : float
        Share of defects in the training window, not in `y_true`: the reference must not know the outcome.

    Returns
    -------
    float
        At most 1; NaN if no label is known or the reference makes no error.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, a score or `prevalence` is not within [0, 1].

    References
    ----------
    Brier, G. W. (1950). Verification of forecasts expressed in terms of probability. MWR, 78(1), 1-3.

    Examples
    --------
    >>> brier_skill([1, 0], [0.5, 0.0], prevalence=0.5)
    0.5
    """
    labels, scores = known_probabilities(y_true, score)
    if not 0.0 <= prevalence <= 1.0:
        raise ValueError(f"prevalence is {prevalence}; expected within [0, 1]")
    weights = known_weights(sample_weight, y_true)
    reference = np.sum(weights * (prevalence - labels) ** 2)
    return 1.0 - ratio(np.sum(weights * (scores - labels) ** 2), reference)


def observed_over_expected(
    y_true: npt.ArrayLike, score: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Return the number of defects divided by the number that the scores promised.

        O / E = sum_i y_i / sum_i p_i

    over units with a known label. 1 is right on average, above 1 too few were promised.

    Parameters
    ----------
    y_true, score, sample_weight
        See the module; the scores are probabilities in [0, 1].

    Returns
    -------
    float
        0 or more; NaN if no label is known or no defect was promised.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0, 1 or NaN, or a score is not within [0, 1].

    Examples
    --------
    >>> observed_over_expected([1, 1, 0, 0], [0.4, 0.4, 0.1, 0.1])
    2.0
    """
    labels, scores = known_probabilities(y_true, score)
    weights = known_weights(sample_weight, y_true)
    return ratio(np.sum(weights * labels), np.sum(weights * scores))


def checked(y_true: npt.ArrayLike, score: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores, checked to be of one length, 0, 1 or NaN, and not missing."""
    labels, scores = np.asarray(y_true, dtype=float), np.asarray(score, dtype=float)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"y_true has shape {labels.shape}, score {scores.shape}; expected one equal length")
    if not (np.isnan(labels) | (labels == 0.0) | (labels == 1.0)).all():
        raise ValueError("y_true must hold 1 (defect), 0 (good) or NaN (not known)")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} of {scores.size} scores are missing")
    return labels, scores


def _known(y_true: npt.ArrayLike, score: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = checked(y_true, score)
    known = ~np.isnan(labels)
    return labels[known], scores[known]


def known_probabilities(y_true: npt.ArrayLike, score: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of the units with a known label, checked to be 0 or 1 and within [0, 1]."""
    labels, scores = _known(y_true, score)
    if not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise ValueError("scores must be probabilities within [0, 1]")
    return labels, scores


def units_each(sample_weight: npt.ArrayLike | None, n_units: int) -> np.ndarray:
    """How many units each stands for, checked to be above 0; 1 each by default."""
    weights = np.ones(n_units) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if weights.shape != (n_units,) or not (weights > 0).all():
        raise ValueError(f"sample_weight has shape {weights.shape}; expected ({n_units},), all above 0")
    return weights


def known_weights(sample_weight: npt.ArrayLike | None, y_true: npt.ArrayLike) -> np.ndarray:
    """Weights of the units with a known label, checked to be above 0; 1 each by default."""
    known = ~np.isnan(np.asarray(y_true, dtype=float))
    return units_each(sample_weight, len(known))[known]


def ratio(numerator: float, denominator: float) -> float:
    """One number by another; NaN by none."""
    return float(numerator / denominator) if denominator > 0 else np.nan
