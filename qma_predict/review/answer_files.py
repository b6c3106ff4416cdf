"""The files in which answers come back: a filled workbook, or the same columns as CSV."""

import csv
import io
from collections.abc import Sequence
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
"""Sheets of a workbook that people fill in: the lead's and the inspectors'."""

COLUMNS = ("list_id", "unit_id", "result", "comment")

PLACE = ["sheet", "row"]

_SEPARATORS = ",;\t"


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
        XLSX with the sheet Units, Check sheet or both, or else CSV (separated by comma, semicolon or tab; UTF-8 or
        what Excel writes). Columns ``list_id``, ``unit_id``, ``result`` and ``comment``; ``answered_at`` if the answers
        have moments of their own. Others are ignored, and so is a row without result and comment.

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
    sheets = _workbook(path, content) if path.suffix.lower() in (".xlsx", ".xlsm") else {"": _csv(path, content)}
    found = [_rows(path, sheet, raw.rows) for sheet, raw in sheets.items()]
    rows = pd.concat(found, ignore_index=True).astype(dict.fromkeys((*COLUMNS, "answered_at"), "str"))
    told = rows["result"].notna() | rows["comment"].notna()
    rows, empty = rows[told].reset_index(drop=True), int((~told).sum())
    rows["code"] = rows["result"].str.lower().str.replace(r"\s+", " ", regex=True).map(_CODES).astype("str")
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


def source_of(path: Path, table: str = "answers", **habits: str) -> Source:
    """A file of people's, as the line's own files are described; rows are known when they are taken."""
    return Source.model_validate({"table": table, "path": str(path), "delay": "0 s", **habits})


def refusals(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Rows that are refused: their place, the reason of each, and what they say, as JSON."""
    said = [name for name in ("list_id", "unit_id", "result", "code", "comment", "answered_at") if name in rows]
    text = rows[said].to_json(orient="records", lines=True, force_ascii=False).split("\n")
    return rows[PLACE].assign(reason=reasons, content=[line for line in text if line])


def _rows(path: Path, sheet: str, raw: pd.DataFrame) -> pd.DataFrame:
    """The columns of interest as texts, missing where a cell is empty."""
    names = {str(name).strip().lower(): name for name in raw.columns}
    lacking = [name for name in COLUMNS[:3] if name not in names]
    if lacking:
        where = f"{path}, sheet {sheet}" if sheet else str(path)
        raise SourceError(
            f"{where}: columns missing: {', '.join(lacking)}. Found: {', '.join(map(str, raw.columns))}. Expected the "
            f"list's own workbook, or a CSV with {', '.join(COLUMNS)}."
        )
    rows = pd.DataFrame({"sheet": sheet, "row": raw.index + 1}, index=raw.index)
    for name in (*COLUMNS, "answered_at"):
        cells = raw[names[name]] if name in names else pd.Series(None, index=raw.index, dtype="str")
        text = cells.map(str, na_action="ignore").astype("str").str.strip()
        rows[name] = text.mask(text == "")
    return rows


def _workbook(path: Path, content: bytes) -> dict[str, RawFile]:
    try:
        there = CalamineWorkbook.from_filelike(io.BytesIO(content)).sheet_names
        found = {sheet: read_sheet(content, sheet) for sheet in SHEETS if sheet in there}
    except (CalamineError, ValueError, BadZipFile) as error:
        raise SourceError(f"{path}: cannot be read: {error}. Expected the filled workbook of a list, whole.") from error
    if not found:
        raise SourceError(
            f"{path}: no sheet {' or '.join(SHEETS)}, found {', '.join(there)}. Expected a list's workbook."
        )
    return {sheet: whole(_under_header(cells)) for sheet, cells in found.items()}


def _under_header(cells: pd.DataFrame) -> pd.DataFrame:
    header = ["" if pd.isna(cell) else str(cell) for cell in cells.iloc[0]]
    rows = cells.iloc[1:].set_axis(header, axis=1)
    return rows.loc[:, ~rows.columns.duplicated()]


def _csv(path: Path, content: bytes) -> RawFile:
    separator = _separator(content.decode("latin-1").splitlines())
    source = source_of(path, format="csv", encoding=_encoding(content), separator=separator)
    return parse(str(path), content, source)


def _encoding(content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError:
        return "cp1252"  # what Excel writes in western Europe
    return "utf-8"


def _separator(lines: Sequence[str]) -> str:
    """The sign that cuts the header into the most names."""
    header = next((line for line in lines if line.strip()), "")
    return max(_SEPARATORS, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))
