"""What was measured otherwise on the units of an issue than on good units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from qma_predict.features.units import feature_families
from qma_predict.line import Line
from qma_predict.publish.pages.words import Moments
from qma_predict.publish.reasons.drivers import (
    LEVELS,
    UNLIMITED,
    Limits,
    limit_in_words,
    limits_at,
    name_of,
    numbers_in_words,
    plain,
    range_in_words,
    words_of,
)
from qma_predict.publish.text import visible

LEAST_APART = 0.75
"""Least share of pairs of a unit and a good unit in which the unit's value is the higher one (or the lower)."""

LEAST_SIBLINGS = 30
MEASURED = ("readings", "inspections")
"""Families of features that are measured quantities: what was counted or dated says when, not what."""

STATISTICS = ("last", "mean", "deviation", "measured")
"""Statistics that are compared: others of a tag are no value that a gauge shows, nor the distance from a set point."""

LEAST_RUN = 5
"""Units beyond the range of good ones that make a run; so many within it, one after the other, end it [units]."""

_TREND = 0.5


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
    units: Sequence[str],
    at: pd.Series,
    line: Line,
    moments: Moments,
    units_of_measure: Mapping[str, str],
    *,
    tags: pd.DataFrame | None = None,
    only: str = "",
) -> Driver | None:
    """The measured quantity by which an issue's units differ most from good units; None if there is none.

    By ranks, so that neither outliers nor the unit of measure count; of equals, the one first by name.

    Parameters
    ----------
    features, siblings : DataFrame or None
        Feature tables of candidates, indexed by unit_id, and of good units, of which `of_the_same_products` counts.
    units : sequence of str
        The issue's.
    at : Series, indexed by unit_id
        When each candidate under the issue's conditions came there (`came`) [UTC]: how the quantity went is told of
        all of them, as it is drawn.
    line : Line
    moments : Moments
    units_of_measure : mapping
    tags : DataFrame, optional
        As `limits_of` takes it; without it no limit is told.
    only : str
        The one feature that may be told; any if empty.
    """
    if features is None or siblings is None:
        return None
    own = features[features.index.isin(units)]
    good = of_the_same_products(own, siblings)
    names = [only] if only else measured(own, good, line)
    enough = own[names].notna().mean() >= 0.5
    enough &= (good[names].notna().sum() >= LEAST_SIBLINGS) & (own[names].notna().sum() >= 2)
    if own.empty or not enough.any():
        return None
    apart = _apart(own[enough.index[enough]], good[enough.index[enough]])
    best = str((apart - 0.5).abs().round(9).idxmax())
    if abs(apart[best] - 0.5) < LEAST_APART - 0.5:
        return None
    values, usual = own[best].dropna(), good[best].dropna()
    low, high = float(usual.min()), float(usual.max())
    median = float(values.median())
    implausible = max(low - median, median - high) > high - low > 0
    limits = UNLIMITED if tags is None else limits_of(best, own, tags, at.max(), line)
    words = f"{in_words(best, line)} {_values(values, usual, units_of_measure.get(best, ''), limits)}"
    course = _course(features[best].reindex(at.sort_values(kind="stable").index).dropna(), usual, at, median, moments)
    return Driver(best, f"{words}, {course}", float(apart[best]), implausible)


def came(shared: Sequence[tuple[str, str]], conditions: pd.DataFrame) -> pd.Series:
    """When each unit came under all of these conditions, by unit_id; without any, under the last that it has."""
    wanted = conditions
    if shared:
        wanted = conditions.merge(pd.DataFrame(list(shared), columns=["attribute", "value"], dtype="str"))
    of_unit = wanted.groupby("unit_id").agg(shared=("attribute", "size"), at=("occurred_at", "max"))
    return of_unit.loc[of_unit["shared"] == len(shared), "at"] if shared else of_unit["at"]


