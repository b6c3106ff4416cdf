"""The dataset: prediction points with features and labels, and an identity by which it can be made again."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.features.groups import groups
from qma_predict.features.points import prediction_points
from qma_predict.features.table import feature_table
from qma_predict.features.units import feature_units
from qma_predict.learn.labels import STATES, label_states, labels, values_of
from qma_predict.line import Line


@dataclass(frozen=True)
class Dataset:
    """What a line's history offers for learning, as known at one moment.

    Attributes
    ----------
    history : History
        As of the moment.
    line : Line
    points : DataFrame, shape (n_points, 5), indexed by unit_id
        As `prediction_points` gives them.
    X : DataFrame, shape (n_points, n_features), indexed by unit_id
    y : Series, shape (n_points,), indexed by unit_id
        1.0 defect, 0.0 good, missing unknown.
    identity : dict
        Line, moment, versions of the tables, counts (of labels by their state, too) and a digest of features and
        labels: what is needed to make the same dataset again, and to see that it is the same.
    units : dict of str to str
        Unit of measure of every feature; empty where it has none or none is known.
    groups : Series of str, shape (n_points,), indexed by unit_id, optional
        What each unit shares with others that it must not be parted from (`learning.group`), missing where that is not
        known; None if the line names nothing of that kind.
    """

    history: History
    line: Line
    points: pd.DataFrame
    X: pd.DataFrame
    y: pd.Series
    identity: dict[str, object]
    units: dict[str, str]
    groups: pd.Series | None = None

    def groups_of(self, units: pd.Index) -> np.ndarray | None:
        """Groups of some units, missing where they have none; None if the line names no group."""
        return None if self.groups is None else self.groups.reindex(units).to_numpy(dtype=object)

    def apart(self, units: pd.Index, judged: pd.Index) -> pd.Index:
        """Units to learn from whose group is not that of a judged one."""
        if self.groups is None:
            return units
        return units[~self.groups.reindex(units).isin(self.groups.reindex(judged).dropna()).to_numpy()]

    def labels_at(self, moment: datetime) -> pd.Series:
        """Labels as known at an earlier moment.

        Raises
        ------
        ValueError
            If the moment is after the one of the dataset.
        """
        if pd.Timestamp(moment) > self.history.as_of:
            raise ValueError(f"labels as of {moment}: expected at most {self.history.as_of}, as which the dataset is")
        return labels(self.history.at(moment), self.points.reset_index(), self.line)


def make_dataset(history: History, line: Line) -> Dataset:
    """Dataset of a line as known at the history's `as_of`.

    Raises
    ------
    LineError
        If the line names a family that there is not, or a group that is known of no unit.
    """
    points = prediction_points(history, line)
    X = feature_table(history, points, line)
    states = label_states(history, points, line)
    y, together = values_of(states), groups(history, points, line)
    identity = {
        "line": line.name,
        "line_digest": line.digest,
        "as_of": history.as_of.isoformat(),
        "versions": dict(history.versions),
        "units": len(X),
        "already_known": points.attrs["already_known"],
        "features": X.shape[1],
        "labelled": int(y.notna().sum()),
        "defects": int(y.sum()),
        "states": {state: int((states == state).sum()) for state in STATES},
        "digest": _digest(X, y, together),
    }
    if together is not None:
        identity |= {"group": line.learning.group, "groups": int(together.nunique())}
    units = feature_units(history, line, X)
    return Dataset(history, line, points.set_index("unit_id"), X, y, identity, units, together)


def _digest(X: pd.DataFrame, y: pd.Series, together: pd.Series | None) -> str:
    parts = {"X": X, "y": y} | ({} if together is None else {"groups": together})
    rows = pd.DataFrame({name: pd.util.hash_pandas_object(part) for name, part in parts.items()})
    return hashlib.sha256(rows.to_numpy().tobytes() + "\0".join(X.columns).encode()).hexdigest()[:32]
