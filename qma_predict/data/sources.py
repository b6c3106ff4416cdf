"""Reading a plant's files as they are, without losing a row."""

import codecs
import fnmatch
import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from glob import glob
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from qma_predict.data.contract import columns_of
from qma_predict.data.values import tidied
from qma_predict.data.workbook import read_sheet
from qma_predict.errors import SourceError
from qma_predict.line import Source

T = TypeVar("T")


@dataclass(frozen=True)
class RawFile:
    """A file as the plant wrote it.

    `rows` has the plant's column names and is indexed by the record's number in the file (1 is the first below the
    header; empty lines do not count, but those of a sheet do); `broken` is indexed likewise and has `reason` and
    `content` of records that are not rows.
    """

    rows: pd.DataFrame
    broken: pd.DataFrame


def find_files(source: Source) -> list[Path]:
    """Files of a source, sorted by name.

    Raises
    ------
    SourceError
        If there is none.
    """
    files = sorted(Path(name) for name in glob(source.path, recursive=True) if not os.path.isdir(name))
    if not files:
        raise SourceError(
            f"source of {source.table}: no file matches {source.path}. "
            "Check the path in line.toml, and that the export has run."
        )
    return files


def stamp(path: Path) -> tuple[str, int, int]:
    """Path, size [bytes] and time of change [ns]: a file with the same stamp is not read again.

    Raises
    ------
    SourceError
        As for `load`.
    """
    found = _patiently(path.stat, path)
    return str(path), found.st_size, found.st_mtime_ns


def load(path: Path) -> bytes:
    """Content of a file, read at once: what is identified is what is read, also while the plant writes on.

    Raises
    ------
    SourceError
        If it cannot be opened or read, tried three times within two seconds.
    """
    return _patiently(path.read_bytes, path)


def _patiently(action: Callable[[], T], path: Path) -> T:
    """Do what a file share may refuse for a moment."""
    wait = wait_exponential(multiplier=0.5)
    again = Retrying(retry=retry_if_exception_type(OSError), stop=stop_after_attempt(3), wait=wait, reraise=True)
    try:
        return again(action)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{path}: cannot be read: {reason}. Check the share and its permissions.") from error


def file_id(content: bytes, source: Source) -> str:
    """Identity of a file's content as read by a source: the same content read by other rules is another."""
    rules = source.model_dump_json(exclude={"path"}).encode()
    return hashlib.sha256(rules + hashlib.sha256(content).digest()).hexdigest()


def parse(path: Path, content: bytes, source: Source) -> RawFile:
    """Records of a file of a source, the path of which says what kind of file it is unless the source does.

    Raises
    ------
    SourceError
        If the file as a whole cannot be read: empty, cut inside a compressed stream, of another format or encoding.
    """
    kind = source.format or {".parquet": "parquet", ".xlsx": "xlsx"}.get(path.suffix.lower(), "csv")
    expected = {
        "parquet": "a whole Parquet file",
        "xlsx": "a whole XLSX workbook" + (f" with the sheet {source.sheet!r}" if source.sheet else ""),
        "csv": f"a whole CSV file in {source.encoding} with a header, separated by {source.separator!r}",
    }[kind]
    try:
        if not content.strip():
            raise SourceError(f"{path}: the file is empty. Expected {expected}.")
        if kind == "parquet":
            return _parse_parquet(path, content)
        if kind == "xlsx":
            return _parse_xlsx(path, content, source)
        if path.suffix.lower() == ".gz":
            content = pa.CompressedInputStream(pa.BufferReader(content), "gzip").read()
        return _parse_csv(path, content, source)
    except (pa.ArrowException, OSError, UnicodeError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path}: cannot be read: {error}. Expected {expected}; is it still being written?"
        ) from error


