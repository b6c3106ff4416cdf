"""Whether the plant's data comes as it did: how fresh, how much, from which sensors, how late, and what was refused.

Nights are told as stretches of 24 hours before the moment of the list: ``ago`` is 0 for the last one. What is usual is
told by the `USUAL` nights before the last `RECENT` ones.
"""

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.lake import History, literal
from qma_predict.line import Line

RECENT = 7
"""Nights that are looked at."""

USUAL = 28
"""Nights before them, by which they are judged."""

REGULAR = 0.9
"""A sensor that reported on so many of the usual nights is expected every night."""

FEWER = 2.0
"""A table has unusually few or many rows if it has so many times fewer or more than usual, and beyond `SIGMAS`."""

SIGMAS = 4.0

LATER = 2.0
"""Rows come later than usual if 95 % of them take so many times as long, and `LATE` more."""

LATE = pd.Timedelta("1h")

_DAY = 86_400
_SLACK = 25 * 3600  # an ingest each night sees a row within a day, and an hour when the clocks go back


def tables_of(line: Line) -> list[str]:
    """Tables that the line's sources fill, sorted."""
    return sorted({str(source.table) for source in line.sources})


def freshness(history: History, line: Line) -> pd.DataFrame:
    """When something was last recorded in each table.

    Returns
    -------
    DataFrame, indexed by ``table``
        ``happened`` and ``recorded`` [UTC], the newest of each clock, missing where there is no row; ``hours`` from
        the newest recorded to the history's `as_of`.
    """
    rows = []
    for table in tables_of(line):
        known = history.all_versions(table)
        newest = known.agg(happened=_.occurred_at.max(), recorded=_.recorded_at.max()).to_pandas().iloc[0]
        rows.append({"table": table, "happened": newest["happened"], "recorded": newest["recorded"]})
    found = pd.DataFrame(rows, columns=["table", "happened", "recorded"]).set_index("table")
    for clock in ("happened", "recorded"):
        found[clock] = pd.to_datetime(found[clock], utc=True).astype("datetime64[us, UTC]")
    return found.assign(hours=(history.as_of - found["recorded"]) / pd.Timedelta("1h"))


def volume(history: History, line: Line) -> pd.DataFrame:
    """Rows that were recorded in each of the last nights, against what is usual.

    Returns
    -------
    DataFrame, a row a table and night, ``ago`` from 0 to `RECENT` - 1
        ``table``, ``ago``, ``rows``; ``usual``, the median of the same day of the week (of all days where it has fewer
        than three nights with data behind it); ``ratio`` to it, and ``unusual``, missing where nothing is known to
        be usual.

    Notes
    -----
    The deviation is log(1 + rows) - log(1 + usual). Its spread is 1.4826 times the median of its absolute value
    over the usual nights, so that single bad nights among them count little.
    """
    return pd.concat([_volume(_a_night(history, table), table) for table in tables_of(line)], ignore_index=True)


def _a_night(history: History, table: str) -> pd.Series:
    """Rows recorded by nights ago, shape (up to `RECENT` + `USUAL`,): as far back as there is anything."""
    rows = _lately(history, table).group_by("ago").agg(rows=_.count()).to_pandas().set_index("ago")["rows"]
    oldest = history.all_versions(table).recorded_at.min().execute()
    known = 0 if pd.isna(oldest) else (history.as_of - pd.Timestamp(oldest)) // pd.Timedelta("1D")
    return rows.reindex(range(min(RECENT + USUAL, max(known, RECENT))), fill_value=0)


