"""The desk database: published lists as rows, people's answers to them, and what became of their promises.

An SQLite file in the home, or any database that SQLAlchemy knows. Lists are written here after they are published:
what a writer that was stopped between the two left out, the next one writes (`record_lists`).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import URL, Engine, NullPool, Table, create_engine, delete, exc, insert, inspect, make_url, select, text
from sqlalchemy.schema import CreateColumn
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from qma_predict.data.database import DRIVERS, reason
from qma_predict.errors import DamagedList, HomeError, PublicationError
from qma_predict.home import Home
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.desk_tables import ANSWERS, LIST_ROWS, LISTS, PROMISES, TABLES
from qma_predict.publish.lists.manifest import digest_of, verify
from qma_predict.publish.lists.published import rows_of

VARIABLE = "QMA_DESK"
"""Variable of the environment with the URL of a database other than the home's own."""

log = logging.getLogger(__name__)


def open_desk(home: Home, environment: Mapping[str, str]) -> Engine:
    """Open the desk database, and make the tables and columns that it lacks.

    Parameters
    ----------
    home : Home
        Whose `desk` is used if the environment names no other.
    environment : mapping of str
        `QMA_DESK` is SQLAlchemy's URL of another database.

    Raises
    ------
    HomeError
        If it is no URL, its driver is missing, or the database is away or refuses.
    """
    url = desk_url(home, environment)
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 60} if _is_file(url) else {})
    except (exc.SQLAlchemyError, ModuleNotFoundError) as error:
        raise HomeError(
            f"{VARIABLE}: {error}. Expected a URL that SQLAlchemy knows, and its driver installed beside qma-predict."
        ) from error
    with _told(engine):
        # of two processes that make a table at once, one is told that it is there
        wait = wait_random_exponential(multiplier=0.1, max=1)
        for attempt in Retrying(
            retry=retry_if_exception_type(exc.SQLAlchemyError), stop=stop_after_attempt(4), wait=wait, reraise=True
        ):
            with attempt:
                _make_tables(engine)
    return engine


def record_lists(engine: Engine, line: str, folder: Path) -> int:
    """Write every published list of a line that the database does not have; return how many these were.

    One that is damaged is left out, and logged: the next list says so.

    Parameters
    ----------
    engine : Engine
        Of `open_desk`.
    line : str
        Its name.
    folder : Path
        ``<home>/published/<line>``.

    Raises
    ------
    PublicationError
        If the database has another list with the same id and revision.
    HomeError
        If the database is away or refuses.
    """
    with _told(engine), engine.connect() as connection:
        known = set(connection.execute(select(LISTS.c.manifest_sha256).where(LISTS.c.line == line)).scalars())
    written = 0
    for day in bundle.published_dates(folder):
        for path in bundle.revisions(folder, day).values():
            try:
                written += digest_of(path) not in known and record_list(engine, line, path)
            except DamagedList as error:
                log.error("not written into the desk database: %s", error)
    return written


def record_list(engine: Engine, line: str, path: Path) -> bool:
    """Write a published list and its rows in one transaction; return False if the database has it already.

    Parameters
    ----------
    engine : Engine
        Of `open_desk`.
    line : str
        Its name.
    path : Path
        A date of the line's folder, or one of the revisions.

    Raises
    ------
    PublicationError
        If the list is damaged, or the database has another one with the same id and revision.
    HomeError
        If the database is away or refuses.
    """
    whole = path.resolve()
    manifest, digest = verify(whole), digest_of(whole)
    facts, revision = manifest["facts"], int(manifest["revision"])
    entry = {
        "list_id": facts["list_id"],
        "revision": revision,
        "line": line,
        "business_date": date.fromisoformat(manifest["business_date"]),
        "state": facts.get("state"),
        "reason": manifest["reason"],
        "facts": facts,
        "manifest_sha256": digest,
    }
    with _told(engine):
        if _has(engine, entry):
            return False
        rows = records(rows_of(whole).assign(revision=revision))
        try:
            with engine.begin() as connection:
                connection.execute(insert(LISTS), entry)
                if rows:
                    connection.execute(insert(LIST_ROWS), rows)
        except exc.IntegrityError:
            if _has(engine, entry):  # another process was first
                return False
            raise
    return True


