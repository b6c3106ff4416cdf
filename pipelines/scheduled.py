"""Flow: what a line's schedule makes due, and what became of missed nights."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prefect import Flow, flow
from prefect.context import FlowRunContext

from pipelines.ingest import now_utc
from pipelines.logs import about
from pipelines.nightly import list_night, make_list, record
from pipelines.steps import step
from pipelines.watch import watch
from qma_predict.errors import NoList
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line
from qma_predict.line.operation import every_day_at, firings
from qma_predict.publish.lists import bundle

log = logging.getLogger(__name__)

EARLY = timedelta(seconds=30)
"""A run that starts so little before its time, by another clock than ours, waits for it."""


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
    published = sorted(published)
    today = line.current_business_date(now)
    if published and published[-1] > today:
        log.warning(
            "line %s: it is %s by the clock, and there is a list of %s: the clock is wrong, or was. Set it, and see "
            "qma doctor %s", line.name, today, published[-1], line.name,
        )  # fmt: skip
    # a clock that was ahead must not keep tonight's list from being made, nor one that is behind add lists before all
    known = max((day for day in published if day <= today), default=published[-1] if published else None)
    waiting = (line.newest_due(now),) if known is None else line.due(known, now)
    if known is not None and not waiting:
        return Due(known)
    newest, promised = waiting[-1], line.promised_by(waiting[-1])
    if line.schedule.missed == "none" and now >= promised:
        raise NoList(
            f"line {line.name}, {newest}: no list is made: it was promised by {promised:%Y-%m-%d %H:%M} UTC, which has "
            f'passed, and schedule.missed is "none". Use the control plan; to make it nevertheless: '
            f"qma nightly {line.name} --date {newest}"
        )
    return Due(newest, waiting[:-1] if line.schedule.missed == "all" else ())


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
        soon = next(firings(definition.nightly_cron, definition.timezone, clock())) - clock()
        if soon <= EARLY:
            sleep(soon.total_seconds())
        found = due(definition, bundle.published_dates(place.published(definition.name)), clock())
        for day in found.earlier:
            with about(business_date=day):
                try:  # ingests nothing: what tonight's list has to see must not count as first seen now
                    step(list_night)(line, home, day, retrospective=True)
                    step(record)(line, home, day)
                except Exception:  # whatever an old night raises, tonight's list matters more
                    log.exception("%s: no list in retrospect", day)
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


def timetable(line: Line) -> dict[str, str]:
    """Name of each flow that a line's clock starts to when: minute, hour, day, month, weekday in the line's zone."""
    training = {"training": line.training.cron} if line.training.cron else {}
    promised = every_day_at(line.list.by)
    return {"nightly run": line.nightly_cron, "watch": promised, "monitoring": promised, **training}


@flow(name="nightly run")
def scheduled_flow(line: str, home: str) -> Path:
    """Make the list that is due, and what the line's `schedule.missed` says of those that were missed."""
    return make_due(line, home)


@flow(name="watch")
def watch_flow(line: str, home: str) -> str:
    """Look whether the list that is due is there, and tell people if it is not; see `pipelines.watch`."""
    return "overtaken" if _overtaken(line, "watch") else watch(line, home)


@flow(name="training")
def training_flow(line: str, home: str) -> str:
    """Train with what is known now; see `pipelines.train`. Return the version of the model."""
    from pipelines.train import train_flow  # needs MLflow, which a night does not

    return "overtaken" if _overtaken(line, "training") else f"v{train_flow.fn(line, home).version}"


@flow(name="monitoring")
def monitoring_flow(line: str, home: str) -> Path:
    """Look at the line as of its newest business date; see `pipelines.monitor`."""
    from pipelines.monitor import monitor_flow  # needs MLflow, which a night does not

    return monitor_flow.fn(line, home)


FLOWS: dict[str, Flow[[str, str], Any]] = {
    one.name: one for one in (scheduled_flow, watch_flow, monitoring_flow, training_flow)
}
"""Flows by the names that `timetable` uses."""


def _overtaken(line: str, name: str) -> bool:
    """Whether the next run was due, too, before this one could start: after days without Prefect, one is enough."""
    running = FlowRunContext.get()
    planned = running.flow_run.expected_start_time if running and running.flow_run else None
    definition = load_line(line)
    cron = timetable(definition).get(name)
    return bool(planned and cron and next(firings(cron, definition.timezone, planned)) <= now_utc())
