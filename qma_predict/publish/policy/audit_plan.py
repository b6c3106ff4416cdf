"""The audit plan: how well escapes would be known after some weeks, for each share of the capacity kept for audits."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import gamma

from qma_predict.line import Line
from qma_predict.publish.policy.select import select

SHARES = (0.05, 0.1, 0.2)
WEEKS = (4, 13, 26)


def audit_plan(
    nights: Iterable[pd.DataFrame],
    line: Line,
    *,
    shares: Sequence[float] = SHARES,
    weeks: Sequence[int] = WEEKS,
    lists_a_week: float = 7.0,
) -> pd.DataFrame:
    """Return how well escapes would be known after some weeks, by the share of the capacity that goes to audits.

    An escape is a defect among the units that the ranking does not list. A unit is in one draw, on its first night,
    and counts on that night alone, however long it waits for its gate. Each audited one stands for
    ``1 / selection_probability`` of them (Horvitz and Thompson 1952), so their sum over all lists estimates the number
    of escapes without bias. With ``P`` the scores and ``pi`` the selection probabilities of the units that are not
    listed by rank, a list is expected to have ``sum P`` escapes, of which its audits find ``sum pi * P``. The error of
    the estimate has the variance by Hájek for draws of a fixed number, in expected value over which units are defect.
    Lists are taken to come like the given ones, their errors to be independent of each other, and the scores to be
    probabilities.

    Parameters
    ----------
    nights : iterable of DataFrame
        Scored candidates of tonight, or of some recent nights, each with `risk_list.CANDIDATE_COLUMNS`.
    line : Line
        Its `list` and `costs`; the audits' share is replaced.
    shares : sequence of float
        In (0, 1].
    weeks : sequence of int
    lists_a_week : float
        Lists that are made and checked in a week.

    Returns
    -------
    DataFrame, a row a share and number of weeks
        ``share``, ``weeks``, ``audits`` (units audited in that time), ``escapes`` (expected number), ``found`` (of
        them by audits), ``standard_error`` (of the estimate of escapes), ``low`` and ``high`` (between which nine of
        ten estimates lie, as a gamma distribution has it), and ``relative`` (half of that range over ``escapes``; NaN
        where no escape is expected).

    Raises
    ------
    ValueError
        No night is given.

    References
    ----------
    Hájek, J. (1964). Asymptotic theory of rejective sampling with varying probabilities from a finite population.
    Annals of Mathematical Statistics 35, 1491-1523.
    """
    nights = list(nights)
    if not nights:
        raise ValueError("audit_plan: no night is given, expected the scored candidates of one or more")
    rows = []
    for share in shares:
        audited = line.model_copy(update={"list": line.list.model_copy(update={"audits": share})})
        each = np.mean([_of_a_list(candidates, audited) for candidates in nights], axis=0) * lists_a_week
        rows += [(share, weeks_, *(each * weeks_)) for weeks_ in weeks]
    plan = pd.DataFrame(rows, columns=["share", "weeks", "audits", "escapes", "found", "variance"])
    plan["standard_error"] = np.sqrt(plan.pop("variance"))
    plan["low"], plan["high"] = _range(plan["escapes"], plan["standard_error"])
    plan["relative"] = (plan["high"] - plan["low"]) / 2 / plan["escapes"].where(plan["escapes"] > 0)
    return plan


def words(plan: pd.DataFrame, line: Line, *, nights: int) -> str:
    """Return an audit plan as the table that a command prints.

    Parameters
    ----------
    plan : DataFrame
        As `audit_plan` returns it.
    line : Line
    nights : int
        How many nights it was made from.
    """
    told = "1 night" if nights == 1 else f"{nights} nights"
    kept = f"{line.list.audits:.0%} of the capacity" if line.list.audits else "nothing"
    head = (
        f"{line.title}: how well escapes would be known, from the candidates of {told}\n"
        f"(line.toml keeps {kept} for audits: list.audits)\n"
    )
    rows = [f"{'share':>6}{'weeks':>7}{'audits':>9}{'escapes':>9}{'found by audits':>17}   nine of ten estimates"]
    for row in plan.itertuples():
        known = f"{row.low:,.0f} to {row.high:,.0f}"
        known += "" if np.isnan(row.relative) else f" (within {row.relative:.0%})"
        counts = f"{row.audits:>9,.0f}{row.escapes:>9,.1f}{row.found:>17,.1f}"
        rows.append(f"{row.share:>6.0%}{row.weeks:>7}{counts}   {known}")
    return "\n".join([head, *rows])


def _of_a_list(candidates: pd.DataFrame, line: Line) -> np.ndarray:
    """Audits, expected escapes, those that audits find, and variance of the estimate, of one list; shape (4,)."""
    old = candidates.loc[candidates["first_night"] < candidates["first_night"].max(), "unit_id"]
    ranked = select(candidates, line, list_id="plan", drawn_before=pd.Series(0.0, old))
    open_ = ranked[~ranked["selected_by"].eq("rank").fillna(False) & (ranked["selection_probability"] > 0)]
    pi, p = open_["selection_probability"].to_numpy(), open_["score"].to_numpy()
    return np.array([pi.sum(), p.sum(), pi @ p, _variance(pi, p)])


def _variance(pi: np.ndarray, p: np.ndarray) -> float:
    """Expected variance of the estimated number of defects, drawn with `pi` where each is one with `p`.

    Hájek's is ``sum c (y / pi - B)^2`` with ``c = pi (1 - pi) n / (n - 1)`` and B the mean of ``y / pi`` by c. Its
    expected value over independent y follows from the first two moments of ``sum c y / pi``.
    """
    c = pi * (1 - pi) * len(pi) / max(len(pi) - 1, 1)
    if not c.sum() > 0:
        return 0.0  # all are checked
    mean, spread = c @ (p / pi), c**2 @ (p * (1 - p) / pi**2)
    return float(c @ (p / pi**2) - (mean**2 + spread) / c.sum())


def _range(mean: pd.Series, error: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """5 % and 95 % points of gamma distributions; the mean itself where there is no error."""
    known = (mean > 0) & (error > 0)
    shape, scale = (mean[known] / error[known]) ** 2, error[known] ** 2 / mean[known]
    low, high = mean.to_numpy().copy(), mean.to_numpy().copy()
    low[known], high[known] = (gamma.ppf(level, shape, scale=scale) for level in (0.05, 0.95))
    return low, high
