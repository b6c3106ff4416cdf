"""When rows happened and when they could be read: lags, labels and impossible times."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import ibis
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, literal
from qma_predict.data.survey.finding import Finding
from qma_predict.data.survey.joins import ends, results
from qma_predict.line import Line

_WITHOUT_CLOCK = ("tags", "answers", "issue_answers")  # nothing in the plant happened when they were written
_OF_UNITS = ("visits", "readings", "materials", "inspections")


def lags(history: History, line: Line) -> pd.DataFrame:
    """How long after it happened a row was recorded, and how many rows of judged units came after the cutoff."""
    cutoffs = ends(history, line).mutate(cutoff=_.ended_at + ibis.interval(seconds=_seconds(line.prediction.grace)))
    rows = []
    for name in TABLES:
        table = history.tables[name]
        if name in _WITHOUT_CLOCK or name not in history.versions:
            continue
        lag = table.recorded_at.epoch_seconds() - table.occurred_at.epoch_seconds()
        found = table.agg(n=_.count(), median=lag.quantile(0.5), p95=lag.quantile(0.95), longest=lag.max()).to_pandas()
        n, *spans = found.iloc[0]
        late = of = 0
        if name in _OF_UNITS:
            happened = table.inner_join(cutoffs.select("unit_id", "cutoff"), "unit_id").filter(
                _.occurred_at <= _.cutoff
            )
            counted = happened.agg(of=_.count(), late=(_.recorded_at > _.cutoff).sum().fill_null(0)).to_pandas().iloc[0]
            late, of = int(counted["late"]), int(counted["of"])
        rows.append([name, int(n), *(pd.Timedelta(seconds=round(float(one))) for one in spans), of, late])
    return pd.DataFrame(rows, columns=["table", "rows", "median", "p95", "longest", "of", "late"])


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())


def labels(history: History, line: Line) -> pd.DataFrame:
    """Units with a prediction point by what the gate said of them, and how long it took."""
    points = ends(history, line).mutate(cutoff=_.ended_at + ibis.interval(seconds=_seconds(line.prediction.grace)))
    points = points.select("unit_id", "cutoff")
    joined = results(history, line).inner_join(points, "unit_id")
    known = joined.filter(_.recorded_at <= _.cutoff).select("unit_id").nunique().execute()
    after = joined.filter(_.occurred_at > _.cutoff)
    order = ibis.row_number().over(
        group_by=["unit_id", "characteristic"], order_by=["occurred_at", ibis.desc("recorded_at")]
    )
    first = after.mutate(_o=order).filter(_._o == 0)
    delay = _.recorded_at.epoch_seconds() - _.cutoff.epoch_seconds()
    units = first.group_by("unit_id").agg(failed=(~_.passed).any(), seen=_.count(), delay=delay.max()).to_pandas()
    total = int(points.count().execute())
    defects = int(units["failed"].sum())
    good = int((~units["failed"].astype(bool) & (units["seen"] == len(line.gate.characteristics))).sum())
    p99 = pd.Timedelta(seconds=float(units["delay"].quantile(0.99))) if len(units) else pd.NaT
    late = int((units["delay"] > line.gate.maturity.total_seconds()).sum())
    row = [total, defects, good, total - defects - good, p99, late, int(known)]
    return pd.DataFrame(
        [row], columns=["units", "defects", "good", "missing", "delay_p99", "immature", "known_at_cutoff"]
    )


def findings(
    history: History, line: Line, clocks: pd.DataFrame, said: pd.DataFrame, now: pd.Timestamp
) -> Iterator[Finding]:
    """Lags that the cutoff or the maturity does not cover, impossible times."""
    for row in clocks.itertuples():
        if row.table != "inspections" and row.late > 0.05 * row.of:
            what = (
                f"{row.table}: {row.late:,} of {row.of:,} rows of judged units were recorded after the cutoff "
                f"(lag: median {_told(row.median)}, 95 % {_told(row.p95)})"
            )
            yield Finding("look", "cutoff too early", what, row.late, f"prediction.grace of {_told(row.p95)} or more")
    one = said.iloc[0]
    if one["units"] and one["known_at_cutoff"] > 0.2 * one["units"]:
        what = f"{one['known_at_cutoff']:,} of {one['units']:,} units have a result by their cutoff already"
        do = "the zone or the times of results are wrong, or they need a shift, or prediction.after is too late"
        yield Finding("look", "result before the cutoff", what, int(one["known_at_cutoff"]), do)
    judged = one["defects"] + one["good"]
    if one["units"] and judged and not one["defects"]:
        yield Finding(
            "look", "no defects", f"none of {judged:,} judged units is a defect", judged, "check values of passed"
        )
    if judged and one["defects"] > 0.5 * judged:
        what = f"{one['defects']:,} of {judged:,} judged units are defects"
        yield Finding("look", "more defects than good", what, int(one["defects"]), "check values of passed")
    if judged and one["immature"] > 0.01 * judged:
        what = (
            f"{one['immature']:,} of {judged:,} results came later than gate.maturity (99 %: {_told(one['delay_p99'])})"
        )
        yield Finding("look", "maturity too short", what, int(one["immature"]), "raise gate.maturity")
    for name in [one for one in TABLES if one in history.versions]:
        yield from _impossible(history, name, now)


def _told(span: pd.Timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _impossible(history: History, name: str, now: pd.Timestamp) -> Iterator[Finding]:
    """Times later than now, and long before the rest."""
    table = history.tables[name]
    moment = literal(now)
    seconds = _.occurred_at.epoch_seconds()
    asked = table.agg(
        happened=(_.occurred_at > moment).sum(),
        recorded=(_.recorded_at > moment).sum(),
        last=_.occurred_at.max(),
        first=seconds.min(),
        low=seconds.quantile(0.1),
        high=seconds.quantile(0.9),
    )
    facts = asked.to_pandas().iloc[0]
    for what in ("happened", "recorded"):
        if pd.notna(facts[what]) and facts[what] > 0:
            told = f"{name}: {int(facts[what]):,} rows {what} in the future (up to {facts['last']:%Y-%m-%d %H:%M} UTC)"
            yield Finding("look", "times in the future", told, int(facts[what]), "check the source's timezone")
    limit = float(facts["low"]) - max(365 * 86400, 3 * float(facts["high"] - facts["low"]))
    if name in (*_WITHOUT_CLOCK, "units") or not facts["first"] < limit:
        return
    early = table.filter(seconds < limit)
    found = early.agg(n=_.count(), first=_.occurred_at.min()).to_pandas().iloc[0]
    usual = datetime.fromtimestamp(float(facts["low"]), UTC)
    told = (
        f"{name}: {int(found['n']):,} rows long before the rest, such as {found['first']:%Y-%m-%d %H:%M} UTC "
        f"(most since {usual:%Y-%m-%d})"
    )
    do = "a device's default time? correct or leave out"
    yield Finding("look", "times long before the rest", told, int(found["n"]), do)