def record_answers(engine: Engine, answers: pd.DataFrame, table: Table = ANSWERS) -> int:
    """Write answers that the database does not have, in one transaction; return how many these were.

    Parameters
    ----------
    engine : Engine
        Of `open_desk`.
    answers : DataFrame
        The columns of the table.
    table : Table
        `ANSWERS`, or `ISSUE_ANSWERS`.

    Raises
    ------
    HomeError
        If the database is away or refuses.
    """
    if answers.empty:
        return 0
    key = list(table.primary_key.columns)
    lists = sorted(set(answers["list_id"]))
    with _told(engine), engine.begin() as connection:
        known = {tuple(row) for row in connection.execute(select(*key).where(table.c.list_id.in_(lists)))}
        rows = records(answers[[column.name for column in table.columns]])
        new = [row for row in rows if tuple(row[column.name] for column in key) not in known]
        if new:
            connection.execute(insert(table), new)
    return len(new)


def record_promises(engine: Engine, line: str, as_of: datetime, promises: pd.DataFrame) -> None:
    """Write what became of earlier lists' promises as told at a moment, in the place of what was written of it.

    Parameters
    ----------
    engine : Engine
        Of `open_desk`.
    line : str
        Its name.
    as_of : datetime, UTC
    promises : DataFrame
        Of `qma_predict.review.promises.promises`.

    Raises
    ------
    HomeError
        If the database is away or refuses.
    """
    columns = [column.name for column in PROMISES.columns]
    rows = records(promises.assign(line=line, as_of=pd.Timestamp(as_of))[columns])
    with _told(engine), engine.begin() as connection:
        connection.execute(delete(PROMISES).where(PROMISES.c.line == line, PROMISES.c.as_of == as_of))
        if rows:
            connection.execute(insert(PROMISES), rows)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as a database takes them: Python's own values, None for what is missing."""
    names, columns = list(frame.columns), [_plain(column) for _, column in frame.items()]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        values = [None if one is pd.NaT else one.to_pydatetime() for one in column]
    else:
        values = column.astype(object).where(column.notna(), None).tolist()
    # PostgreSQL has no such sign
    return [one.replace("\0", "\\0") if isinstance(one, str) and "\0" in one else one for one in values]


def _has(engine: Engine, entry: Mapping[str, Any]) -> bool:
    this = (LISTS.c.list_id == entry["list_id"]) & (LISTS.c.revision == entry["revision"])
    with engine.connect() as connection:
        digest = connection.execute(select(LISTS.c.manifest_sha256).where(this)).scalar()
    if digest not in (None, entry["manifest_sha256"]):
        raise PublicationError(
            f"desk database {engine.url.render_as_string()}: it has another list {entry['list_id']}, revision "
            f"{entry['revision']}. Do two homes with lines of the same name use it? Name another by {VARIABLE}."
        )
    return digest is not None


def desk_url(home: Home, environment: Mapping[str, str]) -> URL:
    """URL of the desk database.

    Raises
    ------
    HomeError
        If `QMA_DESK` is no URL.
    """
    given = environment.get(VARIABLE)
    if not given:
        return URL.create("sqlite", database=str(home.desk))
    try:
        url = make_url(given)
    except exc.ArgumentError as error:  # it repeats the URL, with its password
        raise HomeError(
            f"{VARIABLE}: no URL of a database. Expected one such as postgresql://user@host/name."
        ) from error
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _make_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        TABLES.create_all(connection)
        there = inspect(connection)
        for table in TABLES.sorted_tables:
            known = {column["name"] for column in there.get_columns(table.name)}
            for column in table.columns:
                if column.name not in known:  # made by an earlier version of the program
                    what = CreateColumn(column).compile(dialect=engine.dialect)
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {what}"))


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    """Say in our words what a database refuses."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise HomeError(
            f"desk database {engine.url.render_as_string()}: cannot be used: {reason(error, engine)}. Check the "
            f"database and its permissions; {VARIABLE} names another."
        ) from error
