import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from qma_predict.data.lake import Lake
from qma_predict.errors import HomeError
from qma_predict.home import STORE_LOCK, Home, open_home
from qma_predict.operate import backup as module
from qma_predict.operate.backup import backup, restore
from qma_predict.publish.lists import bundle, desk
from qma_predict.publish.models import registry

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = date(2026, 3, 3)


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Home:
    """A home with a lake, two lists, a desk database and an MLflow store with a run. Shared: read only."""
    home = open_home(tmp_path_factory.mktemp("of a plant") / "home")
    problem = {"table": "visits", "problem": "away", "ingested_at": pd.Timestamp("2026-03-01", tz="UTC")}
    Lake(home.lake("tiny")).append("problems", pd.DataFrame([problem]))
    for day in (2, 3):
        contents = {"risk_list.html": f"list of {day}".encode()}
        bundle.publish(home.published("tiny"), date(2026, 3, day), contents, facts={}, receipt={})
    desk.open_desk(home, {}).dispose()
    client = registry._store(home)
    experiment = client.create_experiment("tiny", artifact_location=(home.mlflow / "artifacts" / "tiny").as_uri())
    client.log_text(client.create_run(experiment).info.run_id, "words", "card.md")
    (home.folder / "cards").mkdir()
    (home.folder / "cards" / "card.md").write_bytes(b"card")
    return home


