"""Readings as rows: from the wide arrays of the stations to what the historian stored, day by day."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd

from qma_predict.data.simulate.flow import Flow
from qma_predict.data.simulate.plant import ZONE
from qma_predict.data.simulate.randomness import HOUR, delay, stream
from qma_predict.data.simulate.signals import Signals

LATE_VISITS, LATE_READINGS = 0.012, 0.015
"""Share of visits of which all readings, and of single readings, that are stored hours to days late."""

CORRECTED = 0.003
"""Share of readings that are stored with a wrong value first and corrected later."""

SECOND = 1_000_000
"""One second in the microseconds in which this module counts."""

Rows = dict[str, np.ndarray]


def _stored(rng: np.random.Generator, at: np.ndarray, held_until: np.ndarray) -> np.ndarray:
    wait = delay(rng, at.shape[0], typical=20.0, late_share=LATE_VISITS)[:, None] * SECOND
    stored = np.maximum(at, held_until[:, None] * SECOND) + wait
    late = rng.random(at.shape) < LATE_READINGS
    stored[late] += delay(rng, int(late.sum()), typical=1.0, late_share=1.0) * SECOND
    return stored


def _visit_rows(rng: np.random.Generator, signals: Signals, flow: Flow, place: int, units: slice) -> Rows:
    started = flow.started[units, place]
    stay = flow.ended[units, place] - started
    # Whole milliseconds, as a controller stamps them.
    at = started[:, None] * SECOND + (stay[:, None] * signals.share * 1000).astype(np.int64) * 1000
    stored = _stored(rng, at, signals.held_until[units])
    unit, column = np.nonzero(~np.isnan(signals.values[units]))
    scale = signals.scale[column]
    steps = 10.0 ** np.ceil(2 - np.log10(scale))
    rows = {
        "unit": unit + units.start,
        "place": np.full(unit.size, place, dtype=np.int16),
        "column": column.astype(np.int16),
        "at": at[unit, column],
        "value": np.rint(signals.values[units][unit, column] * steps) / steps,
        "stored": stored[unit, column],
    }
    wrong = np.flatnonzero(rng.random(unit.size) < CORRECTED)
    corrections = _take(rows, wrong)
    corrections["stored"] += (rng.uniform(6.0, 96.0, wrong.size) * HOUR).astype(np.int64) * SECOND
    errors = rng.choice([-1.0, 1.0], wrong.size) * rng.uniform(2.0, 6.0, wrong.size) * scale[wrong]
    rows["value"][wrong] = np.rint((rows["value"][wrong] + errors) * steps[wrong]) / steps[wrong]
    return _join([rows, corrections])


def _join(parts: list[Rows]) -> Rows:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _take(rows: Rows, which: np.ndarray) -> Rows:
    return {name: column[which] for name, column in rows.items()}


def _frame(rows: Rows, ids: pd.Index, signals: tuple[Signals, ...]) -> pd.DataFrame:
    rows = _take(rows, np.lexsort((rows["column"], rows["place"], rows["unit"], rows["stored"])))
    names, codes = np.unique([tag for part in signals for tag in part.tags], return_inverse=True)
    before = np.cumsum([0, *(len(part.tags) for part in signals)])
    units, unit = np.unique(rows["unit"], return_inverse=True)
    return pd.DataFrame(
        {
            "unit_id": pd.Categorical.from_codes(unit, ids.take(units)),
            "station": pd.Categorical.from_codes(rows["place"], [part.station for part in signals]),
            "tag": pd.Categorical.from_codes(codes[before[rows["place"]] + rows["column"]], names),
            "occurred_at": pd.DatetimeIndex(rows["at"].view("datetime64[us]")).tz_localize("UTC"),
            "value": rows["value"],
            "recorded_at": pd.DatetimeIndex(rows["stored"].view("datetime64[us]")).tz_localize("UTC"),
        }
    )


def _local_day(stored: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.searchsorted(edges, stored, side="right") - 1


def stored_by_day(
    seed: int, flow: Flow, ids: pd.Index, signals: tuple[Signals, ...], first: date
) -> Iterator[tuple[date, pd.DataFrame]]:
    """Yield the readings that were stored on each local day, in order of `recorded_at`.

    Parameters
    ----------
    seed : int
    flow : Flow
    ids : pandas.Index, shape (units,)
        Serials of the units.
    signals : tuple of Signals
        One for every process station.
    first : datetime.date
        First production day.

    Yields
    ------
    day : datetime.date
        Local day; it goes on after the last production day until the last late reading was stored.
    readings : pandas.DataFrame
        Columns `unit_id`, `station`, `tag` (categorical), `occurred_at`, `value`, `recorded_at`.
    """
    days = int(flow.day[-1]) + 1
    calendar = pd.date_range(first, periods=days + 30, freq="D", tz=ZONE)
    edges = calendar.as_unit("us").asi8
    begins = np.searchsorted(flow.day, np.arange(days + 1))
    waiting: list[Rows] = []
    for number in range(calendar.size - 1):
        if number < days:
            rng = stream(seed, f"readings/{number}")
            units = slice(int(begins[number]), int(begins[number + 1]))
            waiting += [_visit_rows(rng, part, flow, place, units) for place, part in enumerate(signals)]
        if not waiting:
            return
        rows = _join(waiting)
        today = _local_day(rows["stored"], edges) == number
        yield calendar[number].date(), _frame(_take(rows, today), ids, signals)
        waiting = [] if today.all() else [_take(rows, ~today)]
