"""Pictures of a backtest. Each is a matplotlib figure of its own: no window, no global state."""

from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import beta

from qma_predict.learn.backtest import METRICS, Backtest, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = (  # told apart without colour too
    {"color": "black", "linestyle": "-", "marker": "o"},
    {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    {"color": "#D55E00", "linestyle": "-.", "marker": "^"},
    {"color": "#009E73", "linestyle": (0, (1, 1)), "marker": "D"},
    {"color": "#CC79A7", "linestyle": (0, (6, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#777777", "linestyle": (0, (8, 3)), "marker": "x"},
)
_REFERENCE = {"color": "#777777", "linewidth": 1.0, "linestyle": (0, (1, 3))}
_BINS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)
"""Shares of the units at which the bins of `calibration` end: closer towards the top, where lists are made."""


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
    """Return precision against recall, a line a contestant, over the known outcomes of its blocks together.

    Ties are in expected value, as in `qma_predict.learn.metrics`: a contestant that does not rank runs level.

    Parameters
    ----------
    result : Backtest
    line : str
        The line's name or title.
    """
    figure, axes = _figure(f"Precision and recall\n{_facts(result, line)}")
    if not _defects(result):
        return _say(figure, axes, "Without a known defect there is no precision and no recall to show.")
    means = summarise(result.table).set_index(["contestant", "metric"])["mean"]
    for name, rows, style in _contestants(result):
        known = rows[rows["outcome"].notna()]
        found = _expected(known, ["contestant"])["expected"].cumsum().to_numpy()
        if not len(found) or found[-1] == 0:
            axes.plot([], [], label=f"{name}: no known defect in its blocks", **style)
            continue
        label = f"{name}{_part(result, rows)}: mean average precision {means[name, 'average_precision']:.2f}"
        precision = found / np.arange(1, len(found) + 1)
        axes.plot(found / found[-1], precision, label=label, markevery=0.15, **style)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set_xlabel("recall [share of the known defects that are listed]")
    axes.set_ylabel("precision [share of defects among the listed]")
    _legend(result, axes)
    return figure


def calibration(result: Backtest, contestant: str, *, line: str) -> "Figure":
    """Return the observed share of defects against the expected one, in bins of the score.

    The bins end at fixed shares of the units, all blocks together, and are finer towards the top. The bars
    are 95 % intervals of a binomial share (Clopper and Pearson).

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
    if contestant not in set(result.table["contestant"]):
        raise ValueError(f"calibration: no contestant {contestant!r} in the backtest")
    figure, axes = _figure(f"Calibration of {contestant}\n{_facts(result, line)}")
    rows = result.predictions[result.predictions["contestant"] == contestant]
    known = rows[rows["outcome"].notna()]
    if known.empty:
        return _say(figure, axes, f"{contestant} has no score for a unit with a known outcome.\n{_why(result)}")
    edges = np.unique(np.quantile(known["score"], _BINS))
    bins = known.groupby(np.searchsorted(edges, known["score"]))
    expected = bins["score"].mean().to_numpy()
    defects, units = bins["outcome"].sum().to_numpy(), bins.size().to_numpy()
    observed = defects / units
    low, high = binomial_interval(defects, units)
    axes.axline((0, 0), slope=1, label="expected = observed", **_REFERENCE)
    axes.errorbar(
        expected,
        observed,
        yerr=[observed - low, high - observed],
        label=f"{contestant}{_part(result, rows)}: defects / units, 95 % interval",
        capsize=3,
        **_STYLES[0] | {"linestyle": "none"},
    )
    for x, y, text in zip(expected, observed, (f"{d:.0f} / {n}" for d, n in zip(defects, units, strict=True)), strict=True):
        axes.annotate(text, (x, y), xytext=(5, -3), textcoords="offset points", fontsize=8)
    axes.set(xlim=(0, None), ylim=(0, None))
    axes.set_xlabel("expected [mean probability of a defect]")
    axes.set_ylabel("observed [share of defects]")
    axes.legend()
    return figure


def recall_by_capacity(result: Backtest, *, line: str) -> "Figure":
    """Return the share of the known defects that lists of each length would hold.

    Lists are made each night from the candidates of that night, as in `metrics.recall_at_capacity`, for
    capacities from nothing to five times the line's. The line of random units is an expected value.

    Parameters
    ----------
    result : Backtest
    line : str
        The line's name or title.
    """
    figure, axes = _figure(f"Recall against capacity\n{_facts(result, line)}")
    if not _defects(result):
        return _say(figure, axes, "Without a known defect there is no recall to show.")
    for name, rows, style in _contestants(result):
        recall = _recalls(rows, result.capacity)
        label = f"{name}{_part(result, rows)}" if len(recall) else f"{name}: no known defect in its blocks"
        axes.plot(np.arange(len(recall)), recall, label=label, markevery=0.15, **style)
    judged = result.predictions.drop_duplicates(["block", "unit_id"]).assign(score=0.0)
    random = _recalls(judged, result.capacity)
    axes.plot(np.arange(len(random)), random, label="random units", **_REFERENCE | {"linewidth": 2.0})
    axes.axvline(result.capacity, label=f"the line's capacity: {result.capacity} units a night", **_REFERENCE)
    axes.set(xlim=(0, None), ylim=(0, 1.02))
    axes.set_xlabel("capacity [units checked a night]")
    axes.set_ylabel("recall [share of the known defects that are listed]")
    _legend(result, axes)
    return figure


def metrics_by_block(result: Backtest, *, line: str) -> "Figure":
    """Return every metric of the backtest, block by block.

    Parameters
    ----------
    result : Backtest
    line : str
        The line's name or title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    figure.suptitle(f"Backtest by block\n{_facts(result, line)}")
    blocks = result.table.drop_duplicates("block").set_index("block")
    ticks = [f"{block}\n{row.origin:%Y-%m-%d}\n{row.defects} of {row.units}" for block, row in blocks.iterrows()]
    level = {"average_precision": "share of defects", "roc_auc": "chance", "brier_skill": "training prevalence"}
    ...
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
