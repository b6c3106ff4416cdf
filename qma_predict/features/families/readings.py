"""What the sensors said of a unit at each station."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import known, product
from qma_predict.line import Line

_SERIES = ("point", "station", "tag")


def compute(history: History, points: ir.Table, line: Line) -> ir.Table:
    """Features `{station}.{tag}.{statistic}` of the readings known at the cutoff, in their newest version.

    last : the value that occurred last [unit of the tag]
    mean : arithmetic mean [unit of the tag]; missing below two readings, where it is the last
    spread : sample standard deviation [unit of the tag]; missing below two readings
    slope : least-squares slope over time [unit of the tag per hour]; missing below two readings
    count : number of readings
    deviation : last minus the set point that holds for the unit's product at the cutoff [unit of the tag];
        missing where none holds
    """
    readings = known(history.all_versions("readings"), points)
    version = ibis.struct({"at": readings.occurred_at, "recorded_at": readings.recorded_at, "value": readings.value})
    # A sorted list is added up from its start: neither the order of rows nor the threads change a bit.
    series = readings.mutate(version=version).group_by(_SERIES).agg(versions=_.version.collect().sort())
    statistics = _statistics(series.select(*_SERIES, readings=_newest(series.versions)))
    situations, set_points = _set_points(history, points, line)
    described = statistics.left_join(situations, "point").drop("point_right")
    joined = described.left_join(set_points, ["product", "since", "station", "tag"])
    return joined.select(
        *("point", "last", "mean", "spread", "slope", "count"),
        of=joined.station + "." + joined.tag,
        deviation=joined["last"] - joined.set_point,
    )


def _newest(versions: ir.ArrayColumn) -> ir.ArrayColumn:
    """Of versions sorted by `at` and `recorded_at`, the last one of each moment."""
    pairs = versions.zip(versions[1:])  # f1 with the version after it, f2, which the last one lacks
    kept = pairs.filter(lambda pair: pair.f2.isnull() | (pair.f1.at != pair.f2.at))
    return (versions.length() > 1).ifelse(kept.map(lambda pair: pair.f1), versions)


def _statistics(series: ir.Table) -> ir.Table:
    """Statistics of the list `readings`, sorted by `at`, of each point, station and tag."""
    n = series.readings.length()
    last = series.readings[n - 1]
    several = (n > 1).ifelse(series.readings, None)
    lists = series.select(
        *_SERIES,
        n=n,
        last=last.value,
        value=several.map(lambda one: one.value),
        hours=several.map(lambda one: one.at.delta(last.at, unit="microsecond") / 3.6e9),
    )
    means = lists.mutate(mean=lists.value.means(), middle=lists.hours.means())
    apart = means.mutate(
        value=means.value.map(lambda value: value - means["mean"]),
        hours=means.hours.map(lambda hours: hours - means.middle),
    )
    together = apart.value.zip(apart.hours).map(lambda pair: pair.f1 * pair.f2)
    return apart.select(
        *(*_SERIES, "last", "mean"),
        count=apart.n.cast("float64"),
        spread=(apart.value.map(lambda value: value * value).sums() / (apart.n - 1)).sqrt(),
        slope=together.sums() / apart.hours.map(lambda hours: hours * hours).sums(),
    )


def _set_points(history: History, points: ir.Table, line: Line) -> tuple[ir.Table, ir.Table]:
    """Which set points hold for a point.

    Returns
    -------
    situations : Table
        ``point``, ``product`` and ``since``, the last moment by the cutoff at which any row of `tags` became
        both valid and known: points that share product and `since` share all set points.
    set_points : Table
        ``product``, ``since``, ``station``, ``tag``, ``set_point``: that of the newest valid row, one for the
        product before one for all products. Missing where this row states none.
    """
    tags = history.all_versions("tags").rename(of_product="product")
    tags = tags.mutate(effective=ibis.greatest(tags.valid_from, tags.recorded_at))
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
