"""Inspection at the gate, what it finds, and how units leave the plant."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.data.simulate.flow import Flow
from qma_predict.data.simulate.plant import PRODUCTS, STATIONS, SUSPICION, machines_before
from qma_predict.data.simulate.randomness import DAY, HOUR, stream

MISSED, FALSE_ALARM = 0.04, 0.002
"""Chance that an inspected characteristic is passed though defect, and that it fails though good."""

CORRECTED_OK, CORRECTED_NOK = 0.0015, 0.04
"""Share of passes that were first booked as a failure, and of failures first booked as a pass."""

EXPORTED_TWICE = 0.005
ALARM_WINDOW = 900
"""An alarm so long before or after the unit's stay on the machine raises suspicion [s]."""

CODES = {"leak": ("L10", "L20"), "dimension": ("D10", "D30")}
MINUTES_AFTER = {"leak": 4, "dimension": 9}
LEAK_LIMIT = 3.0
"""Largest leak rate that passes [ml/min]."""

BORE_TOLERANCE = 0.03
"""Largest deviation of the bore from nominal that passes [mm]."""


@dataclass(frozen=True)
class Outcome:
    """How every unit left the plant; times are UTC seconds, -1 where there is none.

    Attributes
    ----------
    buffer_started : numpy.ndarray, shape (units,), int64
    reason : numpy.ndarray of str, shape (units,)
        Why the unit was selected: ``sampling``, ``suspicion``, or empty where it was not.
    chance : numpy.ndarray, shape (units,)
        Probability with which it was selected.
    bench : numpy.ndarray, shape (units,)
        Bench of the gate, 0 upwards.
    final_started, final_ended : numpy.ndarray, shape (units,), int64
        Stay at the gate.
    left : numpy.ndarray, shape (units,), int64
        When the unit was shipped or scrapped.
    scrapped : numpy.ndarray of bool, shape (units,)
    """

    buffer_started: np.ndarray
    reason: np.ndarray
    chance: np.ndarray
    bench: np.ndarray
    final_started: np.ndarray
    final_ended: np.ndarray
    left: np.ndarray
    scrapped: np.ndarray


def near_alarm(flow: Flow, alarms: pd.DataFrame) -> np.ndarray:
    """Return whether an alarm was raised near the unit's casting or milling, shape (units,)."""
    near = np.zeros(flow.start.size, dtype=bool)
    for name in ("cast", "mill"):
        place = [station.name for station in STATIONS].index(name)
        for number in range(len(STATIONS[place].machines)):
            machine = machines_before(name) + number
            at = np.sort(alarms.loc[alarms["machine"] == machine, "at"].to_numpy())
            rows = np.flatnonzero(flow.machine[:, place] == number)
            before = np.searchsorted(at, flow.started[rows, place] - ALARM_WINDOW)
            after = np.searchsorted(at, flow.ended[rows, place] + ALARM_WINDOW, side="right")
            near[rows] |= after > before
    return near


def _measured(rng: np.random.Generator, name: str, passed: np.ndarray, nominal: np.ndarray) -> pd.DataFrame:
    size = passed.size
    if name == "leak":
        good = LEAK_LIMIT * rng.beta(2.0, 5.0, size)
        bad = LEAK_LIMIT * (1.05 + rng.exponential(0.8, size))
        return pd.DataFrame({"measured": np.where(passed, good, bad).round(2), "lower": np.nan, "upper": LEAK_LIMIT})
    good = BORE_TOLERANCE * np.clip(rng.normal(0.0, 0.3, size), -0.95, 0.95)
    bad = BORE_TOLERANCE * (1.05 + rng.exponential(0.5, size)) * np.where(rng.random(size) < 0.75, 1, -1)
    return pd.DataFrame(
        {
            "measured": (nominal + np.where(passed, good, bad)).round(4),
            "lower": (nominal - BORE_TOLERANCE).round(4),
            "upper": (nominal + BORE_TOLERANCE).round(4),
        }
    )


