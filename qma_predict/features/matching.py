"""Readings of units: those that name their unit, and those of a machine while a unit stayed on it."""

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, literal
from qma_predict.features.families import known
from qma_predict.features.intervals import microseconds, within
from qma_predict.features.stays import stays
from qma_predict.line import Line

_NO_TEXT, _NO_COUNT = pd.Series(dtype="str"), pd.Series(dtype="int64")
_COLUMNS = ("point", "unit_id", "cutoff", "station", "tag", "occurred_at", "recorded_at", "value")


def readings_of_units(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Every version of every reading of the points' units that was known at the cutoff.

    Parameters
    ----------
    history : History
    points : Table
        ``point``, ``unit_id`` and ``cutoff``.
    line : Line

    Returns
    -------
    Table
        ``point``, ``unit_id``, ``cutoff``, ``station``, ``tag``, ``occurred_at``, ``recorded_at``, ``value``.

    Notes
    -----
    A reading that names a machine and no unit belongs to each unit that stayed on the machine at that moment, and to
    the station of that stay, by the newest version of the stay known at the cutoff: from its start up to, but
    without, its end; up to the cutoff where no end was known; at its moment where it ended as it began. If stays of
    one unit at one station overlap, their readings occur more than once, equal in all columns.
    """
    readings = history.all_versions("readings")
    own = known(readings.filter(_.unit_id != ""), points).select(*_COLUMNS)
    of_machines = _of_machines(history)
    if of_machines is None:
        return own
    during = _intervals(stays(history, points), microseconds(_.cutoff) + 1)
    span = during.agg(first=_.started_at.min(), last=_.cutoff.max()).to_pandas().iloc[0]
    if pd.isna(span["first"]):
        return own
    first, last = (literal(moment) for moment in span)
    near = of_machines.filter(_.occurred_at.between(first, last), _.recorded_at <= last)
    moments = near.select("machine", "tag", "occurred_at", "recorded_at", "value", at=microseconds(_.occurred_at))
    matched = within(moments, during, by="machine")
    matched = matched.filter(matched.occurred_at <= matched.cutoff, matched.recorded_at <= matched.cutoff)
    return own.union(matched.select(*_COLUMNS))


def unmatched_readings(history: History) -> pd.DataFrame:
    """How many readings of machines belong to a unit's stay, and how many to none, as known at `as_of`.

    Returns
    -------
    DataFrame, shape (n_machine_tags, 4), sorted by machine and tag
        ``machine``, ``tag``; ``readings``, those without a unit, a corrected one once; ``matched``, those of them at
        whose moment a unit stayed on the machine. Without rows where every reading names its unit.
    """
    key = [name for name in TABLES["readings"].key if name != "unit_id"]
    of_machines = _of_machines(history)
    if of_machines is None:
        return pd.DataFrame({"machine": _NO_TEXT, "tag": _NO_TEXT, "readings": _NO_COUNT, "matched": _NO_COUNT})
    readings = of_machines.select(*key).distinct()
    visits = _intervals(history.newest("visits"), microseconds(literal(history.as_of)) + 1)
    busy = within(readings.mutate(at=microseconds(_.occurred_at)), _merged(visits), by="machine")
    found = busy.group_by("machine", "tag").agg(matched=_.count())
    counts = readings.group_by("machine", "tag").agg(readings=_.count())
    both = counts.left_join(found, ["machine", "tag"]).select(
        "machine", "tag", "readings", matched=_.matched.fill_null(0)
    )
    return both.order_by("machine", "tag").to_pandas()


def _of_machines(history: History) -> ir.Table | None:
    """Readings that name no unit; None if there are none, which the statistics of the files tell at once."""
    readings = history.all_versions("readings").filter(_.unit_id == "")
    return readings if readings.limit(1).count().execute() else None


def _intervals(rows: ir.Table, open_until: ir.IntegerValue) -> ir.Table:
    """Stays with ``start`` and ``end`` [µs] for their times; one of length zero holds its moment."""
    start = microseconds(_.started_at)
    ended = ibis.greatest(microseconds(_.ended_at), start + 1)
    timed = rows.filter(_.machine.notnull()).mutate(start=start, end=_.ended_at.isnull().ifelse(open_until, ended))
    return timed.drop("ended_at")


def _merged(rows: ir.Table) -> ir.Table:
    """When a machine had any unit: ``machine``, ``start`` and ``end`` of intervals that do not overlap."""
    earlier = ibis.window(group_by="machine", order_by=["start", "end"], rows=(None, -1))
    begins = rows.mutate(begins=(_.start > _.end.max().over(earlier)).fill_null(True).cast("int64"))
    so_far = ibis.window(group_by="machine", order_by=["start", "end"], rows=(None, 0))
    numbered = begins.mutate(number=_.begins.sum().over(so_far))
    return numbered.group_by("machine", "number").agg(start=_.start.min(), end=_.end.max()).drop("number")
