"""Which moments lie in which intervals, found without comparing each with each."""

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis import _


@ibis.udf.scalar.builtin(name="epoch_us", signature=((dt.Timestamp("UTC", 6),), dt.int64))
def microseconds(moment: ir.TimestampValue) -> ir.IntegerValue:
    """Microseconds from 1970 in UTC to a moment: DuckDB's own function, as its differences of zoned times are slow."""


def within(moments: ir.Table, intervals: ir.Table, by: str) -> ir.Table:
    """Pairs of a moment and an interval that holds it, of the same `by`.

    Parameters
    ----------
    moments : Table
        With the column `by` and ``at`` [µs].
    intervals : Table
        With the column `by`, and ``start`` and ``end`` [µs]: the start belongs to the interval, the end does not. They
        may overlap. An interval whose end is not after its start holds no moment.

    Returns
    -------
    Table
        The columns of both but ``start`` and ``end``, a row a pair.

    Notes
    -----
    An engine joins equal values well and ranges badly. So time is cut into cells, for each `by` as wide as its
    intervals are long on average: n intervals then touch at most 2 n cells, and a moment meets in its cell hardly
    more intervals than hold it. The cells decide nothing but the speed.
    """
    some = intervals.filter(_.start < _.end)
    widths = some.group_by(by).agg(width=(_.end - _.start).mean().ceil().cast("int64"))
    wide = some.inner_join(widths, by)
    touched = ibis.range(wide.start // wide.width, (wide.end - 1) // wide.width + 1, 1)
    cells = wide.mutate(cell=touched.unnest()).drop("width")
    numbered = moments.inner_join(widths, by).mutate(cell=_.at // _.width).drop("width")
    pairs = numbered.inner_join(cells, [by, "cell"])
    return pairs.filter(pairs.start <= pairs["at"], pairs["at"] < pairs.end).drop("start", "end", "cell")