def contents(folder):
    """Every file and link below a folder but for databases, locks and debris."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and path.suffix not in (".db", ".lock")
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_restored_is_what_was_there(full, tmp_path):
    made = backup(full, tmp_path / "home.tar", NOW)
    assert names(tmp_path) == ["home.tar"]
    assert (made.home, made.made_at) == (str(full.folder), "2026-03-03T12:00:00+00:00")
    done = restore(tmp_path / "home.tar", tmp_path / "new" / "home")
    assert (done.files, done.bytes) == (made.files, made.bytes)
    home = Home(tmp_path / "new" / "home")
    assert names(home.folder.parent) == ["home"]
    assert contents(home.folder) == contents(full.folder)
    assert bundle.read(home.published("tiny"), DAY)["business_date"] == "2026-03-03"
    assert (home.published("tiny") / "latest").resolve().name == "2026-03-03.r1"
    assert len(Lake(home.lake("tiny")).read("problems")) == 1
    assert desk.record_lists(desk.open_desk(home, {}), "tiny", home.folder / "nothing") == 0


def test_the_mlflow_store_works_in_the_other_place_without_the_old_one(full, tmp_path):
    first = Home(tmp_path / "first")
    backup(full, tmp_path / "home.tar", NOW)
    restore(tmp_path / "home.tar", first.folder)
    backup(first, tmp_path / "again.tar", NOW)
    restore(tmp_path / "again.tar", tmp_path / "with blank" / "second")
    shutil.rmtree(first.folder)
    home = Home(tmp_path / "with blank" / "second")
    client = registry._store(home)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment.artifact_location == (home.mlflow / "artifacts" / "tiny").as_uri()
    (run,) = client.search_runs([experiment.experiment_id])
    with open(client.download_artifacts(run.info.run_id, "card.md")) as file:
        assert file.read() == "words"


def test_a_database_that_is_written_meanwhile_is_as_at_one_moment(tmp_path):
    home = open_home(tmp_path / "home")
    with closing(sqlite3.connect(home.desk, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE facts (number INTEGER)")
        connection.execute("INSERT INTO facts VALUES (1)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO facts VALUES (2)")
        backup(home, tmp_path / "home.tar", NOW)  # the first row is still in the file beside it
        connection.execute("COMMIT")
    restore(tmp_path / "home.tar", tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / "new" / "desk.db")) as connection:
        assert connection.execute("SELECT number FROM facts").fetchall() == [(1,)]


def test_nobody_writes_meanwhile(full, tmp_path, monkeypatch):
    held = []

    def look(home, *rest):
        from filelock import FileLock, Timeout

        for name in ("tiny", STORE_LOCK):
            with pytest.raises(Timeout), FileLock(home.folder / "locks" / f"{name}.lock", timeout=0):
                pass
            held.append(name)
        raise OSError("enough")

    monkeypatch.setattr(module, "_write", look)
    with pytest.raises(HomeError, match="enough"):
        backup(full, tmp_path / "home.tar", NOW)
    assert held == ["tiny", STORE_LOCK]
    assert names(tmp_path) == []


def test_a_scheduled_run_that_waits_for_its_sources_is_not_waited_for(full, tmp_path):
    with full.writing("tiny.run"):
        backup(full, tmp_path / "home.tar", NOW)
    assert names(tmp_path) == ["home.tar"]


def test_a_backup_overwrites_nothing_and_lies_elsewhere(full, tmp_path):
    (tmp_path / "there.tar").write_text("something")
    for file, words in (
        (tmp_path / "there.tar", "exists already"),
        (full.folder / "home.tar", "lies in the home"),
        (tmp_path / "nowhere" / "home.tar", "no such folder"),
    ):
        with pytest.raises(HomeError, match=words):
            backup(full, file, NOW)
    with pytest.raises(HomeError, match="there is no home"):
        backup(Home(tmp_path / "none"), tmp_path / "home.tar", NOW)
    assert names(tmp_path) == ["there.tar"]
    assert (tmp_path / "there.tar").read_text() == "something"


def test_a_folder_that_is_not_empty_is_left_alone(full, tmp_path):
    backup(full, tmp_path / "home.tar", NOW)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("mine")
    with pytest.raises(HomeError, match="not empty"):
        restore(tmp_path / "home.tar", tmp_path / "used")
    assert names(tmp_path / "used") == ["mine"]
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "home.tar", tmp_path / "empty")
    assert contents(tmp_path / "empty") == contents(full.folder)


def test_a_damaged_backup_is_refused_and_leaves_nothing(full, tmp_path):
    backup(full, tmp_path / "home.tar", NOW)
    whole = (tmp_path / "home.tar").read_bytes()
    place = whole.index(b"list of 3")
    damaged = {
        "changed.tar": whole[:place] + b"list of 4" + whole[place + 9 :],
        "cut.tar": whole[: len(whole) // 2],
        "without_book.tar": whole[: whole.rindex(module.BOOK.encode()) // 512 * 512],
        "empty.tar": b"",
        "text.tar": b"no tar at all" * 100,
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HomeError, match=name):
            restore(tmp_path / name, tmp_path / "new")
        assert not (tmp_path / "new").exists(), name
    with pytest.raises(HomeError, match="such as published/tiny/revisions/2026-03-03.r1/risk_list.html"):
        restore(tmp_path / "changed.tar", tmp_path / "new")
    with pytest.raises(HomeError, match="nothing was changed"):
        restore(tmp_path / "no_such.tar", tmp_path / "new")
    assert names(tmp_path) == sorted([*damaged, "home.tar"])


def test_a_backup_of_a_newer_version_or_that_points_outside_is_refused(tmp_path):
    (tmp_path / "way_out").symlink_to("../../elsewhere")
    with tarfile.open(tmp_path / "outside.tar", "w") as tar:
        tar.add(tmp_path / "way_out", "way_out")
    with pytest.raises(HomeError, match="outside"):
        restore(tmp_path / "outside.tar", tmp_path / "new")
    book = {"format": module.FORMAT + 1, "files": {}, "links": {}}
    (tmp_path / module.BOOK).write_text(json.dumps(book))
    with tarfile.open(tmp_path / "newer.tar", "w") as tar:
        tar.add(tmp_path / module.BOOK, module.BOOK)
    with pytest.raises(HomeError, match="Upgrade"):
        restore(tmp_path / "newer.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("line", ["locks", "replays", "crank-journal", "old.lock", "front-wal"])
def test_a_line_of_any_name_is_in_a_backup(tmp_path, line):
    home = open_home(tmp_path / "home")
    kept = [home.lake(line) / "a", home.lake(line) / "deep" / ".spill", home.published(line) / "a"]
    kept += [home.models(line) / "v1" / "a", home.champions(line), home.folder / "monitoring" / line / "a"]
    left_out = [home.lake(line) / ".spill" / "a", home.folder / "replays" / line / "a", home.lake(line) / "x.db-wal"]
    for path in [*kept, *left_out]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")
    backup(home, tmp_path / "home.tar", NOW)
    restore(tmp_path / "home.tar", tmp_path / "new")
    found = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert found == {path.relative_to(home.folder) for path in [*kept, home.folder / "home.json"]}
    assert not (tmp_path / "new" / "locks").exists()


@pytest.mark.parametrize("to", ["{elsewhere}", "../elsewhere", "{home}/inside", "../home/inside", "no_such/../../x"])
def test_a_link_that_leads_out_of_the_home_is_told_at_once(tmp_path, to):
    home = open_home(tmp_path / "home")
    (home.folder / "inside").mkdir()
    (tmp_path / "elsewhere").mkdir()
    to = to.format(elsewhere=tmp_path / "elsewhere", home=home.folder)
    (home.folder / "lake").symlink_to(to)
    with pytest.raises(HomeError, match="Move what it shows into the home") as told:
        backup(home, tmp_path / "home.tar", NOW)
    assert str(told.value).startswith(f"{home.folder}/lake: a link to {to}, which")
    assert names(tmp_path) == ["elsewhere", "home"]


def test_links_within_the_home_stay_links_also_where_the_home_is_reached_by_one(full, tmp_path):
    (tmp_path / "by_link").symlink_to(full.folder)
    backup(Home(tmp_path / "by_link"), tmp_path / "home.tar", NOW)
    restore(tmp_path / "home.tar", tmp_path / "new")
    assert os.readlink(tmp_path / "new" / "published" / "tiny" / "latest") == "2026-03-03"


@pytest.mark.parametrize("place", ["_add", "_add_database", "flush_folder"])
def test_a_backup_that_is_stopped_leaves_no_half_one_and_the_next_removes_the_rest(full, tmp_path, place):
    ended = in_child(lambda: backup(full, tmp_path / "home.tar", NOW), place)
    assert ended == 77
    whole = place == "flush_folder"  # then it is there already
    assert (tmp_path / "home.tar").exists() == whole
    if not whole:
        assert len(names(tmp_path)) > 0
        backup(full, tmp_path / "home.tar", NOW)
    restore(tmp_path / "home.tar", tmp_path / "new")
    assert contents(tmp_path / "new") == contents(full.folder)
    assert names(tmp_path) == ["home.tar", "new"]


@pytest.mark.parametrize("place", ["_read", "move_store", "open_home", "flush_folder"])
def test_a_restore_that_is_stopped_leaves_no_half_home_and_the_next_removes_the_rest(full, tmp_path, place):
    backup(full, tmp_path / "home.tar", NOW)
    assert in_child(lambda: restore(tmp_path / "home.tar", tmp_path / "new"), place) == 77
    whole = place == "flush_folder"
    assert (tmp_path / "new").exists() == whole
    if not whole:
        restore(tmp_path / "home.tar", tmp_path / "new")
    assert contents(tmp_path / "new") == contents(full.folder)
    assert names(tmp_path) == ["home.tar", "new"]


def in_child(work, place: str) -> int:
    """Exit code of a process that does the work and ends itself after the function at a place."""
    child = os.fork()
    if child == 0:
        usual = getattr(module, place)

        def end(*args, **kwargs):
            usual(*args, **kwargs)
            os._exit(77)

        setattr(module, place, end)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
