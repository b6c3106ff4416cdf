"""Tables of a plant as numbers that any classifier takes: the steps before a recipe's model."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from qma_predict.learn.columns import (
    LARGEST,
    MIN_ROWS,
    as_frame,
    category_names,
    finite,
    is_number,
    is_time,
    useful_numbers,
)

MAX_INDICATORS = 40
"""A text of more categories becomes a rate."""

_FOLDS = 5
_IQR_OF_NORMAL = 1.349


class PlantColumns(TransformerMixin, BaseEstimator):
    """The columns of a table worth learning from, as float32; see the parameters for what becomes of them.

    Left out are columns that say nothing or the same as another:

    * numbers known in fewer than `MIN_ROWS` rows, or of one value (unless missing in as many rows: a flag that
      is set or absent), and repetitions of an earlier column, value by value;
    * texts with fewer than `MIN_ROWS` known, or of one category, likewise, and those of `ignore`.

    Numbers keep their values and gaps: no value is clipped, since a glitch may be the defect. Only where all are so far
    from zero that float32 would not tell them apart, as seconds since 1970, they are counted from their median on.
    Infinite counts as missing; a column of Python objects that are mostly numbers is one of numbers
    (`columns.is_number`). A text of at most `MAX_INDICATORS` categories becomes an indicator of each; one of more
    becomes the log odds of the defect rate of its category, shrunk towards the base rate with the weight of as many
    rows as hold two defects (or goods, if they are rarer). While fitting, the rate of a row comes from the four fifths
    of the rows, drawn at random, that it is not in (cross-fitting): its own label never shows in its features. A
    missing text is a category; one never seen has no indicator, and the base rate.

    Columns are found by name, whatever their order, if `X` is a frame.

    Parameters
    ----------
    ignore : sequence of str, default ()
        Columns to leave out. Names that `X` lacks are ignored.
    random_state : int, default 0
        Seed of the fifths.

    Attributes
    ----------
    feature_names_in_ : numpy.ndarray of str
        Columns of the frame; absent when fitted on an array.
    n_features_in_ : int
    numbers_ : dict of name to float
        Numbers in use, by name (by position in an array), and from where on they are counted, 0 unless far from it.
    indicators_ : dict of name to list of str
        Texts in use that become indicators, and their categories.
    rates_ : dict of name to dict of str to float
        Texts in use that become a rate, and the log odds of each category.
    base_ : float
        Log odds of the base rate.

    Examples
    --------
    >>> X = pd.DataFrame({"oven.machine": ["O1"] * 30 + ["O2"] * 30, "oven.t.last": range(60), "oven.on.last": 1.0})
    >>> columns = PlantColumns().fit(X, [0] * 57 + [1] * 3)
    >>> columns.get_feature_names_out().tolist()
    ['oven.t.last', 'oven.machine=O1', 'oven.machine=O2']
    >>> columns.transform(X.assign(**{"oven.machine": "O3"}))[-1:]
    array([[59.,  0.,  0.]], dtype=float32)
    """

    def __init__(self, ignore: tuple[str, ...] = (), random_state: int = 0) -> None:
        self.ignore = ignore
        self.random_state = random_state

    def fit(self, X: object, y: object, sample_weight: object = None) -> "PlantColumns":
        """Find the columns worth keeping, and the defect rates of the categories.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n_rows, n_columns)
        y : array-like of 0 and 1, shape (n_rows,)
        sample_weight : array-like, shape (n_rows,), optional

        Raises
        ------
        ValueError
            If a column holds times, or two have the same name.
        """
        self._fit(X, np.asarray(y, dtype=float), _weights(sample_weight, y))
        return self

    def fit_transform(self, X: object, y: object, sample_weight: object = None) -> np.ndarray:
        """Fit, and return the rows with rates that their own labels are not in; see `fit`."""
        labels, weight = np.asarray(y, dtype=float), _weights(sample_weight, y)
        frame = self._fit(X, labels, weight)
        values = self._values(frame)
        fold = stratified_folds(labels, self.random_state)
        for place, name in enumerate(self.rates_, start=len(self.numbers_)):
            values[:, place] = self._cross_fitted(category_names(frame[name]), labels, weight, fold)
        return values

    def transform(self, X: object) -> np.ndarray:
        """Return the columns in use, shape (n_rows, n_columns_out), float32, missing ones as NaN.

        Raises
        ------
        ValueError
            If `X` lacks a column in use, or one that held numbers holds a text.
        """
        check_is_fitted(self)
        return self._values(as_frame(X))

    def _values(self, frame: pd.DataFrame) -> np.ndarray:
        used = [*self.numbers_, *self.rates_, *self.indicators_]
        if missing := [str(name) for name in used if name not in frame.columns]:
            raise ValueError(f"features: columns are missing: {', '.join(missing)}. Expected those of training.")
        values = np.zeros((len(frame), len(self.get_feature_names_out())), dtype=np.float32)
        for place, (name, start) in enumerate(self.numbers_.items()):
            values[:, place] = np.clip(finite(frame[name]) - start, -LARGEST, LARGEST)
        place = len(self.numbers_)
        for name, rates in self.rates_.items():
            values[:, place] = category_names(frame[name]).map(rates).astype(float).fillna(self.base_)
            place += 1
        for name, categories in self.indicators_.items():
            which = pd.Index(categories).get_indexer(category_names(frame[name]))
            rows = np.flatnonzero(which >= 0)
            values[rows, place + which[rows]] = 1.0
            place += len(categories)
        return values

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns that come out, shape (n_columns_out,)."""
        check_is_fitted(self)
        names = [str(name) for name in [*self.numbers_, *self.rates_]]
        names += [f"{name}={category}" for name, categories in self.indicators_.items() for category in categories]
        return np.array(names or ["nothing"], dtype=object)  # a classifier needs a column, even of zeros

    def _fit(self, X: object, labels: np.ndarray, weight: np.ndarray) -> pd.DataFrame:
        frame = as_frame(X)
        ignored = set(self.ignore)
        names = [name for name in frame.columns if name not in ignored]
        if times := [str(name) for name in names if is_time(frame[name])]:
            raise ValueError(
                f"features: columns {', '.join(times)} hold times. Expected numbers or texts. Make them numbers, "
                "such as hours since an event of the unit, or leave them out."
            )
        numeric = {name for name in names if is_number(frame[name])}
        self.numbers_ = useful_numbers(frame, [name for name in names if name in numeric])
        rate = np.average(labels, weights=weight)
        self.base_ = float(logit(np.clip(rate, 1e-6, 1 - 1e-6)))
        self.rates_: dict[str, dict[str, float]] = {}
        self.indicators_: dict[str, list[str]] = {}
        for name in names:
            if name not in numeric:
                self._fit_text(name, category_names(frame[name]), labels, weight)
        self.n_features_in_ = frame.shape[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array([str(name) for name in X.columns], dtype=object)
        return frame

    def _fit_text(self, name: str, categories: pd.Series, labels: np.ndarray, weight: np.ndarray) -> None:
        counts = categories.value_counts()
        if counts.drop("", errors="ignore").sum() < min(MIN_ROWS, len(categories)) or len(counts) == 1:
            return
        frequent = sorted(counts.index[counts >= MIN_ROWS])
        if len(counts) <= MAX_INDICATORS:
            if frequent:
                self.indicators_[name] = frequent
        else:
            self.rates_[name] = self._rates(categories, labels, weight).to_dict()

    def _rates(self, categories: pd.Series, labels: np.ndarray, weight: np.ndarray) -> pd.Series:
        base = expit(self.base_)
        prior = 2.0 / min(base, 1.0 - base)
        sums = pd.DataFrame({"defects": weight * labels, "rows": weight}).groupby(categories.to_numpy()).sum()
        return pd.Series(logit((sums["defects"] + prior * base) / (sums["rows"] + prior)))

    def _cross_fitted(
        self, categories: pd.Series, labels: np.ndarray, weight: np.ndarray, fold: np.ndarray
    ) -> np.ndarray:
        values = np.empty(len(labels))
        for number in range(_FOLDS):
            out = fold == number
            rates = self._rates(categories[~out], labels[~out], weight[~out])
            values[out] = categories[out].map(rates).astype(float).fillna(self.base_)
        return values


class FilledAndScaled(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Gaps filled with the median, tails tamed, columns in standard deviations: for classifiers that need it.

    A value's distance from the median is told in robust standard deviations (the interquartile range by 1.349; the
    standard deviation where that range is 0). Beyond `usual` it grows ever less, ``d -> usual * (2 - usual / d)``, up
    to twice as much: a larger value stays a larger one, since it may be the defect, but a tail, or a code such as
    65535 where nothing was measured, does not leave all other values side by side. Later values beyond the least and
    the largest of those that were learnt from are taken for these. Nothing was learnt of what lies beyond. A column
    that was all missing is 0.

    Parameters
    ----------
    usual : float, default 10.0
        Distance from which on a value is in the tail [robust standard deviations].

    Attributes
    ----------
    median_, spread_, least_, largest_ : numpy.ndarray, shape (n_columns,)
        Of the values as they are.
    mean_, scale_ : numpy.ndarray, shape (n_columns,)
        Of the distances, filled and tamed.

    References
    ----------
    Huber, P. (1981). Robust Statistics: influence that is bounded; here in the columns.

    Examples
    --------
    >>> FilledAndScaled().fit_transform(np.array([[1.0], [3.0], [np.nan], [2.0]])).round(2).T.tolist()
    [[-1.41, 1.41, 0.0, 0.0]]
    >>> FilledAndScaled().fit_transform(np.array([[1.0], [2.0], [3.0], [4.0], [65535.0]])).round(2).T.tolist()
    [[-0.62, -0.54, -0.46, -0.37, 1.99]]
    """

    def __init__(self, usual: float = 10.0) -> None:
        self.usual = usual

    def fit(self, X: np.ndarray, y: object = None) -> "FilledAndScaled":
        """Take median, spread and range of the known values, and how their distances vary, a column at a time."""
        X = check_array(X, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan")
        statistics = [_statistics(X[:, place], self.usual) for place in range(X.shape[1])]
        columns = np.array(statistics).T
        self.median_, self.spread_, self.least_, self.largest_, self.mean_, self.scale_ = columns
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the values filled, tamed and scaled, shape (n_rows, n_columns), float64."""
        check_is_fitted(self)
        X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")
        values = np.where(np.isnan(X), self.median_, X)
        np.clip(values, self.least_, self.largest_, out=values)
        values -= self.median_
        values /= self.spread_
        _tame(values, self.usual)
        values -= self.mean_
        values /= self.scale_
        return values


def stratified_folds(labels: np.ndarray, random_state: int) -> np.ndarray:
    """Return a fold from 0 to 4 for each row at random, with equal shares of each class (to a row).

    Unequal shares would show: where a fold has more defects, the rates from the other folds are lower.
    """
    rng = np.random.default_rng(random_state)
    fold = np.empty(len(labels), dtype=int)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        fold[rows] = rng.permutation(len(rows)) % _FOLDS
    return fold


def _weights(sample_weight: object, y: object) -> np.ndarray:
    if sample_weight is None:
        return np.ones(len(np.asarray(y)))
    return np.asarray(sample_weight, dtype=float)


def _statistics(values: np.ndarray, usual: float) -> tuple[float, ...]:
    known = values[~np.isnan(values)].astype(float)
    if not len(known):
        return 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    spread = float(high - low) / _IQR_OF_NORMAL or float(known.std()) or 1.0
    distances = np.zeros(len(values))  # a gap has none
    distances[: len(known)] = (known - median) / spread
    _tame(distances, usual)
    mean, scale = float(distances.mean()), float(distances.std()) or 1.0
    return float(median), spread, float(known.min()), float(known.max()), mean, scale


def _tame(distances: np.ndarray, usual: float) -> None:
    """Let distances grow ever less beyond the usual, each by itself: a row's do not depend on the others."""
    far = np.abs(distances) > usual
    distances[far] = np.copysign(usual * (2.0 - usual / np.abs(distances[far])), distances[far])
