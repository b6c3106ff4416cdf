"""The feature table: one row a prediction point, one column a feature."""

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from qma_predict.data.lake import History
from qma_predict.features.families import family
from qma_predict.line import Line


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
    numbered = points[["unit_id", "cutoff"]].astype({"unit_id": "str"}).reset_index(drop=True)
    table = ibis.memtable(numbered.assign(point=np.arange(len(points), dtype=np.int64)))
    columns: dict[str, np.ndarray] = {}
    for name in line.learning.families:
        rows = family(name).compute(history, table, line)
        for batch in rows.to_pyarrow_batches(chunk_size=500_000):
            _scatter(batch, columns, len(points))
    # rounded to float32, so that the order in which a database adds up makes no difference
    frame = pd.DataFrame({name: columns[name] for name in sorted(columns)}, index=pd.Index(points["unit_id"], name="unit_id"))
    texts = frame.columns[frame.dtypes == object]
    frame[texts] = frame[texts].astype("str")
    return frame.dropna(axis="columns", how="all")


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
            column[points[order[start:end]]] = values[start:end]
