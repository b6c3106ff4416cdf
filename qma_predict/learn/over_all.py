"""A backtest's metrics over all units, where units were selected for inspection with known probabilities."""

import numpy as np
import pandas as pd

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.base_rate import defects_worth
from qma_predict.learn.block_metrics import measure

FEWEST_WORTH = 10
"""Where unequal weights leave the known defects worth fewer, a figure over all units is one of the few that weigh most:
without them recall is 1, whatever it is."""

TOLD_WITH_INTERVAL = "observed_over_expected"
"""The metric that says itself how little is known."""

COLUMNS = ["contestant", "metric", "value", "low", "high", "reason", "blocks"]


def over_all_units(result: Backtest, weight: pd.Series) -> pd.DataFrame:
    """Metrics of a backtest as they would be had every candidate been inspected.

    The blocks are taken together: of each alone, a few defects that stand for many units would be all that counts, and
    the mean of such ratios is far from the ratio of the sums. Brier skill is against the mean of the rates that the
    contestant learnt from.

    Parameters
    ----------
    result : Backtest
        Its own table is over the inspected units.
    weight : Series of float, indexed by unit_id
        See `uncut_weights`: cut ones would leave part of the seldom inspected units out.

    Returns
    -------
    DataFrame, a row a contestant that took part in a block, and metric
        ``contestant``, and ``metric``, ``value``, ``low``, ``high`` and ``reason`` as `Backtest.table` has them;
        ``blocks``, how many the contestant took part in. Where the known defects are worth fewer than `FEWEST_WORTH`
        (see `why_too_few`), only observed over expected is told, which has its interval.
    """
    facts, rows = result.table.drop_duplicates("block").set_index("block"), []
    for contestant, of in result.predictions.groupby("contestant", sort=False):
        each, own = weight.reindex(of["unit_id"]).fillna(1.0).to_numpy(), facts.loc[of["block"].unique()]
        known = own[["units", "defects"]].sum().to_dict() | {"train_rate": own["train_rate"].mean()}
        with_these = {"capacity": result.capacity, "costs": result.costs, "weight": each}
        measured = measure(of, of["score"].to_numpy(), None, known, **with_these)
        if few := why_too_few(of["outcome"].to_numpy(dtype=float), each):
            measured = [row if row["metric"] == TOLD_WITH_INTERVAL else _untold(row, few) for row in measured]
        rows += [{"contestant": contestant} | row | {"blocks": len(own)} for row in measured]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"reason": "str"})


def why_too_few(outcome: np.ndarray, weight: np.ndarray) -> str:
    """Say why figures over all units cannot be told from labels of unequal weights; empty if they can.

    Parameters
    ----------
    outcome : ndarray of float, shape (n_units,)
        1 defect, 0 good, NaN not known.
    weight : ndarray of float, shape (n_units,)
        How many units each stands for.

    Examples
    --------
    >>> why_too_few(np.array([1.0] * 30 + [0.0] * 70), np.array([1.0] * 90 + [40.0] * 10))
    'over all units 30 known defects are worth 0.91, fewer than 10'
    >>> why_too_few(np.array([1.0, 0.0]), np.ones(2))
    ''
    """
    known = ~np.isnan(outcome)
    y, w = outcome[known], weight[known]
    if not len(w) or not np.ptp(w) or (worth := defects_worth(None, y, w)) >= FEWEST_WORTH:
        return ""
    return f"over all units {y.sum():.0f} known defects are worth {worth:.2g}, fewer than {FEWEST_WORTH}"


def _untold(row: dict, reason: str) -> dict:
    """The row without its value; one that is not defined keeps its reason."""
    return row if np.isnan(row["value"]) else row | {"value": np.nan, "reason": reason}
