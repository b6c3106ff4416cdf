"""Checks of what the home keeps. Everything is only looked at: nothing is made, migrated or locked for long."""

import fcntl
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from qma_predict.data.lake import Lake
from qma_predict.errors import DamagedList, ModelError
from qma_predict.home import MARK, Home, open_home
from qma_predict.operate.check import Check, tried
from qma_predict.operate.moved_store import strange_places
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.desk import VARIABLE, desk_url
from qma_predict.publish.lists.published import receipt_of
from qma_predict.publish.models import champion_log, champion_quotes, kept_models

VERIFIED = 60
"""Newest lists whose every file is compared with its hash; no night looks at more."""

AHEAD = timedelta(minutes=5)
"""How far clocks of two hosts may differ."""

_RESTORE = "Restore it from a backup (qma restore)."


def home_checks(home: Home, environment: Mapping[str, str]) -> Iterator[Check]:
    """Checks of the home as a whole."""
    if not (home.folder / MARK).is_file():
        yield tried("home", lambda: no_home(home))
        return
    opened = tried("home", lambda: Check("home", "ok", f"{open_home(home.folder).folder}: opens"))
    yield opened
    if opened.state == "ok":
        yield tried("locks", lambda: locks(home))
        yield tried("mlflow", lambda: mlflow(home))
        yield tried("desk", lambda: desk(home, environment))


def no_home(home: Home) -> Check:
    """Whether a home can be made where there is none."""
    if home.folder.exists() and (not home.folder.is_dir() or any(home.folder.iterdir())):
        found = f"{home.folder}: is something else than a home (no {MARK})"
        return Check("home", "failed", found, "Name another folder by --home or QMA_HOME.")
    return Check("home", "warning", f"{home.folder}: there is no home yet", "The first qma ingest makes it.")


def line_checks(home: Home, line: str, now: datetime, trust: Collection[str] = ()) -> Iterator[Check]:
    """Checks of what the home keeps of a line, which trusts these classes in stored models."""
    if not (home.folder / MARK).is_file():
        return
    yield tried("lake", lambda: lake(home, line, now))
    yield tried("lists", lambda: lists(home, line))
    yield tried("models", lambda: models(home, line))
    yield tried("champion", lambda: champion(home, line, trust))
    yield tried("clock", lambda: clock(home, line, now))


def locks(home: Home) -> Check:
    """Which locks are held now; they are only tried."""
    files = [*home.folder.glob("locks/*.lock"), *home.folder.glob("published/*/.publish.lock")]
    held = [str(file) for file in sorted(files) if _held(file)]
    if not held:
        return Check("locks", "ok", "nobody writes now")
    return Check(
        "locks",
        "warning",
        f"somebody writes now: {', '.join(held)}",
        f"Nothing, if a run is under way. If none should be, find the process (fuser {held[0]}) and end it.",
    )


def _held(file: Path) -> bool:
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False  # closed, it is free again


def mlflow(home: Home) -> Check:
    """Whether MLflow's store is whole; nights do not need it."""
    file = home.mlflow / "mlflow.db"
    if not file.is_file():
        return Check("mlflow", "warning", f"{file}: there is no store yet", "The first qma train makes it.")
    try:
        wrong = _quick_check(file)
        strange = [] if wrong else strange_places(file, home.folder)
    except sqlite3.Error as error:
        wrong, strange = str(error), []
    if wrong:
        return Check("mlflow", "warning", f"{file}: {wrong}", f"Nights go on, trainings do not. {_RESTORE}")
    if strange:
        what = "Move a home by qma backup and qma restore, which lets MLflow find its files."
        return Check("mlflow", "warning", f"{file}: keeps its files elsewhere, in {strange[0]}", what)
    return Check("mlflow", "ok", f"{file}: opens, whole")


def desk(home: Home, environment: Mapping[str, str]) -> Check:
    """Whether the desk database can be read."""
    from sqlalchemy import NullPool, create_engine, exc, inspect

    url = desk_url(home, environment)
    place = url.render_as_string()
    if not environment.get(VARIABLE):
        if not home.desk.is_file():
            return Check("desk", "ok", f"{home.desk}: not there yet; the first list makes it")
        try:
            wrong = _quick_check(home.desk)
        except sqlite3.Error as error:
            wrong = str(error)
        if wrong:
            return Check("desk", "failed", f"{home.desk}: {wrong}", _RESTORE)
        return Check("desk", "ok", f"{home.desk}: opens, whole")
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            there = inspect(connection).has_table("lists")
    except (exc.SQLAlchemyError, ModuleNotFoundError) as error:
        why = type(error).__name__ if url.password else str(error)  # a driver may repeat the password
        return Check("desk", "failed", f"{place}: cannot be reached: {why}", f"Check {VARIABLE} and the database.")
    return Check("desk", "ok", f"{place}: opens, " + ("has lists" if there else "empty; the first list fills it"))


