"""Every unit made under the same conditions, by where it is now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce

import pandas as pd

from qma_predict.data.lake import History
from qma_predict.features.conditions import conditions, made_since
from qma_predict.features.points import prediction_points, whereabouts
from qma_predict.features.table import feature_table
from qma_predict.line import Line
from qma_predict.publish.issues.find import Issue
from qma_predict.publish.issues.measured import beyond, compared_with, station_attribute, stays

UNKNOWN = "not recorded"


def blast_radius(
    history: History, line: Line, shared: Sequence[tuple[str, str]], since: datetime
) -> tuple[tuple[str, int], ...]:
    """Where all units are that came under the same conditions since a moment, candidates or not.

    Parameters
    ----------
    history : History
        As of the night.
    line : Line
    shared : sequence of (attribute, value)
    since : datetime, UTC
        A unit belongs to them if it came under the last of the conditions then or later.

    Returns
    -------
    tuple of (str, int)
        Station of the visit that started last, which may be a storage place, shipping or scrap, and how many units are
        there, most first.
    """
    under = _under(conditions(history, made_since(history, since), line), shared, since)
    return _counted(_stations(history, under))


def with_places(issues: Sequence[Issue], history: History, line: Line, siblings: pd.DataFrame) -> tuple[Issue, ...]:
    """The issues with their `places`.

    Parameters
    ----------
    issues : sequence of Issue
    history : History
        As of the night.
    line : Line
    siblings : DataFrame
        Feature table of good units. Where the units of an issue share that a feature is beyond its usual range, it is
        computed for all units that were on the machine since the issue began, or on any of its station.
    """
    if not issues:
        return ()
    known = conditions(history, made_since(history, min(issue.since for issue in issues)), line)
    like = [
        _measured_like(issue, history, line, known, siblings)
        if issue.side
        else _under(known, issue.conditions, issue.since)
        for issue in issues
    ]
    stations = _stations(history, reduce(pd.Index.union, like))
    return tuple(replace(issue, places=_counted(stations[its])) for issue, its in zip(issues, like, strict=True))


def _measured_like(issue: Issue, history: History, line: Line, known: pd.DataFrame, siblings: pd.DataFrame) -> pd.Index:
    """Units on the same side of the usual range, made on its machine since it began, or on any of its station."""
    attribute = station_attribute(issue.feature, line)
    there = stays(known, attribute, pd.Series(known["unit_id"].unique()))
    machine = dict(issue.conditions).get(attribute)
    its = (there["at"] >= issue.since) & (machine is None or there["value"] == machine)
    points = prediction_points(history, line)
    X = feature_table(history, points[points["unit_id"].isin(there.index[its])], line)
    like = beyond(X, compared_with(siblings, issue.feature, issue.conditions, line), issue.feature, issue.side)
    return like.index[like].union(list(issue.unit_ids))


def _under(known: pd.DataFrame, shared: Sequence[tuple[str, str]], since: datetime) -> pd.Index:
    """Units that came under all of the conditions, under the last of them since a moment."""
    wanted = known.merge(pd.DataFrame(list(shared), columns=["attribute", "value"]))
    of_unit = wanted.groupby("unit_id").agg(shared=("attribute", "size"), last=("occurred_at", "max"))
    return of_unit.index[(of_unit["shared"] == len(shared)) & (of_unit["last"] >= since)]


def _stations(history: History, units: pd.Index) -> pd.Series:
    """Station of each unit's last visit, indexed by unit_id."""
    return whereabouts(history, units.to_series())["station"].fillna(UNKNOWN)


def _counted(stations: pd.Series) -> tuple[tuple[str, int], ...]:
    counts = stations.value_counts().rename_axis("station").reset_index()
    counts = counts.sort_values(["count", "station"], ascending=[False, True])
    return tuple((str(row.station), int(row.count)) for row in counts.itertuples(index=False))
