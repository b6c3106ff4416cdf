"""Logistic regression for tables with many columns and few defects."""

from itertools import pairwise

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from qma_predict.learn.base_rate import weights_of

_LATER = (0.5, 0.25)
_MIN_TO_CHOOSE, _MIN_TO_BEND = 5, 40
_FARTHEST = 3.0


class RidgeInTime(ClassifierMixin, BaseEstimator):
    """Logistic regression whose L2 penalty and form are chosen in time order.

    The columns are divided by the square root of their number, so that a penalty means the same however wide the
    table is: with `C`, the inverse of the penalty, the log odds of units are expected to spread by about
    ``sqrt(C)`` if columns do not correlate. Each of `spreads` is fitted on the older half of the rows and judged by
    the quarter after it, and on the older three quarters and judged by the newest; the one with the smallest log loss
    is fitted on all. A quarter before or in which there are fewer than five of a class does not judge; if none does,
    the strongest penalty is taken.

    What is off its target to either side makes defects, and a straight line does not see it. So the log odds may also
    bend with each column: likewise for each of `spreads`, the columns beside ``(min(x^2, 9) - 1) / sqrt(2)`` of each,
    which is 0 on average and spreads by about 1 for a column that does. Bent log odds are taken if their loss is
    smaller by more than one standard error of the difference, and there are forty of each class to judge by.

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
    coef_ : numpy.ndarray, shape (n_columns,) or (2 * n_columns,)
        Log odds by column as it was passed; twice as many if they bend, the bent columns after all others.
    intercept_ : float

    References
    ----------
    Breiman, L. et al. (1984). Classification and Regression Trees, section 3.4.3: the rule of one standard error.

    Examples
    --------
    What is off its target to either side, by two, makes defects:

    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2))
    >>> model = RidgeInTime().fit(X, (np.abs(X[:, 0]) > rng.normal(2.0, 0.5, 2000)).astype(int))
    >>> model.predict_proba([[-2.5, 0.0], [0.0, 0.0], [2.5, 0.0]])[:, 1].round(2)
    array([0.92, 0.01, 0.89])
    """

    def __init__(self, spreads: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)) -> None:
        self.spreads = spreads

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "RidgeInTime":
        """Choose the penalty and the form, and fit.

        Parameters
        ----------
        X : numpy.ndarray, shape (n_rows, n_columns)
            Standardised, none missing, rows in time order.
        y : numpy.ndarray of 0 and 1, shape (n_rows,)
        sample_weight : numpy.ndarray, shape (n_rows,), optional
        """
        self.C_, bent = self._chosen(X, y, sample_weight)
        model = LogisticRegression(C=self.C_, max_iter=1000).fit(_columns(X, bent=bent), y, sample_weight=sample_weight)
        self.classes_ = model.classes_
        self.coef_, self.intercept_ = model.coef_[0] / np.sqrt(X.shape[1]), float(model.intercept_[0])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        X = np.asarray(X)
        raised = np.full(len(X), self.intercept_)
        for place, slope in enumerate(self.coef_):
            column = X[:, place % X.shape[1]]
            # added one by one: a matrix product rounds a row by how many rows there are
            raised += slope * (column if place < X.shape[1] else _bend(column))
        defect = expit(raised)
        return np.column_stack([1.0 - defect, defect])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _chosen(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> tuple[float, bool]:
        """Value of C, and whether the log odds bend."""
        ends = [len(y) - round(share * len(y)) for share in (*_LATER, 0.0)]
        quarters = [(first, slice(first, end)) for first, end in pairwise(ends)]
        quarters = [one for one in quarters if min(_rarer(y[: one[0]]), _rarer(y[one[1]])) >= _MIN_TO_CHOOSE]
        if not quarters:
            return float(self.spreads[0]), False
        share = np.concatenate([weights_of(weight, len(y))[judged] for _, judged in quarters])
        share = share / share.sum()
        forms, may_bend = [], _rarer(np.concatenate([y[judged] for _, judged in quarters])) >= _MIN_TO_BEND
        for bent in (False, True)[: 1 + may_bend]:
            losses = np.hstack([self._losses(X, y, weight, *quarter, bent=bent) for quarter in quarters])
            place = int(np.argmin(losses @ share))
            forms.append((float(self.spreads[place]), losses[place]))
        (straight, loss), (chosen, loss_if_chosen) = forms[0], forms[-1]
        gain = loss - loss_if_chosen
        error = np.sqrt(share**2 @ (gain - gain @ share) ** 2)
        return (chosen, True) if gain @ share > error else (straight, False)

    def _losses(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, first: int, judged: slice, *, bent: bool
    ) -> np.ndarray:
        """Log loss of each row that is judged, learnt from those before `first`, by C, shape (n_spreads, n_judged)."""
        older, newer = _columns(X[:first], bent=bent), _columns(X[judged], bent=bent)
        model, losses = LogisticRegression(max_iter=1000, warm_start=True), []
        for spread in self.spreads:
            model.set_params(C=spread).fit(older, y[:first], sample_weight=None if weight is None else weight[:first])
            raised = model.decision_function(newer)
            losses.append(np.logaddexp(0.0, raised) - y[judged] * raised)
        return np.stack(losses)


def _rarer(y: np.ndarray) -> int:
    return int(np.bincount(y, minlength=2).min())


def _columns(X: np.ndarray, *, bent: bool) -> np.ndarray:
    """What is fitted on, divided by the root of the number of X's columns: these, and what bent log odds bend with."""
    width = np.sqrt(X.shape[1])
    if not bent:
        return X / width
    both = np.hstack([X, _bend(X)])
    both /= width
    return both


def _bend(X: np.ndarray) -> np.ndarray:
    """Squares, of one column or all, in their own standard deviations; the farthest would outweigh all others."""
    return (np.minimum(X**2, _FARTHEST**2) - 1.0) / np.sqrt(2.0)
