import shutil

import pandas as pd
import pytest
from processes import PROCESSES

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import SCHEMAS, History, Lake, frame
from qma_predict.errors import LakeError


def moment(hour: float) -> pd.Timestamp:
    return pd.Timestamp("2025-05-01", tz="UTC") + pd.Timedelta(hours=hour)


def rows(*versions: tuple[str, str, float, float]) -> pd.DataFrame:
    """Rows of units from (unit, product, hour recorded, hour ingested)."""
    frame = pd.DataFrame(versions, columns=["unit_id", "product", "recorded_at", "ingested_at"])
    for clock in ("recorded_at", "ingested_at"):
        frame[clock] = [moment(hour) for hour in frame[clock]]
    return frame.assign(order_no=None, occurred_at=moment(0), file_id="f")


def book(*hours: float) -> pd.DataFrame:
    counts = dict.fromkeys(["size", "modified_ns", "rows", "accepted", "duplicates", "quarantined"], 0)
    texts = dict.fromkeys(["file_id", "table", "path", "rules", "watermark"], "x")
    return pd.DataFrame([counts | texts | {"ingested_at": moment(hour)} for hour in hours])


def known(history: History, hour: float) -> set[tuple[str, str]]:
    found = history.at(moment(hour)).all_versions("units").select("unit_id", "product").to_pandas()
    return set(found.itertuples(index=False, name=None))


def newest(history: History, hour: float) -> dict[str, str]:
    found = history.at(moment(hour)).newest("units").to_pandas()
    assert found["unit_id"].is_unique
    return dict(zip(found["unit_id"], found["product"], strict=True))


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_an_empty_lake_has_every_table_and_no_row(lake):
    history = lake.at(moment(1))
    for name, schema in SCHEMAS.items():
        assert history.tables[name].count().execute() == 0
        assert list(history.tables[name].columns) == schema.names
    assert lake.versions() == {}
    assert history.set_up is None
    assert lake.read("files").empty


def test_what_is_appended_is_read_back_with_its_types(lake):
    lake.append("units", rows(("u1", "A", 1, 2)))
    [row] = lake.at(moment(2)).newest("units").to_pandas().to_dict("records")
    assert pd.isna(row.pop("order_no"))
    assert row == {
        "unit_id": "u1", "product": "A", "file_id": "f",
        "occurred_at": moment(0), "recorded_at": moment(1), "ingested_at": moment(2),
    }  # fmt: skip
    assert row["recorded_at"].tzname() == "UTC"


def test_until_set_up_what_was_recorded_is_known_whenever_it_was_loaded(lake):
    """Loaded at 10, which is the first ingest: nights before it are replayed."""
    lake.append("units", rows(("u1", "A", 1, 10), ("u2", "A", 3, 10)))
    lake.append("files", book(10, 12))
    history = lake.at(moment(0))
    assert history.set_up == moment(10)
    assert known(history, 0.99) == set()
    assert known(history, 1) == {("u1", "A")}
    assert known(history, 9) == {("u1", "A"), ("u2", "A")}


def test_from_set_up_on_a_row_is_known_once_it_is_also_ingested(lake):
    lake.append("units", rows(("u1", "A", 1, 10), ("late", "A", 2, 12), ("early", "A", 13, 12)))
    lake.append("files", book(12, 10))
    history = lake.at(moment(0))
    assert known(history, 10) == {("u1", "A")}
    assert known(history, 11.99) == {("u1", "A")}
    assert known(history, 12) == {("u1", "A"), ("late", "A")}
    assert known(history, 13) == {("u1", "A"), ("late", "A"), ("early", "A")}


def test_the_clocks_are_compared_to_the_microsecond(lake):
    lake.append("units", rows(("u1", "A", 1, 1)))
    tick = pd.Timedelta(1, "us")
    assert lake.at(moment(1) - tick).all_versions("units").count().execute() == 0
    assert lake.at(moment(1)).all_versions("units").count().execute() == 1


