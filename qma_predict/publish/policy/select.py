"""The policy: which scored candidates are listed, by what their checks are worth and by a draw."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.learn.trust import NO_RANGES, RiskRanges
from qma_predict.line import Line
from qma_predict.publish.policy.audits import draw, inclusion_probabilities
from qma_predict.publish.risk_list import SCORE_DECIMALS, checked

NONE_DRAWN = pd.Series(dtype=float)
"""No unit was in a draw before."""

TEN = 10
"""Checks that are told to be added where it is not known how many an hour has [units]."""

_TICK = 10**SCORE_DECIMALS
"""Minutes are added up as whole numbers of the last published decimal: a sum of many floats could be over."""


class Extra(NamedTuple):
    """What more checks would add."""

    units: int
    expected: float  # [defects]


class _Budget(NamedTuple):
    """What a list may use up, in places or in ticks of work: in all, of that for audits, and how many these are."""

    whole: int
    audits: int
    places: int


def select(
    candidates: pd.DataFrame,
    line: Line,
    *,
    list_id: str,
    drawn_before: pd.Series = NONE_DRAWN,
    ranges: RiskRanges = NO_RANGES,
    ranking: bool = False,
) -> pd.DataFrame:
    """Order the scored candidates by the value of a minute's work, and mark those that are to be checked.

    The value of a check is ``P * escape - inspection - (1 - P) * false_alarm`` with the costs of the unit's product,
    and the order is by value per minute of the product's check; without costs, by score per minute. Where the line does
    not say what work a check is, the order is by value, or by score. What the capacity leaves after the audits' share
    is filled in that order: a check that no longer fits is passed over, and with costs one that is worth nothing is not
    listed.

    Then the audits are drawn (`audits`). Every scored candidate is in the frame of that draw once, on its first list:
    one that waits for its gate over several nights would otherwise be drawn from again and again, and the probability
    of one night would not be that of its selection. Those that the ranking lists are in it for certain: places are not
    spent on units that are checked anyway. So how the ranking ends depends on no draw, and every unit's probability of
    being listed at all is known. The audits' share is rounded to whole places, one at least. Where the capacity is in
    minutes, it is as many places as there is time for whichever units are drawn: each place keeps the longest check's
    time free. A check that takes longer than all minutes together cannot be listed, and has probability 0.

    A unit that lost its draw and is ranked on a later list, since better ones have left, is certain there, although the
    units that won such draws already stand for it: those few at the end of the ranking weigh up to twice what they
    should in sums over all units. To leave them out would be right on average, and lose what was found.

    Parameters
    ----------
    candidates : DataFrame, one row a unit
        `risk_list.CANDIDATE_COLUMNS`, in any row order. ``score`` is P(defect) in [0, 1], NaN = not scored.
    line : Line
        Its `list` and `costs`.
    list_id : str
        Seed of the draw.
    drawn_before : Series of float, indexed by unit_id, optional
        Selection probability of units that were in the draw of an earlier list.
    ranges : RiskRanges, optional
        What became of past units, by score.
    ranking : bool
        Whether the scores are a ranking and no probabilities: what a check is worth is then not known, as without
        costs.

    Returns
    -------
    DataFrame, one row a scored candidate, the best first
        The candidates' columns, ``score`` rounded to six decimals as it is published, and

        ``rank``
            1..n by value per minute, or by value where minutes are not known, ties by ``unit_id``.
        ``listed``, ``selected_by``
            Whether it is to be checked, and why: ``"rank"`` or ``"audit"``, else missing.
        ``selection_probability``
            Of being listed at all: 1 for those listed by rank, for others that of their draw, tonight's or an
            earlier one.
        ``minutes``, ``value``
            Work of its check [min], NaN where the line does not say; expected money that the check saves, NaN without
            costs.
        ``risk_low``, ``risk_high``
            The range of `ranges`.

    Raises
    ------
    PublicationError
        Missing columns, a missing or repeated ``unit_id``, a score outside [0, 1], times without a zone.
    """
    ranked = _in_order(checked(candidates), line, known=line.costs.escape is not None and not ranking)
    work = _work(ranked, line)
    budget = _budget(work, line)
    worth = ~(ranked["value"] <= 0).to_numpy()
    by_rank = _fill(work, worth, budget.whole - budget.audits)
    before = ranked["unit_id"].map(drawn_before).to_numpy(dtype=float)
    out = by_rank | ~np.isnan(before) | (work > budget.whole)
    audited, probability = _audit(ranked, out, budget.places, list_id)
    ranked["listed"] = by_rank | audited
    ranked["selected_by"] = pd.Series(np.select([by_rank, audited], ["rank", "audit"], ""), dtype="str").replace(
        "", None
    )
    ranked["selection_probability"] = np.where(by_rank, 1.0, np.where(np.isnan(before), probability, before))
    low, high = ranges.at(ranked["score"])
    ranked["risk_low"], ranked["risk_high"] = low.round(SCORE_DECIMALS), high.round(SCORE_DECIMALS)
    return ranked


def one_more_hour(ranked: pd.DataFrame, spread: PromiseSpread = CHANCE_ALONE) -> Extra:
    """Return what one more hour of inspection would add: the next units by rank that fit into 60 minutes.

    Parameters
    ----------
    ranked : DataFrame
        As `select` returns it, of a line that says what work a check is.
    spread : PromiseSpread, default `CHANCE_ALONE`
        How far a night's probabilities are off together.

    Returns
    -------
    Extra
        Units that would be checked, and the defects that are expected among them.
    """
    more = _fill(_ticks(ranked["minutes"]), _next(ranked), 60 * _TICK)
    return Extra(int(more.sum()), float(spread.risks(ranked.loc[more, "score"]).sum()))


def ten_more_checks(ranked: pd.DataFrame, spread: PromiseSpread = CHANCE_ALONE) -> float | None:
    """Return how many defects are expected among the next `TEN` units by rank, whatever work their checks are.

    Parameters
    ----------
    ranked, spread
        As for `one_more_hour`, of any line.

    Returns
    -------
    float or None
        None where fewer are left that are worth a check.
    """
    more = _fill(np.ones(len(ranked), dtype="int64"), _next(ranked), TEN)
    return float(spread.risks(ranked.loc[more, "score"]).sum()) if more.sum() == TEN else None


def _next(ranked: pd.DataFrame) -> np.ndarray:
    """Whether each unit could be listed beside those that are; shape (n_units,)."""
    return np.asarray(~(ranked["value"] <= 0) & ~ranked["listed"])


def _in_order(candidates: pd.DataFrame, line: Line, *, known: bool) -> pd.DataFrame:
    scored = candidates[candidates["score"].notna()].copy()
    usual = np.nan if line.list.check_minutes is None else line.list.check_minutes
    scored["minutes"] = _by_product(scored, {None: usual} | line.list.check_minutes_of).round(SCORE_DECIMALS)
    scored["value"] = _value(scored, line) if known else np.nan
    scored["by_minute"] = (scored["value"] if known else scored["score"]) / scored["minutes"].fillna(1.0)
    scored = scored.sort_values(["by_minute", "unit_id"], ascending=[False, True], ignore_index=True)
    scored["rank"] = np.arange(1, len(scored) + 1)
    return scored.drop(columns="by_minute")


def _value(scored: pd.DataFrame, line: Line) -> pd.Series:
    """Money that each check is expected to save."""
    costs = {product: line.costs.of(product) for product in (None, *line.costs.product)}
    escape, inspection, false_alarm = (
        _by_product(scored, {product: getattr(of, name) for product, of in costs.items()})
        for name in ("escape", "inspection", "false_alarm")
    )
    value = scored["score"] * escape - inspection - (1 - scored["score"]) * false_alarm
    return value.round(SCORE_DECIMALS) + 0.0  # no negative zero


def _by_product(scored: pd.DataFrame, of: dict[str | None, float]) -> pd.Series:
    """Each unit's number; None is that of a product which is not named, or not known."""
    own = {product: number for product, number in of.items() if product is not None}
    return scored["product"].map(own).astype("float64").fillna(of[None])


