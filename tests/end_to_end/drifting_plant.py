"""A plant of two stations in which a die drifts, a lot is bad and a sensor falls silent; each on days that are known.

Units become defect by three causes, which all show in readings: an oven that heated one too much, a die that is too
warm for two days after a repair, and a lot with too much iron. Ten more sensors vary widely and mean nothing: the SPC
rule takes them for a cause.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

TOML = """
name = "drifting"
title = "Drifting line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["press", "oven"]
prediction = { after = "oven", grace = "15 min" }
gate = { name = "final", characteristics = ["leak"], maturity = "4 d" }
candidates = { max_age = "3 d", leave_at = ["shipping"] }
list = { as_of = "05:00", capacity = 12 }
costs = { escape = 100.0, inspection = 4.0 }
learning = { recipe = "logistic", families = ["readings"], blocks = 2, block = "14 d" }
training = { cron = "0 3 2,17 * *" }
sources = [
    { table = "units", path = "plant/units.csv", delay = "0 s" },
    { table = "visits", path = "plant/visits.csv", delay = "0 s" },
    { table = "materials", path = "plant/materials.csv", delay = "0 s" },
    { table = "readings", path = "plant/readings.csv", delay = "0 s" },
    { table = "inspections", path = "plant/inspections.csv", delay = "0 s" },
]
"""

START, END = date(2026, 1, 6), date(2026, 4, 8)
FIRST, LAST = date(2026, 3, 3), date(2026, 4, 1)
UNITS = 40
SILENT = (date(2026, 3, 13), date(2026, 3, 14))
"""Days on which the oven's thermometer says nothing."""

BAD_LOTS = (date(2026, 1, 13), date(2026, 1, 27), date(2026, 2, 8), date(2026, 2, 21), date(2026, 3, 9))
DRIFTS = (date(2026, 1, 18), date(2026, 1, 31), date(2026, 2, 13), date(2026, 2, 26), date(2026, 3, 21))
"""First of the two days on which the die of P1 is too warm."""


BAD_LOT = "L-0309-1"
"""The one of the replayed nights; every day has two lots, and of each of `BAD_LOTS` the first is bad."""


def write(folder: Path, seed: int = 5) -> None:
    """The line's folder, with its files."""
    (folder / "plant").mkdir(parents=True)
    (folder / "line.toml").write_text(TOML)
    rng = np.random.default_rng(seed)
    days = [START + timedelta(days=n) for n in range((END - START).days + 1)]
    units = pd.concat([_day(day, rng) for day in days], ignore_index=True)
    for name, table in _tables(units, rng).items():
        table.to_csv(folder / "plant" / f"{name}.csv", index=False)


def _day(day: date, rng: np.random.Generator) -> pd.DataFrame:
    n = np.arange(UNITS)
    units = pd.DataFrame({"unit_id": [f"{day:%m%d}-{number:02}" for number in n], "day": pd.Timestamp(day)})
    units["at"] = pd.Timestamp(day) + pd.to_timedelta(7 * 60 + n * 20, unit="min")
    units["machine"] = np.where(n % 2, "P1", "P2")
    drifts = any(0 <= (day - first).days <= 1 for first in DRIFTS)
    units["heat"] = rng.normal(180, 6, UNITS) + np.where(rng.random(UNITS) < 0.12, 25, 0)
    units["die_temperature"] = rng.normal(210, 3, UNITS) + np.where(drifts & (units["machine"] == "P1"), 18, 0)
    units["lot_id"] = np.where(n < UNITS // 2, f"L-{day:%m%d}-1", f"L-{day:%m%d}-2")
    units["iron"] = rng.normal(0.85, 0.02, UNITS) + np.where((n < UNITS // 2) & (day in BAD_LOTS), 0.2, 0)
    chance = 0.005 + 0.7 * (units["heat"] > 195) + 0.6 * (units["die_temperature"] > 219) + 0.6 * (units["iron"] > 0.95)
    return units.assign(defect=rng.random(UNITS) < chance.clip(upper=0.95))


def _tables(units: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    minutes = pd.to_timedelta([0, 10, 12, 30], unit="min")
    names, at = units["unit_id"], units["at"]
    inspected = rng.random(len(units)) < 0.7
    shipped = units["day"] + pd.Timedelta(days=2, hours=12)
    visits = [
        pd.DataFrame({"unit_id": names, "station": "press", "machine": units["machine"], "started_at": at + minutes[0],
                      "ended_at": at + minutes[1]}),
        pd.DataFrame({"unit_id": names, "station": "oven", "machine": "O1", "started_at": at + minutes[2],
                      "ended_at": at + minutes[3]}),
        pd.DataFrame({"unit_id": names, "station": "shipping", "machine": "", "started_at": shipped,
                      "ended_at": shipped}),
    ]  # fmt: skip
    silent = units["day"].dt.date.isin(SILENT)
    readings = [("oven", "heat", units["heat"].mask(silent)), ("press", "die_temperature", units["die_temperature"]),
                ("oven", "iron", units["iron"])]  # fmt: skip
    readings += [("press", f"noise_{k}", pd.Series(rng.standard_t(2, len(units)) * 5 + 50)) for k in range(10)]
    at_station = {"press": at + pd.Timedelta(minutes=5), "oven": at + pd.Timedelta(minutes=20)}
    told = [
        pd.DataFrame({"unit_id": names, "station": station, "tag": tag, "occurred_at": at_station[station],
                      "value": values.round(4)}).dropna(subset=["value"])
        for station, tag, values in readings
    ]  # fmt: skip
    results = pd.DataFrame({"unit_id": names, "occurred_at": units["day"] + pd.Timedelta(days=1, hours=9),
                            "gate": "final", "characteristic": "leak",
                            "passed": np.where(units["defect"], "NOK", "OK"), "probability": 0.7})  # fmt: skip
    lots = pd.DataFrame({"unit_id": names, "lot_id": units["lot_id"], "material": "steel",
                         "supplier": "S1", "occurred_at": at})  # fmt: skip
    return {
        "units": pd.DataFrame({"unit_id": names, "product": "A", "order_no": "1", "occurred_at": at}),
        "visits": pd.concat(visits),
        "materials": lots,
        "readings": pd.concat(told),
        "inspections": results[inspected],
    }
