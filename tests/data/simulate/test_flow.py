import itertools

import numpy as np
import pytest

from qma_predict.data.simulate import simulate
from qma_predict.data.simulate.flow import day_edges, queue
from qma_predict.data.simulate.plant import MACHINE_NAMES, STATIONS
from qma_predict.data.simulate.upkeep import plan_maintenance


def test_a_unit_waits_until_the_machine_is_free():
    assert queue(np.array([0, 1, 2, 50]), np.array([10, 10, 5, 10])).tolist() == [0, 10, 20, 50]


def test_units_are_numbered_in_the_order_of_their_start(plant):
    assert (np.diff(plant.flow.start) >= 0).all()
    assert plant.truth["unit_id"].is_monotonic_increasing
    assert plant.truth["unit_id"].is_unique


def test_weekdays_make_more_than_weekends(plant):
    local = plant.units.drop_duplicates("unit_id")["occurred_at"].dt.tz_convert("Europe/Berlin")
    counts = local.dt.date.value_counts().rename_axis("day").reset_index(name="units")
    weekday = np.array([day.weekday() for day in counts["day"]])
    assert counts["units"][weekday < 5].min() > counts["units"][weekday >= 5].max()
    assert abs(counts["units"].mean() - 400) < 20


def test_all_three_shifts_make_units(plant):
    hour = plant.units["occurred_at"].dt.tz_convert("Europe/Berlin").dt.hour
    assert sorted(hour.unique()) == list(range(24))


def test_stays_follow_the_route(plant):
    times = np.stack([plant.flow.started, plant.flow.ended], axis=2).reshape(plant.flow.start.size, -1)
    assert (np.diff(times, axis=1) > 0).all()
    assert (plant.flow.start < times[:, 0]).all()


@pytest.mark.parametrize("units_per_day", [400, 5000])
def test_a_machine_that_treats_one_unit_at_a_time_never_has_two(units_per_day):
    flow = simulate(days=4, units_per_day=units_per_day, seed=3).flow
    for place, station in enumerate(STATIONS):
        for number in range(len(station.machines)):
            rows = np.flatnonzero(flow.machine[:, place] == number)
            rows = rows[np.argsort(flow.started[rows, place], kind="stable")]
            overlaps = flow.started[rows[1:], place] < flow.ended[rows[:-1], place]
            assert overlaps.any() != station.one_at_a_time


def test_even_a_busy_plant_has_no_queue_of_days(plant):
    hours = (plant.flow.ended[:, -1] - plant.flow.start) / 3600
    assert np.median(hours) < 2.0
    assert hours.max() < 12.0


def test_no_unit_arrives_at_a_machine_that_is_being_maintained(plant):
    edges = day_edges("2025-10-01", 40)
    upkeep = plan_maintenance(1, int(edges[0]), int(edges[-1]))
    casting = [number for number, name in enumerate(MACHINE_NAMES) if name.startswith("DCM")]
    begun = 0
    for event in np.flatnonzero(np.isin(upkeep.machine, casting)):
        started = plant.flow.started[plant.flow.machine[:, 1] == upkeep.machine[event] - casting[0], 1]
        # Those that were queueing already when the maintenance began are still cast.
        begun += ((started > upkeep.began[event] + 1800) & (started < upkeep.ended[event])).sum()
    assert begun == 0


def test_an_order_is_one_product_on_one_casting_cell(plant):
    keys = set(zip(plant.flow.order_no, plant.flow.machine[:, 1], plant.flow.product, strict=True))
    assert len(keys) == np.unique(plant.flow.order_no).size


def test_days_begin_at_local_midnight():
    hours = [int(b - a) // 3600 for a, b in itertools.pairwise(day_edges("2025-10-25", 3))]
    assert hours == [24, 25, 24]
