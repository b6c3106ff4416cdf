"""The contract: the tables a plant's data must fit, and what is wrong with a row that does not."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from qma_predict.errors import SourceError
from qma_predict.line import Source

TIME = "datetime64[us, UTC]"
EARLIEST = pd.Timestamp("1990-01-01", tz="UTC")
"""No row is older: before it, a time is a default of some device (1970, 1899, year 1)."""

_FLAGS = {"true": True, "1": True, "ok": True, "pass": True, "passed": True, "yes": True, "good": True, "io": True}
_FLAGS |= {"false": False, "0": False, "nok": False, "fail": False, "failed": False, "no": False, "bad": False}
_FLAGS |= {"nio": False, "not ok": False, "n.i.o.": False, "i.o.": True}


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, the kind of its values, and whether each row must have one."""

    name: str
    kind: Literal["text", "number", "time", "flag"] = "text"
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table: what tells its rows apart (`key`), its columns, and which of them says when it happened."""

    key: tuple[str, ...]
    columns: tuple[Column, ...]
    happened: tuple[str, ...] = ("occurred_at",)

    @property
    def values(self) -> tuple[str, ...]:
        """Columns that a correction may change."""
        return tuple(column.name for column in self.columns if column.name not in self.key)

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the table in the lake, with its clocks and the file it came from."""
        kinds = {"text": pa.string(), "number": pa.float64(), "time": pa.timestamp("us", "UTC"), "flag": pa.bool_()}
        clocks = [(name, pa.timestamp("us", "UTC")) for name in ("recorded_at", "ingested_at")]
        own = [(column.name, kinds[column.kind]) for column in self.columns]
        if "occurred_at" not in dict(own):
            own.append(("occurred_at", kinds["time"]))
        return pa.schema([*own, *clocks, ("file_id", pa.string())])


def _key(name: str, kind: Literal["text", "number", "time", "flag"] = "text") -> Column:
    return Column(name, kind, required=True)


_OCCURRED = _key("occurred_at", "time")

TABLES: dict[str, Table] = {
    "units": Table(("unit_id",), (_key("unit_id"), Column("product"), Column("order_no"), _OCCURRED)),
    "visits": Table(
        ("unit_id", "station", "started_at"),
        (_key("unit_id"), _key("station"), _key("started_at", "time"), Column("machine"), Column("ended_at", "time")),
        happened=("ended_at", "started_at"),
    ),
    "readings": Table(
        ("unit_id", "station", "tag", "occurred_at"),
        (_key("unit_id"), _key("station"), _key("tag"), _OCCURRED, Column("value", "number", required=True)),
    ),
    "tags": Table(
        ("station", "tag", "product", "valid_from"),
        (
            *(_key("station"), _key("tag"), Column("product"), _key("valid_from", "time"), Column("unit")),
            *(Column(name, "number") for name in ("set_point", "lower", "upper", "plausible_low", "plausible_high")),
        ),
        happened=("valid_from",),
    ),
    "materials": Table(
        ("unit_id", "lot_id"),
        (_key("unit_id"), _key("lot_id"), Column("material"), Column("supplier"), _OCCURRED),
    ),
    "events": Table(
        ("machine", "kind", "occurred_at"),
        (_key("machine"), _key("kind"), _OCCURRED, Column("text")),
    ),
    "inspections": Table(
        ("unit_id", "gate", "characteristic", "occurred_at"),
        (
            *(_key("unit_id"), _key("gate"), _key("characteristic"), _OCCURRED, Column("passed", "flag", required=True)),
            *(Column(name, "number") for name in ("measured", "lower", "upper")),
            *(Column("code"), Column("reason"), Column("probability", "number")),
        ),
    ),
    "answers": Table(
        ("list_id", "unit_id", "answered_at"),
        (_key("list_id"), _key("unit_id"), _key("answered_at", "time"), Column("code"), Column("text")),
        happened=("answered_at",),
    ),
}


