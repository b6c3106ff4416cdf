"""The readings of a unit at a station, in order of time."""

import ibis
import ibis.expr.types as ir
from ibis import _

from qma_predict.features.intervals import microseconds

SERIES = ("point", "station", "tag")


def series_of(readings: ir.Table) -> ir.Table:
    """Lists of readings of each point, station and tag.

    Parameters
    ----------
    readings : Table
        All versions, as of `readings_of_units`.

    Returns
    -------
    Table
        ``point``, ``station``, ``tag`` and ``readings``: structs of ``at`` [µs], ``recorded_at`` [µs] and ``value``
        in order of time, one a moment, in the version recorded last.
    """
    at, recorded_at = microseconds(readings.occurred_at), microseconds(readings.recorded_at)
    version = ibis.struct({"at": at, "recorded_at": recorded_at, "value": readings.value})
    # A sorted list is added up from its start: neither the order of rows nor the threads change a bit.
    series = readings.mutate(version=version).group_by(SERIES).agg(versions=_.version.collect().sort())
    return series.select(*SERIES, readings=_newest(series.versions))


def _newest(versions: ir.ArrayColumn) -> ir.ArrayColumn:
    """Of versions sorted by `at` and `recorded_at`, the last one of each moment."""
    pairs = versions.zip(versions[1:])  # f1 with the version after it, f2, which the last one lacks
    kept = pairs.filter(lambda pair: pair.f2.isnull() | (pair.f1.at != pair.f2.at))
    return (versions.length() > 1).ifelse(kept.map(lambda pair: pair.f1), versions)
