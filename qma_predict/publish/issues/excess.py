"""Which groups of a night's candidates have more expected risk than chance and their own normal explain.

A group counts if both is so:

* its risk is far above its own normal of the last weeks, further than groups of its kind usually move in a night;
* it is more than chance puts together: tonight's scores are dealt out anew among units of products of about the same
  normal risk, many times, and each time the group that stands out most is noted. What stands out more than those did is
  told. Groups overlap and are many, and scores are skewed: all three are in that maximum.

Where all units share the same, nothing can be dealt out; a product as a whole is compared with its nights before.
Groups by what was measured (`measured`) are tested in the same way, on the units that no other group explains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from qma_predict.publish.issues.groups import LEAST_UNITS, WINDOWS, Kind, Normal, is_large, moved_by

LEVEL = 0.02
"""Share of nights on which a group may stand out by chance; what else moves scores comes on top."""

DEALS = 299
"""How often the scores are dealt out anew."""

REFERENCE = 20
"""Past nights that a product as a whole must be above, all of them."""

SIMILAR = 10.0
"""Factor within which the normal risks lie of products whose scores are dealt out together."""

_ALIKE = 0.9
"""Share of units in common from which two groups are almost the same."""

_STILL = 0.6
"""Share of the strength of two groups that a wider one, by which both are told, has at least."""

_FILLED = 0.7
"""Share of the units of such a wider group that belong to one of the two."""


@dataclass(frozen=True)
class Groups:
    """Groups of all kinds among tonight's candidates, over each window: row i of each array is group i.

    Attributes
    ----------
    names : DataFrame, shape (n_groups, 6)
        ``kind`` (its number), ``group`` (its number in the kind), ``window`` (nights, less one), ``width`` (number of
        attributes), ``nights`` (past nights with units of the group), ``limit`` (see `Normal`).
    members : csr_array, shape (n_groups, n_candidates)
        1 where the candidate belongs to the group.
    expected : csr_array, shape (n_groups, n_candidates)
        Normal risk of the candidate as one of the group.
    dealt_with : ndarray of int, shape (n_candidates,)
        Candidates of the same number are dealt out together: those whose products have `SIMILAR` normals.
    """

    names: pd.DataFrame
    members: csr_array
    expected: csr_array
    dealt_with: np.ndarray

    def sums(self, scores: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Units, risk and expected defects of each group among the candidates that are present (1, else 0)."""
        return self.members @ present, self.members @ (scores * present), self.expected @ present

    def plainest(self, group: int, among: np.ndarray, present: np.ndarray) -> int:
        """Of the groups with almost the units of a group, the one with fewer conditions, then the newer one."""
        own = self.members[[group]].toarray()[0] * present
        units, common = self.members @ present, self.members @ own
        alike = among & (common >= _ALIKE * (units + own.sum() - common))
        order = ["width", "nights", "kind", "group"]
        return int(self.names[alike].sort_values(order, kind="stable").index[0])

    def all_of(self, group: int) -> np.ndarray:
        """1 for each candidate of the group over any window: shape (n_candidates,)."""
        kind, number = self.names.loc[group, ["kind", "group"]]
        its = (self.names["kind"] == kind) & (self.names["group"] == number)
        return (self.members[np.flatnonzero(its)].sum(axis=0) > 0).astype(float)


def groups_of(judged: Sequence[tuple[Kind, Normal]], rows: pd.DataFrame) -> Groups:
    """Tonight's groups of all kinds, over each window."""
    tonight = rows.attrs["tonight"]
    first = int((rows["night"] < tonight).sum())
    dealt_with = np.zeros(len(rows) - first, dtype=np.int64)
    parts = []
    for number, (kind, normal) in enumerate(judged):
        part = kind.members.assign(kind=number, expected=normal.expected, width=len(kind.attributes))
        part = part.assign(nights=normal.nights[part["group"]], limit=normal.limit)
        part = part.assign(age=rows["night"].to_numpy()[part["row"]] - tonight, row=part["row"] - first)
        part = part[part["age"] >= 0]
        parts.append(part)
        if kind.attributes == ("product",):
            dealt_with[part["row"]] = _similar(part["expected"].to_numpy()) + 1
    every = pd.concat(parts, ignore_index=True)
    rows_of = [np.flatnonzero(every["age"] <= window) for window in range(WINDOWS)]
    place, window = np.concatenate(rows_of), np.repeat(range(WINDOWS), [len(some) for some in rows_of])
    order = np.argsort(every["kind"].to_numpy()[place], kind="stable")
    found = every.iloc[place[order]].assign(window=window[order])
    key = ["kind", "group", "window"]
    cells = (found.groupby(key, sort=False).ngroup().to_numpy(), found["row"].to_numpy())
    names = found.drop_duplicates(key)[[*key, "width", "nights", "limit"]].reset_index(drop=True)
    shape = (len(names), len(dealt_with))
    members = csr_array((np.ones(len(found)), cells), shape)
    return Groups(names, members, csr_array((found["expected"].to_numpy(), cells), shape), dealt_with)


