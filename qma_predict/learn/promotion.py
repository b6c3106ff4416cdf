"""Whether a newly trained model takes the place of the champion.

A refresh is the champion's recipe on newer data: it is promoted if it is shown to be not worse than the champion by
more than a margin. A challenger is another recipe: it is promoted if it is shown to be better, and by the margin at
least. The margin is a share of the champion's average precision.

The error rates are those of one decision. They hold about where effects last for some nights (`run_length`); in a
simulation with effects of four nights, 56 nights and 5 % defects, 3 of 100 challengers without a lead and 6 of 100
refreshes that are worse by the margin are promoted, where 2.5 and 5 are meant. Who is asked every week is judged again
and again on nights most of which are the same; over a year the chance that one of these decisions is wrong is larger
than that of each.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.metrics import average_precision
from qma_predict.learn.rates import percent
from qma_predict.learn.runs import Spread, leaving_out, run_length, spread_of
from qma_predict.learn.verdict import MIN_DEFECTS, MIN_NIGHTS, Verdict

CHAMPION, REFRESH, CHALLENGER = "champion", "refresh", "challenger"
"""Names of the contestants in what is judged here."""

CONFIDENCE = 0.95
"""Of the one-sided interval of a refresh: of those that are worse by the margin, one in twenty passes."""

SURE = 0.975
"""Of the one-sided interval of a challenger's lead: of those that are no better, at most one in forty passes."""

ABSURD = 3.0
"""Expected defects that are off by more than this factor, on the very units that were learnt from, are an error."""


@dataclass(frozen=True)
class Decision:
    """Whether a model is promoted, and why.

    Attributes
    ----------
    promote : bool
    sentence : str
        Why, in plain words.
    """

    promote: bool
    sentence: str


@dataclass(frozen=True)
class Paired:
    """Two contestants on the same nights.

    Attributes
    ----------
    new, old : float
        Average precision, mean over the blocks.
    spread : Spread
        Of what `new` is above the share of `old` that it is held against.
    nights : int
        In the blocks that are compared.
    missing : str
        Why there is no interval; else empty.
    """

    new: float
    old: float
    spread: Spread
    nights: int
    missing: str

    @property
    def gain(self) -> float:
        """`new` less the share of `old` that it is held against."""
        return self.spread.value

    @property
    def unsure(self) -> str:
        """How unsure that is, in words."""
        return f"with a standard error of {self.spread.error:.3f}"


def paired(result: Backtest, new: str, old: str, share: float = 1.0) -> Paired:
    """Compare two contestants by the average precision of the blocks that both have.

    How sure that is, runs of successive nights tell, which are left out one at a time for both contestants: the units
    of a night share machines and material, and so do nights that follow each other. Unlike a bootstrap this never
    counts a night's defects twice, which lifts average precision.

    Parameters
    ----------
    result : Backtest
        Its predictions are read.
    new, old : str
        Contestants.
    share : float, default 1
        What `old` is multiplied with before it is taken from `new`.
    """
    rows = result.predictions[result.predictions["outcome"].notna()]
    ours, theirs = (rows[rows["contestant"] == name] for name in (new, old))
    both = ours.merge(theirs[["block", "unit_id", "score"]], on=["block", "unit_id"], suffixes=("", "_old"))
    blocks = [rows for _block, rows in both.groupby("block") if rows["outcome"].sum() > 0]
    nights = sum(rows["night"].nunique() for rows in blocks)
    defects = sum(rows["outcome"].sum() for rows in blocks)
    values = [_leaving_out(rows, run_length(nights)) for rows in blocks]
    of_new, of_old = np.mean([one[0] for one in values], axis=0) if values else (np.nan, np.nan)
    spread, missing = spread_of([one @ [1.0, -share] for one in values]), ""
    if nights < MIN_NIGHTS or defects < MIN_DEFECTS:
        missing = f"there are {nights} nights and {defects:.0f} known defects, fewer than {MIN_NIGHTS} or {MIN_DEFECTS}"
    elif len(spread.each) < 2:
        missing = "a few nights in a row hold all known defects"
    return Paired(float(of_new), float(of_old), spread, nights, missing)


def _leaving_out(rows: pd.DataFrame, length: int) -> np.ndarray:
    """Average precision of a block by both contestants and, below it, with each run of nights left out."""
    y, scores = rows["outcome"].to_numpy(), rows[["score", "score_old"]].to_numpy()
    some = leaving_out(rows["night"], length)
    return np.array([[average_precision(y[kept], score) for score in scores[kept].T] for kept in some])


def tells(result: Backtest, margin: float) -> bool:
    """Whether the nights suffice to tell the margin: the one-sided interval of a refresh is no wider than it is.

    How wide the interval is hardly depends on who is ahead, so that asking first does not favour either. But of few
    runs of nights it can be narrow by luck, and who waits for that is too often sure; so it has to be narrow by the
    upper end of the one-sided 95 % interval of the standard error.
    """
    found = paired(result, REFRESH, CHAMPION, 1.0 - margin)
    if found.missing:
        return False
    freedom, width = found.spread.freedom, found.gain - found.spread.low(CONFIDENCE)
    return bool(width * np.sqrt(freedom / chi2.ppf(1 - CONFIDENCE, freedom)) <= margin * found.old)


