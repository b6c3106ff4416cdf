import numpy as np
import pandas as pd
import pytest

from qma_predict.data.simulate import simulate
from qma_predict.data.simulate.catalogue import TAGS, set_points_of
from qma_predict.data.simulate.plant import STATIONS

COLUMNS = {
    "units": "unit_id product order_no occurred_at recorded_at",
    "visits": "unit_id station machine started_at ended_at recorded_at",
    "tags": "station tag product unit set_point lower upper valid_from",
    "materials": "unit_id lot_id material supplier occurred_at recorded_at",
    "events": "machine kind occurred_at recorded_at text",
    "inspections": "unit_id gate characteristic passed measured lower upper code reason probability"
    " occurred_at recorded_at",
}
READING = ["unit_id", "station", "tag", "occurred_at"]


@pytest.fixture(scope="module")
def readings(tiny):
    return pd.concat([rows.astype({"unit_id": "str"}) for _, rows in tiny.readings()], ignore_index=True)


@pytest.mark.parametrize("table", COLUMNS)
def test_tables_have_the_words_of_the_program_and_utc_times(plant, table):
    frame = getattr(plant, table)
    assert list(frame) == COLUMNS[table].split()
    for name in frame:
        if name.endswith("_at") or name == "valid_from":
            assert str(frame[name].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("table", ["units", "materials", "events", "inspections"])
def test_nothing_is_recorded_before_it_happened(plant, table):
    frame = getattr(plant, table)
    assert (frame["recorded_at"] > frame["occurred_at"]).all()


def test_a_visit_is_recorded_after_its_end_or_open_after_its_start(plant):
    visits = plant.visits
    assert (visits["recorded_at"] > visits["ended_at"].fillna(visits["started_at"])).all()


def test_stays_of_a_unit_follow_each_other(plant):
    visits = plant.visits.sort_values("recorded_at").drop_duplicates(["unit_id", "station", "started_at"], keep="last")
    visits = visits.sort_values(["unit_id", "started_at"])
    same = visits["unit_id"] == visits["unit_id"].shift(-1)
    assert (visits["ended_at"] <= visits["started_at"].shift(-1))[same].all()
    routes = visits.groupby("unit_id", sort=False)["station"].agg(" ".join)
    made = " ".join(station.name for station in STATIONS) + " buffer"
    ways = {f"{made} shipping", f"{made} final shipping", f"{made} final scrap"}
    assert set(routes) == ways


def test_a_stay_in_the_buffer_is_recorded_open_first_and_closed_later(plant):
    buffer = plant.visits[plant.visits["station"] == "buffer"].sort_values("recorded_at")
    assert (buffer.groupby("unit_id").size() == 2).all()
    assert buffer.drop_duplicates("unit_id", keep="first")["ended_at"].isna().all()
    assert buffer.drop_duplicates("unit_id", keep="last")["ended_at"].notna().all()


def test_readings_lie_within_the_visit_of_their_station(tiny, readings):
    visits = tiny.visits[tiny.visits["station"].isin(TAGS)]
    merged = readings.astype({"station": "str"}).merge(visits, on=["unit_id", "station"])
    assert len(merged) == len(readings)
    assert merged["occurred_at"].between(merged["started_at"], merged["ended_at"]).all()
    assert (merged["recorded_at_x"] > merged["occurred_at"]).all()


def test_there_are_more_than_a_hundred_tags_and_about_125_readings_a_unit(tiny, readings):
    tags = readings[["station", "tag"]].drop_duplicates()
    assert len(tags) >= 104
    assert len(tags) == tiny.tags[["station", "tag"]].drop_duplicates().shape[0]
    assert 110 < len(readings.drop_duplicates(READING)) / len(tiny.truth) < 130
    assert sum(tag.readings == 3 for tags in TAGS.values() for tag in tags) == 10


def test_some_readings_are_late_and_some_are_corrected(readings):
    first = readings.drop_duplicates(READING)
    late = first["recorded_at"] - first["occurred_at"] > pd.Timedelta(minutes=15)
    assert 0.015 < late.mean() < 0.06
    again = readings[readings.duplicated(READING, keep=False)].sort_values("recorded_at")
    assert 0.002 < len(again) / 2 / len(first) < 0.004
    pairs = again.groupby(READING, observed=True)
    assert (pairs["value"].nunique() == 2).all()
    assert (pairs["recorded_at"].nunique() == 2).all()


def test_a_correction_gives_the_value_that_the_sensor_saw(tiny, readings):
    last = readings.sort_values("recorded_at").drop_duplicates(READING, keep="last")
    for signals in tiny.signals:
        place = signals.tags.index(signals.tags[-1])
        seen = pd.Series(signals.values[:, place], index=tiny.truth["unit_id"]).dropna()
        rows = last[(last["station"] == signals.station) & (last["tag"] == signals.tags[-1])]
        stored = rows.set_index("unit_id")["value"]
        assert len(stored) == len(seen)
        assert ((stored - seen[stored.index]).abs() <= 0.01 * signals.scale[place]).all()


def test_days_of_readings_hold_what_was_stored_on_them_in_order(tiny):
    days = []
    for day, rows in tiny.readings():
        local = rows["recorded_at"].dt.tz_convert("Europe/Berlin")
        assert (local.dt.date == day).all()
        assert rows["recorded_at"].is_monotonic_increasing
        days.append(day)
    assert days == sorted(set(days))


def test_a_silent_gateway_loses_or_delays_all_readings_of_a_machine(plant):
    lost_visits, held_visits = 0, 0
    for place, signals in enumerate(plant.signals):
        lost = np.isnan(signals.values)
        silent = lost.all(axis=1)
        lost_visits += silent.sum()
        held_visits += (signals.held_until > 0).sum()
        assert lost[~silent].mean() == pytest.approx(0.004, abs=0.0005)
        hours = plant.flow.started[silent, place] // 3600
        assert np.unique(hours).size < silent.sum() / 2  # whole stretches, not units here and there
    assert 0.002 < lost_visits / plant.flow.started.size < 0.03
    assert 0.001 < held_visits / plant.flow.started.size < 0.02


def test_values_follow_the_set_point_of_the_product_and_of_the_time(plant):
    tags = plant.tags.assign(valid_from=plant.tags["valid_from"].astype("int64") // 1_000_000)
    changed = tags[tags["valid_from"] > tags["valid_from"].min()]
    assert changed[["station", "tag"]].drop_duplicates().shape[0] == 5
    row = changed.iloc[0]
    place = [station.name for station in STATIONS].index(row["station"])
    signals, at = plant.signals[place], plant.flow.started[:, place]
    target = set_points_of(tags, row["station"], row["tag"], plant.flow.product, at)
    seen = signals.values[:, signals.tags.index(row["tag"])]
    scale = signals.scale[signals.tags.index(row["tag"])]
    for part in (at < row["valid_from"], at >= row["valid_from"]):
        assert abs(np.nanmean(seen[part] - target[part])) < 1.2 * scale
    step = np.nanmean(target[at >= row["valid_from"]]) - np.nanmean(target[at < row["valid_from"]])
    assert step == pytest.approx(1.5 * scale, abs=0.4 * scale)


def test_some_products_are_booked_wrongly_first(plant):
    units = plant.units.sort_values("recorded_at")
    again = units[units.duplicated("unit_id", keep=False)]
    assert 0.002 < again["unit_id"].nunique() / len(plant.truth) < 0.007
    assert (again.groupby("unit_id")["product"].nunique() == 2).all()


def test_a_lot_lasts_for_days_and_several_hundred_units(plant):
    lots = plant.materials.groupby("lot_id")["occurred_at"].agg(["size", "min", "max"])
    assert 250 < lots["size"].median() < 550
    assert plant.materials["supplier"].nunique() == 3
    assert (plant.materials.groupby("lot_id")["supplier"].nunique() == 1).all()


def test_every_kind_of_event_is_recorded(plant):
    assert set(plant.events["kind"]) == {"tool_change", "maintenance", "alarm"}
    changed = plant.events[plant.events["kind"] == "tool_change"]
    assert changed["machine"].str.startswith("CNC").all()


def test_the_same_seed_gives_the_same_plant_and_another_seed_another():
    first, again, other = (simulate(days=2, units_per_day=60, seed=seed) for seed in (3, 3, 4))
    for table in (*COLUMNS, "truth"):
        pd.testing.assert_frame_equal(getattr(first, table), getattr(again, table))
        assert not getattr(first, table).equals(getattr(other, table))
    for one, two in zip(first.readings(), again.readings(), strict=True):
        pd.testing.assert_frame_equal(one[1], two[1])


@pytest.mark.parametrize("start", ["2025-03-29", "2025-10-26"])
def test_any_size_works(start):
    plant = simulate(days=1, units_per_day=1, seed=1, start=start)
    assert len(plant.truth) == 1
    assert sum(len(rows) for _, rows in plant.readings()) > 50


@pytest.mark.parametrize(("days", "units"), [(0, 10), (10, 0)])
def test_an_empty_plant_is_refused(days, units):
    with pytest.raises(ValueError, match=f"at least 1, found {days} and {units}"):
        simulate(days=days, units_per_day=units)
