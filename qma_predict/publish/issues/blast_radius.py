"""Every unit made under the same conditions, by where it is now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pandas as pd

from qma_predict.data.lake import History
from qma_predict.features.conditions import conditions, made_since
from qma_predict.features.points import prediction_points, whereabouts
from qma_predict.features.table import feature_table
from qma_predict.line import Line
from qma_predict.publish.issues.find import Issue
from qma_predict.publish.issues.measured import beyond, station_attribute, stays

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
    return _places(history, conditions(history, made_since(history, since), line), shared, since)


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
    return tuple(replace(issue, places=_places_of(issue, history, line, known, siblings)) for issue in issues)


def _places_of(
    issue: Issue, history: History, line: Line, known: pd.DataFrame, siblings: pd.DataFrame
) -> tuple[tuple[str, int], ...]:
    if issue.side:
        return _where(history, _measured_like(issue, history, line, known, siblings))
    return _places(history, known, issue.conditions, issue.since)


def _measured_like(
    issue: Issue, history: History, line: Line, known: pd.DataFrame, siblings: pd.DataFrame
) -> pd.Series:
    """Units on the same side of the usual range, made on its machine since it began, or on any of its station."""
    attribute = station_attribute(issue.feature, line)
    there = stays(known, attribute, pd.Series(known["unit_id"].unique()))
    machine = dict(issue.conditions).get(attribute)
    its = (there["at"] >= issue.since) & (machine is None or there["value"] == machine)
    points = prediction_points(history, line)
    X = feature_table(history, points[points["unit_id"].isin(there.index[its])], line)
    like = beyond(X, siblings, issue.feature, issue.side)
    return like.index[like].union(list(issue.unit_ids)).to_series()


def _places(
    history: History, known: pd.DataFrame, shared: Sequence[tuple[str, str]], since: datetime
) -> tuple[tuple[str, int], ...]:
    wanted = known.merge(pd.DataFrame(list(shared), columns=["attribute", "value"]))
    of_unit = wanted.groupby("unit_id").agg(shared=("attribute", "size"), last=("occurred_at", "max"))
    under = of_unit[(of_unit["shared"] == len(shared)) & (of_unit["last"] >= since)]
    return () if under.empty else _where(history, under.index.to_series())


def _where(history: History, units: pd.Series) -> tuple[tuple[str, int], ...]:
    stations = whereabouts(history, units)["station"].fillna(UNKNOWN)
    counts = stations.value_counts().rename_axis("station").reset_index()
    counts = counts.sort_values(["count", "station"], ascending=[False, True])
    return tuple((str(row.station), int(row.count)) for row in counts.itertuples(index=False))
