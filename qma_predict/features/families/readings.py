"""What the sensors said of a unit at each station."""

import ibis.expr.types as ir

from qma_predict.data.lake import History
from qma_predict.features.matching import readings_of_units
from qma_predict.features.series import SERIES, series_of
from qma_predict.features.tags import with_limits
from qma_predict.line import Line

UNITS = {
    "last": "{tag}",
    "mean": "{tag}",
    "spread": "{tag}",
    "slope": "{tag}/h",
    "count": "",
    "deviation": "{tag}",
}
INHERITED = True


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
    series = series_of(readings_of_units(history, points, line))
    joined = with_limits(_statistics(series), history, points, line)
    return joined.select(
        *("point", "last", "mean", "spread", "slope", "count"),
        of=joined.station + "." + joined.tag,
        deviation=joined["last"] - joined.set_point,
    )


def _statistics(series: ir.Table) -> ir.Table:
    """Statistics of the list `readings`, sorted by `at`, of each point, station and tag."""
    n = series.readings.length()
    last = series.readings[n - 1]
    several = (n > 1).ifelse(series.readings, None)
    lists = series.select(
        *SERIES,
        n=n,
        last=last.value,
        value=several.map(lambda one: one.value),
        hours=several.map(lambda one: (one.at - last.at) / 3.6e9),
    )
    means = lists.mutate(mean=lists.value.means(), middle=lists.hours.means())
    apart = means.mutate(
        value=means.value.map(lambda value: value - means["mean"]),
        hours=means.hours.map(lambda hours: hours - means.middle),
    )
    together = apart.value.zip(apart.hours).map(lambda pair: pair.f1 * pair.f2)
    return apart.select(
        *(*SERIES, "last", "mean"),
        count=apart.n.cast("float64"),
        spread=(apart.value.map(lambda value: value * value).sums() / (apart.n - 1)).sqrt(),
        slope=together.sums() / apart.hours.map(lambda hours: hours * hours).sums(),
    )
