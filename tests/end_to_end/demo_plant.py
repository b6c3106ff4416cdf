"""The demo's plant, in which one sensor falls silent for two days, and what only a simulation knows of its incidents.

It is simulated as `qma demo` does by default, so nothing of it was chosen for what a replay finds. Its historian keeps
fewer tags: each that feels what makes units defect, and one of eight of the others; and its recipe has fewer and
faster trees. Both take time from the nights and trainings, of which a replay has many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines import demo
from qma_predict.data.simulate import Plant, simulate, write_plant
from qma_predict.data.simulate.catalogue import TAGS
from qma_predict.data.simulate.plant import STATIONS
from qma_predict.data.simulate.signals import Signals

DAYS = 120
FIRST, LAST = demo.START + timedelta(days=DAYS - 29), demo.START + timedelta(days=DAYS)
"""The last thirty nights; on the last, the units of the last day are new."""

OVER = timedelta(days=14)
"""After so long, nearly all results of the last night are known."""

SILENT = (date(2025, 12, 17), date(2025, 12, 18))
"""Days between two incidents on which the melt's hydrogen analyser says nothing, of which porosity is foretold."""

ONE_IN = 8
TREES = "{ boosted_trees__n_estimators = 150, boosted_trees__learning_rate = 0.05 }"
CAPACITY = 20
TRAINING = "0 3 1,16 * *"

SHARED = {"bad_lot": "lot", "die_drift": "cast"}
"""What is named of an incident, by its mechanism, as titles of issues have it."""

DETECTABLE = 5.0
"""Expected defects among the candidates so far from which an incident can be seen."""

AT_RISK = 0.05  # by the mechanism, from which on it is the unit's
APART = 4  # days between two incidents of a machine


@dataclass(frozen=True)
class Incident:
    """A bad lot or a drifting die: what an issue names if it tells of it, and the night from which it can be seen."""

    mechanism: str
    named: str
    detectable: date


def write(folder: Path) -> Plant:
    """The line's folder, with the plant's files in `data`."""
    plant = simulate(days=DAYS, units_per_day=600, seed=7, start=demo.START.isoformat())
    lacks = silent(plant).to_numpy()
    plant = replace(plant, signals=tuple(_kept(signals, lacks) for signals in plant.signals))
    write_plant(plant, folder / "data")
    toml = (Path(__file__).parents[2] / "models" / "demo" / "line.toml").read_text()
    for old, new in {
        'variables = ["QMA_DATA"]\n': f'training = {{ cron = "{TRAINING}" }}\n',
        "${QMA_DATA}": str(folder / "data"),
        "capacity = 40": f"capacity = {CAPACITY}",
        "[learning]\n": f"[learning]\nblocks = 2\nparameters = {TREES}\n",
    }.items():
        assert old in toml
        toml = toml.replace(old, new)
    (folder / "line.toml").write_text(toml)
    return plant


def silent(plant: Plant) -> pd.Series:
    """Whether each unit was made while the sensor was silent, by unit_id."""
    days = [(day - demo.START).days for day in SILENT]
    return pd.Series(np.isin(plant.flow.day, days), plant.truth["unit_id"])


def _kept(signals: Signals, lacks: np.ndarray) -> Signals:
    feel = {tag.name for tag in TAGS[signals.station] if tag.level or tag.slope or tag.spread}
    others = [tag.name for tag in TAGS[signals.station] if tag.name not in feel]
    its = np.isin(signals.tags, [*feel, *others[::ONE_IN]])
    tags = tuple(np.array(signals.tags)[its].tolist())
    values = signals.values[:, its].copy()
    if signals.station == "melt":
        values[np.ix_(lacks, np.array(tags) == "hydrogen_index")] = np.nan
    return replace(signals, tags=tags, share=signals.share[its], scale=signals.scale[its], values=values)


def incidents(plant: Plant, first_night: Mapping[str, date]) -> Iterator[Incident]:
    """The incidents of the replayed nights that can be seen, by the truth and the first night of each candidate.

    One that began earlier could be seen on nights that are not replayed, and is left out.
    """
    begun = (FIRST - demo.START).days - 1
    truth = plant.truth.set_index("unit_id")
    lot = plant.materials.drop_duplicates("unit_id").set_index("unit_id")["lot_id"]
    cast = [station.name for station in STATIONS].index("cast")
    names = {
        "bad_lot": lot.reindex(truth.index).to_numpy(),
        "die_drift": np.array(STATIONS[cast].machines)[plant.flow.machine[:, cast]],
    }
    for mechanism, name in names.items():
        units = pd.DataFrame({"name": name, "day": plant.flow.day, "risk": truth[f"p_{mechanism}"]}, truth.index)
        units["night"] = pd.Series(first_night).reindex(units.index)
        units = units[(units["risk"] > AT_RISK) & units["night"].notna()]
        run = (units.groupby("name")["day"].diff() >= APART).groupby(units["name"]).cumsum()
        for (value, _), its in units.groupby(["name", run]):
            so_far = its.groupby("night")["risk"].sum().cumsum()
            if its["day"].min() >= begun and so_far.iloc[-1] >= DETECTABLE:
                yield Incident(mechanism, f"{SHARED[mechanism]} {value}", so_far.index[so_far >= DETECTABLE][0])


def at_risk(plant: Plant, unit_ids: list[str]) -> bool:
    """Whether units are truly at risk: on average at least twice as much as is usual, incidents included."""
    risk = plant.truth.set_index("unit_id")["probability"]
    return bool(risk[unit_ids].mean() >= 2 * risk.mean())
