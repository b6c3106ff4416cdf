"""How each line stands: its newest list, what was taken in, its model, and when it runs next."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from qma_predict.data.lake import Lake
from qma_predict.errors import ModelError, QmaError
from qma_predict.home import Home
from qma_predict.line import Line, load_line
from qma_predict.line.operation import firings
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import receipt_of
from qma_predict.publish.messages.watch import look
from qma_predict.publish.models import champion_log, champion_quotes
from qma_predict.publish.pages.facts import STATES
from qma_predict.publish.pages.words import Moments, counted

SHOWN = 3
"""Problems of the last ingest that are told by themselves."""


@dataclass(frozen=True)
class Status:
    """How a line stands. What is not known, or does not exist, is None or empty.

    Attributes
    ----------
    line, timezone : str
    wrong : tuple of str
        What could not be looked at, in words.
    newest : date, optional
        Business date of the newest list.
    state, state_reasons, promise
        Of that list: a key of `STATES`, why, and what its checks were expected to find, in words.
    published_at : datetime, UTC, optional
    due : str
        Whether the list that is due is there, in words.
    missing : bool
        Whether a list is due that is not there or not whole.
    ingested_at : datetime, UTC, optional
        When files were last taken in.
    problems : tuple of str
        Sources and files that could not be read at the last ingest, if that was the last day.
    champion : str, optional
        Version and what it is, in words; empty if there is none.
    champion_days : int, optional
        Whole days since what the champion learnt from was known.
    pending : tuple of str
        Versions that wait for a named person's approval.
    next_night, next_training : datetime, UTC, optional
        By the schedules of `line.toml`.
    told_at : datetime, UTC, optional
        When a message about a list was last sent.
    """

    line: str
    timezone: str = "UTC"
    wrong: tuple[str, ...] = ()
    newest: date | None = None
    state: str = ""
    state_reasons: tuple[str, ...] = ()
    promise: str = ""
    published_at: datetime | None = None
    due: str = ""
    missing: bool = False
    ingested_at: datetime | None = None
    problems: tuple[str, ...] = ()
    champion: str | None = None
    champion_days: int | None = None
    pending: tuple[str, ...] = ()
    next_night: datetime | None = None
    next_training: datetime | None = None
    told_at: datetime | None = None


def status(home: Home, lines: Sequence[str], now: datetime) -> list[Status]:
    """How lines stand; nothing is written, and what is wrong with one hides nothing of the others.

    Parameters
    ----------
    home : Home
        Its folder need not exist.
    lines : sequence of str
        As `load_line` finds them.
    now : datetime
        Aware.
    """
    return [_of(home, line, now) for line in lines]


def _of(home: Home, name: str, now: datetime) -> Status:
    try:
        line = load_line(name)
    except QmaError as error:
        return Status(name, wrong=(str(error),))
    seen = look(home, line, now)
    known: dict[str, Any] = {"due": seen.words, "missing": bool(seen.missing), **_next(line, now)}
    wrong = []
    for part in (_list, _ingest, _champion, _told):
        try:
            known |= part(home, line, now)
        except QmaError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"{home.folder}: cannot be read: {error}")
    return Status(line.name, line.timezone, tuple(wrong), **known)


def _next(line: Line, now: datetime) -> dict[str, Any]:
    training = line.training.cron
    return {
        "next_night": next(firings(line.nightly_cron, line.timezone, now), None),
        "next_training": training and next(firings(training, line.timezone, now), None),
    }


def _list(home: Home, line: Line, now: datetime) -> dict[str, Any]:
    folder = home.published(line.name)
    dates = bundle.known_dates(folder)
    if not dates:
        return {}
    facts = bundle.read(folder, dates[-1])["facts"]
    published = receipt_of(folder / dates[-1].isoformat()).get("published_at")
    return {
        "newest": dates[-1],
        "state": str(facts.get("state", "")),
        "state_reasons": tuple(facts.get("state_reasons", ())),
        "promise": _promise(facts),
        "published_at": datetime.fromisoformat(published) if published else None,
    }


def _promise(facts: dict[str, Any]) -> str:
    if facts.get("expected") is None:
        return "no number: " + (facts.get("ranking") or "not enough known yet")
    return f"{facts['low']} to {facts['high']} defects among {counted(facts['listed'], 'listed unit')}"


def _ingest(home: Home, line: Line, now: datetime) -> dict[str, Any]:
    if not home.lake(line.name).is_dir():
        return {}
    lake = Lake(home.lake(line.name))
    problems = lake.read("problems")
    moments = [*lake.read("files")["ingested_at"], *problems["ingested_at"]]
    if not moments:
        return {}
    newest = max(moments)
    recent = problems[(problems["ingested_at"] == newest) & (newest > pd.Timestamp(now) - timedelta(days=1))]
    return {"ingested_at": newest.to_pydatetime().astimezone(UTC), "problems": tuple(recent["problem"])}


def _champion(home: Home, line: Line, now: datetime) -> dict[str, Any]:
    known = champion_quotes.checked(home, line.name, champion_quotes.NEWEST)
    if lost := champion_log.lost(home, line.name, known):
        raise ModelError(lost)
    told: dict[str, Any] = {"pending": tuple(one.version for one in champion_log.pending(home, line.name))}
    if (entry := champion_log.reigning(known)) is None:
        return told | {"champion": ""}
    model = champion_log.model_of(home, line.name, entry)
    days = (now - model.as_of).days
    words = f"v{model.version} {model.contestant}, trained with what was known until {model.as_of:%Y-%m-%d}"
    return told | {"champion": f"{words}, {counted(days, 'day')} ago", "champion_days": days}


def _told(home: Home, line: Line, now: datetime) -> dict[str, Any]:
    times = [path.stat().st_mtime for path in (home.folder / "messages" / line.name).glob("*.json")]
    return {"told_at": datetime.fromtimestamp(max(times), UTC)} if times else {}


def in_words(rows: Iterable[Status], now: datetime) -> str:
    """A paragraph a line."""
    return "\n\n".join("\n".join(_lines(row, now)) for row in rows)


def _lines(row: Status, now: datetime) -> list[str]:
    words = Moments(row.timezone, now.date(), now).words
    lines = [f"{row.line}" + (f" ({row.timezone})" if row.due else "")]

    def tell(head: str, text: str) -> None:
        lines.append(f"  {head:<14}{text}")

    for one in row.wrong:
        tell("wrong", one)
    if not row.due:
        return lines
    if row.newest is not None:
        when = f", published {words(row.published_at)}" if row.published_at else ""
        tell("newest list", f"{row.newest}: {row.state} ({STATES.get(row.state, 'unknown')}){when}")
        for reason in row.state_reasons:
            tell("", f"- {reason}")
        tell("promise", row.promise)
    tell("due", row.due.partition(": ")[2])
    tell("taken in", words(row.ingested_at) if row.ingested_at else "never")
    for problem in row.problems[:SHOWN]:
        tell("", f"- not read: {problem}")
    if len(row.problems) > SHOWN:
        tell("", f"- and {len(row.problems) - SHOWN} more that were not read")
    none = f"none; train one: qma train {row.line}"
    tell("champion", "not known" if row.champion is None else row.champion or none)
    for version in row.pending:
        tell("", f"- v{version} waits for approval: qma approve {row.line} {version} --by NAME --why TEXT")
    tell("next list", words(row.next_night) if row.next_night else "never")
    if row.next_training:
        tell("next training", words(row.next_training))
    tell("last message", words(row.told_at) if row.told_at else "none")
    return lines


def as_json(rows: Iterable[Status]) -> str:
    """A list with an object a line; times in UTC."""
    return json.dumps([asdict(row) for row in rows], default=_plain, indent=2, ensure_ascii=False)


def _plain(value: Any) -> str:
    return str(value.isoformat())
