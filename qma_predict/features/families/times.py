"""How long a unit stayed at each station, and how long it waited before."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.intervals import microseconds
from qma_predict.features.stays import last_stays, stays
from qma_predict.line import Line

UNITS = {"stay": "min", "wait": "min"}
INHERITED = True

_MINUTE = 60e6


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features of the unit's last stay at each station of the route, as known at the cutoff.

    stay : `{station}.stay` [min], from its start to its end; missing where no end is known
    wait : `{station}.wait` [min], from the end of the stay before it, at whichever station of the route, to its
        start; below 0 where they overlap, missing for the first stay and where the end before it is not known
    """
    known = stays(history, points).filter(_.station.isin(line.route))
    known = known.mutate(start=microseconds(_.started_at), end=microseconds(_.ended_at))
    before = ibis.window(group_by="point", order_by=["started_at", "ended_at", "station"])
    timed = known.mutate(stay=(_.end - _.start) / _MINUTE, wait=(_.start - _.end.lag().over(before)) / _MINUTE)
    return last_stays(timed, line).select("point", "stay", "wait", of="station")
