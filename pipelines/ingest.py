"""Flow: the plant's new files into the lake."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from prefect import flow

from pipelines.logs import about
from pipelines.steps import step
from qma_predict.data.freshness import late, newest
from qma_predict.data.ingest import Ingested, ingest
from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.line import load_line

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=1)
"""Between two looks at sources that are not there yet."""


def now_utc() -> datetime:
    """The present."""
    return datetime.now(UTC)


def take_in(line: str, home: str, as_of: datetime, tried_again: bool = False) -> Ingested:
    """Ingest a line's new files, first seen as of `as_of` [UTC]; see `qma_predict.data.ingest.ingest`."""
    definition, place = load_line(line), open_home(home)
    with place.writing(definition.name):
        lake = Lake(place.lake(definition.name))
        return ingest(definition, lake, as_of=as_of, now=now_utc(), tried_again=tried_again)


def take_in_for(
    line: str,
    home: str,
    business_date: date,
    *,
    clock: Callable[[], datetime] = now_utc,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Ingest a line's new files for the list of a business date; late ones are waited for as long as the line says.

    On its own day, what is ingested counts as known at the list's moment. For an earlier date it counts as first seen
    now, and nothing is waited for: a list made afterwards knows no more than was there.

    Parameters
    ----------
    line, home : str
    business_date : date
    clock : callable
        The present [UTC].
    sleep : callable
        Waits so many seconds.

    Returns
    -------
    tuple of str
        What was still missing when the time was over, in words; it is logged too.
    """
    definition, now = load_line(line), clock()
    as_of, until = definition.as_of(business_date), definition.waits_until(business_date)
    if now >= definition.as_of(business_date + timedelta(days=1)):
        return _told(step(take_in)(line, home, now).problems)
    while True:
        last = clock() + PAUSE > until
        problems = step(take_in)(line, home, as_of, tried_again=not last).problems
        missing = (*problems, *what_is_late(line, home, as_of))
        if last or not missing:
            return _told(missing)
        log.info("waiting until %s UTC: %s", f"{until:%H:%M}", missing[0])
        sleep(PAUSE.total_seconds())


def _told(missing: tuple[str, ...]) -> tuple[str, ...]:
    """What a list is made without, logged."""
    if missing:
        log.warning("the list is made without: %s", "; ".join(missing))
    return missing


def what_is_late(line: str, home: str, as_of: datetime) -> list[str]:
    """Say of which tables less is there than usual at a moment [UTC]."""
    definition, place = load_line(line), open_home(home)
    history = Lake(place.lake(definition.name)).at(as_of)
    return late(history, definition, newest(history, definition))


@flow(name="ingest")
def ingest_flow(line: str, home: str) -> Ingested:
    """Ingest a line's new files now."""
    with about(line=load_line(line).name):
        return step(take_in)(line, home, datetime.now(UTC))
