"""What became of the promises of replayed lists, with intervals over which nights happened to come."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from qma_predict.learn.rates import Rate
from qma_predict.learn.verdict import MIN_NIGHTS
from qma_predict.operate.night_blocks import interval, night_blocks

REPLICATES = 2000
SEED = 0


def share_kept(kept: pd.Series) -> Rate:
    """Share of promises that were kept, with its interval (95 %) from nights drawn in blocks.

    Where all were kept, or none, every draw is alike: the limits are then exact (Clopper and Pearson), as of nights
    that are independent.

    Parameters
    ----------
    kept : Series of bool
        Of the nights whose promise can be judged, in the order of time.

    Examples
    --------
    >>> print(share_kept(pd.Series([True] * 30)))
    100.0 % (88.4 to 100.0 %)
    """
    if kept.empty:
        return Rate(np.nan, np.nan, np.nan)
    share = float(kept.mean())
    if len(kept) < MIN_NIGHTS:
        return Rate(share, np.nan, np.nan)
    if share in (0.0, 1.0):
        exact = binomtest(int(kept.sum()), len(kept)).proportion_ci()
        return Rate(share, float(exact.low), float(exact.high))
    draws = night_blocks(len(kept), REPLICATES, np.random.default_rng(SEED))
    low, high = interval(share, draws @ kept.to_numpy(float) / len(kept), len(kept))
    return Rate(share, max(low, 0.0), min(high, 1.0))


def found_per_promised(nights: pd.DataFrame) -> tuple[float, float, float]:
    """Defects found among checked units for each that was promised, with its interval (95 %).

    Parameters
    ----------
    nights : DataFrame, one row a night, oldest first
        ``found`` and ``promised``, which may be missing.
    """
    told = nights[nights["promised"].notna()]
    found, promised = told["found"].to_numpy(float), told["promised"].to_numpy(float)
    value = float(ratio(found.sum(keepdims=True), promised.sum(keepdims=True))[0])
    if len(told) < MIN_NIGHTS:
        return value, np.nan, np.nan
    draws = night_blocks(len(told), REPLICATES, np.random.default_rng(SEED))
    low, high = interval(value, ratio(draws @ found, draws @ promised), len(told))
    return value, max(low, 0.0), high


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """One number by another, NaN where that is not above 0."""
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
