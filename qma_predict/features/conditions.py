"""What units share with others: machines, lots, suppliers, orders, products, tools, and when they were made."""

from collections.abc import Iterable
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, frame, literal, newest
from qma_predict.features.genealogy import ancestors, consumption
from qma_predict.features.intervals import microseconds, within
from qma_predict.line import Line

WINDOW = 8
"""Length of a time window [h], counted from local midnight."""

PASSING = ("alarm", "warning", "fault")
"""Words in the kind of an event that leaves the machine as it was: nothing new begins with it."""


def conditions(history: History, unit_ids: Iterable[str], line: Line) -> pd.DataFrame:
    """What units share with others, as known at the history's `as_of`.

    Parameters
    ----------
    history : History
    unit_ids : iterable of str
    line : Line
        Of its route are the stations; in its zone are local times.

    Returns
    -------
    DataFrame, shape (n_conditions, 4), sorted by unit_id, attribute and value
        ``unit_id``, ``attribute``, ``value`` (text), and ``occurred_at`` [UTC], when the unit came under the condition.
        Attributes are

        `product` and `order` : when the unit was started
        `{station} machine` : at the start of the stay; one of several stays on a machine, the last
        `{station} {kind}` : the stay's machine since its last event of a kind, such as
          `CNC-2 since tool_change 2025-09-05 14:05` (local time); alarms begin nothing (`PASSING`)
        `{material} lot` and `{material} supplier` : when it was consumed
        `time` : 8-hour window, local, in which the unit left the prediction station

        What a unit inherits from what it was made from has the way before the attribute: `bottom.press machine`.
    """
    own = pd.DataFrame({"unit_id": pd.Series(list(unit_ids), dtype="str")}).drop_duplicates(ignore_index=True)
    parts = _parts(history, own)
    wanted = pd.concat([own["unit_id"], parts["part"]]).drop_duplicates()
    rows = frame(_rows(history, ibis.memtable(wanted.to_frame("unit_id").reset_index(drop=True)), line))
    rows = _named(rows, line)
    inherited = rows[rows["attribute"] != "time"].merge(parts.rename(columns={"unit_id": "whole", "part": "unit_id"}))
    inherited = inherited.assign(unit_id=inherited["whole"], attribute=inherited["way"] + "." + inherited["attribute"])
    rows = pd.concat([rows[rows["unit_id"].isin(own["unit_id"])], inherited[list(rows)]], ignore_index=True)
    rows = rows.sort_values(["unit_id", "attribute", "value", "occurred_at"], kind="stable")
    return rows.drop_duplicates(["unit_id", "attribute", "value"], keep="last", ignore_index=True)


def made_since(history: History, since: datetime) -> pd.Series:
    """Units of which anything happened at `since` [UTC] or later: text, sorted, shape (n_units,)."""
    moment = literal(since)
    visits = history.all_versions("visits")
    found = [visits.filter((_.started_at >= moment) | (_.ended_at >= moment)).select("unit_id")]
    for name in ("units", "materials"):
        found.append(history.all_versions(name).filter(_.occurred_at >= moment).select("unit_id"))
    return ibis.union(*found, distinct=True).to_pandas()["unit_id"].sort_values(ignore_index=True)


def _parts(history: History, own: pd.DataFrame) -> pd.DataFrame:
    """What the units were made from: ``unit_id``, ``part`` and ``way``."""
    consumed = consumption(history)
    points = own.assign(point=np.arange(len(own)), cutoff=history.as_of)
    found = ancestors(points, consumed).rename(columns={"unit_id": "part"})
    return found.merge(points[["point", "unit_id"]], on="point")[["unit_id", "part", "way"]]


