"""What a contestant's scores are worth on the candidates of a block, by every metric."""

from typing import Any

import numpy as np
import pandas as pd

from qma_predict.learn import metrics
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
    each: dict[str, Any] = {"sample_weight": weight}
    lists = each | {"capacity": capacity, "nights": nights}
    values = {
        "average_precision": metrics.average_precision(y, score, **each),
        "roc_auc": metrics.roc_auc(y, score, **each),
        "precision_at_capacity": metrics.precision_at_capacity(y, score, **lists),
        "recall_at_capacity": metrics.recall_at_capacity(y, score, **lists),
        "brier_skill": metrics.brier_skill(y, score, prevalence=prevalence, **each),
        "log_loss": log_loss(y, score, **each),
        "observed_over_expected": metrics.observed_over_expected(y, score, **each),
        "expected_cost": expected_cost(y, score, costs=costs, **lists),
    }
    rows = {
        metric: {"metric": metric} | missing | {"value": value, "reason": _why_undefined(metric, value, facts, costs)}
        for metric, value in values.items()
    }
    rows["observed_over_expected"] |= observed_over_expected_interval(y, score, **each)._asdict()
    return list(rows.values())


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
