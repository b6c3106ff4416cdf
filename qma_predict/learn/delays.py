"""How long results take, by what they say: what a label's maturity must wait for."""

import math

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, newest
from qma_predict.learn.labels import deciding, versions
from qma_predict.learn.rates import percent
from qma_predict.line import Line

LONGEST_WATCH = pd.Timedelta("90D")
"""Longer than this no unit need have been watched; a practice of long ago says little."""

FEWEST = 20
"""Units of a class below which nothing is said of its delays."""

SHARE = 0.99
"""Share of the results for which a label should wait."""

_CLASSES = ("defect", "good")


def reporting_delays(history: History, points: pd.DataFrame, line: Line) -> pd.DataFrame:
    """How long after the cutoff it was recorded what decided, for defects and good units apart.

    Apart, because the class that is reported sooner is too frequent among labels that did not wait long enough.

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line

    Returns
    -------
    DataFrame, shape (2, 5), indexed by ``label``: defect, good
        ``units``; ``median``, ``q99`` and ``longest`` delay; ``in_time``, the share within the line's maturity.
        Missing where there are no units.

    Notes
    -----
    Of recent units only short delays can be seen, and a unit without a result may be late or never inspected: their
    delays are truncated, not censored. So only units are counted that were watched for half of the history, or for
    `LONGEST_WATCH`; delays longer than that are seen too seldom.

    A good unit is decided when the last of its characteristics is recorded, a defect with its first failure. A
    correction that turned the verdict counts as what decided, and so does one that withdrew a dispute, made a void
    result valid, or declared a first result void, so that a later one decides; one that left the label as it was does
    not, nor does a failure taken back after another characteristic had failed as well.
    """
    decided = _decided(history, points, line)
    span = history.as_of - points["cutoff"].min()
    watched = min(span / 2, LONGEST_WATCH) if len(points) else LONGEST_WATCH
    old = decided[decided["cutoff"] <= history.as_of - watched]
    delay = old["moment"] - old["cutoff"]
    rows = {}
    for label in _CLASSES:
        of_class = delay[old["label"] == label]
        rows[label] = {
            "units": len(of_class),
            "median": of_class.quantile(0.5, interpolation="higher"),
            "q99": of_class.quantile(SHARE, interpolation="higher"),
            "longest": of_class.max(),
            "in_time": float((of_class <= line.gate.maturity).mean()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")


def _decided(history: History, points: pd.DataFrame, line: Line) -> pd.DataFrame:
    """``cutoff``, ``label`` and ``moment`` (since when it was known as it is) of units that have one, immature too."""
    by_unit = ibis.window(group_by="unit_id")
    so_far = ibis.cumulative_window(group_by="unit_id", order_by="moment")
    turns = _turns(versions(history, points, line)).group_by("unit_id", "moment")
    states = turns.agg(cutoff=_.cutoff.min(), failed=_.failed.sum(), passed=_.passed.sum())
    states = states.mutate(failed=_.failed.sum().over(so_far), passed=_.passed.sum().over(so_far))
    good = states.passed == len(set(line.gate.characteristics))
    told = states.mutate(label=ibis.cases((states.failed > 0, "defect"), (good, "good"), else_=""))
    told = told.mutate(last=_.label.argmax(_.moment).over(by_unit))
    other = told.moment.max(where=told.label != told["last"]).over(by_unit)
    since = told.mutate(other=other).filter(_.other.isnull() | (_.moment > _.other)).filter(_.label != "")
    known = since.group_by("unit_id").agg(cutoff=_.cutoff.min(), label=_.label.first(), moment=_.moment.min())
    return known.drop("unit_id").to_pandas()


def _turns(recorded: ir.Table) -> ir.Table:
    """Of each unit's characteristic and ``moment``, by how many it then changed those that ``failed`` and ``passed``.

    After each of its recordings the verdict is told as labels are: voids, disputes and later results may all turn it.
    Where all recordings say the same, the first is enough, which spares most of the work.
    """
    of_one = ["unit_id", "characteristic"]
    differ = ((_.passed.any() != _.passed.all()) | _.void.any() | _.disputed.any()).over(group_by=of_one)
    begun = _.recorded_at.min().over(group_by=of_one)
    told_at = recorded.mutate(differ=differ, begun=begun).filter(_.differ | (_.recorded_at == _.begun))
    moments = told_at.group_by(*of_one, moment=_.recorded_at).agg(cutoff=_.cutoff.min())
    known = recorded.drop("cutoff").inner_join(moments, of_one).filter(_.recorded_at <= _.moment)
    first = deciding(newest(known, (*TABLES["inspections"].key, "moment")), "moment")
    said = first.select(
        *of_one, "moment", failed=(~_.disputed & ~_.passed).cast("int64"), passed=(~_.disputed & _.passed).cast("int64")
    )
    told = moments.left_join(said, [*of_one, "moment"])[[*moments.columns, "failed", "passed"]]
    told = told.fill_null({"failed": 0, "passed": 0})
    before = ibis.window(group_by=of_one, order_by="moment")
    return told.mutate(
        failed=_.failed - _.failed.lag(default=0).over(before), passed=_.passed - _.passed.lag(default=0).over(before)
    )


def too_short(delays: pd.DataFrame, line: Line) -> str:
    """Return a sentence where the line's maturity does not wait for 99 % of a class, with one that would; else nothing.

    Parameters
    ----------
    delays : DataFrame
        As `reporting_delays` gives them.
    line : Line
    """
    late = delays[(delays["units"] >= FEWEST) & (delays["in_time"] < SHARE)]
    if late.empty:
        return ""
    told = " and ".join(
        f"{percent(1 - row.in_time)} of {row.units:,} {_PLURAL[row.Index]}" for row in late.itertuples()
    )
    return (
        f"gate.maturity is {_words(pd.Timedelta(line.gate.maturity))}, but the results of {told} came later, so that "
        f"the newest labels are too few, and of one kind more than of the other; "
        f'"{_enough(late["q99"].max())}" would wait for 99 % of both'
    )


_PLURAL = {"defect": "defects", "good": "good units"}
_SIZES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def _enough(span: pd.Timedelta) -> str:
    """Round up to whole days, or to whole hours below two days."""
    size, unit = (86400, "d") if span >= pd.Timedelta("2D") else (3600, "h")
    return f"{math.ceil(span.total_seconds() / size)} {unit}"


def _words(span: pd.Timedelta) -> str:
    size, unit = next((one for one in _SIZES if span.total_seconds() >= one[0]), _SIZES[-1])
    return f"{span.total_seconds() / size:g} {unit}"
