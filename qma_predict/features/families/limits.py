"""Excursions beyond the limits of the tags."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.matching import readings_of_units
from qma_predict.features.series import series_of
from qma_predict.features.tags import with_limits
from qma_predict.line import Line

UNITS = {"beyond": "{tag}", "share_beyond": ""}
INHERITED = True


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features `{station}.{tag}.{statistic}` of the readings known at the cutoff, in their newest version.

    beyond : how far the farthest reading lies beyond a limit [unit of the tag]; 0 if all lie within, which includes
        the limits themselves
    share_beyond : share of the readings that lie beyond, 0 to 1

    Both are missing where no limit holds for the unit's product at the cutoff. One that holds suffices.
    """
    limited = history.all_versions("tags").filter(_.lower.notnull() | _.upper.notnull())
    readings = readings_of_units(history, points, line).semi_join(limited, ["station", "tag"])
    joined = with_limits(series_of(readings), history, points, line)
    rows = joined.filter(_.lower.notnull() | _.upper.notnull())
    values = rows.readings.map(lambda one: one.value)
    over = (values.maxs() - rows.upper).fill_null(0.0)
    under = (rows.lower - values.mins()).fill_null(0.0)
    beyond = values.filter(lambda value: (value > rows.upper).fill_null(False) | (value < rows.lower).fill_null(False))
    return rows.select(
        "point",
        of=rows.station + "." + rows.tag,
        beyond=ibis.greatest(over, under, 0.0),
        share_beyond=beyond.length() / values.length(),
    )
