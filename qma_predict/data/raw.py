"""Rows as the plant has them, before the contract reads them."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from qma_predict.data.contract import columns_of
from qma_predict.data.values import tidied
from qma_predict.errors import SourceError
from qma_predict.line import Source


@dataclass(frozen=True)
class RawFile:
    """A file as the plant wrote it, or a part of a database's answer.

    `rows` has the plant's column names and is indexed by the record's number in the file (1 is the first below the
    header; empty lines do not count, but those of a sheet do) or in the answer; `broken` is indexed likewise and has
    `reason` and `content` of records that are not rows.
    """

    rows: pd.DataFrame
    broken: pd.DataFrame


def whole(rows: pd.DataFrame) -> RawFile:
    """Rows of a format in which no record can be broken by itself."""
    return RawFile(rows, pd.DataFrame({"reason": [], "content": []}, dtype="str"))


def refuse_repeated(path: str, names: Sequence[str]) -> None:
    """Raise SourceError if a column is named twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: columns named more than once: {', '.join(twice)}. Expected each column once.")


def one_kind(cells: pd.Series, source: Source) -> pd.Series:
    """Cells as a column of their kind, or as text where they mix kinds."""
    kinds = {type(cell) for cell in cells.dropna()}
    if kinds == {int}:  # what is longer stays a text: a code would be rounded
        if cells.dropna().map(lambda cell: abs(cell) < 2**63).all():
            return cells.astype("Int64" if cells.isna().any() else "int64")
    elif kinds <= {int, float}:
        return cells.astype("float64")
    if kinds == {datetime}:
        aware = {cell.tzinfo is not None for cell in cells.dropna()}
        if len(aware) == 1:
            return pd.to_datetime(cells, utc=True) if aware == {True} else cells.infer_objects()
    if kinds == {bool}:
        return cells.astype("boolean") if cells.isna().any() else cells.astype("bool")
    return cells.map(lambda cell: written(cell, source), na_action="ignore").astype("str")


def written(cell: object, source: Source) -> str:
    """A typed value as the source would write it."""
    if isinstance(cell, date):
        if "%" in source.time_format:
            return cell.strftime(source.time_format)
        return cell.isoformat(" ") if isinstance(cell, datetime) else cell.isoformat()
    return str(cell).replace(".", source.decimal) if isinstance(cell, float) else str(cell)


def cells_of(raw: RawFile, source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a file as the contract reads them, and the place of each.

    Returns
    -------
    rows : DataFrame, shape (n_rows, n_plant_columns)
        Those of the file; where it has one column a tag (`source.tags`), a row a cell that is not empty, with the
        plant's other columns and `tag` and `value`.
    place : DataFrame, shape (n_rows, 2)
        ``row``, the record's number in the file, and ``column``, the tag's column or nothing.

    Raises
    ------
    SourceError
        If no column fits the pattern of tags.
    """
    rows = raw.rows.reset_index(drop=True)
    place = pd.DataFrame({"row": raw.rows.index.astype("int64"), "column": ""})
    if source.tags is None:
        return rows, place
    ours = (source.columns.get(column.name, column.name) for column in columns_of(source))
    named = {one for name in ours for one in ((name,) if isinstance(name, str) else name)} - {"tag", "value"}
    tags = [name for name in rows if fnmatch.fnmatchcase(str(name), source.tags) and name not in named]
    if not tags:
        raise SourceError(f"no column fits tags = {source.tags!r}. Found: {', '.join(map(str, rows.columns))}.")
    cells = _in_one([rows[tag] for tag in tags], source)
    present = tidied(cells).notna().to_numpy()
    at = np.tile(np.arange(len(rows)), len(tags))[present]
    others = rows.drop(columns=[*tags, "tag", "value"], errors="ignore").iloc[at].reset_index(drop=True)
    tag = pd.Series(np.repeat(np.array(tags, dtype=object), len(rows))[present], dtype="str")
    cells = cells[present].reset_index(drop=True)
    return others.assign(tag=tag, value=cells), pd.DataFrame({"row": place["row"].to_numpy()[at], "column": tag})


def _in_one(columns: list[pd.Series], source: Source) -> pd.Series:
    """One column below the other; as the source would write them where not all are numbers."""
    number = [is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype) for column in columns]
    if any(number) and not all(number):
        columns = [one.map(lambda cell: written(cell, source), na_action="ignore").astype("str") for one in columns]
    return pd.concat(columns, ignore_index=True)
