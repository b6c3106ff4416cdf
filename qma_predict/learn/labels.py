"""Labels: what the gate decided, as known at a moment, and only once it had time to decide."""

import ibis
import pandas as pd
from ibis import _

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, newest
from qma_predict.line import Line


def labels(history: History, points: pd.DataFrame, line: Line) -> pd.Series:
    """Label of each prediction point as known at the history's `as_of`.

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line
        Its gate: name, counted characteristics and maturity.

    Returns
    -------
    Series of float, shape (n_points,), indexed by unit_id
        1.0 if the first inspection after the cutoff of any counted characteristic failed, in its newest
        correction; 0.0 if all counted characteristics were inspected and passed; missing otherwise, and for
        every unit until cutoff + maturity: defects are often reported sooner than good results, so that the
        newest days would look worse than they are.
    """
    counted = (_.gate == line.gate.name) & _.characteristic.isin(line.gate.characteristics)
    inspections = newest(history.all_versions("inspections").filter(counted), TABLES["inspections"].key)
    cutoffs = ibis.memtable(points[["unit_id", "cutoff"]].astype({"unit_id": "str"}))
    after = inspections.inner_join(cutoffs, "unit_id").filter(_.occurred_at > _.cutoff)
    order = ibis.row_number().over(group_by=["unit_id", "characteristic"], order_by="occurred_at")
    first = after.mutate(_order=order).filter(_._order == 0)
    verdicts = (
        first.group_by("unit_id").agg(failed=(~_.passed).any(), inspected=_.count()).to_pandas().set_index("unit_id")
    )
    verdicts = verdicts.reindex(points["unit_id"])
    label = pd.Series(float("nan"), index=verdicts.index, name="label")
    label[(verdicts["inspected"] == len(set(line.gate.characteristics))).to_numpy()] = 0.0
    label[verdicts["failed"].eq(True).to_numpy()] = 1.0
    mature = points["cutoff"] + pd.Timedelta(line.gate.maturity) <= history.as_of
    return label.where(mature.to_numpy())
