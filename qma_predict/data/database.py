"""A database asked by SQL: its answer in parts, and the watermark from which it is asked next time."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pandas as pd
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from qma_predict.data.files import FOREIGN
from qma_predict.data.raw import RawFile, one_kind, refuse_repeated, whole
from qma_predict.errors import SourceError
from qma_predict.line import Source

if TYPE_CHECKING:
    import sqlalchemy

PART_ROWS = 100_000
"""Rows of an answer that are read at once."""

_PACKAGES = {"MySQLdb": "mysqlclient", "cx_Oracle": "oracledb", "psycopg2": "psycopg2-binary"}

DRIVERS = {"postgresql": "postgresql+psycopg", "oracle": "oracle+oracledb"}
"""What a URL without a driver means: the one that is maintained, where SQLAlchemy's default is another."""


@dataclass(frozen=True)
class Part:
    """Rows of an answer: the names of its columns, the number of the first row, and the rows.

    `watermark` is the greatest value of the whole answer, as text; only the last part has one.
    """

    names: tuple[str, ...]
    first: int
    rows: Sequence[Sequence[Any]]
    watermark: str | None

    @property
    def digest(self) -> bytes:
        """SHA-256 of names and rows."""
        digest = hashlib.sha256(repr(self.names).encode())
        for row in self.rows:
            digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
        return digest.digest()

    def raw(self, source: Source) -> RawFile:
        """Rows as a file of a format with types has them, numbered within the answer."""
        index = pd.RangeIndex(self.first, self.first + len(self.rows))
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.names)
        return whole(pd.DataFrame({
            name: one_kind(pd.Series([_cell(value) for value in values], index=index, dtype=object), source)
            for name, values in zip(self.names, columns, strict=True)
        }, index=index))  # fmt: skip


def answer(source: Source, watermark: str | None) -> Iterator[Part]:
    """What the database says, part by part; an answer without rows is one part without rows.

    Parameters
    ----------
    source : Source
        With url, query and maybe watermark.
    watermark : str, optional
        The greatest value taken so far, from which it is asked.

    Raises
    ------
    SourceError
        If the database is away (tried three times within two seconds), its driver is not installed, or it cannot
        answer the query.
    """
    greatest = None if watermark is None else from_text(watermark)
    with _asked(source, greatest) as (names, rows):
        at = _position(source, names)
        first, part = 1, rows(PART_ROWS)
        while True:
            following = rows(PART_ROWS) if part else []
            if at is not None:
                greatest = _greatest(source, chain([greatest], (row[at] for row in part)))
            last = not following
            yield Part(names, first, part, to_text(greatest) if last and at is not None else None)
            if last:
                return
            first, part = first + len(part), following


def _position(source: Source, names: Sequence[str]) -> int | None:
    """Where the watermark stands among the columns."""
    refuse_repeated(source.place, list(names))
    if source.watermark is None:
        return None
    if source.watermark not in names:
        raise SourceError(
            f"{source.place}: the answer has no column {source.watermark}, the watermark. Found: {', '.join(names)}."
        )
    return list(names).index(source.watermark)


def _greatest(source: Source, values: Iterable[Any]) -> Any:
    """The greatest of values of one kind; missing ones and what is no number do not count."""
    present = [value for value in values if value is not None and value == value]  # NaN is not itself
    try:
        greatest = max(present, default=None)
        to_text(greatest)
    except TypeError as error:
        raise SourceError(
            f"{source.place}: {source.watermark} cannot be a watermark: {error}. Expected numbers, texts, dates or "
            "times, of one kind in all rows."
        ) from error
    return greatest


