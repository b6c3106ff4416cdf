"""The contract: the tables a plant's data must fit, and what is wrong with a row that does not."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pandas as pd
import pyarrow as pa

from qma_predict.data import values
from qma_predict.data.kept_units import keep_units
from qma_predict.data.names import normalised
from qma_predict.data.reasons import Reasons
from qma_predict.data.values import TIME
from qma_predict.errors import SourceError
from qma_predict.line import Source
from qma_predict.line.kinds import EPOCHS

EARLIEST = pd.Timestamp("1990-01-01", tz="UTC")
"""No row is older: before it, a time is a default of some device (1970, 1899, year 1)."""

_NO_PROBABILITY = "no probability of having been selected, expected above 0, and 1 at most (0.05 for 5 %)"

_SPREADSHEET_ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")


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
    "readings": Table(  # of a unit at a station, or of a machine
        ("unit_id", "machine", "station", "tag", "occurred_at"),
        (
            *(Column("unit_id"), Column("machine"), Column("station"), _key("tag"), _OCCURRED),
            Column("value", "number", required=True),
        ),
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
            *(
                _key("unit_id"),
                _key("gate"),
                _key("characteristic"),
                _OCCURRED,
                Column("passed", "flag", required=True),
            ),
            *(Column(name, "number") for name in ("measured", "lower", "upper")),
            *(Column("code"), Column("reason"), Column("probability", "number")),
        ),
    ),
    "agreement": Table(  # a study of the inspectors: units whose true state is known, judged by several, several times
        ("unit_id", "characteristic", "inspector", "trial"),
        (
            *(_key("unit_id"), Column("characteristic"), _key("inspector"), _key("trial"), _OCCURRED),
            *(Column("passed", "flag", required=True), Column("reference", "flag")),
        ),
    ),
    "answers": Table(
        ("list_id", "unit_id", "answered_at"),
        (_key("list_id"), _key("unit_id"), _key("answered_at", "time"), Column("code"), Column("text")),
        happened=("answered_at",),
    ),
    "issue_answers": Table(  # who looks after an issue, and until which day (YYYY-MM-DD)
        ("list_id", "title", "answered_at"),
        (_key("list_id"), _key("title"), _key("answered_at", "time"), Column("owner"), Column("due")),
        happened=("answered_at",),
    ),
}


def check(
    raw: pd.DataFrame, source: Source, now: pd.Timestamp, units: Mapping[str, str] = MappingProxyType({})
) -> tuple[pd.DataFrame, pd.Series]:
    """Rows of a file as the table of its source wants them, and what is wrong with each.

    Parameters
    ----------
    raw : DataFrame, shape (n_rows, n_plant_columns)
        The file under the plant's own column names; text, or typed where the format has types.
    source : Source
        Table, mapping, zone, decimal sign and delay.
    now : Timestamp, UTC
        Our clock; a time more than a day later is impossible.
    units : mapping, optional
        Pattern of `station.tag` to the unit in which the line keeps it. Numbers whose unit the source gives are
        converted to it; a station that is not known is empty.

    Returns
    -------
    rows : DataFrame, shape (n_rows, n_columns)
        Our columns plus `occurred_at` and `recorded_at`, times in UTC. Values that could not be read are missing.
    reasons : Series of str, shape (n_rows,)
        Why a row breaks the contract, all of it; empty where it does not.

    Raises
    ------
    SourceError
        If a required or mapped column is not in the file.

    Notes
    -----
    Of the hour that a clock change repeats, the earlier instant is taken. Where that would let a stay end before
    it started, and for `recorded_at` always, also where it is a delay after the row happened, the later one: nothing
    is known too early.
    """
    table, columns = TABLES[source.table], columns_of(source)
    theirs = _their_names(raw, source)
    reasons = Reasons(len(raw))
    given, rows = {}, pd.DataFrame(index=raw.index)
    for column in columns:
        if column.name in theirs:
            written = values.joined([raw[name] for name in theirs[column.name]], source)
        else:
            written = pd.Series(source.constants.get(column.name), index=raw.index, dtype="str")
        given[column.name] = values.replaced(written, source.values.get(column.name, {}))
        if column.name == "passed" and _is_told_by_limits(source, theirs):
            continue
        rows[column.name] = _read(given[column.name], column, source, column.name in table.key, reasons)
    if source.table == "readings":
        _check_identity(rows, reasons)
    if "probability" in given:
        chance = rows["probability"]
        reasons.add((chance <= 0) | (chance > 1), "probability", _NO_PROBABILITY, given["probability"])
    if "passed" in given and "passed" not in rows:
        rows["passed"] = _passed(rows, given, reasons)
    if "ended_at" in rows:
        backwards = rows["ended_at"] < rows["started_at"]
        rows["ended_at"] = rows["ended_at"].mask(
            backwards, values.times(given["ended_at"][backwards], source, later=True)
        )
    for name in table.key:  # an optional part of a key, such as the product of a tag, is empty for "all"
        if rows[name].dtype == "str":
            rows[name] = rows[name].fillna("")
    if source.delay is not None:
        last = {name: values.later(rows[name], given[name], source) for name in table.happened}
        rows["recorded_at"] = _happened(last, table) + pd.Timedelta(source.shift) + pd.Timedelta(source.delay)
    rows["occurred_at"] = _happened(rows, table) + pd.Timedelta(source.shift)
    keep_units(rows, source, units, reasons)
    _check_times(rows, given, now + pd.Timedelta(source.shift), reasons)  # the shift is no error of the file's
    return rows[[name for name in table.schema.names if name in rows]], reasons.series(raw.index)


def _happened(moments: Mapping[str, pd.Series] | pd.DataFrame, table: Table) -> pd.Series:
    """When each row happened: the first of the table's moments that is there."""
    first, *others = table.happened
    happened = moments[first]
    for name in others:
        happened = happened.fillna(moments[name])
    return happened


