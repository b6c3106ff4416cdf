"""Nights of the tiny line: units whose oven was heated a tenth, two tenths and so on, which are their scores."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from qma_predict.learn.reference import Reference
from qma_predict.publish.models.model import Model
from qma_predict.publish.night import Earlier, Night, make_night
from qma_predict.publish.reaction import Scorers

DAY = date(2026, 3, 3)
AS_OF = pd.Timestamp("2026-03-03 04:00", tz="UTC")
MODEL = Model(
    line="tiny",
    version="3",
    run_id="abc",
    contestant="boosted_trees",
    is_recipe=True,
    as_of=datetime(2026, 3, 1, 4, tzinfo=UTC),
    base_rate=0.02,
    finding="boosted_trees: better",
)


def tables(*units, recorded="2026-03-02 09:00"):
    visits = [
        {"unit_id": unit, "station": "oven", "started_at": "2026-03-02 08:00", "ended_at": "2026-03-02 09:00",
         "recorded_at": recorded}
        for unit in units
    ]  # fmt: skip
    readings = [
        {"unit_id": unit, "station": "oven", "tag": "heat", "occurred_at": "2026-03-02 08:30", "value": number / 10}
        for number, unit in enumerate(units, start=1)
    ]
    return {"visits": visits, "readings": readings}


NOTHING_EARLIER = Earlier(
    promises=pd.DataFrame(columns=["business_date", "promised", "low", "high", "listed", "checked", "found", "pending",
                                   "not_checked", "verdict", "reason"]),
    scores=pd.DataFrame({"unit_id": pd.Series(dtype="str"), "night": [], "score": []}),
)  # fmt: skip


def heat(X):
    return X["oven.heat.last"].to_numpy(dtype=float)


def reference(heats=(0.0,) * 30):
    """Good units that an oven heated so much, and that leave nothing else to compare with."""
    names = pd.Index([f"good-{n}" for n in range(len(heats))], name="unit_id")
    siblings = pd.DataFrame({"oven.heat.last": np.array(heats, dtype="float32")}, index=names)
    products = pd.Series(pd.NA, index=names, dtype="str")
    groups = pd.Series({"oven.heat.last": "oven.heat.last"})
    return Reference(siblings, products, groups, (), NOTHING_EARLIER.scores)


def list_of(history, line, model=MODEL, predict=heat, *, units=None, earlier=NOTHING_EARLIER, day=DAY) -> Night:
    return make_night(history, line, day, model, Scorers(predict), units or reference(), earlier)
