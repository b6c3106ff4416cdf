import hashlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from qma_predict.errors import DamagedList, PublicationError
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.bundle import (
    STEPS,
    finish,
    known_dates,
    lost_dates,
    publish,
    published_dates,
    read,
    revisions,
    sealed,
    verify,
)

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
FACTS = {"line": "line2", "capacity": 38}
CONTENTS = {"risk_list.csv": b"rank\n1\n", "risk_list.html": b"<!doctype html>"}
OTHER = {"risk_list.csv": b"rank\n2\n", "risk_list.html": b"<!doctype html>"}

# Python 3.12 and later warn of a fork in a process with threads; the children here only touch files.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")


def put(folder: Path, day: date, contents: dict[str, bytes] = CONTENTS, **options: object) -> Path:
    return publish(folder, day, contents, facts=FACTS, receipt={"published_at": "2026-11-24T04:01:00Z"}, **options)


def in_child(work: Callable[[], object]) -> int:
    """Start the work in a forked process and return its id; it exits with 0 if the work came to its end."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)  # pytest's own clean-up must not run in the child


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def debris(folder: Path) -> list[str]:
    """Return what lies in the folder beside lists, the pointer and the lock."""
    days = published_dates(folder)
    expected = {day.isoformat() for day in days} | {"latest", ".publish.lock", "revisions"}
    lost = {entry.name for entry in folder.glob("revisions/*")}
    lost -= {path.name for day in days for path in revisions(folder, day).values()}
    return sorted({entry.name for entry in folder.iterdir()} - expected | lost)


def legacy(folder: Path, day: date) -> Path:
    """Publish as earlier versions of the program did: a folder with the name of the date, without a revision."""
    elsewhere = put(folder.with_name(f"{folder.name} of today"), day)
    path = folder / day.isoformat()
    shutil.copytree(elsewhere, path)
    old = json.loads((path / "manifest.json").read_text())
    manifest = json.dumps({key: old[key] for key in ("business_date", "facts", "files")}).encode()
    (path / "manifest.json").write_bytes(manifest)
    (path / "receipt.json").write_text(json.dumps({"manifest_sha256": hashlib.sha256(manifest).hexdigest()}))
    return path


def test_a_published_list_has_its_files_manifest_and_receipt(tmp_path):
    path = put(tmp_path / "published" / "line2", TUESDAY)
    assert path == tmp_path / "published" / "line2" / "2026-11-24"
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.name in CONTENTS} == CONTENTS
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["business_date"] == "2026-11-24"
    assert manifest["facts"] == FACTS
    # printf 'rank\n1\n' | sha256sum
    assert manifest["files"]["risk_list.csv"] == {
        "bytes": 7,
        "sha256": "619607b99c01995eac795f964ca17859a5eb410d6f07487efccac7fd1715c0b4",
    }
    assert json.loads((path / "receipt.json").read_text())["published_at"] == "2026-11-24T04:01:00Z"
    assert (tmp_path / "published" / "line2" / "latest").readlink() == Path("2026-11-24")
    assert debris(path.parent) == []


def test_the_same_list_published_elsewhere_at_another_time_has_the_same_bytes(tmp_path):
    first = put(tmp_path / "a", TUESDAY)
    second = publish(
        tmp_path / "b",
        TUESDAY,
        dict(reversed(CONTENTS.items())),
        facts=FACTS,
        receipt={"published_at": "later"},
    )
    for name in [*CONTENTS, "manifest.json"]:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (first / "receipt.json").read_bytes() != (second / "receipt.json").read_bytes()


def test_a_date_is_published_once_and_then_stays_as_it_is(tmp_path, caplog):
    path = put(tmp_path, TUESDAY)
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()}
    assert put(tmp_path, TUESDAY) == path
    assert caplog.records == []
    assert put(tmp_path, TUESDAY, {"risk_list.csv": b"other"}) == path
    assert "already published with other content" in caplog.text
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()} == before


def test_the_pointer_never_moves_back(tmp_path):
    put(tmp_path, TUESDAY)
    put(tmp_path, MONDAY)
    assert (tmp_path / "latest").readlink() == Path("2026-11-24")
    assert published_dates(tmp_path) == [MONDAY, TUESDAY]


def test_the_pointer_moves_forward_over_month_and_year(tmp_path):
    for day in (date(2026, 9, 30), date(2026, 10, 1), date(2027, 1, 1)):
        put(tmp_path, day)
        assert (tmp_path / "latest").readlink() == Path(day.isoformat())


def test_reading_gives_the_manifest_of_a_date(tmp_path):
    put(tmp_path, TUESDAY)
    assert read(tmp_path, TUESDAY)["facts"] == FACTS
    with pytest.raises(PublicationError, match="no list is published for this date; published are: 2026-11-24 to"):
        read(tmp_path, MONDAY)
    with pytest.raises(PublicationError, match="published are: none"):
        read(tmp_path / "no line", MONDAY)


def edit_manifest(path: Path) -> None:
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"capacity": 38', '"capacity": 39'))


def as_folder(path: Path) -> None:
    (path / "risk_list.html").unlink()
    (path / "risk_list.html").mkdir()


DAMAGES = [
    (
        lambda path: (path / "risk_list.csv").write_bytes(b"rank\n2\n"),
        "risk_list.csv has SHA-256 .*, expected",
    ),
    (lambda path: (path / "risk_list.html").unlink(), "risk_list.html is missing"),
    (as_folder, "risk_list.html cannot be read"),
    (edit_manifest, "manifest.json is not the one that receipt.json names"),
    (lambda path: (path / "manifest.json").unlink(), "manifest.json or receipt.json cannot be read"),
    (lambda path: (path / "manifest.json").write_text("[1]"), "manifest.json or receipt.json cannot be read"),
    (lambda path: (path / "receipt.json").write_text("{}"), "manifest.json or receipt.json cannot be read"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_list_is_named_and_not_replaced(tmp_path, damage, message):
    path = put(tmp_path, TUESDAY)
    damage(path)
    for ask in (lambda: verify(path), lambda: read(tmp_path, TUESDAY), lambda: put(tmp_path, TUESDAY)):
        with pytest.raises(PublicationError, match=f"{message}.*restore the folder from a backup"):
            ask()


@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGES])
def test_a_damaged_list_can_be_replaced_and_what_is_left_of_it_stays(tmp_path, damage):
    path = put(tmp_path, TUESDAY)
    damage(path)
    left = whole_tree(path.resolve())
    for _ in range(2):
        put(tmp_path, TUESDAY, OTHER, replace="damaged files")
    manifest = read(tmp_path, TUESDAY)
    assert (manifest["revision"], manifest["reason"], manifest["replaces"]) == (2, "damaged files", None)
    assert (path / "risk_list.csv").read_bytes() == b"rank\n2\n"
    assert whole_tree(tmp_path / "revisions" / "2026-11-24.r1") == left


def test_a_list_whose_folder_is_gone_is_told_and_can_be_replaced_by_the_revision_after_it(tmp_path):
    put(tmp_path, MONDAY)
    put(tmp_path, TUESDAY)
    put(tmp_path, TUESDAY, OTHER, replace="late file")
    shutil.rmtree(tmp_path / "revisions" / "2026-11-24.r2")
    assert (published_dates(tmp_path), lost_dates(tmp_path)) == ([MONDAY], [TUESDAY])
    assert known_dates(tmp_path) == [MONDAY, TUESDAY]
    assert list(revisions(tmp_path, TUESDAY)) == [1, 2]  # what the date shows, though it is gone
    for ask in (lambda: read(tmp_path, TUESDAY), lambda: put(tmp_path, TUESDAY)):
        with pytest.raises(DamagedList, match=r"2026-11-24\.r2: the published list is damaged"):
            ask()
    put(tmp_path, MONDAY)
    assert lost_dates(tmp_path) == [TUESDAY]  # an older revision does not take its place unseen
    put(tmp_path, TUESDAY, replace="the folder is gone")
    assert list(revisions(tmp_path, TUESDAY)) == [1, 3]
    assert (read(tmp_path, TUESDAY)["revision"], lost_dates(tmp_path)) == (3, [])
    shutil.rmtree(tmp_path / "revisions" / "2026-11-23.r1")
    put(tmp_path, MONDAY, replace="the folder is gone")
    assert list(revisions(tmp_path, MONDAY)) == [2]


def whole_tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_list_under_the_name_of_another_date_is_damaged(tmp_path):
    shutil.copytree(put(tmp_path, MONDAY), tmp_path / "2026-11-24")
    with pytest.raises(PublicationError, match=r"manifest\.json is of business date 2026-11-23"):
        read(tmp_path, TUESDAY)


@pytest.mark.parametrize("name", ["manifest.json", "receipt.json", "../x", "a/b", ".hidden", "", "..", "a\\b"])
def test_a_name_that_is_no_plain_file_is_refused(tmp_path, name):
    with pytest.raises(PublicationError, match="cannot be published, expected a plain name"):
        put(tmp_path, TUESDAY, {name: b""})


def test_a_store_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    def full(name: str) -> None:
        if name == "manifest written":
            raise OSError(28, "No space left on device")

    with pytest.raises(PublicationError, match=r"cannot be written .*No space left.*lists are unchanged"):
        put(tmp_path, TUESDAY, step=full)
    assert published_dates(tmp_path) == []
    assert debris(tmp_path) == []


def test_a_lock_that_is_never_released_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "LOCK_SECONDS", 0.05)
    with (
        FileLock(tmp_path / ".publish.lock"),
        pytest.raises(PublicationError, match="another process has been"),
    ):
        put(tmp_path, TUESDAY)


def test_who_comes_second_where_no_lock_reaches_keeps_the_first_list(tmp_path):
    other = put(tmp_path / "elsewhere", TUESDAY, {"risk_list.csv": b"from the other host"})

    def other_host_is_first(name: str) -> None:
        if name == "staging flushed":
            shutil.copytree(other, tmp_path / "line" / other.name)

    path = put(tmp_path / "line", TUESDAY, step=other_host_is_first)
    assert (path / "risk_list.csv").read_bytes() == b"from the other host"
    assert debris(tmp_path / "line") == []


def test_every_step_is_announced_in_the_order_it_is_listed(tmp_path):
    names: list[str] = []
    put(tmp_path, TUESDAY, step=names.append)
    assert list(dict.fromkeys(names)) == [name for name in STEPS if name not in ("old folder moved", "link made")]
    assert names.count("file written") == len(CONTENTS)


def test_every_step_of_a_replacement_is_announced_in_the_order_it_is_listed(tmp_path):
    legacy(tmp_path, TUESDAY)
    names: list[str] = []
    put(tmp_path, TUESDAY, OTHER, replace="late file", step=names.append)
    assert list(dict.fromkeys(names)) == list(STEPS)


@pytest.mark.parametrize("nth", range(len(STEPS) + len(CONTENTS) - 3))
def test_a_writer_that_is_stopped_leaves_the_old_list_or_the_new_one(tmp_path, nth):
    put(tmp_path, MONDAY)
    steps: list[str] = []

    def die(name: str) -> None:
        steps.append(name)
        if len(steps) == nth + 1:
            os._exit(77)

    assert exit_code(in_child(lambda: put(tmp_path, TUESDAY, step=die))) == 77
    seen = published_dates(tmp_path)
    assert seen in ([MONDAY], [MONDAY, TUESDAY])
    for day in seen:
        assert set(read(tmp_path, day)["files"]) == set(CONTENTS)
    assert verify((tmp_path / "latest").resolve())["business_date"] in {day.isoformat() for day in seen}

    put(tmp_path, TUESDAY)
    assert published_dates(tmp_path) == [MONDAY, TUESDAY]
    assert verify((tmp_path / "latest").resolve())["business_date"] == "2026-11-24"
    assert debris(tmp_path) == []


@pytest.mark.parametrize("last", ["date linked", "date flushed", "pointer made"])
def test_what_a_stopped_writer_had_left_to_do_is_done_without_another_publication(tmp_path, last):
    put(tmp_path, MONDAY)

    def die(name: str) -> None:
        if name == last:
            os._exit(77)

    assert exit_code(in_child(lambda: put(tmp_path, TUESDAY, step=die))) == 77
    assert (tmp_path / "latest").resolve().name == "2026-11-23.r1"
    finish(tmp_path)
    assert (tmp_path / "latest").resolve().name == "2026-11-24.r1"
    assert debris(tmp_path) == []


def test_eight_writers_at_once_give_one_whole_list(tmp_path):
    writers = [{name: f"{name} of writer {i}".encode() for name in CONTENTS} for i in range(8)]
    children = [in_child(lambda contents=contents: put(tmp_path, TUESDAY, contents)) for contents in writers]
    assert [exit_code(pid) for pid in children] == [0] * 8
    assert set(read(tmp_path, TUESDAY)["files"]) == set(CONTENTS)
    assert {name: (tmp_path / "latest" / name).read_bytes() for name in CONTENTS} in writers
    assert debris(tmp_path) == []


def test_writers_of_several_dates_at_once_lose_none(tmp_path):
    days = [date(2026, 11, day) for day in range(1, 9)]
    children = [in_child(lambda day=day: put(tmp_path, day)) for day in days]
    assert [exit_code(pid) for pid in children] == [0] * 8
    assert published_dates(tmp_path) == days
    assert (tmp_path / "latest").readlink() == Path("2026-11-08")


def test_a_list_of_an_earlier_version_that_is_damaged_is_its_date_s_last_revision(tmp_path):
    folder = tmp_path / "line"
    path = legacy(folder, TUESDAY)
    (path / "manifest.json").unlink()
    assert revisions(folder, TUESDAY) == {1: path}
    with pytest.raises(DamagedList, match=r"manifest\.json or receipt\.json cannot be read"):
        verify(revisions(folder, TUESDAY)[1])


def test_a_manifest_is_compared_with_its_receipt_alone(tmp_path):
    path = put(tmp_path, TUESDAY)
    whole = verify(path)
    (path / "risk_list.csv").unlink()
    assert sealed(path) == whole
    (path / "manifest.json").write_bytes((path / "manifest.json").read_bytes() + b" ")
    with pytest.raises(DamagedList, match=r"manifest\.json is not the one that receipt\.json names"):
        sealed(path)


def test_a_list_that_is_replaced_stays_readable_beside_the_new_one(tmp_path):
    path = put(tmp_path, TUESDAY)
    first = (path / "manifest.json").read_bytes()
    assert put(tmp_path, TUESDAY, OTHER, replace="two files came late") == path
    assert (path / "risk_list.csv").read_bytes() == b"rank\n2\n"
    manifest = read(tmp_path, TUESDAY)
    assert (manifest["revision"], manifest["reason"]) == (2, "two files came late")
    assert manifest["replaces"] == hashlib.sha256(first).hexdigest()
    assert published_dates(tmp_path) == [TUESDAY]
    kept = revisions(tmp_path, TUESDAY)
    assert list(kept) == [1, 2]
    assert (kept[1] / "risk_list.csv").read_bytes() == b"rank\n1\n"
    old = verify(kept[1])
    assert (old["revision"], old["reason"], old["replaces"]) == (1, None, None)
    assert (tmp_path / "latest" / "risk_list.csv").read_bytes() == b"rank\n2\n"
    assert debris(tmp_path) == []


def test_the_same_replacement_again_changes_nothing_and_another_is_the_next_revision(tmp_path):
    put(tmp_path, TUESDAY)
    for _ in range(2):
        put(tmp_path, TUESDAY, OTHER, replace="late file")
    assert list(revisions(tmp_path, TUESDAY)) == [1, 2]
    put(tmp_path, TUESDAY, OTHER, replace="another reason")
    put(tmp_path, TUESDAY, CONTENTS, replace="back again")
    assert list(revisions(tmp_path, TUESDAY)) == [1, 2, 3, 4]
    assert read(tmp_path, TUESDAY)["reason"] == "back again"


def test_a_replaced_list_that_is_published_again_without_a_reason_stays(tmp_path, caplog):
    put(tmp_path, TUESDAY)
    put(tmp_path, TUESDAY, OTHER, replace="late file")
    put(tmp_path, TUESDAY)
    assert "already published with other content" in caplog.text
    assert read(tmp_path, TUESDAY)["revision"] == 2


def test_nothing_is_replaced_without_a_reason_or_without_a_list(tmp_path):
    with pytest.raises(PublicationError, match="no list is published for this date"):
        put(tmp_path, TUESDAY, replace="late file")
    put(tmp_path, TUESDAY)
    with pytest.raises(PublicationError, match="the reason is empty; say why"):
        put(tmp_path, TUESDAY, OTHER, replace=" ")
    assert list(revisions(tmp_path, TUESDAY)) == [1]
    assert revisions(tmp_path, MONDAY) == {}


def test_a_list_of_an_earlier_version_of_the_program_is_read_and_can_be_replaced(tmp_path):
    path = legacy(tmp_path / "line", TUESDAY)
    assert published_dates(tmp_path / "line") == [TUESDAY]
    assert read(tmp_path / "line", TUESDAY)["revision"] == 1
    assert put(tmp_path / "line", TUESDAY) == path
    assert not path.is_symlink()
    put(tmp_path / "line", TUESDAY, OTHER, replace="late file")
    kept = revisions(tmp_path / "line", TUESDAY)
    assert {number: (folder / "risk_list.csv").read_bytes() for number, folder in kept.items()} == {
        1: b"rank\n1\n",
        2: b"rank\n2\n",
    }
    assert verify(kept[1])["revision"] == 1
    assert debris(tmp_path / "line") == []


def test_a_line_copied_by_a_program_that_follows_links_can_go_on(tmp_path):
    put(tmp_path / "line", TUESDAY)
    put(tmp_path / "line", TUESDAY, OTHER, replace="late file")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "line", copy)
    assert not (copy / "2026-11-24").is_symlink()
    put(copy, TUESDAY, CONTENTS, replace="back again")
    assert list(revisions(copy, TUESDAY)) == [1, 2, 3]
    assert read(copy, TUESDAY)["revision"] == 3
    assert (copy / "2026-11-24").is_symlink()


@pytest.mark.parametrize("nth", range(len(STEPS) + len(CONTENTS) - 4))
def test_a_replacing_writer_that_is_stopped_leaves_the_old_list_or_the_new_one(tmp_path, nth):
    put(tmp_path, TUESDAY)
    steps: list[str] = []

    def die(name: str) -> None:
        steps.append(name)
        if len(steps) == nth + 1:
            os._exit(77)

    assert exit_code(in_child(lambda: put(tmp_path, TUESDAY, OTHER, replace="late file", step=die))) == 77
    assert published_dates(tmp_path) == [TUESDAY]
    for path in (tmp_path / "2026-11-24", tmp_path / "latest"):
        assert verify(path)["revision"] in (1, 2)
    put(tmp_path, TUESDAY, OTHER, replace="late file")
    assert {number: verify(path)["reason"] for number, path in revisions(tmp_path, TUESDAY).items()} == {
        1: None,
        2: "late file",
    }
    assert read(tmp_path, TUESDAY)["revision"] == 2
    assert debris(tmp_path) == []


@pytest.mark.parametrize("last", ["old folder moved", "renamed", "link made", "date linked"])
def test_a_writer_that_is_stopped_while_it_replaces_a_list_of_an_earlier_version_loses_nothing(tmp_path, last):
    legacy(tmp_path / "line", TUESDAY)

    def die(name: str) -> None:
        if name == last:
            os._exit(77)

    stopped = in_child(lambda: put(tmp_path / "line", TUESDAY, OTHER, replace="late file", step=die))
    assert exit_code(stopped) == 77
    put(tmp_path / "line", TUESDAY, OTHER, replace="late file")
    kept = revisions(tmp_path / "line", TUESDAY)
    assert [verify(path)["reason"] for path in kept.values()] == [None, "late file"]
    assert debris(tmp_path / "line") == []


def test_readers_see_a_whole_list_while_eight_writers_replace_it(tmp_path):
    put(tmp_path, TUESDAY)
    writers = [{name: f"{name} of writer {i}".encode() for name in CONTENTS} for i in range(8)]
    children = [
        in_child(lambda contents=contents, why=f"writer {i}": put(tmp_path, TUESDAY, contents, replace=why))
        for i, contents in enumerate(writers)
    ]
    running = set(children)
    while running:
        read(tmp_path, TUESDAY)
        running -= {pid for pid in running if (ended := os.waitpid(pid, os.WNOHANG))[0] and ended[1] == 0}
    kept = revisions(tmp_path, TUESDAY)
    assert list(kept) == list(range(1, 10))
    manifests = [verify(path) for path in kept.values()]
    assert {manifest["reason"] for manifest in manifests[1:]} == {f"writer {i}" for i in range(8)}
    for before, after in zip(kept.values(), manifests[1:], strict=False):
        assert after["replaces"] == hashlib.sha256((before / "manifest.json").read_bytes()).hexdigest()
    assert read(tmp_path, TUESDAY)["revision"] == 9
    assert debris(tmp_path) == []