def columns_of(source: Source) -> tuple[Column, ...]:
    """Columns that a source's files may have: those of its table, and `recorded_at` unless a delay stands for it.

    Readings also have `unit` where the source maps it; it is no column of the lake.

    Raises
    ------
    SourceError
        If the mapping names a column that the table does not have, or rules for names one that is no text.
    """
    columns = TABLES[source.table].columns
    mapped = source.columns.keys() | source.constants.keys()
    if source.table == "readings" and "unit" in mapped:
        columns = (*columns, Column("unit"))
    if source.delay is None:
        columns = (*columns, _key("recorded_at", "time"))
    names = [column.name for column in columns]
    strange = sorted((mapped | source.values.keys() | source.normalise.keys()) - set(names))
    if strange:
        near = difflib.get_close_matches(strange[0], names, n=1, cutoff=0.0)
        raise SourceError(
            f"source of {source.table}: columns, constants, values or normalise name {', '.join(strange)}, "
            f"which {source.table} does not have. The nearest to {strange[0]} is {near[0]}; "
            f"known are {', '.join(names)}."
        )
    texts = [column.name for column in columns if column.kind == "text"]
    if others := sorted(source.normalise.keys() - set(texts)):
        raise SourceError(
            f"source of {source.table}: normalise names {', '.join(others)}, expected columns of text: "
            f"{', '.join(texts)}."
        )
    return columns


def _their_names(raw: pd.DataFrame, source: Source) -> dict[str, tuple[str, ...]]:
    """The file's name of each of our columns that it has; several where they are its value together."""
    wanted: dict[str, tuple[str, ...]] = {}
    for column in columns_of(source):
        names = source.columns.get(column.name, column.name)
        if column.name not in source.constants:
            wanted[column.name] = (names,) if isinstance(names, str) else names
    here = {ours: theirs for ours, theirs in wanted.items() if set(theirs) <= set(raw.columns)}
    required = {column.name for column in columns_of(source) if column.required} | source.columns.keys()
    if source.table == "readings":
        required |= {"unit_id"} if not {"unit_id", "machine"} & (here.keys() | source.constants.keys()) else set()
        required |= {"station"} if "machine" not in here.keys() | source.constants.keys() else set()
    if "passed" not in source.columns and _is_told_by_limits(source, here):
        required.remove("passed")
    missing = [
        name for ours, theirs in wanted.items() if ours in required for name in theirs if name not in raw.columns
    ]
    if missing:
        hint = f" Or is {source.separator!r} not its separator?" if len(raw.columns) == 1 else ""
        raise SourceError(
            f"columns missing for {source.table}: {', '.join(missing)}. Found: {', '.join(map(str, raw.columns))}. "
            f"Give the plant's names under columns, or a fixed value under constants, of the source in line.toml.{hint}"
        )
    return here


