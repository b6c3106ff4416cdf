"""How a unit differs from the units before it on the same machine, of the same product."""

from datetime import timedelta

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _
from pydantic import BaseModel, ConfigDict, Field

from qma_predict.data.lake import History, literal, recorded_first
from qma_predict.features.families import known, settings
from qma_predict.line import Line
from qma_predict.line.kinds import Count, Period

UNITS = {"change": "{tag}", "shift": "{tag}"}
INHERITED = False

_SERIES = ("unit_id", "station", "tag")


class Settings(BaseModel):
    """How many units before make the mean of `shift`, and how long before the unit they may be recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: Count = Field(default=5, ge=1, le=50)
    within: Period = timedelta(days=7)


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features `{station}.{tag}.{statistic}` of a unit's first reading of each tag.

    change : first reading minus that of the unit before [unit of the tag]
    shift : first reading minus the mean of those of the `units` units before [unit of the tag]

    Notes
    -----
    First is what was recorded first, of readings, machines and products; corrections change nothing here. Units follow
    each other in the order in which these became known, so that whatever comes before a unit was known when it was.
    What happened later, though recorded earlier, does not count as before.

    Units whose machine is missing in their stay follow each other, too; likewise those whose product is missing. A
    station where no stay was recorded has no order. Who comes back after longer than `within` counts again.
    """
    chosen = settings(Settings, line)
    trail = _trail(_entries(history, points, line, chosen.within), chosen.units)
    own = trail.inner_join(points, "unit_id").filter(_.moment <= _.cutoff)
    order = ibis.row_number().over(group_by=["point", "station", "tag"], order_by=["moment", "recorded_at"])
    first = own.mutate(_order=order).filter(_._order == 0)
    earliest = first.moment - ibis.interval(chosen.within)
    before = first.before.filter(lambda one: (one.moment >= earliest) & (one.occurred_at < first.occurred_at))
    values = before.map(lambda one: one.value)
    return first.select(
        "point",
        of=first.station + "." + first.tag,
        change=first.value - values[0],
        shift=first.value - values.means(),
    )


def _entries(history: History, points: ir.Table, line: Line, within: timedelta) -> ir.Table:
    """First readings of tags with machine and product, of all units that may come before one of the points.

    Returns
    -------
    Table
        ``unit_id``, ``station``, ``tag``, ``machine``, ``product``, ``occurred_at``, ``recorded_at``, ``value``;
        ``moment``, when all of it was known.
    """
    readings = history.all_versions("readings").filter(_.unit_id != "", _.recorded_at >= _.occurred_at)
    since, until = _times(readings, points)
    # A unit before counts if its moment is at most `within` before the own one, its reading `within` before this
    # moment, and no other reading of it `within` before this reading: older rows change nothing.
    some = readings.filter(_.recorded_at.between(literal(since - 3 * within), literal(until)))
    order = {"group_by": _SERIES, "order_by": ["recorded_at", "occurred_at", "value"]}
    last = some.recorded_at.lag().over(**order)
    first = some.mutate(_last=last).filter(_._last.isnull() | (_._last < _.recorded_at - ibis.interval(within)))
    units = first.select("unit_id").distinct()
    stays = _first(history.all_versions("visits").semi_join(units, "unit_id"), "machine", ["unit_id", "station"])
    placed = first.rename(named="machine").inner_join(stays, ["unit_id", "station"])
    machine = placed.named.nullif("").fill_null(placed.machine)
    entries = placed.mutate(machine=machine, moment=ibis.greatest(placed.recorded_at, placed.machine_at))
    if any(source.table == "units" for source in line.sources):
        products = _first(history.all_versions("units").semi_join(units, "unit_id"), "product", ["unit_id"])
        entries = entries.inner_join(products, "unit_id")
        entries = entries.mutate(moment=ibis.greatest(entries.moment, entries.product_at))
    else:
        entries = entries.mutate(product=ibis.literal(""))
    entries = entries.filter(entries.moment <= entries.recorded_at + ibis.interval(within))
    return entries.select(*_SERIES, "machine", "product", "occurred_at", "recorded_at", "value", "moment")


def _times(readings: ir.Table, points: ir.Table) -> tuple[pd.Timestamp, pd.Timestamp]:
    """When the first reading of the points' units was recorded, and their last cutoff."""
    own = known(readings, points)
    found = own.aggregate(since=own.recorded_at.min(), until=own.cutoff.max()).to_pandas().iloc[0]
    if pd.isna(found["since"]):
        return pd.Timestamp(0, tz="UTC"), pd.Timestamp(0, tz="UTC")
    return found["since"], found["until"]


def _first(rows: ir.Table, name: str, key: list[str]) -> ir.Table:
    """The column as it was recorded first, by key, with when that was as `{name}_at`."""
    rows = recorded_first(rows.filter(_.recorded_at >= _.occurred_at), key, name)
    return rows.select(*key, name, **{f"{name}_at": rows.recorded_at})


def _trail(entries: ir.Table, units: int) -> ir.Table:
    """Entries with those `before` them, the nearest first, on the same machine and of the same product."""
    entry = ibis.struct({"moment": entries.moment, "occurred_at": entries.occurred_at, "value": entries.value})
    over = {
        "group_by": ["machine", "product", "station", "tag"],
        "order_by": ["moment", "occurred_at", "unit_id", "recorded_at"],
    }
    rows = entries.mutate(entry=entry)
    return rows.mutate(before=ibis.array([rows.entry.lag(n).over(**over) for n in range(1, units + 1)]))