def _parse_parquet(path: Path, content: bytes) -> RawFile:
    table = pa.parquet.read_table(pa.BufferReader(content))
    _refuse_repeated(path, table.column_names)
    # the new schema also drops what pandas noted there: an index that it wrote stays a column
    plain = table.cast(pa.schema([(field.name, _plain(field.type)) for field in table.schema]))
    # without nullable integers, a code with 17 digits in a column with gaps would be rounded
    integers = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.int16(): pd.Int16Dtype()}
    rows = plain.to_pandas(types_mapper=integers.get)
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    return RawFile(rows, pd.DataFrame({"reason": [], "content": []}, dtype="str"))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Types that mean text or number but come as something else."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.string()
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _parse_xlsx(path: Path, content: bytes, source: Source) -> RawFile:
    """First or named sheet of a workbook, its first row the header; cells as text where a column mixes kinds."""
    sheet = read_sheet(content, source.sheet).dropna(axis=1, how="all")
    if sheet.iloc[0].isna().all():
        raise ValueError("the first row of the sheet is empty, expected the header")
    # notes beside a table stand in columns without a name
    names = [f"(column {column + 1})" if pd.isna(name) else str(name) for column, name in sheet.iloc[0].items()]
    _refuse_repeated(path, names)
    rows = sheet.iloc[1:].set_axis(names, axis=1).dropna(how="all")
    typed = pd.DataFrame({name: _one_kind(rows[name], source) for name in names}, index=rows.index)
    return RawFile(typed, pd.DataFrame({"reason": [], "content": []}, dtype="str"))


def _one_kind(cells: pd.Series, source: Source) -> pd.Series:
    kinds = {type(cell) for cell in cells.dropna()}
    if kinds <= {int, float}:
        return cells.astype("float64" if float in kinds or cells.isna().any() else "int64")
    if kinds == {datetime} or kinds == {bool}:
        return cells.infer_objects()
    return cells.map(lambda cell: _written(cell, source), na_action="ignore").astype("str")


def _written(cell: object, source: Source) -> str:
    """A typed value as the source would write it."""
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if source.time_format == "ISO8601" else cell.strftime(source.time_format)
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
    named = {source.columns.get(column.name, column.name) for column in columns_of(source)} - {"tag", "value"}
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
        columns = [one.map(lambda cell: _written(cell, source), na_action="ignore").astype("str") for one in columns]
    return pd.concat(columns, ignore_index=True)


def _parse_csv(path: Path, content: bytes, source: Source) -> RawFile:
    text = content.decode(source.encoding)  # of a broken row that is no text, Arrow would tell nobody
    if codecs.lookup(source.encoding).name != "utf-8":
        content = text.encode()
    if not content.endswith(b"\n"):
        content += b"\n"  # else Arrow takes a header alone for an empty file
    broken: list[tuple[int, str, str]] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        why = f"expected {row.expected_columns} values as in the header, found {row.actual_columns}"
        broken.append((row.number - 1, why, row.text))  # Arrow counts the header
        return "skip"

    # one thread: only then does Arrow know the number of a broken row
    read = pa.csv.ReadOptions(use_threads=False)
    skip = pa.csv.ParseOptions(
        delimiter=source.separator, newlines_in_values=True, invalid_row_handler=lambda row: "skip"
    )
    with pa.csv.open_csv(pa.BufferReader(content), read_options=read, parse_options=skip) as beginning:
        names = beginning.schema.names
    _refuse_repeated(path, names)
    parse = pa.csv.ParseOptions(delimiter=source.separator, newlines_in_values=True, invalid_row_handler=keep)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = pa.csv.read_csv(pa.BufferReader(content), read_options=read, parse_options=parse, convert_options=convert)
    numbers = np.array([number for number, _, _ in broken], dtype=np.int64)
    rows = table.to_pandas()
    rows.index = pd.Index(np.setdiff1d(np.arange(1, len(rows) + len(broken) + 1), numbers))
    if len(rows) and _ends_in_quotes(content, rows.iloc[-1, -1], source.separator):
        broken.append(
            (int(rows.index[-1]), "the file ends inside quotes", source.separator.join(rows.iloc[-1].fillna("")))
        )
        rows = rows.iloc[:-1]
    refused = pd.DataFrame(broken, columns=["number", "reason", "content"], dtype="str")
    return RawFile(rows, refused[["reason", "content"]].set_index(refused["number"].astype("int64").to_numpy()))


def _ends_in_quotes(content: bytes, last: object, separator: str) -> bool:
    """Whether a quote opens the last value and nothing closes it, which Arrow reads as if something did."""
    value = last.replace('"', '""') if isinstance(last, str) else ""
    return content.endswith(tuple(f'{before}"{value}'.encode() for before in (separator, "\n")))


def _refuse_repeated(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: columns named more than once: {', '.join(twice)}. Expected each column once.")
