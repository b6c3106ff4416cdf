"""A unit's stays at stations, as known at its cutoff."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History
from qma_predict.features.families import known
from qma_predict.line import Line


def stays(history: History, points: ir.Table) -> ir.Table:
    """Each stay of the points' units, in the newest version known at the cutoff.

    Returns
    -------
    Table
        ``point``, ``unit_id``, ``cutoff``, ``station``, ``machine``, ``started_at``, and ``ended_at``, missing where
        no end was known.
    """
    visits = known(history.all_versions("visits"), points)
    key = [name for name in TABLES["visits"].key if name != "unit_id"]
    order = [ibis.desc("recorded_at"), ibis.desc("ended_at"), "machine"]
    newest = visits.mutate(_age=ibis.row_number().over(group_by=["point", *key], order_by=order)).filter(_._age == 0)
    return newest.select("point", "unit_id", "cutoff", "station", "machine", "started_at", "ended_at")


def last_stays(rows: ir.Table, line: Line) -> ir.Table:
    """Of `stays`, the one that started last at each station of the route."""
    order = ibis.row_number().over(group_by=["point", "station"], order_by=ibis.desc("started_at"))
    return rows.filter(_.station.isin(line.route)).mutate(_order=order).filter(_._order == 0).drop("_order")
