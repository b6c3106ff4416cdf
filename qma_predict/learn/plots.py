"""Pictures of a backtest. Each is a matplotlib figure of its own: no window, no global state."""

from collections.abc import Iterator
from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import beta

from qma_predict.learn.backtest import Backtest, summarise
from qma_predict.learn.block_metrics import METRICS
from qma_predict.learn.trust import equal_promises

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES: tuple[dict[str, Any], ...] = (  # told apart without colour too
    {"color": "black", "linestyle": "-", "marker": "o"},
    {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    {"color": "#D55E00", "linestyle": "-.", "marker": "^"},
    {"color": "#009E73", "linestyle": (0, (1, 1)), "marker": "D"},
    {"color": "#CC79A7", "linestyle": (0, (6, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#777777", "linestyle": (0, (8, 3)), "marker": "x"},
)
_REFERENCE: dict[str, Any] = {"color": "#555555", "linewidth": 1.2, "linestyle": (0, (1, 2))}
_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_NO_DEFECT = "no score of a known defect"
_PANELS = {
    "average_precision": ("average precision", None),
    "roc_auc": ("ROC AUC (0.5: chance)", 0.5),
    "precision_at_capacity": ("precision at {capacity} units a night", None),
    "recall_at_capacity": ("recall at {capacity} units a night", None),
    "brier_skill": ("Brier skill (0: as the training prevalence)", 0.0),
    "log_loss": ("logarithmic loss", None),
    "observed_over_expected": ("observed / expected defects (1: as promised)", 1.0),
    "expected_cost": ("cost per candidate", None),
}
"""Title of each metric's panel, and the value to hold it against."""


def figures(result: Backtest, model: str, *, line: str) -> "dict[str, Figure]":
    """Return all pictures of a backtest by name.

    Parameters
    ----------
    result : Backtest
    model : str
        The contestant whose calibration is shown.
    line : str
        The line's name or title, for the pictures' titles.
    """
    return {
        "precision_recall": precision_recall(result, line=line),
        "calibration": calibration(result, model, line=line),
        "recall_by_capacity": recall_by_capacity(result, line=line),
        "metrics_by_block": metrics_by_block(result, line=line),
    }


def precision_recall(result: Backtest, *, line: str) -> "Figure":
    """Return precision against recall, a curve a contestant, over its blocks together.

    Ties are in expected value, as in `qma_predict.learn.metrics`: a contestant that does not rank runs level.

    Parameters
    ----------
    result : Backtest
    line : str
        The line's name or title.
    """
    figure, axes = _figure(f"Precision and recall\n{_facts(result, line)}")
    if sentence := _nothing(result):
        return _say(figure, axes, sentence)
    means = summarise(result.table).set_index(["contestant", "metric"])["mean"]
    for name, rows, style in _contestants(result):
        known = rows[rows["outcome"].notna()]
        if not known["outcome"].any():
            axes.plot([], [], label=f"{name}: {_NO_DEFECT}", **style)
            continue
        found = _expected(known, [])["expected"].cumsum().to_numpy()
        label = f"{name}{_part(result, rows)}: {means[name, 'average_precision']:.2f}"
        precision = found / np.arange(1, len(found) + 1)
        axes.plot(found / found[-1], precision, label=label, markevery=0.15, **style)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="precision [share of defects among the listed units]")
    axes.set_xlabel("recall [share of the known defects that are listed]")
    figure.legend(loc="outside lower center", ncols=2, title="average precision, mean over blocks")
    return figure


def calibration(result: Backtest, contestant: str, *, line: str) -> "Figure":
    """Return the observed share of defects against the expected one, in bins of the score.

    The bins hold the units of all blocks together, and about equally many expected defects each: at least
    five, at most eight bins. The bars are 95 % intervals (`binomial_interval`).

    Parameters
    ----------
    result : Backtest
    contestant : str
        Whose scores.
    line : str
        The line's name or title.

    Raises
    ------
    ValueError
        `contestant` took no part.
    """
    reasons = result.table.loc[result.table["contestant"] == contestant, "reason"]
    if reasons.empty:
        raise ValueError(
            f"calibration: found contestants {', '.join(result.table['contestant'].unique())}; expected {contestant!r}"
        )
    figure, axes = _figure(f"Calibration of {contestant}\n{_facts(result, line)}")
    rows = result.predictions[result.predictions["contestant"] == contestant]
    known = rows[rows["outcome"].notna()]
    if known.empty:
        return _say(figure, axes, f"No score of a unit with a known outcome: {reasons.dropna().iloc[-1]}.")
    end = _plot_bins(axes, known, f"{contestant}{_part(result, rows)}: defects / units, 95 % interval")
    axes.plot([0, end], [0, end], label="observed = expected", **_REFERENCE)
    _root_scales(axes, end)
    axes.set_xlabel("expected [mean probability of a defect, square-root scale]")
    axes.set_ylabel("observed [share of defects, square-root scale]")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def recall_by_capacity(result: Backtest, *, line: str) -> "Figure":
    """Return the share of the known defects that lists of each length would hold.

    Lists are made each night from the candidates of that night, as in `at_capacity.recall_at_capacity`, for
    capacities from nothing to five times the line's. The curve of random units is an expected value.

    Parameters
    ----------
    result : Backtest
    line : str
        The line's name or title.
    """
    figure, axes = _figure(f"Recall against capacity\n{_facts(result, line)}")
    if sentence := _nothing(result):
        return _say(figure, axes, sentence)
    anyone = result.predictions.drop_duplicates(["block", "unit_id"]).assign(score=0.0)
    curves = [*_contestants(result), ("random units", anyone, _REFERENCE | {"linewidth": 2.5})]
    for name, rows, style in curves:
        recall = _recalls(rows)[: 5 * result.capacity + 1]
        label = f"{name}{_part(result, rows)}" if len(recall) else f"{name}: {_NO_DEFECT}"
        axes.plot(np.arange(len(recall)), recall, label=label, markevery=0.15, **style)
    axes.axvline(result.capacity, label=f"capacity of the line: {result.capacity} units a night", **_REFERENCE)
    axes.set(xlim=(0, None), ylim=(0, 1.02), ylabel="recall [share of the known defects that are listed]")
    axes.set_xlabel("capacity [units checked a night]")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def metrics_by_block(result: Backtest, *, line: str) -> "Figure":
    """Return every metric of the backtest block by block, a panel a metric.

    Parameters
    ----------
    result : Backtest
    line : str
        The line's name or title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 8), layout="constrained")
    figure.suptitle(f"Backtest by block\n{_facts(result, line)}")
    for axes, metric in zip(figure.subplots(2, 4).flat, METRICS, strict=True):
        title, reference = _PANELS[metric]
        values = result.table[result.table["metric"] == metric]
        for contestant, _, style in _contestants(result):
            rows = values[values["contestant"] == contestant]
            axes.plot(rows["block"], rows["value"], label=contestant, **style)
        if values["value"].isna().all():
            axes.text(0.5, 0.5, "not defined, see below", ha="center", transform=axes.transAxes)
        elif reference is not None:
            axes.axhline(reference, **_REFERENCE)
        blocks = values["block"].unique()
        axes.set(xticks=blocks, xlim=(blocks.min() - 0.5, blocks.max() + 0.5), xlabel="block")
        axes.set_title(title.format(capacity=result.capacity), fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    notes = [_block_facts(result), *_undefined(result.table)]
    figure.supxlabel("\n".join(fill(note, 170) for note in notes), x=0.01, ha="left", fontsize=9)
    return figure


def binomial_interval(hits: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a share, after Clopper and Pearson (1934).

    Parameters
    ----------
    hits, trials : numpy.ndarray, shape (n,)
        ``0 <= hits <= trials``, and `trials` at least 1.

    Returns
    -------
    low, high : numpy.ndarray, shape (n,)

    Examples
    --------
    >>> low, high = binomial_interval(np.array([0, 5]), np.array([10, 10]))
    >>> low.round(3), high.round(3)
    (array([0.   , 0.187]), array([0.308, 0.813]))
    """
    low = np.where(hits > 0, beta.ppf(0.025, np.maximum(hits, 1), trials - hits + 1), 0.0)
    high = np.where(hits < trials, beta.ppf(0.975, hits + 1, np.maximum(trials - hits, 1)), 1.0)
    return low, high


def _figure(title: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _say(figure: "Figure", axes: "Axes", sentence: str) -> "Figure":
    axes.set_axis_off()
    axes.text(0.5, 0.5, fill(sentence, 60), ha="center", va="center", transform=axes.transAxes)
    return figure


def _blocks(result: Backtest) -> pd.DataFrame:
    return result.table.drop_duplicates("block")


def _facts(result: Backtest, line: str) -> str:
    blocks = _blocks(result)
    return (
        f"{line}: {blocks['units'].sum():,} units with a known outcome, {blocks['defects'].sum():,} defects, "
        f"{len(blocks)} blocks"
    )


def _block_facts(result: Backtest) -> str:
    return "; ".join(
        f"block {row.block} from {row.origin:%Y-%m-%d}: {row.defects} of {row.units:,} known units defects"
        for row in _blocks(result).itertuples()
    )


def _nothing(result: Backtest) -> str | None:
    if result.predictions.empty:
        return f"No contestant has a score in any block: {result.table['reason'].iloc[-1]}."
    if result.predictions["outcome"].sum() == 0:
        return "No scored unit is a known defect, so that precision and recall are not defined."
    return None


def _part(result: Backtest, rows: pd.DataFrame) -> str:
    """How many blocks a contestant has scores in, unless all."""
    judged, blocks = rows["block"].nunique(), len(_blocks(result))
    return "" if judged == blocks else f" ({judged} of {blocks} blocks)"


def _contestants(result: Backtest) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Name, predictions and style of each contestant."""
    for name, style in zip(result.table["contestant"].unique(), cycle(_STYLES), strict=False):
        yield name, result.predictions[result.predictions["contestant"] == name], style | {"markersize": 5}


def _expected(rows: pd.DataFrame, lists: list[str]) -> pd.DataFrame:
    """Rows of each list by falling score; ``expected`` is the chance of a known defect, equal among ties."""
    rows = rows.assign(expected=rows["outcome"].fillna(0.0)).sort_values([*lists, "score"], ascending=False)
    return rows.assign(expected=rows.groupby([*lists, "score"])["expected"].transform("mean"))


def _plot_bins(axes: "Axes", known: pd.DataFrame, label: str) -> float:
    """Plot a point a bin with its interval and counts; return where the axes should end."""
    bins = known.groupby(equal_promises(known["score"].to_numpy(), each=5, most=8))
    expected, observed = bins["score"].mean().to_numpy(), bins["outcome"].mean().to_numpy()
    defects, units = bins["outcome"].sum().to_numpy(), bins.size().to_numpy()
    low, high = binomial_interval(defects, units)
    bars = np.vstack([observed - low, high - observed])
    axes.errorbar(expected, observed, bars, label=label, capsize=3, color="black", marker="o", linestyle="none")
    counts = [f"{found:.0f} / {of}" for found, of in zip(defects, units, strict=True)]
    for text, x, top in zip(counts, expected, high, strict=True):
        axes.annotate(text, (x, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8, rotation=90)
    return float(min(1.0, 1.4 * max(high.max(), expected.max())))


def _root_scales(axes: "Axes", end: float) -> None:
    """Both axes from 0 to `end` by the square root: rates of rare defects lie close together, and some are 0."""
    functions = (lambda share: np.sign(share) * np.sqrt(np.abs(share)), lambda root: np.sign(root) * np.square(root))
    axes.set_xscale("function", functions=functions)
    axes.set_yscale("function", functions=functions)
    ticks = [0.0]
    for tick in _TICKS:
        if 0.05 * np.sqrt(end) < np.sqrt(tick) - np.sqrt(ticks[-1]) and tick <= end:
            ticks.append(tick)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(xlim=(0, end), ylim=(0, end))


def _recalls(rows: pd.DataFrame) -> np.ndarray:
    """Expected recall at capacity 0, 1, 2 and so on, of lists made each night; empty without a known defect."""
    if not rows["outcome"].sum():
        return np.array([])
    ranked = _expected(rows, ["block", "night"])
    found = np.bincount(ranked.groupby(["block", "night"]).cumcount(), ranked["expected"])
    return np.append(0.0, found.cumsum() / found.sum())


def _undefined(table: pd.DataFrame) -> list[str]:
    """Which values of a backtest are missing, and why."""
    blocks: dict[str, list[str]] = {}
    missing = table[table["value"].isna()]
    for (block, reason), rows in missing.groupby(["block", "reason"], sort=False):
        metrics, names = rows["metric"].unique(), rows["contestant"].unique()
        which = "no metric" if len(metrics) == len(METRICS) else f"no {', no '.join(metrics)}".replace("_", " ")
        of = "anyone" if len(names) == table["contestant"].nunique() else ", ".join(names)
        blocks.setdefault(f"{which} of {of}: {reason}", []).append(str(block))
    return [f"block {', '.join(where)}: {what}" for what, where in blocks.items()]
