"""The files in which answers come back: a filled workbook, or the same columns as CSV."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd
from python_calamine import CalamineError, CalamineWorkbook

from qma_predict.data.files import on_disk
from qma_predict.data.parsing import parse
from qma_predict.data.raw import RawFile, whole
from qma_predict.data.workbook import read_sheet
from qma_predict.errors import SourceError
from qma_predict.line import Source
from qma_predict.publish.pages.words import RESULT_CODES

SHEETS = ("Units", "Check sheet")
"""Sheets of a workbook in which people answer for units: the lead's and the inspectors'."""

ISSUES = "Issues"
"""Sheet of a workbook in which they say who looks after an issue."""

COLUMNS = ("list_id", "unit_id", "result", "comment")

ISSUE_COLUMNS = ("list_id", "title", "owner", "due")

PLACE = ["sheet", "row"]

_SEPARATORS = ",;\t"
_SAYS_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?[,;\t]*", re.IGNORECASE)  # Excel's own first line
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_CODES = {
    form: str(code)
    for code, words in RESULT_CODES
    for form in (str(code), words.lower(), f"{code} {words.lower()}")  # what people write for it
}


def read_answers(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers of a file: `answers_in` of its content.

    Raises
    ------
    SourceError
        If it is away, or as `answers_in`.
    """
    return answers_in(path, on_disk(str(path)).load())


