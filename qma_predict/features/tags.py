"""What is known of tags: set points and limits that hold, units of measure."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import product
from qma_predict.line import Line


def with_limits(series: ir.Table, history: History, points: ir.Table, line: Line) -> ir.Table:
    """Rows with ``point``, ``station`` and ``tag``, and beside them what holds for the tag at the point's cutoff.

    Returns
    -------
    Table
        The rows with ``set_point``, ``lower`` and ``upper`` [unit of the tag] of the newest row of `tags` that was
        both valid and known at the cutoff: one for the unit's product before one for all products. Missing where
        none holds, or where this row states none.
    """
    situations, limits = _limits(history, points, line)
    described = series.left_join(situations, "point").drop("point_right")
    joined = described.left_join(limits, ["product", "since", "station", "tag"])
    return joined.select(*series.columns, "set_point", "lower", "upper")


def _limits(history: History, points: ir.Table, line: Line) -> tuple[ir.Table, ir.Table]:
    """Which limits hold for a point.

    Returns
    -------
    situations : Table
        ``point``, ``product`` and ``since``, the last moment by the cutoff at which any row of `tags` became
        both valid and known: points that share product and `since` share all limits.
    limits : Table
        ``product``, ``since``, ``station``, ``tag``, ``set_point``, ``lower``, ``upper``.
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
    return situations, best.filter(_._order == 0).select(*key, "set_point", "lower", "upper")