def _quick_check(file: Path) -> str:
    """What is wrong with an SQLite file, or nothing."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    return "" if found == ["ok"] else f"damaged: {'; '.join(found)}"


def lake(home: Home, line: str, now: datetime) -> Check:
    """Whether the newest version of every table has all its files."""
    folder = home.lake(line)
    if not folder.is_dir():
        return Check("lake", "warning", f"{folder}: nothing was taken in yet", f"Take it in: qma ingest {line}")
    found = Lake(folder).at(now).versions
    return Check("lake", "ok", f"{folder}: {len(found)} tables, all files there")


def lists(home: Home, line: str) -> Check:
    """Whether the newest lists are whole, and `latest` shows the newest."""
    folder = home.published(line)
    dates, damaged = bundle.published_dates(folder), []
    newest = dates[-VERIFIED:]
    for day in [*newest, *bundle.lost_dates(folder)]:
        try:
            bundle.verify(folder / day.isoformat())
        except DamagedList as error:
            damaged.append(str(error))
    if damaged:
        return Check("lists", "failed", "; ".join(damaged))
    if not dates:
        return Check("lists", "ok", f"{folder}: no list was published yet")
    latest = (folder / bundle.LATEST).resolve()
    if latest != (folder / dates[-1].isoformat()).resolve():
        what = f"Run the night again, which mends it: qma nightly {line} --date {dates[-1]}"
        return Check("lists", "failed", f"{folder / bundle.LATEST}: shows {latest.name}, not {dates[-1]}", what)
    return Check("lists", "ok", f"{folder}: {len(dates)}, to {dates[-1]}; the newest {len(newest)} are whole")


def models(home: Home, line: str) -> Check:
    """Whether every kept model is what it was, those that reigned or wait also by the log of champions."""
    known = champion_log.entries(home, line)
    needed = [*(entry for entry in known if entry.reigns), *champion_log.pending(home, line)]
    hashes = {entry.version: entry.model_sha256 for entry in needed}
    kept = sorted({*kept_models.versions(home, line), *hashes}, key=int)
    if not kept:
        return Check("models", "warning", f"{home.models(line)}: none is kept", f"Train one: qma train {line}")
    damaged = []
    for version in kept:
        try:
            kept_models.verify(home, kept_models.read(home, line, version, hashes.get(version)))
        except ModelError as error:
            damaged.append(str(error))
    if damaged:
        return Check("models", "failed", "; ".join(damaged))
    return Check("models", "ok", f"{home.models(line)}: {len(kept)}, each with its hashes")


def champion(home: Home, line: str, trust: Collection[str]) -> Check:
    """Whether there is a champion that a night loads, and nobody rewrote the log, also since lists quoted it."""
    known = champion_quotes.checked(home, line)
    if lost := champion_log.lost(home, line, known):
        return Check("champion", "failed", lost)
    entry = champion_log.reigning(known)
    if entry is None:
        return Check("champion", "warning", f"{home.champions(line)}: there is none", f"Train one: qma train {line}")
    kept_models.check_types(home, champion_log.model_of(home, line, entry), trust)
    entries = "1 entry" if len(known) == 1 else f"{len(known)} entries"
    return Check("champion", "ok", f"v{entry.version} since {entry.at:%Y-%m-%d}; the log is whole ({entries})")


def clock(home: Home, line: str, now: datetime) -> Check:
    """Whether anything was written at a time that is still to come."""
    moments: dict[str, datetime] = {}
    if home.lake(line).is_dir():
        books = Lake(home.lake(line))
        for name in ("files", "problems"):
            newest = books.read(name)["ingested_at"].max()
            if not pd.isna(newest):
                moments[f"the lake's {name}"] = newest.to_pydatetime()
    folder = home.published(line)
    for day in bundle.published_dates(folder)[-1:]:
        if published := receipt_of(folder / day.isoformat()).get("published_at"):
            moments[f"the list of {day}"] = datetime.fromisoformat(published)
    later = [f"{what} is of {moment:%Y-%m-%d %H:%M} UTC" for what, moment in moments.items() if moment > now + AHEAD]
    if later:
        found = f"it is {now:%Y-%m-%d %H:%M} UTC by this machine's clock, and {' and '.join(later)}"
        return Check("clock", "failed", found, "Set the clock (NTP). Until then, nights may know too little.")
    return Check("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC, after all that was written")
