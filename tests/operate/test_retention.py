import os
import re
import shutil
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable
from small_homes import FACTS, keep_model

from qma_predict.data.lake import Lake
from qma_predict.errors import HomeError, LakeError, ModelError
from qma_predict.operate import retention
from qma_predict.operate.retention import Tidied, in_words, tidy
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log, kept_models
from qma_predict.publish.reaction import Scorers, shadow_bytes

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEEP = timedelta(days=30)


def problem(lake, hour):
    moment = pd.Timestamp("2026-03-03", tz="UTC") + pd.Timedelta(hours=hour)
    lake.append("problems", pd.DataFrame({"table": "visits", "problem": f"away {hour}", "ingested_at": [moment]}))


def pin(small, version, day=date(2026, 3, 4)):
    facts = FACTS | {"lake_versions": {"problems": version}}
    bundle.publish(small.home.published("tiny"), day, {"a.txt": b"a"}, facts=facts, receipt={})


def grow_old(folder):
    """As if everything in the folder had been written before 2020."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1.5e9, 1.5e9))


def problems(small, version=None):
    return sorted(Lake(small.home.lake("tiny"))._delta("problems", version).to_pyarrow_table()["problem"].to_pylist())


def test_what_lists_pin_stays_readable_after_the_table_was_compacted_and_tidied(small):
    lake = Lake(small.home.lake("tiny"))
    for hour in range(5):
        problem(lake, hour)
    pin(small, 2)
    folder = small.home.lake("tiny") / "problems"
    DeltaTable(str(folder)).optimize.compact()
    (folder / "part-of-a-dead-writer.parquet").write_bytes(b"half")
    grow_old(folder)
    found = tidy(small.home, "tiny", KEEP, NOW)
    assert {one.path.name for one in found.old} == {"part-of-a-dead-writer.parquet"}
    assert tidy(small.home, "tiny", KEEP, NOW, apply=True) == found
    assert not (folder / "part-of-a-dead-writer.parquet").exists()
    assert tidy(small.home, "tiny", KEEP, NOW) == ([], [])
    assert problems(small, 2) == ["away 0", "away 1", "away 2"]
    assert problems(small) == [f"away {hour}" for hour in range(5)]
    assert lake.at(NOW, {"problems": 2}).tables["problems"].count().execute() == 3


def test_what_no_list_pins_is_removed_once_it_is_old(small):
    lake = Lake(small.home.lake("tiny"))
    for hour in range(5):
        problem(lake, hour)
    pin(small, 1)
    folder = small.home.lake("tiny") / "problems"
    DeltaTable(str(folder)).optimize.compact()
    commit = max((folder / "_delta_log").glob("*.json"))
    commit.write_text(re.sub(r'"deletionTimestamp":\d+', '"deletionTimestamp":1500000000000', commit.read_text()))
    assert len(tidy(small.home, "tiny", KEEP, NOW).old) == 3
    found = tidy(small.home, "tiny", KEEP, NOW, apply=True).old
    assert len(found) == 3
    assert all(one.bytes > 0 for one in found)
    assert problems(small, 1) == ["away 0", "away 1"]
    assert problems(small) == [f"away {hour}" for hour in range(5)]


def test_pinned_versions_stay_readable_however_many_commits_and_days_follow(small):
    lake = Lake(small.home.lake("tiny"))
    for hour in range(99):
        problem(lake, hour)
    grow_old(small.home.lake("tiny") / "problems" / "_delta_log")
    for hour in (99, 100):  # every hundredth commit, Delta would forget what is older than 30 days
        problem(lake, hour)
    assert len(problems(small, 3)) == 4
    assert len(problems(small)) == 101


def test_a_pinned_version_that_is_gone_is_told_and_nothing_is_removed(small):
    lake = Lake(small.home.lake("tiny"))
    problem(lake, 1)
    pin(small, 7)
    folder = small.home.lake("tiny") / "problems"
    (folder / "orphan.parquet").write_bytes(b"half")
    grow_old(folder)
    for number in ("1", "2", "3"):
        keep_model(small.home, number, NOW - timedelta(days=100))
    with pytest.raises(LakeError, match="cannot be tidied"):
        tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert (folder / "orphan.parquet").exists()
    assert kept_models.versions(small.home, "tiny") == ["1", "2", "3"]


def append(small, version, event, days):
    at = NOW - timedelta(days=days)
    champion_log.append(small.home, "tiny", event, version, role="challenger", by="a test", why="it is one", at=at)


def test_models_that_were_never_champion_and_made_no_list_are_removed_once_they_are_old(small):
    for number in range(1, 7):
        keep_model(small.home, str(number), NOW - timedelta(days=100))
    append(small, "2", "promoted", 90)
    append(small, "3", "refused", 80)
    append(small, "4", "refused", 5)
    append(small, "5", "awaiting approval", 70)
    # v1 made the published lists; v6 is the newest
    (old,) = tidy(small.home, "tiny", KEEP, NOW).old
    assert (old.path.name, old.why) == ("v3", "a model that was never champion and made no list")
    assert kept_models.versions(small.home, "tiny") == ["1", "2", "3", "4", "5", "6"]
    assert (
        in_words(Tidied([old], []), applied=False)
        .splitlines()[-1]
        .endswith("would be removed; qma tidy ... --apply removes it")
    )
    tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert kept_models.versions(small.home, "tiny") == ["1", "2", "4", "5", "6"]
    assert [path.name for path in small.home.models("tiny").iterdir() if path.name.startswith(".")] == []
    assert tidy(small.home, "tiny", timedelta(days=365), NOW) == ([], [])


def quote(small, day, head, **contents):
    """Publish a list that quotes an entry of the log of champions."""
    facts = FACTS | {"provenance": {"champion_log": head}}
    contents = {name.replace("_", "."): content for name, content in contents.items()} | {"a.txt": b"a"}
    bundle.publish(small.home.published("tiny"), day, contents, facts=facts, receipt={})


def test_challengers_of_tonight_and_of_kept_lists_stay(small):
    for number in range(1, 7):
        keep_model(small.home, str(number), NOW - timedelta(days=100))
    append(small, "2", "promoted", 90)
    append(small, "3", "refused", 85)
    quote(small, date(2026, 3, 10), champion_log.head(small.home, "tiny"))
    append(small, "4", "refused", 80)
    append(small, "5", "refused", 70)
    (old,) = tidy(small.home, "tiny", KEEP, NOW, apply=True).old
    assert old.path.name == "v4"
    assert kept_models.versions(small.home, "tiny") == ["1", "2", "3", "5", "6"]
    shutil.rmtree(small.home.models("tiny") / "v3")  # that it is gone stops nobody
    assert tidy(small.home, "tiny", KEEP, NOW) == ([], [])
    facts = small.home.models("tiny") / "v5" / "model.json"
    facts.write_bytes(facts.read_bytes() + b"\n")  # damaged: it stays
    assert tidy(small.home, "tiny", KEEP, NOW) == ([], [])


def test_nothing_is_removed_where_the_log_of_champions_lacks_what_a_list_quotes(small):
    for number in ("1", "2", "3"):
        keep_model(small.home, number, NOW - timedelta(days=100))
    append(small, "2", "promoted", 90)
    quote(small, date(2026, 3, 10), champion_log.head(small.home, "tiny"))
    small.home.champions("tiny").unlink()
    with pytest.raises(ModelError, match="lacks the entry"):
        tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert kept_models.versions(small.home, "tiny") == ["1", "2", "3"]


def test_a_replay_goes_on_without_a_challenger_that_is_gone(small):
    from pipelines import replay

    keep_model(small.home, "1", NOW - timedelta(days=100))
    append(small, "1", "refused", 90)
    X, day = pd.DataFrame({"x": [1.0]}, ["a"]), date(2026, 3, 10)
    scores = shadow_bytes(X, Scorers(None, None, lambda X: np.array([0.5])))
    quote(small, day, head := champion_log.head(small.home, "tiny"), shadow_parquet=scores)
    asked = replay._Replay(small.line, small.home, small.home, begun=None)
    facts = {"provenance": {"champion_log": head}}
    assert replay._challenger(asked, day, facts)[0].version == "1"
    shutil.rmtree(small.home.models("tiny") / "v1")
    assert replay._challenger(asked, day, facts) is None


def test_what_cannot_be_removed_is_told_in_words_and_removed_by_the_next(small, monkeypatch):
    for number in ("1", "2", "3"):
        keep_model(small.home, number, NOW - timedelta(days=100))

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(retention.shutil, "rmtree", refuse)
        with pytest.raises(HomeError, match="v2: cannot be removed: .*Permission denied.*run again"):
            tidy(small.home, "tiny", KEEP, NOW, apply=True)
    tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert kept_models.versions(small.home, "tiny") == ["1", "3"]


def changed(list_):
    """The manifest of a list, with another version of its model."""
    manifest = list_ / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": "1"', '"version": "2"'))


@pytest.mark.parametrize("damage", [shutil.rmtree, changed, lambda list_: (list_ / "manifest.json").write_text("{}")])
def test_what_a_damaged_list_may_need_stays_and_the_rest_is_removed(small, damage):
    for number in ("1", "2", "3"):
        keep_model(small.home, number, NOW - timedelta(days=100))
    lake = Lake(small.home.lake("tiny"))
    for hour in range(3):
        problem(lake, hour)
    orphan = small.home.lake("tiny") / "problems" / "part-of-a-dead-writer.parquet"
    orphan.write_bytes(b"half")
    grow_old(orphan.parent)
    page = small.home.folder / "monitoring" / "tiny" / "2026-04-01.html"
    page.parent.mkdir(parents=True)
    page.write_text("page")
    damage(small.home.published("tiny") / "revisions" / "2026-03-02.r1")
    left = sorted(small.home.published("tiny").rglob("*"))
    found = tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert [one.path for one in found.old] == [page]
    assert not page.exists()
    assert kept_models.versions(small.home, "tiny") == ["1", "2", "3"]
    assert orphan.exists()
    assert sorted(small.home.published("tiny").rglob("*")) == left
    lines = in_words(found, applied=True).splitlines()
    assert lines[1:3] == [
        "1 file or folder, 0.0 MB: removed",
        "no model and no file of the lake is removed: nobody knows which of them these lists need",
    ]
    assert "/revisions/2026-03-02.r1: the published list is damaged: manifest.json" in lines[3]
    assert lines[4:] == []


def test_a_list_whose_scores_are_damaged_still_says_what_it_needs(small):
    for number in ("1", "2", "3"):
        keep_model(small.home, number, NOW - timedelta(days=100))
    (small.home.published("tiny") / "revisions" / "2026-03-02.r1" / "risk_list.html").unlink()
    found = tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert ([one.path.name for one in found.old], found.damaged) == (["v2"], [])


def test_replays_and_what_dead_processes_laid_aside_are_removed_once_they_are_old(small):
    old, new = (small.home.folder / "replays" / "tiny" / name for name in ("old", "new"))
    for folder in (old, new):
        (folder / "published").mkdir(parents=True)
        (folder / "published" / "list").write_text("list")
    spilled = small.home.lake("tiny") / ".spill" / "left"
    spilled.parent.mkdir(exist_ok=True)
    spilled.write_text("left")
    for path in (spilled, old / "published" / "list", old / "published", old, new, new / "published"):
        os.utime(path, (1.5e9, 1.5e9))
    now = datetime.now(UTC)  # these are told by when the disk says that they were changed
    assert [one.path for one in tidy(small.home, "tiny", KEEP, now, apply=True).old] == [old, spilled]
    assert not old.exists()
    assert not spilled.exists()
    assert (new / "published" / "list").read_text() == "list"


def test_pages_of_the_monitoring_are_removed_by_their_dates(small):
    folder = small.home.folder / "monitoring" / "tiny"
    folder.mkdir(parents=True)
    for name in ("2026-05-01.html", "2026-05-02.html", "2026-05-03.html", "latest.html"):
        (folder / name).write_text("page")
    tidy(small.home, "tiny", KEEP, NOW, apply=True)
    assert sorted(path.name for path in folder.iterdir()) == ["2026-05-02.html", "2026-05-03.html", "latest.html"]


def test_a_week_is_always_kept_and_an_empty_home_has_nothing_to_remove(small, tmp_path):
    with pytest.raises(ValueError, match="7 days at least"):
        tidy(small.home, "tiny", timedelta(days=6), NOW)
    assert tidy(small.home, "other", KEEP, NOW) == ([], [])
    assert in_words(Tidied([], []), applied=False) == "nothing to remove"
