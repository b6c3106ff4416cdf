"""The rows of published lists, also of those that earlier versions of the program wrote."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qma_predict.errors import PublicationError
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.manifest import MANIFEST, RECEIPT
from qma_predict.publish.risk_list import TABLE_SCHEMA

SCORES = "scores.parquet"
"""The file of a list that has a row a candidate."""

WITHOUT_AUDITS = 2
"""Schema version up to which every listed unit was listed by its rank, which the rows do not say."""


def rows_of(
    path: Path, *, listed: bool = False, unit_id: str | None = None, columns: list[str] | None = None
) -> pd.DataFrame:
    """Rows of a published list.

    Parameters
    ----------
    path : Path
        A date of a line's folder, or one of the revisions.
    listed : bool
        Whether only those that are to be checked are wanted.
    unit_id : str, optional
        The only unit that is wanted.
    columns : list of str, optional
        Of `TABLE_SCHEMA`; all by default.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        What the list's own schema did not have yet is missing; but a unit that was listed before there were audits was
        listed by rank, with probability 1.

    Raises
    ------
    PublicationError
        If the file is missing or damaged.
    """
    wanted: list[tuple[str, str, str | bool]] = [("unit_id", "==", unit_id)] if unit_id is not None else []
    wanted += [("listed", "==", True)] if listed else []
    file = path.resolve() / SCORES
    needed = None if columns is None else {*columns, "listed", "schema_version"}
    try:
        there = pq.read_schema(file).names
        table = pq.read_table(
            file, columns=None if needed is None else [name for name in there if name in needed], filters=wanted or None
        )
    except (OSError, pa.ArrowException) as error:
        raise PublicationError(
            f"{file}: cannot be read ({error}), expected the rows of the list; restore the folder from a backup"
        ) from error
    rows = table.to_pandas().reindex(columns=TABLE_SCHEMA.names)
    before = rows["listed"] & (rows["schema_version"] <= WITHOUT_AUDITS)
    if before.any():
        rows["selected_by"] = rows["selected_by"].astype("object").mask(before, "rank")
        rows["selection_probability"] = rows["selection_probability"].astype("float64").mask(before, 1.0)
    return rows if columns is None else rows[columns]


def dates_of_lists(folder: Path) -> dict[str, date]:
    """Business date of every published list of a line by the list's id.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.

    Raises
    ------
    PublicationError
        If a manifest cannot be read.
    """
    found = {}
    for day in bundle.published_dates(folder):
        file = folder / day.isoformat() / MANIFEST
        try:
            found[str(json.loads(file.read_bytes())["facts"]["list_id"])] = day
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PublicationError(f"{file}: cannot be read ({error!r}); restore the folder from a backup") from error
    return found


def receipt_of(path: Path) -> dict[str, Any]:
    """What depends on the clock of a published list, such as ``published_at``.

    Raises
    ------
    PublicationError
        If it cannot be read.
    """
    file = path.resolve() / RECEIPT
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise PublicationError(f"{file}: cannot be read ({error!r}); restore the folder from a backup") from error
