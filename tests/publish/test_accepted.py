"""What a reader of the list was promised, on whole nights: their page, files and manifest."""

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import openpyxl
import pandas as pd
import pytest
from policies import with_policy
from read_page import tags_of, text_of
from small_nights import AS_OF, MODEL, list_of, reference, tables

from qma_predict.learn.promise import PromiseSpread
from qma_predict.publish.lists import bundle

SENSORS = [("press", "force"), ("press", "speed"), ("oven", "heat"), ("oven", "hours")]
COSTS = {"escape": 100.0, "inspection": 2.0, "false_alarm": 1.0}


def page_of(night):
    html = night.contents["risk_list.html"].decode()
    tags_of(html)  # every tag is closed in its order
    return text_of(html)


def csv_of(night):
    return pd.read_csv(io.BytesIO(night.contents["risk_list.csv"]))


def many(count):
    return tables(*[f"u{n:02}" for n in range(count)])


def rising(X):
    """Of units in the order of their heat, risks from 0 to a fifth."""
    return np.linspace(0, 0.2, len(X))


def test_half_the_sensors_missing_degrades_the_list_and_marks_its_units(make_history, tiny_line):
    rows = many(4)
    heats = [row | {"tag": tag} for row in rows["readings"] for tag in ("heat", "hours")]
    history = make_history(rows | {"readings": heats}, as_of=AS_OF)
    good = reference()
    siblings = pd.DataFrame(1.0, good.siblings.index, [f"{at}.{tag}.last" for at, tag in SENSORS]).astype("float32")
    groups = pd.Series({name: name for name in siblings})
    night = list_of(history, tiny_line, units=replace(good, siblings=siblings, groups=groups))
    reason = "2 of 4 sensors are missing for most units: press.force, press.speed"
    assert (night.facts["state"], night.facts["state_reasons"]) == ("DEGRADED", [reason])
    page = page_of(night)
    assert "DEGRADED" in page
    assert reason in page
    assert page.count("2 of 4 sensors are silent") == night.facts["listed"] == 2
    assert csv_of(night)["caution"].tolist() == ["2 of 4 sensors are silent"] * 4


def test_a_night_of_which_no_reading_is_known_reassures_nobody(make_history, tiny_line):
    families = ("product", "route", "readings", "times", "calendar")
    line = tiny_line.model_copy(update={"learning": tiny_line.learning.model_copy(update={"families": families})})
    night = list_of(make_history({"visits": many(4)["visits"]}, as_of=AS_OF), line)
    assert (night.facts["state"], night.facts["listed"], night.facts["not_scored"]) == ("DEGRADED", 0, 4)
    assert "4 of 4 candidates are not scored: no reading of them was known" in night.facts["state_reasons"]
    page = page_of(night)
    assert "none of tonight's candidates could be scored" in page
    assert "no reading was known at its cutoff" in page


def test_a_list_for_other_defects_than_its_model_learnt_says_so(make_history, tiny_line):
    model = replace(MODEL, gate="final", characteristics=("leak",))
    night = list_of(make_history(many(4), as_of=AS_OF), tiny_line, model)
    assert night.facts["state"] == "DEGRADED"
    assert "trained for leak at final, line.toml says leak, size at final" in page_of(night)
    assert night.facts["model"]["characteristics"] == ["leak"]
    of_before = list_of(make_history(many(4), as_of=AS_OF), tiny_line)
    assert not {"gate", "characteristics"} & set(of_before.facts["model"])
    assert of_before.facts["state"] == "OK"


def test_no_defect_ever_seen_makes_a_page_that_says_so(make_history, tiny_line):
    """The model is what a training on good units alone makes (tests/learn/test_training.py)."""
    finding = "boosted_trees: average precision cannot be compared in any block: 0 defects"
    said = {"base_rate": 0.0, "finding": finding, "ranking": "its backtest holds 0 known defects"}
    model = replace(MODEL, contestant="prevalence", is_recipe=False, **said)
    night = list_of(make_history(many(3), as_of=AS_OF), tiny_line, model, lambda X: np.zeros(len(X)))
    assert "no probability; no defect known so far" in page_of(night)
    assert (night.facts["state"], night.facts["expected"]) == ("BASELINE", None)
    assert csv_of(night)["listed"].sum() == tiny_line.list.capacity


