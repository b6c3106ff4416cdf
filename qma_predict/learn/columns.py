"""The columns of a table, read as numbers or as categories, whatever type they come in."""

import hashlib
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _get_feature_names, check_array

MIN_ROWS = 10
"""What fewer rows say, a value or its absence, is not learnt."""

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond count as missing."""

_ROUNDING = 1e-12
_FAR = 1e4
_NUMBER = (Real, Decimal, np.bool_)
_TIME = (date, time, timedelta, pd.Period, np.datetime64, np.timedelta64)
_LOOKED_AT = 1000
_NEARLY_ALL = 0.9
_DECIMAL = r"\s*[+-]?\d*[.,]\d+([eE][+-]?\d+)?\s*"


def names_of(X: object) -> list | None:
    """Return the names of a table's columns, whatever they are; None for an array, which has none."""
    names = X.columns if isinstance(X, pd.DataFrame) else _get_feature_names(X)
    return None if names is None else list(names)


def as_frame(X: object, at_least: int = 1, estimator: BaseEstimator | None = None) -> pd.DataFrame:
    """Return a frame as it is, another table as a frame, and an array as a frame with its positions as names.

    Parameters
    ----------
    X : DataFrame, table of another library (pyarrow, polars) or array-like, shape (n_rows, n_columns)
    at_least : int, default 1
        Rows that an array must have.
    estimator : estimator, optional
        Who asks, for messages.

    Raises
    ------
    ValueError, TypeError
        A name occurs twice, or as scikit-learn's `check_array`, where `X` is no table.
    """
    if isinstance(X, pd.DataFrame):
        if not X.columns.is_unique:
            twice = X.columns[X.columns.duplicated()].unique()
            raise ValueError(f"features: names found twice: {', '.join(map(str, twice))}. Expected each once.")
        return X
    told = {"ensure_min_samples": at_least, "estimator": estimator, "input_name": "X"}
    return pd.DataFrame(check_array(X, dtype=None, ensure_all_finite=False, **told), columns=names_of(X))


def is_number(column: pd.Series) -> bool:
    """Return whether a column holds numbers (or truth values), not texts.

    A column of Python objects holds numbers if most of its known values are numbers; its texts, such as "n/a", then
    count as missing. Numbers that are written as texts are texts: they may be the codes of a supplier.

    Examples
    --------
    >>> [is_number(pd.Series(values, dtype=object)) for values in ([1.5, None, "n/a", 2], ["1", "2"], ["P1", 7])]
    [True, False, False]
    """
    if column.dtype != object:
        return bool(pd.api.types.is_numeric_dtype(column.dtype))
    return _are_mostly(_NUMBER, column)


def is_time(column: pd.Series) -> bool:
    """Return whether a column holds times, dates, periods or durations, by its type or as most of its Python objects.

    Examples
    --------
    >>> days = pd.Series(pd.to_datetime(["2026-01-05", None]))
    >>> [is_time(one) for one in (days, days.dt.date, days.astype("category"), days.dt.to_period("D"), days.dt.year)]
    [True, True, True, True, False]
    """
    dtype = column.cat.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
    return _are_mostly(_TIME, column) if pd.api.types.is_object_dtype(dtype) else issubclass(dtype.type, _TIME)


def _are_mostly(kinds: tuple[type, ...], column: pd.Series) -> bool:
    known = column[_is_known(column)]
    return sum(isinstance(value, kinds) for value in known) > len(known) / 2


def _is_known(column: pd.Series) -> pd.Series:
    try:
        return column.notna()
    except InvalidOperation:  # a signalling NaN of `Decimal` cannot be compared, not even with itself
        return column.map(lambda value: None if isinstance(value, Decimal) and value.is_snan() else value).notna()


