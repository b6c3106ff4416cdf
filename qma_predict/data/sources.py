"""Reading a plant's files as they are, without losing a row."""

import csv
import gzip
import hashlib
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from qma_predict.errors import SourceError
from qma_predict.line import Source


@dataclass(frozen=True)
class RawFile:
    """A file as the plant wrote it.

    `rows` has the plant's column names and is indexed by the record's number in the file (1 is the first
    below the header); `broken` is indexed likewise and has `reason` and `content` of records that are not rows.
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
    files = sorted(Path(name) for name in glob(source.path, recursive=True) if Path(name).is_file())
    if not files:
        raise SourceError(
            f"source of {source.table}: no file matches {source.path}. "
            "Check the path in line.toml, and that the export has run."
        )
    return files


def file_id(path: Path, source: Source) -> str:
    """Identity of a file's content as read by a source: the same file read by other rules is another."""
    rules = source.model_dump_json(exclude={"path"}).encode()
    with path.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").digest()
    return hashlib.sha256(rules + content).hexdigest()


def read_file(path: Path, source: Source) -> RawFile:
    """Read one file of a source.

    Raises
    ------
    SourceError
        If the file as a whole cannot be read: empty, cut inside a compressed stream, of another format or encoding.
    """
    kind = source.format or ("parquet" if path.suffix == ".parquet" else "csv")
    try:
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty. Expected a {kind} file with at least a header.")
        return _read_parquet(path) if kind == "parquet" else _read_csv(path, source)
    except (pa.ArrowInvalid, OSError, EOFError, UnicodeDecodeError, LookupError) as error:
        what = f"Expected a whole {kind} file in {source.encoding}, separated by {source.separator!r}"
        if kind == "parquet":
            what = "Expected a whole Parquet file"
        raise SourceError(f"{path}: cannot be read: {error}. {what}; is it still being written?") from error


def _read_parquet(path: Path) -> RawFile:
    rows = pa.parquet.read_table(path).to_pandas()
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    return RawFile(rows, pd.DataFrame({"reason": [], "content": []}, dtype="str"))


def _read_csv(path: Path, source: Source) -> RawFile:
    broken: list[tuple[int, str, str]] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        why = f"expected {row.expected_columns} values as in the header, found {row.actual_columns}"
        broken.append((row.number, why, row.text))
        return "skip"

    parse = pa.csv.ParseOptions(delimiter=source.separator, newlines_in_values=True, invalid_row_handler=keep)
    # one thread: only then does Arrow know the number of a broken row
    read = pa.csv.ReadOptions(use_threads=False, encoding=source.encoding)
    header = _header(path, source)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    with pa.input_stream(path, compression="gzip" if path.suffix == ".gz" else None) as stream:
        table = pa.csv.read_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    rows = table.to_pandas()
    numbers = np.array([number - 1 for number, _, _ in broken], dtype=np.int64)  # Arrow counts the header
    rows.index = pd.Index(np.setdiff1d(np.arange(1, len(rows) + len(broken) + 1), numbers))
    refused = pd.DataFrame(broken, columns=["number", "reason", "content"], dtype="str")
    return RawFile(rows, refused[["reason", "content"]].set_index(pd.Index(numbers)))


def _header(path: Path, source: Source) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding=source.encoding, newline="") as stream:
        names = next(csv.reader(stream, delimiter=source.separator), [])
    if names:
        names[0] = names[0].removeprefix("\ufeff")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: the header names {twice} more than once. Expected each column once.")
    return names