def _rows(history: History, units: ir.Table, line: Line) -> ir.Table:
    """Conditions of units: ``unit_id``, ``attribute``, ``value``, ``occurred_at``, and ``since`` of an event."""
    known = {
        name: newest(history.all_versions(name).semi_join(units, "unit_id"), TABLES[name].key)
        for name in ("units", "visits", "materials")
    }
    stays = (
        known["visits"]
        .filter(_.station.isin(line.route))
        .select("unit_id", "station", "machine", "started_at", "ended_at")
    )
    on_machines = stays.filter(_.machine.notnull())
    material = known["materials"].material.fill_null("material")
    pieces = [
        *(_tidy(known["units"], ibis.literal(name), known["units"][column], known["units"].occurred_at)
          for name, column in (("product", "product"), ("order", "order_no"))),
        *(_tidy(known["materials"], material + " " + name, known["materials"][column], known["materials"].occurred_at)
          for name, column in (("lot", "lot_id"), ("supplier", "supplier"))),
        _tidy(on_machines, on_machines.station + " machine", on_machines.machine, on_machines.started_at),
        _windows(stays.filter(_.station == line.prediction.after), line),
        _since_events(on_machines, history),
    ]  # fmt: skip
    return ibis.union(*pieces).filter(_.value.notnull(), _.value != "")


def _tidy(
    rows: ir.Table,
    attribute: ir.Value,
    value: ir.Value,
    occurred_at: ir.Value,
    since: ir.Value | None = None,
) -> ir.Table:
    moment = "timestamp('UTC', 6)"
    return rows.select(
        "unit_id",
        attribute=attribute.cast("string"),
        value=value.cast("string"),
        occurred_at=occurred_at.cast(moment),
        since=ibis.null(moment) if since is None else since.cast(moment),
    )


def _windows(stays: ir.Table, line: Line) -> ir.Table:
    """The end of the stay stands for the window, which pandas names: engines differ in local times."""
    left = stays.filter(_.ended_at.notnull()).group_by("unit_id").agg(ended_at=_.ended_at.min())
    return _tidy(left, ibis.literal("time"), ibis.literal("time"), left.ended_at, left.ended_at)


def _since_events(stays: ir.Table, history: History) -> ir.Table:
    """Each stay with the last event of each kind of its machine by its start."""
    events = history.newest("events").select("machine", "kind", "occurred_at")
    for word in PASSING:
        events = events.filter(~_.kind.lower().contains(word))
    later = ibis.window(group_by=["machine", "kind"], order_by="occurred_at", rows=(1, None))
    end = microseconds(literal(history.as_of)) + 1
    lasting = events.mutate(start=microseconds(_.occurred_at)).mutate(end=_.start.min().over(later).fill_null(end))
    moments = stays.mutate(at=microseconds(_.started_at)).select("unit_id", "station", "machine", "started_at", "at")
    found = within(moments, lasting.rename(since="occurred_at"), by="machine")
    value = found.machine + " since " + found.kind
    return _tidy(found, found.station + " " + found.kind, value, found.started_at, found.since)


def _named(rows: pd.DataFrame, line: Line) -> pd.DataFrame:
    """Rows whose values name the moments of `since` in local time."""
    windows = rows["attribute"] == "time"
    events = rows["since"].notna() & ~windows
    hours = rows["since"][windows].dt.tz_convert(line.timezone).dt.hour // WINDOW * WINDOW
    start, end = (one.astype("int64").astype("str").str.zfill(2) for one in (hours, hours + WINDOW))
    began = _local(rows["since"][events], "%Y-%m-%d %H:%M", line)
    value = rows["value"].astype("str")
    value[windows] = _local(rows["since"][windows], "%Y-%m-%d", line) + " " + start + ":00-" + end + ":00"
    value[events] = value[events] + " " + began
    return rows.assign(value=value).drop(columns="since")


def _local(moments: pd.Series, pattern: str, line: Line) -> pd.Series:
    """Moments as local text; each minute that occurs is written once."""
    codes, minutes = pd.factorize(moments.dt.floor("min"))
    names = pd.DatetimeIndex(minutes).tz_convert(line.timezone).strftime(pattern).to_numpy(dtype=object)
    return pd.Series(names[codes], index=moments.index, dtype="str")
