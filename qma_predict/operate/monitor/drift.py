"""Drift: whether the newest units are another population than those that the model was trained with.

It is information and no alarm. A shift of inputs that the model knows how to read does no harm, and a change of the
mechanism that harms need not show in the inputs.
"""

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from qma_predict.learn.reference import Reference

SMALLEST = 0.1
"""Smallest drift that is told: the share of units that came to have another value, beyond chance."""

DISCOVERIES = 0.05
"""Share of false ones among what is told, at most."""

REDRAWN = 9_999
"""How often days are dealt out anew."""

FEWEST_DAYS = 3
"""With fewer days on either side nothing is said."""

PARTS = 10
"""Numbers are told apart by so many parts, of which the reference fills each alike."""

_NAMES = 20
COLUMNS = ("feature", "moved", "chance", "effect", "p", "q", "drifted")


def drift(
    X: pd.DataFrame, products: pd.Series, days: pd.Series, reference: Reference, reference_days: pd.Series, *, seed: int
) -> pd.DataFrame:
    """How far the features of the newest units moved away from those of the good units of the training.

    Features that move together are told by the one that their group is named after. Texts that are new with each
    lot or unit are left out, and so are those that all units share.

    Parameters
    ----------
    X : DataFrame, shape (n_units, n_features), indexed by unit_id
        Of the newest units.
    products : Series of str, shape (n_units,), indexed by unit_id
        Numbers are compared with good units of the same product, so that another mix of products is no drift.
    days : Series, shape (n_units,), indexed by unit_id
        Day of production of each.
    reference : Reference
    reference_days : Series, indexed by unit_id
        The same of the reference's siblings.
    seed : int

    Returns
    -------
    DataFrame, a row a feature, the largest effect first
        As `moved` describes it; ``feature``; ``q``, the smallest share of false discoveries at which the feature would
        be one (Benjamini and Hochberg 1995); ``drifted``, whether q is at most `DISCOVERIES` and the effect at least
        `SMALLEST`.

    Notes
    -----
    The siblings turned out good and the newest units are all there are: at a defect rate of 2 % this moves at most 2 %
    of them.
    """
    told = sorted(set(reference.groups.astype(str)) & set(X.columns))
    dated = reference.siblings.index.intersection(reference_days.dropna().index, sort=False)
    both = pd.concat([reference.siblings.loc[dated, told], X[told]])
    product = pd.concat([reference.products.loc[dated], products.reindex(X.index)]).fillna("").to_numpy(dtype=object)
    recent = np.arange(len(both)) >= len(dated)
    day = pd.concat([reference_days.loc[dated], days.reindex(X.index)]).to_numpy()
    weight = _same_mix(product, recent)
    dealt = _dealt(day, recent, seed)
    like = {one: reference.siblings_of(one if one else None)[0] for one in pd.unique(product)}
    rows = []
    for name in told:
        codes = _codes(both[name], product, recent, like)
        if codes is not None:
            rows.append({"feature": name} | moved(codes, day, recent, weight, dealt))
    found = pd.DataFrame(rows, columns=list(COLUMNS[:-2]))
    return _discovered(found).sort_values(["effect", "feature"], ascending=[False, True], ignore_index=True)


def drift_of_scores(newest: pd.DataFrame, past: pd.DataFrame, *, seed: int) -> dict[str, float]:
    """How far the scores of the last lists moved away from those of the backtest's last nights.

    Parameters
    ----------
    newest, past : DataFrame
        ``night`` and ``score``.
    seed : int

    Returns
    -------
    dict
        As `moved` describes it.
    """
    both = pd.concat([past, newest], ignore_index=True)
    recent = np.arange(len(both)) >= len(past)
    night = both["night"].to_numpy()
    codes = _parts(both["score"].to_numpy(float), both["score"].to_numpy(float)[~recent])
    return moved(codes, night, recent, np.ones(len(both)), _dealt(night, recent, seed))


