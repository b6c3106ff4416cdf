"""Results of checks that people reported on a list, as rows of inspections at the gate."""

import numpy as np
import pandas as pd

from qma_predict.data.contract import TABLES
from qma_predict.line import Line
from qma_predict.review.answer_checks import RESULTS, UNIT

REASONS = {"rank": "risk list", "audit": "audit"}
"""What `reason` of an inspection says, by why the unit was listed."""


def inspections_of(answers: pd.DataFrame, units: pd.DataFrame, listed: pd.DataFrame, line: Line) -> pd.DataFrame:
    """Inspections that follow from answers.

    An answer with a result is an inspection of each characteristic that the list told to check, or else of all that
    count at the gate. It happened when the first result was answered: a later answer is a correction of it, and not
    another inspection. A unit that was on two lists has an inspection for each, the older list's first where both
    were answered at one moment. A result that is taken back has the first code of `gate.void`. Which of several
    characteristics failed an answer does not say: all have its result, as a unit is defect if any failed.

    Parameters
    ----------
    answers : DataFrame
        All rows of the lake's table `answers`.
    units : DataFrame
        ``list_id`` and ``unit_id`` that are wanted.
    listed : DataFrame
        Of `listed_units`.
    line : Line

    Returns
    -------
    DataFrame, shape (n_inspections, n_columns)
        The columns of `inspections`, ``recorded_at``, and a place: ``row`` and ``column`` (the characteristic).
    """
    wanted = answers.merge(units[UNIT].drop_duplicates(), on=UNIT)
    results = wanted[wanted["code"].isin(list(RESULTS))]
    first = results.sort_values(["recorded_at", "answered_at"], kind="stable").drop_duplicates(UNIT)
    counting = wanted if line.gate.void else results
    last = counting.sort_values(["answered_at", "recorded_at"], kind="stable").drop_duplicates(UNIT, keep="last")
    last_result = results.sort_values(["answered_at", "recorded_at"], kind="stable").drop_duplicates(UNIT, keep="last")
    rows = first[[*UNIT, "answered_at"]].rename(columns={"answered_at": "occurred_at"})
    rows = rows.merge(last[[*UNIT, "code", "recorded_at"]], on=UNIT)
    rows = rows.merge(last_result[[*UNIT, "code"]].rename(columns={"code": "result"}), on=UNIT)
    rows = rows.merge(listed[[*UNIT, "selected_by", "selection_probability", "check"]], on=UNIT)
    rows = rows.sort_values(UNIT, ignore_index=True)
    same = rows.groupby(["unit_id", "occurred_at"]).cumcount()  # on two lists in one file: not one inspection twice
    rows["occurred_at"] += pd.to_timedelta(same, unit="us")
    rows["row"] = np.arange(1, len(rows) + 1)
    rows["characteristic"] = [_characteristics(check, line) for check in rows["check"]]
    rows = rows.explode("characteristic", ignore_index=True)
    void = None if not line.gate.void else line.gate.void[0]
    rows = rows.assign(
        gate=line.gate.name,
        passed=rows["result"].map(RESULTS).astype("boolean"),
        code=pd.Series(void, index=rows.index, dtype="str").mask(rows["code"].isin(list(RESULTS))),
        reason=rows["selected_by"].map(REASONS).astype("str"),
        probability=rows["selection_probability"].astype("float64"),
        column=rows["characteristic"].astype("str"),
        characteristic=rows["characteristic"].astype("str"),
    )
    measures = dict.fromkeys(("measured", "lower", "upper"), np.nan)
    names = [column.name for column in TABLES["inspections"].columns]
    return rows.assign(**measures)[[*names, "recorded_at", "row", "column"]]


def _characteristics(check: object, line: Line) -> list[str]:
    named = [] if pd.isna(check) else [name.strip() for name in str(check).split(",")]
    counted = list(dict.fromkeys(line.gate.characteristics))
    return [name for name in counted if name in named] or counted
