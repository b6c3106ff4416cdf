"""Flow: the lists of earlier business dates that have none."""

import logging
from dataclasses import dataclass
from datetime import date, timedelta

from prefect import flow

from pipelines.ingest import now_utc
from pipelines.logs import about
from pipelines.nightly import list_night, record
from pipelines.steps import step
from qma_predict.errors import PublicationError, QmaError
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backfilled:
    """What a backfill did.

    Attributes
    ----------
    made, there : tuple of date
        Business dates that have a list now, and those that had one.
    failed : tuple of (date, str)
        Those that have none, and why.
    """

    made: tuple[date, ...]
    there: tuple[date, ...]
    failed: tuple[tuple[date, str], ...]


@flow(name="backfill")
def backfill_flow(line: str, home: str, first: date, last: date) -> Backfilled:
    """Publish the lists that are missing from `first` to `last`, oldest first, marked as made in retrospect.

    Missing are those that the line's schedule had made due. Nothing is ingested, for it would be first seen now, and
    nobody is told. A date whose list cannot be made is left out.

    Raises
    ------
    PublicationError
        The dates are in the wrong order, or the day of the last one is not over.
    """
    definition, place = load_line(line), open_home(home)
    newest = definition.current_business_date(now_utc()) - timedelta(days=1)
    if first > last:
        raise PublicationError(f"line {definition.name}: found from {first} to {last}, expected the earlier date first")
    if last > newest:
        raise PublicationError(
            f"line {definition.name}: the list of {last} is not one of the past; the newest that can be backfilled is "
            f"that of {newest}. For today's: qma nightly {definition.name}"
        )
    published = set(bundle.published_dates(place.published(definition.name)))
    one = timedelta(days=1)
    asked = [day for day in definition.due(first - one, definition.as_of(last + one)) if day <= last]
    made, failed = [], []
    for day in (day for day in asked if day not in published):
        with about(line=definition.name, business_date=day):
            try:
                step(list_night)(line, home, day, retrospective=True)
                step(record)(line, home, day)
            except QmaError as error:
                log.warning("no list: %s", error)
                failed.append((day, str(error)))
            except Exception as error:  # whatever one date raises, those after it can be made
                log.exception("no list")
                failed.append((day, repr(error)))
            else:
                made.append(day)
    return Backfilled(tuple(made), tuple(day for day in asked if day in published), tuple(failed))


def in_words_of(done: Backfilled) -> str:
    """What a backfill did, a line each; dates that follow each other are told together."""
    told = [f"{verb}: {_spans(days)}" for verb, days in (("made", done.made), ("there before", done.there)) if days]
    return "\n".join([*told, *(f"not made: {day}: {why}" for day, why in done.failed)])


def _spans(days: tuple[date, ...]) -> str:
    """Dates as spans.

    Examples
    --------
    >>> _spans((date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 4)))
    '2026-03-01 to 2026-03-02, 2026-03-04'
    """
    spans: list[list[date]] = []
    for day in days:
        if spans and day - spans[-1][-1] == timedelta(days=1):
            spans[-1].append(day)
        else:
            spans.append([day])
    return ", ".join(str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans)
