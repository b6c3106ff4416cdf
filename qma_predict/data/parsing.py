"""Files of the plant's formats as rows, without losing one."""

import codecs
import re
import zipfile
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from qma_predict.data.raw import RawFile, one_kind, refuse_repeated, whole
from qma_predict.data.workbook import read_sheet
from qma_predict.errors import SourceError
from qma_predict.line import Source

_BLOCK = 1 << 20
_NEWLINE = re.compile(rb"\r\n|\n|\r")
_UTF8_MARK = b"\xef\xbb\xbf"


def parse(path: str, content: bytes, source: Source) -> RawFile:
    """Records of a file of a source, the path of which says what kind of file it is unless the source does.

    Raises
    ------
    SourceError
        If the file as a whole cannot be read: empty, cut inside a compressed stream or before its footer, of another
        format or encoding.
    """
    ending = PurePosixPath(path).suffix.lower()
    kind = source.format or {".parquet": "parquet", ".xlsx": "xlsx"}.get(ending, "csv")
    kind = "parquet" if kind == "delta" else kind
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
        if ending == ".gz":
            content = pa.CompressedInputStream(pa.BufferReader(content), "gzip").read()
        return _parse_csv(path, content, source)
    except (pa.ArrowException, OSError, UnicodeError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path}: cannot be read: {error}. Expected {expected}; is it still being written?"
        ) from error


def _parse_parquet(path: str, content: bytes) -> RawFile:
    table = pa.parquet.read_table(pa.BufferReader(content))
    refuse_repeated(path, table.column_names)
    # the new schema also drops what pandas noted there: an index that it wrote stays a column
    plain = table.cast(pa.schema([(field.name, _plain(field.type)) for field in table.schema]))
    # without nullable integers, a code with 17 digits in a column with gaps would be rounded
    integers = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.int16(): pd.Int16Dtype()}
    rows = plain.to_pandas(types_mapper=integers.get)
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    return whole(rows)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Types that mean text or number but come as something else."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.string()
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _parse_xlsx(path: str, content: bytes, source: Source) -> RawFile:
    """First or named sheet of a workbook; cells as text where a column mixes kinds."""
    sheet = read_sheet(content, source.sheet).iloc[source.skip :]
    if source.footer is not None:
        sheet = sheet.iloc[: _rows_above_footer(path, sheet, source.footer)]
    sheet = sheet.dropna(axis=1, how="all")
    if source.header is not None:
        names, rows, first = list(source.header), sheet, 1
        if len(names) != sheet.shape[1]:
            raise ValueError(f"header gives {len(names)} names, the sheet has {sheet.shape[1]} columns")
    else:
        if sheet.empty or sheet.iloc[0].isna().all():
            raise ValueError(f"the {_row(source.skip)} of the sheet is empty, expected the header (see skip)")
        # notes beside a table stand in columns without a name
        cells = sheet.iloc[0].items()
        names = [f"(column {column + 1})" if pd.isna(name) else str(name).strip() for column, name in cells]
        rows, first = sheet.iloc[1:], 0
    refuse_repeated(path, names)
    rows = rows.set_axis(names, axis=1).dropna(how="all")
    rows.index = rows.index - source.skip + first
    return whole(pd.DataFrame({name: one_kind(rows[name], source) for name in names}, index=rows.index))


def _row(skipped: int) -> str:
    return f"row {skipped + 1}" if skipped else "first row"


def _rows_above_footer(path: str, sheet: pd.DataFrame, footer: str) -> int:
    """How many rows of a sheet are above its footer."""
    first = sheet.apply(lambda row: next((str(cell) for cell in row.dropna()), ""), axis=1).tolist()
    end = len(first)
    while end and not first[end - 1]:
        end -= 1
    last = end
    while end and (not first[end - 1] or re.match(footer, first[end - 1])):
        end -= 1
    if end == last:
        raise _cut(path, footer)
    return end


def _cut(path: str, footer: str) -> SourceError:
    return SourceError(
        f"{path}: is cut or still being written: its last line is no footer. Expected one that matches {footer!r}; "
        "nothing of the file was taken, and it is read again next time."
    )


