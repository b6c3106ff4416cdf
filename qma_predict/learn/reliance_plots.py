"""Pictures of what a model relies on. Each is a matplotlib figure of its own: no window, no global state."""

from collections.abc import Mapping
from textwrap import fill, shorten
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qma_predict.learn.explanations import REST
from qma_predict.learn.reliance import Reliance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = 3
"""Panels of a row."""


def figures(found: Reliance, *, line: str, units: Mapping[str, str]) -> "dict[str, Figure]":
    """Return all pictures by name; none where nothing was found.

    Parameters
    ----------
    found : Reliance
    line : str
        The line's name or title.
    units : mapping of str to str
        Unit of measure by feature; empty where there is none.
    """
    drawn = {"importance": importance(found, line=line)} if found.blocks else {}
    return drawn | ({"partial_dependence": dependence(found, line=line, units=units)} if found.curves else {})


def importance(found: Reliance, *, line: str) -> "Figure":
    """Return the average precision lost by each group: the mean over the blocks, and the lowest to the highest block.

    Parameters
    ----------
    found : Reliance
    line : str
        The line's name or title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes, rows = figure.subplots(), found.groups[::-1]
    axes.set_title(f"What the ranking relies on\n{line}: {found.blocks} blocks of the backtest")
    spread = np.stack([rows["loss"] - rows["lowest"], rows["highest"] - rows["loss"]]).clip(0)
    label = "mean, lowest and highest block"
    axes.errorbar(rows["loss"], np.arange(len(rows)), xerr=spread, fmt="o", color="black", capsize=3, label=label)
    names = [
        f"{'all others' if row.group == REST else fill(row.group, 40)}\n"
        f"features: {row.features}, lost in blocks: {row.blocks} of {found.blocks}"
        for row in rows.itertuples()
    ]
    axes.set_yticks(np.arange(len(rows)), names, fontsize=8, parse_math=False)  # a name may have dollar signs
    axes.axvline(0, color="#555555", linewidth=1.2, linestyle=(0, (1, 2)), label="not relied on")
    axes.axvspan(-found.chance, found.chance, color="#dddddd", label="taken for chance")
    axes.set_xlabel("average precision lost when the group's values are dealt out anew")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def dependence(found: Reliance, *, line: str, units: Mapping[str, str]) -> "Figure":
    """Return the mean risk against the values of the features that matter most, a panel each.

    Parameters
    ----------
    found : Reliance
        With curves.
    line : str
        The line's name or title.
    units : mapping of str to str
        As for `figures`.
    """
    from matplotlib.figure import Figure

    rows = -(-len(found.curves) // _PANELS)
    figure = Figure(figsize=(4 * _PANELS, 3 * rows + 1), layout="constrained")
    figure.suptitle(f"Mean score by the value of a feature, all others as they are: what the model does\n{line}")
    panels = list(figure.subplots(rows, _PANELS, sharey=True, squeeze=False).flat)
    for axes, (name, curve) in zip(panels, found.curves.items(), strict=False):
        _draw(axes, curve)
        unit = units.get(name, "")
        axes.set_xlabel(fill(f"{name} [{unit}]" if unit else name, 40), fontsize=8, parse_math=False)
    for axes in panels[len(found.curves) :]:
        axes.set_axis_off()
    risks = [risk for curve in found.curves.values() for risk in curve["risk"]]
    if any(risks):
        panels[0].set_ylim(0, 1.05 * max(risks))  # of all: it is shared
    figure.supylabel("mean P(defect)")
    return figure


def _draw(axes: "Axes", curve: pd.DataFrame) -> None:
    if pd.api.types.is_numeric_dtype(curve["value"].dtype):
        axes.plot(curve["value"], curve["risk"], "o-", color="black", markersize=4)
    else:
        axes.bar(np.arange(len(curve)), curve["risk"], color="#777777")
        names = [shorten(str(text), 20) for text in curve["value"]]
        axes.set_xticks(np.arange(len(curve)), names, rotation=45, ha="right", fontsize=7, parse_math=False)
