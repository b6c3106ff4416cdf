"""The sources of a line, piece by piece: files, the data files of a Delta table, parts of a database's answer."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd

from qma_predict.data.database import Part, answer
from qma_predict.data.delta import find_data_files
from qma_predict.data.files import File, Stamp, find_files
from qma_predict.data.parsing import parse
from qma_predict.data.raw import RawFile, cells_of
from qma_predict.errors import SourceError
from qma_predict.line import Source

__all__ = ["Content", "Piece", "RawFile", "cells_of", "file_id", "pieces", "rules"]


@dataclass(frozen=True)
class Content:
    """What was read of a piece: its identity, and its rows, which take a while."""

    identity: str
    rows: Callable[[], RawFile]


@dataclass(frozen=True)
class Piece:
    """What is read and counted at once: a file, or a part of a database's answer.

    Attributes
    ----------
    path : str
        Path or URL of the file, or the database, for messages and the book.
    stamp : callable
        Path, size [bytes] and time of change [ns] of a file: the same again means that it has not changed. Of an
        answer, the size is 0: what it says is known only when it is read. Raises SourceError as `load` does.
    load : callable
        Reads it. Raises SourceError if it is away, cut, or not what the source says.
    watermark : str, optional
        From where the database is asked next time, once this and all pieces before it are taken.
    answered : bool
        Whether it is a part of an answer: asked again, it may have other rows, and the same rows other numbers.
    """

    path: str
    stamp: Callable[[], Stamp]
    load: Callable[[], Content]
    watermark: str | None = None
    answered: bool = False


def pieces(
    source: Source, watermark: str | None = None, units: Mapping[str, str] | None = None
) -> Iterator[Piece | SourceError]:
    """Pieces of a source in a fixed order, and what is wrong with parts of it that have none.

    Parameters
    ----------
    source : Source
    watermark : str, optional
        Of a database, the greatest value taken so far.
    units : mapping of str, optional
        `Line.units`, which are part of a piece's identity where the source's values are converted.

    Raises
    ------
    SourceError
        If the source as a whole cannot be found or asked; of a database also between two pieces.
    """
    read_by = rules(source, units or {})
    if source.url is not None:
        for part in answer(source, watermark):
            yield _of_answer(source, part, read_by)
        return
    files, problems = find_data_files(source) if source.format == "delta" else (find_files(source), [])
    yield from problems
    for file in files:
        yield Piece(file.path, file.stamp, partial(_load, file, source, read_by))


def rules(source: Source, units: Mapping[str, str]) -> bytes:
    """How a source reads, wherever its files lie: what tells two readings of the same content apart."""
    converts = source.table == "tags" or bool(source.units) or "unit" in (source.columns.keys() | source.constants)
    how = source.model_dump_json(exclude={"path", "url", "query", "watermark"})
    return f"{how} {sorted(units.items()) if converts else ''}".encode()


def file_id(content: bytes, read_by: bytes, partition: Mapping[str, str | None] | None = None) -> str:
    """Identity of a content as read by `rules`: the same content read by other rules is another.

    What the folders of a file say (`partition`) is part of its content.
    """
    said = repr(sorted(partition.items())).encode() if partition else b""
    return hashlib.sha256(read_by + hashlib.sha256(content).digest() + said).hexdigest()


def _load(file: File, source: Source, read_by: bytes) -> Content:
    content = file.load()
    parquet = source.format in ("parquet", "delta") or (source.format is None and file.path.endswith(".parquet"))
    partition = file.partition if parquet else {}

    def rows() -> RawFile:
        raw = parse(file.path, content, source)
        lacking = {name: value for name, value in partition.items() if name not in raw.rows}
        # a column of nothing is text, as of a CSV
        more = {name: pd.Series(value, index=raw.rows.index, dtype="str") for name, value in lacking.items()}
        return RawFile(raw.rows.assign(**more), raw.broken) if more else raw

    return Content(file_id(content, read_by, partition), rows)


def _of_answer(source: Source, part: Part, read_by: bytes) -> Piece:
    place = source.place

    def load() -> Content:
        return Content(file_id(part.digest, read_by), partial(part.raw, source))

    return Piece(place, lambda: (place, 0, 0), load, part.watermark, answered=True)
