"""Whether a model is better than the best simple rule, or whether that could be chance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.block_metrics import value_of
from qma_predict.learn.runs import leaving_out, run_length, spread_of

LOWER_IS_BETTER = ("log_loss", "expected_cost")
COMPARABLE = (
    *("average_precision", "roc_auc", "precision_at_capacity", "recall_at_capacity"),
    *("brier_skill", "log_loss", "expected_cost"),
)
"""Metrics that are compared; those of `LOWER_IS_BETTER` the other way round."""

MIN_NIGHTS = 10
MIN_DEFECTS = 20
_CENTS = ("log_loss", "expected_cost")
_SHARES = ("average_precision", "roc_auc", "precision_at_capacity", "recall_at_capacity")  # from 0 to 1
_ROUNDING = 1e-12
_SMALL = 0.015  # of which two decimals tell one digit, or none


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
) -> Verdict:
    """Say whether `model` is better than the best of the contestants in `against`.

    The best baseline is the one with the best mean over the blocks that it shares with the model. The interval is
    told by runs of successive nights, which are left out for both contestants (`qma_predict.learn.runs`): the units of
    a night share machines and material, and so do nights that follow each other. Where scores tie, the metrics are
    their expected values. The interval says how much the difference depends on which nights came, not what another
    training history would have given.
    A model that is no better is better in at most 25 of 1000 such verdicts. One that ranks by chance is called worse
    than a rule that does not rank in 60 to 90 of 1000, since the average precision of chance is seldom high.

    There are three outcomes: better, worse, and not distinguishable where the interval holds 0. Fewer than
    `MIN_NIGHTS` nights or `MIN_DEFECTS` known defects in the compared blocks give no interval, and no model
    is better on so little; nor do defects that all come in a few nights in a row.

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
    return _compared(values, model, baseline, metric, result, partial(_leaving_out, result, metric))


def differences(
    result: Backtest,
    model: str,
    *,
    against: Sequence[str] = BASELINES,
    metrics: Sequence[str] = COMPARABLE,
) -> pd.DataFrame:
    """Compare `model` with each contestant in `against` by each metric, as `verdict` does with the best.

    Parameters
    ----------
    result, model, against
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
        without = cache(partial(_leaving_out, result, metric))
        for name in rivals:
            found = _compared(values, model, name, metric, result, without)
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
    model: str,
    baseline: str,
    metric: str,
    result: Backtest,
    without: Callable[[str, int, int], np.ndarray],
) -> Verdict:
    pairs = values[[model, baseline]].dropna()
    difference = pairs[model] - pairs[baseline]
    nights, defects = _known(result, pairs.index, model)
    low = high = np.nan
    if nights >= MIN_NIGHTS and defects >= MIN_DEFECTS:
        length = run_length(nights)
        spread = spread_of([without(model, b, length) - without(baseline, b, length) for b in pairs.index])
        most = 1.0 if metric in _SHARES else np.inf
        low, high = (_settled(float(np.clip(end, -most, most))) for end in (spread.low(0.975), spread.high(0.975)))
    lower = metric in LOWER_IS_BETTER
    numbers = {
        "model_mean": float(pairs[model].mean()),
        "baseline_mean": float(pairs[baseline].mean()),
        "difference": _settled(float(difference.mean())),
        "low": low,
        "high": high,
        "blocks": len(pairs),
        "blocks_won": int(((-difference if lower else difference) > _ROUNDING).sum()),
        "better": bool(high < 0 if lower else low > 0),
        "worse": bool(low > 0 if lower else high < 0),
    }
    return Verdict(model, baseline, metric, **numbers, sentence=_in_words(model, baseline, metric, numbers))  # type: ignore[arg-type]  # their kinds differ


def _settled(value: float) -> float:
    """0 where a value is but what sums of equal numbers differ by."""
    return 0.0 if abs(value) <= _ROUNDING else value


def _in_words(model: str, baseline: str, metric: str, found: Mapping[str, float | int | bool]) -> str:
    ours, theirs, difference, low, high = _told(metric, found)
    if np.isnan(found["low"]):
        ending = f"not enough yet to tell: fewer than {MIN_NIGHTS} nights or {MIN_DEFECTS} known defects"
        ending += ", or all in a few nights in a row"
    else:
        outcome = _finding(bool(found["better"]), bool(found["worse"]))
        counts = f"ahead in {found['blocks_won']} of {found['blocks']} blocks"
        ending = f"{outcome} (difference {difference}, 95 % interval {low} to {high}), {counts}"
    return f"{model}: {metric.replace('_', ' ')} {ours} against {theirs} of {baseline}, {ending}"


def _told(metric: str, found: Mapping[str, float]) -> list[str]:
    """Both means, the difference and its ends, with digits enough to tell the means apart, and the rest from 0."""
    means, difference = (found["model_mean"], found["baseline_mean"]), found["difference"]
    form = "z.3g" if metric in _CENTS else "z.2f"
    alike = len({format(mean, form) for mean in means}) == 1
    if difference and (alike or (metric not in _CENTS and abs(difference) < _SMALL)):
        form = _two_digits(difference)
    ends = (found["low"], found["high"])
    shown = (format(end, form if not end or float(format(end, form)) else _two_digits(end)) for end in ends)
    return [*(format(one, form) for one in (*means, difference)), *shown]


def _two_digits(value: float) -> str:
    """Format with decimals enough that a value, other than 0, has two digits that count."""
    return f"z.{max(0, 1 - int(np.floor(np.log10(abs(value)))))}f"


def _finding(better: bool, worse: bool) -> str:
    return "better" if better else "worse" if worse else "not distinguishable"


def _no_verdict(result: Backtest, model: str, metric: str) -> Verdict:
    rows = result.table[(result.table["contestant"] == model) & (result.table["metric"] == metric)]
    reason = rows["reason"].dropna()
    why = reason.iloc[-1] if len(reason) else "no baseline could be measured"
    sentence = f"{model}: {metric.replace('_', ' ')} cannot be compared in any block: {why}"
    nan = float("nan")
    return Verdict(model, "", metric, nan, nan, nan, nan, nan, 0, 0, False, False, sentence)


def _known(result: Backtest, blocks: pd.Index, model: str) -> tuple[int, float]:
    """Nights of which an outcome is known in some blocks, and known defects."""
    rows = result.predictions[result.predictions["outcome"].notna()]
    rows = rows[(rows["contestant"] == model) & rows["block"].isin(blocks)]
    return int(rows.groupby("block")["night"].nunique().sum()), float(rows["outcome"].sum())


def _leaving_out(result: Backtest, metric: str, name: str, block: int, length: int) -> np.ndarray:
    """The metric of a contestant in a block and, after it, with each run of nights left out."""
    rows = result.predictions
    rows = rows[(rows["contestant"] == name) & (rows["block"] == block)]
    rows = rows[rows.groupby("night")["outcome"].transform("count") > 0]  # other nights tell nothing
    facts = result.table[result.table["block"] == block].iloc[0]
    prevalence = float(facts["train_defects"] / facts["train_units"])
    value = partial(value_of, metric, capacity=result.capacity, costs=result.costs, prevalence=prevalence)
    some = [rows[kept] for kept in leaving_out(rows["night"], length)]
    return np.array([value(of["outcome"], of["score"], of["night"]) for of in some])