def limits_of(feature: str, own: pd.DataFrame, tags: pd.DataFrame, at: datetime, line: Line) -> Limits:
    """What holds at a moment [UTC] for the tag of a feature and the product of most of these units.

    Parameters
    ----------
    feature : str
    own : DataFrame, indexed by unit_id
        Features of the units.
    tags : DataFrame
        Every version of the table `tags` that is known.
    at : datetime
    line : Line
    """
    known = tags["station"].astype("str") + "." + tags["tag"].astype("str")
    name = name_of(feature, line.route, set(known))
    rows = tags[known == f"{name.station}.{name.tag}"]
    if rows.empty or name.statistic not in LEVELS:
        return UNLIMITED
    product = own.get("unit.product", pd.Series(dtype="str")).mode()
    return limits_at(rows, product.iloc[0] if len(product) else "", at)


def measured(units: pd.DataFrame, siblings: pd.DataFrame, line: Line) -> list[str]:
    """Features of both tables that are a measured quantity, by name."""
    families = feature_families(line, list(units.columns.intersection(siblings.columns)))
    names = sorted(name for name, of in families.items() if of in MEASURED and name.rpartition(".")[2] in STATISTICS)
    return [name for name in names if pd.api.types.is_numeric_dtype(siblings[name])]


def of_the_same_products(own: pd.DataFrame, siblings: pd.DataFrame) -> pd.DataFrame:
    """Good units of the products of these units, where `unit.product` tells them and enough remain; else all."""
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


def good_range(usual: pd.Series) -> tuple[float, float]:
    """What most good units have: 10 % and 90 % quantile of theirs."""
    return float(usual.quantile(0.1)), float(usual.quantile(0.9))


def _values(values: pd.Series, usual: pd.Series, unit: str, limits: Limits) -> str:
    """The median against what most good units have: such as `2.31 s, good parts 2.05-2.18, limit 2.25`."""
    median, ends = float(values.median()), good_range(usual)
    value, low, high = numbers_in_words(median, *ends)
    limit = limit_in_words(median, *ends, limits)
    words = f"{value}{f' {visible(unit)}' if unit else ''}, good parts {range_in_words(low, high)}"
    return f"{words}, limit {limit}" if limit else words


def _course(values: pd.Series, usual: pd.Series, at: pd.Series, median: float, moments: Moments) -> str:
    """How a quantity went, in order of time: since when, or from when to when, it has been beyond the good range.

    The last run is told, and that there was one before it. Where there is none, the units beyond are counted.
    """
    above = median > usual.median()
    low, high = good_range(usual)
    side = "high" if above else "low"
    beyond = (values > high if above else values < low).to_numpy()
    if not beyond.any():
        return side

    def when(place: int) -> str:
        return moments.words(at[values.index[place]].to_pydatetime())

    runs = _runs(beyond)
    if not runs:
        start = int(beyond.argmax())
        return f"{side} in {beyond.sum():,} of {len(values) - start:,} units since {when(start)}"
    first, last = runs[-1]
    trend = _trend(values.iloc[first : last + 1]) * (1 if above else -1)
    course = ("rising" if above else "falling") if trend > _TREND else side
    again = " again" if len(runs) > 1 else ""
    if len(values) - 1 - last >= LEAST_RUN:
        return f"{course}{again} from {when(first)} to {when(last)}"
    return f"{course}{again} since {when(first)}"


def _runs(beyond: np.ndarray) -> list[tuple[int, int]]:
    """First and last unit of each run: where most are beyond, so that single units before and after are left out."""
    places, runs = np.flatnonzero(beyond), []
    for part in np.split(places, np.flatnonzero(np.diff(places) > LEAST_RUN) + 1):
        within = beyond[part[0] : part[-1] + 1]
        more = np.append(0, np.where(within, 1, -1).cumsum())
        last = int((more[1:] - np.minimum.accumulate(more)[:-1]).argmax())
        first = int(more[: last + 1].argmin())
        if within[first : last + 1].sum() >= LEAST_RUN:
            runs.append((int(part[0]) + first, int(part[0]) + last))
    return runs


def _trend(values: pd.Series) -> float:
    """Rank correlation of values with their order."""
    ranks = values.rank().to_numpy()
    return 0.0 if len(set(ranks)) < 2 else float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1])
