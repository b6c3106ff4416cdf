"""The rows of published lists, also of those that earlier versions of the program wrote."""

import json
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qma_predict.errors import DamagedList, PublicationError
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.manifest import RECEIPT
from qma_predict.publish.risk_list import TABLE_SCHEMA

T = TypeVar("T")

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
    """Business date of every published list of a line by the list's id; no list is read, and none need be there.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    """
    return {id_of(folder.name, day): day for day in bundle.known_dates(folder)}


def read_revisions(
    folder: Path, list_ids: Collection[str], read: Callable[[Path], T]
) -> tuple[dict[str, list[T]], dict[str, DamagedList]]:
    """Return what the revisions of lists say, the newest first, and those lists of which a revision is damaged.

    Of a revision that is damaged, and of those before it, nothing counts: nobody knows what it said.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    list_ids : collection of str
        Those that are not published are left out.
    read : callable
        What a revision says, by its folder; it raises `DamagedList`.

    Returns
    -------
    found : dict of str to list, by the id of the list, sorted
    damaged : dict of str to DamagedList
    """
    days = dates_of_lists(folder)
    found: dict[str, list[T]] = {list_id: [] for list_id in sorted(set(list_ids) & days.keys())}
    damaged = {}
    for list_id, said in found.items():
        try:
            for path in reversed(bundle.revisions(folder, days[list_id]).values()):
                said.append(read(path))
        except DamagedList as error:
            damaged[list_id] = error
    return found, damaged


def id_of(line: str, business_date: date) -> str:
    """Return the id of the list of a line's business date.

    Examples
    --------
    >>> id_of("demo", date(2026, 11, 24))
    'demo-2026-11-24'
    """
    return f"{line}-{business_date.isoformat()}"


def receipt_of(path: Path) -> dict[str, Any]:
    """What depends on the clock of a published list, such as ``published_at``.

    Raises
    ------
    DamagedList
        If it cannot be read.
    """
    whole = path.resolve()
    try:
        return dict(json.loads((whole / RECEIPT).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise DamagedList(whole, [f"{RECEIPT} cannot be read ({error!r})"]) from error


def published_at(path: Path) -> datetime | None:
    """When a list was published (aware); None if its receipt does not say it.

    Raises
    ------
    DamagedList
        If that cannot be read.
    """
    said = receipt_of(path).get("published_at")
    try:
        return None if said is None else datetime.fromisoformat(said).astimezone(UTC)
    except (ValueError, TypeError) as error:
        raise DamagedList(path.resolve(), [f"{RECEIPT} says {said!r} of when it was published"]) from error