def _parse_csv(path: str, content: bytes, source: Source) -> RawFile:
    content = _as_utf8(content, source.encoding)
    start = _after_lines(content, source.skip, len(_UTF8_MARK) if content.startswith(_UTF8_MARK) else 0)
    end = len(content) if source.footer is None else _above_footer(path, content, start, source.footer)
    view = memoryview(content)[start:end]
    if len(view) < _BLOCK and bytes(view[-1:]) != b"\n":
        view = memoryview(bytes(view) + b"\n")  # else Arrow takes a header alone for an empty file
    names, broken, table = _read_csv(path, view, source)
    numbers = np.array([number for number, _, _ in broken], dtype=np.int64)
    rows = table.to_pandas()
    rows.columns = pd.Index(names)
    rows.index = pd.Index(np.setdiff1d(np.arange(1, len(rows) + len(broken) + 1), numbers))
    if len(rows) and _ends_in_quotes(view, rows.iloc[-1, -1], source.separator):
        broken.append(
            (int(rows.index[-1]), "the file ends inside quotes", source.separator.join(rows.iloc[-1].fillna("")))
        )
        rows = rows.iloc[:-1]
    refused = pd.DataFrame(broken, columns=["number", "reason", "content"], dtype="str")
    return RawFile(rows, refused[["reason", "content"]].set_index(refused["number"].astype("int64").to_numpy()))


def _read_csv(path: str, content: memoryview, source: Source) -> tuple[list[str], list[tuple[int, str, str]], pa.Table]:
    """Names of the columns, records that are no rows (number, reason, text), and the rows as text."""
    # one thread: only then does Arrow know the number of a broken row
    read = pa.csv.ReadOptions(use_threads=False, column_names=source.header)
    given = source.header is not None
    counts: list[int] = []
    broken: list[tuple[int, str, str]] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        header = "names in header" if given else "values as in the header"
        why = f"expected {row.expected_columns} {header}, found {row.actual_columns}"
        broken.append((row.number - (0 if given else 1), why, row.text))  # Arrow counts the header
        counts.append(row.actual_columns)
        return "skip"

    layout = {"delimiter": source.separator, "newlines_in_values": True}
    ignore = pa.csv.ParseOptions(**layout, invalid_row_handler=lambda row: "skip")
    with pa.csv.open_csv(pa.BufferReader(content), read_options=read, parse_options=ignore) as beginning:
        written = beginning.schema.names
    names = [name.strip() for name in written]
    refuse_repeated(path, names)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(written, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    parsing = pa.csv.ParseOptions(**layout, invalid_row_handler=keep)
    table = pa.csv.read_csv(pa.BufferReader(content), read_options=read, parse_options=parsing, convert_options=convert)
    if not len(table) and len(counts) > 1 and set(counts) == {counts[0]} and counts[0] > len(names):
        raise SourceError(
            f"{path}: {len(names)} names ({', '.join(names)[:80]}) for rows of {counts[0]} values. Are there lines "
            "above the header? Give their number as skip. Or does the header lack names? Give them all as header, and "
            "skip the file's own."
        )
    return names, broken, table


def _as_utf8(content: bytes, encoding: str) -> bytes:
    """The same text in UTF-8; without a copy where it is that already."""
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        # of a broken row that is no text, Arrow would tell nobody
        offsets = pa.py_buffer(np.array([0, len(content)], dtype=np.int64))
        try:
            pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(content)).validate(full=True)
        except pa.ArrowInvalid:
            content.decode()  # says where
            raise
        return content
    decoder = codecs.getincrementaldecoder(encoding)()
    view = memoryview(content)
    parts = [decoder.decode(bytes(view[at : at + _BLOCK])).encode() for at in range(0, len(view), _BLOCK)]
    return b"".join([*parts, decoder.decode(b"", final=True).encode()])


def _after_lines(content: bytes, count: int, start: int) -> int:
    """Where the line after so many begins."""
    for _ in range(count):
        found = _NEWLINE.search(content, start)
        if not found:
            raise ValueError(f"no line after the {count} to skip")
        start = found.end()
    return start


def _above_footer(path: str, content: bytes, start: int, footer: str) -> int:
    """Where the footer begins; lines that are empty belong to neither side."""
    end, found = len(content), False
    while end > start:
        stop = end - content.endswith(b"\n", start, end)
        stop -= content.endswith(b"\r", start, stop)
        begin = max(content.rfind(b"\n", start, stop), content.rfind(b"\r", start, stop), start - 1) + 1
        line = content[begin:stop].decode().strip()
        if line and not re.match(footer, line):
            break
        found = found or bool(line)
        end = begin
    if not found:
        raise _cut(path, footer)
    return end


def _ends_in_quotes(content: memoryview, last: object, separator: str) -> bool:
    """Whether a quote opens the last value and nothing closes it, which Arrow reads as if something did."""
    value = last.replace('"', '""') if isinstance(last, str) else ""
    ends = [f'{before}"{value}'.encode() for before in (separator, "\n")]
    return bytes(content[-len(ends[0]) :]).endswith(tuple(ends))
