"""Values that are suspicious: sentinels, constants, tags that are mostly missing, and two units in one tag."""

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.lake import History
from qma_predict.data.survey.finding import Finding
from qma_predict.line import Line

SENTINELS = (-9999.0, 9999.0, -999.0, 999.0, -99999.0, 99999.0, 32767.0, -32768.0, 65535.0, -1e30, 1e30)
_LEAST = 20
_BINS = 400

_CONVERSIONS = {
    ("degC", "degF"): (1.8, 32.0),
    ("degC", "K"): (1.0, 273.15),
    ("bar", "psi"): (14.5038, 0.0),
    ("bar", "kPa"): (100.0, 0.0),
    ("MPa", "bar"): (10.0, 0.0),
    ("inch", "mm"): (25.4, 0.0),
    ("kg", "lb"): (2.20462, 0.0),
}
"""The lower unit, the higher, and factor and offset between them: the ones that plants mix up."""


def findings(history: History, line: Line) -> Iterator[Finding]:
    """Suspicious values of readings by station and tag, and of measured characteristics by gate."""
    readings = history.tables["readings"]
    of = {
        "tag": readings.select(place=_.station, name=_.tag, value=_.value, unit_id=_.unit_id),
        "characteristic": history.tables["inspections"]
        .filter(_.measured.notnull())
        .select(place=_.gate, name=_.characteristic, value=_.measured, unit_id=_.unit_id),
    }
    for what, table in of.items():
        facts = _facts(table)
        for row in facts.itertuples():
            yield from _extremes(what, row)
            if row.n >= _LEAST and row.least == row.most:
                told = f"{what} {_at(row)} is always {row.least:g} ({row.n:,} rows)"
                yield Finding("look", "constant tag", told, int(row.n), "leave it out, or ask why")
        yield from _mixed(what, table, facts)
        yield from _thousands(what, table)
    yield from _rare(readings)
    yield from _declared(history, line)


def _at(row: Any) -> str:
    return f"{row.place}.{row.name}" if row.place else str(row.name)


def _facts(table: ir.Table) -> pd.DataFrame:
    """Extremes of each tag, how often they occur, and what comes next to them."""
    key = ["place", "name"]
    plain = table.group_by(key).agg(
        n=_.count(), least=_.value.min(), most=_.value.max(), low=_.value.quantile(0.05), high=_.value.quantile(0.95)
    )
    joined = table.inner_join(plain, key)
    inner = joined.group_by(key).agg(
        at_least=(_.value == _.least).sum(),
        at_most=(_.value == _.most).sum(),
        second=_.value.min(where=_.value > _.least),
        before=_.value.max(where=_.value < _.most),
    )
    found = plain.inner_join(inner, key).to_pandas().sort_values(key, ignore_index=True)
    return found[["place", "name", "n", "least", "most", "low", "high", "at_least", "at_most", "second", "before"]]


def _extremes(what: str, row: Any) -> Iterator[Finding]:
    """Values that stand for nothing measured: known ones far from the rest, and others repeated there."""
    sides = ((row.least, row.at_least, row.second), (row.most, row.at_most, row.before))
    other = {row.least: row.before, row.most: row.second}
    for value, times, nearest in sides:
        if pd.isna(nearest):
            continue
        rest = abs(nearest - other[value]) if pd.notna(other[value]) else 0.0
        gap = abs(value - nearest)
        known = value in SENTINELS and gap > max(rest, 0.1 * abs(value))
        repeated = times >= max(5, 0.002 * row.n) and times < 0.5 * row.n and gap > 3 * rest > 0
        if known or repeated:
            told = f"{what} {_at(row)} is {value:g} in {int(times):,} of {row.n:,} rows, the next value is {nearest:g}"
            do = 'a word for "no value"? leave it out by the export or tags.plausible_low and plausible_high'
            yield Finding("look", "sentinel value", told, int(times), do)


def _rare(readings: ir.Table) -> Iterator[Finding]:
    """Tags that few of the units at their station have."""
    own = readings.filter(_.unit_id != "")
    stations = own.group_by("station").agg(of=_.unit_id.nunique())
    tags = own.group_by(["station", "tag"]).agg(units=_.unit_id.nunique())
    rare = tags.inner_join(stations, "station").filter(_.units < 0.5 * _.of, _.of >= _LEAST)
    found = rare.order_by(["station", "tag"]).to_pandas()
    for row in found.itertuples():
        name = f"{row.station}.{row.tag}" if row.station else row.tag
        told = f"tag {name} is missing for {row.of - row.units:,} of {row.of:,} units with readings there"
        yield Finding("look", "mostly empty tag", told, int(row.of - row.units), "of some products only? else ask why")


