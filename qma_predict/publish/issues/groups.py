"""Groups of units by what they share, and what risk is normal for each.

A group is what units share: one condition or two. Its normal is its own risk of the last weeks; that of a group which
is too new to have one, as of a fresh lot, is that of other units of the same products and machines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

NIGHTS = 7
"""Nights of which a normal must be known: a week, as weekends differ."""

WINDOWS = 3
"""A group is looked at over its units that are new tonight, new in two nights, and all: what began is not yet gone."""

LEAST_UNITS = 5
LEAST_RATIO = 2.0
LEAST_EXTRA = 1.0
"""An issue has at least so many units, so many times its normal risk, and so many more expected defects [defects]."""

USUAL_MOVES = 3.0
"""How many usual moves of a night a group must be above its normal."""

_ANSCOMBE = 3 / 8
"""Defects that are added before roots, which makes the spread of small counts like that of large ones."""

_PRIOR = 20.0
"""Units of the wider group's risk that a group's own normal is given."""

_HIGHEST = 0.25
"""Share of a group's nights, the highest, that are no part of its normal: incidents are not normal."""


@dataclass(frozen=True)
class Kind:
    """Groups that share the same attributes.

    Attributes
    ----------
    attributes : tuple of str
    values : DataFrame, shape (n_groups, n_attributes)
        What the units of each group share.
    members : DataFrame
        ``row`` of the scores, ``group``, and ``at`` [UTC], when the unit came under the last of the conditions.
    feature, side : str
        The measured quantity of which the units are beyond the usual range, "above" or "below"; empty if by none.
    """

    attributes: tuple[str, ...]
    values: pd.DataFrame
    members: pd.DataFrame
    feature: str = ""
    side: str = ""

    def conditions(self, group: int) -> tuple[tuple[str, str], ...]:
        """What the units of a group share: attributes and values."""
        return tuple(zip(self.attributes, self.values.iloc[group], strict=True))


@dataclass(frozen=True)
class Normal:
    """What is normal for the groups of a kind.

    Attributes
    ----------
    expected : ndarray, shape (n_members,)
        Normal risk of each member of the kind.
    limit : float
        How far above its normal no group usually moves in a night (see `moved_by`).
    nights : ndarray, shape (n_groups,)
        How many past nights had units of the group.
    moved : ndarray, shape (n_groups, n_nights)
        How far each past night was above normal; missing where it had too few units.
    large : ndarray of bool, shape (n_groups, n_nights)
        Past nights on which risk was so far above normal that it was an issue's.
    """

    expected: np.ndarray
    limit: float
    nights: np.ndarray
    moved: np.ndarray
    large: np.ndarray


def laid_out(scored: pd.DataFrame, past: pd.DataFrame, night: date) -> pd.DataFrame:
    """Scores of tonight and of past nights in one frame.

    Parameters
    ----------
    scored : DataFrame
        Tonight's candidates: ``unit_id``, ``score`` (missing: left out), ``first_night``.
    past : DataFrame
        ``unit_id``, ``night``, ``score``; of a unit, its first night counts.
    night : date
        Tonight.

    Returns
    -------
    DataFrame
        ``unit_id``, ``score`` and ``night``, the number of the night, from 0. The `attrs["tonight"]` nights before
        are past; tonight's candidates have this number if they are new, one more if they were new the night before,
        and so on up to the last of `WINDOWS`.
    """
    before = past[(past["night"] < night) & past["score"].notna()].sort_values(["night", "unit_id"], kind="stable")
    before = before.drop_duplicates("unit_id")
    nights = sorted(before["night"].unique())
    new = scored[scored["score"].notna()]
    known = [*nights, night]
    position = {one: len(nights) - known.index(one) for one in known[-WINDOWS:]}
    age = new["first_night"].map(position).fillna(WINDOWS - 1).astype("int64")
    rows = pd.concat(
        [
            before[["unit_id", "score"]].assign(night=pd.Index(nights, dtype=object).get_indexer(before["night"])),
            new[["unit_id", "score"]].assign(night=len(nights) + age),
        ],
        ignore_index=True,
    )
    rows.attrs["tonight"] = len(nights)
    return rows


def kinds(rows: pd.DataFrame, conditions: pd.DataFrame) -> Iterator[Kind]:
    """Every kind of group: the product, every other attribute, then pairs of attributes.

    Pairs are the product with another attribute but order and time, and a machine with a lot.

    Parameters
    ----------
    rows : DataFrame
        As `laid_out` gives it.
    conditions : DataFrame
        As `features.conditions` gives it, of all units of the rows.
    """
    numbered = rows[["unit_id"]].assign(row=np.arange(len(rows)))
    joined = conditions.merge(numbered, on="unit_id").rename(columns={"occurred_at": "at"})
    singles = {}
    for attribute, members in joined.groupby("attribute", sort=True):
        group, names = pd.factorize(members["value"], sort=True)
        members = members[["row", "at"]].assign(group=group).reset_index(drop=True)
        singles[str(attribute)] = Kind((str(attribute),), pd.DataFrame({attribute: names}), members)
    yield from sorted(singles.values(), key=lambda kind: kind.attributes != ("product",))
    for first in singles.values():
        for second in singles.values():
            if _paired(*first.attributes, *second.attributes):
                yield _pair(first, second)


def _paired(first: str, second: str) -> bool:
    of_product = second == "product" and first not in ("product", "order", "time")
    return of_product or (first.endswith(" machine") and second.endswith(" lot"))


