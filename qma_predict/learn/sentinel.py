"""The leak sentinel: features that know what they cannot know, by what they say of labels and of inspections.

A feature that looks past the cutoff by its clock is found by `qma_predict.features.leakage`. This one looks for what a
plant's clocks hide: a result under another name, written back with the time of production; a number handed out when
a unit was reworked; a serial number. It judges every feature by itself, with four questions, and by bounds rather
than by what was measured: with some hundred features and some tens of defects, the luckiest honest feature looks good.

What it cannot find: leaks in which each feature says little (an area below 0.9), leaks that less than about 17
defects show, and those that only several features together give away. What it can find wrong: an honest feature as
good as that. It has to be named under `learning.keep`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from qma_predict.learn.evidence import area, seldom, share, shares_elsewhere

PREDICTS = "predicts alone"
MISSINGNESS = "missingness tells the label"
AFTERWARDS = "known only after the inspection"
IDENTIFIER = "identifier or row order"

WRONG = 0.01
"""Chance that any honest feature of the table is found by luck: shared out equally among all that is tried."""

TOO_WELL, SURELY = 0.90, 0.80
"""Area under the ROC curve within weeks that is too good for one feature, and that its lower bound must reach. In the
simulated plant (2 % defects, 3 seeds) the best honest number has 0.67 to 0.74, the true probability 0.88 to 0.90."""

NEARLY_ONLY, RATHER = 0.90, 0.50
"""Share of defects among units with a value that is too good, and that its lower bound must reach. The worst
situation of a plant seldom makes more than half of its units defect: a known one would have been stopped."""

ODDS = 50.0
"""Where defects are common, half is nothing: the bound must be this many times the odds of all units, too."""

SELDOM = 0.10
"""Units that were not inspected have the feature less often than this share of what chance would give: the upper
bound. Units chosen for the gate by an alarm of before, at nine of ten, leave a quarter."""

IN_STEP = 0.99
"""Rank correlation with time, over all and within weeks, from which a number is a clock or a counter. Drifts and
seasons have noise within a week."""

NEARLY_UNIQUE, FEWEST_NAMES = 0.5, 50
"""Share of a text's values that are distinct, and how many there must be, for it to be a name of units."""

FEW_VALUES = 50
"""Numbers with at most so many distinct values are codes, too: what one says need not lie at an end of the scale."""

NAMED = 10
"""How many features are named in words; all of them are in the table."""

_TAILS = (17, 24, 34, 48, 68, 96, 136, 192, 272, 384)
"""Sizes of the groups at both ends of a scale; 17 is the fewest that can show more than half with this certainty."""

_TRIED = 40
"""What is tried of a feature at most: areas and groups, of values, of distances and of gaps."""


def find_leaks(X: pd.DataFrame, y: pd.Series, cutoff: pd.Series) -> pd.DataFrame:
    """Features that look like leaks, each with the evidence.

    Parameters
    ----------
    X : DataFrame, shape (n_units, n_features), indexed by unit_id
        Features of units that had the time to be inspected: their labels are mature.
    y : Series, shape (n_units,), indexed by unit_id
        1 defect, 0 good, missing where it was not (fully) inspected.
    cutoff : Series of datetime, UTC, shape (n_units,), indexed by unit_id
        Units are compared with those of the same week only: what merely drifts is no leak.

    Returns
    -------
    DataFrame, shape (n_findings, 3)
        ``feature``, ``kind`` (one of `PREDICTS`, `MISSINGNESS`, `AFTERWARDS`, `IDENTIFIER`) and ``evidence``, a
        sentence with numbers. In the order of `X`; a feature may have several.

    Notes
    -----
    Inspected and other units are compared within the same week and product (the feature `unit.product`, where there
    is one): which products are inspected is known before.

    Examples
    --------
    >>> names = [f"u{n}" for n in range(1000)]
    >>> cutoff = pd.Series(pd.date_range("2026-03-02", periods=1000, freq="h", tz="UTC"), index=names)
    >>> y = pd.Series(np.arange(1000) % 20 == 0, index=names, dtype=float)
    >>> warmth = pd.Series(np.arange(1000.0) * 7 % 31, index=names)
    >>> found = find_leaks(pd.DataFrame({"wash.rework_no": y.where(y == 1), "wash.warmth": warmth}), y, cutoff)
    >>> found[["feature", "kind"]].to_numpy().tolist()
    [['wash.rework_no', 'missingness tells the label']]
    >>> found["evidence"].item()
    'there or not: tells 50 defects from good units of the same week with an area of 1.00 (at least 0.93)'
    """
    units = _Units.of(X, y.reindex(X.index), cutoff.reindex(X.index))
    rows = [(name, kind, told) for name in X for kind, told in _findings(X[name], units)]
    return pd.DataFrame(rows, columns=["feature", "kind", "evidence"]).astype("str")


