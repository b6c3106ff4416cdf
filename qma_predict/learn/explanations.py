"""Why a unit's risk is what it is: contributions of groups of features, for any model that gives probabilities."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.special import logit

from qma_predict.learn.walks import Mixed, Mixture, error_of_dealing, walks

log = logging.getLogger(__name__)

Predict = Callable[[pd.DataFrame], np.ndarray]
"""Takes features of units, returns P(defect), shape (n_units,)."""

REST = "(rest)"
"""The group of all features that the search before the sampling found to matter least."""

_SMALLEST_RISK = 1e-6
_ROUNDING = 0.01  # [log-odds], which single precision may do to a risk near 1
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Explanation:
    """Contributions to the log-odds of a defect, against units that turned out good.

    Attributes
    ----------
    contributions : DataFrame
        A row a unit and group: ``unit_id``, ``group``, ``contribution`` [log-odds] and ``error``, its standard error
        by sampling [log-odds], as far as the dealt siblings show it: the error of the sum knows all of them, and may
        be larger. By unit, the largest contribution first.
    totals : DataFrame, indexed by unit_id
        ``score`` and ``baseline`` [log-odds]: of the unit, and the mean over the siblings; ``error``, the standard
        error of the sum of the contributions. The sum is score - baseline up to that error; ``adds_up``, whether it
        misses by what the dealt siblings differ from all, and by nothing else.
    """

    contributions: pd.DataFrame
    totals: pd.DataFrame


def feature_groups(X: pd.DataFrame, *, threshold: float = 0.8, rows: int = 5_000, random_state: int = 0) -> pd.Series:
    """Group of each feature: those that move together are told as one.

    Numbers are clustered by average linkage on 1 - |Spearman's rho| and cut where rho is `threshold`; each group
    bears the name of its feature that correlates most with the others. A missing value counts as the median of its
    feature. A text feature is a group of its own, and so is a feature without variation.

    Parameters
    ----------
    X : DataFrame, shape (n_units, n_features)
    threshold : float, default 0.8
        Correlation from which on features are one group, between 0 and 1.
    rows : int, default 5000
        At most so many units, drawn at random, are looked at.
    random_state : int, default 0

    Returns
    -------
    Series of str, shape (n_features,), indexed by feature

    Examples
    --------
    >>> t = np.arange(20.0)
    >>> X = pd.DataFrame({"a": t, "b": -(t**3), "c": np.tile([0.0, 1.0], 10), "d": ["x"] * 20})
    >>> feature_groups(X).to_dict()
    {'a': 'a', 'b': 'a', 'c': 'c', 'd': 'd'}
    """
    sample = X if len(X) <= rows else X.sample(rows, random_state=random_state)
    numbers = sample.select_dtypes("number").replace([np.inf, -np.inf], np.nan)
    ranks = numbers.fillna(numbers.median()).rank()
    ranks = ranks.loc[:, (ranks.nunique() > 1).to_numpy()]
    groups = pd.Series(X.columns, index=X.columns, dtype="str")
    if ranks.shape[1] < 2:
        return groups
    rho = np.abs(np.corrcoef(ranks.to_numpy(), rowvar=False))
    apart = np.clip(1.0 - rho, 0.0, 1.0)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), method="average")
    number = fcluster(tree, 1.0 - threshold, criterion="distance")
    for one in np.unique(number):
        members = np.flatnonzero(number == one)
        centre = members[rho[np.ix_(members, members)].sum(axis=0).argmax()]
        groups[ranks.columns[members]] = ranks.columns[centre]
    return groups


def explain(
    predict: Predict,
    units: pd.DataFrame,
    siblings: pd.DataFrame,
    groups: Mapping[str, str] | pd.Series,
    *,
    among: Mapping[str, Collection[str]] | None = None,
    most: int = 20,
    samples: int = 64,
    random_state: int = 0,
) -> Explanation:
    """Contributions of groups of features to the log-odds of each unit, against its good siblings.

    The Shapley value of each group in the game whose value is the mean log-odds when the groups of a coalition have
    the unit's values and the others those of a sibling. It is estimated by walks: a random order of the groups and a
    random sibling, whose values become the unit's group by group; each walk is followed by the same in reverse
    order, and siblings are dealt like cards, each as often as the others. The steps of a walk add up exactly, so that
    the sum of the contributions misses score - baseline only as far as the dealt siblings' mean misses that of all,
    which `error_of_dealing` knows. Each sum is checked: one that misses by more is of a model whose scores depend on
    which units are scored together, and is logged.

    Groups are first tried one by one, towards and back from the unit's values with a few siblings; the `most` that
    moved the log-odds most are told apart, the others are one group, `REST`.

    Parameters
    ----------
    predict : callable
        P(defect) of a frame of features, row by row.
    units : DataFrame, shape (n_units, n_features), indexed by unit_id
        What is to be explained.
    siblings : DataFrame, shape (n_siblings, n_features)
        Units that turned out good, such as those of the same product.
    groups : mapping of str to str
        Group of each feature, see `feature_groups`.
    among : mapping of str to collection of str, optional
        By unit_id the groups that may be told apart, such as those in which the unit is unlike its siblings; by
        default all.
    most : int, default 20
        How many groups are told apart, a unit.
    samples : int, default 64
        Walks a unit, rounded up to an even number.
    random_state : int, default 0

    Raises
    ------
    ValueError
        If there is no sibling, or a feature has no group.

    References
    ----------
    Strumbelj, E. and Kononenko, I. (2014). Explaining prediction models and individual predictions with feature
    contributions. Knowledge and Information Systems 41.
    Mitchell, R. et al. (2022). Sampling permutations for Shapley value estimation. JMLR 23: walks in both directions.
    """
    if siblings.empty:
        raise ValueError("no good siblings to compare with; expected at least one unit that turned out good")
    ungrouped = [name for name in units.columns if name not in groups]
    if ungrouped:
        raise ValueError(f"features without a group: {', '.join(ungrouped[:5])}; expected one for each feature")
    of_group: dict[str, list[int]] = {}
    for place, name in enumerate(units.columns):
        of_group.setdefault(str(groups[name]), []).append(place)
    siblings = siblings[units.columns]
    before, after = log_odds(predict, siblings), log_odds(predict, units)
    mixed = partial(_mixtures, predict, units, siblings)
    rng = np.random.default_rng(random_state)
    allowed = [[name for name in of_group if among is None or name in among[one]] for one in units.index]
    told = _told_apart(mixed, before, after, of_group, allowed, most, rng)
    rows, totals = [], []
    walked = walks(mixed, len(siblings), [list(each.values()) for each in told], (samples + 1) // 2, rng)
    for unit_id, score, names, (dealt, steps) in zip(units.index, after, told, walked, strict=True):
        # a pair of opposite walks is one observation
        errors = steps.std(axis=0, ddof=1) / np.sqrt(len(steps)) if len(steps) > 1 else np.full(len(names), np.nan)
        rows.append(
            pd.DataFrame(
                {"unit_id": unit_id, "group": list(names), "contribution": steps.mean(axis=0), "error": errors}
            ).sort_values("contribution", ascending=False, key=np.abs, kind="stable")
        )
        odd = abs(steps.sum(axis=1) - (score - before[dealt])).max(initial=0.0)
        own = {"score": score, "baseline": float(before.mean()), "error": error_of_dealing(before, len(dealt))}
        totals.append({"unit_id": unit_id} | own | {"adds_up": bool(odd <= _ROUNDING)})
    found = Explanation(pd.concat(rows, ignore_index=True), pd.DataFrame(totals).set_index("unit_id"))
    _tell_of_odd_sums(found.totals)
    return found


def _tell_of_odd_sums(totals: pd.DataFrame) -> None:
    if strange := list(totals.index[~totals["adds_up"]]):
        log.warning(
            "contributions of %d of %d units, %s the first, do not add up to their scores: expected a model that "
            "scores a unit alike whatever others it is scored with. No reason is told of them.",
            *(len(strange), len(totals), strange[0]),
        )


def moves(
    predict: Predict,
    units: pd.DataFrame,
    siblings: pd.DataFrame,
    groups: Mapping[str, str] | pd.Series,
    asked: Sequence[tuple[str, str, Sequence[int] | np.ndarray]],
) -> np.ndarray:
    """By how much a group of features alone moves a unit's log-odds: a cheap check of what `explain` found.

    The mean, over some siblings, of the first and of the last step of a walk as in `explain`: towards the unit's
    values with all else the sibling's, and with all else the unit's.

    Parameters
    ----------
    predict, units, siblings, groups
        As for `explain`.
    asked : sequence of (str, str, sequence of int)
        A unit_id, a group, and the positions of the siblings to compare with, as many for each.

    Returns
    -------
    ndarray of float, shape (n_asked,)

    Examples
    --------
    >>> X = pd.DataFrame({"a": [0.0, 2.0], "b": [0.0, 1.0]}, index=["sibling", "unit"])
    >>> risk = lambda X: 1 / (1 + np.exp(-X["a"].to_numpy()))
    >>> asked = [("unit", "a", [0]), ("unit", "b", [0])]
    >>> moves(risk, X.loc[["unit"]], X.loc[["sibling"]], {"a": "a", "b": "b"}, asked).round(3)
    array([2., 0.])
    """
    number = {unit_id: place for place, unit_id in enumerate(units.index)}
    member = np.array([str(groups[name]) for name in units.columns])
    everything = np.arange(len(member))
    own = {group: np.flatnonzero(member == group) for _unit, group, _siblings in asked}
    plan: list[Mixture] = [
        (number[unit_id], row, columns)
        for unit_id, group, chosen in asked
        for row in chosen
        for columns in (everything[:0], own[group], np.setdiff1d(everything, own[group]), everything)
    ]
    start, towards, back, end = _mixtures(predict, units, siblings[units.columns], plan).reshape(-1, 4).T
    return ((towards - start + end - back) / 2).reshape(len(asked), -1).mean(axis=1)


def partial_dependence(
    predict: Predict, X: pd.DataFrame, feature: str, *, points: int = 20, rows: int = 500, random_state: int = 0
) -> pd.DataFrame:
    """Mean risk of units if a feature had other values, within the range in which most were observed.

    Parameters
    ----------
    predict : callable
    X : DataFrame, shape (n_units, n_features)
    feature : str
        A number, a truth value or a text. Values that are missing or infinite are left out.
    points : int, default 20
        Values at most: all that there are, if they are so few; else from the 2nd to the 98th percentile, of the
        different values where one of them is so frequent that hardly others were left. Of a text the most frequent.
    rows : int, default 500
        At most so many units, drawn at random.
    random_state : int, default 0

    Returns
    -------
    DataFrame, shape (at most n_points, 3)
        ``value`` [unit of the feature], ``risk``, mean P(defect), and ``share``, of units observed at or below it, or
        with it where it is a text. No row if no value was observed.

    Notes
    -----
    Other features keep their values, also where they go together in the plant: it says what the model does, not what
    a machine would do.
    """
    observed = X[feature].dropna()
    if pd.api.types.is_numeric_dtype(X[feature].dtype):
        fractions = pd.api.types.is_float_dtype(X[feature].dtype)
        observed = observed.astype(float)
        observed = observed[np.isfinite(observed)]
        values = _spread_out(observed, points, "linear" if fractions else "nearest")
        share = [float((observed <= value).mean()) for value in values]
    else:
        counts = observed.value_counts(normalize=True).head(points)
        values, share = counts.index.to_numpy(), counts.tolist()
    sample = X if len(X) <= rows else X.sample(rows, random_state=random_state)
    each = pd.Series(np.repeat(values, len(sample))).astype(X[feature].dtype)
    copies = sample.iloc[np.tile(np.arange(len(sample)), len(values))].set_axis(each.index)
    risks = predict(copies.assign(**{feature: each})) if len(values) else np.empty(0)
    means = np.asarray(risks).reshape(len(values), len(sample)).mean(axis=1)
    return pd.DataFrame({"value": values, "risk": means, "share": share})


def _spread_out(observed: pd.Series, points: int, between: Literal["linear", "nearest"]) -> np.ndarray:
    """So many of the observed numbers at most, ascending, which stand for all of them."""
    every = np.unique(observed)
    if len(every) <= points:
        return every
    within = np.linspace(0.02, 0.98, points)
    values = np.unique(observed.quantile(within, interpolation=between))
    return values if len(values) > points / 2 else np.unique(np.quantile(every, within, method="nearest"))


def log_odds(predict: Predict, X: pd.DataFrame) -> np.ndarray:
    """Log-odds of the risk of each unit, shape (n_units,); a risk of 0 or 1 counts as one in a million off it."""
    risk = np.concatenate([predict(X.iloc[at : at + _ROWS_AT_ONCE]) for at in range(0, len(X), _ROWS_AT_ONCE)])
    return logit(np.clip(risk, _SMALLEST_RISK, 1.0 - _SMALLEST_RISK))


def _told_apart(
    mixed: Mixed,
    before: np.ndarray,
    after: np.ndarray,
    of_group: dict[str, list[int]],
    allowed: list[list[str]],
    most: int,
    rng: np.random.Generator,
) -> list[dict[str, list[int]]]:
    """By unit, those of the allowed groups that move it most, each with its columns, and all others as one."""
    some = rng.choice(len(before), min(4, len(before)), replace=False)
    everything = np.arange(sum(map(len, of_group.values())))
    others = {name: np.setdiff1d(everything, places) for name, places in of_group.items()}
    tried = [names if len(names) > most and len(of_group) > most + 1 else [] for names in allowed]
    towards = [(u, row, of_group[name]) for u, names in enumerate(tried) for row in some for name in names]
    back = [(u, row, others[name]) for u, names in enumerate(tried) for row in some for name in names]
    start = np.array([before[row] for _unit, row, _places in towards])
    end = np.array([after[unit] for unit, _row, _places in back])
    there, again = np.split(mixed([*towards, *back]), 2)
    moved = np.abs(there - start) + np.abs(end - again)
    told, done = [], 0
    for asked, names in zip(tried, allowed, strict=True):
        size = len(some) * len(asked)
        order = np.argsort(-moved[done : done + size].reshape(len(some), -1).mean(axis=0), kind="stable")
        kept = [asked[place] for place in sorted(order[:most])] if asked else names
        done += size
        told.append({name: of_group[name] for name in kept})
        if rest := [place for name, places in of_group.items() if name not in told[-1] for place in places]:
            told[-1][REST] = rest
    return told


def _mixtures(predict: Predict, units: pd.DataFrame, siblings: pd.DataFrame, plan: Sequence[Mixture]) -> np.ndarray:
    """Log-odds of each entry of a plan: the sibling of that number, with the unit's values in these columns."""
    both, found = pd.concat([siblings, units]), [np.empty(0)]
    for at in range(0, len(plan), _ROWS_AT_ONCE):
        some = plan[at : at + _ROWS_AT_ONCE]
        own = np.zeros((len(some), units.shape[1]), dtype=bool)
        for row, (_unit, _sibling, places) in enumerate(some):
            own[row, places] = True
        unit, sibling = (np.array([one[place] for one in some]) for place in (0, 1))
        columns = {
            name: both[name].array.take(np.where(own[:, place], len(siblings) + unit, sibling))
            for place, name in enumerate(units.columns)
        }
        found.append(log_odds(predict, pd.DataFrame(columns)))
    return np.concatenate(found)
