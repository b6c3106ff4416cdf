"""The course of a tag over the units of a machine: since when it has been unusual, and whether its sensor lives."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from qma_predict.publish.reasons.drivers import Limits, numbers_in_words, range_in_words

STUCK = 5
"""Units in a row with the same value from which on a sensor whose values else change is called stuck."""

_TIMES = 3


class Run(NamedTuple):
    """Units in a row, up to the last one: the first of them, how many, and whether none is known before it."""

    first: str
    length: int
    from_the_start: bool


def last_run(flags: pd.Series) -> Run | None:
    """Return the units in a row, up to the last one, that are flagged; None if there are fewer than two.

    Parameters
    ----------
    flags : Series of bool, shape (n_units,), indexed by unit_id
        In order of time.

    Examples
    --------
    >>> flags = pd.Series([True, False, True, True], index=["u1", "u2", "u3", "u4"])
    >>> last_run(flags), last_run(flags.head(1)), last_run(flags.iloc[2:])
    (Run(first='u3', length=2, from_the_start=False), None, Run(first='u3', length=2, from_the_start=True))
    """
    others = np.flatnonzero(~flags.to_numpy(dtype=bool))
    start = int(others[-1]) + 1 if len(others) else 0
    length = len(flags) - start
    return Run(str(flags.index[start]), length, start == 0) if length > 1 else None


def stuck_for(values: pd.Series, machine: pd.Series) -> pd.Series:
    """Return in how many units in a row, up to each, a machine's tag has had one value, where that is suspicious.

    It is if they are `STUCK` at least and three times as many as in any other run of equal values among the units of
    all machines: a tag that is measured once a lot repeats itself, too. There has to be another run to compare with.

    Parameters
    ----------
    values : Series of float, shape (n_units,), indexed by unit_id
        In order of time; missing ones are left out.
    machine : Series, shape (n_units,), indexed by unit_id
        Machine of each unit, in the same order.

    Returns
    -------
    Series of int, shape (n_known,), indexed by unit_id
        0 where nothing is suspicious.

    Examples
    --------
    >>> units, one = list("abcdefgh"), pd.Series("P1", index=list("abcdefgh"))
    >>> stuck_for(pd.Series([1.0, 2.0] + [3.0] * 6, index=units), one).tolist()
    [0, 0, 0, 0, 0, 0, 5, 6]
    >>> stuck_for(pd.Series([1.0] * 3 + [3.0] * 5, index=units), one).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0]
    """
    known = values.dropna()
    machines = machine.reindex(known.index).fillna("").astype("str")
    order = machines.argsort(kind="stable").to_numpy()
    known, machines = known.iloc[order], machines.iloc[order]
    run = ((known != known.shift()) | (machines != machines.shift())).cumsum()
    lengths = run.value_counts()
    if len(lengths) < 2:
        return pd.Series(0, index=known.index)
    longest = lengths.iloc[0]
    others = run.map(lengths.where(lengths.index != lengths.index[0], -1)).map({-1: lengths.iloc[1]}).fillna(longest)
    length = run.groupby(run).cumcount() + 1
    return length.where((length >= STUCK) & (length >= _TIMES * others), 0)


def implausible(value: float, limits: Limits) -> str:
    """Return in words why a value cannot be; empty if it can.

    Examples
    --------
    >>> implausible(999.0, Limits(400.0, 450.0, 0.0, 600.0))
    'plausible 0-600'
    >>> implausible(999.0, Limits(400.0, 450.0, 0.0, np.nan)), implausible(-1.0, Limits(400.0, 450.0, 0.0, np.nan))
    ('', 'plausible from 0')
    """
    low, high = limits.plausible_low, limits.plausible_high
    if not (value < low or value > high):
        return ""
    if np.isnan(high):
        return f"plausible from {numbers_in_words(low)[0]}"
    if np.isnan(low):
        return f"plausible up to {numbers_in_words(high)[0]}"
    return f"plausible {range_in_words(*numbers_in_words(low, high))}"
