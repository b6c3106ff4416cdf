"""How units flow through the plant: when they start, on which machines they are made, and when."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.data.simulate.plant import PRODUCTS, STATIONS, ZONE, Station, machines_before
from qma_predict.data.simulate.randomness import DAY, from_choices, stream
from qma_predict.data.simulate.upkeep import Upkeep

WEEK = (1.10, 1.12, 1.12, 1.10, 1.08, 0.80, 0.68)
"""Units of Monday to Sunday, against the mean day."""

SHIFT_HOURS = (0.0, 6.0, 14.0, 22.0, 24.0)
SHIFT_PACE = (0.85, 1.08, 1.06, 0.85)
ORDER_SIZES = (40, 120)


@dataclass(frozen=True)
class Flow:
    """The way of all units through the process stations; rows are units, in order of their start.

    Attributes
    ----------
    day : numpy.ndarray, shape (units,)
        Production day, 0 upwards.
    start : numpy.ndarray, shape (units,), int64
        When the unit's order was started for it [UTC s].
    product : numpy.ndarray, shape (units,)
        Position in `PRODUCTS`.
    order_no : numpy.ndarray of str, shape (units,)
    machine : numpy.ndarray, shape (units, stations)
        Machine at every process station, 0 upwards.
    started, ended : numpy.ndarray, shape (units, stations), int64
        Stay at every process station [UTC s].
    """

    day: np.ndarray
    start: np.ndarray
    product: np.ndarray
    order_no: np.ndarray
    machine: np.ndarray
    started: np.ndarray
    ended: np.ndarray


def day_edges(start: str, days: int) -> np.ndarray:
    """Return the local midnights that enclose the production days [UTC s], shape (days + 1,).

    Examples
    --------
    The day on which summer time ends has 25 hours:

    >>> from qma_predict.data.simulate.flow import day_edges
    >>> [int(hours) for hours in (day_edges("2025-10-25", 3)[1:] - day_edges("2025-10-25", 3)[:-1]) // 3600]
    [24, 25, 24]
    """
    midnights = pd.date_range(start, periods=days + 1, freq="D", tz=ZONE)
    return midnights.as_unit("s").asi8


def start_units(seed: int, edges: np.ndarray, units_per_day: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the production day and the start [UTC s] of every unit, in order of the start."""
    rng = stream(seed, "starts")
    weekday = pd.to_datetime(edges[:-1], unit="s", utc=True).tz_convert(ZONE).day_of_week
    counts = np.rint(units_per_day * np.array(WEEK)[weekday] * rng.uniform(0.94, 1.06, weekday.size))
    counts = np.maximum(counts, 1).astype(np.int64)
    day = np.repeat(np.arange(counts.size), counts)
    place = np.arange(day.size) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (place + rng.random(day.size)) / counts[day]
    made = np.cumsum(np.diff(SHIFT_HOURS) * np.array(SHIFT_PACE))
    within = np.interp(share, np.concatenate([[0.0], made / made[-1]]), np.array(SHIFT_HOURS) / 24.0)
    start = edges[day] + (within * np.diff(edges)[day]).astype(np.int64)
    return day, start


def plan_orders(seed: int, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the product (position in `PRODUCTS`) and order number of every unit.

    An order is one product made on one casting cell, whose die fits that product.
    """
    rng = stream(seed, "orders")
    product = np.zeros(cell.size, dtype=np.int64)
    order_no = np.empty(cell.size, dtype=np.int64)
    for number in np.unique(cell):
        rows = np.flatnonzero(cell == number)
        sizes = rng.integers(*ORDER_SIZES, rows.size // ORDER_SIZES[0] + 1)
        order = np.searchsorted(np.cumsum(sizes), np.arange(rows.size), side="right")
        shares = tuple(item.share for item in PRODUCTS)
        product[rows] = from_choices(rng, sizes.size, shares)[order]
        order_no[rows] = (number + 1) * 1_000_000 + order + 1
    return product, order_no.astype(str)


def queue(arrived: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """Return when each unit begins on a machine that treats one unit at a time, first come first served.

    Parameters
    ----------
    arrived : numpy.ndarray, shape (units,), int64
        Arrivals [s], ascending.
    stay : numpy.ndarray, shape (units,), int64
        Treatment times [s].

    Examples
    --------
    >>> import numpy as np
    >>> from qma_predict.data.simulate.flow import queue
    >>> queue(np.array([0, 5, 100]), np.array([20, 20, 20])).tolist()
    [0, 20, 100]
    """
    before = np.cumsum(stay) - stay
    return before + np.maximum.accumulate(arrived - before)


def _through_station(
    rng: np.random.Generator,
    station: Station,
    ready: np.ndarray,
    machine: np.ndarray,
    upkeep: Upkeep,
    pace: float,
) -> tuple[np.ndarray, np.ndarray]:
    arrived = ready + 30 + (rng.exponential(station.wait * 60, ready.size)).astype(np.int64)
    usual = station.minutes * 60
    if station.one_at_a_time:
        usual = min(usual, 0.75 * pace * len(station.machines))
    stay = np.maximum(usual * rng.normal(1.0, 0.06, ready.size).clip(0.7, 1.3), 3).astype(np.int64)
    started = arrived.copy()
    for number in range(len(station.machines)):
        rows = np.flatnonzero(machine == number)
        stops = np.flatnonzero(upkeep.machine == machines_before(station.name) + number)
        for begin, end in zip(upkeep.began[stops], upkeep.ended[stops], strict=True):
            waits = rows[(arrived[rows] >= begin) & (arrived[rows] < end)]
            arrived[waits] = end
        rows = rows[np.argsort(arrived[rows], kind="stable")]
        started[rows] = queue(arrived[rows], stay[rows]) if station.one_at_a_time else arrived[rows]
    return started, started + stay


def make_units(seed: int, *, days: int, units_per_day: int, start: str, upkeep: Upkeep) -> Flow:
    """Return the way of all units through the process stations.

    Parameters
    ----------
    seed : int
    days, units_per_day : int
        Production days, and units of a mean day.
    start : str
        First production day, local date ``YYYY-MM-DD``.
    upkeep : Upkeep
        A machine takes no unit while it is maintained.
    """
    day, begin = start_units(seed, day_edges(start, days), units_per_day)
    shape = (begin.size, len(STATIONS))
    machine = np.zeros(shape, dtype=np.int64)
    started, ended = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    ready = begin
    for place, station in enumerate(STATIONS):
        rng = stream(seed, f"flow/{station.name}")
        machine[:, place] = rng.integers(0, len(station.machines), begin.size)
        started[:, place], ended[:, place] = _through_station(
            rng, station, ready, machine[:, place], upkeep, DAY / units_per_day
        )
        ready = ended[:, place]
    casting = [station.name for station in STATIONS].index("cast")
    product, order_no = plan_orders(seed, machine[:, casting])
    return Flow(day, begin, product, order_no, machine, started, ended)
