"""Whether what the plant records is there as usual, or late."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pandas as pd

from qma_predict.data.lake import History, literal
from qma_predict.line import Line

PROCESS_TABLES = ("visits", "readings")
"""Tables in which something is recorded whenever the line runs."""

LATER = timedelta(hours=6)
"""Data is late if its newest row is so much older than it usually is at that time."""

UNKNOWN = timedelta(hours=24)
"""The age from which it is late as long as less than `KNOWN` earlier nights tell what is usual."""

WEEKS = 8
KNOWN = 3


def newest(history: History, line: Line) -> dict[str, datetime | None]:
    """When something was last recorded in each table of the process that the line has, as far as is known."""
    tables = {source.table for source in line.sources}
    found = {
        table: history.all_versions(table).recorded_at.max().execute() for table in PROCESS_TABLES if table in tables
    }
    return {table: None if pd.isna(at) else pd.Timestamp(at).to_pydatetime() for table, at in found.items()}


def late(history: History, line: Line, fresh: Mapping[str, datetime | None]) -> list[str]:
    """Return how late the data is that a list is made from, a sentence a table; nothing if it is not late.

    A table is late if its newest row is 6 hours older than usual: than on the same weekday of the last eight weeks,
    so that a plant that rests on Sundays is not late on Mondays. The oldest of four or more such nights does not count:
    one standstill is not what is usual.

    Parameters
    ----------
    history : History
        As of the list.
    line : Line
    fresh : mapping of str to datetime or None
        When something was last recorded in each table of the line.

    Notes
    -----
    Asked is when the plant recorded its rows, not when they were ingested.
    """
    reasons = []
    for table in PROCESS_TABLES:
        if table not in fresh:
            continue  # the line has no such source
        last = fresh[table]
        if last is None:
            reasons.append(f"no {table} are known")
            continue
        age, usual = history.as_of - last, most_usual(_ages(history, line, table))
        if age > (UNKNOWN if usual is None else usual + LATER):
            reasons.append(f"the newest {table} were recorded {_long(age)} before the list; {_usual_words(usual)}")
    return reasons


def most_usual(ages: list[timedelta]) -> timedelta | None:
    """Return how old the newest row of a table usually is at most, by earlier nights; None if these are too few.

    Examples
    --------
    >>> hours = [timedelta(hours=n) for n in (7, 30, 6, 7)]
    >>> str(most_usual(hours)), str(most_usual(hours[:3])), most_usual(hours[:2])
    ('7:00:00', '1 day, 6:00:00', None)
    """
    if len(ages) < KNOWN:
        return None
    return sorted(ages)[-2 if len(ages) > KNOWN else -1]


def _usual_words(usual: timedelta | None) -> str:
    if usual is None:
        return f"what is usual is not known yet, and more than {_long(UNKNOWN)} is taken to be late"
    return f"on this day of the week it is usually {_long(usual)} at most"


def _long(age: timedelta) -> str:
    """An age in words, an hour at least, exact enough to tell what is late from what is usual.

    Examples
    --------
    >>> [_long(timedelta(hours=hours)) for hours in (0.2, 7.4, 24, 57.5, 476.6)]
    ['1 hour', '7 hours', '24 hours', '2.4 days', '19.9 days']
    """
    hours = max(age / timedelta(hours=1), 1.0)
    if hours >= 47.5:
        return f"{hours / 24:.1f} days"
    return f"{hours:.0f} hour{'' if hours < 1.5 else 's'}"


def _ages(history: History, line: Line, table: str) -> list[timedelta]:
    """How old the newest row of a table was on the same day of the last weeks, as far as known."""
    day = line.current_business_date(history.as_of.to_pydatetime())
    nights = [line.as_of(day - timedelta(weeks=week)) for week in range(1, WEEKS + 1)]
    known = zip(nights, _newest(history, table, nights), strict=True)
    return [night - found for night, found in known if found]


def _newest(history: History, table: str, moments: list[datetime]) -> list[datetime | None]:
    """When something was last recorded by each moment, within the weeks that are looked at."""
    recorded = history.all_versions(table).select("recorded_at")
    recorded = recorded.filter(recorded.recorded_at > literal(min(moments) - timedelta(weeks=1)))  # most is left unread
    asked = {f"m{n}": recorded.recorded_at.max(where=recorded.recorded_at <= literal(m)) for n, m in enumerate(moments)}
    found = recorded.aggregate(**asked).to_pandas().iloc[0]
    return [None if pd.isna(moment) else pd.Timestamp(moment).to_pydatetime() for moment in found]
