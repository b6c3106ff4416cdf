"""Flow: what a line's schedule makes due, and what became of missed nights."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout
from prefect import flow

from pipelines.ingest import now_utc
from pipelines.logs import about
from pipelines.nightly import make_list
from qma_predict.errors import NoList, QmaError
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line
from qma_predict.publish.lists import bundle

log = logging.getLogger(__name__)

LOOK_BACK = timedelta(days=7)
"""How far back the first list of a line may be due."""


@dataclass(frozen=True)
class Due:
    """What a run makes.

    Attributes
    ----------
    business_date : date
        The newest list; if it is published, it is only looked at.
    earlier : tuple of date
        Those before it that are made in retrospect, oldest first.
    """

    business_date: date
    earlier: tuple[date, ...] = ()


def due(line: Line, published: Iterable[date], now: datetime) -> Due:
    """Return what a run that starts now makes, by the line's `schedule.missed`.

    Parameters
    ----------
    line : Line
    published : iterable of date
        Business dates that have a list.
    now : datetime, UTC

    Raises
    ------
    NoList
        The list is due, but its promised time has passed and the line wants none then.
    """
    known = max(published, default=None)
    today = line.current_business_date(now)
    waiting = line.due(known or today - LOOK_BACK, now)
    if not waiting:
        return Due(known or today)
    newest, promised = waiting[-1], line.promised_by(waiting[-1])
    if line.schedule.missed == "none" and now >= promised:
        raise NoList(
            f"line {line.name}, {newest}: no list is made: it was promised by {promised:%Y-%m-%d %H:%M} UTC, which has "
            f'passed, and schedule.missed is "none". Use the control plan; to make it nevertheless: '
            f"qma nightly {line.name} --date {newest}"
        )
    return Due(newest, waiting[:-1] if line.schedule.missed == "all" and known else ())


def make_due(
    line: str,
    home: str,
    *,
    clock: Callable[[], datetime] = now_utc,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Make what is due, one run a line at a time; another one waits and then finds its lists published.

    An earlier list that cannot be made is logged and left out, for tonight's matters more.

    Parameters
    ----------
    line, home : str
    clock, sleep : callable
        As `make_list` takes them.

    Raises
    ------
    NoList
        As `due` says.
    """
    definition, place = load_line(line), open_home(home)
    with about(line=definition.name), place.writing(run_lock(definition)):
        found = due(definition, bundle.published_dates(place.published(definition.name)), clock())
        for day in found.earlier:
            try:
                make_list(line, home, day, clock=clock, sleep=sleep)
            except QmaError as error:
                log.warning("%s: no list in retrospect: %s", day, error)
        return make_list(line, home, found.business_date, clock=clock, sleep=sleep)


def run_lock(line: Line) -> str:
    """Name of the lock that the scheduled run of a line holds from its beginning to its end."""
    return f"{line.name}.run"  # no line has a dot in its name


def is_running(home: Home, line: Line) -> bool:
    """Whether a scheduled run of the line is on its way, on this or another host that shares the locks."""
    try:
        with FileLock(home.folder / "locks" / f"{run_lock(line)}.lock", timeout=0):
            return False
    except Timeout:
        return True


@flow(name="nightly run")
def scheduled_flow(line: str, home: str) -> Path:
    """Make the list that is due, and what the line's `schedule.missed` says of those that were missed."""
    return make_due(line, home)
