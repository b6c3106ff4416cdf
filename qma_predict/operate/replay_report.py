"""What replayed lists would have found, by what became known later, beside the ladder on the same nights.

Nobody was given these lists. So a unit's outcome is what the plant itself recorded: one that was never inspected is
unknown, and counts neither as good nor as defect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from qma_predict.learn.at_capacity import Tally, precision_at_capacity, recall_at_capacity, tally_nights
from qma_predict.learn.costs import expected_cost
from qma_predict.learn.metrics import average_precision
from qma_predict.learn.over_all import why_too_few
from qma_predict.learn.rates import Rate, percent
from qma_predict.learn.redraws import redrawn
from qma_predict.learn.runs import run_length
from qma_predict.learn.verdict import LOWER_IS_BETTER, MIN_DEFECTS, MIN_NIGHTS
from qma_predict.line import Costs, Line
from qma_predict.operate.night_blocks import interval, night_blocks
from qma_predict.operate.replay_promises import REPLICATES, SEED, found_per_promised, ratio, share_kept
from qma_predict.publish.pages.words import counted

LISTS = "the lists"
"""Name of the replayed lists among the contestants."""

NO_LIST = "no list"
"""State of a night for which none could be made."""

KEPT = "promises_kept"
"""Name of the share of promises kept among the figures."""

METRICS = ("recall_at_capacity", "precision_at_capacity", "average_precision", "expected_cost")
PROMISED = ("promised", "low", "high", "checked", "found", "pending", "not_checked", "verdict")


@dataclass(frozen=True)
class Replay:
    """What replayed lists would have found.

    Attributes
    ----------
    line : Line
    known_until : datetime, UTC
        As which outcomes are known.
    nights : DataFrame, one row a night, oldest first
        What `evaluate` was given; of the night's list ``promised``, ``low``, ``high``, ``checked``, ``found``,
        ``pending``, ``not_checked`` and ``verdict``, as `qma_predict.review.promises.promises` has them;
        and of its new candidates ``new``, ``known`` (with an outcome), ``defects``, ``precision``, ``recall`` and
        ``average_precision`` (missing where not defined).
    found : DataFrame, shape (n_nights, n_contestants), indexed by night
        Defects among the new candidates that each contestant would have listed, ties in expected value.
    figures : DataFrame
        ``contestant``, ``metric``, ``value``, ``low`` and ``high``: over all nights, by the inspected units; and what
        share of the lists' promises was kept, as `KEPT`.
    over_all : DataFrame
        The same of precision and recall as if every unit had been inspected; empty if selection is not known, or
        was the same for all, or `few_over_all`.
    differences : DataFrame
        ``baseline``, ``metric``, ``difference`` (the lists minus the baseline), ``low``, ``high`` and ``finding``
        ("better", "worse", "not distinguishable"; missing if there is not enough data).
    kept, judged : int
        Promises that were kept, of those that can be judged.
    kept_share : Rate
        The same as a share, with its interval.
    found_per_promised, found_low, found_high : float
        Defects found among checked units for each that was promised, with its interval.
    block : int
        Nights that are drawn together for the intervals [nights].
    metric, finding, sentence : str
        What the verdict is by, the verdict ("better", "worse", "not distinguishable", "not enough yet"), in words.
    few_over_all : str
        Why nothing is told over all units though selection is known: what the known defects are worth; else empty.
    failed : mapping of datetime to str
        Trainings that gave no model, and why.
    """

    line: Line
    known_until: datetime
    nights: pd.DataFrame
    found: pd.DataFrame
    figures: pd.DataFrame
    over_all: pd.DataFrame
    differences: pd.DataFrame
    kept: int
    judged: int
    kept_share: Rate
    found_per_promised: float
    found_low: float
    found_high: float
    block: int
    metric: str
    finding: str
    sentence: str
    few_over_all: str
    failed: Mapping[datetime, str] = field(default_factory=dict)


def evaluate(
    line: Line,
    nights: pd.DataFrame,
    promises: pd.DataFrame,
    scores: Mapping[str, pd.DataFrame],
    outcome: pd.Series,
    weight: pd.Series | None,
    known_until: datetime,
) -> Replay:
    """Judge replayed lists by what became known.

    Parameters
    ----------
    line : Line
    nights : DataFrame, one row a night
        ``business_date`` (date), and for the page ``state``, ``reasons`` and ``issues`` (tuples of str), ``model``,
        ``version``, ``candidates``, ``listed``, ``capacity`` [units] and ``real`` ("same", "differs: ..." or empty). A
        night without a list has the state `NO_LIST`.
    promises : DataFrame, one row a list
        As `qma_predict.review.promises.promises` gives them.
    scores : mapping of str to DataFrame
        By contestant, with `LISTS` among them: ``unit_id``, ``night`` (date on which the unit was first a candidate)
        and ``score``. A contestant that lacks a unit of the lists is left out.
    outcome : Series of float, indexed by unit_id
        1 defect, 0 good, missing unknown.
    weight : Series of float, indexed by unit_id, or None
        How many units each inspected unit stands for (see `uncut_weights`).
    known_until : datetime, UTC

    Returns
    -------
    Replay

    Notes
    -----
    Lists and ladder are compared as in the backtest: each unit counts once, on its first night, and each contestant
    fills that night's capacity by its scores. Intervals (95 %) are from nights drawn again in blocks, see
    `night_blocks`, the same draws for all contestants.
    """
    rows = _known(scores, outcome)
    of_lists = rows[LISTS]
    count = of_lists["night"].nunique()
    enough = count >= MIN_NIGHTS and of_lists["outcome"].sum() >= MIN_DEFECTS
    draws = night_blocks(count, REPLICATES, np.random.default_rng(SEED))
    capacity = nights.set_index("business_date")["capacity"].loc[np.unique(of_lists["night"])].to_numpy(dtype=int)
    told = _by_night(nights, promises, of_lists, capacity)
    each = None if weight is None else weight.reindex(of_lists["unit_id"]).fillna(1.0).to_numpy()
    few = "" if each is None else why_too_few(of_lists["outcome"].to_numpy(), each)
    values = {name: _values(of, capacity, line.costs) for name, of in rows.items()}
    drawn = {name: _drawn(of, draws, capacity, line.costs) for name, of in rows.items()} if enough else {}
    differences = _differences(values, drawn, count)
    metric = "recall_at_capacity" if line.costs.escape is None else "expected_cost"
    finding, sentence = _verdict(values, differences, metric, checks_words(nights))
    verdicts = told.loc[told["verdict"].isin(["kept", "broken"]), "verdict"]
    kept_share = share_kept(verdicts == "kept")
    return Replay(
        line,
        known_until,
        told,
        _found(rows, capacity),
        _figures(values, drawn, count, kept_share),
        _over_all(rows, None if few else each, draws if enough else None, capacity),
        differences,
        int((verdicts == "kept").sum()),
        len(verdicts),
        kept_share,
        *found_per_promised(told),
        run_length(count),
        metric,
        finding,
        sentence,
        few,
    )


def checks_words(nights: pd.DataFrame) -> str:
    """Return how much could be checked a night.

    Examples
    --------
    >>> checks_words(pd.DataFrame({"capacity": [3, 2, 3]}))
    '2 to 3 checks'
    """
    least, most = int(nights["capacity"].min()), int(nights["capacity"].max())
    return counted(most, "check") if least == most else f"{least:,} to {counted(most, 'check')}"


def _known(scores: Mapping[str, pd.DataFrame], outcome: pd.Series) -> dict[str, pd.DataFrame]:
    """``unit_id``, ``night``, ``score`` and ``outcome`` of the lists' units by each contestant that scored them all."""
    units = scores[LISTS].sort_values(["night", "unit_id"], ignore_index=True)
    units = units.assign(outcome=outcome.reindex(units["unit_id"]).to_numpy(dtype=float))
    rows = {}
    for name, given in scores.items():
        own = units.assign(score=given.set_index("unit_id")["score"].reindex(units["unit_id"]).to_numpy())
        if own["score"].notna().all():
            rows[name] = own
    return rows