def in_words(leaks: pd.DataFrame) -> str:
    """Return what was left out and what was kept, in a sentence; empty if nothing was found.

    Parameters
    ----------
    leaks : DataFrame
        Findings with the column ``kept``.

    Examples
    --------
    >>> kinds = [PREDICTS, AFTERWARDS, MISSINGNESS]
    >>> in_words(pd.DataFrame({"feature": ["a.code", "a.code", "b.no"], "kind": kinds, "kept": [False, False, True]}))
    "left out: 'a.code' (predicts alone, known only after the inspection); kept: 'b.no' (missingness tells the label)"
    """
    parts = []
    for word, rows in (("left out", leaks[~leaks["kept"]]), ("kept", leaks[leaks["kept"]])):
        kinds = rows.groupby("feature", sort=False)["kind"].agg(", ".join)
        named = [f"{name!r} ({kind})" for name, kind in kinds.head(NAMED).items()]
        more = [f"{len(kinds) - NAMED} more"] if len(kinds) > NAMED else []
        parts += [f"{word}: {', '.join(named + more)}"] if named else []
    return "; ".join(parts)


@dataclass(frozen=True)
class _Units:
    """What features are judged by, each of shape (n_units,), and how sure to be."""

    y: np.ndarray
    week: np.ndarray
    product: np.ndarray
    stratum: np.ndarray
    order: np.ndarray
    alpha: float

    @classmethod
    def of(cls, X: pd.DataFrame, y: pd.Series, cutoff: pd.Series) -> "_Units":
        week = ((cutoff - cutoff.min()) // pd.Timedelta("7D")).to_numpy(dtype=int)
        names = X["unit.product"] if "unit.product" in X else pd.Series("", index=X.index)
        product = pd.factorize(names.to_numpy(dtype=object), use_na_sentinel=False)[0]
        stratum = pd.factorize(week * (product.max(initial=0) + 1) + product)[0]
        order = cutoff.rank(method="first").to_numpy()
        return cls(y.to_numpy(dtype=float), week, product, stratum, order, WRONG / (_TRIED * max(X.shape[1], 1)))


def _findings(column: pd.Series, units: _Units) -> Iterator[tuple[str, str]]:
    """Kind and evidence of all that is wrong with a feature."""
    there = column.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=float)
        there = there & np.isfinite(values)
        codes = pd.factorize(values[there])[0]
        codes = codes if codes.max(initial=0) < FEW_VALUES else None
        numbers, order = values[there], _in_step(values[there], there, units)
    else:
        codes = pd.factorize(column[there])[0]
        numbers, order = None, _name_of_units(codes)
    if order:
        yield IDENTIFIER, order
    gaps = 0 < there.sum() < len(there)
    if gaps and (told := _of_labels(there.astype(float), None, np.ones_like(there), units)):
        yield MISSINGNESS, f"there or not: {told}"
    if told := _of_labels(numbers, None if order else codes, there, units):
        yield PREDICTS, told
    if told := _of_inspection(numbers, None if order else codes, there, units):
        yield AFTERWARDS, told


