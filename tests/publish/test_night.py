import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from policies import with_policy
from small_nights import AS_OF, DAY, MODEL, NOTHING_EARLIER, heat, list_of, reference, tables

from qma_predict.errors import ModelError
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.trust import RiskRanges
from qma_predict.publish import night as published_night
from qma_predict.publish.reaction import Reaction


def rows(night):
    return pd.read_csv(io.BytesIO(night.contents["risk_list.csv"]))


def test_the_files_of_a_night_and_what_its_manifest_says(make_history, tiny_line):
    night = list_of(make_history(tables("a", "b", "c"), as_of=AS_OF), tiny_line)
    assert sorted(night.contents) == [
        "check_sheet.html", "risk_list.csv", "risk_list.html", "risk_list.xlsx", "scores.parquet",
        "shadow.parquet",
    ]  # fmt: skip
    listed = rows(night).query("listed")
    assert listed[["unit_id", "rank", "score"]].to_numpy().tolist() == [["c", 1, 0.3], ["b", 2, 0.2]]
    expected = {
        "business_date": "2026-03-03",
        "as_of": "2026-03-03T04:00:00+00:00",
        "valid_until": "2026-03-04T04:00:00+00:00",
        "list_id": "tiny-2026-03-03",
        "state": "OK",
        "data_until": "2026-03-02T09:00:00+00:00",
        "tables": 5,
        "nothing_in": ["inspections", "tags", "units"],
        "capacity": 2,
        "candidates": 3,
        "listed": 2,
        "not_scored": 0,
        "lake_versions": {"visits": 0, "readings": 0},
        "line_digest": tiny_line.digest,
        "base_rate": 0.02,
    }
    assert {name: night.facts[name] for name in expected} == expected
    said = b"recorded up to Mon 2 Mar 10:00 in 2 of 5 tables, nothing in inspections, tags, units"
    assert said in night.contents["risk_list.html"]
    assert night.facts["expected"] == pytest.approx(0.5)
    assert night.facts["random_found"] == pytest.approx(0.4)  # two checks at the mean of 0.1, 0.2 and 0.3
    assert night.facts["model"]["version"] == "3"
    json.dumps(night.facts)


def test_the_ranges_of_the_model_are_in_the_files_and_in_the_manifest(make_history, tiny_line):
    model = replace(MODEL, ranges=RiskRanges((0.1, 0.3), (0.0, 0.2), (0.2, 0.4)))
    night = list_of(make_history(tables("a", "b", "c"), as_of=AS_OF), tiny_line, model, heat)
    assert rows(night)[["risk_low", "risk_high"]].to_numpy().tolist() == [[0.2, 0.4], [0.1, 0.3], [0.0, 0.2]]
    assert night.facts["model"]["ranges"] == {"score": [0.1, 0.3], "low": [0.0, 0.2], "high": [0.2, 0.4]}
    assert b"30 in 100 (20-40)" in night.contents["risk_list.html"]


def test_the_page_has_each_reason_as_the_data_file_has_it(make_history, tiny_line):
    range_of = {"station": "oven", "tag": "heat", "plausible_high": 0.05, "valid_from": "2026-03-01"}
    history = make_history(tables("a", "b", "c") | {"tags": [range_of]}, as_of=AS_OF)
    night = list_of(history, tiny_line, units=reference(np.arange(30) / 1_000))
    reasons = rows(night).query("listed")["because"].tolist()
    assert reasons[0] == "check sensor heat first: heat 0.3, plausible up to 0.05"
    whys = re.findall('<span class="why">([^<]*)</span>', night.contents["risk_list.html"].decode())
    assert whys == reasons


def test_a_promise_that_follows_the_models_own_lists_says_of_how_many_nights(make_history, tiny_line):
    history = make_history(tables("a", "b", "c"), as_of=AS_OF)
    spread = PromiseSpread((0.0,), (1.0,), nights=7)
    for reaction, nights in (
        (Reaction(spread=spread), 7),
        (Reaction(), 0),
        (Reaction(spread=spread, ranking="broken promises"), 0),
    ):
        earlier = replace(NOTHING_EARLIER, reaction=reaction)
        assert list_of(history, tiny_line, earlier=earlier).facts["own_nights"] == nights