def _by_night(nights: pd.DataFrame, promises: pd.DataFrame, rows: pd.DataFrame, capacity: np.ndarray) -> pd.DataFrame:
    told = nights.sort_values("business_date", ignore_index=True)
    told = told.merge(promises[["business_date", *PROMISED]], on="business_date", how="left")
    told["verdict"] = told["verdict"].fillna("not enough yet").mask(told["state"] == NO_LIST, NO_LIST)
    tally = _tally(rows, capacity)
    by_night = rows.groupby("night")
    found = pd.DataFrame(
        {
            "new": by_night.size(),
            "known": by_night["outcome"].count(),
            "defects": tally.defects.astype(int),
            "precision": ratio(tally.found, tally.known),
            "recall": ratio(tally.found, tally.defects),
            "average_precision": [average_precision(own["outcome"], own["score"]) for _, own in by_night],
        }
    )
    told = told.merge(found, left_on="business_date", right_index=True, how="left")
    counts = ["checked", "found", "pending", "not_checked", "new", "known", "defects"]
    return told.assign(**told[counts].fillna(0).astype(int))


def _found(rows: Mapping[str, pd.DataFrame], capacity: np.ndarray) -> pd.DataFrame:
    nights = pd.Index(np.unique(rows[LISTS]["night"]), name="night")
    return pd.DataFrame({name: _tally(each, capacity).found for name, each in rows.items()}, index=nights)


def _tally(rows: pd.DataFrame, capacity: np.ndarray, weight: np.ndarray | None = None) -> Tally:
    """What each night's list would have held, nights in the order of time."""
    return tally_nights(rows["outcome"], rows["score"], capacity=capacity, nights=rows["night"], sample_weight=weight)


def _values(rows: pd.DataFrame, capacity: np.ndarray, costs: Costs) -> dict[str, float]:
    told = (rows["outcome"], rows["score"])
    lists = {"capacity": capacity, "nights": rows["night"]}
    return {
        "recall_at_capacity": recall_at_capacity(*told, **lists),
        "precision_at_capacity": precision_at_capacity(*told, **lists),
        "average_precision": average_precision(*told),
        "expected_cost": expected_cost(*told, costs=costs, **lists),
    }


