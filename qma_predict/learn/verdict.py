"""Whether a model is better than the best simple rule, or whether that could be chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.redraws import redrawn, spread

LOWER_IS_BETTER = ("log_loss", "expected_cost")
COMPARABLE = (
    *("average_precision", "roc_auc", "precision_at_capacity", "recall_at_capacity"),
    *("brier_skill", "log_loss", "expected_cost"),
)
"""Metrics that are compared; those of `LOWER_IS_BETTER` the other way round."""

MIN_NIGHTS = 10
MIN_DEFECTS = 20
_REPLICATES = 2000
_CENTS = ("log_loss", "expected_cost")


@dataclass(frozen=True)
class Verdict:
    """How a model compares with the best baseline of a backtest.

    Attributes
    ----------
    model, baseline : str
        Who was compared; `baseline` is empty if no baseline has a value in a block of the model.
    metric : str
        One of `COMPARABLE`.
    model_mean, baseline_mean : float
        Mean over the compared blocks.
    difference : float
        Mean over the compared blocks of model minus baseline.
    low, high : float
        95 % interval of `difference` over which nights happened to come; NaN if there is not enough data.
    blocks, blocks_won : int
        Blocks in which both have a value, and those in which the model's is better.
    better : bool
        The whole interval is on the better side of 0.
    worse : bool
        The whole interval is on the worse side of 0.
    sentence : str
        The same in plain words.
    """

    model: str
    baseline: str
    metric: str
    model_mean: float
    baseline_mean: float
    difference: float
    low: float
    high: float
    blocks: int
    blocks_won: int
    better: bool
    worse: bool
    sentence: str


def verdict(
    result: Backtest,
    model: str,
    *,
    metric: str = "average_precision",
    against: Sequence[str] = BASELINES,
    random_state: int = 0,
) -> Verdict:
    """Say whether `model` is better than the best of the contestants in `against`.

    The best baseline is the one with the best mean over the blocks that it shares with the model. The
    interval is a paired bootstrap: within each block its nights are drawn with replacement, the same draw
    for both contestants, and the mean over blocks of the difference is taken; a block in whose draw the
    metric is not defined is left out of that draw. The interval runs from the 2.5 to the 97.5 percentile
    of 2000 draws, moved by the distance of their mean from the difference: a night drawn twice puts its
    defects next to their copies and so lifts average precision, more for the better ranking. Ties are
    broken at random, see `qma_predict.learn.redraws.redrawn`. Nights are drawn whole, since the units of a
    night share machines and material. The interval says how much the difference depends on which nights
    came, not what another training history would have given.

    There are three outcomes: better, worse, and not distinguishable where the interval holds 0. Fewer than
    `MIN_NIGHTS` nights or `MIN_DEFECTS` known defects in the compared blocks give no interval, and no model
    is better on so little.

    Parameters
    ----------
    result : Backtest
        What `backtest` returned.
    model : str
        A contestant.
    metric : str, default "average_precision"
        One of `COMPARABLE`.
    against : sequence of str, default `BASELINES`
        Contestants to beat; those that took no part are passed over.
    random_state : int, default 0
        Seed of the draws.

    Raises
    ------
    ValueError
        `model` took no part, none of `against` did, or `metric` is not in `COMPARABLE`.
    """
    values, rivals = _values(result, model, metric, against)
    shared = values[rivals].where(values[model].notna(), axis=0).mean()
    if shared.isna().all():
        return _no_verdict(result, model, metric)
    baseline = str(shared.idxmin() if metric in LOWER_IS_BETTER else shared.idxmax())
    drawn = _drawn(result, [model, baseline], metric, random_state)
    return _compared(values, drawn, model, baseline, metric, result)


def differences(
    result: Backtest,
    model: str,
    *,
    against: Sequence[str] = BASELINES,
    metrics: Sequence[str] = COMPARABLE,
    random_state: int = 0,
) -> pd.DataFrame:
    """Compare `model` with each contestant in `against` by each metric, as `verdict` does with the best.

    Parameters
    ----------
    result, model, against, random_state
        As for `verdict`.
    metrics : sequence of str, default `COMPARABLE`

    Returns
    -------
    DataFrame
        A row per contestant and metric that have a value in a block of the model: ``baseline``, ``metric``,
        ``model_mean``, ``baseline_mean``, ``difference``, ``low``, ``high``, ``blocks``, ``blocks_won`` and
        ``finding``: better, not distinguishable, worse, or missing if there is not enough data. The intervals
        are not widened for their number: one of twenty is expected to leave 0 out by chance.

    Raises
    ------
    ValueError
        As for `verdict`.
    """
    rows = []
    for metric in metrics:
        values, rivals = _values(result, model, metric, against)
        rivals = [name for name in rivals if values[[model, name]].notna().all(axis=1).any()]
        drawn = _drawn(result, [model, *rivals], metric, random_state) if rivals else {}
        for name in rivals:
            found = _compared(values, drawn, model, name, metric, result)
            row = {key: getattr(found, key) for key in _COLUMNS}
            rows.append(row | {"finding": None if np.isnan(found.low) else _finding(found.better, found.worse)})
    return pd.DataFrame(rows, columns=[*_COLUMNS, "finding"]).astype({"finding": "str"})


_COLUMNS = (
    *("baseline", "metric", "model_mean", "baseline_mean", "difference", "low", "high"),
    *("blocks", "blocks_won"),
)


def _values(result: Backtest, model: str, metric: str, against: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The metric by block and contestant, and those of `against` that took part."""
    if metric not in COMPARABLE:
        raise ValueError(f"verdict: unknown metric {metric!r}; expected one of {', '.join(COMPARABLE)}")
    values = result.table[result.table["metric"] == metric]
    values = values.pivot_table(index="block", columns="contestant", values="value", dropna=False)
    rivals = [name for name in against if name in values and name != model]
    if model not in values or not rivals:
        raise ValueError(
            f"verdict: found contestants {', '.join(values)}; expected {model!r} and one of {', '.join(against)}"
        )
    return values, rivals


