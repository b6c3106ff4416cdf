"""What became of the lists' scores once labels matured, week by week, beside what the scores themselves expected.

The expectation is right as long as the risk of units with such features is what the model learnt: also when other
units come than before, but not when the same features have come to mean another risk. Only labels show that.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn import at_capacity, metrics
from qma_predict.learn.base_rate import BaseRateShift, base_rate_shift
from qma_predict.learn.labels import labels
from qma_predict.learn.over_all import why_too_few
from qma_predict.learn.reliability import observed_over_expected_interval
from qma_predict.learn.weights import uncut_weights
from qma_predict.line import Line
from qma_predict.publish.lists import bundle
from qma_predict.review.candidates import on_first_night
from qma_predict.review.earlier import read_lists

WEEKS = 12
"""Weeks that are told at most."""

COLUMNS = ("week", "nights", "units", "known", "defects", "expected", "ratio", "low", "high", "precision",
           "expected_precision", "recall", "expected_recall", "average_precision",
           "expected_average_precision")  # fmt: skip

_SMALLEST = 1e-9


def first_scores(folder: Path, history: History, line: Line, business_date: date) -> pd.DataFrame:
    """Scores that units had on their first night, by the lists of the last weeks up to a date's own.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    history : History
        Of a list that was replaced, the revision counts that was shown at its `as_of`.
    line : Line
    business_date : date

    Returns
    -------
    DataFrame, shape (n_units, 4)
        ``unit_id``, ``night`` (business date), ``score`` and ``probability``: the score, missing if it is a ranking's.
        Lists that are damaged are left out.
    """
    oldest, moment = business_date - timedelta(weeks=WEEKS), history.as_of.to_pydatetime()
    nights = [pd.DataFrame({"unit_id": pd.Series(dtype="str"), "night": [], "score": [], "probability": []})]
    days = [day for day in bundle.published_dates(folder) if oldest < day <= business_date]
    for day, one in read_lists(folder, line, days, moment).whole.items():
        first = on_first_night(one.path, day, "score_is")
        probability = first["score"].where(first["score_is"] != "ranking")
        nights.append(first.drop(columns="score_is").assign(probability=probability.astype(float)))
    return pd.concat(nights[1:] or nights, ignore_index=True)[["unit_id", "night", "score", "probability"]]


def judged(scores: pd.DataFrame, points: pd.DataFrame, history: History, line: Line) -> pd.DataFrame:
    """Those of the units whose label has had its time, and what became of them.

    Parameters
    ----------
    scores : DataFrame
        Of `first_scores`.
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    history : History
    line : Line

    Returns
    -------
    DataFrame
        Rows of `scores` with ``outcome``, the label (missing where the unit was not inspected), and ``weight``, see
        `uncut_weights`.
    """
    mature = (points["cutoff"] + pd.Timedelta(line.gate.maturity) <= history.as_of).to_numpy()
    of = points[mature & points["unit_id"].isin(scores["unit_id"]).to_numpy()]
    found = pd.DataFrame({"outcome": labels(history, of, line), "weight": uncut_weights(history, of, line)})
    return scores.join(found, on="unit_id", how="inner")


def realised(rows: pd.DataFrame, *, capacity: int) -> pd.DataFrame:
    """How well the lists of each week did, and how well their own scores said that they would.

    Parameters
    ----------
    rows : DataFrame
        Of `judged`.
    capacity : int
        Units checked a night.

    Returns
    -------
    DataFrame, a row a week with a known outcome, the oldest first
        ``week`` (its Monday), ``nights``, ``units``, ``known``, ``defects``; ``expected``, defects that the scores of
        the known units expected; ``ratio`` of defects to it by weight, with its 95 % interval ``low`` to ``high``;
        ``precision`` and ``recall`` at capacity and ``average_precision``, each with what the scores expected.
        Expectations are missing where a score was a ranking, and ``recall`` and ``average_precision`` where a week's
        labels are too few for figures over all units (`over_all.why_too_few`).
    """
    monday = pd.Series([night - timedelta(days=night.weekday()) for night in rows["night"]], index=rows.index)
    found = [_week(week, of, capacity) for week, of in rows.groupby(monday, sort=True) if of["outcome"].notna().any()]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _week(week: date, rows: pd.DataFrame, capacity: int) -> dict[str, Any]:
    y, score, weight = (rows[name].to_numpy(float) for name in ("outcome", "score", "weight"))
    lists = {"capacity": capacity, "nights": rows["night"], "sample_weight": weight}
    known = ~np.isnan(y)
    enough = not why_too_few(y, weight)
    told = {
        "week": week,
        "nights": rows["night"].nunique(),
        "units": len(rows),
        "known": int(known.sum()),
        "defects": int(np.nansum(y)),
        "precision": at_capacity.precision_at_capacity(y, score, **lists),
        "recall": at_capacity.recall_at_capacity(y, score, **lists) if enough else np.nan,
        "average_precision": metrics.average_precision(y, score, sample_weight=weight) if enough else np.nan,
    }
    if rows["probability"].isna().any():
        return told
    of_known = {"sample_weight": weight}
    low, high = observed_over_expected_interval(y, score, **of_known)
    p = np.clip(score, _SMALLEST, 1.0)
    # each known unit as a defect that weighs its risk: the sums are then those that are expected
    expected = at_capacity.tally_nights(np.where(known, 1.0, np.nan), score, **lists | {"sample_weight": weight * p})
    listed = at_capacity.tally_nights(y, score, **lists).known.sum()
    return told | {
        "expected": float(p[known].sum()),
        "ratio": metrics.observed_over_expected(y, score, **of_known),
        "low": low,
        "high": high,
        "expected_precision": float(expected.found.sum() / listed) if listed else np.nan,
        "expected_recall": float(expected.found.sum() / expected.defects.sum()),
        "expected_average_precision": _expected_average_precision(p[known], weight[known]),
    }


def _expected_average_precision(p: np.ndarray, weight: np.ndarray) -> float:
    """Average precision of units that fail independently with these probabilities: a ratio of expected values."""
    order = np.argsort(-p, kind="stable")
    risk, w = p[order], weight[order]
    above = np.cumsum(w * risk) - w * risk
    return float(np.sum(w * risk * (above + w) / np.cumsum(w)) / np.sum(w * risk))


@dataclass(frozen=True)
class Level:
    """How the defects of lists compare with what their scores promised.

    Attributes
    ----------
    defects : int
        Found among the inspected units.
    expected : float
        Promised of the same units [defects]; 0 where no outcome of a scored unit is known.
    weighted : bool
        Whether some of them stand for more units than others.
    shift : BaseRateShift
        The same over all units, for which the inspected ones stand.
    """

    defects: int
    expected: float
    weighted: bool
    shift: BaseRateShift


def level(rows: pd.DataFrame) -> Level:
    """How the defects compare with what the scores of all these lists promised.

    Parameters
    ----------
    rows : DataFrame
        Of `judged`; those with a known outcome and a probability count.
    """
    known = rows[rows["outcome"].notna() & rows["probability"].notna()]
    shift = base_rate_shift(known["probability"], known["outcome"], sample_weight=known["weight"])
    expected, weighted = float(known["probability"].sum()), known["weight"].nunique() > 1
    return Level(int(known["outcome"].sum()), expected, weighted, shift)
