"""A real Prefect server and what it starts: processes that bear the mark of a test, and questions to the server."""

import json
import multiprocessing
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from small_plant import Plant, make_plant
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from qma_predict.home import Home

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
MARK = "QMA_TEST_OF_PREFECT"

ZONES = "Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles"
"""Eight hours apart, more or less."""


def due_plant(place: Path) -> tuple[Plant, date]:
    """The small plant, with rows up to the last days and no list, and the date whose list is due.

    It lies where it is midday or a few hours from it, so that no other date falls due while a test runs.
    """
    now = datetime.now(UTC)
    timezone = min(ZONES, key=lambda name: abs(now.astimezone(ZoneInfo(name)).hour - 14))
    maker = multiprocessing.get_context("spawn").Process(target=make_plant, args=(place, timezone))
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    made = Plant(place / "line", Home(place / "home"))
    day = made.line.current_business_date(now)
    made.record(*(day - timedelta(days=n) for n in (2, 1)))
    return made, day


def environment(mark: Path, **also: str) -> dict[str, str]:
    """Variables of a process that is known by its mark, and no Prefect server but one that is named."""
    usual = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return usual | {"PYTHONPATH": str(ROOT), MARK: str(mark)} | also


def ours(mark: Path, part: str = "") -> list[int]:
    """Processes that bear the mark, and whose command has this part."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes() and part in command:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill(mark: Path, part: str = "") -> None:
    """Kill those processes; one of them may have ended just now."""
    for pid in ours(mark, part):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def until(condition: Callable[[], Any], said: Path, what: str) -> Any:
    """What a condition gives as soon as it gives anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen. The log:\n{said.read_text()}")


def objects(said: Path) -> list[dict[str, Any]]:
    """Lines of a log that are JSON objects."""
    return [json.loads(line) for line in said.read_text().splitlines() if line.startswith("{")]


def asked(url: str, path: str, **body: Any) -> Any:
    """What Prefect's server answers; it says 503 where its database is busy, and is asked again."""
    data = json.dumps(body).encode()
    question = urllib.request.Request(f"{url}/{path}", data, {"Content-Type": "application/json"})
    again = Retrying(retry=retry_if_exception(_busy), stop=stop_after_attempt(10), wait=wait_fixed(1), reraise=True)
    return again(_answer, question)


def _answer(question: urllib.request.Request) -> Any:
    with urllib.request.urlopen(question, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def _busy(error: BaseException) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code == HTTPStatus.SERVICE_UNAVAILABLE
