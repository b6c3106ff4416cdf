"""Small pictures for the page, where a look beats reading: inline SVG that is legible in grey and says what it shows.

Each function returns one ``<svg role="img">`` with a text alternative; the same input gives the same bytes. No text of
the plant is drawn: names and units stand beside the picture, where the page escapes them.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.publish.pages.facts import kept_words
from qma_predict.publish.pages.words import count_words, counted, day_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 240
"""Points of a course that are drawn at most; of more, the lowest and the highest of each stretch of time."""

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar is a dollar
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
}
_BAND = "#d4d4d4"
_MIDDLE = "#555555"


@contextmanager
def _styled(also: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """Draw in our style alone: a setting of the machine, or of the notebook, would change the bytes."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | dict(also))
        yield


@_styled()
def nights(promises: pd.DataFrame) -> str:
    """Return what earlier lists promised, as ranges, and what was found, as points.

    Parameters
    ----------
    promises : DataFrame, one row a list, in any order
        ``business_date`` (date), ``promised``, ``low``, ``high``, ``found`` [defects], ``checked`` [units] and
        ``verdict``. Lists that promised no number show what was found alone, those of which nothing is checked yet
        only what they promise.

    Returns
    -------
    str
        SVG; empty if there is no list.
    """
    if promises.empty:
        return ""
    from matplotlib.ticker import MaxNLocator

    rows = promises.sort_values("business_date")
    days = rows["business_date"].tolist()
    x = np.array([day.toordinal() for day in days], dtype=float)
    figure, axes = _figure(4.2, 1.75)
    low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
    axes.vlines(x, low, high, color="#9a9a9a", linewidth=3.2, label="promised (90 %)")
    axes.plot(x, rows["promised"].to_numpy(float), "_", color="black", markersize=5, label="expected")
    found = rows["found"].where(rows["checked"] > 0).to_numpy(float)  # where nothing was checked nothing is known
    axes.plot(x, found, "o", color="black", markerfacecolor="white", markersize=3.6, label="found")
    _day_ticks(axes, x, most=5)
    axes.set_ylim(0, max(1.0, np.nanmax(np.concatenate([high, found, [1.0]]))) * 1.08)
    axes.set_ylabel("defects")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    _legend(figure, axes, 3)
    span = f"{counted(len(rows), 'night')} up to {day_words(days[-1])}"
    return _svg(figure, f"Defects promised and found, {span}: {kept_words(rows)}.")


@_styled()
def capacity_curve(ranked: pd.DataFrame, spread: PromiseSpread = CHANCE_ALONE) -> str:
    """Return the defects that checks are expected to find against their number, with tonight's list marked.

    Parameters
    ----------
    ranked : DataFrame, one row a scored candidate, best first
        ``score`` and ``listed``.
    spread : PromiseSpread, default `CHANCE_ALONE`
        How far a night's probabilities are off together.

    Returns
    -------
    str
        SVG; empty if nothing is listed.
    """
    risk, listed = spread.risks(ranked["score"]), ranked["listed"].to_numpy(bool)
    checks = int(listed.sum())
    if checks == 0:
        return ""
    shown = min(len(risk), max(3 * checks, 20))
    steps = np.unique(np.linspace(0, shown, min(shown, 120) + 1).round().astype(int))
    found = np.concatenate([[0.0], risk.cumsum()])[steps]
    expected = float(risk[listed].sum())
    figure, axes = _figure(4.2, 1.75, below=0.38)
    axes.plot(steps, found, "-", color="black", label="by this list's order")
    axes.plot([0, shown], [0, shown * risk.mean()], color=_MIDDLE, linestyle=(0, (1, 2)), label="at random")
    axes.plot([checks, checks], [0, expected], color=_MIDDLE, linewidth=0.8, linestyle="--")
    axes.plot([checks], [expected], "o", color="black", markersize=4.5, label="tonight")
    axes.set(xlim=(0, shown), ylim=(0, max(float(found[-1]), expected, 1e-9) * 1.08))
    axes.set_xlabel("units checked")
    axes.set_ylabel("expected defects")
    _legend(figure, axes, 3)
    more = f"; {shown:,} would find {count_words(float(found[-1]), about='about ')}" if shown > checks else ""
    return _svg(
        figure,
        f"Expected defects against units checked: tonight's {counted(checks, 'check')} find "
        f"{count_words(expected, about='about ')}{more}.",
    )