def test_a_ranking_promises_no_number_of_defects_anywhere(make_history, tiny_line):
    model = replace(MODEL, ranking="its backtest holds 3 known defects")
    night = list_of(make_history(tables("a", "b", "c"), as_of=AS_OF), tiny_line, model, heat)
    assert [night.facts[name] for name in ("expected", "low", "high", "random_found")] == [None] * 4
    assert night.facts["ranking"] == "its backtest holds 3 known defects"
    assert set(rows(night)["score_is"]) == {"ranking"}
    assert b"riskier than 2 of 3" in night.contents["risk_list.html"]


def test_a_model_that_knows_more_than_the_night_is_refused(make_history, tiny_line):
    history = make_history(tables("a"), as_of=AS_OF)
    same = replace(MODEL, as_of=AS_OF.to_pydatetime())
    assert list_of(history, tiny_line, same, heat).facts["listed"] == 1
    later = replace(MODEL, as_of=datetime(2026, 3, 3, 4, 0, 0, 1, tzinfo=UTC))
    with pytest.raises(ModelError, match="v3 was trained with what was known at.*qma train tiny --date 2026-03-03"):
        list_of(history, tiny_line, later, heat)


def test_without_candidates_there_is_a_list_that_says_so(make_history, tiny_line):
    readings = {"unit_id": "x", "station": "oven", "tag": "heat", "value": 1.0, "occurred_at": "2026-03-02 20:00"}
    visit = {"unit_id": "x", "station": "press", "started_at": "2026-03-02 20:00"}
    history = make_history({"visits": [visit], "readings": [readings]}, as_of=AS_OF)
    night = list_of(history, tiny_line)
    assert rows(night).empty
    assert (night.facts["candidates"], night.facts["listed"], night.facts["random_found"]) == (0, 0, None)
    assert night.facts["state"] == "OK"
    assert b"there are no candidates tonight" in night.contents["risk_list.html"]
    assert pd.read_parquet(io.BytesIO(night.contents["scores.parquet"])).empty


def test_before_any_data_there_is_a_list_that_is_to_be_used_with_care(make_history, tiny_line):
    facts = list_of(make_history({}, as_of=AS_OF), tiny_line).facts
    assert facts["state"] == "DEGRADED"
    assert facts["state_reasons"] == ["no visits are known", "no readings are known"]
    assert facts["data_until"] is None


@pytest.mark.parametrize(
    ("recorded", "state", "reasons"),
    [
        ("2026-03-02 04:00", "OK", []),
        (
            "2026-03-02 03:59:59",
            "DEGRADED",
            [
                "the newest visits were recorded 24 hours before the list; what is usual is not known yet, and more "
                "than 24 hours is taken to be late"
            ],
        ),
    ],
)
def test_a_list_on_old_data_is_to_be_used_with_care(make_history, tiny_line, recorded, state, reasons):
    reading = {"unit_id": "u", "station": "oven", "tag": "heat", "value": 0.1}
    readings = [reading | {"occurred_at": at} for at in ("2026-03-01 08:30", "2026-03-02 04:00")]
    visit = {"unit_id": "u", "station": "oven", "started_at": "2026-03-01 08:00", "ended_at": "2026-03-01 09:00"}
    history = make_history({"visits": [visit | {"recorded_at": recorded}], "readings": readings}, as_of=AS_OF)
    facts = list_of(history, tiny_line, MODEL, lambda X: np.zeros(len(X))).facts
    assert (facts["state"], facts["state_reasons"]) == (state, reasons)


def test_a_line_without_a_source_of_readings_does_not_miss_them(make_history, tiny_line):
    sources = tuple(source for source in tiny_line.sources if source.table != "readings")
    learning = tiny_line.learning.model_copy(update={"families": ("route",)})
    line = tiny_line.model_copy(update={"sources": sources, "learning": learning})
    history = make_history({"visits": tables("a")["visits"]}, as_of=AS_OF)
    facts = list_of(history, line, MODEL, lambda X: np.zeros(len(X))).facts
    assert (facts["state"], facts["state_reasons"]) == ("OK", [])


