"""What a unit is, and which machines it passed."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import known
from qma_predict.line import Line

UNITS = {"machine": ""}
INHERITED = True


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Feature `{station}.machine`: the machine of the unit's last stay at each station of the route."""
    visits = known(history.all_versions("visits").filter(_.station.isin(line.route)), points)
    order = [ibis.desc("started_at"), ibis.desc("recorded_at"), "machine"]
    last = visits.mutate(_order=ibis.row_number().over(group_by=["point", "station"], order_by=order))
    return last.filter(_._order == 0).select("point", of="station", machine="machine")