def _is_told_by_limits(source: Source, theirs: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a file of inspections has measured values and no verdicts."""
    there = theirs.keys() | source.constants.keys()
    return source.table == "inspections" and "passed" not in there and "measured" in there


def _read(given: pd.Series, column: Column, source: Source, of_key: bool, reasons: Reasons) -> pd.Series:
    if column.kind == "text":
        text = values.texts(given)
        reasons.add(text.isin(_SPREADSHEET_ERRORS), column.name, "an error of a spreadsheet", given)
        result = normalised(text, source.normalise.get(column.name, ()))
        if of_key and result is not text:  # left empty, it would mean "all" or "not known"
            reasons.add(text.notna() & result.isna(), column.name, "nothing is left of it after normalise", given)
    elif column.kind == "number":
        result, expected = values.numbers(given, source), f"not a finite number (decimal sign {source.decimal!r})"
    elif column.kind == "flag":
        result, expected = values.flags(given), "not a result such as OK or NOK"
    else:
        result = values.times(given, source, later=column.name == "recorded_at")
        zone = "UTC" if source.time_format in EPOCHS else source.timezone
        expected = f"not a time of {zone} (format {source.time_format})"
    if column.kind != "text":  # any value is text
        reasons.add(given.notna() & result.isna(), column.name, expected, given)
    if column.required:
        reasons.add(given.isna(), column.name, "missing")
    return result


def _check_identity(rows: pd.DataFrame, reasons: Reasons) -> None:
    """A reading is of a unit at a station, or of a machine."""
    nobody = rows["unit_id"].isna() & rows["machine"].isna()
    reasons.add(nobody, "unit_id", "missing, and machine too: expected one of them")
    nowhere = rows["unit_id"].notna() & rows["station"].isna()
    reasons.add(nowhere, "station", "missing, expected where there is a unit_id")


def _passed(rows: pd.DataFrame, given: Mapping[str, pd.Series], reasons: Reasons) -> pd.Series:
    """Verdicts from measured values and their limits, both of which are good."""
    measured, lower, upper = (rows[name] for name in ("measured", "lower", "upper"))
    reasons.add(given["measured"].isna(), "passed", "not given, and no measured value to tell it from")
    unlimited = given["lower"].isna() & given["upper"].isna()
    reasons.add(unlimited, "passed", "not given, and no limit (lower, upper) to tell it from")
    good = ~(measured < lower) & ~(measured > upper)
    return good.astype("boolean").mask(measured.isna() | (lower.isna() & upper.isna()))


def _check_times(rows: pd.DataFrame, given: dict[str, pd.Series], now: pd.Timestamp, reasons: Reasons) -> None:
    for name in given:
        if rows[name].dtype == TIME:
            reasons.add(rows[name] < EARLIEST, name, f"impossible time, before {EARLIEST:%Y-%m-%d}", given[name])
            reasons.add(rows[name] > now + pd.Timedelta("1D"), name, "impossible time, in the future", given[name])
    if "recorded_at" in given:
        early = rows["recorded_at"] < rows["occurred_at"]
        reasons.add(early, "recorded_at", "impossible time, recorded before it happened", given["recorded_at"])
    if "ended_at" in given:
        backwards = rows["ended_at"] < rows["started_at"]
        reasons.add(backwards, "ended_at", "impossible time, before started_at", given["ended_at"])
