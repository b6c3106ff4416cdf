"""Nothing recorded after a unit's cutoff changes its features; nothing recorded after `as_of` changes a list.

`assert_no_leakage` is shown to hold for every family of the package, and to fail for families that leak.
"""

import re
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pkgutil import iter_modules

import pandas as pd
import pytest

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import SCHEMAS, Lake
from qma_predict.errors import Leakage, NotEnoughData
from qma_predict.features import families
from qma_predict.features.adversary import scramble
from qma_predict.features.leakage import assert_no_leakage
from qma_predict.features.points import candidates, prediction_points
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.reference import make_reference
from qma_predict.learn.training import train
from qma_predict.publish.models.model import Model
from qma_predict.publish.night import Earlier, make_night
from qma_predict.publish.reaction import Scorers

FIRST_DAY = date(2025, 10, 6)
DAYS = 26  # summer time ends within them
END = pd.Timestamp("2026-02-01", tz="UTC")
BIRTH = {"units", "visits", "readings", "materials", "inspections"}


@pytest.fixture(scope="module")
def frames(lake):
    """Tables of the units that were started within four weeks, as frames, and all rows of tags and events."""
    units = lake.read("units")
    started = units["occurred_at"].dt.tz_convert("Europe/Berlin").dt.date
    chosen = units.loc[(started >= FIRST_DAY) & (started < FIRST_DAY + timedelta(days=DAYS)), "unit_id"]
    tables = {name: lake.read(name) for name in TABLES if name != "answers"}
    return {name: rows[rows["unit_id"].isin(chosen)] if name in BIRTH else rows for name, rows in tables.items()}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that puts frames into a lake of their own."""

    def make(frames: Mapping[str, pd.DataFrame]) -> Lake:
        lake = Lake(tmp_path_factory.mktemp("scrambled"))
        for name, rows in frames.items():
            lake.append(name, rows, [])
        return lake

    return make


def moment_of(frames, seed):
    """A moment at which a reading was recorded, any but of the first tenth."""
    recorded = frames["readings"]["recorded_at"].sort_values()
    return recorded.iloc[len(recorded) // 10 :].sample(1, random_state=seed).item()


@pytest.fixture(scope="module")
def few(frames):
    """The tables of every eighth unit: a smaller world for checks that make many."""
    chosen = frames["units"]["unit_id"].sort_values().iloc[::8]
    return {name: rows[rows["unit_id"].isin(chosen)] if name in BIRTH else rows for name, rows in frames.items()}


def test_the_adversary_changes_a_lot_and_nothing_that_was_there(frames):
    moment = moment_of(frames, 1)
    other = scramble(frames, moment, 1)
    for name, rows in frames.items():
        columns = rows.columns.tolist()
        old, new = (table[table["recorded_at"] <= moment].sort_values(columns) for table in (rows, other[name]))
        pd.testing.assert_frame_equal(old.reset_index(drop=True), new.reset_index(drop=True))
    readings = other["readings"].merge(frames["readings"], on=[*TABLES["readings"].key, "recorded_at"], how="outer")
    after = readings[readings["recorded_at"] > moment]
    assert (after["value_x"] != after["value_y"]).mean() > 0.95
    happened = other["readings"]
    assert ((happened["recorded_at"] > moment) & (happened["occurred_at"] < moment)).sum() > 1000


ALL_FAMILIES = tuple(sorted(module.name for module in iter_modules(families.__path__)))
"""Every family of the package: one that is added is checked from then on."""

NOT_HERE = {"inspections"}
"""Families that find nothing in the simulated plant, which has one gate."""


def with_families(line, *names):
    return line.model_copy(update={"learning": line.learning.model_copy(update={"families": names})})


def test_no_family_of_the_package_sees_the_future(lake, line):
    checked = assert_no_leakage(with_families(line, *ALL_FAMILIES), lake.at(END), units=160, moments=2, seed=0)
    assert (len(checked.moments), checked.points > 80, checked.rewritten > 10_000) == (2, True, True)
    assert checked.comparisons > 100 * len(checked.features)


@pytest.mark.parametrize("name", sorted(set(ALL_FAMILIES) - NOT_HERE))
def test_each_family_is_in_the_proof_with_a_feature(lake, line, name):
    checked = assert_no_leakage(with_families(line, name), lake.at(END), units=60, moments=1)
    assert len(checked.features) > 0


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(100, 108))
def test_no_family_of_the_package_sees_the_future_of_many_moments(lake, line, seed):
    assert_no_leakage(with_families(line, *ALL_FAMILIES), lake.at(END), units=600, moments=6, seed=seed)


HEAD = """
import ibis
from ibis import _
from qma_predict.features.families import known
"""
LEAKING = {
    "past_the_cutoff": """
