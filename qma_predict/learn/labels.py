"""Labels: what the gate decided, as known at a moment, and only once it had time to decide."""

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, newest
from qma_predict.data.results import at_gate
from qma_predict.line import Line

STATES = ("pending", "good", "defect", "disputed", "void")

_VALUE = {"good": 0.0, "defect": 1.0}


def labels(history: History, points: pd.DataFrame, line: Line) -> pd.Series:
    """Label of each prediction point as known at the history's `as_of`.

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line
        Its gate: name, counted characteristics, maturity, and codes of disputed and void results.

    Returns
    -------
    Series of float, shape (n_points,), indexed by unit_id
        1.0 where `label_states` says defect, 0.0 where it says good, missing otherwise.
    """
    return values_of(label_states(history, points, line))


def values_of(states: pd.Series) -> pd.Series:
    """Labels of states: 1.0 defect, 0.0 good, missing for the others.

    Examples
    --------
    >>> values_of(pd.Series(["defect", "good", "void"])).tolist()
    [1.0, 0.0, nan]
    """
    return states.map(_VALUE).astype(float).rename("label")


def label_states(history: History, points: pd.DataFrame, line: Line) -> pd.Series:
    """State of each point's label as known at the history's `as_of`.

    Parameters
    ----------
    history, points, line
        As `labels` has them.

    Returns
    -------
    Series of str, shape (n_points,), indexed by unit_id
        ``defect`` if the first valid inspection after the cutoff of any counted characteristic failed, in its newest
        correction, and is not disputed; else ``disputed`` if a characteristic is; else ``good`` if all counted
        characteristics were inspected and passed; ``void`` if there are results, but no valid one; ``pending``
        otherwise, and for every unit until cutoff + maturity: defects are often reported sooner than good results,
        so that the newest days would look worse than they are.

    Notes
    -----
    A result is void while its newest version has a code of `gate.void`: the inspection failed, not the unit. It
    counts as if it had not been there, and the next one of the characteristic decides.

    A characteristic is disputed while a valid result of it, the first or a later one, has a code of `gate.disputed`.
    That a later result contradicts the first is no dispute by itself: a correction replaces it, and a re-inspection,
    of which nobody says that it was of the same piece in the same state, comes too late.
    """
    found = results(history, points, line)
    units = deciding(found).group_by("unit_id")
    verdicts = units.agg(
        failed=(~_.passed & ~_.disputed).any(), disputed=_.disputed.any(), inspected=_.count()
    ).to_pandas()
    verdicts = verdicts.set_index("unit_id").reindex(points["unit_id"])
    there = points["unit_id"].isin(found.select("unit_id").distinct().to_pandas()["unit_id"]).to_numpy()
    state = pd.Series("pending", index=verdicts.index, name="state", dtype="str")
    state[(verdicts["inspected"] == len(set(line.gate.characteristics))).to_numpy()] = "good"
    state[verdicts["disputed"].eq(True).to_numpy()] = "disputed"
    state[verdicts["failed"].eq(True).to_numpy()] = "defect"
    state[there & verdicts["inspected"].isna().to_numpy()] = "void"
    mature = points["cutoff"] + pd.Timedelta(line.gate.maturity) <= history.as_of
    return state.where(mature.to_numpy(), "pending")


def results(history: History, points: pd.DataFrame, line: Line) -> ir.Table:
    """Newest version of each counted result at the gate after the unit's cutoff.

    Returns
    -------
    Table
        The columns of `inspections`, ``cutoff``, and the flags ``void`` and ``disputed`` by the result's code.
    """
    return newest(versions(history, points, line), TABLES["inspections"].key)


def versions(history: History, points: pd.DataFrame, line: Line) -> ir.Table:
    """`results` with every version of each, as it was recorded."""
    inspections = at_gate(history.all_versions("inspections"), line)
    cutoffs = ibis.memtable(points[["unit_id", "cutoff"]].astype({"unit_id": "str"}))
    after = inspections.inner_join(cutoffs, "unit_id").filter(_.occurred_at > _.cutoff)
    code = after.code.fill_null("")
    return after.mutate(void=code.isin(line.gate.void), disputed=code.isin(line.gate.disputed))


def deciding(found: ir.Table, *also: str) -> ir.Table:
    """Of `results`, the first valid one of each unit and characteristic; ``disputed`` if any valid one of it is.

    Of each value of the columns `also` apart, where there are any.
    """
    of_one = ["unit_id", "characteristic", *also]
    valid = found.filter(~_.void)
    order = ibis.row_number().over(group_by=of_one, order_by="occurred_at")
    disputed = valid.disputed.any().over(group_by=of_one)
    return valid.mutate(_order=order, disputed=disputed).filter(_._order == 0).drop("_order")
