"""Probabilities that mean what they say, learnt from few defects."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.isotonic import isotonic_regression
from sklearn.utils.validation import check_is_fitted

from qma_predict.learn.base_rate import (
    NEXT_TO_NONE,
    BaseRateShift,
    base_rate_shift,
    defects_worth,
    dispersion_of,
    log_odds,
    weights_of,
)

MIN_OF_EACH_CLASS = 10
"""With fewer later defects, or goods, scores are a ranking: too few to say that they are probabilities."""

MIN_FOR_STEPS = 1000
"""Below so many of the rarer class isotonic regression costs more than it finds."""

_NEWEST_BLOCKS = 2
"""Later blocks that tell of the level by now, where the newest alone does not differ significantly from all others."""

_MIXED = 0.01
_SMALLEST_SLOPE = 0.05


def fit_slope(
    score: object, y: object, *, block: object = None, strength: float = 20.0, sample_weight: object = None
) -> tuple[float, float]:
    """Return by how much the log odds of a score are to be stretched, and about which point.

    With ``z = logit(score)``, the point `c`, the mean of ``z`` weighted by ``score * (1 - score)``, and a level for
    each block of rows, the slope minimises

        sum_i log loss(y_i, expit(c + slope * (z_i - c) + level_block(i))) + strength / 2 * (slope - 1)^2
            + 1 / 2 * sum_block level^2,    slope >= 0.05

    that is, a Gaussian prior to slope 1, which weighs as much as about `strength` defects where they are rare. The
    levels take up what moves between the blocks, so that a drifting base rate does not look like a slope. A
    positive slope cannot reverse the ranking, which unpenalised scaling does when the calibration rows are few.
    The problem is convex: one solution.

    Parameters
    ----------
    score : array-like of shape (n_rows,)
        Raw probabilities in [0, 1] of rows that the scorer has not seen.
    y : array-like of shape (n_rows,)
        1 defect, 0 good.
    block : array-like of int from 0, shape (n_rows,), optional
        Block of each row; by default there is one.
    strength : float, default 20.0
        Weight of the prior [about defects].
    sample_weight : array-like, shape (n_rows,), optional

    Returns
    -------
    slope, point : float
        The point in log odds.

    Raises
    ------
    ValueError
        `score` is not within [0, 1], or the lengths differ.

    References
    ----------
    Platt, J. (1999). Probabilistic outputs for support vector machines. Advances in Large Margin
    Classifiers; the priors and blocks are the addition.

    Examples
    --------
    Scores that are too sure, seen from few rows and from many:

    >>> fit_slope([0.02, 0.5] * 20, ([0, 0] * 3 + [0, 1]) * 5)[0] > 0.9
    True
    >>> round(fit_slope([0.02, 0.5] * 4000, ([0, 0] * 3 + [0, 1]) * 500 + ([0, 0] * 3 + [1, 1]) * 500)[0], 1)
    0.2
    """
    z = log_odds(score)
    labels, weight = np.asarray(y, dtype=float), weights_of(sample_weight, len(z))
    if z.shape != labels.shape:
        raise ValueError(f"calibration: {z.size} scores but {labels.size} labels")
    if not len(z):
        return 1.0, 0.0
    number = np.zeros(len(z), dtype=int) if block is None else np.asarray(block)
    point = float(np.average(z, weights=weight * expit(z) * expit(-z)))
    z = z - point

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, level = parameters[0], parameters[1:]
        raised = point + slope * z + level[number]
        excess = weight * (expit(raised) - labels)
        value = weight @ (np.logaddexp(0.0, raised) - labels * raised)
        penalty = strength / 2 * (slope - 1.0) ** 2 + level @ level / 2
        levels = np.bincount(number, excess, len(level)) + level
        return value + penalty, np.concatenate([[excess @ z + strength * (slope - 1.0)], levels])

    blocks = int(number.max()) + 1
    bounds = [(_SMALLEST_SLOPE, None)] + [(None, None)] * blocks
    start = np.concatenate([[1.0], np.zeros(blocks)])
    return float(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x[0]), point


class Calibration(BaseEstimator):
    """From the score of a model to the probability of a defect: how is chosen by the number of defects.

    First a hundredth of the base rate is mixed with 99 hundredths of the score: a forest that says 0 means that it
    has seen none, not that there is none, and its log odds would outweigh all others.

    The rows that calibrate are later than those that the scores were learnt from. Of the class that is rarer
    among them, they hold

    fewer than `MIN_OF_EACH_CLASS`
        ``method_ = "ranking"``: too few to say. The log odds are shrunk towards those of the base rate by the
        factor ``d / (d + strength)`` with `d` the defects (or goods, if rarer) that were learnt from, so that
        few defects give probabilities near the base rate. Then ``is_ranking_`` is true: the scores rank, but
        nothing shows that they are probabilities.
    fewer than `MIN_FOR_STEPS`
        ``method_ = "sigmoid"``: the slope of `fit_slope`, and a level that gives the number of defects that was
        seen, shrunk to the one that was promised as by `base_rate_shift`.
    more
        ``method_ = "isotonic"``: the mean, in log odds, of that sigmoid and of isotonic regression on it; the sigmoid
        keeps the ranking within the steps.

    The rows come in blocks, each scored by a model of its time, and the model in use is fitted on all of them. Where
    the base rate drifts, that one knows by itself part of what the models of the time did not: the difference, in log
    odds, between the base rates that they learnt from. That part is not added a second time. (How the model in use
    scores the rows themselves does not tell: it has seen them.) The level is that of the older blocks, moved to where
    the newest two put it, since a plant is more like last month than like last year: shrunk with `strength`, unless
    they, or the newest alone, differ significantly, as after a jump of the base rate. Of two blocks the second is the
    newest, and of a single one the older half of the rows and the newer one take these parts. How much a level says
    depends on how the defects come: a burst that ended is no jump (`dispersion_of`).

    Parameters
    ----------
    strength : float, default 20.0
        Weight of leaving the score as it is [about defects].

    Attributes
    ----------
    method_ : str
    is_ranking_ : bool
    slope_, offset_ : float
        Of the sigmoid.
    steps_ : numpy.ndarray, shape (2, n_steps)
        Log odds by the sigmoid, and by isotonic regression; no steps unless isotonic.
    drift_ : BaseRateShift
        How the newest block, or the newest two, differ from the level that was seen in those before; of two, the second
        from the first, of a single one, its newer half from its older, or, if these do not significantly, all of them
        from what was promised, provided that they also differ from the rate that was learnt.
    shift_ : float
        Added to the log odds after all that: the base rate has moved since; see `follow`.
    base_rate_ : float
        Share of defects among all rows that were learnt from.
    dispersion_ : float
        How much more the number of later defects varied from run to run than by chance alone.
    rows_, defects_ : int
        That calibrated.
    worth_ : float
        The number of defects as which their sum of weights varies; `defects_` where all weigh the same.

    Examples
    --------
    >>> few = Calibration().fit([0.5, 0.1], [1, 0], base_rate=0.05, learnt_from=10)
    >>> few.is_ranking_, few.apply([0.5, 0.05, 0.01]).round(3).tolist()
    (True, [0.123, 0.05, 0.03])
    """

    def __init__(self, strength: float = 20.0) -> None:
        self.strength = strength

    def fit(
        self,
        score: object,
        y: object,
        *,
        base_rate: float,
        learnt_from: float,
        block: object = None,
        learnt_rate: object = None,
        sample_weight: object = None,
    ) -> "Calibration":
        """Fit on scores of rows that the scorer has not seen.

        Parameters
        ----------
        score : array-like of shape (n_rows,)
            Raw probabilities in [0, 1], the oldest rows first.
        y : array-like of shape (n_rows,)
            1 defect, 0 good.
        base_rate : float
            Share of defects among all rows that were learnt from.
        learnt_from : float
            Number of defects (or goods, if rarer) that were learnt from.
        block : array-like of int from 0, shape (n_rows,), optional
            Block of each row; by default there is one.
        learnt_rate : array-like of shape (n_rows,), optional
            Share of defects among the rows that each row's scorer learnt from; by default `base_rate`.
        sample_weight : array-like, shape (n_rows,), optional

        Raises
        ------
        ValueError
            `score` is not within [0, 1], or the lengths differ.
        """
        labels = np.asarray(y, dtype=float)
        rarer = min(labels.sum(), len(labels) - labels.sum())
        self.rows_, self.defects_ = len(labels), int(labels.sum())
        self.steps_, self.shift_, self.base_rate_ = np.empty((2, 0)), 0.0, float(base_rate)
        self.drift_, self.dispersion_ = base_rate_shift([], []), 1.0
        self.worth_ = defects_worth(self._mixed(score), labels, sample_weight)
        self.is_ranking_ = bool(rarer < MIN_OF_EACH_CLASS)
        if self.is_ranking_:
            self.method_ = "ranking"
            self.slope_ = learnt_from / (learnt_from + self.strength)
            self.offset_ = float((1.0 - self.slope_) * log_odds([base_rate])[0])
            return self
        self.method_ = "sigmoid" if rarer < MIN_FOR_STEPS else "isotonic"
        number = np.zeros(len(labels), dtype=int) if block is None else np.asarray(block)
        weight, mixed = weights_of(sample_weight, len(labels)), self._mixed(score)
        self.slope_, point = fit_slope(mixed, labels, block=number, strength=self.strength, sample_weight=weight)
        self.offset_ = (1.0 - self.slope_) * point
        promised = self.slope_ * log_odds(mixed) + self.offset_
        rates = np.full(len(labels), base_rate) if learnt_rate is None else np.asarray(learnt_rate, dtype=float)
        raised = promised + self.slope_ * (log_odds([base_rate]) - log_odds(rates))
        part = number if number.any() else (np.arange(len(labels)) >= len(labels) // 2).astype(int)
        self.dispersion_ = dispersion_of(expit(raised), labels, block=part, sample_weight=weight)
        level = self._level(raised, labels, part, weight)
        if number.max() < _NEWEST_BLOCKS and not self.drift_.is_significant:
            known_from = max(learnt_from - rarer, 0.0) * self.worth_ / self.defects_
            found = {"known_from": known_from, "dispersion": self.dispersion_, "sample_weight": weight}
            self.drift_ = _since_learnt(expit(promised), rates, labels, found) or self.drift_
        self.offset_ += level
        if self.method_ == "isotonic":
            self.steps_ = _isotonic_steps(raised + level, labels, weight)
        return self

    def _level(self, raised: np.ndarray, labels: np.ndarray, part: np.ndarray, weight: np.ndarray) -> float:
        """Log odds to add: those of the older parts, and by how much the newest differs."""

        def shift(rows: np.ndarray, level: float, **options: float) -> BaseRateShift:
            options |= {"dispersion": self.dispersion_}
            return base_rate_shift(expit(raised[rows] + level), labels[rows], sample_weight=weight[rows], **options)

        for count in range(1, min(_NEWEST_BLOCKS, part.max()) + 1):
            newest = part > part.max() - count
            seen = shift(~newest, 0.0, strength=NEXT_TO_NONE).log_odds
            worth = defects_worth(expit(raised[~newest]), labels[~newest], weight[~newest])
            self.drift_ = shift(newest, seen, known_from=worth)
            before = shift(~newest, 0.0, strength=self.strength).log_odds
            if self.drift_.is_significant:
                return before + shift(newest, before).log_odds
        return before + shift(newest, before, strength=self.strength).log_odds

    def apply(self, score: object) -> np.ndarray:
        """Return the probability for each score, shape (n_rows,)."""
        check_is_fitted(self)
        raised = self.slope_ * log_odds(self._mixed(score)) + self.offset_
        if self.steps_.shape[1]:
            raised = (raised + np.interp(raised, self.steps_[0], self.steps_[1])) / 2.0
        return expit(raised + self.shift_)

    def follow(self, score: object, y: object, sample_weight: object = None) -> BaseRateShift:
        """Move the intercept to where newer labels put it, and return what they say; see `base_rate_shift`.

        Parameters
        ----------
        score, y, sample_weight
            As `fit`, of rows newer than those that were learnt from.
        """
        self.shift_ = 0.0
        known = {"known_from": self.worth_, "dispersion": self.dispersion_}
        shift = base_rate_shift(self.apply(score), y, sample_weight=sample_weight, **known)
        self.shift_ = shift.log_odds
        return shift

    def _mixed(self, score: object) -> np.ndarray:
        return (1.0 - _MIXED) * np.asarray(score, dtype=float) + _MIXED * self.base_rate_


def _since_learnt(
    promised: np.ndarray, rates: np.ndarray, labels: np.ndarray, known: Mapping[str, Any]
) -> BaseRateShift | None:
    """Return how a block differs from what was promised, if the rate that was learnt shows it too, else None.

    Scores alone do not show it: a classifier that is too sure promises another number than the rate it learnt.
    """
    by_score, by_rate = (base_rate_shift(one, labels, **known) for one in (promised, rates))
    same = by_score.log_odds * by_rate.log_odds > 0
    return by_score if same and by_score.is_significant and by_rate.is_significant else None


def _isotonic_steps(z: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log odds of scores and of isotonic rates, at the middle of each step; half a row of each class is added."""
    counts = weight > 0
    weight = weight[counts]
    z, at = np.unique(z[counts], return_inverse=True)  # what has the same score gets the same rate
    rows, defects = np.bincount(at, weight), np.bincount(at, weight * labels[counts])
    rate = isotonic_regression(defects / rows, sample_weight=rows)
    step = np.cumsum(np.diff(rate, prepend=rate[0]) > 0)
    total, defects, place = (np.bincount(step, part) for part in (rows, defects, rows * z))
    steps = np.stack([place / total, logit((defects + 0.5) / (total + 1.0))])
    steps[1] = np.maximum.accumulate(steps[1])  # the half rows may disorder steps of very few
    return steps