@_styled()
def course(
    times: pd.Series,
    values: pd.Series,
    *,
    timezone: str,
    good: tuple[float, float] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
) -> str:
    """Return how a value went of late, against the range of good parts and the limits.

    Parameters
    ----------
    times : Series of datetime64[UTC], shape (n,)
        In any order.
    values : Series of float, shape (n,)
        In the tag's unit; missing and infinite values are left out.
    timezone : str
        Zone of the times shown.
    good : (float, float), optional
        10 % and 90 % quantile of good parts.
    limits : (float or None, float or None), optional
        Lower and upper limit.

    Returns
    -------
    str
        SVG; empty if no value is known.

    Raises
    ------
    ValueError
        `times` and `values` differ in length.
    """
    if len(times) != len(values):
        raise ValueError(f"course: found {len(times)} times and {len(values)} values, expected as many of each")
    known = pd.DataFrame({"t": pd.to_datetime(pd.Series(list(times)), utc=True), "v": np.asarray(values, dtype=float)})
    known = known[np.isfinite(known["v"]) & known["t"].notna()].sort_values(["t", "v"], ignore_index=True)
    if known.empty:
        return ""
    drawn = _thinned(known)
    hours = (drawn["t"] - known["t"].iloc[0]) / pd.Timedelta(hours=1)
    figure, axes = _figure(3.8, 1.5)
    if good is not None:
        axes.axhspan(*good, color=_BAND, linewidth=0, label="good parts (80 %)")
    for number, limit in enumerate(limit for limit in limits if limit is not None and math.isfinite(limit)):
        axes.axhline(limit, color="black", linestyle="--", linewidth=1, label=None if number else "limit")
    marker = "." if len(drawn) <= 60 else ""
    axes.plot(hours, drawn["v"], color="black", linewidth=0.9, marker=marker, markersize=3, label="value")
    _time_ticks(axes, known["t"], ZoneInfo(timezone))
    axes.ticklabel_format(axis="y", useOffset=False)
    _legend(figure, axes, 3)
    first, last = float(known["v"].iloc[0]), float(known["v"].iloc[-1])
    spans = f", good parts {good[0]:.4g} to {good[1]:.4g}" if good is not None else ""
    ends = " and ".join(f"{limit:.4g}" for limit in limits if limit is not None)
    return _svg(
        figure,
        f"Course of the value from {first:.4g} to {last:.4g}, lowest {known['v'].min():.4g}, highest "
        f"{known['v'].max():.4g}{spans}{f', limits {ends}' if ends else ''}.",
    )


