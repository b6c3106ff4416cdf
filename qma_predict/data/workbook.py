"""Sheets of an XLSX workbook, cell by cell as Excel shows them."""

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from python_calamine import CalamineError, CalamineWorkbook

_BOOK = "xl/workbook.xml"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_sheet(content: bytes, name: str | None = None) -> pd.DataFrame:
    """Cells of the first or the named sheet of a workbook.

    Parameters
    ----------
    content : bytes
        The workbook.
    name : str, optional

    Returns
    -------
    DataFrame of object, shape (n_rows, n_columns)
        From the first row and column on: int, float, str, bool, datetime, and NaN for an empty cell. A cell with an
        error has its text, such as ``#DIV/0!``.

    Raises
    ------
    ValueError
        If it is no XLSX workbook, or damaged, or has no such sheet, or the sheet is empty.
    zipfile.BadZipFile
        If it is cut, or no archive at all.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if _BOOK not in archive.namelist():
            raise ValueError(f"not an XLSX workbook, it has no {_BOOK}")
        try:
            book = CalamineWorkbook.from_filelike(io.BytesIO(content))
            name = book.sheet_names[0] if name is None else name
            if name not in book.sheet_names:
                raise ValueError(f"no sheet {name!r}, found {', '.join(map(repr, book.sheet_names))}")
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        except CalamineError as error:
            raise ValueError(f"damaged workbook: {error}") from error
        cells = pd.DataFrame([[_plain(cell) for cell in row] for row in rows], dtype=object)
        for row, column, text in _errors(archive, name):  # calamine takes them for empty cells
            cells = cells.reindex(range(max(len(cells), row + 1))).reindex(
                range(max(cells.shape[1], column + 1)), axis=1
            )
            cells.iat[row, column] = text
    if cells.empty:
        raise ValueError("the sheet is empty")
    return cells


def _plain(cell: object) -> object:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)  # Excel has floats only; a code is written without decimals
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return datetime.combine(cell, time())
    return np.nan if cell == "" else cell


def _errors(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[int, int, str]]:
    """Row, column and text of the cells of a sheet that show an error."""
    [sheet] = [
        one for one in ElementTree.fromstring(archive.read(_BOOK)).iterfind(".//{*}sheet") if one.get("name") == name
    ]
    links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    [target] = [link.get("Target", "") for link in links if link.get("Id") == sheet.get(_ID)]
    xml = archive.read(posixpath.join("xl", target).lstrip("/"))
    if b't="e"' not in xml:
        return
    for cell in ElementTree.fromstring(xml).iterfind(".//{*}c"):
        place = re.fullmatch(r"([A-Z]+)(\d+)", cell.get("r", ""))
        if cell.get("t") == "e" and place:
            column = 0
            for letter in place[1]:
                column = 26 * column + ord(letter) - ord("A") + 1
            yield int(place[2]) - 1, column - 1, cell.findtext("{*}v") or "#ERROR"
