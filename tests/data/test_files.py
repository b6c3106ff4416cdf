import functools
import http.server
import os
import threading

import fsspec
import pandas as pd
import pytest

from qma_predict.data.files import find_files
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.sources import file_id, pieces, rules
from qma_predict.errors import SourceError

NOW = pd.Timestamp("2025-07-01", tz="UTC")
HEADER = "unit_id,lot_id,material,occurred_at,recorded_at"


def rows(*units: str) -> bytes:
    return "\n".join([HEADER, *(f"{unit},L1,steel,2025-05-01,2025-05-01 01:00" for unit in units), ""]).encode()


def test_files_are_found_in_the_order_of_their_names(tmp_path, source):
    for name in ("b.csv", "a.csv", "c.txt", "sub/d.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    found = find_files(source(path=str(tmp_path / "*.csv")))
    assert [file.path for file in found] == [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    deep = find_files(source(path=str(tmp_path / "**" / "*.csv")))
    assert [os.path.basename(file.path) for file in deep] == ["a.csv", "b.csv", "d.csv"]


def test_no_file_is_told_with_the_pattern(tmp_path, source):
    for pattern in (str(tmp_path / "*.csv"), "memory://nothing/*.csv", "memory://nothing/a.csv"):
        with pytest.raises(SourceError) as error:
            find_files(source(path=pattern))
        assert str(error.value) == (
            f"source of materials: no file matches {pattern}. Check the path in line.toml, and that the export has run."
        )


def test_a_file_that_is_away_for_a_moment_is_read(tmp_path, source):
    """As on a share that is slow to answer: the file comes after the first attempt, before the last."""
    path = tmp_path / "late.csv"
    path.touch()
    [file] = find_files(source(path=str(path)))
    path.unlink()
    timer = threading.Timer(0.2, path.write_bytes, [b"a,b\n"])
    timer.start()
    assert file.load() == b"a,b\n"
    timer.join()


@pytest.mark.parametrize("action", ["load", "stamp"])
def test_a_file_that_stays_away_is_told(tmp_path, source, action):
    (tmp_path / "gone.csv").touch()
    [file] = find_files(source(path=str(tmp_path / "gone.csv")))
    (tmp_path / "gone.csv").unlink()
    with pytest.raises(SourceError) as error:
        getattr(file, action)()
    assert str(error.value) == (
        f"{tmp_path / 'gone.csv'}: cannot be read: No such file or directory. Check the share and its permissions."
    )


def test_the_stamp_changes_with_the_file(tmp_path, source):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a")
    [file] = find_files(source(path=str(path)))
    first = file.stamp()
    assert file.stamp() == first == (str(path), 1, path.stat().st_mtime_ns)
    os.utime(path, ns=(first[2], first[2] + 1))
    assert file.stamp() != first


def test_a_file_is_its_content_read_by_rules_wherever_it_lies(source):
    def identity(content=b"a", units=None, **given) -> str:
        return file_id(content, rules(source(**given), units or {}))

    same = identity(path="x.csv")
    assert same == identity(path="y.csv") == identity(units={"*": "degC"})
    converted = [
        identity(columns={"occurred_at": "unit"}, units={"*": "degC"}, constants={"supplier": "A"}, delay="0 s"),
        identity(table="readings", units={"*": "degC"}, path="x") + "never converted",
    ]
    others = [identity(b"b"), identity(decimal=","), identity(delay="1 s"), *converted]
    assert len({same, *others}) == 6


def test_units_of_the_line_are_rules_only_where_a_source_converts(source):
    plain, converting = source(table="readings"), source(table="readings", units={"temp*": "degF"})
    assert rules(plain, {"*": "degC"}) == rules(plain, {})
    assert rules(converting, {"*": "degC"}) != rules(converting, {"*": "kelvin"})
    assert rules(source(table="tags"), {"*": "degC"}) != rules(source(table="tags"), {})


# URLs.


@pytest.fixture
def bucket():
    """An empty folder of the filesystem in memory."""
    system = fsspec.filesystem("memory")
    system.makedirs("/lake", exist_ok=True)
    yield system
    system.rm("/lake", recursive=True)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_files_at_a_url_are_taken_once_and_again_when_they_change(bucket, material_line, lake, tmp_path):
    line = material_line(tmp_path, path="memory://lake/in/m-*.csv")
    bucket.pipe("/lake/in/m-1.csv", rows("u1", ""))
    bucket.pipe("/lake/in/m-2.csv", b"")
    bucket.pipe("/lake/in/m-3.csv", rows("u2"))
    done = ingest(line, lake, as_of=NOW, now=NOW)
    assert [(one.path, one.rows, one.accepted, one.duplicates, one.quarantined) for one in done.files] == [
        ("memory://lake/in/m-1.csv", 2, 1, 0, 1),
        ("memory://lake/in/m-3.csv", 1, 1, 0, 0),
    ]
    assert done.refused == ("memory://lake/in/m-1.csv, row 2: unit_id: missing",)
    [problem] = done.problems
    assert problem.startswith("memory://lake/in/m-2.csv: the file is empty.")
    assert sorted(lake.read("files")["path"]) == ["memory://lake/in/m-1.csv", "memory://lake/in/m-3.csv"]
    bucket.pipe("/lake/in/m-2.csv", rows("u3"))
    bucket.pipe("/lake/in/m-3.csv", rows("u2", "u4"))
    done = ingest(line, lake, as_of=NOW, now=NOW)
    assert [(one.path[-7:], one.accepted, one.duplicates) for one in done.files] == [
        ("m-2.csv", 1, 0),
        ("m-3.csv", 1, 1),
    ]
    assert done.problems == ()
    assert sorted(lake.read("materials")["unit_id"]) == ["u1", "u2", "u3", "u4"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """URL of a web server of a folder, which knows neither a pattern's files nor when they changed."""
    (tmp_path / "web").mkdir()
    handler = functools.partial(_Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_where_no_time_of_change_is_known_the_content_tells(server, material_line, lake, tmp_path):
    file = tmp_path / "web" / "m-1.csv"
    file.write_bytes(rows("u1", "u2"))
    line = material_line(tmp_path, path=f"{server}/m-1.csv")
    done = ingest(line, lake, as_of=NOW, now=NOW)
    assert [(one.path, one.accepted) for one in done.files] == [(f"{server}/m-1.csv", 2)]
    os.utime(file, (0, 0))
    assert ingest(line, lake, as_of=NOW, now=NOW).files == ()
    file.write_bytes(rows("u1", "u3"))  # as many bytes
    [again] = ingest(line, lake, as_of=NOW, now=NOW).files
    assert (again.accepted, again.duplicates) == (1, 1)


def test_files_of_a_listing_in_the_web_are_found_by_a_pattern(server, source, tmp_path):
    for name in ("m-1.csv", "m-2.csv", "n-1.csv"):
        (tmp_path / "web" / name).write_bytes(rows("u1"))
    found = find_files(source(path=f"{server}/m-*.csv"))
    assert [file.path for file in found] == [f"{server}/m-1.csv", f"{server}/m-2.csv"]


def test_a_server_that_is_away_or_lacks_the_file_is_a_problem_in_words(server, material_line, lake, tmp_path):
    away = {"table": "events", "path": "http://127.0.0.1:9/e-*.csv", "delay": "0 s"}
    (tmp_path / "m-1.csv").write_bytes(rows("u1"))
    nothing = {"table": "units", "path": f"{server}/u.csv", "delay": "0 s"}
    done = ingest(material_line(tmp_path, away, nothing), lake, as_of=NOW, now=NOW)
    assert [one.accepted for one in done.files] == [1]
    assert len(done.problems) == 2
    assert done.problems[0].startswith("http://127.0.0.1:9/e-*.csv: cannot be read: ")
    assert done.problems[1].startswith(f"source of units: no file matches {server}/u.csv.")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bucket/m-*.csv", "a package for s3:// is missing: Install s3fs to access S3. Install it beside"),
        ("sftp://u:secret@host/m.csv", 'a package for sftp:// is missing: SFTPFileSystem requires "paramiko"'),
        ("nope://x/m.csv", "Protocol not known: nope. Expected a URL that fsspec knows"),
    ],
)
def test_a_missing_driver_is_told_with_the_package_and_without_the_password(source, url, message):
    with pytest.raises(SourceError, match=message) as error:
        find_files(source(path=url))
    assert "secret" not in str(error.value)


# Folders that say something.


def parquet(folder, **columns) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(folder / "x.parquet")


def test_folders_below_the_fixed_part_of_a_pattern_are_columns_that_the_file_lacks(tmp_path, source):
    root = tmp_path / "plant=above" / "fixed=F"
    parquet(root / "site=Hall%201" / "lot_id=__HIVE_DEFAULT_PARTITION__", v=[1.0, 2.0])
    parquet(root / "site=B" / "lot_id=L2", v=[3.0], site=["own"])
    found = list(pieces(source(path=str(root / "**" / "*.parquet"))))
    first, second = (piece.load().rows().rows for piece in sorted(found, key=lambda piece: "site=B" in piece.path))
    assert list(first.columns) == ["v", "site", "lot_id"]
    assert first["site"].tolist() == ["Hall 1", "Hall 1"]
    assert first["lot_id"].isna().all()
    assert second.to_dict("records") == [{"v": 3.0, "site": "own", "lot_id": "L2"}]


def test_the_same_file_in_two_folders_is_two_files(tmp_path, material_line, lake):
    columns = {"unit_id": ["u1", None], "occurred_at": pd.to_datetime(["2025-05-01"] * 2)}
    for lot in ("L1", "L2"):
        parquet(tmp_path / f"lot_id={lot}", **columns)
    (tmp_path / "lot_id=L3").mkdir()
    (tmp_path / "lot_id=L3" / "x.parquet").write_bytes(b"PAR1 cut")
    line = material_line(tmp_path, path=str(tmp_path / "lot_id=*" / "*.parquet"), columns={}, delay="0 s")
    done = ingest(line, lake, as_of=NOW, now=NOW)
    assert [(one.rows, one.accepted, one.quarantined) for one in done.files] == [(2, 1, 1)] * 2
    assert len(done.problems) == 1
    assert "lot_id=L3" in done.problems[0]
    assert sorted(lake.read("materials")["lot_id"]) == ["L1", "L2"]
    assert ingest(line, lake, as_of=NOW, now=NOW).files == ()


def test_folders_at_a_url_are_columns_too(bucket, source, tmp_path):
    parquet(tmp_path, v=[1.0])
    bucket.pipe("/lake/site=A/x.parquet", (tmp_path / "x.parquet").read_bytes())
    [piece] = pieces(source(path="memory://lake/site=*/x.parquet"))
    assert piece.load().rows().rows.to_dict("records") == [{"v": 1.0, "site": "A"}]


def test_what_a_file_is_does_not_depend_on_folders_that_the_pattern_names(tmp_path, source):
    parquet(tmp_path / "site=berlin", v=[1.0])
    [piece] = pieces(source(path=str(tmp_path / "site=berlin" / "*.parquet")))
    assert list(piece.load().rows().rows.columns) == ["v"]
