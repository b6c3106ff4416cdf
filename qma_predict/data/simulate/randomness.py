"""Random streams that do not disturb each other, and the few random shapes the plant is made of."""

import zlib

import numpy as np
from scipy.signal import lfilter

HOUR = 3600
DAY = 24 * HOUR


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one named part of the simulation.

    Every part draws from its own child of the seed, so that a change in one part reshuffles no other.

    Parameters
    ----------
    seed : int
        Seed of the whole simulation, 0 or more.
    name : str
        Name of the part.

    Examples
    --------
    >>> from qma_predict.data.simulate.randomness import stream
    >>> bool(stream(7, "flow").random() == stream(7, "flow").random())
    True
    >>> bool(stream(7, "flow").random() == stream(7, "lots").random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),)))


def ar1(rng: np.random.Generator, size: int, memory: float) -> np.ndarray:
    """Return a stationary AR(1) series with mean 0 and variance 1.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Length of the series.
    memory : float
        Correlation time, in steps; above 0.

    Returns
    -------
    numpy.ndarray, shape (size,), float32
    """
    keep = np.float32(np.exp(-1.0 / memory))
    noise = rng.standard_normal(size, dtype=np.float32)
    before = keep * rng.standard_normal(1, dtype=np.float32)
    gain = np.sqrt(np.float32(1) - keep * keep)
    series, _ = lfilter(np.array([gain]), np.array([1, -keep], dtype=np.float32), noise, zi=before)
    return series


def spread_uniform(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return numbers of the open interval (0, 1), one in each of `size` equal slices, in random order.

    A short simulation then has its fair share of fast-wearing tools, as a long one has by itself.
    """
    return (rng.permutation(size) + rng.uniform(0.01, 0.99, size)) / max(size, 1)


def one_in(rng: np.random.Generator, size: int, block: int) -> np.ndarray:
    """Return a mask with one randomly placed True in each complete block of `block` places.

    Examples
    --------
    >>> import numpy as np
    >>> from qma_predict.data.simulate.randomness import one_in
    >>> int(one_in(np.random.default_rng(0), 12, 4).sum())
    3
    """
    chosen = np.arange(0, size, block)
    mask = np.zeros(size + block, dtype=bool)
    mask[chosen + rng.integers(0, block, chosen.size)] = True
    return mask[:size]


def delay(rng: np.random.Generator, size: int, *, typical: float, late_share: float) -> np.ndarray:
    """Return booking delays: mostly about `typical`, a share of them late by hours to days.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Number of delays.
    typical : float
        Mean of a delay that is not late [s].
    late_share : float
        Share of delays that are late, 0 to 1; a late one has a median of 6 h and is at most 4 days.

    Returns
    -------
    numpy.ndarray, shape (size,), int64
        Delays [s], at least 1.
    """
    prompt = np.minimum(rng.exponential(typical, size), 8 * typical)
    late = np.clip(rng.lognormal(np.log(6.0), 1.0, size), 0.5, 96.0) * HOUR
    return 1 + np.where(rng.random(size) < late_share, late, prompt).astype(np.int64)


def from_choices(rng: np.random.Generator, size: int, weights: tuple[float, ...]) -> np.ndarray:
    """Return `size` positions drawn with the given weights, shape (size,), int64."""
    share = np.asarray(weights, dtype=float)
    return rng.choice(share.size, size=size, p=share / share.sum())