def answers_in(path: Path, content: bytes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers of a file, and what in it is none.

    Parameters
    ----------
    path : Path
        Whose ending says what kind of file it is.
    content : bytes
        XLSX with the sheet Units, Check sheet or both, or else CSV (separated by comma, semicolon, tab or what a first
        line such as ``sep=;`` says; UTF-8 or what Excel writes). Columns ``list_id``, ``unit_id``, ``result`` and
        ``comment``; ``answered_at`` if the answers have moments of their own. Others are ignored, and so is a row
        without result and comment.

    Returns
    -------
    rows : DataFrame, shape (n_answers, 7)
        ``sheet`` (empty for CSV) and ``row`` as a spreadsheet numbers it, ``list_id``, ``unit_id``, ``code`` ("1" to
        "6", missing where there is a comment only), ``comment`` and ``answered_at``, all texts.
    refused : DataFrame, shape (n_refused, 4)
        ``sheet``, ``row``, ``reason`` and ``content``: rows that are cut, or have a result that is no code.

    Attribute ``attrs["empty"]`` of rows: how many of the file's rows have neither result nor comment.

    Raises
    ------
    SourceError
        If the file cannot be read, or has none of the sheets, or lacks columns.
    """
    sheets = _workbook(path, content, SHEETS) if _is_workbook(path) else {"": _csv(path, content)}
    found = [_unit_rows(path, sheet, raw.rows) for sheet, raw in sheets.items()]
    rows = pd.concat(found, ignore_index=True).astype(dict.fromkeys((*COLUMNS, "answered_at"), "str"))
    told = rows["result"].notna() | rows["comment"].notna()
    rows, empty = rows[told].reset_index(drop=True), int((~told).sum())
    form = rows["result"].str.lower().str.replace(r"\s+", " ", regex=True)
    form = form.str.replace(r"^(\d)[.,]0+$", r"\1", regex=True)  # a column that became numbers
    rows["code"] = form.map(_CODES).astype("str")
    unknown = rows["result"].notna() & rows["code"].isna()
    expected = ", ".join(f"{code} {words}" for code, words in RESULT_CODES)
    refused = [
        pd.DataFrame({"sheet": sheet, "row": raw.broken.index + 1}).assign(
            reason=raw.broken["reason"].to_numpy(), content=raw.broken["content"].to_numpy()
        )
        for sheet, raw in sheets.items()
    ]
    why = [f"result: {str(text)[:80]!r} is none of {expected}" for text in rows["result"]]
    refused.append(refusals(rows[unknown], pd.Series(why, index=rows.index, dtype="str")[unknown]))
    kept = rows.loc[~unknown, [*PLACE, "list_id", "unit_id", "code", "comment", "answered_at"]]
    kept = kept.reset_index(drop=True)
    kept.attrs["empty"] = empty
    return kept, pd.concat(refused, ignore_index=True)


def issue_answers_in(path: Path, content: bytes) -> pd.DataFrame:
    """Who looks after issues by the sheet Issues of a filled workbook.

    Parameters
    ----------
    path : Path
    content : bytes
        As `answers_in` takes them.

    Returns
    -------
    DataFrame, shape (n_answers, 6)
        ``sheet``, ``row``, ``list_id``, ``title``, ``owner`` and ``due``, all texts; no row without owner and due, and
        none of a CSV or of a workbook without the sheet or its columns. Attribute ``attrs["empty"]``: how many rows
        name nobody.

    Raises
    ------
    SourceError
        If the file cannot be read.
    """
    sheets = _workbook(path, content, (ISSUES,)) if _is_workbook(path) else {}
    found = [_rows(sheet, raw.rows, ISSUE_COLUMNS) for sheet, raw in sheets.items()]
    rows = found[0] if found else pd.DataFrame(columns=[*PLACE, *ISSUE_COLUMNS], dtype="str")
    told = rows["owner"].notna() | rows["due"].notna()
    kept = rows[told].reset_index(drop=True)
    kept.attrs["empty"] = int((~told).sum())
    return kept


def source_of(path: Path, table: str = "answers", **habits: str | int) -> Source:
    """A file of people's, as the line's own files are described; rows are known when they are taken."""
    return Source.model_validate({"table": table, "path": str(path), "delay": "0 s", **habits})


def refusals(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Rows that are refused: their place, the reason of each, and what they say, as JSON."""
    names = ("list_id", "unit_id", "title", "result", "code", "comment", "owner", "due", "answered_at")
    said = [name for name in names if name in rows]
    text = rows[said].to_json(orient="records", lines=True, force_ascii=False).split("\n")
    return rows[PLACE].assign(reason=reasons, content=[line for line in text if line])


def _is_workbook(path: Path) -> bool:
    return path.suffix.lower() in (".xlsx", ".xlsm")


def _unit_rows(path: Path, sheet: str, raw: pd.DataFrame) -> pd.DataFrame:
    there = _names(raw)
    lacking = [name for name in COLUMNS[:3] if name not in there]
    if lacking:
        where = f"{path}, sheet {sheet}" if sheet else str(path)
        raise SourceError(
            f"{where}: columns missing: {', '.join(lacking)}. Found: {', '.join(map(str, raw.columns))}. Expected the "
            f"list's own workbook, or a CSV with {', '.join(COLUMNS)}."
        )
    return _rows(sheet, raw, (*COLUMNS, "answered_at"))


def _names(raw: pd.DataFrame) -> dict[str, object]:
    return {str(name).strip().lower(): name for name in raw.columns}


def _rows(sheet: str, raw: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    """The columns of interest as texts, missing where a cell is empty or a column is not there."""
    names = _names(raw)
    rows = pd.DataFrame({"sheet": sheet, "row": raw.index + 1}, index=raw.index)
    for name in columns:
        cells = raw[names[name]] if name in names else pd.Series(None, index=raw.index, dtype="str")
        text = cells.map(str, na_action="ignore").astype("str").str.strip()
        rows[name] = text.mask(text == "")
    return rows


def _workbook(path: Path, content: bytes, sheets: Collection[str]) -> dict[str, RawFile]:
    """Those of these sheets that are there."""
    try:
        there = CalamineWorkbook.from_filelike(io.BytesIO(content)).sheet_names
        found = {sheet: read_sheet(content, sheet) for sheet in sheets if sheet in there}
    except (CalamineError, ValueError, BadZipFile) as error:
        raise SourceError(f"{path}: cannot be read: {error}. Expected the filled workbook of a list, whole.") from error
    if not set(SHEETS) & set(there):
        raise SourceError(
            f"{path}: no sheet {' or '.join(SHEETS)}, found {', '.join(there)}. Expected a list's workbook."
        )
    return {sheet: whole(_under_header(cells)) for sheet, cells in found.items()}


def _under_header(cells: pd.DataFrame) -> pd.DataFrame:
    header = ["" if pd.isna(cell) else str(cell) for cell in cells.iloc[0]]
    rows = cells.iloc[1:].set_axis(header, axis=1)
    return rows.loc[:, ~rows.columns.duplicated()]


def _csv(path: Path, content: bytes) -> RawFile:
    encoding = _encoding(content)
    lines = content.decode(encoding, errors="replace").splitlines()
    said = _SAYS_SEPARATOR.fullmatch(lines[0]) if lines else None
    separator, skip = (said[1], 1) if said else (_separator(lines), 0)
    source = source_of(path, format="csv", encoding=encoding, separator=separator, skip=skip)
    return parse(str(path), content, source)


def _encoding(content: bytes) -> str:
    if content.startswith(_UTF_16):
        return "utf-16"  # Excel's "Unicode text"
    try:
        content.decode()
    except UnicodeDecodeError:
        return "cp1252"  # what Excel writes in western Europe
    return "utf-8"


def _separator(lines: Sequence[str]) -> str:
    """The sign that cuts the header into the most names."""
    header = next((line for line in lines if line.strip()), "")
    return max(_SEPARATORS, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))