def test_the_newest_version_is_the_one_recorded_last_of_those_known(lake):
    lake.append("units", rows(("u1", "C", 5, 0), ("u1", "A", 1, 0), ("u1", "B", 3, 0), ("u2", "A", 4, 0)))
    history = lake.at(moment(0))
    assert newest(history, 0) == {}
    assert newest(history, 2) == {"u1": "A"}
    assert newest(history, 4) == {"u1": "B", "u2": "A"}
    assert newest(history, 5) == {"u1": "C", "u2": "A"}


def test_a_late_earlier_version_does_not_hide_a_newer_one(lake):
    lake.append("units", rows(("u1", "B", 3, 0)))
    lake.append("units", rows(("u1", "A", 1, 0)))
    assert newest(lake.at(moment(0)), 9) == {"u1": "B"}


def test_pinned_versions_give_the_same_rows_whatever_comes_later(lake):
    lake.append("files", book(0))
    lake.append("units", rows(("u1", "A", 1, 1)))
    before = lake.at(moment(9))
    assert before.versions == {"units": 0, "files": 0} == lake.versions()
    lake.append("units", rows(("u2", "A", 1, 1), ("u1", "B", 2, 1)))
    lake.append("tags", SCHEMAS["tags"].empty_table().to_pandas())
    assert newest(before, 9) == newest(lake.at(moment(9), before.versions), 9) == {"u1": "A"}
    assert newest(lake.at(moment(9)), 9) == {"u1": "B", "u2": "A"}
    assert lake.versions() == {"units": 1, "files": 0, "tags": 0}


def test_pinned_versions_keep_the_moment_of_set_up(lake):
    pinned = lake.versions()
    lake.append("files", book(5))
    assert lake.at(moment(9), pinned).set_up is None
    assert lake.at(moment(9)).set_up == moment(5)


def test_a_pinned_version_that_never_was_is_an_error(lake):
    lake.append("units", rows(("u1", "A", 1, 1)))
    with pytest.raises(LakeError, match=r"units: version 7 cannot be opened: .* Restore the home\."):
        lake.at(moment(9), {"units": 7})
    with pytest.raises(LakeError, match=r"tags: the table is missing\. Expected its version 0; restore the home\."):
        lake.at(moment(9), {"tags": 0})


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_table_whose_files_are_damaged_is_an_error_also_at_a_pinned_version(lake, damage):
    lake.append("units", rows(("u1", "A", 1, 1)))
    [file] = (lake.folder / "units").glob("*.parquet")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    for versions in (None, {"units": 0}):
        with pytest.raises(LakeError) as error:
            lake.at(moment(9), versions)
        assert str(error.value) == (
            f"{lake.folder / 'units'}: files of version 0 are missing or cut: {file.name}. Restore the home."
        )


def test_a_damaged_log_is_an_error(lake):
    lake.append("units", rows(("u1", "A", 1, 1)))
    [log] = (lake.folder / "units" / "_delta_log").glob("*.json")
    log.write_text("{")
    with pytest.raises(LakeError, match=r"units: the newest version cannot be opened"):
        lake.at(moment(9))


def test_a_lake_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "lake").write_text("a file where the folder should be")
    with pytest.raises(
        LakeError, match=r"(?s)lake/units: cannot be written: .* Check the disk's space and permissions\."
    ):
        Lake(tmp_path / "lake").append("units", rows(("u1", "A", 1, 1)))


@pytest.mark.parametrize("name", ["my home", "site=berlin", "what?", "all*", "100%", "Grüße", "it's"])
def test_a_lake_may_lie_in_a_folder_of_any_name(tmp_path, name):
    lake = Lake(tmp_path / name / "lake")
    for unit in ("u1", "u2"):
        lake.append("units", rows((unit, "A", 1, 1)))
    for neighbour in ("what!", "all of it"):  # as patterns, some of the names would find them too
        shutil.copytree(tmp_path / name / "lake", tmp_path / neighbour / "lake")
    assert newest(lake.at(moment(9)), 9) == {"u1": "A", "u2": "A"}
    assert list(lake.at(moment(9)).tables["units"].columns) == SCHEMAS["units"].names
    assert sorted(lake.read("units")["unit_id"]) == ["u1", "u2"]


