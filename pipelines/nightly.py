"""Flow: one business date, from the plant's files to the published list."""

import logging
import os
import platform
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
from prefect import flow

from pipelines.ingest import take_in
from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.errors import PublicationError
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line
from qma_predict.publish.lists import bundle, desk
from qma_predict.publish.messages import digest as messages
from qma_predict.publish.models import registry
from qma_predict.publish.night import Earlier, make_night
from qma_predict.review.performance import earlier_scores
from qma_predict.review.promises import promises

log = logging.getLogger(__name__)


def list_night(line: str, home: str, business_date: date, replace: str | None = None) -> Path:
    """Score the candidates of a business date and publish its list.

    One that is published stays as it is, unless `replace` says why it is to be replaced by a new revision.
    """
    definition, place = load_line(line), open_home(home)
    folder = place.published(definition.name)
    with place.writing(definition.name):
        if business_date in bundle.published_dates(folder) and replace is None:
            bundle.verify(folder / business_date.isoformat())
            log.info("%s, %s: published already, whole and unchanged", definition.name, business_date)
        else:
            _publish(definition, place, business_date, replace)
        _record(definition, place, business_date)
    return folder / business_date.isoformat()


def _publish(line: Line, home: Home, business_date: date, replace: str | None) -> None:
    folder = home.published(line.name)
    history = Lake(home.lake(line.name)).at(line.as_of(business_date))
    model = registry.champion(home, line)
    reference = registry.load_reference(home, model)
    before = Earlier(promises(folder, history, line), earlier_scores(folder, history, line))
    night = make_night(history, line, business_date, model, registry.load(home, model), reference, before)
    receipt = {"published_at": datetime.now(UTC).isoformat(), "host": platform.node(), "process": os.getpid()}
    bundle.publish(folder, business_date, night.contents, facts=night.facts, receipt=receipt, replace=replace)


def _record(line: Line, home: Home, business_date: date) -> None:
    """Write what is published into the desk database, also what an earlier run did not come to."""
    engine, folder = desk.open_desk(home, os.environ), home.published(line.name)
    desk.record_lists(engine, line.name, folder)
    told = pd.DataFrame(bundle.read(folder, business_date)["facts"]["promises"])
    if len(told):
        told = told.assign(business_date=[date.fromisoformat(day) for day in told["business_date"]])
        desk.record_promises(engine, line.name, line.as_of(business_date), told)


def tell(line: str, home: str, business_date: date) -> None:
    """Tell those whom the line names what its newest list says; what fails is logged, and the list stands."""
    definition, place = load_line(line), open_home(home)
    if business_date != definition.current_business_date(datetime.now(UTC)):
        return  # a list of the past is no news
    manifest = bundle.read(place.published(definition.name), business_date)
    for failure in messages.tell(place, definition, manifest).failures:
        log.warning("%s", failure)


@flow(name="nightly")
def nightly_flow(line: str, home: str, business_date: date | None = None, replace: str | None = None) -> Path:
    """Ingest and publish the list of a business date, today's by default, and tell people of today's.

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
    if replace is not None or day not in bundle.published_dates(open_home(home).published(definition.name)):
        as_of = definition.as_of(day)
        on_its_day = as_of <= now < definition.as_of(day + timedelta(days=1))
        step(take_in)(line, home, as_of if on_its_day else now)
    folder = step(list_night)(line, home, day, replace)
    step(tell)(line, home, day)
    return folder
