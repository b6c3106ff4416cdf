"""The features of a dataset, each with its family, its unit of measure and what was observed of it."""

import numpy as np
import pandas as pd

from qma_predict.features.units import feature_families
from qma_predict.learn.dataset import Dataset


def feature_list(dataset: Dataset) -> pd.DataFrame:
    """What is known of every feature of a dataset.

    Returns
    -------
    DataFrame, shape (n_features, 8)
        ``feature``; ``family`` and ``place`` (station, gate or material: the name up to its first dot); ``unit`` of
        measure, empty where it has none or none is known; ``known``, the share of units that have it; ``lowest`` and
        ``highest`` finite value, missing for texts; ``values``, the number of different texts, missing for numbers.
    """
    X, family = dataset.X, feature_families(dataset.line, dataset.X)
    rows = []
    for name in X:
        row = {"feature": name, "family": family[name], "place": name.partition(".")[0], "unit": dataset.units[name]}
        rows.append(row | {"known": float(X[name].notna().mean())} | _observed(X[name]))
    columns = ["feature", "family", "place", "unit", "known", "lowest", "highest", "values"]
    return pd.DataFrame(rows, columns=columns).astype({"values": "Int64"} | dict.fromkeys(columns[:4], "str"))


def _observed(column: pd.Series) -> dict[str, object]:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return {"lowest": np.nan, "highest": np.nan, "values": column.nunique()}
    finite = column[np.isfinite(column)]
    return {"lowest": float(finite.min()), "highest": float(finite.max()), "values": None}