def judge_refresh(result: Backtest, margin: float, *, overdue: bool = False) -> Decision:
    """Decide on the champion's recipe with newer data.

    It is promoted if the one-sided 95 % interval of its average precision, less 1 - `margin` times the champion's, lies
    above 0: of refreshes that are worse by just the margin about one in twenty passes. If the champion is `overdue`,
    the burden is turned round: it stays only if the refresh is shown to be worse by more than the margin.

    Parameters
    ----------
    result : Backtest
        With the contestants `REFRESH` and `CHAMPION`, on nights of which neither has seen anything.
    margin : float
        Share of the champion's average precision, in [0, 1].
    overdue : bool
        Whether the champion is so old that it may not stay for want of evidence.
    """
    found = paired(result, REFRESH, CHAMPION, 1.0 - margin)
    asked = f"worse than the champion by more than {margin:.0%}"
    ending = _OVERDUE if overdue else "so the champion stays"
    if found.missing:
        return Decision(overdue, f"whether it is {asked} cannot be told: {found.missing}; {ending}")
    numbers = f"average precision {found.new:.3f} against {found.old:.3f} on {found.nights} nights that neither knew"
    if found.spread.low(CONFIDENCE) >= 0:
        return Decision(True, f"not {asked}: {numbers}")
    if found.spread.high(CONFIDENCE) < 0:
        return Decision(False, f"{asked}: {numbers}; so the champion stays")
    return Decision(overdue, f"it could be {asked}: {numbers}, {found.unsure}; {ending}")


_OVERDUE = "but the champion knows nothing even of the oldest night of the backtest, so that the newer model is taken"


def judge_challenger(result: Backtest, margin: float, ladder: Verdict) -> Decision:
    """Decide on another recipe, each recipe having been fitted anew at every block's start.

    It is promoted if it was shown to be better than the ladder, the one-sided 97.5 % interval of its lead over the
    champion's recipe lies above 0, and the lead is at least `margin` times the champion's average precision. The
    interval carries the error rate: of recipes that are no better at most one in forty passes. The margin asks for a
    lead that is worth a change; where the interval is narrow, a recipe whose lead is just the margin passes half the
    time. A tie keeps what is.

    Parameters
    ----------
    result : Backtest
        With the contestants `CHALLENGER` and `CHAMPION` on the same blocks.
    margin : float
        Share of the champion's average precision, in [0, 1].
    ladder : Verdict
        The challenger against the simple rules.
    """
    found = paired(result, CHALLENGER, CHAMPION)
    asked = f"better than the champion's recipe by {margin:.0%} or more"
    if found.missing:
        return Decision(False, f"whether it is {asked} cannot be told: {found.missing}")
    numbers = f"average precision {found.new:.3f} against {found.old:.3f} on {found.nights} nights"
    if not ladder.better:
        return Decision(False, f"not shown to be better than simple rules ({ladder.sentence}); {numbers}")
    if found.spread.low(SURE) <= 0:
        what = "shown to be worse than" if found.spread.high(SURE) < 0 else "not shown to be better than"
        return Decision(False, f"{what} the champion's recipe: {numbers}, {found.unsure}")
    if found.gain < margin * found.old:
        return Decision(False, f"better than the champion's recipe, but not by {margin:.0%}: {numbers}")
    return Decision(True, f"{asked}: {numbers}")


def shortcomings(score: np.ndarray, y: pd.Series, X: pd.DataFrame, *, ranking: bool, weight: pd.Series | None) -> str:
    """Say what is wrong with a model that can be seen without comparing it; empty if nothing is.

    Parameters
    ----------
    score : ndarray, shape (n_units,)
        Its P(defect) of the units it learnt from.
    y : Series of 0 and 1, shape (n_units,)
    X : DataFrame, shape (n_new, n_features)
        The features that it uses, of the newest candidates.
    ranking : bool
        Whether its scores are a ranking only.
    weight : Series, indexed as y, optional
        Weights that it learnt with: defects are then compared over all units, for which these stand.
    """
    if not np.isfinite(score).all() or score.min() < 0 or score.max() > 1:
        return "some of its scores are not numbers between 0 and 1"
    if score.min() == score.max():
        return "it gives every unit the same score"
    each = np.ones(len(y)) if weight is None else weight.reindex(y.index).to_numpy()
    expected, observed = (float(np.average(of, weights=each)) for of in (score, y))
    if not ranking and not observed / ABSURD <= expected <= observed * ABSURD:
        counted = f"of the units it learnt from it expects {score.sum():.0f} defects, where {y.sum():.0f} were found"
        over_all = f", and of all units, for which these stand, about {percent(expected)}, where about "
        return counted + (f"{over_all}{percent(observed)} were found" if np.ptp(each) else "")
    silent = X.columns[X.isna().all()]
    if len(X) and 2 * len(silent) > X.shape[1]:
        some = ", ".join(silent[:3])
        return f"{len(silent)} of its {X.shape[1]} features have no value in the newest block, such as {some}"
    return ""
