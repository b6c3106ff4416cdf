import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from qma_predict.data.delta import find_data_files
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.sources import pieces
from qma_predict.errors import SourceError

NOW = pd.Timestamp("2025-07-01", tz="UTC")
MOMENT = pd.Timestamp("2025-05-01 08:00", tz="UTC")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def take(material_line, tmp_path, lake):
    """Return a function that ingests the plant's table."""

    def take(*more, path=tmp_path / "plant 1", **rules):
        line = material_line(tmp_path, *more, path=str(path), format="delta", **rules)
        return ingest(line, lake, as_of=NOW, now=NOW)

    return take


def write(folder: Path, *units: str | None, lot: str | None = "L1", **more) -> None:
    table = pa.table({
        "unit_id": pa.array(units, pa.string()), "lot_id": pa.array([lot] * len(units), pa.string()),
        "occurred_at": [MOMENT] * len(units), "recorded_at": [MOMENT] * len(units),
    } | more)  # fmt: skip
    mode = {"mode": "append", "schema_mode": "merge"} if folder.exists() else {}
    write_deltalake(str(folder), table, partition_by=["lot_id"], **mode)


def counted(done) -> list[tuple[int, int, int, int]]:
    return sorted((one.rows, one.accepted, one.duplicates, one.quarantined) for one in done.files)


def test_each_data_file_is_taken_once_with_the_values_of_its_partition(take, tmp_path, lake):
    write(tmp_path / "plant 1", "u1", None, lot="L 1/ä=x")
    write(tmp_path / "plant 1", "u2", lot="L2")
    assert counted(take()) == [(1, 1, 0, 0), (2, 1, 0, 1)]
    assert take().files == ()
    write(tmp_path / "plant 1", "u3", lot=None)
    write(tmp_path / "plant 1", "u4", lot="L2")
    assert counted(take()) == [(1, 0, 0, 1), (1, 1, 0, 0)]
    held = lake.read("materials")
    assert sorted(zip(held["unit_id"], held["lot_id"], strict=True)) == [
        ("u1", "L 1/ä=x"), ("u2", "L2"), ("u4", "L2"),
    ]  # fmt: skip
    assert sorted(lake.read("quarantine")["reason"]) == ["lot_id: missing", "unit_id: missing"]


def test_only_files_of_the_newest_version_are_read_and_a_compaction_brings_duplicates(take, tmp_path):
    folder = tmp_path / "plant 1"
    write(folder, "u1", "u2")
    write(folder, "u3")
    assert counted(take()) == [(1, 1, 0, 0), (2, 2, 0, 0)]
    DeltaTable(str(folder)).optimize.compact()
    assert counted(take()) == [(3, 0, 3, 0)]
    DeltaTable(str(folder)).delete("unit_id = 'u1'")
    assert counted(take()) == [(2, 0, 2, 0)]


def test_a_column_that_came_later_is_missing_in_the_files_before(take, tmp_path, lake):
    write(tmp_path / "plant 1", "u1")
    write(tmp_path / "plant 1", "u2", stuff=["brass"])
    done = take(columns={"recorded_at": "recorded_at", "material": "stuff"})
    assert (counted(done), done.problems) == ([(1, 1, 0, 0)] * 2, ())
    held = lake.read("materials").set_index("unit_id")["material"].fillna("")
    assert held.to_dict() == {"u1": "", "u2": "brass"}


def test_a_missing_or_cut_data_file_does_not_stop_the_others_and_is_taken_later(take, tmp_path):
    folder = tmp_path / "plant 1"
    write(folder, "u1")
    write(folder, "u2")
    write(folder, "u3")
    first, second, _ = sorted(folder.rglob("*.parquet"))
    whole = second.read_bytes()
    second.write_bytes(whole[: len(whole) // 2])
    first.rename(tmp_path / "aside")
    done = take()
    assert counted(done) == [(1, 1, 0, 0)]
    assert [problem.split(".parquet: cannot be read: ")[0] for problem in sorted(done.problems)] == sorted(
        str(path).removesuffix(".parquet") for path in (first, second)
    )
    second.write_bytes(whole)
    (tmp_path / "aside").rename(first)
    done = take()
    assert (counted(done), done.problems) == ([(1, 1, 0, 0)] * 2, ())


def test_a_folder_that_is_no_table_is_told(source, tmp_path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError) as error:
        find_data_files(source(path=str(tmp_path / "plain"), format="delta"))
    assert str(error.value) == (
        f"source of materials: no Delta table at {tmp_path / 'plain'}. Expected a folder with a _delta_log; check the "
        "path in line.toml."
    )


def test_one_damaged_table_does_not_stop_the_others(take, tmp_path):
    write(tmp_path / "t1", "u1")
    write(tmp_path / "t2", "u2")
    [log] = (tmp_path / "t1" / "_delta_log").glob("*.json")
    log.write_text(log.read_text()[:40])
    done = take(path=tmp_path / "t*")
    assert counted(done) == [(1, 1, 0, 0)]
    [problem] = done.problems
    assert problem.startswith(f"{tmp_path / 't1'}: cannot be read as a Delta table: ")


def test_a_delta_table_at_a_url_that_is_away_or_unknown_is_told(source):
    for url in ("nope://x/table", "memory://x/table"):
        files, [problem] = find_data_files(source(path=url, format="delta"))
        assert files == []
        assert str(problem).startswith(f"{url}: cannot be read as a Delta table: ")


def edit_log(folder: Path, kind: str, change) -> None:
    [log] = (folder / "_delta_log").glob("*.json")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        if kind in entry:
            change(entry[kind])
    log.write_text("\n".join(map(json.dumps, entries)))


@pytest.mark.parametrize("feature", ["deletionVectors", "columnMapping", "typeWidening"])
def test_what_cannot_be_read_is_refused_in_words(source, tmp_path, feature):
    folder = tmp_path / "table"
    write(folder, "u1", "u2")
    protocol = {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [feature], "writerFeatures": [feature],
    }  # fmt: skip
    edit_log(folder, "protocol", lambda entry: entry.update(protocol))
    if feature == "columnMapping":
        edit_log(folder, "metaData", lambda entry: entry["configuration"].update({"delta.columnMapping.mode": "name"}))
    if feature == "deletionVectors":
        deleted = {
            "storageType": "i", "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
            "sizeInBytes": 44, "cardinality": 1,
        }  # fmt: skip
        edit_log(folder, "add", lambda entry: entry.update({"deletionVector": deleted}))
    files, [problem] = find_data_files(source(path=str(folder), format="delta"))
    assert files == []
    assert str(problem).startswith(f"{folder}: ")
    words = {
        "deletionVectors": "uses deletion vectors",
        "columnMapping": "Column mapping",
        "typeWidening": "uses typeW",
    }
    assert words[feature] in str(problem)


def test_a_folder_whose_name_is_no_url_is_refused(source, tmp_path):
    (tmp_path / "lines [1]" / "_delta_log").mkdir(parents=True)
    files, [problem] = find_data_files(source(path=str(tmp_path / "lines*"), format="delta"))
    assert files == []
    assert "cannot be read in a folder with one of [ ] % ^ | in its name" in str(problem)


def test_a_feature_that_is_allowed_but_not_used_is_read(source, tmp_path):
    folder = tmp_path / "table"
    write(folder, "u1", "u2")
    protocol = {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["deletionVectors"],
    }  # fmt: skip
    edit_log(folder, "protocol", lambda entry: entry.update(protocol))
    [piece] = pieces(source(path=str(folder), format="delta"))
    assert piece.load().rows().rows["unit_id"].tolist() == ["u1", "u2"]