def moved(
    codes: np.ndarray, day: np.ndarray, recent: np.ndarray, weight: np.ndarray, dealt: np.ndarray
) -> dict[str, float]:
    """Which share of the units came to have another value, and what chance alone would show.

    Units of a day have a machine's state, a tool or a lot in common, and are no independent observations. So days, not
    units, are dealt out anew to what is recent and what is not.

    Parameters
    ----------
    codes : ndarray of int, shape (n_units,)
        Value or range of values of each, from 0.
    day : ndarray, shape (n_units,)
    recent : ndarray of bool, shape (n_units,)
        Those that are compared with the others.
    weight : ndarray of float, shape (n_units,)
    dealt : ndarray of bool, shape (n_deals, n_days)
        Which of the sorted days are recent; the first deal is what was.

    Returns
    -------
    dict
        ``moved``: the total variation distance, half the sum of the absolute differences of the shares of each code;
        ``chance``: its mean when days are dealt out anew, which is above 0 and grows as there are fewer;
        ``effect``: the difference, at least 0; ``p``: the share of deals with as large a distance, the real one
        among them. Missing where there are too few days to tell.
    """
    if len(dealt) == 0:
        return dict.fromkeys(("moved", "chance", "effect", "p"), np.nan)
    # a day that is on both sides counts as two
    place = pd.MultiIndex.from_arrays([recent, day]).factorize(sort=True)[0]
    counts = np.zeros((dealt.shape[1], codes.max() + 1), dtype=np.float32)  # four times as fast
    np.add.at(counts, (place, codes), weight)
    one = dealt @ counts
    other = counts.sum(axis=0) - one
    shares = [side / np.maximum(side.sum(axis=1, keepdims=True), 1e-12) for side in (one, other)]
    distance = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
    chance = float(distance[1:].mean())
    p = float((distance >= distance[0] - 1e-6).mean())
    return {"moved": float(distance[0]), "chance": chance, "effect": max(float(distance[0]) - chance, 0.0), "p": p}


def _dealt(day: np.ndarray, recent: np.ndarray, seed: int) -> np.ndarray:
    """Which days are recent: first as it was, then dealt out anew, shape (1 + REDRAWN, n_days); empty of too few."""
    sides = pd.MultiIndex.from_arrays([recent, day]).unique().sort_values()
    is_recent = sides.get_level_values(0).to_numpy(dtype=bool)
    if min(is_recent.sum(), (~is_recent).sum()) < FEWEST_DAYS:
        return np.zeros((0, len(is_recent)))
    rng = np.random.default_rng(seed)
    first = is_recent.astype(np.float32)
    return np.vstack([first, rng.permuted(np.tile(first, (REDRAWN, 1)), axis=1)])


def _same_mix(product: np.ndarray, recent: np.ndarray) -> np.ndarray:
    """Weights by which the newest units have the reference's mix of products; those of new products weigh 1."""
    share = [pd.Series(product[side], dtype=object).value_counts(normalize=True) for side in (~recent, recent)]
    ratio = (share[0] / share[1]).reindex(product[recent]).fillna(1.0)
    weight = np.ones(len(product))
    weight[recent] = ratio.to_numpy()
    return weight


def _codes(
    values: pd.Series, product: np.ndarray, recent: np.ndarray, like: Mapping[str, pd.DataFrame]
) -> np.ndarray | None:
    """Parts of the range of good units of the same product, or names of a text; none if nothing can be compared."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        x, codes = values.to_numpy(dtype=float), np.zeros(len(values), dtype=int)
        for one, good in like.items():
            codes[product == one] = _parts(x[product == one], good[values.name].to_numpy(dtype=float))
        return codes
    before = values[~recent]
    if not 1 < before.nunique() <= max(len(before) / 10, 1):
        return None
    names: dict[Hashable, int] = {name: at for at, name in enumerate(before.value_counts().index[:_NAMES])}
    return values.map(names).fillna(len(names)).mask(values.isna(), len(names) + 1).to_numpy(dtype=int)


def _parts(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Part of each value, by quantiles of others; what is missing or infinite is a part by itself."""
    known = of[np.isfinite(of)]
    edges = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS)) if len(known) else np.array([])
    return np.where(np.isfinite(x), np.searchsorted(edges, x, side="left"), PARTS)


def _discovered(found: pd.DataFrame) -> pd.DataFrame:
    told = found["p"].notna()
    q = pd.Series(np.nan, index=found.index)
    if told.any():
        q[told] = false_discovery_control(found.loc[told, "p"], method="bh")
    return found.assign(q=q, drifted=(q <= DISCOVERIES) & (found["effect"] >= SMALLEST))
