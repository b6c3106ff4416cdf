"""Probabilities that mean what they say, learnt from few defects."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from qma_predict.learn.baselines import binary_labels

MIN_OF_EACH_CLASS = 10
_SMALLEST_SCORE = 1e-9
_SMALLEST_SLOPE = 0.05


def fit_shrunk_sigmoid(score: object, y: object, *, strength: float = 20.0) -> tuple[float, float]:
    """Return slope and offset that calibrate a score, shrunk to leaving it as it is.

    The calibrated probability is ``p = expit(slope * z + offset)`` with ``z = logit(score)``. With `c`,
    the mean of ``z`` weighted by ``score * (1 - score)``, and ``shift = offset + (slope - 1) * c``, the
    correction at `c`, slope and shift minimise

        sum_i log loss(y_i, p_i) + strength / 2 * ((slope - 1)^2 + shift^2),   slope >= 0.05

    that is, Gaussian priors to slope 1 and shift 0. At `c` slope and shift do not depend on each other,
    and where defects are rare a defect carries about one unit of information on each, so that the priors
    weigh as much as about `strength` defects. A positive slope cannot reverse the ranking, which
    unpenalised scaling does when the calibration rows are few. The problem is convex: one solution.

    Parameters
    ----------
    score : array-like of shape (n_rows,)
        Raw probabilities in [0, 1] of rows that the scorer has not seen.
    y : array-like of shape (n_rows,)
        1 defect, 0 good.
    strength : float, default 20.0
        Weight of the priors [about defects].

    Returns
    -------
    slope, offset : float

    Raises
    ------
    ValueError
        `score` is not within [0, 1], or the lengths differ.

    References
    ----------
    Platt, J. (1999). Probabilistic outputs for support vector machines. Advances in Large Margin
    Classifiers; the priors are the addition.

    Examples
    --------
    Four times as many defects as the score says, first few and then many:

    >>> slope, offset = fit_shrunk_sigmoid([0.02] * 50, [1] * 4 + [0] * 46)
    >>> apply_sigmoid([0.02], slope, offset).round(3)
    array([0.023])
    >>> slope, offset = fit_shrunk_sigmoid([0.02] * 5000, [1] * 400 + [0] * 4600)
    >>> apply_sigmoid([0.02], slope, offset).round(3)
    array([0.075])
    """
    z = _bounded_logit(score)
    labels = np.asarray(y, dtype=float)
    if z.shape != labels.shape:
        raise ValueError(f"calibration: {z.size} scores but {labels.size} labels")
    weight = expit(z) * expit(-z)
    centre = float(np.average(z, weights=weight)) if len(z) else 0.0
    z = z - centre

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, shift = parameters
        raised = centre + slope * z + shift
        excess = expit(raised) - labels
        value = np.sum(np.logaddexp(0.0, raised) - labels * raised)
        penalty = strength / 2 * ((slope - 1.0) ** 2 + shift**2)
        gradient = np.array([excess @ z + strength * (slope - 1.0), excess.sum() + strength * shift])
        return value + penalty, gradient

    bounds = [(_SMALLEST_SLOPE, None), (None, None)]
    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(slope), float(shift + (1.0 - slope) * centre)


def apply_sigmoid(score: object, slope: float, offset: float) -> np.ndarray:
    """Return ``expit(slope * logit(score) + offset)``, shape (n_rows,).

    Examples
    --------
    >>> apply_sigmoid([0.2, 0.5], 1.0, np.log(2.0)).round(3)
    array([0.333, 0.667])
    """
    return expit(slope * _bounded_logit(score) + offset)


class CalibratedOnLater(ClassifierMixin, BaseEstimator):
    """A classifier fitted on the earlier rows and calibrated on the later ones.

    The calibration never sees rows that the estimator was fitted on. The later rows calibrate only when
    they hold at least `MIN_OF_EACH_CLASS` defects and as many goods, and when the earlier rows hold both
    classes. Otherwise the estimator is fitted on all rows and its probabilities stay as they are.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Unfitted; it is cloned.
    calibration_share : float, default 0.2
        Share of the rows, the newest, that calibrate; between 0 and 1, edges excluded.

    Attributes
    ----------
    classes_ : numpy.ndarray
        ``[0, 1]``.
    estimator_ : scikit-learn classifier
        The fitted clone.
    slope_, offset_ : float
        See `fit_shrunk_sigmoid`; 1 and 0 when not calibrated.
    calibrated_on_ : dict of str to int
        ``rows`` and ``defects`` that calibrated; both 0 when not calibrated.
    """

    def __init__(self, estimator: BaseEstimator, calibration_share: float = 0.2) -> None:
        self.estimator = estimator
        self.calibration_share = calibration_share

    def fit(self, X: pd.DataFrame | np.ndarray, y: object) -> "CalibratedOnLater":
        """Fit on the earlier rows, calibrate on the later ones.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            Rows in time order, oldest first.
        y : array-like of shape (n_rows,)
            1 defect, 0 good.

        Raises
        ------
        NotEnoughData
            Only one class.
        ValueError
            A label is not 0 or 1, or `calibration_share` is not between 0 and 1.
        """
        if not 0.0 < self.calibration_share < 1.0:
            raise ValueError(f"calibration_share is {self.calibration_share}; expected between 0 and 1")
        labels = binary_labels(y, type(self.estimator).__name__)
        first = len(labels) - round(self.calibration_share * len(labels))
        earlier, later = labels[:first], labels[first:]
        enough = min(later.sum(), len(later) - later.sum()) >= MIN_OF_EACH_CLASS
        if enough and 0 < earlier.sum() < len(earlier):
            self.estimator_ = clone(self.estimator).fit(_rows(X, slice(first)), earlier)
            raw = self.estimator_.predict_proba(_rows(X, slice(first, None)))[:, 1]
            self.slope_, self.offset_ = fit_shrunk_sigmoid(raw, later)
            self.calibrated_on_ = {"rows": len(later), "defects": int(later.sum())}
        else:
            self.estimator_ = clone(self.estimator).fit(X, labels)
            self.slope_, self.offset_ = 1.0, 0.0
            self.calibrated_on_ = {"rows": 0, "defects": 0}
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        defect = apply_sigmoid(self.estimator_.predict_proba(X)[:, 1], self.slope_, self.offset_)
        return np.column_stack([1.0 - defect, defect])

    def predict(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _bounded_logit(score: object) -> np.ndarray:
    values = np.asarray(score, dtype=float)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError("calibration: scores must be probabilities within [0, 1], none missing")
    return logit(np.clip(values, _SMALLEST_SCORE, 1.0 - _SMALLEST_SCORE))


def _rows(X: pd.DataFrame | np.ndarray, rows: slice) -> pd.DataFrame | np.ndarray:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]
