"""The plant's tables as its systems recorded them: booking delays, late rows, corrections."""

import numpy as np
import pandas as pd

from qma_predict.data.simulate.flow import Flow
from qma_predict.data.simulate.lots import Lots, lot_names
from qma_predict.data.simulate.plant import (
    DOCK,
    GATE,
    GATE_BENCHES,
    MATERIAL,
    PRODUCTS,
    SCRAP,
    STATIONS,
    STORE,
    SUPPLIERS,
)
from qma_predict.data.simulate.quality import Outcome
from qma_predict.data.simulate.randomness import HOUR, delay, stream

WRONG_PRODUCT = 0.004
"""Share of units whose product is booked wrongly first and corrected later."""

LATE_VISITS = 0.015
STILL_OPEN = np.iinfo(np.int64).min


def instants(seconds: np.ndarray) -> pd.DatetimeIndex:
    """Return UTC seconds as instants, ``datetime64[us, UTC]``; `STILL_OPEN` becomes missing."""
    moments = np.asarray(seconds, dtype=np.int64).astype("datetime64[s]").astype("datetime64[us]")
    return pd.DatetimeIndex(moments).tz_localize("UTC")


def name_units(start: str, size: int) -> pd.Index:
    """Return the serials of `size` units as text, in order of their start.

    Examples
    --------
    >>> from qma_predict.data.simulate.records import name_units
    >>> name_units("2025-09-01", 2).tolist()
    ['P25-0000001', 'P25-0000002']
    """
    numbers = pd.Series(np.arange(1, size + 1)).astype("str").str.zfill(7)
    return pd.Index(f"P{start[2:4]}-" + numbers)


def record_units(seed: int, ids: pd.Index, flow: Flow) -> pd.DataFrame:
    """Return the table `units`; a wrong product is followed by its correction."""
    rng = stream(seed, "units")
    recorded = flow.start + delay(rng, ids.size, typical=45.0, late_share=0.004)
    units = pd.DataFrame(
        {
            "unit_id": ids,
            "product": np.array([item.name for item in PRODUCTS])[flow.product],
            "order_no": flow.order_no,
            "occurred_at": instants(flow.start),
            "recorded_at": recorded,
        }
    )
    rows = np.flatnonzero(rng.random(ids.size) < WRONG_PRODUCT)
    corrected = units.iloc[rows].copy()
    corrected["recorded_at"] += (rng.uniform(2.0, 72.0, rows.size) * HOUR).astype(np.int64)
    others = (flow.product[rows] + rng.integers(1, len(PRODUCTS), rows.size)) % len(PRODUCTS)
    units.loc[rows, "product"] = np.array([item.name for item in PRODUCTS])[others]
    return _finish(pd.concat([units, corrected], ignore_index=True))


def _finish(table: pd.DataFrame) -> pd.DataFrame:
    table = table.sort_values(["recorded_at", "unit_id"], kind="stable", ignore_index=True)
    table["recorded_at"] = instants(table["recorded_at"].to_numpy())
    return table


def _stays(
    ids: pd.Index, station: str, machine: np.ndarray | str, started: np.ndarray, ended: np.ndarray | None
) -> pd.DataFrame:
    over = np.full(ids.size, STILL_OPEN) if ended is None else ended
    return pd.DataFrame(
        {
            "unit_id": ids,
            "station": station,
            "machine": machine,
            "started_at": instants(started),
            "ended_at": instants(over),
            "recorded_at": started if ended is None else ended,
        }
    )


def record_visits(seed: int, ids: pd.Index, flow: Flow, outcome: Outcome) -> pd.DataFrame:
    """Return the table `visits`.

    A stay in the buffer is first recorded without its end and later again with it; shipping and scrap have
    no end.
    """
    rng = stream(seed, "visits")
    tables = [
        _stays(
            ids,
            station.name,
            np.array(station.machines)[flow.machine[:, place]],
            flow.started[:, place],
            flow.ended[:, place],
        )
        for place, station in enumerate(STATIONS)
    ]
    gate = np.flatnonzero(outcome.final_started >= 0)
    benches = np.array(GATE_BENCHES)[outcome.bench[gate]]
    tables.append(_stays(ids.take(gate), GATE, benches, outcome.final_started[gate], outcome.final_ended[gate]))
    for station, machine, mask in (
        ("shipping", DOCK, ~outcome.scrapped),
        ("scrap", SCRAP, outcome.scrapped),
    ):
        tables.append(_stays(ids[mask], station, machine, outcome.left[mask], None))
    opened = _stays(ids, "buffer", STORE, outcome.buffer_started, None)
    until = np.where(outcome.final_started >= 0, outcome.final_started, outcome.left)
    closed = _stays(ids, "buffer", STORE, outcome.buffer_started, until)
    for table in (*tables, opened, closed):
        table["recorded_at"] += delay(rng, len(table), typical=60.0, late_share=LATE_VISITS)
    closed["recorded_at"] = np.maximum(closed["recorded_at"], opened["recorded_at"] + 1)
    return _finish(pd.concat([*tables, opened, closed], ignore_index=True))


def record_materials(seed: int, ids: pd.Index, flow: Flow, lots: Lots) -> pd.DataFrame:
    """Return the table `materials`: the ingot lot of every unit, consumed when its melting began."""
    rng = stream(seed, "materials")
    consumed = flow.started[:, 0]
    return _finish(
        pd.DataFrame(
            {
                "unit_id": ids,
                "lot_id": lot_names(lots)[lots.of_unit],
                "material": MATERIAL,
                "supplier": np.array(SUPPLIERS)[lots.supplier[lots.of_unit]],
                "occurred_at": instants(consumed),
                "recorded_at": consumed + delay(rng, ids.size, typical=300.0, late_share=0.02),
            }
        )
    )


def record_inspections(ids: pd.Index, outcome: Outcome, results: pd.DataFrame) -> pd.DataFrame:
    """Return the table `inspections` from the results at the gate."""
    unit = results["unit"].to_numpy()
    return pd.DataFrame(
        {
            "unit_id": ids.take(unit),
            "gate": GATE,
            "characteristic": results["characteristic"],
            "passed": results["passed"],
            "measured": results["measured"],
            "lower": results["lower"],
            "upper": results["upper"],
            "code": results["code"].replace("", None).astype("str"),
            "reason": outcome.reason[unit],
            "probability": outcome.chance[unit],
            "occurred_at": instants(results["occurred"].to_numpy()),
            "recorded_at": instants(results["recorded"].to_numpy()),
        }
    )
