"""The processes that `qma serve` starts: a Prefect server, the runner of the flows, and a run without Prefect."""

import ctypes
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines import logs
from qma_predict.errors import LineError, QmaError
from qma_predict.line import Line, load_line

log = logging.getLogger(__name__)

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def server(folder: str, port: int) -> None:
    """Become a Prefect server that listens to this host only and keeps what it knows in `folder`."""
    _die_with_parent()
    words = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    at_home = {"PREFECT_HOME": folder, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    said = os.open(Path(folder) / "server.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.execve(sys.executable, words, os.environ | at_home)


def flows(lines: list[str], home: str, url: str, every: timedelta | None, our_own: bool) -> None:
    """Deploy the lines' flows to the server at `url`, ours or another one, and run them when they are due there."""
    _die_with_parent()
    os.environ |= {"PREFECT_API_URL": url, "PREFECT_LOGGING_EXTRA_LOGGERS": "qma_predict,pipelines"}
    if our_own:
        os.environ["PREFECT_HOME"] = str(Path(home) / "prefect")
    logs.set_up_as_asked()
    usable = that_load(lines)
    from prefect import serve
    from prefect.flows import EntrypointType
    from prefect.schedules import Cron, Interval

    from pipelines.scheduled import FLOWS, timetable

    deployments: list[Any] = []  # typed by Prefect as if they were made by a coroutine
    for folder, line in usable.items():
        for name, cron in timetable(line).items():
            by_clock = Cron(cron, timezone=line.timezone)
            deployments.append(
                FLOWS[name].to_deployment(
                    line.name,
                    schedule=Interval(every) if every and name == "nightly run" else by_clock,
                    parameters={"line": folder, "home": home},
                    entrypoint_type=EntrypointType.MODULE_PATH,
                )
            )
    # paused deployments would stay so; what is fetched early would be run before its time; and one that waits for its
    # sources keeps no other one waiting, while those of days without Prefect do not all start at once
    serve(
        *deployments, pause_on_shutdown=False, print_starting_message=False, prefetch_seconds=0, limit=len(deployments)
    )


def that_load(folders: list[str]) -> dict[str, Line]:
    """Lines by their folders, without those whose line.toml cannot be used any more; end where none can."""
    usable = {}
    for folder in folders:
        try:
            usable[folder] = load_line(folder)
        except (LineError, OSError) as error:
            log.error("%s: its flows are left out until the runner starts again: %s", folder, error)
    if not usable:
        log.error("no line can be used, so that the runner ends")
        sys.exit(LineError.exit_code)
    return usable


def directly(name: str, line: str, home: str) -> None:
    """Run a flow of a line's timetable without Prefect."""
    _die_with_parent()
    os.environ.pop("PREFECT_API_URL", None)
    from pipelines.scheduled import FLOWS

    logs.set_up_as_asked()
    try:
        FLOWS[name].fn(line, home)
    except QmaError as error:
        log.error("%s: %s", type(error).__name__, error)
        sys.exit(error.exit_code)


def _die_with_parent() -> None:
    """Where the system can: end when the process that started this one ends, even if that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGINT)