def _lately(history: History, table: str) -> ir.Table:
    """Rows of a table of the last and the usual nights, with ``ago``."""
    rows = history.all_versions(table)
    since = history.as_of - pd.Timedelta(days=RECENT + USUAL)
    seconds = int(history.as_of.timestamp()) - rows.recorded_at.epoch_seconds()
    return rows.filter(_.recorded_at > literal(since)).mutate(ago=(seconds // _DAY).cast("int64"))


def _volume(rows: pd.Series, table: str) -> pd.DataFrame:
    before = rows.iloc[RECENT:].astype(float)
    weekday = before.index.to_numpy() % 7
    medians = {day: before[weekday == day].median() for day in range(7) if (weekday == day).sum() >= 3}
    usual = pd.Series([medians.get(ago % 7, before.median()) for ago in rows.index], rows.index, dtype=float)
    off = np.log1p(rows) - np.log1p(usual)
    spread = 1.4826 * off.iloc[RECENT:].abs().median()
    known, far = len(before) >= RECENT, off.abs() > np.maximum(SIGMAS * spread, np.log(FEWER))
    found = pd.DataFrame({"rows": rows, "usual": usual, "ratio": rows / usual.where(usual > 0)})
    found["unusual"] = far.astype("boolean") if known else pd.array([pd.NA] * len(rows), dtype="boolean")
    return (
        found.head(RECENT)
        .rename_axis("ago")
        .reset_index()
        .assign(table=table)[["table", "ago", "rows", "usual", "ratio", "unusual"]]
    )


def sensors(history: History, line: Line) -> pd.DataFrame:
    """Tags that reported on nearly all usual nights, and whether they did on the last one.

    Returns
    -------
    DataFrame, a row a tag that is expected every night
        ``station`` (its machine, where readings name no station), ``tag``, ``nights`` (share of the usual nights with
        readings on which it reported), ``newest`` [UTC] and ``silent``: nothing in the last 24 hours, in which other
        tags reported.
    """
    columns = ["station", "tag", "nights", "newest", "silent"]
    if "readings" not in tables_of(line):
        return pd.DataFrame(columns=columns)
    lately = _lately(history, "readings").mutate(station=_.station.nullif("").fill_null(_.machine))
    found = lately.group_by("station", "tag", "ago").agg(newest=_.recorded_at.max()).to_pandas()
    usual = found[found["ago"] >= RECENT]
    of_tag = found.groupby(["station", "tag"])
    told = pd.DataFrame({"newest": of_tag["newest"].max(), "ago": of_tag["ago"].min()})
    told["nights"] = usual.groupby(["station", "tag"]).size() / max(usual["ago"].nunique(), 1)
    told["silent"] = (told["ago"] > 0) & bool((found["ago"] == 0).any())
    expected = told[told["nights"] >= REGULAR].reset_index()
    return expected.sort_values(["silent", "station", "tag"], ascending=[False, True, True], ignore_index=True)[columns]


def delays(history: History, line: Line) -> pd.DataFrame:
    """How long after it happened rows were recorded, and how many we first saw long after that.

    Returns
    -------
    DataFrame, indexed by ``table``
        ``rows`` of the last nights; ``median`` and ``q95`` of recorded_at - occurred_at [h] among them, ``usual_q95``
        among those of the usual nights; ``later``, whether they come later than usual; ``seen_late``, rows of the last
        nights that we saw more than a night after they were recorded, which no list of their own night had: missing
        for moments before the line was set up, when nothing is known of that.
    """
    rows = [{"table": table} | _delay(history, table) for table in tables_of(line)]
    found = pd.DataFrame(rows).set_index("table")
    more = found["q95"] - found["usual_q95"] > LATE / pd.Timedelta("1h")
    return found.assign(later=more & (found["q95"] > LATER * found["usual_q95"]))


def _delay(history: History, table: str) -> dict[str, float]:
    hours = (_.recorded_at.epoch_seconds() - _.occurred_at.epoch_seconds()) / 3600
    rows = _lately(history, table).mutate(hours=hours, recent=_.ago < RECENT)
    by = rows.group_by("recent").agg(rows=_.count(), median=_.hours.median(), q95=_.hours.quantile(0.95))
    told = by.to_pandas().set_index("recent").reindex([True, False])
    now, before = told.loc[True], told.loc[False]
    return {
        "rows": 0 if pd.isna(now["rows"]) else int(now["rows"]),
        "median": now["median"],
        "q95": now["q95"],
        "usual_q95": before["q95"],
        "seen_late": _seen_late(history, table),
    }


def _seen_late(history: History, table: str) -> float:
    if history.set_up is None or history.as_of < history.set_up:
        return np.nan
    since, first = history.as_of - pd.Timedelta(days=RECENT), literal(history.set_up)
    seen = history.all_versions(table).filter(_.ingested_at > literal(since), _.ingested_at > first)
    after = _.ingested_at.epoch_seconds() - _.recorded_at.epoch_seconds()
    return float(seen.filter(after > _SLACK).count().execute())


def refused(history: History) -> pd.DataFrame:
    """Rows that the last nights' ingests put into quarantine, by table and reason, the most frequent first.

    Returns
    -------
    DataFrame
        ``table``, ``reason``, ``rows``, ``files``.
    """
    book = _of_the_last_nights(history, "quarantine")
    found = book.group_by("table", "reason").agg(rows=_.count(), files=_.path.nunique()).to_pandas()
    return found.sort_values(["rows", "table", "reason"], ascending=[False, True, True], ignore_index=True)


def problems(history: History) -> pd.DataFrame:
    """Sources and files that the last nights' ingests could not read.

    Returns
    -------
    DataFrame, the newest first
        ``table``, ``problem``, ``times`` and ``newest`` [UTC].
    """
    book = _of_the_last_nights(history, "problems")
    found = book.group_by("table", "problem").agg(times=_.count(), newest=_.ingested_at.max()).to_pandas()
    return found.sort_values(["newest", "table", "problem"], ascending=[False, True, True], ignore_index=True)


def _of_the_last_nights(history: History, book: str) -> ir.Table:
    since = history.as_of - pd.Timedelta(days=RECENT)
    rows: ir.Table = history.tables[book]
    return rows.filter(ibis.and_(rows.ingested_at > literal(since), rows.ingested_at <= literal(history.as_of)))
