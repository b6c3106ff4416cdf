"""How the program's log looks: lines for people, or JSON for machines, each with the line and date it is about."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from typing import IO, Any

VARIABLE = "QMA_LOG"
"""Variable of the environment: `json` for one JSON object a line."""

RUN = "PREFECT__FLOW_RUN_ID"
"""Variable that Prefect sets in a process of its own for a run, as those of `qma serve` and of workers."""

OURS = ("qma_predict", "pipelines")

_in_use: list[logging.Handler] = []

_about: ContextVar[dict[str, str]] = ContextVar("qma_log_about")

_ABOUT = "_qma_about"
"""Attribute of an exception: what the block was about that it left."""


@contextmanager
def about(*, line: str | None = None, business_date: date | None = None) -> Iterator[None]:
    """Let every message of this block, of this thread or task, say what it is about.

    So does a message that is logged outside with an exception that left the block, such as that of a failed run.

    Examples
    --------
    >>> with about(line="demo"), about(business_date=date(2026, 3, 3)):
    ...     sorted(_about.get({}).items())
    [('business_date', '2026-03-03'), ('line', 'demo')]
    """
    said = {"line": line, "business_date": None if business_date is None else business_date.isoformat()}
    token = _about.set(_about.get({}) | {name: value for name, value in said.items() if value is not None})
    try:
        yield
    except BaseException as error:
        vars(error).setdefault(_ABOUT, _about.get())  # of the innermost block
        raise
    finally:
        _about.reset(token)


def set_up(*, as_json: bool, stream: IO[str] | None = None) -> None:
    """Log our messages from INFO on, and those of others from WARNING on, in one form.

    Called again, it takes the place of the time before. Other handlers stay, but for Prefect's of the same messages.

    Parameters
    ----------
    as_json : bool
        One object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, ``line``, ``business_date`` (null where
        it is about none) and, after an exception, ``exception``. Otherwise a line for people.
    stream : text file, optional
        Standard error by default.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_Json() if as_json else _Words(datefmt="%H:%M:%S"))
    _in_use[:] = [handler]
    take_back()
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def set_up_as_asked() -> None:
    """Log in the form that the environment asks for (`VARIABLE`): lines for people where it says nothing."""
    set_up(as_json=os.environ.get(VARIABLE, "").lower() == "json")


def take_back() -> None:
    """Log in the form that was set up: Prefect puts its own in its place when it is imported.

    Where none was set up, and Prefect started this process for a run, it is set up as asked.
    """
    if not _in_use and RUN in os.environ:
        set_up_as_asked()
    elif _in_use:
        root = logging.getLogger()
        theirs = [one for one in root.handlers if not isinstance(one, _Handler)]
        root.handlers[:] = [one for one in theirs if not type(one).__module__.startswith("prefect.")] + _in_use


class _Handler(logging.StreamHandler):
    """Ours, so that it is known when it is set up again; it notes what a message is about where it is logged."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self.addFilter(_note)


def _note(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    record.about = _about.get({}) | ({} if error is None else vars(error).get(_ABOUT, {}))
    return True


class _Words(logging.Formatter):
    def __init__(self, datefmt: str) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt)

    def formatMessage(self, record: logging.LogRecord) -> str:
        weight = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        said: dict[str, str] = vars(record)["about"]
        place = f"[{' '.join(said.values())}] " if said else ""
        return f"{record.asctime} {place}{weight}{record.message}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, str] = vars(record)["about"]
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "line": said.get("line"),
            "business_date": said.get("business_date"),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)
