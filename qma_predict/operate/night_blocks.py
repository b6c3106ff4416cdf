"""Intervals from nights drawn again in blocks: what happens to a plant lasts for more than a night."""

import numpy as np

from qma_predict.learn.redraws import spread


def night_blocks(nights: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each night is in each draw, where blocks of successive nights are drawn with replacement.

    What happens to a plant, a bad lot or a drifting machine, lasts for more than a night; nights drawn one by one
    would make intervals too narrow. Blocks begin anywhere, and one that reaches the end goes on at the beginning
    (circular block bootstrap); of the last one only as much is taken as is missing.

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
    length = block_length(nights)
    starts = rng.integers(0, max(nights, 1), (draws, -(-nights // length)))
    taken = ((starts[:, :, None] + np.arange(length)) % max(nights, 1)).reshape(draws, -1)[:, :nights]
    counts = np.zeros((draws, nights), dtype=int)
    np.add.at(counts, (np.arange(draws)[:, None], taken), 1)
    return counts


def block_length(nights: int) -> int:
    """Nights of a block: the cube root of their number, rounded.

    Examples
    --------
    >>> [block_length(n) for n in (1, 8, 30, 90)]
    [1, 2, 3, 4]
    """
    return max(1, round(nights ** (1 / 3)))


def interval(value: float, again: np.ndarray | None) -> tuple[float, float]:
    """Limits (95 %) about a value: percentiles of what the draws gave, moved so that their mean is the value.

    Parameters
    ----------
    value : float
    again : ndarray of float, shape (n_draws,), or None
        The same for each draw of nights; NaN where it is not defined.

    Returns
    -------
    low, high : float
        NaN if no draw has a value.

    Examples
    --------
    >>> interval(0.5, np.array([0.3, 0.4, 0.5]))
    (0.405, 0.595)
    """
    known = np.array([]) if again is None else again[~np.isnan(again)]
    if not len(known):
        return np.nan, np.nan
    low, high = spread(known)
    return float(value + low), float(value + high)
