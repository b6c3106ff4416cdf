"""`qma serve`: every line's flows by its clock, through Prefect; and directly where Prefect fails.

A Prefect server (its own, unless PREFECT_API_URL names another one) and a runner are children of this process, which
starts them again when they end. Beside them it looks itself: a list that is due for longer than `GRACE`, is not
published and that nobody makes, is made in a child that does not use Prefect; so is a list whose run was killed. Where
that was after the list was published, or a service refused its message, such a child tells those who have not had it.
What else falls due while the server does not answer, or the runner does not run, is started in the same way. That two
start the same night is harmless: one run a line at a time, one list a date.

Prefect's own limit of one run a deployment is not used: where its holder is killed the slot stays taken, and every
later night would be cancelled or wait for ever (reported of Prefect 3.7).
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from multiprocessing.context import SpawnProcess
from pathlib import Path

from filelock import FileLock, Timeout
from prefect.settings import PREFECT_API_URL

from pipelines import served
from pipelines.ingest import now_utc
from pipelines.logs import about
from pipelines.scheduled import due, is_running, timetable
from pipelines.steps import answers
from qma_predict.errors import HomeError, LineError, NoList
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line
from qma_predict.line.operation import firings
from qma_predict.publish.lists import bundle
from qma_predict.publish.messages.digest import is_told

log = logging.getLogger(__name__)

LOOK = 30.0
"""Between two looks of our own [s]."""

GRACE = 120.0
"""How long a list may be due before it is made without Prefect [s]."""

SOONEST, LATEST = 5.0, 600.0
"""How long after it ended a child is started again, at first and at most [s]; doubled each time."""

ENOUGH = 60.0
"""A child that runs so long is taken to work [s]."""

STOPPING = 20.0
"""How long children may take to end [s]."""


def serve(
    lines: list[str], home: str, *, every: timedelta | None = None, look: float = LOOK, grace: float = GRACE
) -> None:
    """Run the lines' flows by their clocks until this process is told to end (SIGTERM, SIGINT).

    Parameters
    ----------
    lines : list of str
        Folders with a line.toml, or names under models/.
    home : str
    every : timedelta, optional
        Interval of the nightly run in Prefect, instead of the line's clock.
    look, grace : float
        As `LOOK` and `GRACE` [s].

    Raises
    ------
    LineError
        There is none, or a line.toml cannot be used.
    HomeError
        The home cannot be used, or another process serves it by a Prefect server of its own.
    """
    if not lines:
        raise LineError(
            f"{Path('models').resolve()}: no line is there (models/NAME/line.toml). Name one: qma serve LINE"
        )
    place = open_home(home)
    guards = [Guard(line, place, grace) for line in map(load_line, lines)]
    folders = [guard.folder for guard in guards]
    with _told_to_end() as end, _server(place) as (url, children):
        runner = Child("the runner", served.flows, (folders, str(place.folder), url, every, bool(children)))
        try:
            while not end.wait(1.0):
                with _tried_again():
                    _look_after(children, runner, url)
                if guards[0].last + look <= time.monotonic():
                    works = _works(runner, url)
                    for guard in guards:
                        guard.look(works)
        finally:
            for child in (runner, *(child for guard in guards for child in guard.children.values())):
                child.end()


def _look_after(servers: list["Child"], runner: "Child", url: str) -> None:
    for server in servers:
        server.keep()
    if runner.alive or (runner.may_start and answers(url)):
        runner.keep()


def _works(runner: "Child", url: str) -> bool:
    """Whether Prefect starts what falls due: its server answers, and the runner asks it."""
    return runner.alive and answers(url)


@contextmanager
def _tried_again() -> Iterator[None]:
    """Log what the outside does: no memory, a disk that is away, a lock of another user. The next look tries again."""
    try:
        yield
    except OSError as error:
        log.warning("%s", error)


@dataclass
class Child:
    """A process of ours that may be started again after it ended: each time later, until `wait` is set to nothing."""

    name: str
    target: Callable[..., None]
    arguments: tuple[object, ...] = ()
    process: SpawnProcess | None = None
    started: float = 0.0
    ended: float | None = None
    wait: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.is_alive()

    @property
    def may_start(self) -> bool:
        """Whether it does not run, and ended long enough ago."""
        if self.alive or self.process is None:
            return not self.alive
        self.ended = self.ended or time.monotonic()
        return time.monotonic() >= self.ended + self.wait

    def keep(self) -> None:
        """Start it where it does not run, unless it ended just now."""
        if self.alive and time.monotonic() > self.started + ENOUGH:
            self.wait = 0.0
        elif self.may_start:
            if self.process is not None:
                log.warning("%s has ended (exit code %s), and is started again", self.name, self.process.exitcode)
            self.start()

    def start(self) -> None:
        """Start it."""
        self.wait = min(max(2 * self.wait, SOONEST), LATEST)
        self.process = multiprocessing.get_context("spawn").Process(target=self.target, args=self.arguments)
        self.process.start()
        self.started, self.ended = time.monotonic(), None

    def end(self) -> None:
        """End it, by force if it takes too long."""
        if self.process is None or not self.process.is_alive():
            return
        os.kill(int(self.process.pid or 0), signal.SIGINT)  # at SIGTERM, Prefect's runner leaves its runs behind
        self.process.join(STOPPING)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@dataclass
class Guard:
    """Sees to it that a line's list is made whatever becomes of Prefect."""

    line: Line
    home: Home
    grace: float
    last: float = 0.0
    looked: datetime = field(default_factory=now_utc)
    missing: dict[date, float] = field(default_factory=dict)
    untold: dict[date, tuple[float, float]] = field(default_factory=dict)
    children: dict[str, Child] = field(init=False)

    def __post_init__(self) -> None:
        """Make the children that it starts, a flow each."""
        self.children = {
            name: Child(f"{name}, without Prefect", served.directly, (name, self.folder, str(self.home.folder)))
            for name in timetable(self.line)
        }

    @property
    def folder(self) -> str:
        """Of the line.toml, whatever the working directory."""
        return str(Path(self.line.file).resolve().parent)

    def look(self, works: bool) -> None:
        """Look once, and start what has to be started; `works` says whether Prefect starts what falls due."""
        now, before = now_utc(), self.looked
        self.last, self.looked = time.monotonic(), now
        with about(line=self.line.name):
            with _tried_again():
                self._see_to_the_list(now)
                self._see_to_the_message(now)
            if not works:
                self._see_to_the_rest(before, now)

    def _see_to_the_list(self, now: datetime) -> None:
        day = unmade(self.line, self.home, now)
        if day is None:
            self.missing.clear()
            self.children["nightly run"].wait = 0.0
            return
        since, child = self.missing.setdefault(day, self.last), self.children["nightly run"]
        if self.last >= since + self.grace and child.may_start and not is_running(self.home, self.line):
            log.warning("the list of %s is due and nobody makes it: it is made without Prefect", day)
            child.start()

    def _see_to_the_message(self, now: datetime) -> None:
        """Let people be told who were not; after each try four times as late, for an address may be wrong for good."""
        day, child = untold(self.line, self.home, now), self.children["nightly run"]
        if day is None:
            self.untold.clear()
            return
        due_at, wait = self.untold.setdefault(day, (self.last + self.grace, self.grace))
        if self.last >= due_at and not child.alive and not is_running(self.home, self.line):
            log.warning("the list of %s is published and not everybody was told: a run without Prefect does it", day)
            self.untold[day] = self.last + 4 * wait, 4 * wait
            child.start()

    def _see_to_the_rest(self, before: datetime, now: datetime) -> None:
        for name, cron in timetable(self.line).items():
            child, fires = self.children[name], next(firings(cron, self.line.timezone, before)) <= now
            if name != "nightly run" and fires and not child.alive:
                log.warning("Prefect's server does not answer or its runner has ended: %s is started without", name)
                with _tried_again():  # the others start nevertheless
                    child.start()


