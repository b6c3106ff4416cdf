"""What the sensors see: one wide array a station, with noise, drift and silent gateways."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.data.simulate.catalogue import TAGS, Tag, set_points_of
from qma_predict.data.simulate.flow import Flow
from qma_predict.data.simulate.plant import STATIONS, Station
from qma_predict.data.simulate.randomness import DAY, HOUR, ar1, stream

LOST_SHARE = 0.004
"""Share of readings that are lost one by one."""

OUTAGE_DAYS = 9.0
OUTAGE_HOURS = (1.0, 5.0)
OUTAGE_BUFFERED = 0.4
"""Mean time between two outages of a gateway [d], their length [h], and the share in which the gateway
keeps its readings and sends them afterwards; in the others they are lost."""

FACTORS = (12.0, 60.0, 400.0)
"""Correlation times of what all tags of a machine have in common, in units of the machine."""

NOISE = {"offset": 0.3, "own": 0.35, "slow": 0.25, "white": 0.35, "cycle": 0.2, "tilt": 0.35, "within": 0.3}
"""Parts of a value that have nothing to do with defects, in scales of the tag."""


SHARES = {1: (0.5,), 3: (0.0, 0.5, 1.0)}
"""When in the visit a tag is read, by its number of readings: 0 at the start, 1 at the end."""


@dataclass(frozen=True)
class Signals:
    """The readings of all units at one station.

    Attributes
    ----------
    station : str
    tags : tuple of str
        Tag of every column; a tag with three readings has three columns.
    share : numpy.ndarray, shape (columns,)
        When in the visit the column is read: 0 at its start, 1 at its end.
    scale : numpy.ndarray, shape (columns,)
        Usual spread [unit of the tag].
    values : numpy.ndarray, shape (units, columns), float32
        Values [unit of the tag]; NaN where the reading is lost.
    held_until : numpy.ndarray, shape (units,), int64
        Until when a silent gateway held the readings back [UTC s]; 0 where it did not.
    """

    station: str
    tags: tuple[str, ...]
    share: np.ndarray
    scale: np.ndarray
    values: np.ndarray
    held_until: np.ndarray


def _common(rng: np.random.Generator, tags: int, units: int) -> np.ndarray:
    loadings = rng.normal(0.0, 0.35, (len(FACTORS), tags)) * (rng.random((len(FACTORS), tags)) < 0.6)
    factors = np.stack([ar1(rng, units, memory) for memory in FACTORS], axis=1)
    return factors @ loadings.astype(np.float32)


def _felt(effects: Mapping[str, float], states: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    felt = np.zeros(rows.size, dtype=np.float32)
    for name, effect in effects.items():
        felt += effect * states[name][rows]
    return felt


def _tag_values(
    rng: np.random.Generator, tag: Tag, states: dict[str, np.ndarray], rows: np.ndarray, at: np.ndarray
) -> np.ndarray:
    size = rows.size
    level = NOISE["offset"] * rng.standard_normal() + NOISE["own"] * ar1(rng, size, rng.uniform(3, 30))
    level += NOISE["slow"] * ar1(rng, size, 3000.0) + _felt(tag.level, states, rows)
    level += NOISE["cycle"] * rng.random() * np.sin(2 * np.pi * (at / DAY + rng.random()))
    level += NOISE["white"] * rng.standard_normal(size, dtype=np.float32)
    if tag.readings == 1:
        return level[:, None].astype(np.float32)
    place = np.array(SHARES[tag.readings]) - 0.5
    tilt = NOISE["tilt"] * rng.standard_normal(size) + _felt(tag.slope, states, rows)
    width = NOISE["within"] * (1.0 + _felt(tag.spread, states, rows))
    within = rng.standard_normal((size, tag.readings)) * width[:, None]
    return (level[:, None] + tilt[:, None] * place + within).astype(np.float32)


def _outages(
    rng: np.random.Generator, started: np.ndarray, machine: np.ndarray, machines: int
) -> tuple[np.ndarray, np.ndarray]:
    lost, held_until = np.zeros(started.size, dtype=bool), np.zeros(started.size, dtype=np.int64)
    first, last = int(started.min()), int(started.max()) + 1
    for number in range(machines):
        for begin in rng.integers(first, last, rng.poisson((last - first) / DAY / OUTAGE_DAYS)):
            end = begin + int(rng.uniform(*OUTAGE_HOURS) * HOUR)
            silent = (machine == number) & (started >= begin) & (started < end)
            if rng.random() < OUTAGE_BUFFERED:
                held_until[silent] = np.maximum(held_until[silent], end)
            else:
                lost |= silent
    return lost, held_until


def measure(
    seed: int, station: Station, flow: Flow, states: dict[str, np.ndarray], set_points: pd.DataFrame
) -> Signals:
    """Return the readings of all units at one station.

    Parameters
    ----------
    seed : int
    station : Station
    flow : Flow
    states : dict of str to numpy.ndarray, shape (units,)
        Hidden states of the plant.
    set_points : pandas.DataFrame
        See `qma_predict.data.simulate.catalogue.list_set_points`.
    """
    rng = stream(seed, f"signals/{station.name}")
    place, tags = STATIONS.index(station), TAGS[station.name]
    started, machine = flow.started[:, place], flow.machine[:, place]
    columns = np.cumsum([0, *(tag.readings for tag in tags)])
    blocks = [slice(*edges) for edges in itertools.pairwise(columns)]
    values = np.empty((started.size, columns[-1]), dtype=np.float32)
    for number in range(len(station.machines)):
        rows = np.flatnonzero(machine == number)
        rows = rows[np.argsort(started[rows], kind="stable")]
        common = _common(rng, len(tags), rows.size)
        for which, (tag, block) in enumerate(zip(tags, blocks, strict=True)):
            values[rows, block] = _tag_values(rng, tag, states, rows, started[rows]) + common[:, [which]]
    for tag, block in zip(tags, blocks, strict=True):
        target = set_points_of(set_points, station.name, tag.name, flow.product, started)
        values[:, block] = target[:, None] + tag.scale * values[:, block]
    lost, held_until = _outages(rng, started, machine, len(station.machines))
    values[lost] = np.nan
    values[rng.random(values.shape, dtype=np.float32) < LOST_SHARE] = np.nan
    return Signals(
        station=station.name,
        tags=tuple(tag.name for tag in tags for _ in range(tag.readings)),
        share=np.concatenate([SHARES[tag.readings] for tag in tags]),
        scale=np.concatenate([np.full(tag.readings, tag.scale) for tag in tags]),
        values=values,
        held_until=held_until,
    )