def _book(rng: np.random.Generator, name: str, units: pd.DataFrame, nominal: np.ndarray) -> pd.DataFrame:
    """Return the results of one characteristic; `units` has the columns `unit`, `passed` and `tested`."""
    size, passed = len(units), units["passed"].to_numpy()
    wait = np.minimum(rng.lognormal(np.log(25 * 60), 1.0, size), 8 * HOUR).astype(np.int64)
    codes = np.array(CODES[name])[rng.integers(0, 2, size)]
    occurred = units["tested"] + MINUTES_AFTER[name] * 60
    result = units.assign(
        characteristic=name,
        code=np.where(passed, "", codes),
        occurred=occurred,
        recorded=occurred + 60 + wait,
    ).join(_measured(rng, name, passed, nominal))
    wrong = rng.random(size) < np.where(passed, CORRECTED_OK, CORRECTED_NOK)
    first = result[wrong].reset_index(drop=True)
    first["passed"] = ~first["passed"]
    first["code"] = np.where(first["passed"], "", codes[wrong])
    first["measured"] = _measured(rng, name, first["passed"].to_numpy(), nominal[wrong])["measured"]
    later = np.clip(rng.lognormal(np.log(8.0), 0.8, len(first)), 0.5, 72.0) * HOUR
    result.loc[wrong, "recorded"] += later.astype(np.int64)
    return pd.concat([result, first], ignore_index=True)


def _find(
    rng: np.random.Generator, truth: pd.DataFrame, rows: np.ndarray, tested: np.ndarray, nominal: np.ndarray
) -> pd.DataFrame:
    found = []
    for name in CODES:
        bad = truth[name].to_numpy()[rows]
        passed = np.where(bad, rng.random(rows.size) < MISSED, rng.random(rows.size) >= FALSE_ALARM)
        units = pd.DataFrame({"unit": rows, "passed": passed, "tested": tested})
        found.append(_book(rng, name, units, nominal))
    return pd.concat(found, ignore_index=True).drop(columns="tested")


def inspect(seed: int, flow: Flow, truth: pd.DataFrame, alarms: pd.DataFrame) -> tuple[Outcome, pd.DataFrame]:
    """Return how every unit left the plant, and the results at the gate as they were booked.

    Both characteristics of a selected unit are inspected, with errors. Some results are booked wrongly first
    and corrected later; some rows are exported twice.

    Parameters
    ----------
    seed : int
    flow : Flow
    truth : pandas.DataFrame
        True state `leak` and `dimension` of every unit.
    alarms : pandas.DataFrame
        Columns `machine` (position in `MACHINE_NAMES`) and `at` [UTC s].

    Returns
    -------
    outcome : Outcome
    results : pandas.DataFrame
        Columns `unit` (position), `characteristic`, `passed`, `code`, `occurred` and `recorded` [UTC s],
        `measured`, `lower`, `upper`; in order of `recorded`.
    """
    rng = stream(seed, "inspection")
    size = flow.start.size
    suspicious = near_alarm(flow, alarms)
    sampled = np.array([item.inspected for item in PRODUCTS])[flow.product]
    chance = np.where(suspicious, SUSPICION, sampled)
    selected = rng.random(size) < chance
    buffer_started = flow.ended[:, -1] + rng.integers(120, 600, size)
    hours = np.clip(rng.lognormal(np.log(20.0), 0.72, size), 1.0, 240.0)
    final_started = buffer_started + (hours * HOUR).astype(np.int64)
    final_ended = final_started + rng.integers(600, 1200, size)
    rows = np.flatnonzero(selected)
    nominal = np.array([item.bore for item in PRODUCTS])[flow.product[rows]]
    results = _find(rng, truth, rows, final_started[rows], nominal)
    results = results.sort_values("recorded", kind="stable", ignore_index=True)
    in_the_end = results.drop_duplicates(["unit", "characteristic"], keep="last")
    scrapped = np.zeros(size, dtype=bool)
    scrapped[in_the_end.loc[~in_the_end["passed"], "unit"]] = True
    left = flow.ended[:, -1] + (rng.uniform(1.5, 3.0, size) * DAY).astype(np.int64)
    settled = np.maximum(results.groupby("unit")["recorded"].max().to_numpy(), final_ended[rows])
    left[rows] = settled + (rng.uniform(0.5, 24.0, rows.size) * HOUR).astype(np.int64)
    outcome = Outcome(
        buffer_started=buffer_started,
        reason=np.where(selected, np.where(suspicious, "suspicion", "sampling"), ""),
        chance=chance,
        bench=rng.integers(0, 2, size),
        final_started=np.where(selected, final_started, -1),
        final_ended=np.where(selected, final_ended, -1),
        left=left,
        scrapped=scrapped,
    )
    twice = results[rng.random(len(results)) < EXPORTED_TWICE]
    results = pd.concat([results, twice]).sort_values("recorded", kind="stable", ignore_index=True)
    return outcome, results
