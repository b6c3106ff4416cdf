"""The feature table: one row a prediction point, one column a feature."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, literal
from qma_predict.features.families import family
from qma_predict.features.genealogy import ancestors, consumption, inherited
from qma_predict.line import Line

POINTS_AT_ONCE = 10_000
"""Prediction points of one query: what bounds the memory, whatever the length of the history."""

_ROWS_AT_ONCE = 500_000


def feature_table(history: History, points: pd.DataFrame, line: Line) -> pd.DataFrame:
    """Features of prediction points, each from what was known at its own cutoff.

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line
        Its `learning.families` are computed.

    Returns
    -------
    DataFrame, shape (n_points, n_features), indexed by unit_id in the order of `points`
        Columns sorted by name; numbers as float32, names of things as str. Features of what a unit was made from have
        its material before their name. Features without any value are left out; a missing value means that nothing
        was known.
    """
    families = [family(name, line.file) for name in line.learning.families]
    numbered = points[["unit_id", "cutoff"]].astype({"unit_id": "str"}).reset_index(drop=True)
    numbered["point"] = np.arange(len(points), dtype=np.int64)
    passed_on = [one for one in families if getattr(one, "INHERITED", False)]
    consumed = consumption(history) if passed_on and len(points) else None
    columns: dict[str, np.ndarray] = {}
    for start in range(0, len(points), POINTS_AT_ONCE):
        some = numbered.iloc[start : start + POINTS_AT_ONCE]
        past = _until(history, some["cutoff"].max())
        tables = [one.compute(past, ibis.memtable(some), line) for one in families]
        if consumed is not None and len(consumed):
            tables += _inherited(passed_on, past, ancestors(some, consumed), line)
        for rows in tables:
            for batch in rows.to_pyarrow_batches(chunk_size=_ROWS_AT_ONCE):
                _scatter(batch, columns, len(points))
    return _wide(columns, pd.Index(numbered["unit_id"], name="unit_id"))


def _until(history: History, moment: pd.Timestamp) -> History:
    """The history without what no cutoff by the moment lets through: what the files' statistics say is not read."""
    tables = {
        name: table.filter(table.recorded_at <= literal(moment)) if name in TABLES else table
        for name, table in history.tables.items()
    }
    return replace(history, tables=tables)


def _inherited(families: list[ModuleType], history: History, found: pd.DataFrame, line: Line) -> Iterator[ir.Table]:
    """What points inherit from their ancestors, a table a family and a slice of the points."""
    found = found.sort_values("point", kind="stable", ignore_index=True)
    piece = np.arange(len(found)) // POINTS_AT_ONCE
    piece = pd.Series(piece).groupby(found["point"]).transform("min")  # parts of one unit stay together
    for _, parts in found.groupby(piece.to_numpy()):
        number = parts.groupby(["unit_id", "cutoff"], sort=False).ngroup()
        made = parts.assign(ancestor=number.to_numpy())
        persons = made.drop_duplicates("ancestor")[["ancestor", "unit_id", "cutoff"]]
        kin = ibis.memtable(persons.rename(columns={"ancestor": "point"}))
        ways = ibis.memtable(made[["ancestor", "point", "way"]])
        for one in families:
            yield inherited(one.compute(history, kin, line), ways)


def _wide(columns: dict[str, np.ndarray], index: pd.Index) -> pd.DataFrame:
    filled = {name: columns[name] for name in sorted(columns) if not pd.isna(columns[name]).all()}
    return pd.DataFrame(
        {name: pd.array(column, dtype="str") if column.dtype.hasobject else column for name, column in filled.items()},
        index=index,
    )


def _scatter(batch: pa.RecordBatch, columns: dict[str, np.ndarray], size: int) -> None:
    """Write tidy rows (point, of, statistics) into the columns of the wide table."""
    points = batch["point"].to_numpy()
    described = batch["of"].dictionary_encode()
    codes = described.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(described.dictionary)), side="right")
    starts = np.concatenate([[0], ends[:-1]])
    for statistic in sorted(set(batch.schema.names) - {"point", "of"}):
        text = pa.types.is_string(batch.schema.field(statistic).type)
        values = batch[statistic].to_numpy(zero_copy_only=False)[order]
        for of, start, end in zip(described.dictionary.to_pylist(), starts, ends, strict=True):
            missing = np.full(size, None, dtype=object) if text else np.full(size, np.nan, dtype=np.float32)
            column = columns.setdefault(f"{of}.{statistic}", missing)
            with np.errstate(over="ignore"):  # beyond float32 is infinite, which recipes take for missing
                column[points[order[start:end]]] = values[start:end]
