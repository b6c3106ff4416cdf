"""The ladder: simple rules that a model must beat before anyone should use it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.isotonic import isotonic_regression
from sklearn.utils.validation import check_is_fitted

from qma_predict.errors import NotEnoughData

BASELINES = ("prevalence", "recent_rate", "spc_rule")

_STEPS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
_SIGMAS = 1.96
_MIN_GOODS = 20


def make_baseline(name: str) -> BaseEstimator:
    """Return an unfitted baseline of the ladder.

    Parameters
    ----------
    name : str
        One of `BASELINES`. ``prevalence`` gives every unit the defect rate of the training rows. All its
        scores tie, and `qma_predict.learn.metrics` takes ties in expected value, so it is also the
        baseline "random units at the same capacity", without drawing any. ``recent_rate`` is
        `RecentRateClassifier`, ``spc_rule`` is `SpcRuleClassifier`.

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
    if name == "spc_rule":
        return SpcRuleClassifier()
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

    def __init__(self, columns: Sequence[str] | None = None, recent: int = 5000, strength: float = 50.0) -> None:
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
            str(category): _odds(_shrunk_rate(defects, units, self.strength, self.base_rate_)) / _odds(self.base_rate_)
            for category, defects, units in counts.itertuples()
        }


class SpcRuleClassifier(ClassifierMixin, BaseEstimator):
    """Control limits: the more a unit's tags are outside theirs, the riskier it is.

    What a plant does without a model (statistical process control). The good training rows give each tag
    its median and a sigma for each side, from the percentiles that hold 95 % of a normal distribution:

        z = (x - median) / sigma,   sigma = (median - P2.5) / 1.96 below, (P97.5 - median) / 1.96 above

    Mean and standard deviation would let one glitch among the good units widen the limits until nothing is
    outside; the median absolute deviation is 0 for a coarse tag; and one sigma for both sides calls the
    long side of a skewed tag an excursion. A side without spread takes the sigma of the other; a tag
    without any, or with fewer than 20 known good values, has no limits. The score of a unit is

        min(max |z|, limit) + sum over tags of min(|z| - limit, limit), where |z| is above limit

    that is: inside all limits its worst tag, outside how many and how far. No tag counts for more than one
    at twice the limit, so that a broken sensor does not outvote several that agree. A missing or infinite
    value is inside its limits; a unit without any value has the base rate.

    Quantiles of the score, closer towards the top, divide the training rows into at most seven steps. The
    defect rate of each is shrunk towards the base rate as in `RecentRateClassifier`, and neighbours that
    fall are pooled. Within a step the odds rise by about a thousandth, which keeps the ranking.
    Where the rule tells much, shrinking promises somewhat too few defects.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns to use; by default the numeric ones that end in ``.last``, or all numeric ones if none does.
    limit : float, default 3.0
        Control limit [sigma].
    strength : float, default 20.0
        Weight of the base rate in each step [units].

    Attributes
    ----------
    classes_ : numpy.ndarray
        ``[0, 1]``.
    base_rate_ : float
        Share of defects among the training rows.
    columns_ : list of str
        The columns that have limits.
    median_, below_, above_ : numpy.ndarray, shape (n_columns,)
        Median of each, and its sigma on either side [unit of the tag].
    edges_ : numpy.ndarray, shape (n_steps - 1,)
        Highest score of each step but the last.
    rates_ : numpy.ndarray, shape (n_steps,)
        Defect rate of each step, never falling.

    Examples
    --------
    >>> X = pd.DataFrame({"press.force.last": [8.0, 9.0, 10.0, 11.0, 12.0] * 40})
    >>> X.iloc[-4:] = 16.0
    >>> model = SpcRuleClassifier().fit(X, [0] * 196 + [1] * 4)
    >>> model.predict_proba(pd.DataFrame({"press.force.last": [10.0, 12.0, 15.0, None]}))[:, 1].round(3)
    array([0.003, 0.004, 0.183, 0.02 ])
    """

    def __init__(self, columns: Sequence[str] | None = None, limit: float = 3.0, strength: float = 20.0) -> None:
        self.columns = columns
        self.limit = limit
        self.strength = strength

    def fit(self, X: pd.DataFrame, y: object) -> "SpcRuleClassifier":
        """Take limits from the good rows, and the rate of each step from all.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_rows, n_columns)
            Rows in any order.
        y : array-like of shape (n_rows,)
            1 defect, 0 good.

        Raises
        ------
        NotEnoughData
            Only one class.
        ValueError
            A column of `columns` is not in `X`; `limit` or `strength` is not above 0.
        """
        if self.limit <= 0 or self.strength <= 0:
            raise ValueError(f"spc_rule: found limit={self.limit}, strength={self.strength}; expected both above 0")
        labels = binary_labels(y, "spc_rule")
        self._take_limits(X, labels == 0)
        self.base_rate_ = float(labels.mean())
        score, measured = self._scores(X)
        score, labels = score[measured], labels[measured]
        edges = np.unique(np.quantile(score, _STEPS, method="lower")) if len(score) else np.array([])
        self.edges_ = edges[edges < score.max(initial=0.0)]  # nobody is above the highest score
        step = np.searchsorted(self.edges_, score)
        defects, units = (np.bincount(step, w, len(self.edges_) + 1) for w in (labels, np.ones(len(labels))))
        weight = units + self.strength
        rates = (defects + self.strength * self.base_rate_) / weight
        self.rates_ = isotonic_regression(rates, sample_weight=weight)
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        score, measured = self._scores(X)
        within = 0.001 * score / (score + self.limit)
        defect = expit(logit(self.rates_[np.searchsorted(self.edges_, score)]) + within)
        defect = np.where(measured, defect, self.base_rate_)
        return np.column_stack([1.0 - defect, defect])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _columns(self, X: pd.DataFrame) -> list[str]:
        if self.columns is None:
            numeric = list(X.select_dtypes("number").columns)
            return [c for c in numeric if str(c).endswith(".last")] or numeric
        if unknown := [c for c in self.columns if c not in X.columns]:
            raise ValueError(f"spc_rule: columns not in the features: {', '.join(unknown)}")
        return list(self.columns)

    def _take_limits(self, X: pd.DataFrame, good: np.ndarray) -> None:
        limits = {}
        for column in self._columns(X):
            values = _numbers(X, column)[good]
            values = values[~np.isnan(values)]
            if len(values) >= _MIN_GOODS:
                low, median, high = np.quantile(values, (0.025, 0.5, 0.975))
                below, above = (median - low) / _SIGMAS, (high - median) / _SIGMAS
                if max(below, above) > 0:
                    limits[column] = (median, below or above, above or below)
        self.columns_ = list(limits)
        self.median_, self.below_, self.above_ = np.array(list(limits.values())).reshape(-1, 3).T

    def _scores(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Score of each row, and whether it has a value in any column; a column at a time, to save memory."""
        worst, outside, measured = np.zeros(len(X)), np.zeros(len(X)), np.zeros(len(X), dtype=bool)
        for column, median, below, above in zip(self.columns_, self.median_, self.below_, self.above_, strict=True):
            distance = _numbers(X, column) - median
            known = ~np.isnan(distance)
            z = np.where(known, np.maximum(distance / above, -distance / below), 0.0)
            np.maximum(worst, z, out=worst)
            outside += np.clip(z - self.limit, 0.0, self.limit)
            measured |= known
        return np.minimum(worst, self.limit) + outside, measured


def _numbers(X: pd.DataFrame, column: str) -> np.ndarray:
    values = X[column].to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isinf(values), np.nan, values)


def _text(X: pd.DataFrame, column: str) -> pd.Series:
    values = X[column].astype(object)
    return values.where(values.isna(), values.astype(str))


def _shrunk_rate(defects: float, units: float, strength: float, towards: float) -> float:
    return float((defects + strength * towards) / (units + strength))


def _odds(rate: float) -> float:
    return rate / (1.0 - rate)
