"""What the sensors said of a unit at each station."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import known, product
from qma_predict.line import Line


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features `{station}.{tag}.{statistic}` of the readings known at the cutoff, in their newest version.

    last : the value that occurred last [unit of the tag]
    mean : arithmetic mean [unit of the tag]; missing below two readings, where it is the last
    spread : sample standard deviation [unit of the tag]; missing below two readings
    slope : least-squares slope over time [unit of the tag per hour]; missing below two moments
    count : number of readings
    deviation : last minus the set point of the unit's product valid at the cutoff [unit of the tag]
    """
    readings = known(history.all_versions("readings"), points)
    keys = ["point", "station", "tag"]
    hours = readings.occurred_at.delta(readings.cutoff, unit="microsecond") / 3.6e9
    newest = readings.mutate(hours=hours).group_by([*keys, "hours"]).agg(value=_.value.argmax(_.recorded_at))
    # float32 values, and their products, add up exactly in float64: no order of adding changes a bit
    exact = newest.mutate(v=_single(newest.value), h=_single(newest.hours))
    sums = exact.group_by(keys).agg(
        last=_.v.argmax(_.hours), count=_.count().cast("float64"),
        v=_.v.sum(), h=_.h.sum(), vv=(_.v * _.v).sum(), hh=(_.h * _.h).sum(), hv=(_.h * _.v).sum(),
    )  # fmt: skip
    n, zero = sums["count"], ibis.literal(0.0)
    vv, hh, hv = sums.vv - sums.v * sums.v / n, sums.hh - sums.h * sums.h / n, sums.hv - sums.h * sums.v / n
    statistics = sums.select(
        *(*keys, "last", "count"),
        mean=(n > 1).ifelse(sums.v / n, None),
        spread=(ibis.greatest(vv, zero) / (n - 1).nullif(zero)).sqrt(),
        slope=(n > 1).ifelse(hv / (hh > 0).ifelse(hh, None), None),
    )
    situations, set_points = _set_points(history, points, line)
    described = statistics.left_join(situations, "point").drop("point_right")
    joined = described.left_join(set_points, ["product", "since", "station", "tag"])
    return joined.select(
        *("point", "last", "mean", "spread", "slope", "count"),
        of=joined.station + "." + joined.tag,
        deviation=joined["last"] - joined.set_point,
    )


def _single(values: ir.NumericColumn) -> ir.NumericColumn:
    return values.cast("float32").cast("float64")


def _set_points(history: History, points: ir.Table, line: Line) -> tuple[ir.Table, ir.Table]:
    """Which set points hold for a point.

    Returns
    -------
    situations : Table
        ``point``, ``product`` and ``since``, the last moment by the cutoff at which any set point became both
        valid and known: points that share product and `since` share all set points.
    set_points : Table
        ``product``, ``since``, ``station``, ``tag``, ``set_point``: the newest valid one, that of the product
        before the general one.
    """
    tags = history.all_versions("tags").filter(_.set_point.notnull())
    tags = tags.mutate(effective=ibis.greatest(tags.valid_from, tags.recorded_at)).rename(of_product="product")
    moments = tags.select(since="effective").distinct()
    products = product.compute(history, points, line).select("point", "product")
    situations = (
        points.inner_join(moments, points.cutoff >= moments.since)
        .group_by("point")
        .agg(since=_.since.max())
        .left_join(products, "point")
        .select("point", "since", product=_.product.fill_null(""))
    )
    cases = situations.select("product", "since").distinct()
    valid = cases.inner_join(
        tags, [tags.effective <= cases.since, (tags.of_product == "") | (tags.of_product == cases.product)]
    )
    order = [ibis.desc(valid.of_product != ""), ibis.desc("valid_from"), ibis.desc("recorded_at")]
    key = ["product", "since", "station", "tag"]
    best = valid.mutate(_order=ibis.row_number().over(group_by=key, order_by=order))
    return situations, best.filter(_._order == 0).select(*key, "set_point")
