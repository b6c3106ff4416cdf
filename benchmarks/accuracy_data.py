"""The data sets of `accuracy.py`, as frames with the rows in time order: real ones, and simulated plants."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from qma_predict.data.simulate import Plant, simulate
from qma_predict.data.simulate.catalogue import TAGS, set_points_of
from qma_predict.data.simulate.plant import MACHINE_NAMES, PRODUCTS, STATIONS, machines_before

Frame = tuple[pd.DataFrame, np.ndarray]

# fmt: off
BANDS = [
    "date", "cylinder", "customer", "job", "grain_screened", "ink_color", "proof_on_coated", "blade_mfg",
    "cylinder_division", "paper_type", "ink_type", "direct_steam", "solvent_type", "type_on_cylinder", "press_type",
    "press", "unit_number", "cylinder_size", "paper_mill_location", "plating_tank", "proof_cut", "viscosity",
    "caliper", "ink_temperature", "humidity", "roughness", "blade_pressure", "varnish", "press_speed", "ink_percent",
    "solvent_percent", "esa_voltage", "esa_amperage", "wax", "hardener", "roller_durometer", "current_density",
    "anode_space_ratio", "chrome_content", "band_type",
]
# fmt: on
BANDS_NUMBERS = BANDS[20:39]
CAUSES = {
    "plant of every cause": None,
    "plant of worn tools": ("tool_wear", "porosity", "unexplained"),
    "plant of bad spells": ("bad_lot", "die_drift", "unexplained"),
}
"""Which mechanisms make defects in a simulated plant: all, those that come and go gradually, those in bursts."""


def digest(files: list[Path]) -> str:
    """What was made from these files is made anew when one of them changes."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def data_sets(names: set[str] | None = None) -> Iterator[tuple[str, Frame | str]]:
    """Yield each data set by name: features and labels in time order, or why it is missing."""
    folder = os.environ.get("QMA_DATA")
    real: dict[str, Callable[[Path], Frame]] = {
        "SECOM": secom,
        "AI4I 2020": ai4i,
        "cylinder bands": cylinder_bands,
        "CiP-DMD milling": cip_dmd,
    }
    for name, load in real.items():
        if names is None or name in names:
            try:
                yield name, load(Path(folder)) if folder else "QMA_DATA is not set"
            except FileNotFoundError as missing:
                yield name, f"{missing.filename} is missing"
    for number, (name, causes) in enumerate(CAUSES.items()):
        if names is None or name in names:
            days, daily = ((25, 450), (45, 250), (25, 600))[number]
            yield name, plant_frame(simulate(days=days, units_per_day=daily, seed=101 + number), causes)


def secom(folder: Path) -> Frame:
    table = pd.read_csv(folder / "secom/process.csv.gz").merge(pd.read_csv(folder / "secom/inspections.csv"))
    table = table.sort_values("timestamp", kind="stable")
    return table.drop(columns=["wafer_id", "timestamp", "fail"]).reset_index(drop=True), table["fail"].to_numpy()


def ai4i(folder: Path) -> Frame:
    table = pd.read_csv(folder / "ai4i2020/ai4i2020.csv", sep="\t")
    X = table.drop(columns=["UDI", "Product ID", "Machine failure", "TWF", "HDF", "PWF", "OSF", "RNF"])
    return X, table["Machine failure"].to_numpy()


def cylinder_bands(folder: Path) -> Frame:
    lines = (folder / "cylinder_bands/bands.data").read_text().splitlines()
    rows = [line.strip().split(",") for line in lines]
    table = pd.DataFrame([row for row in rows if len(row) == len(BANDS)], columns=BANDS)
    table = table.apply(lambda column: column.str.strip().str.upper().replace("?", None))
    table = table[table["date"].str.fullmatch(r"\d{8}", na=False)].sort_values("date", kind="stable")
    X = table.drop(columns=["date", "band_type"]).reset_index(drop=True)
    X[BANDS_NUMBERS] = X[BANDS_NUMBERS].apply(pd.to_numeric, errors="coerce")
    return X, (table["band_type"] == "BAND").to_numpy().astype(int)


