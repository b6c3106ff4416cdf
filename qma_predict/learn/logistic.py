"""Logistic regression for tables with many columns and few defects."""

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.validation import check_is_fitted

_LATER = 0.25
_MIN_TO_CHOOSE = 5


class RidgeInTime(ClassifierMixin, BaseEstimator):
    """Logistic regression whose L2 penalty is chosen in time order.

    The columns are divided by the square root of their number, so that a penalty means the same however wide the
    table is: with `C`, the inverse of the penalty, the log odds of units are expected to spread by about
    ``sqrt(C)`` if columns do not correlate. Each of `spreads` is fitted on the older three quarters of the rows;
    the one with the smallest log loss on the newest quarter is fitted on all, the strongest penalty if either part
    holds fewer than five of a class.

    Parameters
    ----------
    spreads : sequence of float, default (0.01, 0.1, 1.0, 10.0)
        Values of C that are tried, the strongest penalty first.

    Attributes
    ----------
    classes_ : numpy.ndarray
        ``[0, 1]``.
    C_ : float
        The value chosen.
    coef_ : numpy.ndarray, shape (n_columns,)
        Log odds by column as it was passed.
    intercept_ : float
    """

    def __init__(self, spreads: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)) -> None:
        self.spreads = spreads

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "RidgeInTime":
        """Choose the penalty and fit.

        Parameters
        ----------
        X : numpy.ndarray, shape (n_rows, n_columns)
            Standardised, none missing, rows in time order.
        y : numpy.ndarray of 0 and 1, shape (n_rows,)
        sample_weight : numpy.ndarray, shape (n_rows,), optional
        """
        width = np.sqrt(X.shape[1])
        shared = X / width
        self.C_ = self._chosen(shared, y, sample_weight)
        model = LogisticRegression(C=self.C_, max_iter=1000).fit(shared, y, sample_weight=sample_weight)
        self.classes_ = model.classes_
        self.coef_, self.intercept_ = model.coef_[0] / width, float(model.intercept_[0])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        raised = np.full(len(X), self.intercept_)
        for place, slope in enumerate(self.coef_):
            raised += slope * X[:, place]  # a matrix product rounds a row by how many rows there are
        defect = expit(raised)
        return np.column_stack([1.0 - defect, defect])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _chosen(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
        first = len(y) - round(_LATER * len(y))
        if min(np.bincount(part, minlength=2).min() for part in (y[:first], y[first:])) < _MIN_TO_CHOOSE:
            return float(self.spreads[0])
        older, newer = (None, None) if weight is None else (weight[:first], weight[first:])
        losses = []
        for spread in self.spreads:
            model = LogisticRegression(C=spread, max_iter=1000).fit(X[:first], y[:first], sample_weight=older)
            losses.append(log_loss(y[first:], model.predict_proba(X[first:]), sample_weight=newer))
        return float(self.spreads[int(np.argmin(losses))])
