"""The history of a unit: its stays, the lists it was on, what was answered, and what the gate found."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from qma_predict.data.lake import History
from qma_predict.errors import DamagedList
from qma_predict.line import Line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import id_of, rows_of
from qma_predict.publish.pages.words import RESULT_CODES, place_words, risk_words
from qma_predict.publish.text import shortened, visible
from qma_predict.review.earlier import damage_words

COLUMNS = ("at", "kind", "where", "what")

DAMAGED = "damaged"
"""Kind of a list of which nobody knows whether the unit was on it."""

_ORDER = ("visit", "list", DAMAGED, "answer", "inspection")
_CODES = {str(code): words for code, words in RESULT_CODES}


def unit_history(folder: Path, line: Line, history: History, unit_id: str) -> pd.DataFrame:
    """What is known of a unit, in the order of time.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    line : Line
    history : History
        What was known when. Lists are those of moments up to its `as_of`, all revisions.
    unit_id : str

    Returns
    -------
    DataFrame, shape (n_events, 4), sorted by ``at``
        ``at`` [UTC], when it happened; of a list, the moment as which it was made. ``kind`` (visit, list, answer or
        inspection; `DAMAGED` for a list that may have had the unit), ``where`` (the place, the list's id, or gate and
        characteristic), and ``what`` in words. Where nothing is known of such a unit, there are at most damaged lists.
    """
    lists = (event for event in _lists(folder, line, history, unit_id) if event[0] <= history.as_of)
    events = [*_visits(history, unit_id), *lists]
    events += [*_answers(history, unit_id), *_inspections(history, unit_id)]
    events.sort(key=lambda event: (event[0], _ORDER.index(event[1]), event[2]))
    found = pd.DataFrame(events, columns=list(COLUMNS))
    return found.assign(at=pd.to_datetime(found["at"], utc=True).astype("datetime64[us, UTC]"))


def unit_words(events: pd.DataFrame, line: Line, unit_id: str) -> str:
    """Return a unit's history in lines, with times of the line's zone.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> moment = pd.Timestamp("2026-11-24 04:00", tz="UTC")
    >>> events = pd.DataFrame([(moment, "list", "demo-2026-11-24", "rank 3, to be checked")], columns=COLUMNS)
    >>> print(unit_words(events, SimpleNamespace(timezone="Europe/Berlin", name="demo"), "u1"))
    u1, line demo, times of Europe/Berlin
    2026-11-24 05:00  list        demo-2026-11-24  rank 3, to be checked
    """
    zone, head = ZoneInfo(line.timezone), f"{visible(unit_id)}, line {line.name}"
    known = (events["kind"] != DAMAGED).any()
    lines = [f"{head}, times of {line.timezone}" if known else f"{head}: nothing is known of such a unit"]
    for row in events.itertuples(index=False, name=None):
        at, kind, where, what = row
        words = "  ".join(shortened(str(text), longest=240) for text in (where, what) if text)
        lines.append(f"{at.astimezone(zone):%Y-%m-%d %H:%M}  {kind:<10}  {words}")
    return "\n".join(lines)


Event = tuple[datetime, str, str, str]


def _rows(history: History, table: str, unit_id: str) -> Iterable[Any]:
    rows = history.newest(table)
    return rows.filter(rows.unit_id == unit_id).to_pandas().itertuples()


def _visits(history: History, unit_id: str) -> Iterable[Event]:
    for row in _rows(history, "visits", unit_id):
        stay = "arrived" if pd.isna(row.ended_at) else f"stayed {_minutes(row.ended_at - row.started_at)}"
        yield row.started_at, "visit", place_words(row.station, row.machine), stay


def _minutes(stay: pd.Timedelta) -> str:
    minutes = stay.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 600 else f"{minutes / 60:.0f} h"


def _lists(folder: Path, line: Line, history: History, unit_id: str) -> Iterable[Event]:
    for day in bundle.known_dates(folder):
        for number, path in bundle.revisions(folder, day).items():
            where = id_of(line.name, day) + ("" if number == 1 else f", revision {number}")
            try:
                as_of = pd.Timestamp(bundle.verify(path)["facts"]["as_of"])
            except DamagedList as error:
                unknown = f"nobody knows whether the unit was on it: {damage_words(error, folder, line)}"
                yield line.as_of(day), DAMAGED, where, f"{unknown}. Restore it from a backup"
                continue
            for row in rows_of(path, unit_id=unit_id).itertuples():
                yield as_of, "list", where, _listed(row)


def _listed(row: Any) -> str:
    if pd.isna(row.score):
        return f"not scored: {'reason not recorded' if pd.isna(row.reason) else row.reason}"
    risk = f"score {row.score:.6f} of a ranking" if row.score_is == "ranking" else f"risk {risk_words(row.score)}"
    words = f"rank {row.rank}, {risk}, "
    if not row.listed:
        return f"{words}not listed"
    return f"{words}to be checked ({'audit' if row.selected_by == 'audit' else 'by rank'})"


def _answers(history: History, unit_id: str) -> Iterable[Event]:
    for row in _rows(history, "answers", unit_id):
        said = [] if pd.isna(row.code) else [f"{row.code} {_CODES.get(row.code, '')}".strip()]
        said += [] if pd.isna(row.text) else [row.text]
        yield row.answered_at, "answer", row.list_id, ": ".join(said)


def _inspections(history: History, unit_id: str) -> Iterable[Event]:
    for row in _rows(history, "inspections", unit_id):
        words = "passed" if row.passed else "failed"
        words += "" if pd.isna(row.measured) else f", measured {row.measured:g}"
        words += "" if pd.isna(row.code) else f", code {row.code}"
        words += "" if pd.isna(row.reason) else f" ({row.reason})"
        yield row.occurred_at, "inspection", f"{row.gate} {row.characteristic}", words
