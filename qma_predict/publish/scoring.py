"""Scoring: candidates of a night, their features, and the champion's probability for each."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.features.points import candidates, prediction_points, whereabouts
from qma_predict.features.table import feature_table
from qma_predict.features.units import feature_tags
from qma_predict.line import Line
from qma_predict.publish.risk_list import CANDIDATE_COLUMNS


def score_candidates(
    history: History, line: Line, predict: Callable[[pd.DataFrame], np.ndarray]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Candidates of the night at the history's `as_of`, scored.

    Parameters
    ----------
    history : History
        As of the night.
    line : Line
    predict : callable
        P(defect), shape (n_units,), for a feature table.

    Returns
    -------
    candidates : DataFrame, shape (n_candidates, 9)
        With `risk_list.CANDIDATE_COLUMNS`: ``unit_id``, ``product``, ``cutoff`` [UTC], ``first_night`` (business
        date on which the unit was first a candidate), ``station``, ``machine`` and ``since`` [UTC] of where it
        is now, ``score`` (missing: not scored) and ``reason`` (why it was not scored, else missing).
    X : DataFrame, shape (n_scored, n_features), indexed by unit_id
        Features of the units that have a score.
    """
    found, X = history.once(f"candidates of {line!r}", lambda: _found(history, line))
    silent = _silent(X, line)
    scored = found.assign(score=np.nan, reason=pd.Series(pd.NA, index=found.index, dtype="str"))
    scored.loc[~silent, "score"] = predict(X[~silent]) if (~silent).any() else np.nan
    scored.loc[silent, "reason"] = "no reading was known at its cutoff"
    return scored.reset_index()[list(CANDIDATE_COLUMNS)], X[~silent]


def _found(history: History, line: Line) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The candidates but for what follows from a prediction, indexed by unit_id, and their features."""
    points = candidates(prediction_points(history, line), history.as_of)
    found = points.set_index("unit_id")[["cutoff"]].assign(first_night=points["night"].to_numpy())
    return found.join(whereabouts(history, points["unit_id"])), feature_table(history, points, line)


def _silent(X: pd.DataFrame, line: Line) -> np.ndarray:
    """Units of which no sensor said anything, on a line that has readings and learns from them."""
    learns = "readings" in line.learning.families and any(one.table == "readings" for one in line.sources)
    return X[list(feature_tags(line, X.columns))].isna().all(axis=1).to_numpy() & learns
