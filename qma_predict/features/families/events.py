"""What happened to the machines before a unit came: tool changes, maintenance, alarms."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.intervals import microseconds, within
from qma_predict.features.stays import last_stays, stays
from qma_predict.line import Line

UNITS = {"hours_since": "h", "units_since": ""}
INHERITED = True

_HOUR = 3600e6
_KEY = ("point", "station", "kind")


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features `{station}.{kind}.{statistic}`: the last event of each kind on the machine before the unit's last stay.

    hours_since : from the event to the start of the stay [h]
    units_since : stays on the machine that started since the event and before this one, of any unit

    Stays, machines and events as known at the cutoff; an event at the very start of the stay lies before it. Missing
    where no such event is known.
    """
    last = last_stays(stays(history, points), line).filter(_.machine.notnull())
    own = last.mutate(at=microseconds(_.started_at), until=microseconds(_.cutoff))
    own = own.select("point", "station", "machine", "at", "until")
    latest = points.agg(latest=microseconds(_.cutoff).max() + 1)
    found = _last_events(own, _events(history), latest)
    return _counted(found, _changes(history)).select(
        *("point", "units_since"),
        of=_.station + "." + _.kind,
        hours_since=(_["at"] - _.event) / _HOUR,
    )


def _events(history: History) -> ir.Table:
    """``machine``, ``kind``, ``event``, when it happened, and ``known``, since when that was recorded [µs]."""
    events = history.all_versions("events")
    events = events.mutate(event=microseconds(_.occurred_at), known=microseconds(_.recorded_at))
    return events.group_by("machine", "kind", "event").agg(known=_.known.min())


def _last_events(own: ir.Table, events: ir.Table, latest: ir.Table) -> ir.Table:
    """Each stay with ``kind`` and ``event`` of the last event of each kind by its start that was known at the cutoff.

    An event can be the last one known only until a later one has been recorded: stays that started from then on had a
    later one. This leaves each event an interval, and few of them overlap.
    """
    later = ibis.window(group_by=["machine", "kind"], order_by="event", rows=(1, None))
    last = events.mutate(end=_.known.min().over(later)).cross_join(latest)
    intervals = last.select("machine", "kind", "event", "known", start="event", end=_.end.fill_null(_.latest))
    pairs = within(own, intervals, by="machine").filter(_.known <= _.until)
    return pairs.group_by(*_KEY, "machine", "at", "until").agg(event=_.event.max())


def _changes(history: History) -> ir.Table:
    """How many stays had started on a machine: ``machine``, ``start``, ``known`` [µs] and ``change``, 1 or -1.

    A stay counts from when it was first recorded; when its machine is corrected it is taken away again, and counts
    for the other machine.
    """
    visits = history.all_versions("visits")
    visits = visits.mutate(start=microseconds(_.started_at), known=microseconds(_.recorded_at))
    visits = visits.mutate(known=ibis.greatest(_.known, microseconds(_.occurred_at)))
    version = ibis.window(group_by=["unit_id", "station", "start"], order_by=["known", "ended_at", "machine"])
    machines = visits.mutate(before=_.machine.lag().over(version))
    moved = machines.filter(~_.machine.identical_to(_.before))
    added = moved.select("machine", "start", "known", change=ibis.literal(1))
    taken = moved.select("start", "known", machine="before", change=ibis.literal(-1))
    return added.union(taken.select("machine", "start", "known", "change")).filter(_.machine.notnull())


def _counted(found: ir.Table, changes: ir.Table) -> ir.Table:
    """Stays with their last events, and ``units_since``.

    Counted among all that is ever recorded, less what was not recorded by the cutoff: this is little, where a count of
    what was recorded by each cutoff is a comparison of all stays with all others.
    """
    ever = changes.group_by("machine", moment="start").agg(change=_.change.sum())
    marks = found.select("machine", moment="event").union(found.select("machine", moment="at")).distinct()
    timeline = ever.union(marks.mutate(change=ibis.literal(0, "int64")))
    steps = timeline.group_by("machine", "moment").agg(change=_.change.sum())
    before = ibis.window(group_by="machine", order_by="moment", rows=(None, -1))
    started = steps.select("machine", "moment", started=_.change.sum().over(before).fill_null(0))
    at_event = started.rename(event="moment", by_event="started")
    at_start = started.rename({"at": "moment", "by_start": "started"})
    counted = found.inner_join(at_event, ["machine", "event"]).inner_join(at_start, ["machine", "at"])
    unknown = _unknown(found, changes)
    joined = counted.left_join(unknown, list(_KEY)).mutate(unknown=_.unknown.fill_null(0))
    return joined.mutate(units_since=(_.by_start - _.by_event - _.unknown).cast("float64"))


def _unknown(found: ir.Table, changes: ir.Table) -> ir.Table:
    """Of the stays since the event, the sum of the changes that were recorded after the cutoff."""
    cutoffs = found.select(*_KEY, "machine", "event", at="until", began="at")
    recorded_later = changes.mutate(end=_.known, begun=_.start)
    pairs = within(cutoffs, recorded_later, by="machine")
    return pairs.filter(_.event <= _.begun, _.begun < _.began).group_by(*_KEY).agg(unknown=_.change.sum())
