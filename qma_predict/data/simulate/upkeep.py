"""Upkeep of the machines: maintenance and what it leaves behind, tool changes, alarms."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from qma_predict.data.simulate.plant import MACHINE_NAMES, STATIONS
from qma_predict.data.simulate.randomness import DAY, HOUR, delay, one_in, spread_uniform, stream

TOOL_LIFE = 280
"""Planned number of units a milling tool makes, about which the actual numbers vary."""

TEXTS = {
    "tool_change": ("planned change", "insert set renewed", "tool changed by shift"),
    "maintenance": ("filters and hoses", "spray heads cleaned", "lubrication and check", "seals renewed"),
    "alarm": ("temperature out of band", "pressure out of band", "cycle interrupted", "door contact"),
}


@dataclass(frozen=True)
class Upkeep:
    """Maintenance of all machines, in order of time; all times are UTC seconds.

    Attributes
    ----------
    machine : numpy.ndarray of int
        Position in `MACHINE_NAMES`.
    began, ended : numpy.ndarray of int64
        The machine stands still from `began` to `ended` [s].
    drift_ended : numpy.ndarray of int64
        Until when the die is unbalanced after it [s]; equal to `ended` where nothing went wrong.
    drift_size : numpy.ndarray of float
        Size of the imbalance once it is fully developed; 0 where nothing went wrong.
    """

    machine: np.ndarray
    began: np.ndarray
    ended: np.ndarray
    drift_ended: np.ndarray
    drift_size: np.ndarray


def plan_maintenance(seed: int, first: int, last: int) -> Upkeep:
    """Return the maintenance between two moments [UTC s], and which of it leaves a die unbalanced."""
    rng = stream(seed, "maintenance")
    machine, began = [], []
    for station in STATIONS:
        for name in station.machines:
            most = int((last - first) / DAY / station.service_days) + 2
            gaps = station.service_days * DAY * rng.uniform(0.85, 1.15, most)
            at = first + (np.cumsum(gaps) - gaps[0] * rng.uniform(0.1, 0.9)).astype(np.int64)
            at = at[at < last]
            machine.append(np.full(at.size, MACHINE_NAMES.index(name)))
            began.append(at)
    order = np.argsort(np.concatenate(began), kind="stable")
    machines, starts = np.concatenate(machine)[order], np.concatenate(began)[order]
    ends = starts + (rng.uniform(1.0, 2.0, starts.size) * HOUR).astype(np.int64)
    drifts = np.zeros(starts.size, dtype=bool)
    casting = np.flatnonzero(np.char.startswith(np.array(MACHINE_NAMES)[machines], "DCM"))
    drifts[casting] = one_in(rng, casting.size, 3)
    sizes = np.zeros(starts.size)
    sizes[drifts] = 0.9 + 0.7 * spread_uniform(rng, int(drifts.sum()))
    lasts = (rng.uniform(24.0, 36.0, starts.size) * HOUR).astype(np.int64)
    return Upkeep(
        machine=machines,
        began=starts,
        ended=ends,
        drift_ended=np.where(drifts, ends + lasts, ends),
        drift_size=sizes,
    )


def use_tools(seed: int, machine: np.ndarray, started: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the hidden wear of the milling tool at every unit, and the tool changes.

    Parameters
    ----------
    seed : int
    machine : numpy.ndarray, shape (units,)
        Milling machine of every unit, 0 upwards.
    started : numpy.ndarray, shape (units,), int64
        When milling began [UTC s].

    Returns
    -------
    wear : numpy.ndarray, shape (units,), float32
        Wear of the tool; 1 is that of a usual tool at its planned change.
    changes : pandas.DataFrame
        Columns `machine` (0 upwards) and `at` [UTC s].
    """
    rng = stream(seed, "tools")
    tool = np.zeros(machine.size, dtype=np.int64)
    used = np.zeros(machine.size, dtype=np.int64)
    tools = 0
    changes = []
    for number in np.unique(machine):
        rows = np.flatnonzero(machine == number)
        rows = rows[np.argsort(started[rows], kind="stable")]
        shortest, longest = round(TOOL_LIFE * 0.85), round(TOOL_LIFE * 1.15)
        lives = rng.integers(shortest, longest, rows.size // shortest + 2)
        ends = np.cumsum(lives)
        place = np.arange(rows.size) + rng.integers(0, lives[0])
        which = np.searchsorted(ends, place, side="right")
        tool[rows] = tools + which
        used[rows] = place - (ends - lives)[which]
        new = np.flatnonzero(np.diff(which)) + 1
        changes.append(pd.DataFrame({"machine": number, "at": started[rows[new]] - 1}))
        tools += int(which.max()) + 1
    rate = np.exp(0.32 * ndtri(spread_uniform(rng, tools)))
    return (rate[tool] * used / TOOL_LIFE).astype(np.float32), pd.concat(changes, ignore_index=True)


def raise_alarms(seed: int, upkeep: Upkeep, first: int, last: int) -> pd.DataFrame:
    """Return alarms: most for no reason, some while a die is unbalanced.

    Returns
    -------
    pandas.DataFrame
        Columns `machine` (position in `MACHINE_NAMES`) and `at` [UTC s], in order of time.
    """
    rng = stream(seed, "alarms")
    rates = np.array([station.alarms for station in STATIONS for _ in station.machines])
    machine = np.repeat(np.arange(rates.size), rng.poisson(rates * (last - first) / DAY))
    at = rng.integers(first, last, machine.size)
    drift = np.repeat(np.arange(upkeep.began.size), rng.poisson(np.where(upkeep.drift_size > 0, 1.5, 0.0)))
    within = rng.random(drift.size) * (upkeep.drift_ended - upkeep.ended)[drift]
    alarms = pd.DataFrame(
        {
            "machine": np.concatenate([machine, upkeep.machine[drift]]),
            "at": np.concatenate([at, upkeep.ended[drift] + within.astype(np.int64)]),
        }
    )
    return alarms.drop_duplicates().sort_values(["at", "machine"], ignore_index=True)


def list_events(seed: int, happened: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what the maintenance system shows: machine, kind, occurred [UTC s], recorded [UTC s], text.

    Parameters
    ----------
    seed : int
    happened : dict of str to pandas.DataFrame
        For each kind the columns `machine` (position in `MACHINE_NAMES`), `at` and `until` [UTC s].
    """
    parts = []
    for kind, rows in happened.items():
        rng = stream(seed, f"events/{kind}")
        wait = delay(rng, len(rows), typical=600.0, late_share=0.03)
        parts.append(
            pd.DataFrame(
                {
                    "machine": np.array(MACHINE_NAMES)[rows["machine"].to_numpy()],
                    "kind": kind,
                    "occurred": rows["at"].to_numpy(),
                    "recorded": rows["until"].to_numpy() + wait,
                    "text": np.array(TEXTS[kind])[rng.integers(0, len(TEXTS[kind]), len(rows))],
                }
            )
        )
    events = pd.concat(parts, ignore_index=True)
    return events.sort_values(["recorded", "machine", "kind"], ignore_index=True)
