"""A backtest's metrics over all units, where units were selected for inspection with known probabilities."""

import pandas as pd

from qma_predict.learn import metrics
from qma_predict.learn.backtest import Backtest


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
        ``block``, ``contestant``, ``metric``, ``value`` (NaN where it is not defined), as `summarise` takes them.
    """
    rows = []
    for (block, contestant), of in result.predictions.groupby(["block", "contestant"], sort=False):
        told = (of["outcome"], of["score"])
        by_weight = {"sample_weight": weight.reindex(of["unit_id"]).fillna(1.0).to_numpy()}
        lists = by_weight | {"capacity": result.capacity, "nights": of["night"]}
        values = {
            "average_precision": metrics.average_precision(*told, **by_weight),
            "roc_auc": metrics.roc_auc(*told, **by_weight),
            "precision_at_capacity": metrics.precision_at_capacity(*told, **lists),
            "recall_at_capacity": metrics.recall_at_capacity(*told, **lists),
            "observed_over_expected": metrics.observed_over_expected(*told, **by_weight),
        }
        rows += [{"block": block, "contestant": contestant, "metric": name, "value": values[name]} for name in values]
    return pd.DataFrame(rows, columns=["block", "contestant", "metric", "value"])
