"""Values as the plant writes them, read as ours; what cannot be read becomes missing."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qma_predict.line import Source

TIME = "datetime64[us, UTC]"

_FLAGS = dict.fromkeys(["true", "1", "ok", "pass", "passed", "yes", "good", "io", "i.o."], True)
_FLAGS |= dict.fromkeys(["false", "0", "nok", "not ok", "fail", "failed", "no", "bad", "nio", "n.i.o."], False)

_DATE_AND_TIME = r"\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}[\d:.]*"
_OFFSET = _DATE_AND_TIME + r" ?(?:Z|[+-]\d{2}(?::?\d{2})?)"
_LOCAL = rf"{_DATE_AND_TIME}|\d{{4}}-?\d{{2}}-?\d{{2}}"


def tidied(values: pd.Series) -> pd.Series:
    """Text without blanks around it, and missing where nothing is left; other types as they are."""
    if values.dtype != object and not pd.api.types.is_string_dtype(values.dtype):
        return values
    text = values.astype("str").str.strip()
    return text.mask(text == "")


def replaced(values: pd.Series, words: Mapping[str, str]) -> pd.Series:
    """Tidied values in our words where the source gives them; without words, as they are."""
    return texts(tidied(values)).replace(dict(words)) if words else tidied(values)


def texts(values: pd.Series) -> pd.Series:
    """Names and codes. A code that came as a number is written without decimals: 4711, not 4711.0."""
    if pd.api.types.is_float_dtype(values.dtype):
        present = values.dropna()
        if ((present % 1 == 0) & (present.abs() < 2**53)).all():
            values = values.astype("Int64")
    return values.astype("str")


def numbers(values: pd.Series, source: Source) -> pd.Series:
    """Finite numbers, written with the source's decimal sign and without a sign for thousands."""
    if values.dtype == "str" and source.decimal == ",":
        # a point would be one for thousands: 1.234 is not 1.234
        values = values.mask(values.str.contains(".", regex=False, na=False)).str.replace(",", ".", regex=False)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(np.nan, index=values.index)
    read = pd.to_numeric(values, errors="coerce").astype("float64") + 0.0  # -0.0 and 0.0 are the same value
    return read.where(np.isfinite(read))


def flags(values: pd.Series) -> pd.Series:
    """Results of an inspection: true is good. Words in any case, or 1 and 0."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean")
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.map({1: True, 0: False}).astype("boolean")
    return values.astype("str").str.lower().map(_FLAGS).astype("boolean")


def times(values: pd.Series, source: Source, *, later: bool = False) -> pd.Series:
    """Moments [UTC]: those with an offset by it, local ones by the source's zone.

    A local time that a clock change skips cannot be read. Of the hour that it repeats, the earlier instant is
    taken, or with `later` the later one.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.astype(TIME)
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _localised(values, source, later)
    result = pd.Series(pd.NaT, index=values.index, dtype=TIME)
    if values.dtype != "str":
        return result
    if source.time_format == "ISO8601":
        aware, local = (values.str.fullmatch(pattern, na=False) for pattern in (_OFFSET, _LOCAL))
    else:
        # without a digit it is a word, of which pandas reads "now" and "today" as times
        written = values.str.contains(r"\d", na=False)
        has_offset = "%z" in source.time_format
        aware, local = written & has_offset, written & (not has_offset)
    if aware.any():
        parsed = pd.to_datetime(values[aware], format=source.time_format, errors="coerce", utc=True)
        result[aware] = parsed.astype(TIME)
    if local.any():
        parsed = pd.to_datetime(values[local], format=source.time_format, errors="coerce")
        result[local] = _localised(parsed, source, later)
    return result


def _localised(values: pd.Series, source: Source, later: bool) -> pd.Series:
    earlier = np.full(len(values), not later)
    local = values.dt.tz_localize(source.timezone, ambiguous=earlier, nonexistent="NaT")
    return local.dt.tz_convert("UTC").astype(TIME)
