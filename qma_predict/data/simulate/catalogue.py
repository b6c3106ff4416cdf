"""The tags: what is measured at every process station, and which hidden states a tag feels.

Most tags feel none: they are there because they are in every plant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from qma_predict.data.simulate.plant import PRODUCTS, STATIONS
from qma_predict.data.simulate.randomness import stream

CHANGED_SET_POINTS = 5
LIMITS = 4.0
"""Distance of the limits from the set point, in scales of the tag."""


@dataclass(frozen=True)
class Tag:
    """A measured quantity of a station.

    Attributes
    ----------
    name : str
    unit : str
        Unit of measure.
    target : float
        Set point, before product and mid-way changes [unit].
    scale : float
        Usual spread of the values about the set point [unit].
    readings : int
        Readings in a visit: 1, or 3 at its start, middle and end.
    by_product : bool
        Whether the set point depends on the product.
    level, slope, spread : mapping of str to float
        By how many scales a hidden state of 1 shifts the level, tilts the readings of a visit from start to
        end, and widens them.
    """

    name: str
    unit: str
    target: float
    scale: float
    readings: int = 1
    by_product: bool = False
    level: Mapping[str, float] = field(default_factory=dict)
    slope: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)


def _channels(name: str, count: int, unit: str, target: float, scale: float) -> tuple[Tag, ...]:
    return tuple(Tag(f"{name}_{number}", unit, target, scale) for number in range(1, count + 1))


MELT = (
    Tag("bath_temperature", "degC", 715, 4, readings=3, by_product=True, level={"heat": 2.4}),
    Tag("hydrogen_index", "ml/100g", 0.14, 0.012, readings=3, level={"hydrogen": 3.0}),
    Tag("density_index", "%", 2.2, 0.3, level={"hydrogen": 1.0}),
    Tag("dosing_temperature", "degC", 690, 5, by_product=True, level={"heat": 1.0}),
    Tag("degassing_flow", "l/min", 14, 0.6, level={"hydrogen": -0.2}),
    Tag("spectro_fe", "%", 0.85, 0.03, level={"badness": 3.2, "composition": 0.5}),
    Tag("spectro_mn", "%", 0.28, 0.02, level={"badness": -2.2, "composition": 0.4}),
    Tag("spectro_si", "%", 9.3, 0.15, level={"composition": 0.5}),
    Tag("spectro_cu", "%", 2.9, 0.1, level={"composition": -0.4}),
    Tag("spectro_mg", "%", 0.25, 0.02),
    Tag("spectro_zn", "%", 0.9, 0.06),
    Tag("spectro_ti", "%", 0.12, 0.01),
    Tag("burner_power", "kW", 310, 12, level={"heat": 0.2}),
    Tag("flue_temperature", "degC", 420, 15),
    Tag("bath_level", "mm", 640, 20),
    Tag("dosed_mass", "kg", 3.4, 0.03, by_product=True),
    Tag("rotor_speed", "1/min", 450, 6),
    Tag("hall_temperature", "degC", 24, 2),
    Tag("hall_humidity", "%", 48, 5, level={"hydrogen": 0.2}),
)

CAST = (
    Tag(
        "intensification_pressure",
        "bar",
        820,
        12,
        readings=3,
        by_product=True,
        level={"pressure_loss": -2.8},
        slope={"pressure_loss": -0.8},
    ),
    Tag("pressure_rise_time", "ms", 38, 2.5, level={"pressure_loss": 1.0}),
    Tag("accumulator_pressure", "bar", 145, 2, level={"pressure_loss": -0.25}),
    Tag("hydraulic_pressure", "bar", 160, 2.5, readings=3),
    Tag("die_temperature_fixed_1", "degC", 205, 5, readings=3, by_product=True, slope={"imbalance": -1.8}),
    Tag(
        "die_temperature_moving_1",
        "degC",
        215,
        5,
        readings=3,
        by_product=True,
        level={"imbalance": 2.7},
        slope={"imbalance": 2.4},
    ),
    Tag("die_temperature_fixed_2", "degC", 200, 5, by_product=True, level={"imbalance": -2.0}),
    Tag("die_temperature_moving_2", "degC", 210, 5, by_product=True),
    Tag("die_temperature_fixed_3", "degC", 195, 5),
    Tag("die_temperature_moving_3", "degC", 205, 5),
    Tag("plunger_velocity_slow", "m/s", 0.32, 0.01),
    Tag("plunger_velocity_fast", "m/s", 3.8, 0.08, by_product=True),
    Tag("switch_position", "mm", 415, 3, by_product=True),
    Tag("biscuit_thickness", "mm", 24, 1.2),
    Tag("filling_time", "ms", 62, 2.5),
    Tag("cycle_time", "s", 78, 1.5),
    Tag("locking_force", "kN", 8400, 60),
    Tag("vacuum_level", "mbar", 65, 6),
    Tag("oil_temperature", "degC", 44, 1.5),
    *_channels("cooling_flow", 6, "l/min", 18, 0.7),
    *_channels("cooling_return_temperature", 3, "degC", 38, 1.5),
    *_channels("spray_time", 2, "s", 6.5, 0.2),
    *_channels("tie_bar_force", 4, "kN", 2100, 25),
)

TRIM = (
    Tag("press_force", "kN", 420, 12, by_product=True),
    Tag("press_stroke", "mm", 180, 0.6),
    Tag("cutting_time", "s", 1.9, 0.08),
    Tag("part_temperature", "degC", 62, 5),
    Tag("clamping_force", "kN", 60, 2),
    Tag("ejector_force", "kN", 22, 1.2),
    Tag("oil_temperature", "degC", 41, 1.5),
    Tag("motor_current", "A", 31, 1.4),
    Tag("scrap_mass", "kg", 0.9, 0.05),
    *_channels("burr_sensor", 3, "um", 45, 7),
)

MILL = (
    Tag("spindle_load", "%", 46, 4, readings=3, by_product=True, level={"wear": 4.5}),
    Tag("vibration", "mm/s", 1.8, 0.22, readings=3, level={"wear": 3.0}, spread={"wear": 0.4}),
    Tag("acoustic_emission", "mV", 220, 18, readings=3, level={"wear": 1.6}),
    Tag("feed_force_x", "N", 340, 22, level={"wear": 1.2}),
    Tag("feed_force_y", "N", 290, 20),
    Tag("feed_force_z", "N", 510, 30, by_product=True),
    Tag("spindle_speed", "1/min", 9200, 25, by_product=True),
    Tag("spindle_temperature", "degC", 41, 2),
    Tag("bearing_temperature", "degC", 46, 2),
    Tag("coolant_temperature", "degC", 22, 1),
    Tag("coolant_pressure", "bar", 38, 1.2),
    Tag("coolant_flow", "l/min", 26, 1),
    Tag("coolant_concentration", "%", 7.5, 0.4),
    Tag("air_pressure", "bar", 6.1, 0.1),
    Tag("cutting_time", "s", 148, 2, by_product=True),
    *_channels("axis_current", 3, "A", 12, 0.8),
    *_channels("clamping_pressure", 3, "bar", 95, 2),
    *_channels("probe_offset", 3, "um", 0, 4),
)

WASH = (
    Tag("drying_temperature", "degC", 92, 3, readings=3),
    Tag("bath_ph", "pH", 9.4, 0.15),
    Tag("rinse_conductivity", "uS/cm", 45, 6),
    Tag("drying_time", "s", 210, 5),
    Tag("vacuum_pressure", "mbar", 85, 7),
    Tag("filter_pressure", "mbar", 140, 15),
    Tag("basket_mass", "kg", 38, 1.5),
    Tag("belt_speed", "m/min", 1.2, 0.03),
    *_channels("bath_temperature", 3, "degC", 58, 1.5),
    *_channels("bath_conductivity", 2, "mS/cm", 12, 0.6),
    *_channels("pump_pressure", 3, "bar", 9, 0.4),
)

TAGS = {"melt": MELT, "cast": CAST, "trim": TRIM, "mill": MILL, "wash": WASH}


def list_set_points(seed: int, first: int, last: int) -> pd.DataFrame:
    """Return the table of tags: one row a tag, a product where the set point depends on it, and a validity.

    Parameters
    ----------
    seed : int
    first, last : int
        The plant's first and last moment [UTC s]; a few set points change in its middle third.

    Returns
    -------
    pandas.DataFrame
        Columns `station`, `tag`, `product` (missing: all), `unit`, `set_point`, `lower`, `upper` and
        `valid_from` [UTC s].
    """
    rng = stream(seed, "set points")
    rows = []
    for station in STATIONS:
        for tag in TAGS[station.name]:
            names = [item.name for item in PRODUCTS] if tag.by_product else [None]
            shifts = rng.permutation([-1.8, -0.6, 0.6, 1.8]) if tag.by_product else [0.0]
            for name, shift in zip(names, shifts, strict=True):
                target = tag.target + tag.scale * shift
                rows.append((station.name, tag.name, name, tag.unit, target, tag.scale, first))
    columns = ["station", "tag", "product", "unit", "set_point", "scale", "valid_from"]
    table = pd.DataFrame(rows, columns=columns).astype({"product": "str"})
    keys = table[["station", "tag"]].drop_duplicates().sample(CHANGED_SET_POINTS, random_state=rng)
    third = (last - first) / 3
    keys["valid_from"] = rng.uniform(first + third, last - third, len(keys)).astype(np.int64)
    changed = table.drop(columns="valid_from").merge(keys)
    changed["set_point"] += 1.5 * changed["scale"]
    table = pd.concat([table, changed], ignore_index=True)
    width = LIMITS * table["scale"]
    table = table.assign(lower=table["set_point"] - width, upper=table["set_point"] + width)
    table = table.round({"set_point": 4, "lower": 4, "upper": 4})
    return table[[*columns[:5], "lower", "upper", "valid_from"]]


def set_points_of(table: pd.DataFrame, station: str, tag: str, product: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the set point of one tag for every unit [unit of the tag], shape (units,).

    Parameters
    ----------
    table : pandas.DataFrame
        See `list_set_points`, with `valid_from` in UTC seconds.
    station, tag : str
    product : numpy.ndarray, shape (units,)
        Position in `PRODUCTS`.
    at : numpy.ndarray, shape (units,), int64
        The moment for which it is asked [UTC s].
    """
    rows = table[(table["station"] == station) & (table["tag"] == tag)].sort_values("valid_from")
    values = np.zeros(product.size)
    for row in rows.itertuples():
        since = at >= row.valid_from
        if isinstance(row.product, str):
            since &= np.array([item.name == row.product for item in PRODUCTS])[product]
        values[since] = row.set_point
    return values
