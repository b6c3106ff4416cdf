"""Why a unit's risk is what it is: contributions of groups of features, for any model that gives probabilities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.special import logit

Predict = Callable[[pd.DataFrame], np.ndarray]
"""Takes features of units, returns P(defect), shape (n_units,)."""

REST = "(rest)"
"""The group of all features that the search before the sampling found to matter least."""

_SMALLEST_RISK = 1e-6
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Explanation:
    """Contributions to the log-odds of a defect, against units that turned out good.

    Attributes
    ----------
    contributions : DataFrame
        A row a unit and group: ``unit_id``, ``group``, ``contribution`` [log-odds] and ``error``, its standard error
        by sampling [log-odds]. By unit, the largest contribution first.
    totals : DataFrame, indexed by unit_id
        ``score`` and ``baseline`` [log-odds]: of the unit, and the mean over the siblings; ``error``, the standard
        error of the sum of the contributions. The sum is score - baseline up to that error.
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
    most: int = 20,
    samples: int = 64,
    random_state: int = 0,
) -> Explanation:
    """Contributions of groups of features to the log-odds of each unit, against its good siblings.

    The Shapley value of each group in the game whose value is the mean log-odds when the groups of a coalition have
    the unit's values and the others those of a sibling. It is estimated by walks: a random order of the groups and a
    random sibling, whose values become the unit's group by group; each walk is followed by the same in reverse
    order, and siblings are dealt like cards, each as often as the others. The steps of a walk add up exactly, so that
    the sum of the contributions misses score - baseline only as far as the dealt siblings' mean misses that of all.

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
    most : int, default 20
        How many groups are told apart.
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
    baseline = float(_log_odds(predict, siblings).mean())
    rng = np.random.default_rng(random_state)
    rows, totals = [], []
    for unit_id, score in zip(units.index, _log_odds(predict, units), strict=True):
        unit = units.loc[[unit_id]]
        told = _told_apart(predict, unit, siblings, of_group, most, rng)
        steps = _walks(predict, unit, siblings, list(told.values()), (samples + 1) // 2, rng)
        # a pair of opposite walks is one observation
        errors = steps.std(axis=0, ddof=1) / np.sqrt(len(steps)) if len(steps) > 1 else np.full(len(told), np.nan)
        rows.append(
            pd.DataFrame(
                {"unit_id": unit_id, "group": list(told), "contribution": steps.mean(axis=0), "error": errors}
            ).sort_values("contribution", ascending=False, key=np.abs, kind="stable")
        )
        sums = steps.sum(axis=1)
        error = sums.std(ddof=1) / np.sqrt(len(sums)) if len(sums) > 1 else np.nan
        totals.append({"unit_id": unit_id, "score": score, "baseline": baseline, "error": error})
    return Explanation(pd.concat(rows, ignore_index=True), pd.DataFrame(totals).set_index("unit_id"))


def partial_dependence(
    predict: Predict, X: pd.DataFrame, feature: str, *, points: int = 20, rows: int = 500, random_state: int = 0
) -> pd.DataFrame:
    """Mean risk of units if a feature had other values, within the range in which most were observed.

    Parameters
    ----------
    predict : callable
    X : DataFrame, shape (n_units, n_features)
    feature : str
        A number or a text.
    points : int, default 20
        Values from the 2nd to the 98th percentile; of a text the most frequent ones.
    rows : int, default 500
        At most so many units, drawn at random.
    random_state : int, default 0

    Returns
    -------
    DataFrame, shape (at most n_points, 3)
        ``value`` [unit of the feature], ``risk``, mean P(defect), and ``share``, of units observed at or below it, or
        with it where it is a text.

    Notes
    -----
    Other features keep their values, also where they go together in the plant: it says what the model does, not what
    a machine would do.
    """
    observed = X[feature].dropna()
    if pd.api.types.is_numeric_dtype(X[feature].dtype):
        values = np.unique(observed.quantile(np.linspace(0.02, 0.98, points)))
        share = [float((observed <= value).mean()) for value in values]
    else:
        counts = observed.value_counts(normalize=True).head(points)
        values, share = counts.index.to_numpy(), counts.tolist()
    sample = X if len(X) <= rows else X.sample(rows, random_state=random_state)
    risks = [float(predict(sample.assign(**{feature: _like(X[feature], value, sample)})).mean()) for value in values]
    return pd.DataFrame({"value": values, "risk": risks, "share": share})


def _like(column: pd.Series, value: object, sample: pd.DataFrame) -> pd.Series:
    return pd.Series(value, index=sample.index).astype(column.dtype)


def _log_odds(predict: Predict, X: pd.DataFrame) -> np.ndarray:
    risk = np.concatenate([predict(X.iloc[at : at + _ROWS_AT_ONCE]) for at in range(0, len(X), _ROWS_AT_ONCE)])
    return logit(np.clip(risk, _SMALLEST_RISK, 1.0 - _SMALLEST_RISK))


def _told_apart(
    predict: Predict,
    unit: pd.DataFrame,
    siblings: pd.DataFrame,
    of_group: Mapping[str, list[int]],
    most: int,
    rng: np.random.Generator,
) -> dict[str, list[int]]:
    """The groups that move this unit most, each with the places of its columns, and the others as one."""
    if len(of_group) <= most + 1:
        return dict(of_group)
    some = siblings.iloc[rng.choice(len(siblings), min(4, len(siblings)), replace=False)]
    many = list(of_group.values())
    towards = _mixed([(row, places) for row in range(len(some)) for places in many], unit, some)
    away = [place for places in many for place in places]
    back = _mixed(
        [(row, [place for place in away if place not in set(places)]) for row in range(len(some)) for places in many],
        unit,
        some,
    )
    start = _log_odds(predict, some).repeat(len(many))
    moved = np.abs(_log_odds(predict, towards) - start) + np.abs(_log_odds(predict, unit) - _log_odds(predict, back))
    order = np.argsort(-moved.reshape(len(some), -1).mean(axis=0), kind="stable")
    names = list(of_group)
    told = {names[place]: of_group[names[place]] for place in sorted(order[:most])}
    told[REST] = [column for place in sorted(order[most:]) for column in of_group[names[place]]]
    return told


def _walks(
    predict: Predict,
    unit: pd.DataFrame,
    siblings: pd.DataFrame,
    groups: Sequence[list[int]],
    pairs: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Steps of each group, the mean of two opposite walks, shape (pairs, n_groups)."""
    cards = np.concatenate([rng.permutation(len(siblings)) for _ in range(-(-pairs // len(siblings)))])[:pairs]
    orders = [rng.permutation(len(groups)) for _ in range(pairs)]
    plan: list[tuple[int, list[int]]] = []
    walks = []
    for number, order in enumerate(orders):
        for direction in (order, order[::-1]):
            taken: list[int] = []
            plan.append((number, []))
            for group in direction:
                taken = taken + groups[group]
                plan.append((number, taken))
            walks.append(direction)
    values = _log_odds(predict, _mixed(plan, unit, siblings.iloc[cards])).reshape(len(walks), -1)
    steps = np.empty((len(walks), len(groups)))
    for row, direction in enumerate(walks):
        steps[row, direction] = np.diff(values[row])
    return steps.reshape(pairs, 2, len(groups)).mean(axis=1)


def _mixed(plan: Sequence[tuple[int, list[int]]], unit: pd.DataFrame, siblings: pd.DataFrame) -> pd.DataFrame:
    """A row for each entry of a plan: the sibling of that number, with the unit's values in these columns."""
    number = np.array([row for row, _ in plan])
    own = np.zeros((len(plan), unit.shape[1]), dtype=bool)
    for row, (_, places) in enumerate(plan):
        own[row, places] = True
    base = siblings.iloc[number].reset_index(drop=True)
    columns = {}
    for place, name in enumerate(unit.columns):
        values = base[name].to_numpy(copy=True)
        values[own[:, place]] = unit[name].to_numpy()[0]
        columns[name] = pd.Series(values).astype(siblings[name].dtype)
    return pd.DataFrame(columns)
