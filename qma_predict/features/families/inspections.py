"""What inspections upstream found of a unit."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import known
from qma_predict.line import Line

UNITS = {"measured": "", "failed": "", "margin": ""}
INHERITED = True


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features `{gate}.{characteristic}.{statistic}` of the last inspection known at the cutoff, in its newest version.

    measured : the measured value [unit of the characteristic, which the tables do not name]; missing where none was
        measured
    failed : 1 if it failed, 0 if it passed
    margin : distance of the measured value to the nearer limit as a share of the tolerance, upper less lower limit;
        0.5 in the middle, below 0 beyond a limit, missing without both limits

    Notes
    -----
    The gate that decides needs no exception. A unit of which any counted result was recorded by its cutoff has no
    prediction point (`prediction_points` drops it), so of a unit itself no such result can occur here; of what
    it was made from it can, and is as good as any other.
    """
    results = known(history.all_versions("inspections"), points)
    order = [*(ibis.desc(name) for name in ("occurred_at", "recorded_at", "measured")), "passed"]
    last = results.mutate(_order=ibis.row_number().over(group_by=["point", "gate", "characteristic"], order_by=order))
    last = last.filter(_._order == 0)
    nearer = ibis.least(last.upper - last.measured, last.measured - last.lower)
    width = last.upper - last.lower
    return last.select(
        *("point", "measured"),
        of=last.gate + "." + last.characteristic,
        failed=(~last.passed).cast("float64"),
        margin=(width > 0).ifelse(nearer / width, None),
    )