def compute(history, points, line):
    readings = history.all_versions("readings").inner_join(points, "unit_id")
    largest = readings.group_by("point", "station", "tag").agg(ever=_.value.max())
    return largest.select("point", "ever", of=largest.station + "." + largest.tag)
""",
    "recorded_too_late": """
def compute(history, points, line):
    visits = history.all_versions("visits").inner_join(points, "unit_id").filter(_.occurred_at <= _.cutoff)
    return visits.group_by("point", of="station").agg(stays=_.count().cast("float64"))
""",
    "newest_version": """
def compute(history, points, line):
    units = history.newest("units").inner_join(points, "unit_id").filter(_.occurred_at <= _.cutoff)
    return units.select("point", "product", of=ibis.literal("unit_in_the_end"))
""",
    "other_units_later": """
def compute(history, points, line):
    mine = known(history.all_versions("visits").filter(_.station == "cast"), points)
    mine = mine.select("point", "machine", "cutoff")
    results = history.all_versions("inspections").select("unit_id", "passed")
    theirs = history.all_versions("visits").select("unit_id", "machine", "started_at").inner_join(results, "unit_id")
    both = mine.inner_join(theirs, "machine").filter(_.started_at <= _.cutoff)
    return both.group_by("point", of=ibis.literal("cast")).agg(defects=(~_.passed).sum().cast("float64"))
""",
    "clock": """
def compute(history, points, line):
    now = ibis.literal(history.as_of.to_pydatetime()).cast("timestamp('UTC', 6)")
    age = now.delta(points.cutoff, unit="minute").cast("float64")
    return points.select("point", of=ibis.literal("unit"), age=age)
