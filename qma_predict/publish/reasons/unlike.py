"""How unlike good units a unit is, feature by feature."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from qma_predict.learn.reference import Reference

RARE = 0.1
"""A value that at most this share of good units has is told as such: its range says nothing."""

_LOW, _HIGH, _FAR = 0.1, 0.9, 5.0


class Usual(NamedTuple):
    """How features are distributed among good units, and who these are.

    Attributes
    ----------
    siblings : DataFrame, shape (n_siblings, n_features)
    low, high : Series of float, indexed by feature
        10th and 90th percentile of the numbers.
    known : Series of float, indexed by feature
        Share of the units that have a value.
    compared : str
        In words: "good parts", or "good parts of all products".
    """

    siblings: pd.DataFrame
    low: pd.Series
    high: pd.Series
    known: pd.Series
    compared: str


def without_infinite(X: pd.DataFrame) -> pd.DataFrame:
    """Return features with what is infinite missing, as recipes take it."""
    if np.isinf(X.select_dtypes("number").to_numpy(dtype=float)).any():
        return X.replace([np.inf, -np.inf], np.nan)
    return X


def usual_of(reference: Reference, product: str) -> Usual:
    """Return how features are distributed among good units of a product."""
    siblings, alone = reference.siblings_of(product)
    siblings = without_infinite(siblings)
    numbers = siblings.select_dtypes("number")
    of_all = " of all products" if reference.products.notna().any() and not alone else ""
    return Usual(
        siblings, numbers.quantile(_LOW), numbers.quantile(_HIGH), siblings.notna().mean(), f"good parts{of_all}"
    )


def how_far(units: pd.DataFrame, usual: Usual) -> pd.DataFrame:
    """Return how far each feature of units is from good units; 0 where it is like them.

    Of a number, the distance from the range between the percentiles, in widths of it; of a text, the share of good
    units with another one, if that is most. 5 where the range has no width, where a value is missing that most good
    units have, and where there is one that hardly any of them has.

    Parameters
    ----------
    units : DataFrame, shape (n_units, n_features)
    usual : Usual
        Of the same features.

    Returns
    -------
    DataFrame of float, shape (n_units, n_features)
        Only relative sizes of features that tell the same count.
    """
    numbers = units[usual.low.index]
    values, low, high = numbers.to_numpy(dtype=float), usual.low.to_numpy(), usual.high.to_numpy()
    beyond = np.fmax(np.fmax(values - high, low - values), 0.0)
    width = np.where(high > low, high - low, np.nan)
    away = np.where(beyond > 0, np.nan_to_num(beyond / width, nan=_FAR), 0.0)
    away = np.where(~np.isnan(values) & (usual.known[numbers.columns].to_numpy() <= RARE), _FAR, away)
    found = pd.DataFrame(away, index=units.index, columns=numbers.columns)
    for text in units.columns.difference(numbers.columns):
        same = units[text].map(usual.siblings[text].value_counts(normalize=True)).astype(float).fillna(0.0)
        found[text] = np.where(units[text].notna() & (same <= 0.5), 1.0 - same, 0.0)
    found = found[units.columns]
    return found.mask(units.isna() & (usual.known > 0.5), _FAR)