@_styled()
def control_chart(rows: pd.DataFrame, *, what: str, percent: bool = False) -> str:
    """Return a control chart: a value a day, its limits, where judging begins, and the days beyond.

    Parameters
    ----------
    rows : DataFrame, the oldest first
        ``day`` (datetime64), ``value``, ``centre``, ``low``, ``high`` (missing where there are no limits), ``signal``
        and ``baseline``.
    what : str
        What is charted, for the text alternative.
    percent : bool
        Whether values are shares, to be shown in percent.

    Returns
    -------
    str
        SVG; empty if no value is known.
    """
    known = rows[rows["value"].notna()]
    if known.empty:
        return ""
    days, scale = known["day"].dt.date.tolist(), 100.0 if percent else 1.0
    x = np.array([day.toordinal() for day in days], dtype=float)
    value, low, high, centre = (known[name].to_numpy(float) * scale for name in ("value", "low", "high", "centre"))
    signal, judged = known["signal"].to_numpy(bool), ~known["baseline"].to_numpy(bool)
    figure, axes = _figure(4.2, 1.75)
    axes.fill_between(x, low, high, step="mid", color=_BAND, linewidth=0, label="limits")
    axes.plot(x, centre, color=_MIDDLE, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.plot(x, value, color="black", linewidth=0.8, marker=".", markersize=2.5, label="day")
    axes.plot(x[signal], value[signal], "D", color="black", markersize=4, label="beyond")
    if judged.any() and not judged.all():
        axes.axvline(x[judged][0] - 0.5, color="black", linewidth=0.8, linestyle="--", label="judged from here")
    _day_ticks(axes, x, most=4)
    axes.ticklabel_format(axis="y", useOffset=False)
    if percent:
        axes.set_ylabel("%")
    _legend(figure, axes, 4)
    told = f"{int((signal & judged).sum())} of {counted(int(judged.sum()), 'judged day')} beyond the limits"
    told = told if np.isfinite(low).any() else "not enough days for limits yet"
    return _svg(figure, f"Control chart of {what} up to {day_words(days[-1])}: {told}.")


def _thinned(known: pd.DataFrame) -> pd.DataFrame:
    if len(known) <= MOST_POINTS:
        return known
    stretch = np.arange(len(known)) * (MOST_POINTS // 2) // len(known)
    by = known.groupby(stretch)["v"]
    return known.loc[sorted({*by.idxmin(), *by.idxmax()})]


def _time_ticks(axes: "Axes", times: pd.Series, zone: ZoneInfo) -> None:
    first, span = times.iloc[0], times.iloc[-1] - times.iloc[0]
    hours = np.linspace(0, span / pd.Timedelta(hours=1), 3) if span else np.zeros(1)
    moments: list[datetime] = [(first + pd.Timedelta(hours=hour)).astimezone(zone) for hour in hours]
    axes.set_xticks(hours, [f"{_short(moment.date())} {moment:%H:%M}" for moment in moments])
    sides: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
    for label, side in zip(axes.get_xticklabels(), sides, strict=False):
        label.set_horizontalalignment(side if span else "center")


def _day_ticks(axes: "Axes", days: np.ndarray, most: int) -> None:
    marked = np.unique(days[np.linspace(0, len(days) - 1, min(len(days), most)).round().astype(int)])
    axes.set_xticks(marked, [_short(date.fromordinal(int(day))) for day in marked])
    if len(marked) > 1:
        axes.get_xticklabels()[-1].set_horizontalalignment("right")  # centred, it would end beyond the picture


def _short(day: date) -> str:
    return day_words(day).split(" ", 1)[1]


def _figure(width: float, height: float, *, below: float = 0.2) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    sides = {"left": 0.55 / width, "right": 1 - 0.1 / width, "bottom": below / height, "top": 1 - 0.28 / height}
    axes = figure.subplots(gridspec_kw=sides)
    axes.tick_params(length=2.5, pad=2)
    return figure, axes


def _legend(figure: "Figure", axes: "Axes", columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", borderaxespad=0, ncols=columns, frameon=False, handlelength=1.6)


def _svg(figure: "Figure", alternative: str) -> str:
    """Return a figure as a bare ``<svg>``: without prolog, style sheet, metadata and unused names."""
    out, nothing = io.BytesIO(), dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # The alternative as salt: names within one picture must not occur in another one of the page.
    with _styled({"svg.hashsalt": alternative}):
        for artist in figure.findobj():
            artist.set_clip_on(False)
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(out.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    used = {link.removeprefix("#") for node in root.iter() if (link := node.attrib.get(_LINK))}
    for node in root.iter():
        node.tag = node.tag.removeprefix(_SVG)
        if node.attrib.get("id") not in used:
            node.attrib.pop("id", None)
        if link := node.attrib.pop(_LINK, None):
            node.set("href", link)
        if style := node.attrib.get("style"):
            node.set("style", style.replace("'DejaVu Sans'", "sans-serif"))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": alternative, "class": "picture"}
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"\s*\n\s*", " ", text))
