"""Flow: one business date, from the plant's files to the published list."""

import logging
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
from prefect import flow

from pipelines.ingest import now_utc, take_in_for
from pipelines.logs import about
from pipelines.steps import step
from pipelines.tonight import Champion, champion_tonight, lay_out, provenance
from qma_predict.data.lake import History, Lake
from qma_predict.errors import PublicationError
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line
from qma_predict.publish.lists import bundle, definitions, desk
from qma_predict.publish.messages import digest as messages
from qma_predict.publish.night import Provenance
from qma_predict.review.earlier import EarlierLists, lists_before

log = logging.getLogger(__name__)


def list_night(
    line: str, home: str, business_date: date, replace: str | None = None, retrospective: bool = False
) -> Path:
    """Score the candidates of a business date and publish its list.

    One that is published stays as it is, unless `replace` says why it is to be replaced by a new revision.
    """
    definition, place = load_line(line), open_home(home)
    folder = place.published(definition.name)
    with place.writing(definition.name):
        if business_date in bundle.published_dates(folder) and replace is None:
            bundle.finish(folder)
            bundle.verify(folder / business_date.isoformat())
            log.info("published already, whole and unchanged")
        else:
            _publish(definition, place, business_date, replace, retrospective)
    return folder / business_date.isoformat()


def _publish(line: Line, home: Home, business_date: date, replace: str | None, retrospective: bool) -> None:
    history = Lake(home.lake(line.name)).at(line.as_of(business_date))
    champion = champion_tonight(home, line, line.as_of(business_date), retrospective=retrospective)
    definitions.keep(home, line)
    publish_night(
        history,
        line,
        business_date,
        folder=home.published(line.name),
        champion=champion,
        under=provenance(line, history, champion, retrospective=retrospective),
        replace=replace,
    )


def publish_night(
    history: History,
    line: Line,
    business_date: date,
    *,
    folder: Path,
    champion: Champion,
    under: Provenance,
    lists: EarlierLists | None = None,
    replace: str | None = None,
) -> None:
    """Make the list of a business date, by default with the lists in a folder before it, and publish it there."""
    lists = lists or lists_before(folder, line, history.as_of.to_pydatetime())
    night = lay_out(history, line, business_date, champion, lists, under)
    receipt = {"published_at": datetime.now(UTC).isoformat(), "host": platform.node(), "process": os.getpid()}
    bundle.publish(folder, business_date, night.contents, facts=night.facts, receipt=receipt, replace=replace)


def record(line: str, home: str, business_date: date) -> None:
    """Write what is published into the desk database, also what an earlier run did not come to.

    Raises
    ------
    HomeError
        If the database is away; the list stands, and the next run writes what is missing.
    """
    definition, place = load_line(line), open_home(home)
    folder = place.published(definition.name)
    with place.writing(definition.name):
        engine = desk.open_desk(place, os.environ)
        desk.record_lists(engine, definition.name, folder)
        told = pd.DataFrame(bundle.read(folder, business_date)["facts"]["promises"])
        if len(told):
            told = told.assign(business_date=[date.fromisoformat(day) for day in told["business_date"]])
            desk.record_promises(engine, definition.name, definition.as_of(business_date), told)


def tell(line: str, home: str, business_date: date) -> None:
    """Tell those whom the line names what a list says, and which ones before it were not made.

    What fails is logged, and the list stands.
    """
    definition, place = load_line(line), open_home(home)
    folder = place.published(definition.name)
    missed = missed_before(definition, bundle.published_dates(folder), business_date)
    manifest = bundle.read(folder, business_date)
    for failure in messages.tell(place, definition, manifest, missed).failures:
        log.warning("%s", failure)


def missed_before(line: Line, published: list[date], business_date: date) -> tuple[date, ...]:
    """Business dates between a list and the one before it whose runs did not take place, oldest first."""
    earlier = [day for day in published if day < business_date]
    if not earlier:
        return ()
    return tuple(day for day in line.due(earlier[-1], line.as_of(business_date)) if day < business_date)


def make_list(
    line: str,
    home: str,
    business_date: date,
    replace: str | None = None,
    *,
    clock: Callable[[], datetime] = now_utc,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Ingest and publish the list of a business date; on its own day, wait for late sources, and tell people of it.

    Parameters
    ----------
    line, home : str
    business_date : date
    replace : str, optional
        Why a published list is replaced.
    clock, sleep : callable
        The present [UTC], and how to wait so many seconds.
    """
    definition = load_line(line)
    with about(line=definition.name, business_date=business_date):
        if replace is not None or business_date not in bundle.published_dates(
            open_home(home).published(definition.name)
        ):
            take_in_for(line, home, business_date, clock=clock, sleep=sleep)
        over = clock() >= definition.as_of(business_date + timedelta(days=1))
        folder = step(list_night)(line, home, business_date, replace, retrospective=over)
        if not over:
            step(tell)(line, home, business_date)
        step(record)(line, home, business_date)  # last: people are told whatever becomes of the database
        return folder


@flow(name="nightly")
def nightly_flow(line: str, home: str, business_date: date | None = None, replace: str | None = None) -> Path:
    """Ingest and publish the list of a business date, today's by default, and tell people of today's.

    A list that is made after its day is over is marked as made in retrospect.
    """
    definition, now = load_line(line), now_utc()
    newest = definition.current_business_date(now)
    day = business_date or newest
    if definition.as_of(day) > now:
        raise PublicationError(
            f"line {definition.name}: the list of {day} is made as of {definition.as_of(day):%Y-%m-%d %H:%M} UTC, "
            f"which is not yet. The newest that can be made is that of {newest}."
        )
    return make_list(line, home, day, replace)