def finite(column: pd.Series) -> np.ndarray:
    """Return a column as float64, with what no float32 could hold as NaN.

    Raises
    ------
    ValueError
        If all that is known of it are texts or times.

    Examples
    --------
    >>> finite(pd.Series([1.0, np.inf, 1e300]))
    array([ 1., nan, nan])
    >>> finite(pd.Series([1.0, "n/a", True], dtype=object))
    array([ 1., nan,  1.])
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
    else:
        objects = column.astype(object)  # categories that are numbers are numbers here
        known = objects[_is_known(objects)]
        if not is_number(objects) and len(known):
            raise ValueError(f"features: column {column.name} held numbers in training, now: {known.iloc[0]!r}")
        values = np.array([_as_float(value) for value in objects], dtype=float)
    return np.where(np.abs(values) <= LARGEST, values, np.nan)


def _as_float(value: object) -> float:
    try:
        return float(value) if isinstance(value, _NUMBER) else np.nan
    except (OverflowError, ValueError):  # a whole number beyond what a float holds, a signalling NaN
        return np.nan


def origin(values: np.ndarray) -> float:
    """Return from where on values are counted in float32: their median where they are far from zero, else zero.

    Far means that the half of them that lies closest together spans less than a ten-thousandth of the median, and that
    float32, of seven digits, would take some of these for equal. Zeros are left aside: where the others are far from
    it, they stand for none. So may any other value that fewer than half of them have.

    Examples
    --------
    >>> origin(np.array([0.0, 1.0, np.nan, 2.0])), origin(np.array([1.7e9, 1.7e9 + 60, 0.0, 0.0, 1.7e9 + 120]))
    (0.0, 1700000060.0)
    """
    some = np.sort(values[~np.isnan(values) & (values != 0)])
    half = len(some) // 2
    if not half:
        return 0.0
    first = int(np.argmin(some[half:] - some[:-half]))
    closest, middle = some[first : first + half + 1], float(np.median(some))
    if np.ptp(closest) >= abs(middle) / _FAR:
        return 0.0
    merged = (np.diff(closest) > 0) & (np.diff(closest.astype(np.float32)) == 0)
    return middle if merged.any() else 0.0


def category_names(column: pd.Series) -> pd.Series:
    """Return a column as texts, the missing as the empty text, with positions as index.

    A whole number has one name, whether it comes as 7 or, since another is missing, as 7.0.

    Examples
    --------
    >>> category_names(pd.Series(["P1", None, 7, 7.0], dtype=object)).tolist()
    ['P1', '', '7', '7']
    """
    if isinstance(column.dtype, pd.StringDtype):
        return column.reset_index(drop=True).fillna("")
    values = column.astype(object).reset_index(drop=True)
    return values.map(_name).where(_is_known(values), "")


def _name(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def written_measurements(frame: pd.DataFrame) -> list:
    """Return the columns whose texts look like measurements: most are distinct, and nearly all are decimal numbers.

    The first thousand rows are looked at.

    Examples
    --------
    >>> written_measurements(pd.DataFrame({"t": ["1.52", "1,49", "-0.3"], "lot": ["101", "102", "103"], "force": 0.1}))
    ['t']
    """
    found = []
    for name in frame.columns:
        column = frame[name].iloc[:_LOOKED_AT]
        if not is_number(column):
            texts = category_names(column)
            texts = texts[texts != ""]
            distinct = texts.drop_duplicates()
            if len(distinct) > len(texts) / 2 and distinct.str.fullmatch(_DECIMAL).mean() > _NEARLY_ALL:
                found.append(name)
    return found


def useful_numbers(frame: pd.DataFrame, names: list) -> dict:
    """Return the names of the columns that say something, and not the same as one before, as `PlantColumns` has it.

    Each with the `origin` of its values.
    """
    kept, seen = {}, set()
    for name in names:
        values = finite(frame[name])
        known = ~np.isnan(values)
        some = values[known]
        if len(some) < min(MIN_ROWS, len(values)):
            continue
        if np.ptp(some) <= _ROUNDING * np.abs(some).max() and len(values) - len(some) < MIN_ROWS:
            continue
        digest = hashlib.blake2b((values + 0.0).tobytes(), digest_size=16).digest()  # minus zero is zero
        if digest not in seen:
            seen.add(digest)
            kept[name] = origin(values)
    return kept
