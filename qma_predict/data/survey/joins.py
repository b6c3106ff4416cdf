"""What fits together: inspected units and their process data, readings and visits, stations and the route."""

from collections.abc import Iterator

import ibis.expr.types as ir
import pandas as pd
from ibis import _

from qma_predict.data.lake import History, recorded_first
from qma_predict.data.results import at_gate
from qma_predict.data.survey.finding import Finding
from qma_predict.line import Line

_FEW = 0.9


def ends(history: History, line: Line) -> ir.Table:
    """When each unit first left the prediction station: unit_id, ended_at, recorded_at."""
    left = history.tables["visits"].filter(_.station == line.prediction.after, _.ended_at.notnull())
    return recorded_first(left, ["unit_id"]).select("unit_id", "ended_at", "recorded_at")


def results(history: History, line: Line) -> ir.Table:
    """Inspections that count at the gate."""
    return at_gate(history.tables["inspections"], line)


def unmatched(history: History) -> ir.Table:
    """Readings of machines during which no visit of the machine was under way."""
    readings = history.tables["readings"].filter(_.unit_id == "", _.machine != "")
    moments = readings.select("machine", "occurred_at").distinct()
    stays = history.tables["visits"].filter(_.ended_at.notnull()).select("machine", "started_at", "ended_at")
    inside = moments.semi_join(
        stays,
        [
            moments.machine == stays.machine,
            moments.occurred_at >= stays.started_at,
            moments.occurred_at <= stays.ended_at,
        ],
    )
    return readings.anti_join(inside, ["machine", "occurred_at"])


def coverage(history: History, line: Line) -> pd.DataFrame:
    """How many of one thing have another: what, of, matched."""
    tables = history.tables
    inspected = results(history, line).select("unit_id").distinct()
    of_units = tables["readings"].filter(_.unit_id != "")
    of_machines = tables["readings"].filter(_.unit_id == "", _.machine != "")
    machines = of_machines.count().execute()
    lots = tables["materials"].select("lot_id").distinct()
    units = tables["units"].select("unit_id").union(tables["visits"].select("unit_id")).distinct()
    visited = tables["visits"].select("unit_id").distinct()
    pairs = {
        f"inspected units that left {line.prediction.after}": (inspected, ends(history, line), "unit_id"),
        "inspected units with readings of their own": (inspected, of_units.select("unit_id").distinct(), "unit_id"),
        "units with a visit": (tables["units"].select("unit_id").distinct(), visited, "unit_id"),
        "units of readings with a visit": (of_units.select("unit_id").distinct(), visited, "unit_id"),
        "units of materials with a visit": (tables["materials"].select("unit_id").distinct(), visited, "unit_id"),
        "lots that are units themselves": (lots.rename(unit_id="lot_id"), units, "unit_id"),
    }
    rows = [[what, left.count().execute(), left.semi_join(right, key).count().execute()]
            for what, (left, right, key) in pairs.items()]  # fmt: skip
    matched = machines - unmatched(history).count().execute() if machines else 0
    rows.append(["readings of machines during a visit", machines, matched])
    found = pd.DataFrame(rows, columns=["what", "of", "matched"])
    return found[found["of"] > 0].reset_index(drop=True)


def findings(history: History, line: Line, found: pd.DataFrame) -> Iterator[Finding]:
    """What would leave the line without points, labels or features."""
    yield from _essentials(history, line)
    for row in found.itertuples():
        if row.what.startswith(("lots", "units with")) or row.matched >= _FEW * row.of:
            continue
        if "readings of their own" in row.what and "readings of machines during a visit" in set(found["what"]):
            continue
        missing = row.of - row.matched
        what = f"{row.what}: {row.matched:,} of {row.of:,}"
        yield Finding(
            "look", "few matches", what, missing, "compare the names, the zones and the period of the exports"
        )
    yield from _machines(history)


def _essentials(history: History, line: Line) -> Iterator[Finding]:
    visits, inspections = history.tables["visits"], history.tables["inspections"]
    stations = visits.group_by("station").agg(units=_.unit_id.nunique()).to_pandas().set_index("station")["units"]
    after = line.prediction.after
    seen = ", ".join(f"{name} ({count:,} units)" for name, count in stations.sort_values(ascending=False)[:10].items())
    if not ends(history, line).count().execute():
        what = f"no unit leaves {after}, the prediction station; stations seen: {seen or 'none'}"
        yield Finding("blocks", "no prediction points", what, 0, "set prediction.after, or mend the source of visits")
    gates = inspections.group_by(["gate", "characteristic"]).agg(units=_.unit_id.nunique()).to_pandas()
    told = ", ".join(f"{row.gate}/{row.characteristic} ({row.units:,} units)" for row in gates.head(10).itertuples())
    here = set(gates.loc[gates["gate"] == line.gate.name, "characteristic"])
    if not here:
        what = f"gate {line.gate.name} never occurs; seen: {told or 'no inspections'}"
        yield Finding("blocks", "gate never occurs", what, 0, "set gate.name, or mend the source of inspections")
    else:
        for name in sorted(set(line.gate.characteristics) - here):
            what = f"characteristic {name} never occurs at gate {line.gate.name}; seen: {told}"
            do = "set gate.characteristics: a unit counts as good only if all of them passed"
            yield Finding("blocks", "characteristic never occurs", what, 0, do)
    for name in [one for one in line.route if one not in stations.index and one != after]:
        yield Finding("look", "station never visited", f"station {name} of the route has no visit", 0, "check route")
    known = {*line.route, *line.candidates.leave_at}
    for name in [one for one in stations.index if one not in known]:
        what = f"station {name} is not on the route: {stations[name]:,} units"
        yield Finding("note", "station not on the route", what, int(stations[name]), "add it to route if it makes them")
    readings = history.tables["readings"].filter(_.station != "").group_by("station").agg(rows=_.count()).to_pandas()
    for row in readings[~readings["station"].isin(known | set(stations.index))].itertuples():
        what = f"readings of station {row.station}, which no unit visits and the route does not have: {row.rows:,} rows"
        yield Finding(
            "look", "station not on the route", what, row.rows, "check route, or normalise = { station = ... }"
        )


def _machines(history: History) -> Iterator[Finding]:
    visits = history.tables["visits"]
    known = visits.select("machine").distinct()
    for table in ("events", "readings"):
        names = history.tables[table].filter(_.machine != "").group_by("machine").agg(rows=_.count())
        strange = names.anti_join(known, "machine").order_by("machine").to_pandas()
        if len(strange) and visits.machine.notnull().any().execute():
            shown = ", ".join(strange["machine"].head(5))
            count = int(strange["rows"].sum())
            what = f"{table}: {len(strange):,} machines that no visit names, such as {shown} ({count:,} rows)"
            do = "check the names of machines, or normalise = { machine = ... }"
            yield Finding("look", "machine never visited", what, count, do)
