"""When a unit is judged, in the plant's own time."""

from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from qma_predict.data.lake import History
from qma_predict.line import Line

UNITS = {"hour": "h", "weekday": ""}
INHERITED = False


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features of the cutoff in the line's zone: what recurs, and nothing that tells one week from another.

    hour : `calendar.hour` [h], local time of day, 0 up to 24 without it
    weekday : `calendar.weekday`, "mon" to "sun"
    """
    some = points.select("point", "cutoff").to_pandas()
    local = some["cutoff"].dt.tz_convert(ZoneInfo(line.timezone)).dt
    hour = local.hour + local.minute / 60 + local.second / 3600
    weekday = local.day_name("C").str[:3].str.lower()
    return ibis.memtable(some[["point"]].assign(of="calendar", hour=hour, weekday=weekday))
