"""What a contestant's scores are worth on the candidates of a block, by every metric."""

from typing import Any

import numpy as np
import pandas as pd

from qma_predict.learn import at_capacity, metrics
from qma_predict.learn.costs import expected_cost
from qma_predict.learn.reliability import log_loss, observed_over_expected_interval
from qma_predict.line import Costs

METRICS = (
    "average_precision",
    "roc_auc",
    "precision_at_capacity",
    "recall_at_capacity",
    "brier_skill",
    "log_loss",
    "observed_over_expected",
    "expected_cost",
)


def measure(
    judged: pd.DataFrame,
    score: np.ndarray | None,
    reason: str | None,
    facts: dict,
    *,
    capacity: int,
    costs: Costs,
    weight: np.ndarray | None = None,
) -> list[dict]:
    """Measure scores on the candidates of a block.

    Parameters
    ----------
    judged : DataFrame
        The block's candidates: ``night`` and ``outcome`` (1 defect, 0 good, NaN not known).
    score : ndarray of float, shape (n_candidates,), or None
        None if the contestant took no part.
    reason : str or None
        Why it took none.
    facts : dict
        Of the block: ``train_units``, ``train_defects``, ``train_rate``, ``units`` and ``defects``.
    capacity : int
        Units that can be checked a night.
    costs : Costs
    weight : ndarray of float, shape (n_candidates,), optional
        How many units each candidate stands for; by default they are measured as they are.

    Returns
    -------
    list of dict
        For each of `METRICS`: ``metric``, ``value``, ``low``, ``high`` and ``reason``, as `Backtest.table` has them.
    """
    missing = {"value": np.nan, "low": np.nan, "high": np.nan, "reason": reason}
    if score is None:
        return [{"metric": metric} | missing for metric in METRICS]
    y, nights = judged["outcome"], judged["night"]
    prevalence = facts["train_defects"] / facts["train_units"] if weight is None else facts["train_rate"]
    rows = {}
    for metric in METRICS:
        settings: dict[str, Any] = {"capacity": capacity, "costs": costs, "prevalence": prevalence, "weight": weight}
        value = value_of(metric, y, score, nights, **settings)
        why = _why_undefined(metric, value, facts, costs)
        rows[metric] = {"metric": metric} | missing | {"value": value, "reason": why}
    rows["observed_over_expected"] |= observed_over_expected_interval(y, score, sample_weight=weight)._asdict()
    return list(rows.values())


def value_of(
    metric: str,
    y: pd.Series,
    score: pd.Series | np.ndarray,
    nights: pd.Series,
    *,
    capacity: int,
    costs: Costs,
    prevalence: float,
    weight: np.ndarray | None = None,
) -> float:
    """Return one of `METRICS` of scores.

    Parameters
    ----------
    metric : str
    y, score, nights : array-like, shape (n_units,)
        1 defect, 0 good, NaN not known; P(defect); and the business date whose list the unit competes for.
    capacity, costs, weight
        As `measure` takes them.
    prevalence : float
        Share of defects that was known before, for ``brier_skill``.
    """
    each: dict[str, Any] = {"sample_weight": weight}
    lists = each | {"capacity": capacity, "nights": nights}
    match metric:
        case "average_precision":
            return metrics.average_precision(y, score, **each)
        case "roc_auc":
            return metrics.roc_auc(y, score, **each)
        case "precision_at_capacity":
            return at_capacity.precision_at_capacity(y, score, **lists)
        case "recall_at_capacity":
            return at_capacity.recall_at_capacity(y, score, **lists)
        case "brier_skill":
            return metrics.brier_skill(y, score, prevalence=prevalence, **each)
        case "log_loss":
            return log_loss(y, score, **each)
        case "observed_over_expected":
            return metrics.observed_over_expected(y, score, **each)
        case "expected_cost":
            return expected_cost(y, score, costs=costs, **lists)
    raise ValueError(f"value_of: unknown metric {metric!r}; expected one of {', '.join(METRICS)}")


def _why_undefined(metric: str, value: float, facts: dict, costs: Costs) -> str | None:
    if not np.isnan(value):
        return None
    if facts["units"] == 0:
        return "no candidate of the block has a known outcome"
    if metric == "expected_cost" and costs.escape is None:
        return "the line names no costs"
    if metric == "precision_at_capacity":
        return "no listed unit has a known outcome"
    return f"{facts['defects']} defects among {facts['units']} candidates with a known outcome"