""",
}
MOVES = {
    "past_the_cutoff": r"'cast\.\w+\.ever'",
    "recorded_too_late": r"'\w+\.stays'",
    "newest_version": r"'unit_in_the_end\.product'",
    "other_units_later": r"'cast\.defects'",
    "clock": r"'unit\.age'",
}


@pytest.fixture
def their_families(tmp_path, monkeypatch):
    """Return a function that makes a module of a plant's own, and says its import path."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "leaky_plant").mkdir()

    def make(name, code):
        (tmp_path / "leaky_plant" / f"{name}.py").write_text(HEAD + code)
        return f"leaky_plant.{name}"

    yield make
    for name in [name for name in sys.modules if name.startswith("leaky_plant")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", LEAKING)
def test_the_proof_catches_a_leaking_family_and_names_its_feature(lake, line, their_families, kind):
    leaking = with_families(line, "product", "readings", their_families(kind, LEAKING[kind]))
    told = rf"feature {MOVES[kind]} of unit 'P25-\d+' \(cutoff 2025-.*\) saw what was recorded after 2025-.*: it was "
    with pytest.raises(Leakage, match=told) as caught:
        assert_no_leakage(leaking, lake.at(END), units=100, moments=1)
    assert isinstance(caught.value, AssertionError)
    assert re.search(r"It moved for \d+ of \d+ units, and so did", str(caught.value))


def test_a_family_that_fails_on_another_future_is_told_with_the_reason(lake, line, their_families):
    brittle = """
def compute(history, points, line):
    if str(history.all_versions("readings").recorded_at.max().execute()) > "2025-11-16":
        raise KeyError("unexpected tag")
    return points.select("point", of=ibis.literal("unit"), one=points.point.cast("float64"))
"""
    with pytest.raises(Leakage, match="a family fails once what was recorded after .* KeyError: 'unexpected tag'"):
        assert_no_leakage(with_families(line, their_families("brittle", brittle)), lake.at(END), units=60, moments=1)


def test_a_check_of_nothing_is_refused(lake, line, make_history, their_families):
    with pytest.raises(NotEnoughData, match="0 points"):
        assert_no_leakage(line, make_history({}))
    nothing = """
def compute(history, points, line):
    return points.select("point", of=ibis.literal("unit"), none=ibis.null("float64"))
"""
    with pytest.raises(NotEnoughData, match="0 features"):
        assert_no_leakage(with_families(line, their_families("nothing", nothing)), lake.at(END), units=60, moments=1)


def test_the_adversary_handles_every_table_and_readings_of_machines(make_lake):
    hours = pd.date_range("2026-03-01", periods=50, freq="h", tz="UTC")
    own = dict.fromkeys(["occurred_at", "started_at", "valid_from", "answered_at"], hours)
    rows = pd.DataFrame(own | {"machine": "M1", "tag": "heat", "lot_id": [f"L{n}" for n in range(50)], "passed": True})
    lake = make_lake({name: rows[[column for column in SCHEMAS[name].names if column in rows]] for name in TABLES})
    frames = {name: lake.read(name) for name in TABLES}
    for name, other in scramble(frames, hours[25], 0).items():
        assert (other["recorded_at"] > hours[25]).sum() > 15, name
        assert not other.duplicated([*TABLES[name].key, "recorded_at"]).any()
        assert (other["recorded_at"] <= hours[25]).sum() == 26
        assert not {"M1"} - set(other.get("machine", ["M1"]))
    assert frames.keys() == TABLES.keys()


@pytest.mark.parametrize("seed", range(3))
def test_points_and_candidates_of_a_moment_do_not_see_past_it(few, make, line, seed):
    moment = moment_of(few, seed)
    found = [prediction_points(make(tables).at(END), line) for tables in (few, scramble(few, moment, seed))]
    known = [points[points["known_at"] <= moment] for points in found]
    columns = ["unit_id", "cutoff", "known_at"]
    pd.testing.assert_frame_equal(*(points[columns].reset_index(drop=True) for points in known))
    there = [candidates(points, moment)[columns] for points in found]
    pd.testing.assert_frame_equal(*there)
    assert len(there[0]) > 0


# Lists


def small(line, **learning):
    """The line with a backtest that four weeks suffice for."""
    changed = {"blocks": 1, "block": timedelta(days=5), **learning}
    return line.model_copy(update={"learning": line.learning.model_copy(update=changed)})


def trained(history, line):
    """What the registry would say of the recipe fitted on a history, its prediction, and what explains it."""
    dataset = make_dataset(history, line)
    training = train(dataset)
    recipe = line.learning.recipe
    model = Model(
        line=line.name,
        version="1",
        run_id="run",
        contestant=recipe,
        is_recipe=True,
        as_of=history.as_of.to_pydatetime(),
        base_rate=float(dataset.y.mean()),
        finding=training.verdict.sentence,
    )
    return model, training.models[recipe].predict, make_reference(dataset, training)


def listed(history, line, day, model, predict, reference):
    promises = pd.DataFrame(columns=["business_date", "promised", "low", "high", "listed", "checked", "verdict"])
    night = make_night(
        history, line, day, model, Scorers(predict), reference, Earlier(promises, reference.past.head(0))
    )
    assert night.facts["listed"] > 0
    assert night.facts["candidates"] > night.facts["listed"]
    facts = {name: value for name, value in night.facts.items() if name != "lake_versions"}
    return night.contents, facts


DAY = date(2025, 10, 27)  # the first list after the end of summer time


@pytest.fixture(scope="module")
def champion(frames, make, line):
    """A model of the night before, and its prediction."""
    chosen = small(line)
    return trained(make(frames).at(chosen.as_of(DAY - timedelta(days=1))), chosen)


@pytest.mark.parametrize("seed", range(2))
def test_a_list_by_a_frozen_model_does_not_see_past_its_moment(frames, make, line, champion, seed):
    as_of = line.as_of(DAY)
    other = scramble(frames, pd.Timestamp(as_of), seed)
    first, second = (listed(make(tables).at(as_of), line, DAY, *champion) for tables in (frames, other))
    assert first == second


def test_a_list_by_a_model_retrained_that_night_does_not_see_past_its_moment(frames, make, line):
    chosen = small(line)
    as_of = chosen.as_of(DAY)
    lists = []
    for tables in (frames, scramble(frames, pd.Timestamp(as_of), 9)):
        history = make(tables).at(as_of)
        lists.append(listed(history, chosen, DAY, *trained(history, chosen)))
    assert lists[0] == lists[1]


def test_a_list_whose_past_changes_is_another(frames, make, line, champion):
    """The check can fail: what was recorded in the six hours before the list counts."""
    as_of = line.as_of(DAY)
    other = scramble(frames, pd.Timestamp(as_of) - pd.Timedelta("6h"), 1)
    first, second = (listed(make(tables).at(as_of), line, DAY, *champion) for tables in (frames, other))
    assert first[0]["risk_list.csv"] != second[0]["risk_list.csv"]


def test_the_order_of_rows_and_files_changes_no_byte_of_a_list_or_a_model(frames, make, line):
    chosen = small(line, recipe="sklearn.linear_model.LogisticRegression", parameters={})  # shows the last bit of sums
    as_of = chosen.as_of(DAY)
    lists = []
    for seed in (1, 2):
        shuffled = {name: rows.sample(frac=1, random_state=seed) for name, rows in frames.items()}
        lake = make({name: rows.iloc[: len(rows) // (1 + seed)] for name, rows in shuffled.items()})
        for name, rows in shuffled.items():
            lake.append(name, rows.iloc[len(rows) // (1 + seed) :], [])
        history = lake.at(as_of)
        lists.append(listed(history, chosen, DAY, *trained(history, chosen)))
    assert lists[0] == lists[1]
