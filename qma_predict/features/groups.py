"""What units share so closely that one of them tells of another: the shot, the casting or the order they come from."""

import ibis.expr.types as ir
import pandas as pd
from ibis import _

from qma_predict.data.lake import History
from qma_predict.errors import LineError
from qma_predict.line import Line

ORDER, LOT = "order", " lot"


def groups(history: History, points: pd.DataFrame, line: Line) -> pd.Series | None:
    """The group of each unit by the line's `learning.group`, from what was known at its own cutoff.

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line
        Its `learning.group` is `order`, or a material and " lot", such as `casting lot`, as conditions are named.

    Returns
    -------
    Series of str, shape (n_points,), indexed by unit_id in the order of `points`, or None
        Number of the unit's order, or id of the lot of that material which it was made from first; missing where none
        is known. None if the line names no group.

    Raises
    ------
    LineError
        If that is known of no unit.
    """
    name = line.learning.group
    if name is None:
        return None
    rows = _orders(history) if name == ORDER else _lots(history, name)
    found = points[["unit_id", "cutoff"]].merge(rows, on="unit_id")
    found = found[(found["occurred_at"] <= found["cutoff"]) & (found["recorded_at"] <= found["cutoff"])]
    newest = found.sort_values(["recorded_at", "group"], kind="stable").drop_duplicates(["unit_id", "key"], keep="last")
    newest = newest[(newest["name"] == name) & newest["group"].notna()]
    first = newest.sort_values(["occurred_at", "group"]).drop_duplicates("unit_id")
    if first.empty and len(points):
        raise LineError(
            f"{line.file}: learning.group: {name!r} is known of none of {len(points)} units by its cutoff. Expected "
            f"what units of this history share: {', '.join(map(repr, names(history))) or 'it has no orders and lots'}."
        )
    index = pd.Index(points["unit_id"].astype("str"), name="unit_id")
    return first.set_index("unit_id")["group"].astype("str").reindex(index).rename("group")


def _orders(history: History) -> pd.DataFrame:
    units = history.all_versions("units").select("unit_id", "occurred_at", "recorded_at", group="order_no")
    return units.to_pandas().assign(key=ORDER, name=ORDER)


def _lots(history: History, name: str) -> pd.DataFrame:
    """Every version of the rows of which one has been of that material."""
    rows = _materials(history)
    of_it = rows.filter(_.name == name).select("unit_id", "lot_id").distinct()
    found = rows.semi_join(of_it, ["unit_id", "lot_id"])
    return found.select("unit_id", "occurred_at", "recorded_at", "name", key="lot_id", group="lot_id").to_pandas()


def _materials(history: History) -> ir.Table:
    return history.all_versions("materials").mutate(name=_.material.fill_null("material") + LOT)


def names(history: History) -> list[str]:
    """What `learning.group` may name in a history, by what units share in it."""
    lots = _materials(history).select("name").distinct()
    orders = history.all_versions("units").filter(_.order_no.notnull()).limit(1).to_pandas()
    return [*([ORDER] if len(orders) else []), *sorted(lots.to_pandas()["name"])]
