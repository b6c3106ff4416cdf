"""The plant's own suspicion, where its inspections record why a unit was checked, against as many checks by score."""

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import newest
from qma_predict.data.results import at_gate
from qma_predict.learn.at_capacity import tally_nights
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.runs import spread_of_ratio
from qma_predict.learn.verdict import MIN_DEFECTS, MIN_NIGHTS


@dataclass(frozen=True)
class Practice:
    """What the plant's practice found, and what a contestant would have found with as many checks.

    Attributes
    ----------
    checks, found : int
        Units that were checked on suspicion, and defects among them.
    by_score, at_random : float
        Defects that as many checks of the same nights' inspected units would be expected to find: of the highest
        scores, and of any.
    low, high : float
        95 % interval of the share of defects found by score minus by practice; NaN if there is not enough data.
    sentence : str
        The same in words, or why there is nothing to compare with.
    """

    checks: int
    found: int
    by_score: float
    at_random: float
    low: float
    high: float
    sentence: str


def reasons(dataset: Dataset) -> pd.Series:
    """Why each unit was first inspected at the gate after its cutoff, as the plant recorded it.

    Returns
    -------
    Series of str, indexed by unit_id
        Of the units that were inspected; missing where no reason is recorded.
    """
    line, history = dataset.line, dataset.history
    inspections = newest(at_gate(history.all_versions("inspections"), line), TABLES["inspections"].key)
    cutoffs = ibis.memtable(dataset.points.reset_index()[["unit_id", "cutoff"]].astype({"unit_id": "str"}))
    after = inspections.inner_join(cutoffs, "unit_id").filter(_.occurred_at > _.cutoff)
    order = ibis.row_number().over(group_by="unit_id", order_by=["occurred_at", "characteristic"])
    first = after.mutate(_order=order).filter(_._order == 0).select("unit_id", "reason").to_pandas()
    return first.set_index("unit_id")["reason"].sort_index().astype("str").replace("", pd.NA)


def compare_with_practice(result: Backtest, contestant: str, reason: pd.Series, practice: Sequence[str]) -> Practice:
    """Compare a contestant with the plant's practice, on the units that were inspected and at as many checks.

    Each night the practice checked some of the night's candidates. The contestant takes as many of the same night's
    candidates by score, ties at random in expected value, and chance takes as many of any. Only what was recorded
    counts: units that nobody inspected have no outcome and are left out, though a list could have named them. Where
    the plant inspects few units but for suspicion, the practice has picked most of what is compared, and the
    difference says little. The interval is told by runs of successive nights (`qma_predict.learn.runs`), as in
    `qma_predict.learn.verdict`; nights on which the practice checked nothing tell nothing.

    Parameters
    ----------
    result : Backtest
    contestant : str
    reason : Series of str, indexed by unit_id
        As `reasons` gives it.
    practice : sequence of str
        The reasons that are the plant's suspicion: `learning.practice` of the line.
    """
    rows = result.predictions
    rows = rows[(rows["contestant"] == contestant) & rows["outcome"].notna()]
    why = reason.reindex(rows["unit_id"])
    rows = rows.assign(picked=why.isin(list(practice)).to_numpy())
    if not rows["picked"].any():
        return _nothing(_why_nothing(why, practice))
    rows = rows[rows.groupby(["block", "night"])["picked"].transform("any")]
    nights = _by_night(rows)
    checks, found = int(nights["checks"].sum()), int(nights["found"].sum())
    by_score, at_random = float(nights["by_score"].sum()), float(nights["at_random"].sum())
    low, high = _interval(nights, int(rows["outcome"].sum()))
    said = "not enough yet to tell" if np.isnan(low) else "not distinguishable"
    said = "better" if low > 0 else "worse" if high < 0 else said
    interval = "" if np.isnan(low) else f", 95 % interval {100 * low:.1f} to {100 * high:.1f}"
    sentence = (
        f"{contestant} against the plant's practice ({', '.join(practice)}): with the practice's {checks:,} checks of "
        f"inspected units {by_score:,.0f} defects against {found:,}, at random {at_random:,.0f}: {said} "
        f"(difference {100 * (by_score - found) / checks:.1f} in 100 checks{interval})"
    )
    return Practice(checks, found, by_score, at_random, low, high, sentence)


def _by_night(rows: pd.DataFrame) -> pd.DataFrame:
    nights = []
    for (_block, date), night in rows.groupby(["block", "night"], sort=True):
        checks = int(night["picked"].sum())
        tally = tally_nights(night["outcome"], night["score"], capacity=checks)
        nights.append(
            {
                "night": date,
                "checks": checks,
                "found": night.loc[night["picked"], "outcome"].sum(),
                "by_score": tally.found.sum(),
                "at_random": checks * night["outcome"].mean(),
            }
        )
    return pd.DataFrame(nights)


def _interval(nights: pd.DataFrame, defects: int) -> tuple[float, float]:
    if nights["night"].nunique() < MIN_NIGHTS or defects < MIN_DEFECTS:
        return float("nan"), float("nan")
    more, checks = nights["by_score"] - nights["found"], nights["checks"]
    spread = spread_of_ratio(more.to_numpy(), checks.to_numpy(), nights["night"])
    return spread.low(0.975), spread.high(0.975)


def _why_nothing(why: pd.Series, practice: Sequence[str]) -> str:
    if not practice:
        return "the line names no reasons of inspections as its practice (learning.practice)"
    recorded = why.value_counts()
    if recorded.empty:
        return "no inspection of the backtest's units has a reason recorded"
    known = ", ".join(f"{name} ({count:,})" for name, count in recorded.head(5).items())
    return f"no unit of the backtest was inspected for {' or '.join(practice)}; recorded reasons are {known}"


def _nothing(why: str) -> Practice:
    nan = float("nan")
    return Practice(0, 0, nan, nan, nan, nan, f"not compared with the plant's practice: {why}")
