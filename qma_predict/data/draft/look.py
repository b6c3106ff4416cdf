"""What a file, or a group of files that belong together, holds and how it is written."""

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from python_calamine import CalamineError, CalamineWorkbook

from qma_predict.data.draft.columns import Column, columns
from qma_predict.data.workbook import read_sheet

SAMPLE_BYTES = 16_000_000
"""How much of a text file is looked at."""

_HEAD, _TAIL = 3000, 1000

_SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".parquet", ".xlsx")
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*(?:[eE][-+]?\d+)?\s*")
_WHEN = re.compile(r"\s*\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*")


@dataclass(frozen=True)
class Look:
    """What a group of files of one kind looks like.

    Attributes
    ----------
    pattern : str
        Of their names below the folder, in which only ``*`` and ``[0-9]`` stand for more than themselves.
    paths : tuple of Path
    rows : DataFrame of str
        Rows of the first and the last of them, at most some ten thousand; numbers and moments of typed formats too.
    total : int
        About how many rows all of them have.
    encoding : str
        Of text; ``ascii``, which all others can stand for, only of a file by itself.
    header : tuple of str, optional
        Names of the columns where the files have none that fits.
    partly : tuple of str
        Columns that not all of the files have.
    subject, machine : str
        Station, gate or the like, and machine, that the files are about, where numbers in their names tell them.
    notes : tuple of str
        What a person has to look at: how the files were taken together.
    """

    pattern: str
    paths: tuple[Path, ...]
    rows: pd.DataFrame
    total: int
    format: str = "csv"
    sheet: str | None = None
    encoding: str = "utf-8"
    separator: str = ","
    skip: int = 0
    header: tuple[str, ...] | None = None
    partly: tuple[str, ...] = ()
    subject: str = ""
    machine: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> list[Column]:
        """Columns of the rows."""
        return columns(self.rows, self.partly)


class Unreadable(ValueError):
    """A file that holds no table."""


def of_file(path: Path, name: str) -> list[Look]:
    """Tables of a file: one, or one a sheet of a workbook.

    Raises
    ------
    Unreadable
        If it holds no table; other errors of files that are cut or away come as they are.
    """
    kind = path.suffixes[-2].lower() if path.suffix.lower() == ".gz" and len(path.suffixes) > 1 else path.suffix.lower()
    if kind not in _SUFFIXES:
        raise Unreadable(f"no kind of file that holds a table (found {kind or 'no suffix'})")
    if path.stat().st_size == 0:
        raise Unreadable("the file is empty")
    if kind == ".parquet":
        return [_parquet(path, name)]
    return _workbook(path, name) if kind == ".xlsx" else [_text(path, name)]


def _parquet(path: Path, name: str) -> Look:
    try:
        file = pa.parquet.ParquetFile(path)
        groups = range(file.num_row_groups)
        parts = [file.read_row_group(number) for number in sorted({*groups[:1], *groups[-1:]})]
    except pa.ArrowException as error:
        raise Unreadable(f"no whole Parquet file: {error}") from error
    table = pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()
    if table.num_rows > _HEAD + _TAIL:
        table = pa.concat_tables([table.slice(0, _HEAD), table.slice(table.num_rows - _TAIL)])
    rows = table.to_pandas(ignore_metadata=True)
    dictionary = rows.select_dtypes("category").columns
    rows = rows.astype(dict.fromkeys(dictionary, "str"))
    return Look(escape(name), (path,), rows, file.metadata.num_rows, format="parquet")


def _workbook(path: Path, name: str) -> list[Look]:
    content = path.read_bytes()
    try:
        sheets = CalamineWorkbook.from_filelike(io.BytesIO(content)).sheet_names
    except CalamineError as error:
        raise Unreadable(f"no whole workbook: {error}") from error
    found = []
    for sheet in sheets:
        try:
            cells = read_sheet(content, sheet)
        except ValueError:
            continue  # an empty sheet is usual, and no reason to leave out the others
        skip = _first_full([[None if pd.isna(cell) else str(cell) for cell in row] for row in cells.to_numpy()])
        cells = cells.iloc[skip:].dropna(axis=1, how="all")
        if len(cells) < 2:
            continue
        names = [f"(column {n + 1})" if pd.isna(cell) else str(cell) for n, cell in enumerate(cells.iloc[0])]
        if len(set(names)) < len(names):
            raise Unreadable(f"sheet {sheet!r} has columns of the same name")
        rows = cells.iloc[1:].set_axis(names, axis=1).dropna(how="all").reset_index(drop=True).infer_objects()
        only = sheet if len(sheets) > 1 else None
        found.append(Look(escape(name), (path,), rows, len(rows), "xlsx", only, skip=skip))
    if not found:
        raise Unreadable("no sheet with a header and rows")
    return found


