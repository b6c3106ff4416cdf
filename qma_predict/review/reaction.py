"""What is to be done tonight because of what became of earlier lists.

What is promised follows what the model's own lists found. Beyond that, in this order: if clearly more or fewer defects
came than the model's probabilities say, their level is moved. If promises are still broken beyond chance after that,
its scores are a ranking until a newer version takes over. Only a model that was shown to be worse than the simple rule
gives its place to it; it goes on being scored unseen, and comes back when it is shown to be better on the nights since.
All of it follows from published lists and labels, so that a replayed night answers alike.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn.backtest import judge
from qma_predict.learn.base_rate import BaseRateShift, base_rate_shift, moved_by
from qma_predict.learn.labels import labels
from qma_predict.learn.night_shifts import promise_since
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.verdict import Verdict, verdict
from qma_predict.learn.weights import inspection_weights
from qma_predict.line import Line
from qma_predict.publish.models.model import Model, identity
from qma_predict.publish.reaction import NOTHING, Reaction, read_shadow
from qma_predict.publish.state import broken_beyond_chance
from qma_predict.review.candidates import on_first_night
from qma_predict.review.earlier import WEEKS, EarlierLists

MIN_NIGHTS = 5
"""Nights with mature labels from which on the level of a version's probabilities is judged."""

_DEVIATIONS, _DEVIATIONS_OF_95 = 3.0, 1.96


def reaction(lists: EarlierLists, history: History, line: Line, model: Model, promises: pd.DataFrame) -> Reaction:
    """Return what the list of a night has to do differently.

    Parameters
    ----------
    lists : EarlierLists
        Those before the night.
    history : History
        As of the night.
    line : Line
    model : Model
        The champion of the night.
    promises : DataFrame
        What became of the earlier lists' promises (`qma_predict.review.promises.promises`).
    """
    left_out = tuple(lists.damaged.values())
    known = {day: one for day, one in _known(lists).items() if one.model == model.identity}
    if not known or not model.is_recipe:
        return replace(NOTHING, left_out=left_out)
    units = _units(known, history, line)
    rule = _rule(units, line, model, since=_fell(known))
    judged = units[units["model"].notna()]
    shift = level(judged if model.weighted else judged.assign(weight=1.0))
    ranking = _ranking({day: one.said for day, one in known.items()}, promises, moves=shift is not None)
    moved = shift.log_odds if shift else 0.0
    spread = _spread(model, judged, moved)
    return Reaction(moved, _moved_words(shift), ranking, rule, spread=spread, left_out=left_out)


def level(units: pd.DataFrame) -> BaseRateShift | None:
    """How far the level of a version's probabilities is off; None if no more than chance, or too few nights.

    The difference has to be beyond three standard deviations of chance, and also beyond those that the nights
    themselves show: the units of a night fail together.

    Parameters
    ----------
    units : DataFrame
        ``night``, ``model`` (P(defect) as the version gave it), ``label`` (1.0 or 0.0) and ``weight``: a model that
        was fitted with the weights of selectively inspected units speaks of all units.
    """
    if units["night"].nunique() < MIN_NIGHTS:
        return None
    shift = base_rate_shift(units["model"], units["label"], sample_weight=units["weight"])
    nights = units[["label", "model"]].mul(units["weight"], axis=0).groupby(units["night"]).sum()
    off = nights["label"] - nights["model"] * shift.ratio
    spread = float(np.sqrt((off**2).sum() * len(nights) / (len(nights) - 1)))
    significant = shift.is_significant and abs(shift.observed - shift.expected) > _DEVIATIONS * spread
    return shift if significant else None


def _spread(model: Model, units: pd.DataFrame, moved: float) -> PromiseSpread | None:
    """What the model's lists taught of its promises, by scores at tonight's level; None if the backtest's stands."""
    listed = units[units["listed"]].sort_values(["night", "unit_id"])
    before, scores = model.spread, listed["model"]
    if moved:
        before, scores = before.without_level(), moved_by(scores, moved)
    weight = listed["weight"] if model.weighted else 1.0
    since = promise_since(before, listed.assign(score=scores, outcome=listed["label"], weight=weight))
    return None if since is model.spread else since


class _List(NamedTuple):
    """An earlier list: where it is, how it reacted, and its model."""

    path: Path
    said: dict[str, Any]
    model: str