def cip_dmd(folder: Path) -> Frame:
    """Milling fails by the limits, from what is known after sawing."""
    saw = pd.read_csv(folder / "cip_dmd/sawing_machine_scan_timestamps.csv", skipinitialspace=True)
    saw["at"] = pd.to_datetime(saw["timestamp"], format="%d-%m-%Y %H:%M:%S")
    saw = saw.sort_values("at", kind="stable").drop_duplicates("id", keep="last")
    saw["pause"] = saw["at"].diff().dt.total_seconds()
    saw["change"] = saw["weight"].diff()
    saw["hour"] = saw["at"].dt.hour + saw["at"].dt.minute / 60
    saw["weekday"] = saw["at"].dt.day_name()
    saw["of_day"] = saw.groupby(saw["at"].dt.date).cumcount()
    found = pd.read_csv(folder / "cip_dmd/cylinder_bottoms_qc_data.csv", sep=";").rename(columns={"part_id": "id"})
    limits = pd.DataFrame(
        {"surface_roughness": (0, 2.5), "parallelism": (0, 0.1), "groove_depth": (0.75, 0.85)}
        | {"groove_diameter": (-0.049, -0.01)}
    )
    measured = found[limits.columns].apply(pd.to_numeric, errors="coerce")
    outside = (measured < limits.loc[0]) | (measured > limits.loc[1])
    found["fail"] = outside.any(axis=1).astype(int)
    table = saw.merge(found[["id", "fail"]], on="id")
    return table[["weight", "anomaly", "pause", "change", "hour", "weekday", "of_day"]], table["fail"].to_numpy()


def plant_frame(plant: Plant, causes: tuple[str, ...] | None) -> Frame:
    """Inspected units of a plant in order of their last process station, with what the gate found.

    With `causes`, units that are defect by another mechanism alone are left out.
    """
    found = plant.inspections.sort_values("recorded_at", kind="stable")
    found = found.drop_duplicates(["unit_id", "characteristic"], keep="last")
    failed = ~found.groupby("unit_id")["passed"].min().astype(bool)
    truth = plant.truth.set_index("unit_id")
    y = failed.reindex(truth.index)
    if causes:
        y = y.mask(truth["defect"] & ~truth["mechanism"].isin(causes))
    known = y.notna().to_numpy()
    order = np.argsort(plant.flow.ended[:, -1], kind="stable")
    rows = order[known[order]]
    X = plant_features(plant).iloc[rows].reset_index(drop=True)
    return X, y.iloc[rows].to_numpy().astype(int)


def plant_features(plant: Plant) -> pd.DataFrame:
    tags = plant.tags.assign(valid_from=plant.tags["valid_from"].astype("int64") // 1_000_000)
    product = np.array([item.name for item in PRODUCTS])[plant.flow.product]
    columns: dict[str, object] = {"unit.product": pd.Series(product, dtype="str")}
    for place, station in enumerate(STATIONS):
        machine = np.array(MACHINE_NAMES)[machines_before(station.name) + plant.flow.machine[:, place]]
        columns[f"{station.name}.machine"] = pd.Series(machine, dtype="str")
        signals, at = plant.signals[place], plant.flow.started[:, place]
        for tag in TAGS[station.name]:
            seen = pd.DataFrame(signals.values[:, np.array(signals.tags) == tag.name])
            name = f"{station.name}.{tag.name}"
            target = set_points_of(tags, station.name, tag.name, plant.flow.product, at)
            columns[f"{name}.last"] = seen.iloc[:, -1]
            columns[f"{name}.deviation"] = seen.mean(axis=1) - target
            if tag.readings > 1:
                columns[f"{name}.spread"] = seen.std(axis=1)
                columns[f"{name}.slope"] = seen.iloc[:, -1] - seen.iloc[:, 0]
    lots = plant.materials.drop_duplicates("unit_id", keep="last").set_index("unit_id")["lot_id"]
    columns["melt.lot"] = lots.reindex(plant.truth["unit_id"]).reset_index(drop=True).astype("str")
    frame = pd.DataFrame(columns)
    numbers = frame.select_dtypes("number").columns
    return frame.astype(dict.fromkeys(numbers, "float32"))
