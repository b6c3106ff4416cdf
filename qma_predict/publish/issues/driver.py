"""What was measured otherwise on the units of an issue than on good units."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.features.units import feature_families
from qma_predict.line import Line
from qma_predict.publish.pages.words import Moments
from qma_predict.publish.reasons.drivers import name_of, numbers_in_words, plain, range_in_words, words_of
from qma_predict.publish.text import visible

LEAST_APART = 0.75
"""Least share of pairs of a unit and a good unit in which the unit's value is the higher one (or the lower)."""

LEAST_SIBLINGS = 30
MEASURED = ("readings", "inspections")
"""Families of features that are measured quantities: what was counted or dated says when, not what."""

STATISTICS = ("last", "mean", "deviation", "measured")
"""Statistics that are compared: others of a tag are no value that a gauge shows, nor the distance from a set point."""

_TREND = 0.3


@dataclass(frozen=True)
class Driver:
    """The measured quantity that differs most.

    Attributes
    ----------
    feature : str
    sentence : str
        Its median on the issue's units against what most good units have.
    apart : float
        Share of pairs in which the unit's value is the higher one (the area under the ROC curve).
    implausible : bool
        Whether the median is as far beyond the good units' whole range as that is wide.
    """

    feature: str
    sentence: str
    apart: float
    implausible: bool


def driver_of(
    features: pd.DataFrame | None,
    siblings: pd.DataFrame | None,
    at: pd.Series,
    line: Line,
    moments: Moments,
    units_of_measure: Mapping[str, str],
    *,
    only: str = "",
) -> Driver | None:
    """The measured quantity by which an issue's units differ most from good units; None if there is none.

    By ranks, so that neither outliers nor the unit of measure count; of equals, the one first by name.

    Parameters
    ----------
    features, siblings : DataFrame or None
        Feature tables of candidates, indexed by unit_id, and of good units. Good units of other products are left out
        where `unit.product` tells them and enough remain.
    at : Series, indexed by unit_id
        When each of the issue's units came under its conditions [UTC].
    line : Line
    moments : Moments
    units_of_measure : mapping
    only : str
        The one feature that may be told; any if empty.
    """
    if features is None or siblings is None:
        return None
    own = features.reindex(at.index.intersection(features.index))
    good = _of_the_same_products(own, siblings)
    names = [only] if only else measured(own, good, line)
    own, good = own[names], good[names]
    enough = (own.notna().mean() >= 0.5) & (good.notna().sum() >= LEAST_SIBLINGS) & (own.notna().sum() >= 2)
    own, good = own.loc[:, enough], good.loc[:, enough]
    if own.empty or own.columns.empty:
        return None
    apart = _apart(own, good)
    best = str((apart - 0.5).abs().round(9).idxmax())
    if abs(apart[best] - 0.5) < LEAST_APART - 0.5:
        return None
    values, usual = own[best].dropna(), good[best].dropna()
    low, high = float(usual.min()), float(usual.max())
    median = float(values.median())
    implausible = max(low - median, median - high) > high - low > 0
    since = moments.words(at.min().to_pydatetime())
    words = f"{in_words(best, line)} {_values(values, usual, units_of_measure.get(best, ''))}"
    sentence = f"{words}, {_course(values, usual, at)} since {since}"
    return Driver(best, sentence, float(apart[best]), implausible)


def measured(units: pd.DataFrame, siblings: pd.DataFrame, line: Line) -> list[str]:
    """Features of both tables that are a measured quantity, by name."""
    families = feature_families(line, list(units.columns.intersection(siblings.columns)))
    names = sorted(name for name, of in families.items() if of in MEASURED and name.rpartition(".")[2] in STATISTICS)
    return [name for name in names if pd.api.types.is_numeric_dtype(siblings[name])]


def _of_the_same_products(own: pd.DataFrame, siblings: pd.DataFrame) -> pd.DataFrame:
    if "unit.product" not in own or "unit.product" not in siblings:
        return siblings
    same = siblings[siblings["unit.product"].isin(own["unit.product"].dropna().unique())]
    return same if len(same) >= LEAST_SIBLINGS else siblings


def _apart(own: pd.DataFrame, good: pd.DataFrame) -> pd.Series:
    """Area under the ROC curve of each feature, by the sum of ranks; ties count half."""
    ranks = pd.concat([own, good]).rank()
    n, others = own.notna().sum(), good.notna().sum()
    return (ranks.iloc[: len(own)].sum() - n * (n + 1) / 2) / (n * others)


def in_words(feature: str, line: Line) -> str:
    """What a feature is, in words, with its station: such as `press injection time against its set point`."""
    name = name_of(feature, line.route, ())
    return f"{plain(name.station)} {words_of(name)}"


def _values(values: pd.Series, usual: pd.Series, unit: str) -> str:
    """The median against what most good units have: such as `2.31 s, good parts 2.05-2.18`."""
    value, low, high = numbers_in_words(float(values.median()), *map(float, usual.quantile([0.1, 0.9])))
    return f"{value}{f' {visible(unit)}' if unit else ''}, good parts {range_in_words(low, high)}"


def _course(values: pd.Series, usual: pd.Series, at: pd.Series) -> str:
    times = at.reindex(values.index).rank().to_numpy()
    ranks = values.rank().to_numpy()
    spread = times.std() * ranks.std()
    trend = 0.0 if spread == 0 else float(np.mean((times - times.mean()) * (ranks - ranks.mean())) / spread)
    above = values.median() > usual.median()
    if above:
        return "rising" if trend > _TREND else "high"
    return "falling" if trend < -_TREND else "low"
