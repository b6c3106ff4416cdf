"""What goes wrong around a night, and what is there afterwards: a whole list or none, no row lost, and words."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from nights_in_children import KILLED, Outcome, build, night, scheduled, trained
from small_plant import FIRST, Plant, assert_whole, contents, keep, rows

from qma_predict.data.lake import Lake
from qma_predict.home import STORE_LOCK, Home
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log

pytestmark = pytest.mark.proof

DAY = FIRST + timedelta(days=1)
NEXT = FIRST + timedelta(days=2)


def morning(plant: Plant, day: date):
    """A minute after the list's moment."""
    return plant.line.as_of(day) + timedelta(minutes=1)


def tonight(plant: Plant, day: date = DAY, **fault) -> Outcome:
    return night(plant, day, morning(plant, day), **fault)


def facts(plant: Plant, day: date = DAY) -> dict:
    return bundle.read(plant.home.published("tiny"), day)["facts"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Plant:
    """A plant with one list, and the files of the day after: the next list is about to be made. Copied before use."""
    plant = build(tmp_path_factory.mktemp("base") / "plant")
    plant.record(FIRST - timedelta(days=1))
    assert tonight(plant, FIRST).code == 0
    plant.record(FIRST)
    return plant


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory) -> tuple[Plant, Outcome]:
    """The same after a night that nothing disturbed, and its steps."""
    plant = base.with_home(tmp_path_factory.mktemp("whole") / "home")
    done = tonight(plant)
    assert (done.code, done.error, done.said) == (0, "", [])
    assert facts(plant)["state"] == "OK"
    return plant, done


@pytest.fixture
def plant(base, tmp_path) -> Plant:
    """The plant before the night, with a home of this test's own."""
    return base.with_home(tmp_path / "home")


@pytest.fixture
def own(base, tmp_path) -> Plant:
    """The plant before the night, of which this test may also change the files."""
    return base.copy(tmp_path / "plant")


def assert_as_undisturbed(plant: Plant, whole: tuple[Plant, Outcome]) -> None:
    assert_whole(plant, [FIRST, DAY])
    assert contents(plant, DAY) == contents(whole[0], DAY)
    assert rows(plant) == rows(whole[0])


def assert_nothing_half(plant: Plant) -> None:
    """Whatever a reader finds now is whole."""
    folder = plant.home.published("tiny")
    for day in bundle.published_dates(folder):
        bundle.verify(folder / day.isoformat())
    bundle.verify(folder / "latest")


def test_a_night_ended_at_any_durable_step_and_run_again_is_as_if_nothing_had_happened(base, whole, tmp_path):
    steps = whole[1].steps
    assert {"before visits", "after files", "renamed", "pointer flushed", "after record_list", "before tell"} <= {
        *steps
    }
    for number, name in enumerate(steps):
        if name in steps[:number]:
            continue  # the same step of another file
        if number > 0 and steps[number - 1].startswith("after") and name.startswith("before"):
            continue  # between the two nothing happens
        plant = base.with_home(tmp_path / f"{number}")
        assert tonight(plant, kill=number).code == KILLED
        assert_nothing_half(plant)
        again = tonight(plant)
        assert (again.code, again.error, again.said) == (0, "", []), name
        assert_as_undisturbed(plant, whole)
        shutil.rmtree(plant.home.folder)


@pytest.mark.parametrize("largest", [0, 500, 9_000, 70_000])
def test_files_that_cannot_grow_leave_the_list_before_and_words(plant, whole, largest):
    refused = tonight(plant, largest=largest)
    assert refused.code == 0
    assert_nothing_half(plant)
    if bundle.published_dates(plant.home.published("tiny")) == [FIRST]:
        assert refused.error.startswith(("LakeError", "PublicationError", "HomeError")), refused.error
        assert "File too large" in refused.error or "full" in refused.error or "I/O" in refused.error
    assert tonight(plant).error == ""
    assert_as_undisturbed(plant, whole)


