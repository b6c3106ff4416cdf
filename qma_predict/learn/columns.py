"""The columns of a table, read as numbers or as categories, whatever type they come in."""

import hashlib
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

MIN_ROWS = 10
"""What fewer rows say, a value or its absence, is not learnt."""

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond count as missing."""

_ROUNDING = 1e-12
_FAR = 1e4
_NUMBER = (Real, Decimal, np.bool_)


def as_frame(X: object) -> pd.DataFrame:
    """Return a frame as it is, and an array as a frame with its positions as names.

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
    return pd.DataFrame(check_array(X, dtype=None, ensure_all_finite=False))


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
    known = column[column.notna()]
    return sum(isinstance(value, _NUMBER) for value in known) > len(known) / 2


def is_time(column: pd.Series) -> bool:
    """Return whether a column holds times or durations."""
    return column.dtype.kind in "mM"


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
        known = column[column.notna()]
        if not is_number(column) and len(known):
            raise ValueError(f"features: column {column.name} held numbers in training, now: {known.iloc[0]!r}")
        values = np.array([float(value) if isinstance(value, _NUMBER) else np.nan for value in column], dtype=float)
    return np.where(np.abs(values) <= LARGEST, values, np.nan)


def origin(values: np.ndarray) -> float:
    """Return from where on values are counted in float32: their median where they are far from zero, else zero.

    Far means that the middle half of them spans less than a ten-thousandth of the median: there float32, of seven
    digits, has no more than about a thousand numbers to tell them apart.

    Examples
    --------
    >>> origin(np.array([0.0, 1.0, np.nan, 2.0])), origin(np.array([1.7e9, 1.7e9 + 60, 1.7e9 + 120]))
    (0.0, 1700000060.0)
    """
    low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75])
    return float(middle) if high - low < abs(middle) / _FAR else 0.0


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
    return values.map(_name).where(values.notna(), "")


def _name(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


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