def _of_labels(numbers: np.ndarray | None, codes: np.ndarray | None, rows: np.ndarray, units: _Units) -> str | None:
    """What values, of the units `rows`, say of the labels; None if nothing too good."""
    known = ~np.isnan(units.y[rows])
    defect = units.y[rows][known] == 1
    week, product = units.week[rows][known], units.product[rows][known]
    if defect.sum() < 2 or defect.all():
        return None
    scales = []
    if numbers is not None:
        x = numbers[known]
        middle = pd.Series(x).groupby(product).transform("median").to_numpy()
        scales = [("", x), ("distance from the product's median of ", np.abs(x - middle))]
    if codes is not None:
        scales.append(("value whose share elsewhere is ", shares_elsewhere(codes[known], defect, week)))
    for name, scale in scales:
        if told := _area(scale, defect, week, units.alpha, "defects", "good units of the same week"):
            return told
        if told := _groups(name, scale, defect, units.alpha, of_shares=name.startswith("value")):
            return told
    return None


def _area(x: np.ndarray, positive: np.ndarray, stratum: np.ndarray, alpha: float, what: str, other: str) -> str | None:
    measured, lower = area(x, positive, stratum, alpha)
    if not (measured >= TOO_WELL and lower >= SURELY):
        return None
    return f"tells {positive.sum()} {what} from {other} with an area of {measured:.2f} (at least {lower:.2f})"


def _groups(name: str, x: np.ndarray, defect: np.ndarray, alpha: float, *, of_shares: bool) -> str | None:
    """A group at an end of the scale, or of the names that were nearly always defect elsewhere, that is too good."""
    ordered, odds = np.sort(x), ODDS * defect.mean() / (1 - defect.mean())
    required = max(RATHER, odds / (1 + odds))
    sizes = [size for size in _TAILS if 2 * size <= len(x)]
    cuts = [(f"{name}{ordered[-n]:.6g} or more", x >= ordered[-n]) for n in sizes]
    cuts += [(f"{name}{ordered[n - 1]:.6g} or less", x <= ordered[n - 1]) for n in sizes]
    if of_shares:
        cuts = [(f"a {name}above one half", x > 0.5)]
    for told, group in cuts:
        if not 0 < group.sum() < len(x) or defect[group].mean() < NEARLY_ONLY:
            continue
        lower = share(defect[group], alpha)[1]
        if lower >= required:
            return (
                f"of {group.sum()} units with {told} {defect[group].sum()} are defects (at least {lower:.0%}), "
                f"of all {defect.mean():.1%}"
            )
    return None


def _of_inspection(
    numbers: np.ndarray | None, codes: np.ndarray | None, there: np.ndarray, units: _Units
) -> str | None:
    """What a feature says of being inspected at all, within week and product; None if not too much."""
    inspected = ~np.isnan(units.y)
    for word, kind in (("not ", inspected), ("", ~inspected)):
        found, expected, upper = seldom(there, kind, units.stratum, units.alpha)
        if upper < SELDOM:
            return (
                f"{found} units that were {word}inspected have it, by chance it would be {expected:.0f} "
                f"(at most {upper:.1%} of that) within week and product"
            )
    positive, stratum = inspected[there], units.stratum[there]
    scales = [] if numbers is None else [numbers]
    if codes is not None and len(codes):
        scales.append(shares_elsewhere(codes, positive, units.week[there]))
    for scale in scales:
        if len(scale) and (
            told := _area(scale, positive, stratum, units.alpha, "inspected units", "others of the same week")
        ):
            return told
    return None


def _in_step(x: np.ndarray, there: np.ndarray, units: _Units) -> str | None:
    """Whether a number goes with time, over all and within the usual week."""
    if len(np.unique(x)) < FEWEST_NAMES:
        return None
    frame = pd.DataFrame({"x": rankdata(x), "order": units.order[there], "week": units.week[there]})
    overall = frame["x"].corr(frame["order"])
    if not abs(overall) >= IN_STEP:
        return None
    ranked = frame.assign(x=frame.groupby("week")["x"].rank(), order=frame.groupby("week")["order"].rank())
    within = ranked.groupby("week")[["x", "order"]].corr()["order"].xs("x", level=1).median()
    if not abs(within) >= IN_STEP:
        return None
    return f"goes with time: rank correlation {overall:.4f} over all units, {within:.4f} within the median week"


def _name_of_units(codes: np.ndarray) -> str | None:
    distinct = codes.max(initial=-1) + 1
    if distinct < FEWEST_NAMES or distinct < NEARLY_UNIQUE * len(codes):
        return None
    return f"names units: {distinct} different values in {len(codes)} units"
