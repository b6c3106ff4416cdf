import dataclasses
import hashlib

import pandas as pd
import pyarrow.parquet as pq
import pytest

from qma_predict.data.simulate import simulate, write_plant
from qma_predict.errors import SourceError

GERMAN = "%d.%m.%Y %H:%M:%S"


def read_all(folder, pattern, **habits):
    files = sorted(folder.glob(pattern))
    return pd.concat([pd.read_csv(file, dtype="str", **habits) for file in files], ignore_index=True)


def test_the_folder_holds_the_files_of_a_plant_and_apart_from_them_the_truth(written):
    names = sorted(str(file.relative_to(written)) for file in written.rglob("*") if file.is_file())
    monthly = [name for name in names if "readings-" not in name]
    assert monthly == [
        "plant/erp/materials-2025-10.csv.gz",
        "plant/historian/tags.csv",
        "plant/maintenance/events.csv",
        "plant/mes/units-2025-10.csv",
        "plant/mes/visits-2025-10.csv.gz",
        "plant/mes/visits-2025-11.csv.gz",
        "plant/quality/inspections-2025-10.csv",
        "plant/quality/inspections-2025-11.csv",
        "truth/units.parquet",
    ]
    assert "plant/historian/readings-2025-10-26.parquet" in names


def test_units_and_inspections_are_german_files(written, tiny):
    units = read_all(written / "plant/mes", "units-*.csv", sep=";")
    assert list(units) == ["serial", "part", "order_no", "started", "booked"]
    local = tiny.units["occurred_at"].dt.tz_convert("Europe/Berlin").dt.tz_localize(None)
    assert pd.to_datetime(units["started"], format=GERMAN).tolist() == local.tolist()
    found = read_all(written / "plant/quality", "inspections-*.csv", sep=";")
    names = "serial;gate;characteristic;result;measured;lower;upper;code;reason;probability;tested;booked"
    assert ";".join(found) == names
    assert set(found["result"]) == {"OK", "NOK"}
    assert found["measured"].str.fullmatch(r"\d+,\d+").all()
    numbers = found["measured"].str.replace(",", ".").astype(float)
    assert numbers.tolist() == tiny.inspections["measured"].tolist()


def test_visits_and_events_are_in_local_time_without_a_zone_and_materials_in_utc(written, tiny):
    visits = read_all(written / "plant/mes", "visits-*.csv.gz")
    assert list(visits) == ["serial", "station", "machine", "time_in", "time_out", "booked"]
    assert len(visits) == len(tiny.visits)
    assert visits["time_in"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d").all()
    assert visits["time_out"].isna().sum() == tiny.visits["ended_at"].isna().sum()
    events = pd.read_csv(written / "plant/maintenance/events.csv")
    assert list(events) == ["machine", "kind", "at", "booked", "text"]
    materials = read_all(written / "plant/erp", "materials-*.csv.gz")
    assert list(materials) == ["serial", "lot", "material", "supplier", "consumed", "booked"]
    consumed = pd.to_datetime(materials["consumed"], format="%Y-%m-%dT%H:%M:%SZ", utc=True)
    assert consumed.tolist() == tiny.materials["occurred_at"].tolist()


def test_the_hour_that_the_clock_change_repeats_is_ambiguous_in_local_files(written, tiny):
    units = read_all(written / "plant/mes", "units-*.csv", sep=";")
    local = pd.to_datetime(units["started"], format=GERMAN)
    twice = local.between("2025-10-26 02:00:00", "2025-10-26 02:59:59")
    utc_hours = tiny.units.loc[twice, "occurred_at"].dt.hour
    assert sorted(utc_hours.unique()) == [0, 1]


def test_a_file_holds_what_was_booked_in_its_month(written):
    for file in (written / "plant/mes").glob("units-*.csv"):
        booked = pd.to_datetime(pd.read_csv(file, sep=";")["booked"], format=GERMAN)
        assert set(booked.dt.strftime("units-%Y-%m.csv")) == {file.name}


def test_readings_are_plain_columns_sorted_by_the_time_they_were_stored(written, tiny):
    rows = 0
    for file in sorted((written / "plant/historian").glob("readings-*.parquet")):
        table = pq.read_table(file)
        kinds = [str(field.type) for field in table.schema]
        moment = "timestamp[us, tz=UTC]"
        assert table.column_names == ["serial", "station", "tag", "ts", "value", "stored"]
        assert kinds == ["string", "string", "string", moment, "double", moment]
        stored = pd.Series(table["stored"].to_numpy())
        assert stored.is_monotonic_increasing
        rows += table.num_rows
    assert rows == sum(len(readings) for _, readings in tiny.readings())


def test_tags_have_an_empty_product_where_the_set_point_is_the_same_for_all(written):
    tags = pd.read_csv(written / "plant/historian/tags.csv")
    assert list(tags) == ["station", "tag", "product", "unit", "set_point", "lower", "upper", "valid_from"]
    assert tags["valid_from"].str.endswith("Z").all()
    by_product = tags[tags["tag"] == "spindle_load"]
    assert by_product["product"].dropna().nunique() == 4
    assert tags["product"].isna().sum() > 80
    assert tags["unit"].notna().all()


def test_the_truth_file_is_the_truth(written, tiny):
    pd.testing.assert_frame_equal(pd.read_parquet(written / "truth/units.parquet"), tiny.truth)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def digests(name, seed):
        write_plant(simulate(days=2, units_per_day=40, seed=seed), tmp_path / name)
        files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        return {str(file.relative_to(tmp_path / name)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    first = digests("one", 8)
    assert digests("two", 8) == first
    assert digests("three", 9) != first


def test_an_existing_folder_is_refused_and_left_alone(tmp_path, tiny):
    (tmp_path / "mine").mkdir()
    with pytest.raises(SourceError, match=r"mine: exists already.*name another folder"):
        write_plant(tiny, tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_plant_that_fails_half_way_leaves_nothing_behind(tmp_path, tiny):
    broken = dataclasses.replace(tiny, inspections=tiny.inspections.drop(columns="gate"))
    with pytest.raises(KeyError, match="gate"):
        write_plant(broken, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
