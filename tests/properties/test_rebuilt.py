"""The same weeks can be rebuilt as they were known on any day: corrections and late rows count from when they came."""

import pandas as pd
import pytest
from ibis import _

from qma_predict.data.lake import Lake
from qma_predict.learn.dataset import make_dataset

DAYS = [pd.Timestamp(day, tz="UTC") for day in ("2025-10-02 04:00", "2025-10-04 04:00", "2025-11-20 04:00")]


@pytest.fixture(scope="module")
def frames(lake):
    """Everything of a tenth of the units, and all rows of tags and events."""
    chosen = lake.read("units")["unit_id"].drop_duplicates().sort_values().iloc[::10]
    tables = {name: lake.read(name) for name in ("units", "visits", "readings", "materials", "inspections")}
    kept = {name: rows[rows["unit_id"].isin(chosen)] for name, rows in tables.items()}
    return kept | {name: lake.read(name) for name in ("tags", "events")}


def put(frames, folder):
    lake = Lake(folder)
    for name, rows in frames.items():
        if len(rows):
            lake.append(name, rows)
    return lake


def test_what_was_known_on_a_day_is_the_same_whatever_came_later(frames, line, tmp_path):
    """A lake that ends on that day, and the whole one asked as of that day, give the same points, features, labels."""
    whole = put(frames, tmp_path / "whole")
    labelled = []
    for number, day in enumerate(DAYS):
        then = put({name: rows[rows["recorded_at"] <= day] for name, rows in frames.items()}, tmp_path / str(number))
        one, other = make_dataset(then.at(day), line), make_dataset(whole.at(day), line)
        pd.testing.assert_frame_equal(one.points, other.points, check_exact=True)
        pd.testing.assert_frame_equal(one.X, other.X, check_exact=True)
        pd.testing.assert_series_equal(one.y, other.y, check_exact=True)
        labelled.append(int(one.y.count()))
    assert labelled[0] < labelled[1] < labelled[2]


def test_a_correction_counts_from_when_it_came(frames, tmp_path):
    """A product that was booked wrongly is wrong as of the day before its correction, and right as of the day after."""
    lake = put({"units": frames["units"]}, tmp_path / "units")
    rows = frames["units"].sort_values(["unit_id", "recorded_at"])
    second = rows[rows.duplicated("unit_id")]
    assert len(second) > 0
    for unit, at, product in second[["unit_id", "recorded_at", "product"]].itertuples(index=False):
        first = rows.loc[rows["unit_id"] == unit, "product"].iloc[0]
        for moment, known in ((at - pd.Timedelta("1s"), first), (at, product)):
            newest = lake.at(moment).newest("units").filter(_.unit_id == unit).to_pandas()
            assert newest["product"].tolist() == [known]
            assert first != product
