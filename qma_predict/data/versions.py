"""Versions of a row: which incoming rows are new, which repeat what is known, and which contradict it."""

import numpy as np
import pandas as pd

from qma_predict.data.contract import Table


def reconcile(incoming: pd.DataFrame, existing: pd.DataFrame, table: Table) -> pd.Series:
    """What each incoming row is: `accepted`, `duplicate` or `conflict`.

    Same key and same values as the version before it is a duplicate; same key with a later `recorded_at` and
    other values is a correction, which is accepted; same key and same `recorded_at` with other values is a
    conflict, and none of the conflicting incoming rows is taken. Missing values are equal to each other. Row
    order does not matter beyond which of two equal rows is called the duplicate.

    Parameters
    ----------
    incoming, existing : DataFrame
        Rows of the table; `existing` holds at least every row of the lake whose key occurs in `incoming`.
    table : Table
        The table of both.

    Returns
    -------
    Series of str, indexed as `incoming`

    Notes
    -----
    What comes before a row is judged by what is known when it comes: a repetition that was left out as a
    duplicate does not come back when an earlier version with other values arrives in a later ingest.

    Examples
    --------
    >>> import pandas as pd
    >>> from qma_predict.data.contract import TABLES
    >>> same = {"unit_id": "u1", "lot_id": "L1", "supplier": None, "occurred_at": pd.Timestamp(0)}
    >>> rows = pd.DataFrame(same, index=range(4))
    >>> rows["recorded_at"] = pd.to_datetime(["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-03"])
    >>> rows["material"] = ["steel", "steel", "brass", "copper"]
    >>> reconcile(rows, rows.head(0), TABLES["materials"]).tolist()
    ['accepted', 'duplicate', 'conflict', 'conflict']
    """
    key, version = list(table.key), [*table.key, "recorded_at"]
    both = pd.concat([existing[[*version, *table.values]], incoming[[*version, *table.values]]], ignore_index=True)
    both = both[both.duplicated(key, keep=False)]  # the others are accepted as they are
    both["values"] = pd.util.hash_pandas_object(both[list(table.values)].astype("str"), index=False)
    repeated = both.duplicated([*version, "values"])
    once = both[~repeated]
    contradicted = once.groupby(version, sort=False)["values"].transform("size") > 1
    in_lake = once.index < len(existing)  # what the lake holds stays, whatever contradicts it
    settled = once[in_lake | ~contradicted].sort_values("recorded_at", kind="stable")
    same_as_before = settled["values"] == settled.groupby(key, sort=False)["values"].shift()
    verdict = np.full(len(existing) + len(incoming), "accepted", dtype=object)
    verdict[once.index[contradicted]] = "conflict"
    verdict[both.index[repeated]] = "duplicate"
    verdict[settled.index[same_as_before]] = "duplicate"
    return pd.Series(verdict[len(existing) :], index=incoming.index, dtype="str")
