"""Stays that cannot be: a unit at two places at once, a machine that holds two units where it never does."""

from collections.abc import Iterator

import ibis
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.lake import History, newest
from qma_predict.data.survey.finding import Finding
from qma_predict.line import Line


def findings(history: History, line: Line) -> Iterator[Finding]:
    """Overlaps of a unit's stays at two stations, and rare ones of a machine's."""
    visits = history.tables["visits"].filter(_.ended_at.notnull(), _.ended_at > _.started_at)
    rows = newest(visits, ("unit_id", "station", "started_at"))
    yield from _units(rows, line)
    yield from _machines(rows)


def _units(rows: ibis.Table, line: Line) -> Iterator[Finding]:
    window = ibis.window(group_by="unit_id", order_by=["started_at", "ended_at"])
    after = rows.mutate(to=_.station.lead().over(window), then=_.started_at.lead().over(window))
    overlap = after.filter(_.to.notnull(), _.to != _.station, _.then < _.ended_at)
    hours = overlap.group_by(hour=_.then.truncate("h")).agg(
        n=_.count(), **{name: _[name].first(order_by=[_.unit_id, _.then]) for name in ("unit_id", "station", "to")}
    )
    found = hours.order_by("hour").to_pandas()
    found = found[~_near_change(pd.to_datetime(found["hour"], utc=True), line)]
    count, of = int(found["n"].sum()), rows.count().execute()
    if count:
        row = found.iloc[0]
        told = (
            f"{count:,} of {of:,} stays end after the unit came to the next station, such as {row['unit_id']} "
            f"at {row['station']} and {row['to']}"
        )
        yield Finding(
            "look", "a unit at two stations at once", told, int(count), "check the zones and columns of visits"
        )


def _near_change(hours: pd.Series, line: Line) -> np.ndarray:
    """Whether clocks change near an hour in some source's zone: local times are ambiguous then."""
    near = np.zeros(len(hours), dtype=bool)
    for zone in {source.timezone for source in line.sources}:
        before, after = (
            (hours + pd.Timedelta(span)).dt.tz_convert(zone).map(lambda moment: moment.utcoffset())
            for span in ("-3h", "3h")
        )
        near |= (before != after).to_numpy(dtype=bool)
    return near


def _machines(rows: ibis.Table) -> Iterator[Finding]:
    window = ibis.window(group_by="machine", order_by=["started_at", "ended_at"])
    named = rows.filter(_.machine.notnull())
    after = named.mutate(other=_.unit_id.lead().over(window), then=_.started_at.lead().over(window))
    told = (_.other != _.unit_id) & (_.then < _.ended_at)
    machines = after.group_by("machine").agg(
        n=_.count(), overlaps=told.sum().fill_null(0), unit=_.unit_id.max(where=told), other=_.other.max(where=told)
    )
    for row in machines.order_by("machine").to_pandas().itertuples():
        if row.n >= 20 and 0 < row.overlaps <= 0.02 * row.n:  # more is a machine with several places
            told = (
                f"machine {row.machine} holds two units at once in {row.overlaps:,} of {row.n:,} stays, else never "
                f"(such as {row.unit})"
            )
            yield Finding(
                "look", "a machine holds two units", told, int(row.overlaps), "check these stays, or the machine's name"
            )