def unmade(line: Line, home: Home, now: datetime) -> date | None:
    """Business date whose list is due, is wanted, and is not published."""
    try:
        published = bundle.published_dates(home.published(line.name))
        day = due(line, published, now).business_date
    except NoList:
        return None  # the run itself said so
    except OSError as error:
        log.warning("%s: cannot be read: %s", home.published(line.name), error)
        return None
    return None if day in published else day


def untold(line: Line, home: Home, now: datetime) -> date | None:
    """Business date whose list is published and still in use, and that not everybody of `line.messages.to` was sent."""
    day, folder = line.current_business_date(now), home.published(line.name)
    try:
        numbers = bundle.revisions(folder, day)
        return day if numbers and not is_told(home, line, day, max(numbers)) else None
    except OSError as error:
        log.warning("nobody knows who was told of the list of %s: %s", day, error)
        return None


@contextmanager
def _server(home: Home) -> Iterator[tuple[str, list[Child]]]:
    """URL of the Prefect server that is set up, or of one of our own, which has to be kept and ends with us."""
    if url := PREFECT_API_URL.value():
        log.info("Prefect server: %s", url)
        yield url, []
        return
    folder = home.folder / "prefect"
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / "serve.lock", timeout=0):
            port = _free_port()
            log.info("Prefect server of our own: http://127.0.0.1:%d", port)
            child = Child("the Prefect server", served.server, (str(folder), port))
            try:
                yield f"http://127.0.0.1:{port}/api", [child]
            finally:
                child.end()
    except Timeout as error:
        raise HomeError(
            f"{home.folder}: another qma serve has a Prefect server of its own there. End it, name all lines in one "
            "command, or set PREFECT_API_URL to a server that both use."
        ) from error


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that is set when this process is told to end."""
    end, numbers = threading.Event(), (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: end.set()) for number in numbers}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
