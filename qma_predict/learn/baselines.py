"""The ladder: simple rules that a model must beat before anyone should use it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.utils.validation import check_is_fitted

from qma_predict.errors import NotEnoughData

BASELINES = ("prevalence", "recent_rate")


def make_baseline(name: str) -> BaseEstimator:
    """Return an unfitted baseline of the ladder.

    Parameters
    ----------
    name : str
        One of `BASELINES`. ``prevalence`` gives every unit the defect rate of the training rows. All its
        scores tie, and `qma_predict.learn.metrics` takes ties in expected value, so it is also the
        baseline "random units at the same capacity", without drawing any. ``recent_rate`` is
        `RecentRateClassifier`.

    Raises
    ------
    ValueError
        `name` is not in `BASELINES`.

    Examples
    --------
    >>> make_baseline("prevalence").fit([[0], [0], [0], [0]], [0, 0, 0, 1]).predict_proba([[7]])
    array([[0.75, 0.25]])
    """
    if name == "prevalence":
        return DummyClassifier(strategy="prior")
    if name == "recent_rate":
        return RecentRateClassifier()
    raise ValueError(f"unknown baseline {name!r}; expected one of {', '.join(BASELINES)}")


def binary_labels(y: object, where: str) -> np.ndarray:
    """Return the labels as integers, having checked that both classes are there.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        1 defect, 0 good.
    where : str
        What is being fitted; the message begins with it.

    Returns
    -------
    numpy.ndarray of int, shape (n_rows,)

    Raises
    ------
    ValueError
        A label is neither 0 nor 1, or is missing.
    NotEnoughData
        There are no defects or no goods.
    """
    labels = np.asarray(y, dtype=float)
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError(f"{where}: labels must be 0 (good) or 1 (defect), none missing")
    defects = int(labels.sum())
    if defects in (0, len(labels)):
        raise NotEnoughData(
            f"{where}: found {defects} defects and {len(labels) - defects} good units to learn from, "
            "need at least one of each. Wait for more known labels, or take a longer history."
        )
    return labels.astype(int)


class RecentRateClassifier(ClassifierMixin, BaseEstimator):
    """The recent defect rate by machine and product.

    What an experienced shift leader would say: this machine and that product were bad lately. The rate
    of each category is shrunk towards the base rate, and the categories of a unit multiply the base odds:

        rate(c)  = (defects(c) + strength * base) / (units(c) + strength)
        odds(x)  = odds(base) * product over columns of odds(rate(c)) / odds(base)

    counted over the newest `recent` rows. The base rate is that of the same rows, shrunk in the same way
    towards the rate of all rows. A missing or unseen category leaves the odds as they are. Columns that
    say the same thing twice count twice: the ranking is the point of this baseline, not its probabilities.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns to use; by default ``unit.product`` and those that end in ``.machine``.
    recent : int, default 5000
        Number of newest rows that are counted.
    strength : float, default 50.0
        Weight of the base rate in each category [units].

    Attributes
    ----------
    classes_ : numpy.ndarray
        ``[0, 1]``.
    base_rate_ : float
        The base rate.
    odds_ratios_ : dict of str to dict of str to float
        Column, category: what the category multiplies the base odds with.

    Examples
    --------
    >>> X = pd.DataFrame({"press.machine": ["P1"] * 100 + ["P2"] * 100})
    >>> y = [0] * 98 + [1] * 2 + [0] * 90 + [1] * 10
    >>> new = pd.DataFrame({"press.machine": ["P1", "P2", "P3", None]})
    >>> RecentRateClassifier(strength=50.0).fit(X, y).predict_proba(new)[:, 1].round(3)
    array([0.033, 0.087, 0.06 , 0.06 ])
    """

    def __init__(
        self, columns: Sequence[str] | None = None, recent: int = 5000, strength: float = 50.0
    ) -> None:
        self.columns = columns
        self.recent = recent
        self.strength = strength

    def fit(self, X: pd.DataFrame, y: object) -> "RecentRateClassifier":
        """Count the newest rows.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_rows, n_columns)
            Rows in time order, oldest first.
        y : array-like of shape (n_rows,)
            1 defect, 0 good.

        Raises
        ------
        NotEnoughData
            Only one class.
        ValueError
            A column of `columns` is not in `X`; `recent` is not positive or `strength` not above 0.
        """
        if self.recent < 1 or self.strength <= 0:
            raise ValueError(
                f"recent_rate: found recent={self.recent}, strength={self.strength}; expected both above 0"
            )
        labels = binary_labels(y, "recent_rate")
        newest = labels[-self.recent :]
        self.base_rate_ = _shrunk_rate(newest.sum(), len(newest), self.strength, float(labels.mean()))
        rows = X.iloc[-self.recent :]
        self.odds_ratios_ = {c: self._ratios(_text(rows, c), newest) for c in self._columns(X)}
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        odds = np.full(len(X), _odds(self.base_rate_))
        for column, ratios in self.odds_ratios_.items():
            odds *= _text(X, column).map(ratios).astype(float).fillna(1.0).to_numpy()
        defect = odds / (1.0 + odds)
        return np.column_stack([1.0 - defect, defect])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _columns(self, X: pd.DataFrame) -> list[str]:
        if self.columns is None:
            return [c for c in X.columns if c == "unit.product" or c.endswith(".machine")]
        if unknown := [c for c in self.columns if c not in X.columns]:
            raise ValueError(f"recent_rate: columns not in the features: {', '.join(unknown)}")
        return list(self.columns)

    def _ratios(self, categories: pd.Series, labels: np.ndarray) -> dict[str, float]:
        counts = pd.Series(labels).groupby(categories.to_numpy()).agg(["sum", "count"])
        return {
            str(category): _odds(_shrunk_rate(defects, units, self.strength, self.base_rate_))
            / _odds(self.base_rate_)
            for category, defects, units in counts.itertuples()
        }


def _text(X: pd.DataFrame, column: str) -> pd.Series:
    values = X[column].astype(object)
    return values.where(values.isna(), values.astype(str))


def _shrunk_rate(defects: float, units: float, strength: float, towards: float) -> float:
    return float((defects + strength * towards) / (units + strength))


def _odds(rate: float) -> float:
    return rate / (1.0 - rate)
