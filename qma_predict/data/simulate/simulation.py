"""The simulated plant as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pandas as pd

from qma_predict.data.simulate import lots as ingots
from qma_predict.data.simulate import mechanisms, quality, records, upkeep
from qma_predict.data.simulate.catalogue import list_set_points
from qma_predict.data.simulate.flow import Flow, day_edges, make_units
from qma_predict.data.simulate.plant import STATIONS, machines_before
from qma_predict.data.simulate.readings import stored_by_day
from qma_predict.data.simulate.signals import Signals, measure


@dataclass(frozen=True)
class Plant:
    """A simulated plant: what its systems recorded, and the truth that nobody there knows.

    All times are UTC. The tables hold the rows as they were recorded, corrections and duplicates included.

    Attributes
    ----------
    units, visits, tags, materials, events, inspections : pandas.DataFrame
        Tables of the plant in the words of the program.
    truth : pandas.DataFrame
        A row a unit: `unit_id`, `probability` of a defect given everything settled when the unit left the
        last process station, `defect`, `leak`, `dimension` (true states), `mechanism` (the one with the
        largest probability) and for every mechanism ``p_<mechanism>``.
    signals : tuple of Signals
        The readings in wide form, one for every process station; see `readings` for rows.
    flow : Flow
        The true way of the units, in wide form.
    seed : int
    start : datetime.date
        First production day.
    """

    units: pd.DataFrame
    visits: pd.DataFrame
    tags: pd.DataFrame
    materials: pd.DataFrame
    events: pd.DataFrame
    inspections: pd.DataFrame
    truth: pd.DataFrame
    signals: tuple[Signals, ...]
    flow: Flow
    seed: int
    start: date

    def readings(self) -> Iterator[tuple[date, pd.DataFrame]]:
        """Yield (local day, readings stored on that day); all days together are the table `readings`."""
        ids = pd.Index(self.truth["unit_id"])
        return stored_by_day(self.seed, self.flow, ids, self.signals, self.start)


def simulate(*, days: int = 120, units_per_day: int = 750, seed: int = 7, start: str = "2025-09-01") -> Plant:
    """Return a simulated die-casting plant in which the true defect probability of every unit is known.

    Parameters
    ----------
    days : int
        Production days. Inspection and shipping go on after the last one until every unit has left.
    units_per_day : int
        Units of a mean day; weekdays have more, weekends fewer.
    seed : int
        The same seed gives the same plant.
    start : str
        First production day, local date ``YYYY-MM-DD`` in Europe/Berlin.

    Returns
    -------
    Plant

    Raises
    ------
    ValueError
        If `days` or `units_per_day` is below 1.

    Examples
    --------
    >>> from qma_predict.data.simulate import simulate
    >>> plant = simulate(days=3, units_per_day=100)
    >>> plant.truth[["probability", "defect"]].shape[1], plant.units["unit_id"].iloc[0]
    (2, 'P25-0000001')
    """
    if days < 1 or units_per_day < 1:
        raise ValueError(f"days and units_per_day must be at least 1, found {days} and {units_per_day}")
    edges = day_edges(start, days)
    first, last = int(edges[0]), int(edges[-1])
    maintenance = upkeep.plan_maintenance(seed, first, last)
    flow = make_units(seed, days=days, units_per_day=units_per_day, start=start, upkeep=maintenance)
    place = {station.name: number for number, station in enumerate(STATIONS)}
    lots = ingots.charge_lots(seed, flow.machine[:, place["melt"]], flow.started[:, place["melt"]])
    wear, changes = upkeep.use_tools(seed, flow.machine[:, place["mill"]], flow.started[:, place["mill"]])
    states = mechanisms.hidden_states(seed, flow, maintenance, lots, wear)
    truth = mechanisms.draw_truth(seed, mechanisms.defect_probabilities(states, flow.product))
    alarms = upkeep.raise_alarms(seed, maintenance, first, last)
    outcome, results = quality.inspect(seed, flow, truth, alarms)
    set_points = list_set_points(seed, first, last)
    ids = records.name_units(start, flow.start.size)
    truth.insert(0, "unit_id", ids)
    return Plant(
        units=records.record_units(seed, ids, flow),
        visits=records.record_visits(seed, ids, flow, outcome),
        tags=set_points.assign(valid_from=records.instants(set_points["valid_from"].to_numpy())),
        materials=records.record_materials(seed, ids, flow, lots),
        events=_events(seed, maintenance, changes, alarms),
        inspections=records.record_inspections(ids, outcome, results),
        truth=truth,
        signals=tuple(measure(seed, station, flow, states, set_points) for station in STATIONS),
        flow=flow,
        seed=seed,
        start=date.fromisoformat(start),
    )


def _events(seed: int, maintenance: upkeep.Upkeep, changes: pd.DataFrame, alarms: pd.DataFrame) -> pd.DataFrame:
    mills = changes["machine"] + machines_before("mill")
    served = {"machine": maintenance.machine, "at": maintenance.began, "until": maintenance.ended}
    events = upkeep.list_events(
        seed,
        {
            "tool_change": changes.assign(machine=mills, until=changes["at"]),
            "maintenance": pd.DataFrame(served),
            "alarm": alarms.assign(until=alarms["at"]),
        },
    )
    columns = {"occurred": "occurred_at", "recorded": "recorded_at"}
    for name in columns:
        events[name] = records.instants(events[name].to_numpy())
    return events.rename(columns=columns)
