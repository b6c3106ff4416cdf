"""Nothing recorded after a unit's cutoff changes its features; nothing recorded after `as_of` changes a list.

`scramble` is an adversary: it rewrites, within valid ranges, everything recorded after a moment. The checks built on
it are shown to fail for a family that looks past the cutoff.
"""

import sys
from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import Lake
from qma_predict.features import families
from qma_predict.features.points import candidates, prediction_points
from qma_predict.features.table import feature_table
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.training import train
from qma_predict.publish.night import make_night
from qma_predict.publish.registry import Model

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


@pytest.fixture
def leaking(line, tmp_path, monkeypatch):
    """A line with one family, which takes the largest reading a unit will ever have."""
    (tmp_path / "leaking.py").write_text(
        "from ibis import _\n"
        "def compute(history, points, line):\n"
        '    readings = history.all_versions("readings").inner_join(points, "unit_id")\n'
        '    largest = readings.group_by("point", "station", "tag").agg(largest=_.value.max())\n'
        '    return largest.select("point", "largest", of=largest.station + "." + largest.tag)\n'
    )
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    yield with_families(line, "leaking")
    sys.modules.pop(f"{families.__name__}.leaking")
    del families.leaking


def with_families(line, *names):
    return line.model_copy(update={"learning": line.learning.model_copy(update={"families": names})})


def scramble(frames: Mapping[str, pd.DataFrame], moment: pd.Timestamp, seed: int) -> dict[str, pd.DataFrame]:
    """The tables with another history after a moment: rows changed, deleted and added; what is before stays."""
    rng = np.random.default_rng(seed)
    return {name: _scrambled(name, rows, moment, rng) for name, rows in frames.items()}


def _scrambled(name: str, rows: pd.DataFrame, moment: pd.Timestamp, rng: np.random.Generator) -> pd.DataFrame:
    before, after = rows[rows["recorded_at"] <= moment], rows[rows["recorded_at"] > moment]
    changed = _other_values(name, after[rng.random(len(after)) < 0.7], rng)
    late = rows.sample(len(rows) // 10, random_state=rng)  # corrections, and rows that come late, of old and new
    delay = pd.to_timedelta(rng.integers(1, 5 * 86_400_000_000, len(late)), unit="us")
    late = _other_values(name, late, rng).assign(recorded_at=np.maximum(late["recorded_at"], moment) + delay)
    elsewhere = rng.random(len(late)) < 0.5
    late.loc[elsewhere, "occurred_at"] -= pd.Timedelta("7min")  # another key: a row of its own, not a correction
    both = pd.concat([before, changed, late], ignore_index=True).astype(rows.dtypes)
    return both.drop_duplicates([*TABLES[name].key, "recorded_at"]).sample(frac=1, random_state=rng)


def _other_values(name: str, rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows, order = rows.copy(), rng.permutation(len(rows))
    for column in set(TABLES[name].values) - {"ended_at", "occurred_at"}:
        rows[column] = rows[column].iloc[order].to_numpy()
    if name == "readings":
        rows["value"] = rows["value"] * rng.uniform(0.5, 2, len(rows))
    if name == "visits":  # ended at any moment between start and record, or not at all
        share = rng.uniform(0, 1, len(rows))
        rows["ended_at"] = (rows["started_at"] + share * (rows["recorded_at"] - rows["started_at"])).dt.as_unit("us")
        rows.loc[share < 0.1, "ended_at"] = pd.NaT
        rows["occurred_at"] = rows["ended_at"].fillna(rows["started_at"])
    return rows


def assert_features_do_not_see_past(frames, make, line, points, moment, seed=0):
    """Scramble what was recorded after a moment: features of points with their cutoff by then stay, bit by bit."""
    past = points[points["cutoff"] <= moment]
    assert len(past) > 0
    same, other = (
        feature_table(make(tables).at(END), past, line) for tables in (frames, scramble(frames, moment, seed))
    )
    names = sorted(set(same) | set(other))
    pd.testing.assert_frame_equal(
        other.reindex(columns=names), same.reindex(columns=names), check_exact=True, check_dtype=False
    )


def moment_of(frames, seed):
    """A moment at which a reading was recorded, any but of the first tenth."""
    recorded = frames["readings"]["recorded_at"].sort_values()
    return recorded.iloc[len(recorded) // 10 :].sample(1, random_state=seed).item()


@pytest.fixture(scope="module")
def few(frames):
    """The tables of every eighth unit: a smaller world for checks that make many."""
    chosen = frames["units"]["unit_id"].sort_values().iloc[::8]
    return {name: rows[rows["unit_id"].isin(chosen)] if name in BIRTH else rows for name, rows in frames.items()}


@pytest.fixture(scope="module")
def few_points(few, make, line):
    return prediction_points(make(few).at(END), line)


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


@pytest.mark.parametrize("seed", range(3))
def test_features_do_not_see_past_a_moment(few, make, line, few_points, seed):
    moment = moment_of(few, seed)
    assert_features_do_not_see_past(few, make, line, few_points, moment, seed)


def test_features_of_single_points_do_not_see_past_their_own_cutoff(few, make, line, few_points):
    for seed, row in few_points.sample(4, random_state=5).iterrows():
        alone = few_points[few_points["unit_id"] == row["unit_id"]]
        assert_features_do_not_see_past(few, make, line, alone, row["cutoff"], seed)


def test_the_check_finds_a_family_that_looks_past_the_cutoff(few, make, leaking, few_points):
    moment = moment_of(few, 0)
    with pytest.raises(AssertionError, match="DataFrame"):
        assert_features_do_not_see_past(few, make, leaking, few_points, moment)
    alone = few_points.iloc[[100]]
    with pytest.raises(AssertionError, match="DataFrame"):
        assert_features_do_not_see_past(few, make, leaking, alone, alone["cutoff"].item())


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(100, 140))
def test_features_do_not_see_past_many_moments(few, make, line, few_points, seed):
    moment = moment_of(few, seed)
    assert_features_do_not_see_past(few, make, line, few_points, moment, seed)


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


def small(line, recipe="boosted_trees"):
    """The line with a backtest that four weeks suffice for."""
    learning = line.learning.model_copy(update={"blocks": 1, "block": timedelta(days=5), "recipe": recipe})
    return line.model_copy(update={"learning": learning})


def trained(history, line):
    """The contestants fitted on a history, and what the registry would say of the recipe."""
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
    return model, training.models[recipe].predict


def listed(history, line, day, model, predict):
    night = make_night(history, line, day, model, predict)
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
    chosen = small(line, recipe="logistic")
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
