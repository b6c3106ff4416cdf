"""A night is a function of the pinned tables, the line and the model; its list never exceeds the capacity."""

import io
import json
import re
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.features.points import prediction_points
from qma_predict.features.table import feature_table
from qma_predict.learn.explanations import feature_groups
from qma_predict.learn.reference import Reference
from qma_predict.publish.models.model import Model
from qma_predict.publish.night import Earlier, make_night
from qma_predict.publish.reaction import Scorers

NO_PROMISES = pd.DataFrame(columns=["business_date", "promised", "low", "high", "listed", "checked", "verdict"])
DAY = date(2025, 10, 27)  # the first list after the end of summer time


def model_of(line, day):
    return Model(
        line=line.name,
        version="1",
        run_id="run",
        contestant="boosted_trees",
        is_recipe=True,
        as_of=line.as_of(day - timedelta(days=1)),
        base_rate=0.03,
        finding="better",
    )


def wash(X):
    """A model, so to say: any function of the features row by row."""
    first = X.select_dtypes("number").fillna(0).to_numpy(dtype=float)
    return 0.5 + 0.5 * np.sin(first @ np.arange(1, first.shape[1] + 1))


def night_of(history, line, day=DAY):
    """A night whose units are compared with the first sixty of the history, as if they were good."""
    some = prediction_points(history, line).head(60)
    X = feature_table(history, some, line)
    past = pd.DataFrame({"unit_id": X.index, "night": day - timedelta(days=9), "score": 0.02})
    reference = Reference(X, X["unit.product"], feature_groups(X), (), past)
    return make_night(
        history, line, day, model_of(line, day), Scorers(wash), reference, Earlier(NO_PROMISES, past.head(0))
    )


@pytest.fixture(scope="module")
def first(lake, line):
    return night_of(lake.at(line.as_of(DAY)), line)


def test_the_same_night_twice_gives_the_same_bytes(lake, line, first):
    again = night_of(lake.at(line.as_of(DAY)), line)
    assert again == first
    assert first.facts["listed"] == line.list.capacity
    assert first.facts["state"] == "OK"


def test_from_the_pinned_versions_a_night_is_the_same_after_more_was_ingested(home_copy, line, first, tmp_path):
    """History that was loaded afterwards changes a replay of a night before the set-up, but not a pinned one."""
    pinned = json.loads(json.dumps(first.facts))["lake_versions"]
    lake = Lake(home_copy.lake(line.name))
    readings = lake.read("readings")
    more = readings[readings["recorded_at"] < line.as_of(DAY)].tail(8_000).drop(columns=["ingested_at", "file_id"])
    more["recorded_at"] += pd.Timedelta("1us")
    more["value"] *= 1.5
    for name in ("occurred_at", "recorded_at"):
        more[name] = more[name].astype("str")
    more.to_csv(tmp_path / "more.csv", index=False)
    source = next(source for source in line.sources if source.table == "readings")
    columns = {"recorded_at": "recorded_at"}
    source = source.model_copy(update={"path": str(tmp_path / "more.csv"), "columns": columns})
    later = pd.Timestamp("2026-01-06", tz="UTC")
    done = ingest(line.model_copy(update={"sources": (source,)}), lake, as_of=later, now=later)
    assert [file.accepted for file in done.files] == [8_000]
    assert night_of(lake.at(line.as_of(DAY), pinned), line) == first
    assert night_of(lake.at(line.as_of(DAY)), line).contents != first.contents


def test_around_the_clock_change_each_business_date_has_one_list(lake, line, first):
    day = DAY - timedelta(days=1)
    before = night_of(lake.at(line.as_of(day)), line, day)
    for date_, facts in ((day, before.facts), (DAY, first.facts)):
        assert facts["list_id"] == f"demo-{date_}"
        assert pd.Timestamp(facts["as_of"]).tz_convert("Europe/Berlin").strftime("%H:%M") == "05:00"
    assert before.facts["valid_until"] == first.facts["as_of"]


@pytest.mark.parametrize(("capacity", "offset"), [(1, -40), (400, 1)])
def test_a_list_is_never_longer_than_the_capacity(lake, line, capacity, offset):
    day = DAY + timedelta(days=offset)
    limited = line.model_copy(update={"list": line.list.model_copy(update={"capacity": capacity})})
    night = night_of(lake.at(limited.as_of(day)), limited, day)
    listed = pd.read_csv(io.BytesIO(night.contents["risk_list.csv"]))["listed"].sum()
    assert listed == night.facts["listed"]
    assert listed == min(capacity, night.facts["candidates"] - night.facts["not_scored"])


def test_days_after_the_plant_stopped_there_is_still_a_list_which_says_why_to_take_care(lake, line):
    day = date(2025, 12, 24)
    facts = night_of(lake.at(line.as_of(day)), line, day).facts
    assert (facts["candidates"], facts["listed"]) == (0, 0)
    assert facts["state"] == "DEGRADED"
    told = [
        re.match(r"the newest (\w+) were recorded [\d.]+ days before the list; on this day of the week", one)
        for one in facts["state_reasons"]
    ]
    assert [one[1] for one in told] == ["visits", "readings"]