def _known(lists: EarlierLists) -> dict[date, _List]:
    found = {}
    for day, one in lists.of_weeks(WEEKS).items():
        if "reaction" in one.facts:  # not in lists of earlier versions of the program
            found[day] = _List(one.path, one.facts["reaction"], identity(one.facts["model"]))
    return found


def _units(lists: dict[date, _List], history: History, line: Line) -> pd.DataFrame:
    """Units on their first night with a mature label, its weight, and what model and rule said of them."""
    nights = []
    for day, one in lists.items():
        rows = on_first_night(one.path, day, "cutoff", "listed").merge(read_shadow(one.path), on="unit_id")
        nights.append(rows)
    units = pd.concat(nights, ignore_index=True).drop_duplicates("unit_id")
    mature = units["cutoff"] + pd.Timedelta(line.gate.maturity) <= history.as_of
    units = units[mature].reset_index(drop=True)
    points = units[["unit_id", "cutoff"]].astype({"unit_id": "str"})
    known, weight = (of(history, points, line) if len(units) else [] for of in (labels, inspection_weights))
    units = units.assign(label=np.asarray(known, dtype=float), weight=np.asarray(weight, dtype=float))
    return units.dropna(subset=["label"])


def _rule(units: pd.DataFrame, line: Line, model: Model, *, since: date | None) -> str:
    """Why the simple rule makes the list, by the units of nights on which both scored; empty if the model does.

    This is looked at every night, and the luckiest of many looks is not what one look would be: so a difference has to
    be beyond three standard deviations. Of a model and a rule that are alike, one is then shown to be worse within
    eight weeks about once in eighty times; at the 95 % of a single look it would be once in eight.

    References
    ----------
    Miller, R. and Siegmund, D. (1982). Maximally selected chi square statistics. Biometrics 38: how often a
    standardised sum passes a bound at some look.
    """
    both = units.dropna(subset=["model", "rule"])
    if since is not None:
        both = both[both["night"] >= since]
    found = _compared(both, line, model) if len(both) else None
    if since is not None:
        if found is not None and found.difference - _sure(found.difference - found.low) > 0:
            return ""
        return f"since {since} the model has not been shown to be better than the simple rule again"
    if found is not None and found.difference + _sure(found.high - found.difference) < 0:
        return f"shown to be worse than the simple rule. {found.sentence}"
    return ""


def _sure(half: float) -> float:
    """Half of an interval of three standard deviations, from half of one of 95 %."""
    return half * _DEVIATIONS / _DEVIATIONS_OF_95


def _compared(units: pd.DataFrame, line: Line, model: Model) -> Verdict:
    by_unit = units.set_index("unit_id")
    names = {model.contestant: by_unit["model"], model.baseline: by_unit["rule"]}
    found = judge(
        names, by_unit["night"], by_unit["label"], capacity=line.list.capacity, prevalence=float(model.base_rate)
    )
    return verdict(found, model.contestant, against=[model.baseline])


def _fell(own: dict[date, _List]) -> date | None:
    """First of a version's newest lists in a row that the rule made; None if its newest is its own."""
    first = None
    for day in sorted(own, reverse=True):
        if not own[day].said["rule"]:
            break
        first = day
    return first


def _ranking(own: dict[date, dict[str, Any]], promises: pd.DataFrame, *, moves: bool) -> str:
    """Why the version's scores are a ranking; once they are, they are until a newer version takes over.

    Parameters
    ----------
    own : dict
        How each list of the version reacted, by business date.
    promises : DataFrame
        What became of earlier lists' promises.
    moves : bool
        Whether the level is moved tonight: that comes first.
    """
    if not own:
        return ""
    if before := own[max(own)]["ranking"]:
        return str(before)
    moved = [day for day, said in own.items() if said["moved"]]
    judged = moved or ([] if moves else list(own))
    verdicts = promises.loc[promises["business_date"].isin(judged), "verdict"]
    if not broken_beyond_chance(verdicts):
        return ""
    broken, told = int((verdicts == "broken").sum()), int(verdicts.isin(["kept", "broken"]).sum())
    after = "after the level of the risks had been moved" if moved else "though the level of the risks is right"
    return f"{broken} of {told} promises were broken {after}"


def _moved_words(shift: BaseRateShift | None) -> str:
    return "" if shift is None else f"{shift.notice} Risks are moved to that level until the model is trained again."
