"""How the gate has lately judged what shares a machine, product, lot or supplier with a unit."""

from datetime import timedelta

import ibis
import ibis.expr.types as ir
from ibis import _
from pydantic import BaseModel, ConfigDict

from qma_predict.data.lake import History, literal, recorded_first
from qma_predict.data.results import valid_at_gate
from qma_predict.features.families import settings
from qma_predict.line import Line
from qma_predict.line.kinds import Period

UNITS = {"defect_rate": "", "inspected": ""}
INHERITED = False

WEIGHT = 20
"""Units of the line's own rate that each group is given."""

_LINE = {"of": ibis.literal(""), "group": ibis.literal("")}
_ONE = ibis.literal(1, "int64")
_TABLES = ("inspections", "visits", "units", "materials")


class Settings(BaseModel):
    """How long before the cutoff a verdict may have become known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Period = timedelta(days=14)


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features of `{station}.machine`, `unit.product`, `{material}.lot` and `{material}.supplier`.

    defect_rate : share of the group's other units found defect, of those judged in the window before the cutoff;
        shrunk towards the share of all units of the line in this window, as if 20 units more had it
    inspected : number of these other units

    Notes
    -----
    A unit is judged once: defect when the first failing result of a counted characteristic was recorded, good when
    passing results of all of them were. First results count, as recorded first; corrections and repetitions change
    nothing. Machine, product, lot and supplier, too, are taken as recorded first, and a verdict counts in a group from
    when both are known. A unit of several lots is in each, and the counts of its lots are added up.
    """
    window = settings(Settings, line).window
    spans = points.aggregate(first=points.cutoff.min(), last=points.cutoff.max())
    first, last = history.tables["visits"].get_backend().execute(spans).iloc[0]
    rows = {
        name: history.all_versions(name).filter(_.recorded_at >= _.occurred_at, _.recorded_at <= literal(last))
        for name in _TABLES
    }
    news = [one.filter(_.recorded_at > literal(first - window)).select("unit_id") for one in rows.values()]
    units = ibis.union(points.select("unit_id"), *news, distinct=True)  # no other verdict can become one of the window
    rows = {name: one.semi_join(units, "unit_id") for name, one in rows.items()}
    members = _members(rows, line)
    judged = _verdicts(rows["inspections"], line)
    events = _events(members, judged)
    counts = _counts(points, members, events, window)
    overall = counts.filter(_.of == "")
    overall = overall.select("point", rate=overall.defects / overall.inspected.nullif(0))
    both = counts.filter(_.of != "").left_join(overall, "point").drop("point_right")
    return both.select(
        *("point", "of"),
        defect_rate=(both.defects + WEIGHT * both.rate) / (both.inspected + WEIGHT),
        inspected=both.inspected.cast("float64"),
    )


def _members(rows: dict[str, ir.Table], line: Line) -> ir.Table:
    """Which groups units belong to: ``unit_id``, ``of``, ``group``, and ``moment``, when it was recorded."""
    visits = recorded_first(
        rows["visits"].filter(_.station.isin(line.route), _.machine.notnull()), ["unit_id", "station"], "machine"
    )
    units = recorded_first(rows["units"].filter(_.product.notnull()), ["unit_id"], "product")
    lots = recorded_first(rows["materials"], ["unit_id", "lot_id"], "material", "supplier")
    lots = lots.mutate(material=_.material.fill_null("part"))
    suppliers = recorded_first(lots.filter(_.supplier.notnull()), ["unit_id", "material", "supplier"])
    return ibis.union(
        visits.select("unit_id", of=_.station + ".machine", group=_.machine, moment=_.recorded_at),
        units.select("unit_id", of=ibis.literal("unit.product"), group=_["product"], moment=_.recorded_at),
        lots.select("unit_id", of=_.material + ".lot", group=_.lot_id, moment=_.recorded_at),
        suppliers.select("unit_id", of=_.material + ".supplier", group=_.supplier, moment=_.recorded_at),
    )


def _verdicts(inspections: ir.Table, line: Line) -> ir.Table:
    """What the gate said of units first: ``unit_id``, ``defect`` (0 or 1), and ``judged_at``, when that was known."""
    results = recorded_first(valid_at_gate(inspections, line), ["unit_id", "characteristic"], "passed")
    units = results.group_by("unit_id").agg(
        failed_at=_.recorded_at.min(where=~_.passed), all_at=_.recorded_at.max(), n=_.count()
    )
    units = units.filter(_.failed_at.notnull() | (_.n == len(set(line.gate.characteristics))))
    return units.select(
        "unit_id", defect=_.failed_at.notnull().cast("int64"), judged_at=_.failed_at.fill_null(_.all_at)
    )


def _events(members: ir.Table, judged: ir.Table) -> ir.Table:
    """Verdicts in the groups of their units: ``unit_id``, ``of``, ``group``, ``defect``, ``moment``."""
    in_groups = members.inner_join(judged, "unit_id")
    in_groups = in_groups.mutate(moment=ibis.greatest(in_groups.moment, in_groups.judged_at))
    of_all = judged.mutate(moment="judged_at", **_LINE)
    columns = ("unit_id", "of", "group", "defect", "moment")
    return in_groups.select(*columns).union(of_all.select(*columns))


def _counts(points: ir.Table, members: ir.Table, events: ir.Table, window: timedelta) -> ir.Table:
    """Verdicts of others in the window before each point's cutoff: ``point``, ``of``, ``inspected``, ``defects``."""
    own = members.inner_join(points, "unit_id").filter(_.moment <= _.cutoff).drop("moment")
    own = own.union(points.mutate(**_LINE).select(*own.columns))
    own = own.mutate(opened=own.cutoff - ibis.interval(window))
    nothing = {"n": _ONE - 1, "d": _ONE - 1}
    joined = own.inner_join(events, ["unit_id", "of", "group"])
    mine = joined.filter(joined.moment > joined.opened, joined.moment <= joined.cutoff)
    rows = ibis.union(
        events.select("of", "group", _at(events.moment), point=ibis.null("int64"), sign=_ONE - 1, n=_ONE, d="defect"),
        own.select("of", "group", _at(own.cutoff), point="point", sign=_ONE, **nothing),
        own.select("of", "group", _at(own.opened), point="point", sign=-_ONE, **nothing),
    )
    # one pass in the order of time, questions after the verdicts of their moment
    so_far = ibis.cumulative_window(group_by=["of", "group"], order_by=["moment", rows.sign != 0])
    totals = rows.mutate(n=rows.n.sum().over(so_far), d=rows.d.sum().over(so_far))
    asked = totals.filter(_.sign != 0).select("point", "of", n=_.sign * _.n, d=_.sign * _.d)
    both = asked.union(mine.select("point", "of", n=-_ONE, d=-mine.defect), distinct=False)
    return both.group_by("point", "of").agg(inspected=_.n.sum(), defects=_.d.sum())


def _at(moment: ir.TimestampValue) -> ir.TimestampValue:
    return moment.cast("timestamp('UTC', 6)").name("moment")
