import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta

import pandas as pd
from small_homes import FACTS, INGESTED, keep_model, write_toml

from qma_predict.data.lake import Lake
from qma_predict.home import Home
from qma_predict.operate.status import as_json, in_words, status
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)


def row(small, now=NOW):
    (found,) = status(small.home, [str(small.folder)], now)
    return found


def test_a_row_tells_the_newest_list_what_was_taken_in_and_when_it_runs_next(small):
    found = row(small)
    assert (found.line, found.newest, found.state, found.state_reasons) == (
        "tiny", date(2026, 3, 3), "DEGRADED", ("one is late",),
    )  # fmt: skip
    assert found.promise == "1 to 6 defects among 12 listed units"
    assert found.published_at == datetime(2026, 3, 3, 4, 1, tzinfo=UTC)
    assert (found.ingested_at, found.problems) == (INGESTED, ())
    assert found.missing is False
    assert found.next_night == datetime(2026, 3, 4, 4, tzinfo=UTC)  # 05:00 in Berlin
    assert found.next_training is None
    assert found.told_at is None
    assert found.wrong == ()


def test_a_list_that_is_due_and_not_there_is_told(small):
    found = row(small, NOW + timedelta(days=1))
    assert found.missing is True
    assert "no list that can be used" in found.due
    assert found.newest == date(2026, 3, 3)


def test_a_newest_list_whose_folder_is_gone_is_told(small):
    shutil.rmtree(small.home.published("tiny") / "revisions" / "2026-03-03.r1")
    found = row(small)
    assert found.newest is None
    assert "2026-03-03.r1: the published list is damaged" in found.wrong[0]


def test_the_next_run_follows_the_schedule_across_the_clock_change(small):
    cron = 'schedule = { cron = "30 4 * * 0" }\ntraining = { cron = "0 1 1 * *" }\n'
    write_toml(small.folder, lambda text: cron + text)
    found = row(small, datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert found.next_night == datetime(2026, 3, 29, 2, 30, tzinfo=UTC)  # 04:30 in summer time, which began that night
    assert found.next_training == datetime(2026, 3, 31, 23, tzinfo=UTC)


def test_what_could_not_be_read_at_the_last_ingest_is_told_for_a_day(small):
    Lake(small.home.lake("tiny")).append(
        "problems",
        pd.DataFrame({"table": ["visits"] * 5, "problem": [f"share {n} is away" for n in range(5)],
                      "ingested_at": pd.Timestamp("2026-03-03 06:00", tz="UTC")}),
    )  # fmt: skip
    found = row(small)
    assert found.ingested_at == datetime(2026, 3, 3, 6, tzinfo=UTC)
    assert found.problems == tuple(f"share {n} is away" for n in range(5))
    words = in_words([found], NOW)
    assert "share 2 is away" in words
    assert "share 3 is away" not in words
    assert "2 more that were not read" in words
    assert row(small, NOW + timedelta(days=1)).problems == ()


def test_the_champion_its_age_and_who_waits_for_approval_are_told(small):
    for number, event in (("1", "promoted"), ("2", "awaiting approval")):
        keep_model(small.home, number, NOW - timedelta(days=10, hours=1))
        champion_log.append(small.home, "tiny", event, number, role="challenger", by="a test", why="it is one", at=NOW)
    found = row(small)
    assert found.champion == "v1 prevalence, trained with what was known until 2026-02-21, 10 days ago"
    assert (found.champion_days, found.pending) == (10, ("2",))
    assert "v2 waits for approval: qma approve tiny 2 --by NAME --why TEXT" in in_words([found], NOW)


def test_a_log_of_champions_that_is_not_what_a_list_quotes_is_told_and_no_champion(small):
    for version in ("1", "2"):
        keep_model(small.home, version, NOW)
        champion_log.append(small.home, "tiny", "promoted", version, role="first", by="a test", why="it is one", at=NOW)
    facts = FACTS | {"provenance": {"champion_log": champion_log.head(small.home, "tiny")}}
    bundle.publish(small.home.published("tiny"), date(2026, 3, 4), {"a.txt": b"a"}, facts=facts, receipt={})
    log = small.home.champions("tiny")
    for left in (log.read_bytes().splitlines(keepends=True)[0], b""):
        log.write_bytes(left)
        found = row(small)
        (wrong,) = found.wrong
        assert "that the list of 2026-03-04 quotes" in wrong
        assert "champion      not known" in in_words([found], NOW)


def test_kept_models_without_any_log_of_champions_are_told(small):
    keep_model(small.home, "1", NOW)
    assert "the log has no entry, and models are kept (v1)" in row(small).wrong[0]


def test_when_a_message_was_last_sent_is_told(small):
    folder = small.home.folder / "messages" / "tiny"
    folder.mkdir(parents=True)
    for number, name in enumerate(("2026-03-02-r1.json", "2026-03-03-r1.json")):
        (folder / name).write_text("{}")
        sent = datetime(2026, 3, 2 + number, 4, 2, tzinfo=UTC)
        os.utime(folder / name, (sent.timestamp(), sent.timestamp()))
    assert row(small).told_at == datetime(2026, 3, 3, 4, 2, tzinfo=UTC)


def test_what_is_wrong_with_one_line_hides_nothing_of_another(small, tmp_path):
    (tmp_path / "bad").mkdir()
    write_toml(tmp_path / "bad", lambda text: text.replace("capacity = 2", "capacity = -2"))
    (small.home.published("tiny") / "2026-03-03" / "risk_list.html").write_text("changed")
    bad, damaged = status(small.home, [str(tmp_path / "bad"), str(small.folder)], NOW)
    assert "list.capacity" in bad.wrong[0]
    assert bad.due == ""
    (wrong,) = damaged.wrong
    assert "the published list is damaged" in wrong
    assert damaged.ingested_at == INGESTED


def test_a_line_without_anything_yet_is_told_without_making_a_home(small):
    nowhere = Home(small.folder / "none")
    (found,) = status(nowhere, [str(small.folder)], NOW)
    assert (found.newest, found.ingested_at, found.champion, found.wrong) == (None, None, "", ())
    assert not nowhere.folder.exists()
    words = in_words([found], NOW)
    assert "taken in      never" in words
    assert "champion      none; train one: qma train tiny" in words


def test_words_and_json_say_the_same(small):
    rows = [row(small)]
    assert in_words(rows, NOW).splitlines()[:4] == [
        "tiny (Europe/Berlin)",
        "  newest list   2026-03-03: DEGRADED (use with care), published Tue 3 Mar 05:01",
        "                - one is late",
        "  promise       1 to 6 defects among 12 listed units",
    ]
    (told,) = json.loads(as_json(rows))
    assert (told["newest"], told["next_night"]) == ("2026-03-03", "2026-03-04T04:00:00+00:00")
    assert told["missing"] is False
