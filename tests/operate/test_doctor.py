import fcntl
import hashlib
import http.server
import json
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from small_homes import FACTS, keep_model, write_toml

from qma_predict.home import Home
from qma_predict.operate import machine_checks
from qma_predict.operate.doctor import as_json, doctor, failed, in_words
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)


def look(small, *, line=True, now=NOW, environment=None, server=None):
    name = str(small.folder) if line else None
    return doctor(name, small.home, now, environment=environment or {}, server=server)


def one(checks, name):
    (found,) = [check for check in checks if check.name == name]
    return found


def not_ok(checks):
    return {check.name for check in checks if check.state != "ok"}


def tree(folder):
    """Name, size, change and content of everything below a folder."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns,
                    hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in [folder, *folder.rglob("*")]
    }  # fmt: skip


def test_a_home_in_order_has_only_warnings_that_say_what_is_not_there_yet(small):
    checks = look(small)
    assert not failed(checks)
    assert not_ok(checks) - {"disk"} == {"mlflow", "messages", "models", "champion"}
    assert {check.name for check in checks} == {
        "python", "packages", "disk", "prefect", "home", "locks", "mlflow", "desk", "line", "messages", "source visits",
        "lake", "lists", "models", "champion", "clock"
    }  # fmt: skip
    assert one(checks, "source visits").found == f"{small.folder}/visits-*.csv: 1 file"
    assert in_words(checks).splitlines()[-1].startswith("16 checks: 0 failed, ")
    assert json.loads(as_json(checks))[0]["name"] == "python"


def test_nothing_is_changed(small):
    before = tree(small.folder.parent)
    look(small)
    assert tree(small.folder.parent) == before
    nowhere = Home(small.folder / "no home")
    checks = doctor(None, nowhere, NOW, environment={}, server=None)
    assert one(checks, "home").state == "warning"
    assert not nowhere.folder.exists()
    for other in (small.folder, small.folder / "line.toml"):
        found = one(doctor(None, Home(other), NOW, environment={}, server=None), "home")
        assert (found.state, "is something else than a home" in found.found) == ("failed", True)


def test_a_version_outside_its_range_and_a_package_that_is_missing_are_named():
    found = machine_checks.packages(["numpy<1", "no-such-package>=2", 'nothing; python_version < "3"', "pandas"])
    assert found.state == "failed"
    assert found.found.endswith("expected <1; no-such-package is missing, expected >=2")
    assert machine_checks.python_version("3.10.4", ">=3.11").state == "failed"
    assert machine_checks.python_version("3.13.0", ">=3.11").state == "ok"


@pytest.mark.parametrize(("free", "state"), [(10e9, "ok"), (1e9, "warning"), (1e8, "failed")])
def test_a_disk_that_is_nearly_full_is_told(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert machine_checks.free_space(tmp_path / "not there yet").state == state


def test_the_prefect_server_answers_or_not(small):
    server = http.server.HTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://lead:s3cret@127.0.0.1:{server.server_port}/api"
    try:
        there = machine_checks.prefect_server(url.replace("lead:s3cret@", ""))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert there.state == "ok"
    started = time.monotonic()
    away = machine_checks.prefect_server(url)
    assert time.monotonic() - started < 5
    assert away.state == "warning"
    assert "s3cret" not in away.found
    assert machine_checks.prefect_server("no url").state == "warning"


class _Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_a_lock_that_is_held_is_named_and_stays_held(small):
    file = small.home.folder / "locks" / "tiny.lock"
    file.parent.mkdir(exist_ok=True)
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        found = one(look(small), "locks")
        assert found.state == "warning"
        assert str(file) in found.found
        with file.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert one(look(small), "locks").state == "ok"


def test_a_home_of_a_newer_version_is_told_and_no_store_of_it_is_read(small):
    (small.home.folder / "home.json").write_text('{"format": 99}')
    checks = look(small, line=False)
    assert "format 99" in one(checks, "home").found
    assert not {"locks", "mlflow", "desk"} & {check.name for check in checks}


@pytest.mark.parametrize(("state", "name"), [("failed", "desk.db"), ("warning", "mlflow/mlflow.db")])
def test_a_damaged_database_is_told(small, state, name):
    file = small.home.folder / name
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)")
        connection.executemany("INSERT INTO experiments VALUES (?, ?)", [(n, "x" * 50) for n in range(1, 500)])
    content = bytearray(file.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    file.write_bytes(content)
    found = one(look(small), file.stem)
    assert found.state == state
    assert str(file) in found.found
    file.write_bytes(b"no database, whatever it is called" * 100)
    assert one(look(small), file.stem).state == state


def test_a_store_of_a_home_that_was_moved_by_hand_is_told(small):
    small.home.mlflow.mkdir()
    with closing(sqlite3.connect(small.home.mlflow / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)")
        connection.execute("INSERT INTO experiments VALUES (0, '/elsewhere'), (1, 'file:///old/mlflow/artifacts/tiny')")
    found = one(look(small), "mlflow")
    assert found.state == "warning"
    assert "file:///old/mlflow" in found.found


def test_a_desk_database_elsewhere_is_asked_and_its_password_is_not_told(small, tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")):
        pass
    there = one(look(small, environment={"QMA_DESK": f"sqlite:///{tmp_path}/other.db"}), "desk")
    assert (there.state, "empty" in there.found) == ("ok", True)
    away = one(look(small, environment={"QMA_DESK": "postgresql://me:s3cret@127.0.0.1:1/desk"}), "desk")
    assert away.state == "failed"
    assert "s3cret" not in away.found


def test_a_lake_that_lacks_a_file_is_told(small):
    next(small.home.lake("tiny").glob("visits/*.parquet")).unlink()
    assert "missing or cut" in one(look(small), "lake").found


def test_a_list_that_was_changed_and_a_link_that_shows_an_older_one_are_told(small):
    folder = small.home.published("tiny")
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("revisions/2026-03-02.r1")
    found = one(look(small), "lists")
    assert (found.state, found.what_to_do[-44:]) == ("failed", "mends it: qma nightly tiny --date 2026-03-03")
    (folder / "2026-03-02" / "risk_list.html").write_text("another")
    assert "risk_list.html has SHA-256" in one(look(small), "lists").found


def test_the_files_of_a_list_are_read_once(small, monkeypatch):
    read, seen = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: seen.append(path.name) or read(path))
    look(small)
    assert seen.count("risk_list.html") == 2  # of two lists


def test_every_list_that_is_damaged_or_gone_is_named_and_the_champion_is_looked_at_nevertheless(small):
    folder = small.home.published("tiny")
    (folder / "2026-03-02" / "risk_list.html").unlink()
    (folder / "revisions" / "2026-03-03.r1").rename(small.folder / "moved away")
    found = one(look(small), "lists")
    assert found.state == "failed"
    assert "revisions/2026-03-02.r1: the published list is damaged: risk_list.html is missing" in found.found
    assert "revisions/2026-03-03.r1: the published list is damaged: manifest.json or" in found.found
    assert found.found.count("restore the folder from a backup, or publish the date again with --replace WHY") == 2
    assert one(look(small), "champion").state == "warning"  # there is none, as in a home that is in order


def test_a_kept_model_that_was_changed_and_a_log_that_was_rewritten_are_told(small):
    keep_model(small.home, "1", NOW)
    for event in ("promoted", "refused"):
        champion_log.append(small.home, "tiny", event, "1", role="first", by="a test", why="it is the only one", at=NOW)
    checks = look(small)
    assert one(checks, "models").state == "ok"
    assert one(checks, "champion").found == "v1 since 2026-03-03; the log is whole (2 entries)"
    (small.home.models("tiny") / "v1" / "baseline.skops").write_bytes(b"another")
    found = one(look(small), "models")
    assert found.state == "failed"
    assert "baseline.skops" in found.found
    log = small.home.champions("tiny")
    whole = log.read_bytes()
    facts = FACTS | {"provenance": {"champion_log": champion_log.head(small.home, "tiny")}}
    bundle.publish(small.home.published("tiny"), date(2026, 3, 4), {"a.txt": b"a"}, facts=facts, receipt={})
    assert one(look(small), "champion").state == "ok"
    log.write_bytes(whole.splitlines(keepends=True)[0])
    assert "that the list of 2026-03-04 quotes" in one(look(small), "champion").found
    log.write_bytes(whole)
    log.write_text(log.read_text().replace("it is the only one", "it is the best one"))
    assert "was changed after it was written" in one(look(small), "champion").found


def test_a_log_of_champions_that_is_gone_while_a_list_quotes_it_has_failed(small):
    keep_model(small.home, "1", NOW)
    champion_log.append(small.home, "tiny", "promoted", "1", role="first", by="a test", why="it is one", at=NOW)
    facts = FACTS | {"provenance": {"champion_log": champion_log.head(small.home, "tiny")}}
    bundle.publish(small.home.published("tiny"), date(2026, 3, 4), {"a.txt": b"a"}, facts=facts, receipt={})
    log = small.home.champions("tiny")
    whole = log.read_bytes()
    for left in (whole[:-2], b"", None):  # a line that is torn is none
        log.unlink() if left is None else log.write_bytes(left)
        found = one(look(small), "champion")
        assert found.state == "failed"
        assert "that the list of 2026-03-04 quotes" in found.found
        assert "Restore it from a backup; if there is none, a person vouches for a champion" in found.found


def test_a_revision_that_is_not_shown_any_more_is_held_against_the_log_too(small):
    keep_model(small.home, "1", NOW)
    promoted = {"role": "first", "by": "a test", "why": "it is one", "at": NOW}
    for why in (None, "a log that somebody wrote anew"):
        champion_log.append(small.home, "tiny", "promoted", "1", **promoted)
        facts = FACTS | {"provenance": {"champion_log": champion_log.head(small.home, "tiny")}}
        folder = small.home.published("tiny")
        bundle.publish(folder, date(2026, 3, 4), {"a.txt": b"a"}, facts=facts, receipt={}, replace=why)
        assert one(look(small), "champion").state == ("ok" if why is None else "failed")
        small.home.champions("tiny").unlink()
        promoted["why"] = "it is another one"


def test_kept_models_without_any_log_of_champions_are_told(small):
    keep_model(small.home, "1", NOW)
    found = one(look(small), "champion")
    assert found.state == "failed"
    assert "the log has no entry, and models are kept (v1). If it was removed or emptied, restore it" in found.found


@pytest.mark.parametrize("event", ["promoted", "awaiting approval"])
def test_a_version_that_reigned_or_waits_is_held_against_the_log(small, event):
    for version in ("1", "2", "3"):
        keep_model(small.home, version, NOW)
        last = event if version == "1" else "promoted"
        role = "challenger" if version == "1" else "refresh"
        champion_log.append(small.home, "tiny", last, version, role=role, by="a test", why="it is one", at=NOW)
    assert one(look(small), "models").state == "ok"
    facts = small.home.models("tiny") / "v1" / "model.json"
    facts.write_text(facts.read_text().replace("none is better", "this is better"))
    found = one(look(small), "models")
    assert found.state == "failed"
    assert "model.json: model tiny v1 is not what was kept: found SHA-256" in found.found
    shutil.rmtree(facts.parent)
    assert "v1/model.json: model tiny v1 is not what was kept" in one(look(small), "models").found


def test_what_was_written_later_than_now_is_told(small):
    found = one(look(small, now=NOW - timedelta(days=1)), "clock")
    assert found.state == "failed"
    assert "the lake's files is of 2026-03-03 04:00 UTC" in found.found
    assert "the list of 2026-03-03" in found.found


def test_a_line_that_cannot_be_loaded_is_told_in_its_own_words(small):
    write_toml(small.folder, lambda text: text.replace('"05:00"', '"five"'))
    checks = look(small)
    assert failed(checks)
    assert "list.as_of" in one(checks, "line").found


def test_sources_that_cannot_be_reached_and_variables_that_are_not_set_are_told(small):
    more = 'messages = { to = ["json://${QMA_HOOK}"] }\n'
    away = ', { table = "units", path = "none-*.csv", delay = "0 s" }, { table = "events", query = "select 1", '
    away += f'url = "sqlite:///{small.folder}/none.db", delay = "0 s" }}]'
    write_toml(small.folder, lambda text: more + text.rstrip().removesuffix("]") + away)
    checks = look(small)
    assert one(checks, "source visits").state == "ok"
    assert "no file matches" in one(checks, "source units").found
    assert "cannot be reached" in one(checks, "source events").found
    assert "QMA_HOOK not set" in one(checks, "messages").found
    assert one(look(small, environment={"QMA_HOOK": "host"}), "messages").state == "ok"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(small):
    small.home.desk.chmod(0)
    assert one(look(small), "desk").state == "failed"