def test_every_number_of_the_manifest_follows_from_the_csv(make_history, tiny_line):
    line = with_policy(tiny_line, COSTS, minutes=60, check_minutes=5, audits=0.25)
    spread = PromiseSpread((-0.5, 0.0, 0.7), (0.3, 0.5, 0.2))
    model = replace(MODEL, spread=spread)
    silent = {"unit_id": "silent", "station": "oven", "started_at": "2026-03-02 08:00", "ended_at": "2026-03-02 09:00"}
    rows = many(40)
    night = list_of(make_history(rows | {"visits": [*rows["visits"], silent]}, as_of=AS_OF), line, model, rising)
    csv, said = csv_of(night), json.loads(json.dumps(night.facts))
    scored, listed = csv[csv["score"].notna()], csv[csv["listed"]]
    assert (said["candidates"], said["not_scored"], said["listed"]) == (len(csv), len(csv) - len(scored), len(listed))
    assert (len(csv), len(scored), len(listed)) == (41, 40, 12)  # an hour of checks of five minutes
    assert listed["selected_by"].value_counts().to_dict() == {"rank": 9, "audit": 3}
    kept = PromiseSpread(said["promise_spread"]["shift"], said["promise_spread"]["chance"])
    assert tuple(kept.interval(listed["score"])) == (said["expected"], said["low"], said["high"])
    assert said["random_found"] == pytest.approx(12 * kept.risks(scored["score"]).mean())
    worth = scored[(scored["value"] > 0) & ~scored["listed"]].sort_values("rank")
    assert said["more_hour"] == pytest.approx(kept.risks(worth["score"].head(12)).sum())
    assert said["ten_more"] is None
    assert said["ahead"] == (listed["station"] != line.gate.name).sum()
    value = 100 * scored["score"] - 2 - (1 - scored["score"])
    assert scored["value"].tolist() == pytest.approx(value.tolist(), abs=1e-6)


def test_a_line_that_does_not_say_what_work_a_check_is_is_told_no_minutes(make_history, tiny_line):
    night = list_of(make_history(many(40), as_of=AS_OF), with_policy(tiny_line, capacity=12), MODEL, rising)
    csv, said = csv_of(night), json.loads(json.dumps(night.facts))
    assert csv["minutes"].isna().all()
    assert (said["minutes"], said["more_hour"]) == (None, None)
    next_ten = csv[~csv["listed"]].sort_values("rank")["score"].head(10)
    assert said["ten_more"] == pytest.approx(MODEL.spread.risks(next_ten).sum())
    book = openpyxl.load_workbook(io.BytesIO(night.contents["risk_list.xlsx"]))
    words = " ".join(str(cell.value) for row in book["Read me"].iter_rows() for cell in row)
    for told in (page_of(night), words):
        assert "ten more checks would add" in told
        assert "hour of inspection" not in told
        assert " min)" not in told


def test_a_night_whose_checks_are_not_worth_it_is_a_valid_list_of_none(make_history, tiny_line):
    line = with_policy(tiny_line, COSTS | {"inspection": 50.0}, capacity=2)  # worth it from one half on
    night = list_of(make_history(many(3), as_of=AS_OF), line)
    assert (night.facts["candidates"], night.facts["listed"], night.facts["expected"]) == (3, 0, 0.0)
    assert "no check tonight is worth what it costs" in page_of(night)
    assert len(csv_of(night)) == 3
    assert tags_of(night.contents["check_sheet.html"].decode())
    assert "Check sheet" in openpyxl.load_workbook(io.BytesIO(night.contents["risk_list.xlsx"])).sheetnames


@pytest.mark.parametrize(
    ("first", "hours"),
    [
        (date(2025, 12, 31), [24, 24]),
        (date(2026, 3, 28), [23, 24]),  # summer time begins in the night to the 29th
        (date(2026, 10, 24), [25, 24]),  # and ends in the night to 25 October
    ],
)
def test_at_the_turn_of_the_year_and_the_clock_changes_each_business_date_has_one_list(
    make_lake, tiny_line, tmp_path, first, hours
):
    lake, lists = make_lake({}), tmp_path / "lists"
    model = replace(MODEL, as_of=datetime(2025, 1, 1, tzinfo=UTC))
    days = [first, first + timedelta(days=1)]
    for day in days:
        night = list_of(lake.at(tiny_line.as_of(day)), tiny_line, model, day=day)
        bundle.publish(lists, day, night.contents, facts=night.facts, receipt={})
    assert bundle.published_dates(lists) == days
    facts = [bundle.verify(lists / day.isoformat())["facts"] for day in days]
    assert [one["list_id"] for one in facts] == [f"tiny-{day}" for day in days]
    assert facts[0]["valid_until"] == facts[1]["as_of"]  # neither a gap nor two lists at once
    valid = [pd.Timestamp(one["valid_until"]) - pd.Timestamp(one["as_of"]) for one in facts]
    assert valid == [pd.Timedelta(f"{n} h") for n in hours]
