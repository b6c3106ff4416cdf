"""Values as the plant writes them, read as ours; what cannot be read becomes missing."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qma_predict.line import Source
from qma_predict.line.kinds import EPOCHS

TIME = "datetime64[us, UTC]"

_FLAGS = dict.fromkeys(["true", "1", "ok", "pass", "passed", "yes", "good", "io", "i.o."], True)
_FLAGS |= dict.fromkeys(["false", "0", "nok", "not ok", "fail", "failed", "no", "bad", "nio", "n.i.o."], False)

_DATE_AND_TIME = r"\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}[\d:.]*"
_OFFSET = _DATE_AND_TIME + r" ?(?:Z|(?:\+(?:0\d|1[0-4])|-(?:0\d|1[0-2]))(?::?\d{2})?)"
_RANGE = r"\S+ \d{1,2}:\d{2} ?-\d{1,2}:\d{2}"
"""Such as `2025-05-01 08:30-09:00`: from then to then, and no offset."""
_LOCAL = rf"{_DATE_AND_TIME}|\d{{4}}-?\d{{2}}-?\d{{2}}"
_MIDNIGHT = r"^(\d{4}-\d{2}-\d{2})[T ]00:00(?::00(?:\.0+)?)?$"

_GROUPED = {
    ",": r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d*)?",
    ".": r"[-+]?[1-9]\d{0,2}(?:,\d{3})+\.\d*",
}
"""Numbers with signs for thousands, by the decimal sign. A comma alone, the decimal sign of others, is not taken."""
_POINTED = r"[-+]?\d*\.\d+"
"""Numbers with a decimal point."""

_FIRST, _END = -62_135_596_800, 253_402_300_800
"""Seconds since 1970 at which year 1 begins and year 9999 ends."""


def tidied(values: pd.Series) -> pd.Series:
    """Text without blanks around it, and missing where nothing is left; numbers, flags and times as they are."""
    kind = values.dtype
    if pd.api.types.is_any_real_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
        return values
    if pd.api.types.is_datetime64_any_dtype(kind):
        return values
    if values.dtype != "str":
        values = values.astype(object).map(_written, na_action="ignore").astype("str")
    text = values.str.strip()
    return text.mask(text == "")


def _written(cell: object) -> str:
    """A cell as text; bytes and halves of signs that are none are replaced by a mark."""
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    return str(cell).encode(errors="replace").decode()


def joined(parts: Sequence[pd.Series], source: Source) -> pd.Series:
    """Texts of several columns with a blank between, missing where a part is; one column as it is.

    Typed times are written as the source writes them. Of a moment at midnight the date alone counts: beside another
    part it is a date whose cell has no time.
    """
    if len(parts) == 1:
        return parts[0]
    forms = source.time_format.split(" ")
    if len(forms) != len(parts) or source.time_format in EPOCHS:
        forms = ["%Y-%m-%d"] * len(parts)
    first, *others = (_part(part, form) for part, form in zip(parts, forms, strict=True))
    return first.str.cat(others, sep=" ")


def _part(values: pd.Series, form: str) -> pd.Series:
    """One of several columns as text; `form` is that of its dates."""
    text = texts(tidied(values)).str.replace(_MIDNIGHT, r"\1", regex=True)
    if pd.api.types.is_datetime64_dtype(values.dtype):
        dates = (values == values.dt.normalize()) & values.dt.year.between(1, 9999)  # what strftime can write
        return text.mask(dates, values.where(dates).dt.strftime(form).astype("str"))
    return text


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
    """Finite numbers, written with the source's decimal sign; see `with_points` for signs for thousands."""
    if values.dtype == "str":
        values = with_points(values, source.decimal)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(np.nan, index=values.index)
    read = pd.to_numeric(values, errors="coerce").astype("float64") + 0.0  # -0.0 and 0.0 are the same value
    return read.where(np.isfinite(read))


