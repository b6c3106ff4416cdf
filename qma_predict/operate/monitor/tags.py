"""The measured quantities that the model relies on most, by day of production, on control charts."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice

import numpy as np
import pandas as pd
from scipy.special import logit

from qma_predict.learn.reference import Reference
from qma_predict.operate.monitor.charts import ewma, individuals
from qma_predict.operate.monitor.rates import BASELINE, FEWEST_DAYS, JUDGED

MOST = 8
"""Tags that are charted at most."""

FEWEST_UNITS = 5
"""Units with a value that a day needs."""

_SMALLEST = 1e-6
_ROWS = 200
_AT_ONCE = 25
COLUMNS = ("feature", "day", "units", "value", "centre", "low", "high", "signal", "average", "average_low",
           "average_high", "average_signal", "baseline")  # fmt: skip


def key_features(reference: Reference, *, seed: int, most: int = MOST) -> list[str]:
    """Return the numbers that move the model's log odds most, one a tag, the most important first.

    Parameters
    ----------
    reference : Reference
        The values of each group of its features are dealt out anew among its siblings, and the mean absolute change
        of the log odds is taken over its first pair of refits: which features the recipe uses, without labels.
    seed : int
    most : int

    Returns
    -------
    list of str
        Features that a group is named after; none where there are no refits or no siblings.
    """
    siblings, refits = reference.siblings, reference.refits[:2]
    if siblings.empty or not refits:
        return []
    rng = np.random.default_rng(seed)
    some = siblings.iloc[np.sort(rng.permutation(len(siblings))[:_ROWS])]
    numbers = some.select_dtypes("number").columns
    groups = reference.groups[reference.groups.index.isin(some.columns)]
    members = {str(name): list(rows) for name, rows in groups.groupby(groups).groups.items() if name in numbers}
    change = dict.fromkeys(members, 0.0)
    for names in _batched(members, _AT_ONCE):
        dealt = pd.concat([_dealt(some, members[name], rng) for name in names], ignore_index=True)
        for refit in refits:
            after = _log_odds(refit.predict(dealt)).reshape(len(names), len(some))
            moved = np.abs(after - _log_odds(refit.predict(some))).mean(axis=1)
            change |= {name: change[name] + float(by) for name, by in zip(names, moved, strict=True)}
    ordered = sorted((name for name in change if change[name] > 0), key=lambda name: (-change[name], name))
    one_a_tag = {name.rpartition(".")[0]: name for name in reversed(ordered)}
    return [name for name in ordered if one_a_tag[name.rpartition(".")[0]] == name][:most]


def _batched(names: Iterable[str], size: int) -> Iterator[list[str]]:
    """Names in lists of a size, the last one shorter: a call of a model costs far more than its rows."""
    rest = iter(names)
    while some := list(islice(rest, size)):
        yield some


def _dealt(rows: pd.DataFrame, names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    order = rng.permutation(len(rows))
    return rows.assign(**{name: rows[name].array[order] for name in names})


def tag_charts(
    X: pd.DataFrame,
    products: pd.Series,
    days: pd.Series,
    features: list[str],
    reference: Reference,
    business_date: date,
) -> pd.DataFrame:
    """Individuals and EWMA charts of the daily mean of features.

    A value is told as its distance from the median of the training's good units of the same product, so that another
    mix of products moves nothing.

    Parameters
    ----------
    X : DataFrame, shape (n_units, n_features), indexed by unit_id
    products, days : Series, shape (n_units,), indexed by unit_id
        Product, and day of production.
    features : list of str
        Numbers.
    reference : Reference
    business_date : date
        The `JUDGED` days before it are judged, by the limits of the `BASELINE` days before them.

    Returns
    -------
    DataFrame, a row a feature and day, the features in their order
        ``feature``, ``day``, ``units``; ``value``, the mean [unit of the feature]; ``centre``, ``low``, ``high`` and
        ``signal`` of the individuals chart; ``average`` and the same of the EWMA chart; ``baseline``.
    """
    split = pd.Timestamp(business_date - timedelta(days=JUDGED))
    oldest = split - timedelta(days=BASELINE)
    rows = [pd.DataFrame(columns=list(COLUMNS))]
    for name in [one for one in features if one in X]:
        off = X[name].replace([np.inf, -np.inf], np.nan) - _medians(name, products.reindex(X.index), reference)
        by_day = off.groupby(days.reindex(X.index)).agg(["mean", "count"])
        by_day = by_day[(by_day["count"] >= FEWEST_UNITS) & (by_day.index >= oldest)]
        baseline = by_day.index < split
        limits = baseline & (baseline.sum() >= FEWEST_DAYS)
        alone = individuals(by_day["mean"], limits)
        average = ewma(by_day["mean"], limits).add_prefix("average_").rename(columns={"average_value": "average"})
        found = pd.concat([alone, average.drop(columns=["average_centre", "average_baseline"])], axis=1)
        known = {"feature": name, "day": by_day.index, "units": by_day["count"].to_numpy(), "baseline": baseline}
        rows.append(found.assign(**known)[list(COLUMNS)])
    return pd.concat(rows[1:] or rows, ignore_index=True)


def _medians(name: str, products: pd.Series, reference: Reference) -> pd.Series:
    """Median of the good units of each unit's product."""
    of = {one: reference.siblings_of(one)[0][name].median() for one in products.dropna().unique()}
    return products.map(of).astype(float).fillna(reference.siblings[name].median())


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability, _SMALLEST, 1 - _SMALLEST)))
