"""A backtest's metrics over all units, where units were selected for inspection with known probabilities."""

from functools import partial

import pandas as pd

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.block_metrics import measure


def over_all_units(result: Backtest, weight: pd.Series) -> pd.DataFrame:
    """Metrics of a backtest's blocks as they would be had every candidate been inspected.

    Parameters
    ----------
    result : Backtest
        Its own table is over the inspected units.
    weight : Series of float, indexed by unit_id
        See `inspection_weights`.

    Returns
    -------
    DataFrame
        ``block``, ``contestant``, and ``metric``, ``value``, ``low``, ``high`` and ``reason`` as `Backtest.table` has
        them, of the blocks in which a contestant took part.
    """
    facts, rows = result.table.drop_duplicates("block").set_index("block").to_dict("index"), []
    for (block, contestant), of in result.predictions.groupby(["block", "contestant"], sort=False):
        each = weight.reindex(of["unit_id"]).fillna(1.0).to_numpy()
        with_these = partial(measure, capacity=result.capacity, costs=result.costs, weight=each)
        measured = with_these(of, of["score"].to_numpy(), None, facts[block])
        rows += [{"block": block, "contestant": contestant} | row for row in measured]
    columns = ["block", "contestant", "metric", "value", "low", "high", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"reason": "str"})
