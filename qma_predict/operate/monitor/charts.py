"""Control charts: whether a series still varies about its level as it did in a baseline period.

Every function takes values in the order of time and a flag for those of the baseline, which set centre and limits,
and returns a frame, a row a value: ``value``; ``centre``, ``low`` and ``high``, the control limits; ``signal``,
whether the value lies beyond them; and ``baseline``. Centre and limits are missing where the baseline has fewer than
two values. A missing value has no signal, and is passed over by ranges and averages.

References
----------
Montgomery, D. C. (2013). Introduction to Statistical Quality Control, 7th ed., sections 6.4 (individuals) and 9.2
(EWMA).
Laney, D. B. (2002). Improved control charts for attributes. Quality Engineering 14, 531-537.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

SIGMAS = 3.0
"""Width of the limits [standard deviations]: a normal value lies beyond them once in 370."""

WEIGHT = 0.2
"""Weight of the newest value in an EWMA."""

EWMA_SIGMAS = 2.962
"""Width of the limits of an EWMA of that weight: without a change it signals once in 500 values (Lucas and Saccucci
1990, Technometrics 32, 1-29)."""

_D2 = 1.128  # mean range of two normal values with standard deviation 1
COLUMNS = ("value", "centre", "low", "high", "signal", "baseline")


def individuals(values: npt.ArrayLike, baseline: npt.ArrayLike) -> pd.DataFrame:
    """Return the individuals chart (Shewhart) of values.

        centre = mean x,   limits = centre +- 3 * mean |x_i - x_(i-1)| / 1.128

    Parameters
    ----------
    values : array-like of float, shape (n,)
        Of any unit, in the order of time.
    baseline : array-like of bool, shape (n,)

    Returns
    -------
    DataFrame, shape (n, 6)
        See the module.

    Examples
    --------
    >>> individuals([10, 12, 11, 13, 19], [True] * 4 + [False])[["centre", "low", "high", "signal"]].round(2).tail(1)
       centre   low   high  signal
    4    11.5  7.07  15.93    True
    """
    x, of_baseline = _series(values, baseline)
    centre, sigma = _level(x[of_baseline])
    return _frame(x, centre, SIGMAS * sigma, of_baseline)


def ewma(values: npt.ArrayLike, baseline: npt.ArrayLike) -> pd.DataFrame:
    """Return the chart of the exponentially weighted moving average of values: it sees small changes that stay.

        z_i = 0.2 x_i + 0.8 z_(i-1),  z_0 = centre;
        limits = centre +- 2.962 * sigma * sqrt(0.2 / 1.8 * (1 - 0.8 ** (2 i)))

    with centre and sigma as in `individuals`.

    Parameters
    ----------
    values, baseline
        As `individuals` takes them.

    Returns
    -------
    DataFrame, shape (n, 6)
        See the module; ``value`` is the average, which stays where a value is missing.

    Examples
    --------
    >>> ewma([10, 12, 11, 13, 14], [True] * 4 + [False])[["value", "low", "high"]].round(2).tail(1)
       value    low   high
    4   12.1  10.12  12.88
    """
    x, of_baseline = _series(values, baseline)
    centre, sigma = _level(x[of_baseline])
    average, at = np.empty(len(x)), centre
    for place, value in enumerate(x):
        at = at if np.isnan(value) else WEIGHT * value + (1 - WEIGHT) * at
        average[place] = at
    seen = np.cumsum(~np.isnan(x))
    width = np.sqrt(WEIGHT / (2 - WEIGHT) * (1 - (1 - WEIGHT) ** (2 * seen)))
    found = _frame(average, centre, EWMA_SIGMAS * sigma * width, of_baseline)
    return found.assign(signal=found["signal"] & ~np.isnan(x))


def laney_p(defects: npt.ArrayLike, units: npt.ArrayLike, baseline: npt.ArrayLike) -> pd.DataFrame:
    """Return Laney's p' chart of defect rates: limits that allow for days which differ by more than chance.

        p = sum of defects / sum of units,   s_i = sqrt(p (1 - p) / n_i),   z_i = (p_i - p) / s_i,
        sigma_z = mean |z_i - z_(i-1)| / 1.128,   limits = p +- 3 * s_i * sigma_z, within 0 and 1

    With sigma_z = 1 it is the ordinary p chart.

    Parameters
    ----------
    defects : array-like of float, shape (n,)
        In the order of time.
    units : array-like of float, shape (n,)
        Inspected; a day without any has a missing rate.
    baseline
        As `individuals` takes it.

    Returns
    -------
    DataFrame, shape (n, 8)
        See the module; with ``z`` and ``sigma_z``, as the formula has them.

    Examples
    --------
    >>> laney_p([2, 4, 3, 1, 16], [100] * 5, [True] * 4 + [False])[["centre", "high", "signal"]].round(3).tail(1)
       centre   high  signal
    4   0.025  0.069    True
    """
    count, of_baseline = _series(defects, baseline)
    inspected = np.asarray(units, dtype=float)
    rate = np.divide(count, inspected, out=np.full(len(count), np.nan), where=inspected > 0)
    total = inspected[of_baseline].sum()
    p = float(count[of_baseline].sum() / total) if total > 0 else np.nan
    s = np.sqrt(p * (1 - p) / np.where(inspected > 0, inspected, np.nan))
    z = np.divide(rate - p, s, out=np.full(len(count), np.nan), where=s > 0)
    sigma_z = _level(z[of_baseline])[1]
    found = _frame(rate, p, SIGMAS * s * sigma_z, of_baseline)
    limits = {"low": found["low"].clip(lower=0.0), "high": found["high"].clip(upper=1.0)}
    return found.assign(**limits, z=z, sigma_z=sigma_z)


def ewma_of_rate(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the EWMA chart of what `laney_p` gives: of each day's ``z``, by which a day counts as much as it tells.

    Parameters
    ----------
    rates : DataFrame, shape (n, 8)

    Returns
    -------
    DataFrame, shape (n, 6)
        See the module; ``value`` and limits in standard errors of a day's rate, about 0.
    """
    return ewma(rates["z"], rates["baseline"])


def _series(values: npt.ArrayLike, baseline: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, of_baseline = np.asarray(values, dtype=float), np.asarray(baseline, dtype=bool)
    if x.ndim != 1 or x.shape != of_baseline.shape:
        raise ValueError(f"chart: found {x.shape} values and {of_baseline.shape} flags, expected as many of each")
    return x, of_baseline


def _level(x: np.ndarray) -> tuple[float, float]:
    """Mean, and standard deviation by the mean moving range; NaN of fewer than two values."""
    known = x[~np.isnan(x)]
    if len(known) < 2:
        return np.nan, np.nan
    return float(known.mean()), float(np.abs(np.diff(known)).mean() / _D2)


def _frame(x: np.ndarray, centre: float, width: float | np.ndarray, of_baseline: np.ndarray) -> pd.DataFrame:
    low, high = centre - width, centre + width
    signal = (x < low) | (x > high)  # a comparison with what is missing is false
    return pd.DataFrame(
        {"value": x, "centre": centre, "low": low, "high": high, "signal": signal, "baseline": of_baseline}
    )
