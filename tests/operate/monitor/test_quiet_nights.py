"""Thirty nights of plants that nobody disturbs: hardly an alarm, though they have their usual incidents."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from published_lists import put_list
from small_plants import model

from qma_predict.data.simulate import simulate
from qma_predict.features.points import prediction_points, whereabouts
from qma_predict.features.table import feature_table
from qma_predict.learn.labels import labels
from qma_predict.learn.promise import CHANCE_ALONE
from qma_predict.learn.reference import Reference
from qma_predict.operate.monitor import monitor
from qma_predict.operate.monitor.rates import BASELINE, JUDGED, charted, persistent
from qma_predict.publish.state import broken_beyond_chance
from qma_predict.review.promises import MIN_CHECKED, MIN_PROMISED

NIGHTS = 30
CAPACITY = 40


def begun(alarms):
    """How many alarms began: one that goes on is the same."""
    return sum(now and not before for now, before in zip(alarms, [False, *alarms], strict=False))


def inspected_units(seed):
    """Day of production, outcome and true risk of the inspected units of a simulated plant."""
    plant = simulate(days=JUDGED + BASELINE + NIGHTS + 2, units_per_day=600, seed=seed)
    passed = plant.inspections.groupby("unit_id")["passed"].all()
    truth = plant.truth.set_index("unit_id").loc[passed.index, "probability"]
    started = plant.units.drop_duplicates("unit_id").set_index("unit_id")["occurred_at"].loc[passed.index]
    day = started.dt.tz_convert("Europe/Berlin").dt.tz_localize(None).dt.normalize()
    return pd.DataFrame({"day": day, "failed": ~passed.astype(bool), "risk": truth})


def process_alarms(units):
    by_day = units.groupby("day")["failed"].agg(["sum", "size"]).iloc[1:-1].reset_index()
    days = pd.DataFrame({"day": by_day["day"], "units": by_day["size"], "defects": by_day["sum"].astype(float)})
    days = days.assign(worth=days["units"].astype(float), rate=days["defects"] / days["units"])
    span = JUDGED + BASELINE
    looks = [days.iloc[night : night + span] for night in range(NIGHTS)]
    return [bool(persistent(charted(look, look["day"].iloc[BASELINE]))) for look in looks]


def promise_alarms(units):
    """Lists of the inspected units with the highest true risk: their promises are right."""
    verdicts = []
    for _day, of in units.groupby("day"):
        listed = of.nlargest(CAPACITY, "risk")
        expected, low, high = CHANCE_ALONE.interval(listed["risk"])
        told = "kept" if low <= listed["failed"].sum() <= high else "broken"
        verdicts.append(told if len(listed) >= MIN_CHECKED and expected >= MIN_PROMISED else "not enough yet")
    newest = pd.Series(verdicts)
    return [
        broken_beyond_chance(newest.iloc[max(end - 30, 0) : end]) for end in range(len(newest) - NIGHTS, len(newest))
    ]


@pytest.mark.proof
def test_right_promises_and_usual_incidents_alarm_less_than_once_in_thirty_nights():
    plants = [inspected_units(seed) for seed in range(20, 28)]
    process, promised = ([begun(of(units)) for units in plants] for of in (process_alarms, promise_alarms))
    assert np.mean(process) <= 0.75  # 0.3 over seeds 0 to 11
    assert np.mean(promised) <= 0.25
    assert np.mean(np.add(process, promised)) <= 1.0


def reference_of(history, line, units, products):
    """Good units of the weeks before, and scores that were right."""
    X = feature_table(history, units, line)
    y = labels(history, units, line)
    good = X.index[(y.reindex(X.index) == 0).to_numpy()]
    groups = pd.Series({name: name for name in X}, dtype="str")
    past = pd.DataFrame({"unit_id": [], "night": [], "score": []})
    return Reference(X.loc[good], products.reindex(good), groups, (), past)


@pytest.mark.proof
def test_thirty_nights_of_the_small_plant_alarm_once_at_most(lake, line, plant_folder, tmp_path):
    """Sources, units and charts as they are; lists by the true risk. Looked at on every third night: each costs 6 s."""
    last = date(2025, 11, 12)
    truth = pd.read_parquet(plant_folder / "truth" / "units.parquet").set_index("unit_id")["probability"]
    days = [last - timedelta(days=ago) for ago in reversed(range(NIGHTS))]
    points = prediction_points(lake.at(line.as_of(last)), line)
    for day in days:
        units = points.loc[(points["night"] == day).to_numpy(), "unit_id"]
        risk = truth.loc[units].sort_values(ascending=False)
        listed = {unit: {"score": float(p), "listed": at < CAPACITY} for at, (unit, p) in enumerate(risk.items())}
        put_list(tmp_path, line, day, listed)
    then = lake.at(line.as_of(days[0]))
    before = prediction_points(then, line)
    reference = reference_of(then, line, before, whereabouts(then, before["unit_id"])["product"])
    told = [monitor(lake.at(line.as_of(day)), line, tmp_path, model(line), reference, day).alarms for day in days[::3]]
    assert begun([bool(one) for one in told]) <= 1
    assert {alarm.partition(":")[0] for one in told for alarm in one} <= {"process", "promises"}
