"""How far the base rate has moved from what probabilities promise."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, xlogy

NEXT_TO_NONE = 0.5
"""A strength that hardly shrinks; with none at all, a level without any defect is none."""

_SMALLEST_SCORE = 1e-9
_MOST_RUNS, _DEFECTS_OF_A_RUN, _PRIOR_RUNS = 10, 3, 10


@dataclass(frozen=True)
class BaseRateShift:
    """How the number of defects compares with what probabilities promised.

    Attributes
    ----------
    log_odds : float
        To add to the log odds of the probabilities, shrunk towards none.
    observed, expected : float
        Defects found, and promised; with weights, sums of weights.
    ratio : float
        ``observed / expected``.
    low, high : float
        95 % interval of the ratio.
    is_significant : bool
        Whether the deviance of the two counts from one rate is above 9 (3 standard deviations).
    notice : str
        A sentence for people if it is significant, else empty.
    """

    log_odds: float
    observed: float
    expected: float
    ratio: float
    low: float
    high: float
    is_significant: bool
    notice: str


def base_rate_shift(
    probability: object,
    y: object,
    *,
    known_from: float = np.inf,
    strength: float = 5.0,
    dispersion: float = 1.0,
    sample_weight: object = None,
) -> BaseRateShift:
    """Return how far the base rate has moved from what probabilities promise, judged by newer labels.

    With `O` defects observed and `E = sum p` promised, the shift ``s`` of all log odds solves

        sum_i expit(logit(p_i) + s) = E * (O + strength) / (E + strength)

    that is, the ratio is shrunk towards 1 with the weight of `strength` defects. The interval of the ratio is
    ``exp(log((O + 1/2) / (E + 1/2)) +- z * sqrt(1 / (O + 1/2) + 1 / known_from))``: the count varies as
    Poisson's, and the level of the probabilities was itself learnt from a number of defects. With weights, `O` and
    `E` are sums of weights; for the interval and the significance they are divided by `weight_of_a_defect`, since a
    sum of unequal weights varies more than a count. Where defects come in bursts, a count varies by `dispersion` times
    as much, and tells as much as one that is so many times smaller: `O`, `E` and `known_from` are divided by it there,
    and the weight of no shift is multiplied.

    Parameters
    ----------
    probability : array-like of shape (n_rows,)
        Calibrated, of rows that nothing was learnt from.
    y : array-like of shape (n_rows,)
        1 defect, 0 good.
    known_from : float, default infinite
        Number of defects that calibrated the probabilities; with weights, as many as they are worth, which is the sum
        of theirs divided by their `weight_of_a_defect`.
    strength : float, default 5.0
        Weight of no shift [defects].
    dispersion : float, default 1.0
        Variance of a count of defects, in that of Poisson's; see `dispersion_of`.
    sample_weight : array-like, shape (n_rows,), optional

    Raises
    ------
    ValueError
        A probability is not within [0, 1], or the lengths differ.

    Examples
    --------
    >>> shift = base_rate_shift([0.02] * 1000, [1] * 60 + [0] * 940)
    >>> round(shift.ratio, 2), round(shift.log_odds, 2)
    (3.0, 0.99)
    >>> shift.notice
    'The defect rate has moved: 60 defects where 20.0 were expected, 2.95 times as many (95 % interval 2.29 to 3.80).'
    """
    from scipy.optimize import brentq  # a fifth of a second to import

    z = log_odds(probability)
    labels, weight = np.asarray(y, dtype=float), weights_of(sample_weight, len(z))
    if z.shape != labels.shape:
        raise ValueError(f"calibration: {z.size} scores but {labels.size} labels")
    observed, expected = float(weight @ labels), float(weight @ expit(z))
    if not weight.any():
        return BaseRateShift(0.0, 0.0, 0.0, np.nan, np.nan, np.nan, False, "")
    prior = strength * dispersion
    target = expected * (observed + prior) / (expected + prior)
    target = min(target, 0.999 * float(weight.sum()))
    level = brentq(lambda s: float(weight @ expit(z + s)) - target, -40.0, 40.0)
    each = weight_of_a_defect(expit(z), labels, weight) * dispersion
    found, promised, known_from = observed / each, expected / each, known_from / dispersion
    ratio = (found + 0.5) / (promised + 0.5)  # the halves keep the interval finite without defects
    deviation = np.sqrt(1.0 / (found + 0.5) + 1.0 / max(known_from, 0.5))
    low, high = float(ratio * np.exp(-1.96 * deviation)), float(ratio * np.exp(1.96 * deviation))
    significant = bool(_deviance(found, promised, known_from) > 9.0)
    counted = f"{labels.sum():.0f} defects where {expit(z).sum():.1f} were expected"
    times, interval = f"{ratio:.2f} times as many", f"95 % interval {low:.2f} to {high:.2f}"
    notice = f"The defect rate has moved: {counted}, {times} ({interval})."
    if np.ptp(weight):
        among = f"among the inspected {counted}, over all units {times} as expected ({interval})"
        notice = f"The defect rate has moved: {among}."
    raw = observed / expected if expected else np.nan
    return BaseRateShift(float(level), observed, expected, raw, low, high, significant, notice if significant else "")


def dispersion_of(probability: object, y: object, *, block: object, sample_weight: object = None) -> float:
    """Return by how much the number of defects varies from one run of rows to the next, in Poisson's variance.

    Each block is cut into runs of successive rows that hold three defects or more on average, ten at most. With `O`
    defects observed in a run and `E` promised, moved to the level of its block, it is ``sum (O - E)^2 / E`` over the
    runs by their number less one for each block, shrunk towards 1 with the weight of ten runs, and 1 at least. So a
    level that differs between blocks does not count, and a burst within one does.

    Parameters
    ----------
    probability, y, sample_weight
        See `base_rate_shift`; in time order.
    block : array-like of int, shape (n_rows,)

    References
    ----------
    McCullagh, P. and Nelder, J. (1989). Generalized Linear Models, 2nd edition, section 6.2: overdispersion.

    Examples
    --------
    >>> spread, burst = np.tile([1] + [0] * 19, 50), np.repeat([0, 1, 0], [480, 50, 470])
    >>> [round(dispersion_of(np.full(1000, 0.05), y, block=np.zeros(1000)), 1) for y in (spread, burst)]
    [1.0, 11.6]
    """
    z, labels, block = log_odds(probability), np.asarray(y, dtype=float), np.asarray(block)
    weight = weights_of(sample_weight, len(z))
    squares, freedom = 0.0, 0
    for one in np.unique(block):
        rows = np.flatnonzero(block == one)
        runs = int(min(_MOST_RUNS, labels[rows].sum() // _DEFECTS_OF_A_RUN))
        if runs < 2:
            continue
        level = base_rate_shift(
            expit(z[rows]), labels[rows], strength=NEXT_TO_NONE, sample_weight=weight[rows]
        ).log_odds
        risk = expit(z[rows] + level)
        run = np.arange(len(rows)) * runs // len(rows)
        each = weight_of_a_defect(risk, labels[rows], weight[rows])
        found, promised = (np.bincount(run, weight[rows] * part) / each for part in (labels[rows], risk))
        squares += float(((found - promised) ** 2 / np.maximum(promised, _SMALLEST_SCORE)).sum())
        freedom += runs - 1
    return max(1.0, (squares + _PRIOR_RUNS) / (freedom + _PRIOR_RUNS))


def weight_of_a_defect(probability: object, y: object, sample_weight: object = None) -> float:
    """Return the weight by which a sum of the defects' weights is divided to vary as a count of defects does.

    That is ``sum of w^2 / sum of w``, over the defects found or over those promised, whichever is larger: a unit
    that stands for many may well be good, and then only its promise shows how uncertain the sum is.

    Parameters
    ----------
    probability, y, sample_weight
        See `base_rate_shift`. Not all weights are 0.

    Returns
    -------
    float
        Above 0; the weight itself where all have the same.

    References
    ----------
    Dobson, A. et al. (1991). Confidence intervals for weighted sums of Poisson parameters. Statistics in Medicine 10.

    Examples
    --------
    Of 10 defects 9 stand for one unit each and 1 for eleven: 20 units, but a sum that varies as a count of 3 does.

    >>> round(20 / weight_of_a_defect([0.1] * 100, [1] * 10 + [0] * 90, [1] * 9 + [11] + [2] * 90), 1)
    3.1
    """
    labels = np.asarray(y, dtype=float)
    weight = weights_of(sample_weight, len(labels))
    sums = [(float(weight**2 @ one), float(weight @ one)) for one in (labels, expit(log_odds(probability)))]
    return max(squares / total for squares, total in sums if total > 0)


def defects_worth(probability: object, y: object, sample_weight: object = None) -> float:
    """Return the number of defects as which the sum of their weights varies, 0 if there is none.

    That is the sum divided by `weight_of_a_defect`. It says whether figures by weights can be told at all: many defects
    of which each stands for one unit say little where one more, that stands for a hundred, may come or not.

    Parameters
    ----------
    probability : array-like of shape (n_rows,), or None
        As `base_rate_shift` has it; None if nothing is promised: all rows are then as likely to be defect.
    y, sample_weight
        See `base_rate_shift`.

    Returns
    -------
    float
        The number of defects itself where all have the same weight.

    Examples
    --------
    >>> defects_worth(None, [1] * 30 + [0] * 70)
    30.0
    >>> round(defects_worth(None, [1] * 30 + [0] * 70, [1] * 90 + [40] * 10), 1)  # none of those that stand for 40
    0.9
    """
    labels = np.asarray(y, dtype=float)
    weight = weights_of(sample_weight, len(labels))
    if not weight.any():
        return 0.0
    promised = np.full(len(labels), 0.5) if probability is None else probability
    return float(weight @ labels) / weight_of_a_defect(promised, labels, weight)


def _deviance(observed: float, expected: float, known_from: float) -> float:
    """Twice the log likelihood ratio of two Poisson counts with exposures as expected, of two rates against one."""
    if np.isinf(known_from):
        return float(2.0 * (xlogy(observed, observed / max(expected, 1e-9)) - observed + expected))
    counts, exposures = np.array([observed, known_from]), np.array([expected, known_from]) + 1e-9
    together = counts.sum() * exposures / exposures.sum()
    return float(2.0 * xlogy(counts, (counts + 1e-12) / (together + 1e-12)).sum())


def weights_of(sample_weight: object, rows: int) -> np.ndarray:
    """Return the weights, shape (rows,), 1 each where there are none."""
    return np.ones(rows) if sample_weight is None else np.asarray(sample_weight, dtype=float)


def moved_by(score: object, by: float) -> np.ndarray:
    """Return scores whose log odds are all moved, shape (n_rows,).

    Parameters
    ----------
    score : array-like of shape (n_rows,)
        Within [0, 1].
    by : float
        What is added to the log odds of each.

    Raises
    ------
    ValueError
        As `log_odds`.

    Examples
    --------
    >>> moved_by([0.5, 0.2], float(np.log(4))).round(2)
    array([0.8, 0.5])
    """
    return expit(log_odds(score) + by)


def log_odds(score: object) -> np.ndarray:
    """Return ``log(p / (1 - p))`` of each score, finite, shape (n_rows,).

    Raises
    ------
    ValueError
        A score is not within [0, 1], or missing.

    Examples
    --------
    >>> log_odds([0.5, 0.0]).round(1)
    array([  0. , -20.7])
    """
    values = np.asarray(score, dtype=float)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError("calibration: scores must be probabilities within [0, 1], none missing")
    return logit(np.clip(values, _SMALLEST_SCORE, 1.0 - _SMALLEST_SCORE))
