"""A replay as people read it: in a few lines, and as one page.

No clock is read and nothing is fetched: the same replay gives the same bytes.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from qma_predict.learn.rates import percent
from qma_predict.operate.replay_report import LISTS, METRICS, NO_LIST, Replay, checks_words
from qma_predict.publish.pages import pictures
from qma_predict.publish.pages.facts import kept_words
from qma_predict.publish.pages.templates import template
from qma_predict.publish.pages.words import Moments, count_words, counted, day_words
from qma_predict.publish.text import shortened, visible

_NAMES = {
    "recall_at_capacity": "recall",
    "precision_at_capacity": "precision",
    "average_precision": "average precision",
    "expected_cost": "cost a candidate",
}
_SHARES = ("recall_at_capacity", "precision_at_capacity")
_UNKNOWN = {"pending": "pending", "not_checked": "not checked"}
_LONGEST = 160
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 600, 230, 34, 170, 10, 22


def words(replay: Replay) -> str:
    """Return what a replay found, in a few lines."""
    lines = [
        f"{counted(len(replay.nights), 'night')} replayed, {_span(replay)}.",
        replay.sentence,
        f"Promises: {_promise_words(replay)}.",
        f"States: {_states_words(replay)}.",
        f"Lists that were really made: {_real_words(replay)}.",
    ]
    if replay.failed:
        lines.append("\n".join(_failed_words(replay)))
    return "\n".join(lines)


def render(replay: Replay) -> str:
    """Return the page of a replay as HTML: one document without scripts and outside resources."""
    line, nights = replay.line, replay.nights
    moments = Moments(line.timezone, nights["business_date"].iloc[-1], replay.known_until)
    return template("replay.html.jinja", Path(__file__).parent).render(
        name=f"{visible(line.plant)} · {visible(line.title)}",
        footer=f"replay of {visible(line.name)}, {_span(replay)}",
        codes_line="",
        span=_span(replay),
        known_until=moments.words(replay.known_until),
        zone=moments.zone_words,
        sentence=replay.sentence,
        promise=_promise_words(replay),
        states=_states_words(replay),
        real=_real_words(replay),
        capacity=checks_words(nights),
        block=counted(replay.block, "night"),
        figures=_table(replay.figures, "contestant"),
        over_all=_table(replay.over_all, "contestant"),
        few_over_all=replay.few_over_all,
        differences=_table(replay.differences, "baseline"),
        nights=[_night(row) for row in nights.to_dict("records")],
        differing=_differing(nights),
        failed=_failed_words(replay),
        has_issues=bool(nights["issues"].map(len).any()),
        promises_drawn=Markup(pictures.nights(nights[nights["state"] != NO_LIST])),
        found_drawn=Markup(found_by_night(replay.found)),
    )


def found_by_night(found: pd.DataFrame) -> str:
    """Return how many defects each contestant's lists had found by each night, as SVG.

    Parameters
    ----------
    found : DataFrame, shape (n_nights, n_contestants), indexed by night
        Defects of each night.
    """
    summed = found.sort_index().cumsum()
    if len(summed) < 2:
        return ""
    top = max(float(summed.to_numpy().max()), 1.0)
    x = np.linspace(_LEFT, _WIDTH - _RIGHT, len(summed))
    y = {name: _HEIGHT - _BOTTOM - summed[name].to_numpy() / top * (_HEIGHT - _BOTTOM - _TOP) for name in summed}
    parts = [f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="#000"/>']
    for value in (0.0, top):
        height = _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _BOTTOM - _TOP)
        parts.append(f'<text x="{_LEFT - 5}" y="{height + 4:.1f}" text-anchor="end">{value:.0f}</text>')
    for at, place, anchor in ((0, _LEFT, "start"), (-1, _WIDTH - _RIGHT, "end")):
        said = day_words(summed.index[at])
        parts.append(f'<text x="{place}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{said}</text>')
    labels = _apart({name: float(line[-1]) for name, line in y.items()})
    for dash, name in zip(_DASHES, summed, strict=False):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y[name], strict=True))
        width = 2.4 if name == LISTS else 1.2
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="#000" stroke-width="{width}" stroke-dasharray="{dash}"/>'
        )
        said = f"{name} {summed[name].iloc[-1]:.0f}"
        parts.append(f'<text x="{_WIDTH - _RIGHT + 6}" y="{labels[name] + 4:.1f}">{said}</text>')
    ends = ", ".join(f"{name} {summed[name].iloc[-1]:.0f}" for name in summed)
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="picture" font-size="12" font-family="sans-serif"'
    return f'{head} aria-label="Defects found up to each night: in the end {ends}.">{"".join(parts)}</svg>'


def _apart(heights: Mapping[str, float], least: float = 14.0) -> dict[str, float]:
    """Heights of labels, moved up so that each is so far above the one below it."""
    placed: dict[str, float] = {}
    below = float(_HEIGHT)
    for name in sorted(heights, key=lambda one: -heights[one]):
        below = placed[name] = min(heights[name], below - least)
    return placed


def _span(replay: Replay) -> str:
    first, last = (replay.nights["business_date"].iloc[at] for at in (0, -1))
    return f"{_long(first)} to {_long(last)}" if first != last else _long(first)


def _long(day: date) -> str:
    return f"{day_words(day)} {day.year}"


def _promise_words(replay: Replay) -> str:
    said = kept_words(replay.nights[replay.nights["state"] != NO_LIST])
    if replay.judged:
        share = replay.kept_share
        said += f"; share kept {percent(share.value) if np.isnan(share.low) else share}"
    if np.isnan(replay.found_per_promised):
        return said
    between = "" if np.isnan(replay.found_low) else f" ({replay.found_low:.2f} to {replay.found_high:.2f})"
    return f"{said}; {replay.found_per_promised:.2f}{between} defects found for each that was promised"


def _states_words(replay: Replay) -> str:
    by_state = replay.nights.groupby("state", sort=False)["business_date"].apply(list)
    said = []
    for state in sorted(by_state.index, key=lambda one: -len(by_state[one])):
        days = by_state[state]
        which = f" ({', '.join(day_words(day) for day in days)})" if state != "OK" and len(days) <= 10 else ""
        said.append(f"{state} on {counted(len(days), 'night')}{which}")
    return ", ".join(said)


def _real_words(replay: Replay) -> str:
    real = replay.nights["real"]
    same, other = int((real == "same").sum()), real[~real.isin(["", "same"])]
    if not same + len(other):
        return "none of these nights was"
    if other.empty:
        return f"{same}, all the same to the byte"
    return f"{same + len(other)}, of which {counted(len(other), 'list')} came out different: see the nights"


def _failed_words(replay: Replay) -> list[str]:
    """Which trainings gave no model, a line each."""
    moments = Moments(replay.line.timezone, replay.nights["business_date"].iloc[-1], replay.known_until)
    return [
        f"The training as of {moments.words(at)} failed, and the champion before it stayed, if there was one: {why}"
        for at, why in sorted(replay.failed.items())
    ]


def _differing(nights: pd.DataFrame) -> list[str]:
    """In what replayed lists differ from those that were really made, a line each."""
    other = nights[~nights["real"].isin(["", "same"])]
    return [f"{day_words(row['business_date'])}: {row['real']}" for row in other.to_dict("records")]


def _table(figures: pd.DataFrame, who: str) -> dict[str, Any]:
    """A row a contestant, a cell a metric, in words."""
    metrics = [metric for metric in METRICS if metric in set(figures["metric"])]
    value = "value" if "value" in figures else "difference"
    rows = []
    for name, own in figures.groupby(who, sort=False):
        cells = {row["metric"]: _cell(row, value) for row in own.to_dict("records")}
        rows.append((name, [cells.get(metric, "not known") for metric in metrics]))
    return {"columns": [_NAMES[metric] for metric in metrics], "rows": rows}


def _cell(row: Mapping[str, Any], value: str) -> str:
    shown = (row[value], row["low"], row["high"])
    if row["metric"] in _SHARES and value == "value":
        said = [percent(shown[0]), f"{100 * shown[1]:.1f}", f"{100 * shown[2]:.1f}"]
    elif row["metric"] in _SHARES:
        said = [f"{100 * shown[0]:+.1f} points", f"{100 * shown[1]:.1f}", f"{100 * shown[2]:.1f}"]
    else:
        sign = "+" if value == "difference" else ""
        said = [f"{shown[0]:{sign}.3g}", f"{shown[1]:.3g}", f"{shown[2]:.3g}"]
    text = said[0] if np.isnan(row["low"]) else f"{said[0]} ({said[1]} to {said[2]})"
    return f"{text}, {row['finding']}" if row.get("finding") else text


def _night(row: Mapping[str, Any]) -> dict[str, Any]:
    promised = "no number" if pd.isna(row["promised"]) else f"{count_words(row['promised'])} ({_range(row)})"
    of_list = f"{row['found']:.0f} in {row['checked']:.0f}" if row["checked"] else "nothing checked"
    unknown = [f"{row[name]:.0f} {said}" for name, said in _UNKNOWN.items() if row[name]]
    return {
        "day": day_words(row["business_date"]),
        "state": row["state"],
        "reasons": [shortened(reason, longest=_LONGEST) for reason in row["reasons"]],
        "issues": [shortened(title, longest=_LONGEST) for title in row["issues"]],
        "model": row["model"] or "none",
        "version": f"v{row['version']}" if row["version"] else "",
        "listed": f"{row['listed']:.0f} of {row['candidates']:,}",
        "promised": promised,
        "found": of_list,
        "unknown": ", ".join(unknown) or "none",
        "verdict": row["verdict"],
        "new": f"{row['defects']} in {row['known']} known of {row['new']}",
        "recall": "not known" if pd.isna(row["recall"]) else percent(row["recall"]),
        "precision": "not known" if pd.isna(row["precision"]) else percent(row["precision"]),
        "average_precision": "not known" if pd.isna(row["average_precision"]) else f"{row['average_precision']:.2f}",
        "real": row["real"].partition(":")[0] or "not made",
    }


def _range(row: Mapping[str, Any]) -> str:
    return f"{row['low']:.0f}-{row['high']:.0f}"
