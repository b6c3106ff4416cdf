"""What units were made from, so that they inherit its features."""

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.lake import History

LEVELS = 8
"""How far back a unit inherits: a part of a part of a part is three levels."""

_TABLES = ("units", "visits", "readings", "inspections")


def consumption(history: History) -> pd.DataFrame:
    """Rows of `materials` on the way from units to those lots and sub-assemblies that have rows of their own.

    Parameters
    ----------
    history : History

    Returns
    -------
    DataFrame, shape (n_rows, 6)
        ``unit_id``, ``lot_id``, ``material``, ``occurred_at`` and ``recorded_at``, every version; ``known_at``, when
        the first row of the lot's own was known, missing if only what it was made from has any. Empty where no lot
        leads to one, as where lots are bought.
    """
    return history.once("consumption", lambda: _consumption(history))


def _consumption(history: History) -> pd.DataFrame:
    materials = history.all_versions("materials")
    materials = materials.select("unit_id", "lot_id", "material", "occurred_at", "recorded_at")
    lots = materials.select(unit_id="lot_id").distinct()
    own = [
        history.all_versions(name)
        .semi_join(lots, "unit_id")
        .group_by("unit_id")
        .agg(known_at=ibis.greatest(_.recorded_at, _.occurred_at).min())
        for name in _TABLES
    ]
    known_at = ibis.union(*own).group_by("unit_id").agg(known_at=_.known_at.min()).to_pandas()
    known_at = known_at.set_index("unit_id")["known_at"]
    wanted, seen, levels = known_at.index, known_at.index, []
    while len(wanted):
        some = ibis.memtable(pd.DataFrame({"lot_id": wanted.astype("str")}))
        levels.append(materials.semi_join(some, "lot_id").to_pandas())
        wanted = pd.Index(levels[-1]["unit_id"].unique()).difference(seen)
        seen = seen.union(wanted)
    if not levels:
        return materials.limit(0).mutate(known_at="recorded_at").to_pandas()
    rows = pd.concat(levels, ignore_index=True)
    return rows.assign(known_at=known_at.reindex(rows["lot_id"]).array)  # map fails where both are empty


def ancestors(points: pd.DataFrame, consumed: pd.DataFrame) -> pd.DataFrame:
    """What each point's unit was made from, as known at its cutoff, through all levels.

    Parameters
    ----------
    points : DataFrame
        ``point``, ``unit_id`` and ``cutoff``.
    consumed : DataFrame
        As `consumption` gives it.

    Returns
    -------
    DataFrame, shape (n_ancestors, 4)
        ``point``, ``cutoff``; ``unit_id`` of the ancestor, one of which something was known at the cutoff; ``way``,
        the materials from the unit to it, such as `cylinder.bottom`, `part` where a material has no name. A way that
        leads back to where it was ends there.
    """
    frontier, found = points[["point", "unit_id", "cutoff"]].assign(way=""), []
    for level in range(LEVELS):
        passed = [f"passed_{n}" for n in range(level + 1)]
        frontier = frontier.rename(columns={"unit_id": passed[-1]}).assign(row=np.arange(len(frontier)))
        step = frontier.merge(consumed, left_on=passed[-1], right_on="unit_id").drop(columns="unit_id")
        step = step[(step["occurred_at"] <= step["cutoff"]) & (step["recorded_at"] <= step["cutoff"])]
        step = step.sort_values("recorded_at", kind="stable").drop_duplicates(["row", "lot_id"], keep="last")
        step = step[~step[passed].eq(step["lot_id"], axis=0).any(axis=1)]
        if step.empty:
            break
        way = step["way"] + "." + step["material"].fillna("part")
        step = step.assign(way=way.str.removeprefix(".")).rename(columns={"lot_id": "unit_id"})
        found.append(step.loc[step["known_at"] <= step["cutoff"], ["point", "cutoff", "unit_id", "way"]])
        frontier = step[["point", "unit_id", "cutoff", "way", *passed]]
    if not found:
        return points[["point", "cutoff", "unit_id"]].head(0).assign(way="")
    return pd.concat(found, ignore_index=True).drop_duplicates(["point", "unit_id", "way"])


def inherited(rows: ir.Table, parts: ir.Table) -> ir.Table:
    """Rows of a family for ancestors as rows for the points that descend from them.

    Parameters
    ----------
    rows : Table
        ``point``, which numbers an ancestor and a cutoff, ``of`` and statistics.
    parts : Table
        ``ancestor``, such a number; ``point``; ``way``.

    Returns
    -------
    Table
        ``point``, ``of`` with the way before it, and statistics. Of several parts on the same way, numbers are the
        mean, and a text is there if all parts that have one agree.
    """
    joined = rows.rename(ancestor="point").inner_join(parts, "ancestor")
    joined = joined.mutate(of=joined.way + "." + joined.of)
    statistics = [name for name in rows.columns if name not in ("point", "of")]
    return joined.group_by("point", "of").agg(**{name: _one(joined[name]) for name in statistics})


def _one(values: ir.Column) -> ir.Column:
    if values.type().is_string():
        return (values.min() == values.max()).ifelse(values.min(), None)
    # a sorted list is added up from its start: the order of rows changes no bit
    return values.cast("float64").collect().sort().means()