def _similar(normal: np.ndarray) -> np.ndarray:
    """Numbers from 0 of classes of normal risks: each begins at the lowest that is too high for the class before."""
    values, place = np.unique(normal, return_inverse=True)
    classes, start = np.zeros(len(values), dtype=np.int64), values[0] if len(values) else 0.0
    for number, value in enumerate(values):
        too_high = value > SIMILAR * start
        start = value if too_high else start
        classes[number] = (classes[number - 1] if number else 0) + too_high
    return classes[place]


def dealt(groups: Groups, scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Large groups that stand out more than the large one that stands out most when the scores are dealt out by chance.

    Parameters
    ----------
    groups : Groups
    scores, present : ndarray, shape (n_candidates,)
        Units that are not present (0) take no part.

    Returns
    -------
    ndarray of bool, shape (n_groups,)
        Which are `is_large`, and by risk less its mean over all ways to deal out the scores, in standard deviations,
        above the `1 - LEVEL` quantile of the largest over `DEALS` deals. Of a deal, too, only groups that it makes
        large count: else small groups, which one high score moves far, would hide what moves a large one.

    References
    ----------
    Westfall, P. H. & Young, S. S. (1993). Resampling-Based Multiple Testing. Wiley. (max-T)
    """
    rng = np.random.default_rng(0)
    here = np.flatnonzero(present)
    of = csr_array(
        (np.ones(len(here)), (here, groups.dealt_with[here])), (len(scores), int(groups.dealt_with.max()) + 1)
    )
    counts = (groups.members @ of).toarray()
    units = np.maximum(np.bincount(groups.dealt_with[here], minlength=counts.shape[1]), 1)
    mean = (scores @ of) / units
    variance = np.maximum((scores**2 @ of) / units - mean**2, 0.0)
    spread = np.sqrt((counts * (units - counts) / np.maximum(units - 1, 1)) @ variance)
    some = (counts.sum(axis=1) >= LEAST_UNITS) & (spread > 1e-9)
    out = np.zeros((len(scores), 1 + DEALS))
    out[here, 0] = scores[here]
    for one in np.unique(groups.dealt_with[here]):
        its = here[groups.dealt_with[here] == one]
        out[its, 1:] = rng.permuted(np.tile(scores[its], (DEALS, 1)), axis=1).T
    if not some.any():
        return some
    number, _, expected = (one[some, None] for one in groups.sums(scores, present))
    risk = groups.members[some] @ out
    large = is_large(number, risk, expected, groups.names["limit"].to_numpy()[some, None])
    steps = np.where(large, (risk - (counts[some] @ mean)[:, None]) / spread[some, None], -np.inf)
    found = np.zeros(len(some), dtype=bool)
    highest = np.sort(steps[:, 1:].max(axis=0))[int(np.ceil((1 - LEVEL) * DEALS)) - 1]
    found[some] = large[:, 0] & (steps[:, 0] > highest)
    return found


def outstanding(
    rows: pd.DataFrame,
    judged: list[tuple[Kind, Normal]],
    usual: np.ndarray,
    *,
    most: int,
    measured: Sequence[tuple[Kind, Normal]] = (),
) -> list[tuple[Kind, Normal, int]]:
    """Groups that stand out, at most so many, the strongest first; each was tested without the units of those before.

    Strongest is the group whose risk is least likely under its products' normal. What one wider group explains is told
    by it once. What was `measured` comes last, tested on the units that no other group explains: how units were made
    says where to look, while what they measure almost gives their scores.
    """
    if not judged:
        return []
    tonight = rows["night"].to_numpy() >= rows.attrs["tonight"]
    scores, expected_of_all = rows["score"].to_numpy()[tonight], usual[tonight]
    groups = groups_of(judged, rows)
    whole = np.array([kind.attributes == ("product",) for kind, _ in judged])[groups.names["kind"]]
    above = np.where(whole, _above_all_nights(judged), np.inf)
    stories, wide = _stories(groups, scores, expected_of_all, np.ones(len(scores)), above, most=most)
    told_once = _united(stories, groups, np.where(whole, 0.0, wide))
    found = _found(judged, groups, told_once)
    if measured and len(found) < most:
        left = 1.0 - np.max([np.zeros(len(scores)), *(story.units for story in told_once)], axis=0)
        groups = replace(groups_of(measured, rows), dealt_with=groups.dealt_with)
        never = np.full(len(groups.names), np.inf)
        stories, _ = _stories(groups, scores, expected_of_all, left, never, most=most - len(found))
        found += _found(measured, groups, stories)
    return found


def _stories(
    groups: Groups, scores: np.ndarray, usual: np.ndarray, present: np.ndarray, above: np.ndarray, *, most: int
) -> tuple[list["_Story"], np.ndarray]:
    """Groups that stand out, one after the other, and the strength of those that are large at first, else 0.

    Where none does by chance, one that moved by more than `above`, shape (n_groups,), is taken.
    """
    limit = groups.names["limit"].to_numpy()
    stories: list[_Story] = []
    while len(stories) < most:
        units, risk, expected = groups.sums(scores, present)
        large = is_large(units, risk, expected, limit)
        strength = likelihood_ratio(risk, groups.members @ (usual * present))
        if not stories:
            wide = np.where(large, strength, 0.0)
        found = dealt(groups, scores, present) if large.any() else large
        if not found.any():
            found = large & (moved_by(risk, expected) > above)
        if not found.any():
            break
        told = groups.plainest(int(np.where(found, strength, -1.0).argmax()), large, present)
        stories.append(_Story(told, float(strength[told]), groups.all_of(told) * present))
        present = present - stories[-1].units
    return stories, wide


def _found(
    judged: Sequence[tuple[Kind, Normal]], groups: Groups, stories: Sequence["_Story"]
) -> list[tuple[Kind, Normal, int]]:
    names = groups.names.iloc[[story.group for story in stories]]
    return [(*judged[kind], group) for kind, group in zip(names["kind"], names["group"], strict=True)]


@dataclass(frozen=True)
class _Story:
    group: int
    strength: float
    units: np.ndarray


def _united(stories: list[_Story], groups: Groups, wide: np.ndarray) -> list[_Story]:
    """Stories of which none two are told better by one group that holds the units of both."""
    for first, second in combinations(stories, 2):
        held = [groups.members @ one.units >= _ALIKE * one.units.sum() for one in (first, second)]
        fits = held[0] & held[1] & (wide >= _STILL * (first.strength + second.strength))
        fits &= groups.members @ np.maximum(first.units, second.units) >= _FILLED * groups.members.sum(axis=1)
        if fits.any():
            told = groups.plainest(int(np.where(fits, wide, -1.0).argmax()), fits, np.ones(groups.members.shape[1]))
            one = _Story(told, first.strength + second.strength, groups.all_of(told))
            return _united(
                [one, *(other for other in stories if other is not first and other is not second)], groups, wide
            )
    return sorted(stories, key=lambda story: -story.strength)


def likelihood_ratio(risk: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Logarithm of how much likelier a Poisson count of `risk` [defects] is by itself than where `expected` is normal.

    References
    ----------
    Kulldorff, M. (1997). A spatial scan statistic. Communications in Statistics, Theory and Methods 26, 1481-1496.

    Examples
    --------
    >>> likelihood_ratio(np.array([2.0, 4.0, 0.5]), np.array([1.0, 2.0, 1.0])).round(3).tolist()
    [0.386, 0.773, 0.0]
    """
    high = (risk > expected) & (expected > 0)
    ratio = np.divide(risk, expected, out=np.ones(len(risk)), where=high)
    return np.where(high, risk * np.log(ratio) - (risk - expected), 0.0)


def _above_all_nights(judged: list[tuple[Kind, Normal]]) -> float:
    """How far a product must have moved: more than any did on past nights, without the run that leads to tonight.

    Too few nights: infinite.
    """
    normals = [normal for kind, normal in judged if kind.attributes == ("product",)]
    if not normals:
        return np.inf
    [normal] = normals
    run = int(np.cumprod(normal.large.max(axis=0)[::-1]).sum())
    moved = normal.moved[:, : normal.moved.shape[1] - run]
    return float(np.nanmax(moved)) if moved.shape[1] >= REFERENCE and np.isfinite(moved).any() else np.inf
