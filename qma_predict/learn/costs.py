"""What a ranking costs: defects that escape, checks, and good units that are stopped for nothing."""

import numpy as np
import numpy.typing as npt

from qma_predict.learn.at_capacity import tally_nights
from qma_predict.line import Costs


def expected_cost(
    y_true: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    capacity: int | np.ndarray,
    costs: Costs,
    nights: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Return the cost per candidate with a known label, if each night's list is checked.

        cost = (inspection * K + false_alarm * (K - F) + escape * (D - F)) / N

    with, of the units with a known label, K those on the lists, F the defects among these, D all defects and N all
    candidates; ties are broken at random, in expected value (`tally_nights`). A check is taken to find every defect.
    Lower is better. Leaving everything unchecked costs ``escape * D / N``.

    Parameters
    ----------
    y_true, score, capacity, nights, sample_weight
        See `qma_predict.learn.at_capacity.tally_nights`.
    costs : Costs
        Of the line, all in one currency.

    Returns
    -------
    float
        In the currency of `costs`; NaN if no label is known, or `costs` names no escape and no inspection.

    Raises
    ------
    ValueError
        As `tally_nights`.

    Examples
    --------
    >>> # one list of two: a defect and a good unit; a second defect escapes
    >>> costs = Costs(escape=100.0, inspection=2.0, false_alarm=5.0)
    >>> expected_cost([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], capacity=2, costs=costs)  # (2 * 2 + 5 + 100) / 4
    27.25
    """
    tally = tally_nights(y_true, score, capacity=capacity, nights=nights, sample_weight=sample_weight)
    known = np.isfinite(np.asarray(y_true, dtype=float))
    units = float(known.sum() if sample_weight is None else np.asarray(sample_weight, dtype=float)[known].sum())
    if not units or costs.escape is None or costs.inspection is None:
        return float("nan")
    return float(total_cost(tally.found.sum(), tally.known.sum(), tally.defects.sum(), costs) / units)


def total_cost(found: npt.ArrayLike, listed: npt.ArrayLike, defects: npt.ArrayLike, costs: Costs) -> np.ndarray:
    """Cost of lists that hold `listed` units, `found` of them defects, where there are `defects` in all."""
    found, listed, defects = (np.asarray(number, dtype=float) for number in (found, listed, defects))
    stopped = float(costs.inspection or 0.0) * listed + costs.false_alarm * (listed - found)
    return stopped + float(costs.escape or 0.0) * (defects - found)