def test_a_commit_says_which_files_are_in(lake):
    assert lake.taken("units", ["f1"]) == set()
    lake.append("units", rows(("u1", "A", 1, 1)), ["f1", "f2"])
    lake.append("units", rows(("u2", "A", 1, 1)), ["f3"])
    assert lake.taken("units", ["f1", "f3", "f4"]) == {"f1", "f3"}
    assert lake.taken("visits", ["f1"]) == set()


def test_rows_are_found_by_file_and_by_key(lake):
    lake.append("units", rows(("u1", "A", 1, 1), ("u1", "B", 2, 1)))
    lake.append("units", rows(("u2", "A", 1, 1)).assign(file_id="g"))
    assert lake.of_files("units", ["g", "h"], ["unit_id"])["unit_id"].tolist() == ["u2"]
    assert lake.of_files("units", [], ["unit_id"]).empty
    found = lake.with_keys_of("units", pd.DataFrame({"unit_id": ["u1", "u1", "u9"]}))
    assert sorted(found["product"]) == ["A", "B"]


def test_every_durable_step_is_named(tmp_path):
    steps = []
    Lake(tmp_path, steps.append).append("units", rows(("u1", "A", 1, 1)))
    assert steps == ["before units", "after units"]


def test_readers_see_whole_commits_while_another_process_writes(lake):
    """A commit is two rows; no reader ever finds an odd number."""
    lake.append("units", rows(("u1", "A", 1, 1), ("u2", "A", 1, 1)))
    with PROCESSES.Pool(1) as pool:
        writing = pool.apply_async(write_pairs, [lake.folder, 8])
        counts = []
        while not writing.ready():
            counts.append(len(lake.at(moment(9)).newest("units").to_pandas()))
        writing.get()
    assert len(lake.at(moment(9)).newest("units").to_pandas()) == 18
    assert counts == sorted(counts)
    assert all(count % 2 == 0 for count in counts)


def write_pairs(folder, number):
    for n in range(number):
        Lake(folder).append("units", rows((f"a{n}", "A", 1, 1), (f"b{n}", "A", 1, 1)))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_written_and_read_with_all_optional_values_missing(lake, name):
    schema = SCHEMAS[name]
    required = {column.name for column in TABLES[name].columns if column.required}
    fill = {"string": "x", "double": 1.0, "bool": True, "timestamp[us, tz=UTC]": moment(1)}
    always = {*required, "occurred_at", "recorded_at", "ingested_at", "file_id"}
    row = {field.name: fill[str(field.type)] if field.name in always else None for field in schema}
    lake.append(name, pd.DataFrame([row]))
    [back] = lake.at(moment(2)).newest(name).to_pandas().to_dict("records")
    assert {key: value for key, value in back.items() if not pd.isna(value)} == {
        key: value for key, value in row.items() if value is not None
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_rows_as_a_frame_are_as_to_pandas_gives_them(lake, name):
    fill = {"string": "x", "double": 1.5, "bool": True, "int64": 3, "timestamp[us, tz=UTC]": moment(1)}
    full = {field.name: fill[str(field.type)] for field in SCHEMAS[name]}
    bare = {key: value if type(value) is int else None for key, value in full.items()}  # no count is ever missing
    for rows in ([], [bare], [full]):
        if rows:
            lake.append(name, pd.DataFrame(rows, columns=list(full)))
        table = lake.at(moment(2)).tables[name].order_by("ingested_at")
        pd.testing.assert_frame_equal(frame(table), table.to_pandas())


def test_what_is_found_once_of_a_history_is_found_anew_of_another_moment(lake):
    history, numbers = lake.at(moment(1)), iter(range(10))
    assert [history.once(what, lambda: next(numbers)) for what in "aba"] == [0, 1, 0]
    assert history.at(moment(2)).once("a", lambda: next(numbers)) == 2
