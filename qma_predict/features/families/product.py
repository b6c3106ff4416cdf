"""What a unit is meant to become."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import known
from qma_predict.line import Line

UNITS = {"product": ""}
INHERITED = True


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Feature `unit.product`, as recorded last by the cutoff."""
    units = known(history.all_versions("units"), points)
    order = ibis.row_number().over(group_by="point", order_by=[ibis.desc("recorded_at"), "product"])
    return units.mutate(_order=order).filter(_._order == 0).select("point", "product", of=ibis.literal("unit"))
