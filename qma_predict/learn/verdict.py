"""Whether a model is better than the best simple rule, or whether that could be chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.metrics import expected_average_precision

COMPARABLE = ("average_precision", "precision_at_capacity", "recall_at_capacity")
MIN_NIGHTS = 10
MIN_DEFECTS = 20
_REPLICATES = 2000
_TIE_BREAKS = 20


@dataclass(frozen=True)
class Verdict:
    """How a model compares with the best baseline of a backtest.

    Attributes
    ----------
    model, baseline : str
        Who was compared; `baseline` is empty if no baseline has a value in a block of the model.
    metric : str
        One of `COMPARABLE`; higher is better.
    model_mean, baseline_mean : float
        Mean over the compared blocks.
    difference : float
        Mean over the compared blocks of model minus baseline.
    low, high : float
        95 % interval of `difference` over which nights happened to come; NaN if there is not enough data.
    blocks, blocks_won : int
        Blocks in which both have a value, and those in which the model's is higher.
    better : bool
        `low` is above 0.
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
    sentence: str


def verdict(
    result: Backtest,
    model: str,
    *,
    metric: str = "average_precision",
    against: Sequence[str] = BASELINES,
    random_state: int = 0,
) -> Verdict:
    """Say whether `model` ranks better than the best of the contestants in `against`.

    The best baseline is the one with the highest mean over the blocks that it shares with the model. The
    interval is a paired bootstrap: within each block its nights are drawn with replacement, the same draw
    for both contestants, and the mean over blocks of the difference is taken; a block in whose draw the
    metric is not defined is left out of that draw. The interval runs from the 2.5 to the 97.5 percentile
    of 2000 draws, moved by the distance of their mean from the difference: a night drawn twice puts its
    defects next to their copies and so lifts average precision, more for the better ranking. Ties are
    broken at random, anew for every 100 draws: against their expected value a ranking by chance would
    mostly look worse than none, since it is seldom lucky. Nights are drawn whole, since the units of a
    night share machines and material. The interval says how much the difference depends on which nights
    came, not what another training history would have given.

    Fewer than `MIN_NIGHTS` nights or `MIN_DEFECTS` known defects in the compared blocks give no interval,
    and no model is better on so little.

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
    if metric not in COMPARABLE:
        raise ValueError(f"verdict: unknown metric {metric!r}; expected one of {', '.join(COMPARABLE)}")
    values = result.table[result.table["metric"] == metric]
    values = values.pivot_table(index="block", columns="contestant", values="value", dropna=False)
    rivals = [name for name in against if name in values and name != model]
    if model not in values or not rivals:
        raise ValueError(
            f"verdict: found contestants {', '.join(values)}; expected {model!r} and one of {', '.join(against)}"
        )
    shared = values[rivals].where(values[model].notna(), axis=0).mean()
    if shared.isna().all():
        return _no_verdict(result, model, metric)
    baseline = str(shared.idxmax())
    pairs = values[[model, baseline]].dropna()
    spread = _spread(result, pairs.index, model, baseline, metric, random_state)
    return _in_words(model, baseline, metric, pairs, spread)


def _in_words(model: str, baseline: str, metric: str, pairs: pd.DataFrame, spread: tuple[float, float]) -> Verdict:
    difference = pairs[model] - pairs[baseline]
    low, high = (float(difference.mean()) + deviation for deviation in spread)
    won, blocks = int((difference > 0).sum()), len(pairs)
    ours, theirs = float(pairs[model].mean()), float(pairs[baseline].mean())
    counts = f"ahead in {won} of {blocks} blocks"
    interval = f"(difference {difference.mean():.2f}, 95 % interval {low:.2f} to {high:.2f})"
    if np.isnan(low):
        ending = f"not enough yet to tell: fewer than {MIN_NIGHTS} nights or {MIN_DEFECTS} known defects"
    elif low > 0:
        ending = f"better {interval}, {counts}"
    elif high < 0:
        ending = f"worse {interval}, {counts}"
    else:
        ending = f"not distinguishable {interval}, {counts}"
    sentence = f"{model}: {metric.replace('_', ' ')} {ours:.2f} against {theirs:.2f} of {baseline}, {ending}"
    return Verdict(
        model=model,
        baseline=baseline,
        metric=metric,
        model_mean=ours,
        baseline_mean=theirs,
        difference=float(difference.mean()),
        low=low,
        high=high,
        blocks=blocks,
        blocks_won=won,
        better=bool(low > 0),
        sentence=sentence,
    )


def _no_verdict(result: Backtest, model: str, metric: str) -> Verdict:
    rows = result.table[(result.table["contestant"] == model) & (result.table["metric"] == metric)]
    reason = rows["reason"].dropna()
    why = reason.iloc[-1] if len(reason) else "no baseline could be measured"
    sentence = f"{model}: {metric.replace('_', ' ')} cannot be compared in any block: {why}"
    nan = float("nan")
    return Verdict(model, "", metric, nan, nan, nan, nan, nan, 0, 0, False, sentence)


def _spread(
    result: Backtest, blocks: pd.Index, model: str, baseline: str, metric: str, random_state: int
) -> tuple[float, float]:
    rows = result.predictions[result.predictions["block"].isin(blocks)]
    pair = rows.set_index(["block", "contestant"]).sort_index()
    nights = [pair.loc[(block, model), "night"].nunique() for block in blocks]
    defects = sum(pair.loc[(block, model), "outcome"].sum() for block in blocks)
    if sum(nights) < MIN_NIGHTS or defects < MIN_DEFECTS:
        return float("nan"), float("nan")
    rng = np.random.default_rng(random_state)
    differences = []
    for block, n_nights in zip(blocks, nights, strict=True):
        draws = rng.multinomial(n_nights, np.full(n_nights, 1 / n_nights), size=_REPLICATES)
        ours, theirs = (
            _redrawn(pair.loc[(block, name)], draws, metric, result.capacity, rng) for name in (model, baseline)
        )
        differences.append(ours - theirs)
    stacked = np.vstack(differences)
    means = np.nanmean(stacked[:, ~np.isnan(stacked).all(axis=0)], axis=0)
    low, high = np.quantile(means, [0.025, 0.975]) - means.mean()
    return float(low), float(high)


def _redrawn(rows: pd.DataFrame, draws: np.ndarray, metric: str, capacity: int, rng: np.random.Generator) -> np.ndarray:
    """Return the metric for each draw; ``draws[i, j]`` is how often draw i holds night j."""
    night = pd.factorize(rows["night"], sort=True)[0]
    outcome, score = rows["outcome"].to_numpy(), rows["score"].to_numpy()
    results = []
    for some in np.array_split(draws, _TIE_BREAKS):
        ranked = np.lexsort((rng.random(len(score)), -score))
        if metric == "average_precision":
            results.append(_ranked_precision(outcome[ranked], night[ranked], some))
        else:
            over = "known" if metric == "precision_at_capacity" else "defects"
            results.append(_ranked_lists(outcome[ranked], night[ranked], some, capacity, over))
    return np.concatenate(results)


def _ranked_precision(outcome: np.ndarray, night: np.ndarray, draws: np.ndarray) -> np.ndarray:
    known = ~np.isnan(outcome)
    times = (draw[night[known]] for draw in draws)
    return np.array([expected_average_precision(each * outcome[known], each) for each in times])


def _ranked_lists(outcome: np.ndarray, night: np.ndarray, draws: np.ndarray, capacity: int, over: str) -> np.ndarray:
    place = pd.Series(night).groupby(night).cumcount().to_numpy()
    units = pd.DataFrame({"known": ~np.isnan(outcome), "defects": outcome == 1.0}).astype(float)
    listed = units.mul(place < capacity, axis=0).groupby(night).sum()
    below = listed["known"] if over == "known" else units["defects"].groupby(night).sum()
    with np.errstate(invalid="ignore"):  # 0 / 0: the draw leaves the metric undefined, NaN
        return (draws @ listed["defects"].to_numpy()) / (draws @ below.to_numpy())