def with_points(written: pd.Series, decimal: str) -> pd.Series:
    """Texts of numbers with a point as decimal sign and nothing between thousands.

    Signs for thousands are left out where each stands before three digits: of `1.234,5` and `1.234` where the decimal
    sign is a comma, of `1,234.5` where it is a point. Any other text with the sign that is not the decimal one becomes
    missing. In a column that also has points of another kind, as in `12.25`, neither does `1.234` mean a thousand.

    Parameters
    ----------
    written : Series of str, shape (n_rows,)
        The values of a column, missing where there is none.
    decimal : {",", "."}

    Returns
    -------
    Series of str, shape (n_rows,)
    """
    other = "." if decimal == "," else ","
    signed = written.str.contains(other, regex=False, na=False)
    if signed.any():
        grouped = written[signed].str.fullmatch(_GROUPED[decimal])
        if written[signed][~grouped].str.fullmatch(_POINTED).any():
            grouped &= written[signed].str.contains(",", regex=False)
        plain = written[signed].str.replace(other, "", regex=False).where(grouped)
        written = written.where(~signed, plain)
    return written.str.replace(",", ".", regex=False) if decimal == "," else written


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
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = values.where(values.dt.year.between(1, 9999))  # finer units than the file's do not reach farther
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            return values.astype(TIME)
        return _localised(values, source, later)
    if source.time_format in EPOCHS:
        return _since_1970(values, source)
    result = pd.Series(pd.NaT, index=values.index, dtype=TIME)
    if values.dtype != "str":
        return result
    if source.time_format == "ISO8601":
        aware, local = (values.str.fullmatch(pattern, na=False) for pattern in (_OFFSET, _LOCAL))
        if aware.any():
            aware &= ~values.str.fullmatch(_RANGE, na=False)
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


def later(read: pd.Series, given: pd.Series, source: Source) -> pd.Series:
    """Moments that `times` read, of an hour that a clock change repeats the later instant; `given` as there."""
    near = read.where(read.dt.year.between(1900, 9000))  # clocks change within these years only, so far
    local = near.dt.tz_convert(source.timezone).dt.tz_localize(None)
    repeated = near.notna() & local.dt.tz_localize(source.timezone, ambiguous="NaT").isna()
    return read.mask(repeated, times(given[repeated], source, later=True)) if repeated.any() else read


def _since_1970(values: pd.Series, source: Source) -> pd.Series:
    """Moments from how many of the format's unit passed since 1970 in UTC; beyond the years 1 to 9999 none."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[source.time_format.removeprefix("epoch ")]
    result = pd.Series(pd.NaT, index=values.index, dtype=TIME)
    if pd.api.types.is_bool_dtype(values.dtype):
        return result
    counts = numbers(values, source)
    near = (counts >= _FIRST * per_second) & (counts < _END * per_second) & (counts.abs() < 9e18)  # int64 ends there
    if values.dtype == "str":
        whole = near & values.str.fullmatch(r"[+-]?[0-9]+", na=False)
    else:
        whole = near & pd.api.types.is_integer_dtype(values.dtype)
    exact = pd.to_numeric(values[whole]).astype("int64")  # as floats, nanoseconds would be rounded
    micros = exact // (per_second // 10**6) if per_second > 10**6 else exact * (10**6 // per_second)
    result[whole] = pd.to_datetime(micros, unit="us", utc=True).astype(TIME)
    rough = near & ~whole
    micros = (counts[rough] * (10**6 / per_second)).round().astype("int64")
    result[rough] = pd.to_datetime(micros, unit="us", utc=True).astype(TIME)
    return result


def _localised(values: pd.Series, source: Source, later: bool) -> pd.Series:
    earlier = np.full(len(values), not later)
    edge = (values < pd.Timestamp("0001-01-03")) | (values > pd.Timestamp("9999-12-29"))  # impossible in any zone
    local = (values.mask(edge) if edge.any() else values).dt.tz_localize(
        source.timezone, ambiguous=earlier, nonexistent="NaT"
    )
    result = local.dt.tz_convert("UTC").astype(TIME)
    return result.fillna(values[edge].dt.tz_localize("UTC").astype(TIME)) if edge.any() else result