def _compared(
    values: pd.DataFrame,
    drawn: Mapping[str, pd.DataFrame],
    model: str,
    baseline: str,
    metric: str,
    result: Backtest,
) -> Verdict:
    pairs = values[[model, baseline]].dropna()
    difference = pairs[model] - pairs[baseline]
    enough = _enough(result, pairs.index, model)
    again = (drawn[model].loc[pairs.index] - drawn[baseline].loc[pairs.index]).mean(axis=0).dropna() if enough else None
    ends = (np.nan, np.nan) if again is None else spread(again.to_numpy())
    low, high = (float(difference.mean()) + deviation for deviation in ends)
    lower = metric in LOWER_IS_BETTER
    numbers = {
        "model_mean": float(pairs[model].mean()),
        "baseline_mean": float(pairs[baseline].mean()),
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
        "blocks": len(pairs),
        "blocks_won": int(((difference < 0) if lower else (difference > 0)).sum()),
        "better": bool(high < 0 if lower else low > 0),
        "worse": bool(low > 0 if lower else high < 0),
    }
    return Verdict(model, baseline, metric, **numbers, sentence=_in_words(model, baseline, metric, numbers))  # type: ignore[arg-type]  # their kinds differ


def _in_words(model: str, baseline: str, metric: str, found: Mapping[str, float | int | bool]) -> str:
    places = ".3g" if metric in _CENTS else ".2f"
    ours, theirs, difference, low, high = (
        format(found[key], places) for key in ("model_mean", "baseline_mean", "difference", "low", "high")
    )
    if np.isnan(found["low"]):
        ending = f"not enough yet to tell: fewer than {MIN_NIGHTS} nights or {MIN_DEFECTS} known defects"
    else:
        outcome = _finding(bool(found["better"]), bool(found["worse"]))
        counts = f"ahead in {found['blocks_won']} of {found['blocks']} blocks"
        ending = f"{outcome} (difference {difference}, 95 % interval {low} to {high}), {counts}"
    return f"{model}: {metric.replace('_', ' ')} {ours} against {theirs} of {baseline}, {ending}"


def _finding(better: bool, worse: bool) -> str:
    return "better" if better else "worse" if worse else "not distinguishable"


def _no_verdict(result: Backtest, model: str, metric: str) -> Verdict:
    rows = result.table[(result.table["contestant"] == model) & (result.table["metric"] == metric)]
    reason = rows["reason"].dropna()
    why = reason.iloc[-1] if len(reason) else "no baseline could be measured"
    sentence = f"{model}: {metric.replace('_', ' ')} cannot be compared in any block: {why}"
    nan = float("nan")
    return Verdict(model, "", metric, nan, nan, nan, nan, nan, 0, 0, False, False, sentence)


def _enough(result: Backtest, blocks: pd.Index, model: str) -> bool:
    rows = result.predictions[result.predictions["outcome"].notna()]
    rows = rows[(rows["contestant"] == model) & rows["block"].isin(blocks)]
    nights = rows.groupby("block")["night"].nunique().sum()
    return bool(nights >= MIN_NIGHTS and rows["outcome"].sum() >= MIN_DEFECTS)


def _drawn(result: Backtest, names: Sequence[str], metric: str, random_state: int) -> dict[str, pd.DataFrame]:
    """The metric of each contestant for the same draws of nights: a row a block, a column a draw."""
    facts = result.table.drop_duplicates("block").set_index("block")
    rows = result.predictions[result.predictions["contestant"].isin(names)]
    told = rows.groupby(["block", "contestant", "night"])["outcome"].transform("count") > 0
    groups = dict(list(rows[told].groupby(["block", "contestant"], sort=False)))  # other nights add nothing if drawn
    drawn: dict[str, dict[int, np.ndarray]] = {name: {} for name in names}
    for block in facts.index:
        here = [name for name in names if (block, name) in groups]
        if not here:
            continue
        nights = groups[(block, here[0])]["night"].nunique()
        rng = np.random.default_rng([random_state, block])
        draws = rng.multinomial(nights, np.full(nights, 1 / nights), size=_REPLICATES)
        prevalence = facts.loc[block, "train_defects"] / facts.loc[block, "train_units"]
        for name in here:
            rows = groups[(block, name)]
            settings = {"capacity": result.capacity, "prevalence": prevalence, "costs": result.costs}
            drawn[name][block] = redrawn(rows, draws, metric, rng, **settings)
    return {name: pd.DataFrame.from_dict(blocks, orient="index") for name, blocks in drawn.items()}