def check(raw: pd.DataFrame, source: Source, now: pd.Timestamp) -> tuple[pd.DataFrame, pd.Series]:
    """Rows of a file as the table of its source wants them, and what is wrong with each.

    Parameters
    ----------
    raw : DataFrame, shape (n_rows, n_plant_columns)
        The file under the plant's own column names; text, or typed where the format has types.
    source : Source
        Table, mapping, zone, decimal sign and delay.
    now : Timestamp, UTC
        Our clock; a row that says it happened more than a day later is impossible.

    Returns
    -------
    rows : DataFrame, shape (n_rows, n_columns)
        Our columns plus `occurred_at` and `recorded_at`, times in UTC. Values that could not be read are missing.
    reasons : Series of str, shape (n_rows,)
        Why a row breaks the contract; empty where it does not.

    Raises
    ------
    SourceError
        If a required column is not in the file, or the mapping names a column that is neither the file's nor ours.
    """
    table = TABLES[source.table]
    columns = [*table.columns, *([] if source.delay is not None else [_key("recorded_at", "time")])]
    found = _mapping(raw, source, [column for column in columns])
    reasons = _Reasons(len(raw))
    rows = pd.DataFrame(index=raw.index)
    for column in columns:
        if column.name in source.constants:
            values = pd.Series(source.constants[column.name], index=raw.index, dtype="str")
        elif column.name in found:
            values = raw[found[column.name]]
        else:
            values = pd.Series(pd.NA, index=raw.index, dtype="str")
        rows[column.name] = _read(values, column, source, reasons)
    for name in table.key:  # an optional part of a key, such as the product of a tag, is empty for "all"
        if rows[name].dtype == "str":
            rows[name] = rows[name].fillna("")
    occurred = rows[table.happened[0]]
    for name in table.happened[1:]:
        occurred = occurred.fillna(rows[name])
    rows["occurred_at"] = occurred
    if source.delay is not None:
        rows["recorded_at"] = rows["occurred_at"] + pd.Timedelta(source.delay)
    _check_times(rows, table, now, reasons)
    return rows[[name for name in table.schema.names if name in rows]], reasons.series(raw.index)


def _mapping(raw: pd.DataFrame, source: Source, columns: list[Column]) -> dict[str, str]:
    names = {column.name for column in columns}
    strange = sorted((set(source.columns) | set(source.constants)) - names)
    if strange:
        near = difflib.get_close_matches(strange[0], sorted(names), n=1, cutoff=0.0)
        raise SourceError(
            f"source of {source.table}: columns or constants name {strange}, which {source.table} does not have. "
            f"The nearest is {near[0]!r}; known are {', '.join(sorted(names))}."
        )
    found = {ours: theirs for ours, theirs in source.columns.items() if theirs in raw.columns}
    found |= {name: name for name in names if name not in source.columns and name in raw.columns}
    wanted = {column.name for column in columns if column.required} | set(source.columns)
    missing = sorted(source.columns.get(name, name) for name in wanted - set(found) - set(source.constants))
    if missing:
        hint = f" Is the separator {source.separator!r}?" if len(raw.columns) == 1 else ""
        raise SourceError(
            f"columns missing: {', '.join(missing)}. Found: {', '.join(map(str, raw.columns))}. "
            f"Expected each under its plant's name, or mapped in columns.{hint}"
        )
    return found


class _Reasons:
    """Collects why rows are refused; costs nothing where none is."""

    def __init__(self, size: int) -> None:
        self.text = np.full(size, "", dtype=object)

    def add(self, wrong: pd.Series, name: str, what: str, values: pd.Series | None = None) -> None:
        for position in np.flatnonzero(wrong.to_numpy(dtype=bool)):
            shown = "" if values is None else f": {str(values.iloc[position])[:80]!r}"
            before = f"{self.text[position]}; " if self.text[position] else ""
            self.text[position] = f"{before}{name}: {what}{shown}"

    def series(self, index: pd.Index) -> pd.Series:
        return pd.Series(self.text, index=index, dtype="str")


def _read(values: pd.Series, column: Column, source: Source, reasons: _Reasons) -> pd.Series:
    text = pd.api.types.is_string_dtype(values.dtype) or values.dtype == object
    if text:
        values = values.astype("str").str.strip()
        values = values.mask(values == "")
    read = {"text": _texts, "number": _numbers, "time": _times, "flag": _flags}[column.kind]
    expected = {
        "number": f"not a finite number (decimal sign {source.decimal!r})",
        "time": f"not a time ({source.time_format}, {source.timezone})",
        "flag": "not a result (such as OK or NOK)",
    }
    result = read(values, source, column)
    reasons.add(values.notna() & result.isna(), column.name, expected.get(column.kind, "not text"), values)
    if column.required:
        reasons.add(values.isna(), column.name, "missing")
    return result