def _text(path: Path, name: str) -> Look:
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
        content = file.read(SAMPLE_BYTES)
        more = bool(file.read(1))
    encoding = _encoding(content)
    text = content.decode(encoding, errors="ignore" if more else "strict").removeprefix("\ufeff")
    lines = text.splitlines()
    lines = lines[:-1] if more else lines
    lines = lines if len(lines) < _HEAD + _TAIL else [*lines[:_HEAD], *lines[-_TAIL:]]
    separator = _separator([line for line in lines if line.strip()][:200])
    records = list(csv.reader(lines, delimiter=separator))
    width = Counter(len(record) for record in records if record).most_common(1)[0][0] if any(records) else 0
    if width < 2:
        raise Unreadable("no columns: one value a line")
    skip = _first_full(records)
    names, header, body = tuple(records[skip]), None, records[skip + 1 :]
    rows = [record for record in body if len(record) == width]
    if any(_NUMBER.fullmatch(cell) or _WHEN.fullmatch(cell) for cell in names):  # a row already
        header, rows = tuple(f"column_{n + 1}" for n in range(width)), [list(names), *rows]
    elif len(names) != width or len(set(names)) < width or any(not cell or cell != cell.strip() for cell in names):
        given = [cell.strip() or f"column_{n + 1}" for n, cell in enumerate(names)][:width]
        given += [f"column_{n + 1}" for n in range(len(given), width)]
        header, skip = tuple(f"{one}_{n + 1}" if one in given[:n] else one for n, one in enumerate(given)), skip + 1
    if not rows:
        raise Unreadable("a header without rows")
    frame = pd.DataFrame(rows, columns=list(header or names), dtype="str")
    frame = frame.mask(frame == "")
    share = max(1.0, path.stat().st_size / max(1, len(content))) if more else 1.0
    total = round((len(text.splitlines()) - skip - 1) * share)
    return Look(escape(name), (path,), frame, max(total, len(rows)), "csv", None, encoding, separator, skip, header)


def _encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in content[:8192]:
        raise Unreadable("no text, but the suffix of one")
    try:
        content[: len(content) - 4 if len(content) == SAMPLE_BYTES else None].decode("utf-8")
        return "ascii" if content.isascii() else "utf-8"
    except UnicodeDecodeError:
        return "latin-1" if any(128 <= byte < 160 for byte in content) and _undefined(content) else "cp1252"


def _undefined(content: bytes) -> bool:
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return True
    return False


def _separator(lines: list[str]) -> str:
    """The sign that cuts the most lines into as many values, and into more than one."""

    def score(sign: str) -> tuple[float, int]:
        counts = Counter(len(record) for record in csv.reader(lines, delimiter=sign) if record)
        many = [(count, width) for width, count in counts.items() if width > 1]
        return (round(max(many)[0] / len(lines), 1), max(many)[1]) if many else (0.0, 0)

    try:
        return max(";,\t|", key=score)
    except csv.Error as error:
        raise Unreadable(f"no table of text: {error}") from error


def _first_full(records: Sequence[Sequence[str | None]]) -> int:
    """Number of the header: the first record as wide as most, or wider than one where it is followed by rows."""
    filled = [sum(cell is not None and str(cell).strip() != "" for cell in record) for record in records]
    widths = Counter(width for width in filled if width > 1)
    if not widths:
        return 0
    usual = widths.most_common(1)[0][0]
    for number, width in enumerate(filled[:50]):
        if width >= max(2, 0.5 * usual):
            return number
    return 0
