"""Intervals from nights drawn again in blocks: what happens to a plant lasts for more than a night."""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from qma_predict.learn.redraws import spread
from qma_predict.learn.runs import run_length


def night_blocks(nights: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each night is in each draw, where blocks of successive nights are drawn with replacement.

    What happens to a plant, a bad lot or a drifting machine, lasts for more than a night; nights drawn one by one
    would make intervals too narrow. Blocks have the length of `qma_predict.learn.runs.run_length`. They begin anywhere,
    and one that reaches the end goes on at the beginning (circular block bootstrap); of the last one only as much is
    taken as is missing.

    Parameters
    ----------
    nights : int
        In the order of time.
    draws : int
    rng : numpy Generator

    Returns
    -------
    ndarray of int, shape (draws, nights)

    References
    ----------
    Politis, D. N. and Romano, J. P. (1992). A circular block-resampling procedure for stationary data. In: Exploring
    the Limits of Bootstrap, 263-270.

    Examples
    --------
    >>> night_blocks(8, 3, np.random.default_rng(0)).sum(axis=1)
    array([8, 8, 8])
    """
    length = run_length(nights)
    starts = rng.integers(0, max(nights, 1), (draws, -(-nights // length)))
    taken = ((starts[:, :, None] + np.arange(length)) % max(nights, 1)).reshape(draws, -1)[:, :nights]
    counts = np.zeros((draws, nights), dtype=int)
    np.add.at(counts, (np.arange(draws)[:, None], taken), 1)
    return counts


def interval(value: float, again: np.ndarray | None, nights: int) -> tuple[float, float]:
    """Limits (95 %) about a value: percentiles of what the draws gave, moved so that their mean is the value.

    Blocks are few. What is drawn from them varies less than nights that were not seen, by as much as a block is of the
    whole, and how much it varies is itself uncertain: so limits are wider than the percentiles, by the square root of
    the one and by Student's t against the normal distribution for the other.

    Parameters
    ----------
    value : float
    again : ndarray of float, shape (n_draws,), or None
        The same for each draw of nights; NaN where it is not defined.
    nights : int
        How many there are to draw from.

    Returns
    -------
    low, high : float
        NaN if no draw has a value, or there are fewer than two blocks.

    Examples
    --------
    >>> low, high = interval(0.5, np.array([0.3, 0.4, 0.5]), 900)
    >>> round(low, 3), round(high, 3)
    (0.399, 0.601)
    """
    known = np.array([]) if again is None else again[~np.isnan(again)]
    blocks = nights / run_length(nights)
    if not len(known) or blocks < 2:
        return np.nan, np.nan
    wider = float(student.ppf(0.975, blocks - 1) / norm.ppf(0.975) * np.sqrt(blocks / (blocks - 1)))
    low, high = spread(known)
    return value + low * wider, value + high * wider
