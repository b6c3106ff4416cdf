import json
import os
from datetime import UTC, date, datetime

import pytest
from small_homes import FACTS, keep_model
from typer.testing import CliRunner

from pipelines.cli import app
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.fixture
def qma(small, monkeypatch):
    """Return a function that runs `qma --home HOME` with words."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("QMA_DESK", raising=False)

    def run(*words, home=small.home.folder):
        return CliRunner().invoke(app, ["--home", str(home), *map(str, words)])

    return run


def test_the_doctor_exits_with_one_if_a_check_failed(qma, small):
    well = qma("doctor", small.folder)
    assert (well.exit_code, " 0 failed" in well.stdout) == (0, True)
    next(small.home.lake("tiny").glob("visits/*.parquet")).unlink()
    ill = qma("doctor", small.folder, "--json")
    assert ill.exit_code == 1
    assert [check["name"] for check in json.loads(ill.stdout) if check["state"] == "failed"] == ["lake"]


def test_status_tells_of_the_named_lines_or_of_all_under_models(qma, small, monkeypatch):
    assert "tiny (Europe/Berlin)" in qma("status", small.folder).stdout
    (small.folder.parent / "models").mkdir()
    small.folder.rename(small.folder.parent / "models" / "tiny")
    monkeypatch.chdir(small.folder.parent)
    (row,) = json.loads(qma("status", "--json").stdout)
    assert (row["line"], row["newest"]) == ("tiny", "2026-03-03")


def test_commands_that_look_at_the_champion_exit_with_an_error_where_its_log_is_not_what_lists_quote(qma, small):
    for version in ("1", "2"):
        keep_model(small.home, version, NOW)
        champion_log.append(small.home, "tiny", "promoted", version, role="first", by="a test", why="it is one", at=NOW)
    quoted = {"provenance": {"champion_log": champion_log.head(small.home, "tiny")}, "model": {"version": "2"}}
    bundle.publish(small.home.published("tiny"), date(2026, 3, 4), {"a": b"a"}, facts=FACTS | quoted, receipt={})
    commands = [[*words.split(), small.folder] for words in ("champion", "champion --on 2026-03-04", "card", "status")]
    assert [qma(*words).exit_code for words in commands] == [0, 0, 0, 0]
    log, whole = small.home.champions("tiny"), small.home.champions("tiny").read_bytes()
    log.write_bytes(whole.splitlines(keepends=True)[0])
    found = [qma(*words) for words in [*commands, ["doctor", small.folder]]]
    assert [one.exit_code for one in found] == [8, 8, 8, 1, 1]
    assert all("lacks the entry" in one.output for one in found)
    words = ["--by", "M. Roth", "--why", "the disk was replaced"]
    refused = qma("rollback", small.folder, *words)
    assert (refused.exit_code, "qma approve tiny 2 --log-lost" in refused.stderr) == (8, True)
    assert "v2 vouched for (first), by M. Roth: the disk was replaced" in (
        qma("approve", small.folder, "v2", "--log-lost", *words).stdout
    )
    assert [qma(*words).exit_code for words in [*commands, ["doctor", small.folder]]] == [0] * 5
    assert qma("approve", small.folder, "v1", "--log-lost", *words).exit_code == 8


def test_a_home_is_backed_up_and_restored_in_two_commands(qma, small, tmp_path):
    assert qma("backup", tmp_path / "home.tar").exit_code == 0
    done = qma("restore", tmp_path / "home.tar", tmp_path / "new")
    assert done.exit_code == 0
    assert done.stdout.endswith(f"Next: qma --home {tmp_path / 'new'} doctor\n")
    assert qma("doctor", small.folder, home=tmp_path / "new").exit_code == 0
    again = qma("backup", tmp_path / "home.tar")
    assert (again.exit_code, "exists already" in again.stderr) == (5, True)


def test_tidy_only_tells_unless_it_is_to_apply(qma, small):
    folder = small.home.lake("tiny") / ".spill"
    folder.mkdir(exist_ok=True)
    (folder / "left").write_text("x")
    os.utime(folder / "left", (1.5e9, 1.5e9))
    assert "would be removed" in qma("tidy", small.folder).stdout
    assert (folder / "left").exists()
    assert "1 file or folder, 0.0 MB: removed" in qma("tidy", small.folder, "--days", "30", "--apply").stdout
    assert not (folder / "left").exists()
    assert [qma("tidy", small.folder, "--days", days).exit_code for days in (3, 999_999)] == [2, 2]


def test_status_without_any_line_says_where_it_looked(qma, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = qma("status")
    assert (done.exit_code, f"LineError: no line.toml below {tmp_path / 'models'}" in done.stderr) == (3, True)


@pytest.mark.parametrize("words", ["unit {} u1", "tidy {}", "champion {}", "audit-plan {}", "feedback import {} x.csv"])
def test_no_home_is_made_where_its_name_is_mistyped(qma, small, tmp_path, words):
    done = qma(*words.format(small.folder).split(), home=tmp_path / "hone")
    assert (done.exit_code, done.stderr) == (
        5,
        f"HomeError: {tmp_path / 'hone'}: there is no home. Expected the folder in which qma ingest keeps everything: "
        "name it by --home or QMA_HOME.\n",
    )
    assert not (tmp_path / "hone").exists()


def test_with_a_damaged_list_commands_go_on_say_so_and_exit_as_documented(qma, small, tmp_path):
    for day in (2, 3):
        (small.home.published("tiny") / f"2026-03-0{day}" / "manifest.json").unlink()
    shown = qma("unit", small.folder, "u1")
    assert (shown.exit_code, shown.stdout.count("damaged     tiny-2026-03-0"), "visit" in shown.stdout) == (0, 2, True)
    tidied = qma("tidy", small.folder, "--apply")
    assert (tidied.exit_code, "no model and no file of the lake is removed" in tidied.stdout) == (9, True)
    (tmp_path / "filled.csv").write_text("list_id,unit_id,result\ntiny-2026-03-02,u1,1\n")
    taken = qma("feedback", "import", small.folder, tmp_path / "filled.csv")
    assert (taken.exit_code, "2026-03-02.r1: the published list is damaged" in taken.stdout) == (9, True)
    planned = qma("audit-plan", small.folder)
    assert (planned.exit_code, "there is no list that is whole" in planned.stderr) == (7, True)
