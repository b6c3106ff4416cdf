"""Prediction points: when each unit is judged, and during which nights it may be listed."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, frame, newest, recorded_first
from qma_predict.data.results import valid_at_gate
from qma_predict.line import Line


def prediction_points(history: History, line: Line) -> pd.DataFrame:
    """Units that left the prediction station and whose cutoff has come, as known at the history's `as_of`.

    Parameters
    ----------
    history : History
    line : Line

    Returns
    -------
    DataFrame, shape (n_points, 5), sorted by cutoff and unit_id
        ``unit_id``; ``cutoff`` [UTC], the end of the stay plus grace; ``known_at`` [UTC], when the point could
        first be known; ``open_until`` [UTC], until when it is a candidate: the earliest moment at which a gate
        result or the unit's leaving was recorded, or its age reached the limit (exclusive); ``night``, the
        business date whose list first could name it, missing if it was no candidate by then.

        Attribute ``attrs["already_known"]``: how many points were dropped because a gate result was recorded by
        their cutoff.

    Notes
    -----
    The end of the stay is the one recorded first. A later correction of it moves no cutoff: what was known of a
    unit at its cutoff must not depend on when one asks.
    """
    ended = history.all_versions("visits").filter(_.station == line.prediction.after, _.ended_at.notnull())
    ends = recorded_first(ended, ["unit_id"]).select("unit_id", "ended_at", "recorded_at")
    judged = ends.left_join(_gate_results(history, line), "unit_id").drop("unit_id_right")
    left = judged.left_join(_leaving(history, line), "unit_id").drop("unit_id_right")
    return _dated(frame(left), line, history.as_of)


def _gate_results(history: History, line: Line) -> ir.Table:
    """When the first result of a counted characteristic at the gate was recorded, by unit."""
    results = valid_at_gate(history.all_versions("inspections"), line)
    return results.group_by("unit_id").agg(result_at=_.recorded_at.min())


def _leaving(history: History, line: Line) -> ir.Table:
    """When it was first recorded that the unit reached a station where it leaves, by unit."""
    visits = history.all_versions("visits").filter(_.station.isin(line.candidates.leave_at))
    return visits.group_by("unit_id").agg(left_at=_.recorded_at.min())


def _dated(found: pd.DataFrame, line: Line, as_of: pd.Timestamp) -> pd.DataFrame:
    cutoff = found["ended_at"] + pd.Timedelta(line.prediction.grace)
    points = pd.DataFrame(
        {
            "unit_id": found["unit_id"],
            "cutoff": cutoff,
            "known_at": cutoff.where(cutoff > found["recorded_at"], found["recorded_at"]),
            "open_until": pd.concat(
                [found["result_at"], found["left_at"], cutoff + pd.Timedelta(line.candidates.max_age)], axis=1
            ).min(axis=1),
        }
    )
    known_already = found["result_at"] <= cutoff
    # before its cutoff, more of a unit may still become known
    points = points[~known_already & (points["known_at"] <= as_of)].sort_values(
        ["cutoff", "unit_id"], ignore_index=True
    )
    points["night"] = first_nights(points["known_at"], points["open_until"], line)
    points.attrs["already_known"] = int(known_already.sum())
    return points


def first_nights(known_at: pd.Series, open_until: pd.Series, line: Line) -> pd.Series:
    """First business date whose `as_of` is not before `known_at`; missing if `open_until` is reached by then."""
    if known_at.empty:
        return pd.Series(dtype=object)
    zone = ZoneInfo(line.timezone)
    first, last = known_at.min().astimezone(zone).date(), known_at.max().astimezone(zone).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 2)]
    moments = pd.DatetimeIndex([line.as_of(day) for day in days]).as_unit("us")
    position = moments.searchsorted(pd.DatetimeIndex(known_at), side="left")
    still_open = moments[position] < pd.DatetimeIndex(open_until)
    nights = np.where(still_open, np.array(days, dtype=object)[position], None)
    return pd.Series(nights, index=known_at.index, dtype=object)


def candidates(points: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Points that a list made at `as_of` [UTC] may name: known by then, and still open.

    Returns
    -------
    DataFrame, shape (n_candidates, 5), with the columns of `points`
    """
    moment = pd.Timestamp(as_of)
    return points[(points["known_at"] <= moment) & (moment < points["open_until"])].reset_index(drop=True)


def whereabouts(history: History, units: pd.Series) -> pd.DataFrame:
    """What units are and where they are, as known at the history's `as_of`.

    Returns
    -------
    DataFrame, shape (n_units, 4), indexed by unit_id
        ``product``; ``station``, ``machine`` and ``since`` [UTC] of the visit that started last.
    """
    wanted = ibis.memtable(pd.DataFrame({"unit_id": units.astype("str")}))
    visits = newest(history.all_versions("visits").semi_join(wanted, "unit_id"), TABLES["visits"].key)
    order = [ibis.desc("started_at"), ibis.desc("recorded_at"), "station"]
    last = visits.mutate(_order=ibis.row_number().over(group_by="unit_id", order_by=order))
    last = last.filter(_._order == 0).select("unit_id", "station", "machine", since="started_at")
    products = newest(history.all_versions("units").semi_join(wanted, "unit_id"), TABLES["units"].key)
    known = wanted.left_join(products.select("unit_id", "product"), "unit_id").drop("unit_id_right")
    return frame(known.left_join(last, "unit_id").drop("unit_id_right")).set_index("unit_id")