@pytest.mark.parametrize("free_kb", [4, 130, 420])
def test_a_disk_that_is_full_leaves_the_list_before_and_words(base, whole, tmp_path, free_kb):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk]
    if os.geteuid() != 0 or subprocess.run(mounted, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    try:
        plant = base.with_home(disk / "home")
        filler = disk / "filler"
        usage = shutil.disk_usage(disk)
        filler.write_bytes(b"x" * (usage.free - free_kb * 1024))
        refused = tonight(plant)
        assert_nothing_half(plant)
        if bundle.published_dates(plant.home.published("tiny")) == [FIRST]:
            assert refused.error.startswith(("LakeError", "PublicationError", "HomeError")), refused.error
            assert "space" in refused.error or "full" in refused.error
        filler.unlink()
        assert tonight(plant).error == ""
        assert_as_undisturbed(plant, whole)
    finally:
        subprocess.run(["umount", disk], check=True)


def locked(file: Path):
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    connection.execute("BEGIN EXCLUSIVE")
    return connection


@pytest.mark.parametrize("state", ["missing", "locked"])
def test_a_night_does_not_need_the_mlflow_store(plant, whole, state):
    store = plant.home.mlflow
    with closing(sqlite3.connect(":memory:")) as held:
        if state == "locked":
            store.mkdir()
            held = locked(store / "mlflow.db")
            lock = plant.home.folder / "locks" / f"{STORE_LOCK}.lock"
            with lock.open("w") as opened:
                fcntl.flock(opened, fcntl.LOCK_EX)
                done = tonight(plant)
            held.close()
        else:
            done = tonight(plant)
    assert (done.code, done.error, done.said, done.modules) == (0, "", [], [])
    assert_as_undisturbed(plant, whole)


def test_a_read_only_mlflow_store_stops_trainings_before_they_begin_in_words_and_no_night(plant, whole):
    store = plant.home.mlflow
    done = trained(plant, (0o500, 0o400), (0o700, 0o400), (0o500, 0o600))
    assert done.code == 0
    assert len(done.said) == 6
    for training, monitoring in zip(done.said[::2], done.said[1::2], strict=True):
        words = f"{store}: the MLflow store cannot be used: attempt to write a readonly database. "
        assert training.startswith(f"ModelError: {words}Trainings need it, nights do not: ")
        assert "check its permissions and the disk" in training
        assert monitoring.startswith(f"{store}: the monitoring of tiny, 2026-03-02 is not logged: {words}")
    with closing(sqlite3.connect(store / "mlflow.db")) as kept:
        assert kept.execute("SELECT name FROM sqlite_master WHERE name = 'writable'").fetchall() == []
    (store / "mlflow.db").chmod(0o400)
    store.chmod(0o500)
    done = tonight(plant, powers=False)
    store.chmod(0o700)
    assert (done.code, done.error, done.said, done.modules) == (0, "", [], [])
    assert_as_undisturbed(plant, whole)


def promote(plant: Plant, version: str) -> None:
    champion_log.append(
        plant.home, "tiny", "promoted", version, role="challenger", by="a test", why="it is better",
        at=plant.at("2026-03-01 18:00"),
    )  # fmt: skip


def flip(file: Path) -> None:
    """Change one bit of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["one bit", "missing", "swapped"])
def test_a_model_file_that_is_not_what_was_kept_is_refused_and_the_simple_rule_makes_the_list(plant, whole, how):
    file = plant.home.models("tiny") / "v1" / "model.skops"
    kept = file.read_bytes()
    if how == "one bit":
        flip(file)
    elif how == "missing":
        file.unlink()
    else:
        keep(plant, "2", defect_when="cold")
        shutil.copy(plant.home.models("tiny") / "v2" / "model.skops", file)
    done = tonight(plant)
    assert (done.code, done.error) == (0, "")
    assert any("model tiny v1 is not what was kept" in line for line in done.said)
    told = facts(plant)
    assert told["state"] == "BASELINE"
    assert "cannot be used tonight" in told["state_reasons"][0]
    assert "model.skops" in told["state_reasons"][0]
    assert_whole(plant, [FIRST, DAY])
    assert rows(plant) == rows(whole[0])
    file.write_bytes(kept)
    assert tonight(plant, NEXT).error == ""
    assert facts(plant, NEXT)["state"] != "BASELINE"


def test_a_champion_of_which_nothing_can_be_used_gives_way_to_the_one_before_and_says_so(plant):
    keep(plant, "2", defect_when="cold")
    promote(plant, "2")
    flip(plant.home.models("tiny") / "v2" / "siblings.parquet")
    done = tonight(plant)
    assert (done.code, done.error) == (0, "")
    told = facts(plant)
    assert (told["model"]["version"], told["state"]) == ("1", "DEGRADED")
    assert any("v1, an earlier champion, is used" in reason for reason in told["state_reasons"])
    assert_whole(plant, [FIRST, DAY])


def test_a_whole_model_put_in_the_place_of_another_is_refused_and_without_any_there_is_no_list(plant, whole):
    keep(plant, "2", defect_when="cold")
    folder = plant.home.models("tiny")
    (folder / "v1").rename(folder / "kept")
    shutil.copytree(folder / "v2", folder / "v1")
    refused = tonight(plant)
    assert refused.error.startswith("ModelError")
    assert "found SHA-256" in refused.error
    assert "Restore it from a backup" in refused.error
    assert_whole(plant, [FIRST])
    assert rows(plant) == rows(whole[0])
    shutil.rmtree(folder / "v1")
    (folder / "kept").rename(folder / "v1")
    assert tonight(plant).error == ""
    assert_as_undisturbed(plant, whole)


def test_after_a_champion_log_that_was_changed_the_model_of_the_list_before_makes_the_list_which_says_so(own):
    log = own.home.champions("tiny")
    kept = log.read_text()
    log.write_text(kept.replace("it is the first", "it is the best"))
    done = tonight(own)
    assert done.error == ""
    assert "changed after it was written" in "".join(done.said)
    assert_whole(own, [FIRST, DAY])
    assert facts(own)["state"] == "DEGRADED"
    assert facts(own)["provenance"]["champion_log"] == facts(own, FIRST)["provenance"]["champion_log"]
    log.write_text(kept)
    own.record(DAY)
    assert tonight(own, NEXT).error == ""
    assert facts(own, NEXT)["state"] == "OK"


def when_read(name: str, change, path: str) -> None:
    if Path(path).name == name:
        change(Path(path))


def vanish(file: Path) -> None:
    file.rename(file.with_suffix(".away"))


def grow(file: Path) -> None:
    """The other half of the rows comes between the look at the file and its reading."""
    file.write_text(file.with_suffix(".whole").read_text())


def cut(file: Path) -> None:
    """Somebody writes the file anew: at this moment it ends within a row."""
    text = file.read_text()
    file.write_text(text[: len(text) * 2 // 3])


def in_tables(plant: Plant) -> dict[str, list[int]]:
    return {name: found for name, found in rows(plant).items() if name not in ("quarantine", "files")}


@pytest.mark.parametrize("change", [vanish, cut, grow])
def test_a_source_file_that_changes_while_it_is_read_loses_and_doubles_no_row(own, base, whole, tmp_path, change):
    file = own.folder / "plant" / f"readings-{FIRST}.csv"
    text = file.read_text()
    if change is grow:
        file.with_suffix(".whole").write_text(text)
        file.write_text("\n".join(text.split("\n")[:5]) + "\n")
    done = tonight(own, meddle=partial(when_read, file.name, change))
    assert (done.code, done.error) == (0, "")
    assert_whole(own, [FIRST, DAY])
    words = "cannot be read" if change is vanish else "changed while it was read"
    assert any(words in line and str(file) in line for line in done.said)
    assert facts(own)["state"] == "DEGRADED"
    file.write_text(text)
    other = base.copy(tmp_path / "other")
    for plant in (own, other):
        plant.record(DAY)
        assert tonight(plant, NEXT).error == ""
    assert in_tables(own) == in_tables(other)
    assert_whole(own, [FIRST, DAY, NEXT])
    book = Lake(own.home.lake("tiny")).read("files")
    assert (book["rows"] == book["accepted"] + book["duplicates"] + book["quarantined"]).all()


def test_a_clock_that_goes_back_changes_no_list_and_takes_no_row_twice(own, whole):
    assert tonight(own).error == ""
    lists = {day: contents(own, day) for day in (FIRST, DAY)}
    for hours in (6, 30, 24 * 40):
        done = scheduled(own, morning(own, DAY) - timedelta(hours=hours))
        assert (done.code, done.error) == (0, ""), hours
        assert "the clock is wrong, or was" in done.said[0]
    assert {day: contents(own, day) for day in (FIRST, DAY)} == lists
    assert_whole(own, [FIRST, DAY])
    assert in_tables(own) == in_tables(whole[0])


def test_a_clock_that_was_ahead_for_a_night_keeps_no_later_list_from_being_made(own):
    ahead = DAY + timedelta(days=3)
    assert scheduled(own, morning(own, ahead)).error == ""
    assert_whole(own, [FIRST, ahead])
    assert facts(own, ahead)["state"] == "DEGRADED"  # the newest rows are days old, as it seems
    for day in (DAY, NEXT):
        assert scheduled(own, morning(own, day)).error == ""
        own.record(day)
    assert_whole(own, [FIRST, DAY, NEXT, ahead])


SUMMER, WINTER = date(2026, 3, 29), date(2026, 10, 25)


@pytest.mark.parametrize("change", [SUMMER, WINTER])
def test_the_nights_around_a_clock_change_have_one_list_each(own, change):
    toml = own.folder / "line.toml"
    text = toml.read_text().replace('"05:00"', '"02:30"').replace('"06:00"', '"03:30"')
    toml.write_text(text.replace("learning =", 'schedule = { missed = "all" }\nlearning ='))
    days = [change + timedelta(days=n) for n in (-1, 0, 1)]
    own.record(*(change - timedelta(days=n) for n in range(5, 1, -1)))
    assert night(own, days[0], morning(own, days[0])).error == ""
    own.record(days[0], change)
    start = own.at(f"{change} 00:40")
    moments = [start + timedelta(hours=n) for n in range(28)]  # on the change's night, one falls on each 02:40
    done = scheduled(own, *moments)
    assert (done.code, done.error) == (0, "")
    assert_whole(own, [FIRST, *days])
    assert done.steps.count("renamed") == 2
    assert all(facts(own, day)["business_date"] == str(day) for day in days)


@pytest.mark.parametrize("missed", ["latest", "all", "none"])
def test_after_two_missed_nights_the_line_gets_what_it_asked_for(own, missed):
    toml = own.folder / "line.toml"
    toml.write_text(toml.read_text().replace("learning =", f'schedule = {{ missed = "{missed}" }}\nlearning ='))
    days = [FIRST + timedelta(days=n) for n in range(1, 4)]
    own.record(*days[:2])
    late = own.line.promised_by(days[-1]) + timedelta(hours=1)
    done = scheduled(own, late, late)
    if missed == "none":
        assert done.error.startswith("NoList")
        assert "Use the control plan" in done.error
        assert_whole(own, [FIRST])
        done = scheduled(own, morning(own, days[-1]))
        assert done.error == ""
    assert_whole(own, [FIRST, *days] if missed == "all" else [FIRST, days[-1]])
    if missed == "all":
        assert [facts(own, day)["provenance"]["retrospective"] for day in days] == [True, True, False]


def test_two_at_once_make_one_list(plant, whole):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda n: tonight(plant), range(3)))
    assert [(one.code, one.error) for one in done] == [(0, "")] * 3
    assert sum("renamed" in one.steps for one in done) == 1
    assert_as_undisturbed(plant, whole)


def test_a_home_of_which_nothing_is_left_is_restored_and_the_night_goes_on(plant, whole, tmp_path):
    from qma_predict.operate.backup import backup, restore

    backup(plant.home, tmp_path / "home.tar", plant.at("2026-03-02 12:00"))
    shutil.rmtree(plant.home.folder)
    restore(tmp_path / "home.tar", tmp_path / "restored")
    again = Plant(plant.folder, Home(tmp_path / "restored"))
    assert tonight(again).error == ""
    assert_as_undisturbed(again, whole)