def _ticks(minutes: pd.Series) -> np.ndarray:
    return (minutes * _TICK).round().astype("int64").to_numpy()


def _work(ranked: pd.DataFrame, line: Line) -> np.ndarray:
    """What each check uses up of the capacity: one place, or ticks of work."""
    return np.ones(len(ranked), dtype="int64") if line.list.minutes is None else _ticks(ranked["minutes"])


def _budget(work: np.ndarray, line: Line) -> _Budget:
    whole = line.list.capacity if line.list.minutes is None else int(line.list.minutes * _TICK)
    longest = int(work[work <= whole].max(initial=0))
    if not line.list.audits or not longest:
        return _Budget(whole, 0, 0)
    share = line.list.audits * whole / longest
    # nearest whole number of places; of minutes no more than their share has room for
    places = max(int(share + (0.5 if line.list.minutes is None else 1e-9)), 1)
    return _Budget(whole, places * longest, places)


def _fill(work: np.ndarray, worth: np.ndarray, budget: int) -> np.ndarray:
    """Mark what is taken in order as long as it fits; shape (n_units,)."""
    taken = np.zeros(len(work), dtype=bool)
    least = int(work.min(initial=budget + 1))
    for at in np.flatnonzero(worth):
        if budget < least:
            break
        if work[at] <= budget:
            taken[at] = True
            budget -= int(work[at])
    return taken


def _audit(ranked: pd.DataFrame, out: np.ndarray, places: int, list_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw among the units that are not out; whether each is drawn, and its probability, shapes (n_units,)."""
    audited, probability = np.zeros(len(ranked), dtype=bool), np.zeros(len(ranked))
    frame = ranked[~out]
    if places and len(frame):
        probability[~out] = inclusion_probabilities(frame["score"], places)
        audited[~out] = draw(frame["unit_id"], probability[~out], list_id)
    return audited, probability
