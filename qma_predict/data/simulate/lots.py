"""Ingot lots: which lot every unit was cast from, and which lots are bad without anyone knowing."""

from dataclasses import dataclass

import numpy as np

from qma_predict.data.simulate.plant import SUPPLIERS
from qma_predict.data.simulate.randomness import from_choices, one_in, stream

LOT_SIZES = (250, 550)
ONE_BAD_IN = 20
SUPPLIER_SHARES = {False: (0.45, 0.35, 0.20), True: (0.25, 0.30, 0.45)}


@dataclass(frozen=True)
class Lots:
    """Ingot lots, and the lot of every unit.

    Attributes
    ----------
    of_unit : numpy.ndarray, shape (units,)
        Lot of every unit, 0 upwards.
    supplier : numpy.ndarray, shape (lots,)
        Position in `SUPPLIERS`.
    badness : numpy.ndarray, shape (lots,)
        Hidden; 0 for a sound lot, about 1 for a bad one.
    composition : numpy.ndarray, shape (lots,)
        Harmless difference of the lot's composition from the others, standard normal.
    """

    of_unit: np.ndarray
    supplier: np.ndarray
    badness: np.ndarray
    composition: np.ndarray


def charge_lots(seed: int, furnace: np.ndarray, started: np.ndarray) -> Lots:
    """Return the lots; every furnace is charged from one lot until it is used up.

    Parameters
    ----------
    seed : int
    furnace : numpy.ndarray, shape (units,)
        Furnace of every unit, 0 upwards.
    started : numpy.ndarray, shape (units,), int64
        When melting began [UTC s].
    """
    rng = stream(seed, "lots")
    lot = np.zeros(furnace.size, dtype=np.int64)
    lots = 0
    for number in np.unique(furnace):
        rows = np.flatnonzero(furnace == number)
        rows = rows[np.argsort(started[rows], kind="stable")]
        ends = np.cumsum(rng.integers(*LOT_SIZES, rows.size // LOT_SIZES[0] + 1))
        lot[rows] = lots + np.searchsorted(ends, np.arange(rows.size), side="right")
        lots = int(lot[rows].max()) + 1
    bad = one_in(rng, lots, ONE_BAD_IN)
    supplier = np.where(
        bad, from_choices(rng, lots, SUPPLIER_SHARES[True]), from_choices(rng, lots, SUPPLIER_SHARES[False])
    )
    return Lots(
        of_unit=lot,
        supplier=supplier,
        badness=np.where(bad, rng.uniform(0.8, 1.2, lots), 0.0),
        composition=rng.standard_normal(lots),
    )


def lot_names(lots: Lots) -> np.ndarray:
    """Return the lot number of every lot as text, shape (lots,): supplier's initial and a number.

    Numbers say nothing about the order of use.
    """
    initials = np.array([name[0] for name in SUPPLIERS])[lots.supplier]
    numbers = 10_000 + (np.arange(lots.supplier.size) * 7919) % 90_000
    return np.char.add(np.char.add(initials, "-"), numbers.astype(str))
