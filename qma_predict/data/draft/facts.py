"""What the line is, as far as its files tell: route, prediction station, gate, and how long things take."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from qma_predict.data.draft.columns import Column
from qma_predict.data.draft.placing import Placed

_LEAVING = re.compile(r"ship|scrap|versand|ausschuss|dispatch|schrott|lager|warehouse|delivered", re.IGNORECASE)
_STORES = re.compile(r"buffer|puffer|queue|wait|storage|store|rack|fifo", re.IGNORECASE)
_FINAL = re.compile(r"final|end|eol|last|out", re.IGNORECASE)
_GERMAN = re.compile(r"zeit|datum|wert|auftrag|pruef|prüf|ergebnis|seriennummer|maschine|anlage|charge|merkmal")


@dataclass(frozen=True)
class Facts:
    """What a line.toml wants to know beyond its sources; `why` and `checks` are told beside each."""

    route: tuple[str, ...]
    after: str
    gate: str
    characteristics: tuple[str, ...]
    timezone: str
    leave_at: tuple[str, ...] = ()
    maturity_days: int = 5
    max_age_days: int = 3
    capacity: int = 10
    told: dict[str, str] = field(default_factory=dict)


def facts(placed: Iterable[Placed]) -> Facts:
    """Facts of a line from samples of its files; what they do not tell is a usual value, and told as such."""
    sources = list(placed)
    visits, results = _sample(sources, "visits"), _sample(sources, "inspections")
    told: dict[str, str] = {}
    gate, characteristics = _gate(results, told)
    first = results[results["gate"] == gate].groupby("unit_id")["occurred_at"].min()
    route, leave_at = _route(visits, gate, told)
    after = _after(visits, first, route)
    gone = visits[visits["station"] == after].groupby("unit_id")["ended_at"].max()
    days = (first - gone.reindex(first.index)).dropna().dt.total_seconds() / 86400
    late = float(days.quantile(0.95)) if len(days) else 0.0
    if len(days):
        told["maturity"] = f"95 % of the results come within {late:.1f} d of the end at {after}"
        if late <= 0:
            told["maturity"] += "; they bear the time of the stay itself: give the inspections a shift"
    return Facts(
        route=route,
        after=after,
        gate=gate,
        characteristics=characteristics,
        timezone=_zone(sources, told),
        leave_at=leave_at,
        maturity_days=max(2, round(late + 2)),
        max_age_days=max(2, round(late + 1)),
        capacity=_capacity(visits, told),
        told=told,
    )


def _sample(sources: Iterable[Placed], table: str) -> pd.DataFrame:
    """Sampled rows of a table under our names, its times local and without a zone."""
    wanted = {
        "visits": ["unit_id", "station", "machine", "started_at", "ended_at"],
        "inspections": ["unit_id", "gate", "characteristic", "occurred_at"],
    }[table]
    frames = []
    for one in sources:
        if one.table != table:
            continue
        frame = pd.DataFrame(index=one.look.rows.index)
        for name in wanted:
            theirs = one.columns.get(name)
            if theirs is None:
                constant = one.constants.get(name)
                frame[name] = pd.NaT if name.endswith("_at") else pd.Series(constant, frame.index, dtype="str")
            elif isinstance(theirs, str):
                column = Column(theirs, one.look.rows[theirs])
                frame[name] = (
                    column.moments.reindex(frame.index) if name.endswith("_at") else column.texts.reindex(frame.index)
                )
        frames.append(frame.reindex(columns=wanted))
    kinds = {name: "datetime64[us]" if name.endswith("_at") else "str" for name in wanted}
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    return pd.concat([frame.astype(kinds) for frame in frames], ignore_index=True)


def _gate(results: pd.DataFrame, told: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    if results.empty:
        told["gate"] = "no inspections were found; without them nothing can be learned"
        return "final", ("result",)
    gates = results.groupby("gate")["unit_id"].nunique().sort_values(ascending=False)
    final = [gate for gate in gates.index if _FINAL.search(gate)]
    gate = final[0] if final else str(gates.index[0])
    counts = results[results["gate"] == gate].groupby("characteristic")["unit_id"].nunique()
    chosen = tuple(map(str, counts[counts >= 0.5 * counts.max()].sort_values(ascending=False).index[:12]))
    seen = ", ".join(f"{name} ({count:,} units)" for name, count in gates.head(6).items())
    told["gate"] = f"gates seen: {seen}; characteristics of {gate}: " + ", ".join(
        f"{name} ({count:,})" for name, count in counts.sort_values(ascending=False).head(12).items()
    )
    return gate, tuple(sorted(chosen))


def _route(visits: pd.DataFrame, gate: str, told: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Stations in the order in which units come to them, those without a machine where others have some left out."""
    visits = visits.dropna(subset=["unit_id", "station"])
    if visits.empty:
        told["route"] = "no visits were found; without them no unit has a prediction point"
        return ("line",), ()
    units = visits.groupby("station")["unit_id"].nunique()
    machines = visits.groupby("station")["machine"].count()
    rank = visits.assign(rank=visits.groupby("unit_id")["started_at"].rank()).groupby("station")["rank"].mean()
    overall = visits.groupby("station")["started_at"].median()
    ordered = sorted(units.index, key=lambda name: (rank[name], overall[name]))
    if rank.nunique() == 1:  # no unit was seen at two stations
        ordered = sorted(units.index, key=lambda name: overall[name])
    leaving = [name for name in ordered if _LEAVING.search(name)]
    bare = [name for name in ordered if (machines.max() > 0 and machines[name] == 0) or _STORES.search(name)]
    stays = (visits["ended_at"] - visits["started_at"]).groupby(visits["station"]).median()
    inspecting = [name for name in ordered if name == gate and stays[name] > pd.Timedelta(0)]
    route = [name for name in ordered if name not in leaving and name not in bare and name not in inspecting]
    route = route or ordered
    told["route"] = "stations in the order in which units come to them: " + ", ".join(
        f"{name} ({units[name]:,} units)" for name in ordered
    )
    if aside := [name for name in bare if name not in leaving and name not in route]:
        told["route"] += f"; left out because they name no machine or are stores: {', '.join(aside)}"
    return tuple(map(str, route)), tuple(str(name) for name in leaving if name not in route)


def _after(visits: pd.DataFrame, first: pd.Series, route: tuple[str, ...]) -> str:
    """Last station of the route that most of the inspected units came to before their result."""
    for station in reversed(route):
        came = visits[visits["station"] == station].groupby("unit_id")["started_at"].min()
        both = came.index.intersection(first.index)
        if len(both) and len(both) >= 0.2 * min(len(came), len(first)) and (came[both] <= first[both]).mean() > 0.5:
            return station
    return route[-1]


def _capacity(visits: pd.DataFrame, told: dict[str, str]) -> int:
    days = visits.groupby(visits["started_at"].dt.date)["unit_id"].nunique() if len(visits) else pd.Series(dtype=float)
    usual = float(days.median()) if len(days) else 0.0
    if usual:
        told["capacity"] = f"about {usual:,.0f} units a day were seen; a twentieth of them"
    return max(1, round(usual / 20)) if usual else 10


def _zone(sources: Iterable[Placed], told: dict[str, str]) -> str:
    """The zone of German files, or UTC: the files do not say it."""
    for one in sources:
        names = " ".join(map(str, one.look.rows)).lower()
        if one.decimal == "," or "%d." in one.time_format or _GERMAN.search(names):
            told["timezone"] = "guessed from the German way of writing in some files"
            return "Europe/Berlin"
    told["timezone"] = "nothing in the files tells the zone of local times"
    return "UTC"
