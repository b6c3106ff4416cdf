"""Flow: one business date, from the plant's files to the published list."""

import logging
import os
import platform
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from prefect import flow

from pipelines.ingest import take_in
from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.errors import PublicationError
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.publish import bundle, registry
from qma_predict.publish.night import make_night

log = logging.getLogger(__name__)


def list_night(line: str, home: str, business_date: date) -> Path:
    """Score the candidates of a business date and publish its list; one that is published stays as it is."""
    definition, place = load_line(line), open_home(home)
    with place.writing(definition.name):
        folder = place.published(definition.name)
        if business_date in bundle.published_dates(folder):
            bundle.verify(folder / business_date.isoformat())
            log.info("%s, %s: published already, whole and unchanged", definition.name, business_date)
            return folder / business_date.isoformat()
        history = Lake(place.lake(definition.name)).at(definition.as_of(business_date))
        model = registry.champion(place, definition)
        night = make_night(history, definition, business_date, model, registry.load(place, model))
        receipt = {
            "published_at": datetime.now(UTC).isoformat(),
            "host": platform.node(),
            "process": os.getpid(),
        }
        return bundle.publish(folder, business_date, night.contents, facts=night.facts, receipt=receipt)


@flow(name="nightly")
def nightly_flow(line: str, home: str, business_date: date | None = None) -> Path:
    """Ingest and publish the list of a business date, today's by default.

    On its own day, what is ingested counts as known at the list's moment. For an earlier date that has no list,
    it counts as first seen now: a list made afterwards knows no more than was there.
    """
    definition, now = load_line(line), datetime.now(UTC)
    day = definition.current_business_date(now) if business_date is None else business_date
    if definition.as_of(day) > now:
        raise PublicationError(
            f"line {definition.name}: the list of {day} is made as of {definition.as_of(day):%Y-%m-%d %H:%M} UTC, "
            f"which is not yet. The newest that can be made is that of {definition.current_business_date(now)}."
        )
    if day not in bundle.published_dates(open_home(home).published(definition.name)):
        as_of = definition.as_of(day)
        on_its_day = as_of <= now < definition.as_of(day + timedelta(days=1))
        step(take_in)(line, home, as_of if on_its_day else now)
    return step(list_night)(line, home, day)