@contextmanager
def connected(source: Source) -> Iterator["sqlalchemy.Connection"]:
    """A connection to the database of a source, read only where the database can say so.

    Raises
    ------
    SourceError
        If the database is away (tried three times within two seconds), or its driver is not installed.
    """
    import sqlalchemy  # takes a moment

    engine = _engine(source)
    retry = retry_if_exception_type((sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
    again = Retrying(retry=retry, stop=stop_after_attempt(3), wait=wait_exponential(multiplier=0.5), reraise=True)
    try:
        connection = again(engine.connect)
    except FOREIGN as error:
        raise SourceError(
            f"{source.place}: cannot be reached: {reason(error, engine)}. Check the URL, the network and the login."
        ) from error
    with closing(connection):
        yield connection


@contextmanager
def _asked(source: Source, watermark: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Names of the answer's columns, and a function that gives its next rows."""

    def refused(error: Exception) -> SourceError:
        return SourceError(
            f"{source.place}: cannot answer the query of {source.table}: {reason(error, connection.engine)}. "
            "Check the query in line.toml."
        )

    with connected(source) as connection:
        try:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=PART_ROWS)
            result = streamed.execute(_statement(source, watermark))
            names = tuple(map(str, result.keys()))
        except FOREIGN as error:
            raise refused(error) from error

        def rows(count: int) -> Sequence[Sequence[Any]]:
            try:
                return result.fetchmany(count)
            except FOREIGN as error:
                raise refused(error) from error

        with closing(result):
            yield names, rows


def _engine(source: Source) -> "sqlalchemy.Engine":
    from sqlalchemy import NullPool, create_engine, exc, make_url

    try:
        url = make_url(str(source.url))
        url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
        file = url.database or ":memory:"
        if url.get_backend_name() == "sqlite" and ":memory:" not in file and not file.startswith("file:"):
            url = url.set(database=f"file:{file}", query={**url.query, "mode": "ro", "uri": "true"})
        return create_engine(url, poolclass=NullPool)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), error.name)
        raise SourceError(
            f"{source.place}: the database's driver is missing. Install the package {package} beside qma-predict, or "
            "name another driver in the URL, such as mysql+pymysql://."
        ) from error
    except exc.NoSuchModuleError as error:
        raise SourceError(
            f"{source.place}: {error}. Expected a URL that SQLAlchemy knows, such as postgresql://user@host/name; for "
            "another database, install the package with its dialect beside qma-predict."
        ) from error
    except (exc.SQLAlchemyError, ValueError) as error:
        raise SourceError(
            f"{source.place}: no URL of a database. Expected one such as postgresql://user@host/name or "
            "sqlite:////folder/file.db."
        ) from error


def _statement(source: Source, watermark: Any) -> "sqlalchemy.TextClause":
    from sqlalchemy import String, bindparam, text

    query = text(str(source.query))
    if source.watermark is None:
        return query
    if watermark is None:  # written into the query: PostgreSQL wants to know the type of a bound NULL
        return query.bindparams(bindparam("watermark", None, literal_execute=True))
    if isinstance(watermark, str):
        return query.bindparams(bindparam("watermark", watermark, type_=String()))
    return query.bindparams(bindparam("watermark", watermark))


def reason(error: Exception, engine: "sqlalchemy.Engine") -> str:
    """What the database said, in one line, without the password."""
    said = " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
    password = engine.url.password
    return said.replace(str(password), "***") if password else said


def _cell(value: Any) -> Any:
    """A value of a database as one of int, float, str, bool, datetime or nothing."""
    if isinstance(value, Decimal):
        whole_number = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole_number else float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return value if value is None or isinstance(value, int | float | str) else str(value)


_KINDS = {int: "int", float: "float", Decimal: "decimal", str: "text", datetime: "time", date: "date", UUID: "uuid"}
_READ: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "decimal": Decimal,
    "text": str,
    "time": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
    "bytes": bytes.fromhex,
}


def to_text(watermark: Any) -> str | None:
    """A watermark with its kind, so that `from_text` gives the same again.

    Raises
    ------
    TypeError
        If it is of no kind that can be one.

    Examples
    --------
    >>> to_text(datetime(2025, 5, 1, 8, 30))
    'time 2025-05-01T08:30:00'
    >>> from_text("time 2025-05-01T08:30:00")
    datetime.datetime(2025, 5, 1, 8, 30)
    """
    if watermark is None:
        return None
    if isinstance(watermark, bytes):
        return f"bytes {watermark.hex()}"
    kind = _KINDS.get(type(watermark))
    if kind is None:
        raise TypeError(f"found {type(watermark).__name__}")
    return f"{kind} {watermark.isoformat() if isinstance(watermark, date) else watermark}"


def from_text(text: str) -> Any:
    """A watermark as the database gave it."""
    kind, _, value = text.partition(" ")
    return _READ[kind](value)
