"""The feature table: one row a prediction point, one column a feature."""

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from qma_predict.data.lake import History
from qma_predict.features.families import family
from qma_predict.line import Line

POINTS_AT_ONCE = 25_000
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
        Columns sorted by name; numbers as float32, names of things as str. Features without any value are left
        out; a missing value means that nothing was known.
    """
    families = [family(name, line.file) for name in line.learning.families]
    numbered = points[["unit_id", "cutoff"]].astype({"unit_id": "str"}).reset_index(drop=True)
    numbered["point"] = np.arange(len(points), dtype=np.int64)
    columns: dict[str, np.ndarray] = {}
    for start in range(0, len(points), POINTS_AT_ONCE):
        some = ibis.memtable(numbered.iloc[start : start + POINTS_AT_ONCE])
        for one in families:
            rows = one.compute(history, some, line)
            for batch in rows.to_pyarrow_batches(chunk_size=_ROWS_AT_ONCE):
                _scatter(batch, columns, len(points))
    index = pd.Index(numbered["unit_id"], name="unit_id")
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