def _drawn(rows: pd.DataFrame, draws: np.ndarray, capacity: np.ndarray, costs: Costs) -> dict[str, np.ndarray]:
    """Each metric for each draw of nights."""
    found = {}
    for number, metric in enumerate(METRICS):
        if metric != "expected_cost" or costs.escape is not None:
            found[metric] = redrawn(
                rows, draws, metric, np.random.default_rng([SEED, number]), capacity=capacity, costs=costs
            )
    return found


def _figures(
    values: Mapping[str, Mapping[str, float]], drawn: Mapping[str, Mapping[str, np.ndarray]], nights: int, kept: Rate
) -> pd.DataFrame:
    rows = []
    for name, of in values.items():
        for metric in METRICS:
            if not np.isnan(of[metric]):
                low, high = interval(of[metric], drawn.get(name, {}).get(metric), nights)
                if metric != "expected_cost":
                    low, high = max(low, 0.0), min(high, 1.0)
                rows.append({"contestant": name, "metric": metric, "value": of[metric], "low": low, "high": high})
    if not np.isnan(kept.value):
        rows.append({"contestant": LISTS, "metric": KEPT, **kept._asdict()})
    return pd.DataFrame(rows, columns=["contestant", "metric", "value", "low", "high"])


def _over_all(
    rows: Mapping[str, pd.DataFrame], weight: np.ndarray | None, draws: np.ndarray | None, capacity: np.ndarray
) -> pd.DataFrame:
    """Ratios of sums of weights, which stand for units; not for how many units are known."""
    columns = ["contestant", "metric", "value", "low", "high"]
    if weight is None:
        return pd.DataFrame(columns=columns)
    found = []
    for name, each in rows.items():
        tally = _tally(each, capacity, weight)
        for metric, below in (("recall_at_capacity", tally.defects), ("precision_at_capacity", tally.known)):
            value = float(ratio(tally.found.sum(keepdims=True), below.sum(keepdims=True))[0])
            again = None if draws is None else ratio(draws @ tally.found, draws @ below)
            low, high = interval(value, again, len(tally.found))
            row = {"contestant": name, "metric": metric, "value": value, "low": max(low, 0.0), "high": min(high, 1.0)}
            found.append(row)
    return pd.DataFrame(found, columns=columns)


def _differences(
    values: Mapping[str, Mapping[str, float]], drawn: Mapping[str, Mapping[str, np.ndarray]], nights: int
) -> pd.DataFrame:
    rows = []
    for name in values.keys() - {LISTS}:
        for metric in METRICS:
            difference = values[LISTS][metric] - values[name][metric]
            if np.isnan(difference):
                continue
            again = drawn[LISTS][metric] - drawn[name][metric] if drawn else None
            low, high = interval(difference, again, nights)
            row = {"baseline": name, "metric": metric, "difference": difference, "low": low, "high": high}
            rows.append(row | {"finding": _finding(low, high, metric)})
    frame = pd.DataFrame(rows, columns=["baseline", "metric", "difference", "low", "high", "finding"])
    order = {name: place for place, name in enumerate(values)}
    return frame.sort_values("baseline", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _finding(low: float, high: float, metric: str) -> str | None:
    if np.isnan(low):
        return None
    if low <= 0 <= high:
        return "not distinguishable"
    return "better" if (high < 0) == (metric in LOWER_IS_BETTER) else "worse"


def _verdict(
    values: Mapping[str, Mapping[str, float]], differences: pd.DataFrame, metric: str, checks: str
) -> tuple[str, str]:
    """The lists against the best of the ladder."""
    rivals = {name: of[metric] for name, of in values.items() if name != LISTS and not np.isnan(of[metric])}
    ours = values[LISTS][metric]
    if not rivals or np.isnan(ours):
        return "not enough yet", "Not enough yet to tell: no outcome is known that lists and simple rules differ in."
    best = (min if metric in LOWER_IS_BETTER else max)(rivals, key=lambda name: rivals[name])
    found = differences[(differences["baseline"] == best) & (differences["metric"] == metric)].iloc[0]
    difference, low, high = (float(found[name]) for name in ("difference", "low", "high"))
    if metric == "expected_cost":
        said = f"the lists cost {ours:.3g} a candidate, the best simple rule ({best}) {rivals[best]:.3g}"
        between = f"difference {difference:.3g}, 95 % interval {low:.3g} to {high:.3g}"
    else:
        said = (
            f"with {checks} a night the lists found {percent(ours)} of the known defects, "
            f"the best simple rule ({best}) {percent(rivals[best])}"
        )
        between = f"difference {100 * difference:.1f} points, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
    if np.isnan(low):
        few = f"fewer than {MIN_NIGHTS} nights or {MIN_DEFECTS} known defects"
        return "not enough yet", f"Not enough yet to tell ({few}): {said}."
    return str(found["finding"]), f"{str(found['finding']).capitalize()}: {said} ({between})."