def _texts(values: pd.Series, source: Source, column: Column) -> pd.Series:
    if pd.api.types.is_float_dtype(values.dtype) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")  # a code read as a number: 4711, not 4711.0
    return values.astype("str")


def _numbers(values: pd.Series, source: Source, column: Column) -> pd.Series:
    if source.decimal == "," and values.dtype == "str":
        values = values.str.replace(",", ".", regex=False)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _flags(values: pd.Series, source: Source, column: Column) -> pd.Series:
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean")
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.map({1: True, 0: False}).astype("boolean")
    return values.str.lower().map(_FLAGS).astype("boolean")


_OFFSET = re.compile(r"(?:[zZ]|\d[+-]\d{2}:?\d{2})$")


def _times(values: pd.Series, source: Source, column: Column) -> pd.Series:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.astype(TIME)
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _localised(values, source, column)
    if values.dtype != "str":
        return pd.Series(pd.NaT, index=values.index, dtype=TIME)
    with_offset = values.str.contains(_OFFSET, na=False) & (source.time_format == "ISO8601")
    result = pd.Series(pd.NaT, index=values.index, dtype=TIME)
    for chosen, utc in ((with_offset, True), (~with_offset & values.notna(), False)):
        if chosen.any():
            parsed = pd.to_datetime(values[chosen], format=source.time_format, errors="coerce", utc=utc)
            aware = isinstance(parsed.dtype, pd.DatetimeTZDtype)
            result[chosen] = parsed.astype(TIME) if aware else _localised(parsed, source, column)
    return result


def _localised(values: pd.Series, source: Source, column: Column) -> pd.Series:
    """Local times as UTC. Of the hour that a clock change repeats, the earlier instant; for `recorded_at` the later.

    So nothing is known too early, and nothing seems to be recorded before it happened.
    """
    earlier = np.full(len(values), column.name != "recorded_at")
    local = values.dt.tz_localize(source.timezone, ambiguous=earlier, nonexistent="NaT")
    return local.dt.tz_convert("UTC").astype(TIME)


def _check_times(rows: pd.DataFrame, table: Table, now: pd.Timestamp, reasons: _Reasons) -> None:
    happened, recorded = rows["occurred_at"], rows["recorded_at"]
    reasons.add(happened < EARLIEST, "occurred_at", f"impossible time, before {EARLIEST:%Y-%m-%d}", happened)
    reasons.add(happened > now + pd.Timedelta("1D"), "occurred_at", "impossible time, in the future", happened)
    reasons.add(recorded < happened, "recorded_at", "impossible time, recorded before it happened", recorded)
    if "ended_at" in rows:
        reasons.add(rows["ended_at"] < rows["started_at"], "ended_at", "impossible time, before started_at", rows["ended_at"])


def reconcile(incoming: pd.DataFrame, existing: pd.DataFrame, table: Table) -> pd.Series:
    """What each incoming row is: `accepted`, `duplicate` or `conflict`.

    Same key and same values as the version before it is a duplicate; same key with a later `recorded_at` and
    other values is a correction, which is accepted; same key and same `recorded_at` with other values is a
    conflict, and none of the conflicting incoming rows is taken. Row order does not matter beyond which of
    two equal rows is called the duplicate.

    Parameters
    ----------
    incoming, existing : DataFrame
        Rows of the table; `existing` holds at least every row of the lake whose key occurs in `incoming`.
    table : Table
        The table of both.
    """
    columns = [*table.key, "recorded_at", *table.values]
    both = pd.concat([existing[columns], incoming[columns]], ignore_index=True)
    both = both[both.duplicated(list(table.key), keep=False)]  # the others are accepted as they are
    both["values"] = pd.util.hash_pandas_object(both[list(table.values)].astype("str"), index=False)
    version = [*table.key, "recorded_at"]
    repeated = both.duplicated([*version, "values"])
    once = both[~repeated]
    several = once.groupby(version, sort=False, dropna=False)["values"].transform("size") > 1
    settled = once[~several].sort_values("recorded_at", kind="stable")
    same_as_before = settled["values"] == settled.groupby(list(table.key), sort=False, dropna=False)["values"].shift()
    verdict = np.full(len(existing) + len(incoming), "accepted", dtype=object)
    verdict[once.index[several]] = "conflict"
    verdict[both.index[repeated]] = "duplicate"
    verdict[settled.index[same_as_before]] = "duplicate"
    return pd.Series(verdict[len(existing) :], index=incoming.index, dtype="str")