def _pair(first: Kind, second: Kind) -> Kind:
    both = first.members.merge(second.members, on="row", suffixes=("_1", "_2"))
    at = both["at_1"].where(both["at_1"] > both["at_2"], both["at_2"])
    group, codes = pd.factorize(both["group_1"] * len(second.values) + both["group_2"], sort=True)
    left = first.values.iloc[codes // len(second.values)].reset_index(drop=True)
    right = second.values.iloc[codes % len(second.values)].reset_index(drop=True)
    members = pd.DataFrame({"row": both["row"], "group": group, "at": at})
    return Kind(first.attributes + second.attributes, pd.concat([left, right], axis=1), members)


def normal_of(kind: Kind, rows: pd.DataFrame, usual: np.ndarray) -> Normal:
    """What is normal for the groups of a kind, and how far past nights were from it.

    A group of at least `NIGHTS` past nights, the first of them among the first so many, has a normal of its own: its
    mean risk without its highest nights. Of others, as of a lot that came later and may have been bad from its first
    unit, it is the `usual` risk of their units, shape (n_rows,).
    """
    tonight, groups = rows.attrs["tonight"], len(kind.values)
    row, group = kind.members["row"].to_numpy(), kind.members["group"].to_numpy()
    night, score = rows["night"].to_numpy()[row], rows["score"].to_numpy()[row]
    past = night < tonight
    cell = group[past] * tonight + night[past]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values[past], groups * tonight).reshape(groups, tonight)

    units, risk = total(np.ones(len(row))), total(score)
    nights = (units > 0).sum(axis=1)
    lasting = (nights >= NIGHTS) & (units[:, :NIGHTS] > 0).any(axis=1)
    own = _own(units, risk, total(usual[row]))
    expected = np.where(lasting[group], own[group], usual[row])
    moved = np.where(units >= LEAST_UNITS, moved_by(risk, total(expected)), np.nan)
    limit = _limit(moved[~np.isnan(moved)])
    return Normal(expected, limit, nights, moved, is_large(units, risk, total(expected), limit))


def moved_by(risk: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far expected defects are above normal ones, in twice the difference of their square roots.

    A group's risk is a sum over few units, which varies as a count does: by the root of what is normal. So groups of
    two and of twenty expected defects move alike on this scale. In logarithms the small ones move much more, most of
    all downwards, and a limit drawn from that hides a machine at four times its normal.

    References
    ----------
    Anscombe, F. J. (1948). The transformation of Poisson, binomial and negative-binomial data. Biometrika 35, 246-254.

    Examples
    --------
    >>> moved_by(np.array([2.0, 8.0, 30.0]), np.array([2.0, 2.0, 20.0])).round(1).tolist()
    [0.0, 2.7, 2.0]
    """
    return 2.0 * (np.sqrt(risk + _ANSCOMBE) - np.sqrt(expected + _ANSCOMBE))


def is_large(units: np.ndarray, risk: np.ndarray, expected: np.ndarray, limit: np.ndarray | float) -> np.ndarray:
    """Whether groups have the size of an issue and are further above their normal than is usual."""
    enough = (units >= LEAST_UNITS) & (risk >= LEAST_RATIO * expected) & (risk - expected >= LEAST_EXTRA)
    return enough & (moved_by(risk, expected) >= limit)


def _limit(moved: np.ndarray) -> float:
    """Highest usual move: judged by the moves downwards, which incidents do not widen."""
    if not moved.size:
        return 0.0
    low, middle = np.quantile(moved, [0.16, 0.5])
    return float(middle + USUAL_MOVES * (middle - low))


def _own(units: np.ndarray, risk: np.ndarray, wider: np.ndarray) -> np.ndarray:
    """Mean risk of each group over its nights, without the highest, drawn a little towards that of the wider group."""
    with np.errstate(invalid="ignore"):
        mean = np.where(units > 0, risk / units, -np.inf)
    place = mean.argsort(axis=1).argsort(axis=1)
    first = (units == 0).sum(axis=1, keepdims=True)
    kept = place < first + np.floor((1 - _HIGHEST) * (units > 0).sum(axis=1, keepdims=True))
    kept &= units > 0
    n = (units * kept).sum(axis=1)
    with np.errstate(invalid="ignore"):
        prior = np.nan_to_num((wider * kept).sum(axis=1) / n)
    return ((risk * kept).sum(axis=1) + _PRIOR * prior) / (n + _PRIOR)


def judged(rows: pd.DataFrame, conditions: pd.DataFrame) -> tuple[list[tuple[Kind, Normal]], np.ndarray]:
    """Every kind of group with its normal, and the normal of each row's product.

    The product's normal stands in for that of a group that is too new to have its own; where a pair is too new, each
    unit has the higher of the normals of its two parts.
    """
    past = rows[rows["night"] < rows.attrs["tonight"]]
    means = past.groupby("night")["score"].mean().sort_values()
    usual = np.full(len(rows), means.head(int(np.ceil((1 - _HIGHEST) * len(means)))).mean())
    parts: dict[str, np.ndarray] = {}
    found = []
    for kind in kinds(rows, conditions):
        wider = usual if len(kind.attributes) == 1 else np.fmax(*(parts[name] for name in kind.attributes))
        normal = normal_of(kind, rows, wider)
        found.append((kind, normal))
        if len(kind.attributes) == 1:
            of_unit = pd.Series(normal.expected).groupby(kind.members["row"].to_numpy()).max()
            part = usual.copy()
            part[of_unit.index] = of_unit
            parts[kind.attributes[0]] = part
            usual = part if kind.attributes == ("product",) else usual
    return found, usual


def nights_in_a_row(normal: Normal, group: int) -> int:
    """For how many nights a group has stood out, tonight included; nights with too few of its units are passed over."""
    known = ~np.isnan(normal.moved[group])
    return 1 + int(np.cumprod(normal.large[group][known][::-1]).sum())
