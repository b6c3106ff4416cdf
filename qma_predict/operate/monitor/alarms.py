"""What people are to be told: little, and only what calls for an act.

Data that hinders tonight's list, promises that were broken more often than chance allows, and a defect rate that stays
beyond its limits. Drift of features or scores, single signals of charts, unusual volumes and late rows are shown, and
alarm nobody.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn.reference import Reference
from qma_predict.line import Line
from qma_predict.operate.monitor.rates import persistent
from qma_predict.publish.models.model import Model
from qma_predict.publish.state import broken_beyond_chance, state_of

MOST = 5
"""Alarms at most; the last one then says how many more there are."""


def alarms(
    history: History,
    line: Line,
    model: Model,
    reference: Reference,
    *,
    fresh: Mapping[str, datetime | None],
    X: pd.DataFrame,
    promises: pd.DataFrame,
    rates: pd.DataFrame,
) -> tuple[str, ...]:
    """Return the alarms of a business date as sentences, the most urgent first; none on most nights.

    Parameters
    ----------
    history : History
        As of the business date.
    line : Line
    model : Model
    reference : Reference
    fresh : mapping of str to datetime or None
        When something was last recorded in each table of the line.
    X : DataFrame, shape (n_units, n_features)
        Features of the candidates.
    promises : DataFrame
        Of `qma_predict.review.promises.promises`.
    rates : DataFrame
        Of `qma_predict.operate.monitor.rates.defect_rates`.

    Returns
    -------
    tuple of str
        `MOST` at most.
    """
    # what the data alone says: no model, and no promises
    _state, of_data = state_of(
        history, line, replace(model, is_recipe=True), fresh=fresh, X=X, siblings=reference.siblings,
        promises=pd.DataFrame(),
    )  # fmt: skip
    said = [f"data: {reason}" for reason in of_data]
    said += [f"promises: {one}" for one in [_broken(promises)] if one]
    said += [f"process: {one}" for one in [persistent(rates)] if one]
    if len(said) > MOST:
        said = [*said[: MOST - 1], f"and {len(said) - MOST + 1} more"]
    return tuple(said)


def _broken(promises: pd.DataFrame) -> str:
    if promises.empty or not broken_beyond_chance(promises["verdict"]):
        return ""
    told = promises[promises["verdict"].isin(["kept", "broken"])]
    broken = told[told["verdict"] == "broken"]
    more = int((broken["found"] > broken["high"]).sum())
    sides = f"{more} found more than promised, {len(broken) - more} fewer"
    return f"{len(broken)} of the last {len(told)} that can be judged were broken, beyond chance: {sides}"