def _mixed(what: str, table: ir.Table, facts: pd.DataFrame) -> Iterator[Finding]:
    """Tags whose values fall into two groups that differ as two units do."""
    wide = facts[(facts["most"] > facts["least"]) & (facts["n"] >= _LEAST)][["place", "name", "least", "most"]]
    if wide.empty:
        return
    joined = table.inner_join(ibis.memtable(wide), ["place", "name"])
    scaled = ((_.value - _.least) / (_.most - _.least) * _BINS).floor().cast("int64")
    bins = joined.group_by(["place", "name", scaled.name("bin")]).agg(n=_.count(), total=_.value.sum()).to_pandas()
    for (place, name), group in bins.sort_values("bin").groupby(["place", "name"], sort=True):
        found = _split(group)
        if found is not None:
            units, low, high, fewer = found
            told = (
                f"{what} {place}.{name} has two groups, around {low:g} and around {high:g}, "
                f"as {units[0]} and {units[1]} differ"
            )
            do = f'units = {{ "{name}" = ... }} of each source, and [units] of the line'
            yield Finding("look", "two units in one tag", told, fewer, do)


def _thousands(what: str, table: ir.Table) -> Iterator[Finding]:
    """Tags that are whole below 1000 and have three decimals from 1 to 1000: 961, and 1.318 for 1318."""
    size = _.value.abs()
    whole, large = size == size.floor(), size >= 1000
    third, more = ((size * 10**n - (size * 10**n).round()).abs() > 1e-6 for n in (2, 3))
    found = table.group_by(["place", "name"]).agg(
        n=_.count(),
        whole=whole.sum(),
        plain=_.value.nunique(where=whole),
        broken=(~whole).sum(),
        third=(~whole & third).sum(),
        others=(large | (~whole & ((size < 1) | more))).sum(),
        example=_.value.max(where=~whole),
    )
    found = found.filter(_.others == 0, _.broken > 0, _.n >= _LEAST, _.plain >= 5)
    # of numbers that are measured to three decimals, one in a thousand is whole, and nine in ten need the third
    found = found.filter(_.whole >= 0.01 * _.n, _.third >= 0.7 * _.broken).order_by(["place", "name"])
    for row in found.to_pandas().itertuples():
        told = f"{what} {_at(row)} is whole in {row.whole:,} of {row.n:,} rows and else has decimals as {row.example:g}"
        do = "a sign for thousands read as the decimal one? see decimal of the source"
        yield Finding("look", "thousands read as decimals", told, int(row.broken), do)


def _split(group: pd.DataFrame) -> tuple[tuple[str, str], float, float, int] | None:
    at, n, total = (group[name].to_numpy() for name in ("bin", "n", "total"))
    if len(at) < 2:
        return None
    cut = int(np.argmax(np.diff(at)))
    low_n, high_n = n[: cut + 1].sum(), n[cut + 1 :].sum()
    widths = max(at[cut] - at[0], at[-1] - at[cut + 1], 1)
    if min(low_n, high_n) < max(5, 0.02 * n.sum()) or at[cut + 1] - at[cut] < 2 * widths:
        return None
    low, high = total[: cut + 1].sum() / low_n, total[cut + 1 :].sum() / high_n
    for units, (factor, offset) in _CONVERSIONS.items():
        expected = factor * low + offset
        if abs(high - expected) <= 0.08 * abs(expected):
            return units, float(low), float(high), int(min(low_n, high_n))
    return None


def _declared(history: History, line: Line) -> Iterator[Finding]:
    """Tags of which the table of tags, or two sources, say different units."""
    if "tags" in history.versions:
        yield from _told_twice(history)
    said: dict[str, set[str]] = {}
    for source in line.sources:
        for pattern, unit in source.units.items():
            said.setdefault(pattern, set()).add(unit)
    for pattern, units in sorted(said.items()):
        if len(units) > 1 and not line.units:
            told = (
                f"sources give tags {pattern} in {' and '.join(sorted(units))}, and the line does not say which to keep"
            )
            yield Finding("look", "two units declared", told, len(units), "add [units] to line.toml")


def _told_twice(history: History) -> Iterator[Finding]:
    """Tags that have two units in the table of tags."""
    tags = history.tables["tags"].filter(_.unit.notnull()).group_by(["station", "tag"])
    several = tags.agg(n=_.unit.nunique(), one=_.unit.min(), other=_.unit.max()).filter(_.n > 1).to_pandas()
    for row in several.sort_values(["station", "tag"]).itertuples():
        told = f"tag {row.station}.{row.tag} is given in {row.one} and in {row.other} in the table of tags"
        yield Finding("look", "two units declared", told, int(row.n), "correct the table of tags")