def test_what_that_nights_ingest_could_not_read_is_said_once(make_history, tiny_line):
    problems = [
        {"table": "readings", "problem": "readings: no file", "ingested_at": "2026-03-03 04:00"},
        {"table": "readings", "problem": "readings: no file", "ingested_at": "2026-03-02 04:00:01"},
        {"table": "units", "problem": "old trouble", "ingested_at": "2026-03-02 04:00"},
        {"table": "units", "problem": "trouble to come", "ingested_at": "2026-03-03 04:00:01"},
    ]
    history = make_history(tables("a") | {"problems": problems}, as_of=AS_OF)
    facts = list_of(history, tiny_line).facts
    assert (facts["state"], facts["state_reasons"]) == ("DEGRADED", ["readings: no file"])


def test_a_list_by_a_simple_rule_says_why_first(make_history, tiny_line):
    rule = replace(MODEL, contestant="recent_rate", is_recipe=False, finding="boosted_trees: not distinguishable")
    history = make_history(tables("a", recorded="2026-03-03 04:01"), as_of=AS_OF)
    facts = list_of(history, tiny_line, rule, heat).facts
    assert facts["state"] == "BASELINE"
    assert facts["state_reasons"] == [
        "no model in use was shown to be better than the simple rule: boosted_trees: not distinguishable",
        "no visits are known",
    ]


def test_data_that_were_first_seen_after_the_night_are_not_in_it(make_lake, tiny_line):
    lake = make_lake(tables("a"), set_up="2026-03-02 12:00")
    late = make_lake(tables("late"), set_up="2026-03-03 04:00:01")
    for name in ("visits", "readings"):
        lake.append(name, late.read(name), [])
    assert rows(list_of(lake.at(AS_OF), tiny_line))["unit_id"].tolist() == ["a"]


def test_odd_names_stay_data(make_history, tiny_line):
    night = list_of(make_history(tables("<script>alert(1)</script>"), as_of=AS_OF), tiny_line)
    assert b"<script>alert" not in night.contents["risk_list.html"]


def test_issues_are_looked_for_against_scores_on_tonights_scale(make_history, tiny_line, monkeypatch):
    """Where the level of the model is moved, the scores of the weeks before are moved as far."""
    compared = []
    monkeypatch.setattr(published_night, "why_none", lambda past, night: "")
    monkeypatch.setattr(published_night, "find_issues", lambda _, __, past, *___, **____: compared.append(past) or [])
    past = pd.DataFrame({"unit_id": ["p"], "night": [DAY - timedelta(days=1)], "score": [0.2]})
    for moved in (0.0, float(np.log(2))):
        earlier = replace(NOTHING_EARLIER, scores=past, reaction=Reaction(moved=moved))
        list_of(make_history(tables("a", "b", "c"), as_of=AS_OF), tiny_line, earlier=earlier)
    assert [found["score"].item() for found in compared] == pytest.approx([0.2, 1 / 3])


def test_again_is_said_of_what_an_earlier_list_named_and_not_of_what_was_a_candidate(make_history, tiny_line):
    """The units are candidates for the second night."""
    history, day = make_history(tables("a", "b", "c"), as_of=AS_OF + timedelta(days=1)), DAY + timedelta(days=1)
    first = list_of(history, tiny_line, day=day)
    assert rows(first)["first_night"].tolist() == [str(DAY)] * 3
    assert b"again, since" not in first.contents["risk_list.html"]
    listed = pd.Series({"c": DAY, "a": DAY})  # of them the list names c alone
    later = list_of(history, tiny_line, day=day, earlier=replace(NOTHING_EARLIER, listed=listed))
    assert later.contents["risk_list.html"].count(b"again, since Tue 3 Mar") == 1
    assert later.contents["risk_list.csv"] == first.contents["risk_list.csv"]


def test_a_unit_that_was_in_a_draw_before_keeps_its_probability(make_history, tiny_line):
    line = with_policy(tiny_line, capacity=2, audits=0.5)
    earlier = replace(NOTHING_EARLIER, drawn=pd.Series({"a": 0.125}))
    found = rows(list_of(make_history(tables("a", "b", "c"), as_of=AS_OF), line, earlier=earlier)).set_index("unit_id")
    assert found["selected_by"].dropna().to_dict() == {"c": "rank", "b": "audit"}
    assert found["selection_probability"].to_dict() == {"c": 1.0, "b": 1.0, "a": 0.125}
