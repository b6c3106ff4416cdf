"""A hundred days of the tiny line, written by hand: two sensors, results a day later, and a list a night."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from published_lists import put_list

from qma_predict.learn.reference import Reference
from qma_predict.line import Line
from qma_predict.publish.models.model import Model, made_by

DAY = date(2026, 3, 30)
AS_OF = pd.Timestamp("2026-03-30 03:00", tz="UTC")
A_DAY = 12
DAYS = 100
Rate = Callable[[int], float]


class Heat:
    """Risk by the oven's heat."""

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return 1 / (1 + np.exp(3 - X["oven.heat.last"].to_numpy(float)))


def plant(
    *,
    rate: Rate = lambda ago: 0.1,
    heat: Callable[[int], float | None] = lambda ago: 0.0,
    tag: str = "heat",
    seed: int = 0,
) -> dict[str, list[dict[str, Any]]]:
    """Rows of all tables. `rate` and `heat` say by days ago how many units fail and where the oven's heat lies."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("units", "visits", "readings", "inspections")}
    for ago in range(DAYS):
        for n in range(A_DAY):
            unit, start = f"u{ago}-{n}", AS_OF - timedelta(days=ago, hours=12) + timedelta(minutes=10 * n)
            rows["units"].append({"unit_id": unit, "product": "AB"[n % 2], "occurred_at": start})
            for hour, station in enumerate(("press", "oven")):
                begun = start + timedelta(hours=hour)
                ended = begun + timedelta(minutes=30)
                rows["visits"].append({"unit_id": unit, "station": station, "started_at": begun, "ended_at": ended})
            values = {("press", "force"): rng.normal(), ("oven", tag): rng.normal()}
            level = heat(ago)
            values["oven", tag] += level or 0.0
            for (station, name), value in values.items():
                if not (name == tag and level is None):
                    at = start + timedelta(hours=station == "oven", minutes=5)
                    rows["readings"].append(
                        {"unit_id": unit, "station": station, "tag": name, "occurred_at": at, "value": value}
                    )
            failed, tested = rng.random() < rate(ago), start + timedelta(days=1)
            rows["inspections"] += [
                {"unit_id": unit, "gate": "final", "characteristic": one, "occurred_at": tested,
                 "passed": not (failed and one == "leak")}
                for one in ("leak", "size") if tested <= AS_OF
            ]  # fmt: skip
    return rows


def publish(folder: Path, line: Line, *, score: float = 0.1, nights: int = 30) -> None:
    """Lists of the last nights, each of the units of the day before it, all with one score."""
    for ago in range(nights):
        put_list(folder, line, DAY - timedelta(days=ago), {f"u{ago}-{n}": score for n in range(A_DAY)})


def reference(*, tag: str = "heat") -> Reference:
    """Good units of the four weeks before the last ten days, as `plant` makes them."""
    units = [f"u{ago}-{n}" for ago in range(10, 38) for n in range(A_DAY)]
    rng = np.random.default_rng(9)
    names = ["press.force.last", f"oven.{tag}.last"]
    X = pd.DataFrame(rng.normal(size=(len(units), 2)).astype("float32"), pd.Index(units, name="unit_id"), names)
    products = pd.Series(["AB"[int(unit.rpartition("-")[2]) % 2] for unit in units], X.index, dtype="str")
    nights = [DAY - timedelta(days=int(unit[1:].partition("-")[0])) for unit in units]
    past = pd.DataFrame({"unit_id": units, "night": nights, "score": 0.1})
    refits = (Heat(), Heat()) if tag == "heat" else ()
    return Reference(X, products, pd.Series({name: name for name in X}, dtype="str"), refits, past)


def model(line: Line, *, is_recipe: bool = True) -> Model:
    return Model(
        line=line.name,
        version="3",
        run_id="r",
        contestant="boosted_trees",
        is_recipe=is_recipe,
        as_of=datetime(2026, 3, 20, 3, tzinfo=UTC),
        base_rate=0.1,
        finding="boosted_trees: better",
        learning=made_by(line),
    )
