"""Why units become defect: hidden states of the plant, and the probability each gives a unit.

Four mechanisms and a remainder act independently, so ``probability = 1 - prod(1 - p)``:

``porosity``     much hydrogen in a hot melt and a lost intensification pressure, only together; leaks
``tool_wear``    a milling tool worn beyond a threshold, at a rate that differs from tool to tool; dimension
``bad_lot``      a bad ingot lot in a product with thin walls; leaks
``die_drift``    a die that lost its temperature balance after maintenance; leaks or dimension
``unexplained``  a small constant rate; leaks or dimension

The numbers here and the effects in `qma_predict.data.simulate.catalogue` set how difficult the plant is:
about 2 % defects, an oracle with an average precision of about 0.5, stock boosted trees with 0.19 to 0.26.
They were set with the oracle and stock boosted trees only, before any model of this program was tried; the
tests of the difficulty state what they amount to. They are not for tuning.
"""

import numpy as np
import pandas as pd
from scipy.special import expit

from qma_predict.data.simulate.flow import Flow
from qma_predict.data.simulate.lots import Lots
from qma_predict.data.simulate.plant import PRODUCTS, STATIONS, machines_before
from qma_predict.data.simulate.randomness import HOUR, ar1, stream
from qma_predict.data.simulate.upkeep import Upkeep

LEAK_SHARE = {"porosity": 1.0, "tool_wear": 0.0, "bad_lot": 1.0, "die_drift": 0.5, "unexplained": 0.5}
"""Share of a mechanism's defects that are leaks; the others are of the dimension."""

UNEXPLAINED = 0.0015
DRIFT_GROWTH = 8 * HOUR
MEMORY = {"hydrogen": 25.0, "heat": 20.0, "pressure_loss": 12.0, "balance": 20.0}
"""Correlation times of hidden states, in units of the machine."""


def _by_machine(rng: np.random.Generator, flow: Flow, station: str, memory: float) -> np.ndarray:
    place = [item.name for item in STATIONS].index(station)
    state = np.zeros(flow.start.size, dtype=np.float32)
    for number in range(len(STATIONS[place].machines)):
        rows = np.flatnonzero(flow.machine[:, place] == number)
        rows = rows[np.argsort(flow.started[rows, place], kind="stable")]
        state[rows] = ar1(rng, rows.size, memory)
    return state


def unbalance(flow: Flow, upkeep: Upkeep) -> np.ndarray:
    """Return how far maintenance left the die of every unit out of balance, shape (units,); 0 is balanced.

    The imbalance grows for `DRIFT_GROWTH` after the maintenance and stays until the die is re-adjusted.
    """
    place = [item.name for item in STATIONS].index("cast")
    cell = machines_before("cast") + flow.machine[:, place]
    started = flow.started[:, place]
    size = np.zeros(started.size, dtype=np.float32)
    for event in np.flatnonzero(upkeep.drift_size > 0):
        rows = np.flatnonzero(
            (cell == upkeep.machine[event]) & (started >= upkeep.ended[event]) & (started < upkeep.drift_ended[event])
        )
        grown = np.minimum((started[rows] - upkeep.ended[event]) / DRIFT_GROWTH, 1.0)
        size[rows] = upkeep.drift_size[event] * grown
    return size


def hidden_states(seed: int, flow: Flow, upkeep: Upkeep, lots: Lots, wear: np.ndarray) -> dict[str, np.ndarray]:
    """Return the hidden states of the plant at every unit, each of shape (units,), float32.

    `hydrogen`, `heat` and `pressure_loss` are standard normal; `wear` is 1 for a usual tool at its planned
    change; `imbalance` is 0 for a balanced die; `badness` and `composition` are those of the unit's lot.
    """
    rng = {name: stream(seed, f"hidden/{name}") for name in MEMORY}
    noise = _by_machine(rng["balance"], flow, "cast", MEMORY["balance"])
    return {
        "hydrogen": _by_machine(rng["hydrogen"], flow, "melt", MEMORY["hydrogen"]),
        "heat": _by_machine(rng["heat"], flow, "melt", MEMORY["heat"]),
        "pressure_loss": _by_machine(rng["pressure_loss"], flow, "cast", MEMORY["pressure_loss"]),
        "wear": wear,
        "imbalance": unbalance(flow, upkeep) + np.float32(0.12) * noise,
        "badness": lots.badness[lots.of_unit].astype(np.float32),
        "composition": lots.composition[lots.of_unit].astype(np.float32),
    }


def defect_probabilities(states: dict[str, np.ndarray], product: np.ndarray) -> pd.DataFrame:
    """Return the probability that each mechanism makes a unit defect, one column a mechanism.

    Parameters
    ----------
    states : dict of str to numpy.ndarray, shape (units,)
        See `hidden_states`.
    product : numpy.ndarray, shape (units,)
        Position in `PRODUCTS`.
    """
    thin = np.array([item.lot_sensitivity for item in PRODUCTS])[product]
    die = np.array([item.die_sensitivity for item in PRODUCTS])[product]
    gassy = expit((0.8 * states["hydrogen"] + 0.6 * states["heat"] - 1.42) / 0.1)
    weak = expit((states["pressure_loss"] - 1.42) / 0.1)
    return pd.DataFrame(
        {
            "porosity": 0.70 * gassy * weak,
            "tool_wear": 0.60 * expit((states["wear"] - 1.68) / 0.03),
            "bad_lot": np.minimum(0.28 * states["badness"] * thin, 0.9),
            "die_drift": 0.55 * expit((states["imbalance"] * die - 1.44) / 0.04),
            "unexplained": np.full(product.size, UNEXPLAINED),
        }
    ).astype(np.float64)


def draw_truth(seed: int, chances: pd.DataFrame) -> pd.DataFrame:
    """Return the true state of every unit.

    Parameters
    ----------
    seed : int
    chances : pandas.DataFrame
        See `defect_probabilities`.

    Returns
    -------
    pandas.DataFrame
        Columns `probability` (of a defect, given everything settled when the unit left the last process
        station), `defect`, `leak`, `dimension` (bool), `mechanism` (the one with the largest probability)
        and for every mechanism ``p_<mechanism>``.
    """
    rng = stream(seed, "truth")
    leak, dimension = np.zeros(len(chances), dtype=bool), np.zeros(len(chances), dtype=bool)
    for name in chances:
        struck = rng.random(len(chances)) < chances[name].to_numpy()
        as_leak = rng.random(len(chances)) < LEAK_SHARE[name]
        leak |= struck & as_leak
        dimension |= struck & ~as_leak
    truth = pd.DataFrame(
        {
            "probability": 1.0 - np.prod(1.0 - chances.to_numpy(), axis=1),
            "defect": leak | dimension,
            "leak": leak,
            "dimension": dimension,
            "mechanism": chances.columns.to_numpy(dtype=str)[chances.to_numpy().argmax(axis=1)],
        }
    )
    return truth.join(chances.add_prefix("p_"))
