import json
import os
import resource
import shutil
import signal
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from qma_predict.errors import ModelError
from qma_predict.home import open_home
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log, champion_quotes, kept_models
from qma_predict.publish.models.model import Model

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = json.dumps({"format": 1, "model": {}, "files": {}})


@pytest.fixture
def home(tmp_path):
    """A home with five versions that have facts and no files."""
    home = open_home(tmp_path / "home")
    for number in range(1, 6):
        model = Model("tiny", str(number), "run", "boosted_trees", True, NOW, 0.1, "better")
        folder = home.models("tiny") / f"v{number}"
        folder.mkdir(parents=True)
        (folder / "model.json").write_bytes(kept_models._as_facts(model, {}))
    return home


def say(home, event, version, role="refresh", day=0, **more):
    at = NOW + timedelta(days=day)
    return champion_log.append(home, "tiny", event, version, role=role, by="training", why="because", at=at, **more)


def champion(home, at=None):
    return champion_log.champion(home, "tiny", at).version


def test_the_newest_promotion_is_champion_and_a_refusal_changes_nothing(home):
    say(home, "promoted", "1", "first")
    say(home, "promoted", "2", day=1)
    say(home, "refused", "3", day=2)
    assert champion(home) == "2"
    assert [champion(home, NOW + timedelta(hours=hours)) for hours in (0, 23, 24, 90)] == ["1", "1", "2", "2"]
    with pytest.raises(ModelError, match="line tiny had no champion at 2026-03-01 11:59 UTC"):
        champion(home, NOW - timedelta(minutes=1))


def test_without_an_entry_there_is_no_champion_and_no_head(home):
    assert champion_log.head(home, "tiny") == ""
    with pytest.raises(
        ModelError, match=r"the log has no entry, and models are kept \(v1, v2, v3, v4, v5\)\. If it was"
    ):
        champion(home)
    shutil.rmtree(home.models("tiny"))
    with pytest.raises(ModelError, match="line tiny has no champion. Train one first: qma train tiny"):
        champion(home)


def test_every_entry_names_the_one_before_and_the_head_is_the_newest(home):
    told = [say(home, "promoted", "1", "first"), say(home, "refused", "2")]
    assert champion_log.entries(home, "tiny") == told
    assert [one.number for one in told] == [1, 2]
    assert (told[0].previous, told[1].previous) == ("", told[0].sha256)
    assert champion_log.head(home, "tiny") == told[1].sha256
    assert told[0].model_sha256 == kept_models.read(home, "tiny", "1").sha256


def changed(text):
    """Ways to rewrite a log of three entries."""
    rows = text.splitlines(keepends=True)
    return {
        "a reason": (text.replace("because", "for no reason", 1), 1),
        "a champion": (text.replace('"version": "3"', '"version": "2"'), 3),
        "one left out": (rows[0] + rows[2], 2),
        "the first left out": (rows[1] + rows[2], 1),
        "another order": (rows[1] + rows[0] + rows[2], 1),
        "one twice": (text + rows[2], 4),
        "no entry": (rows[0] + "?\n", 2),
        "of another kind": (rows[0] + "[]\n", 2),
        "a field more": (rows[0].replace('"at"', '"and": 1, "at"'), 1),
    }


@pytest.mark.parametrize("how", list(changed("a\nb\nc\n")))
def test_whatever_is_changed_in_the_log_is_found_with_its_entry(home, how):
    for version in "123":
        say(home, "promoted", version)
    file = home.champions("tiny")
    text, entry = changed(file.read_text())[how]
    file.write_text(text)
    with pytest.raises(ModelError, match=rf"tiny.jsonl, entry {entry}: the log of champions was changed"):
        champion(home)
    with pytest.raises(ModelError, match="was changed after it was written"):
        say(home, "promoted", "4")


def test_entries_taken_away_at_the_end_show_against_a_head_that_was_quoted(home):
    for version in "12":
        say(home, "promoted", version)
    quoted, file = champion_log.head(home, "tiny"), home.champions("tiny")
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert champion(home) == "1"
    assert quoted not in {one.sha256 for one in champion_log.entries(home, "tiny")}


def test_a_line_that_a_dead_writer_did_not_finish_is_no_entry_and_is_cut_by_the_next(home):
    say(home, "promoted", "1", "first")
    file = home.champions("tiny")
    whole = file.read_bytes()
    say(home, "promoted", "2")
    torn = file.read_bytes()
    for length in (len(whole) + 1, len(whole) + 100, len(torn) - 2):
        file.write_bytes(torn[:length])
        assert champion(home) == "1"
        say(home, "promoted", "3")
        assert champion(home) == "3"
        assert file.read_bytes().count(b"\n") == 2


def test_a_last_line_that_hashes_whole_is_an_entry_and_the_next_one_follows_it(home):
    for version in "12":
        say(home, "promoted", version)
    file, whole = home.champions("tiny"), home.champions("tiny").read_bytes()
    file.write_bytes(whole[:-1])
    assert champion(home) == "2"
    say(home, "promoted", "3")
    assert file.read_bytes().startswith(whole)
    assert [one.version for one in champion_log.entries(home, "tiny")] == ["1", "2", "3"]


def quote(home, day, version="1", published=NOW, **more):
    """Publish a list that quotes the log as it is."""
    told = {"champion_log": champion_log.head(home, "tiny")}
    facts = {"provenance": told, "model": {"version": version}}
    receipt = {"published_at": published.isoformat()}
    bundle.publish(home.published("tiny"), date(2026, 3, day), {"a": b"a"}, facts=facts, receipt=receipt, **more)


def written_anew(home, *versions):
    """Write another log, whose hashes fit."""
    home.champions("tiny").unlink()
    for version in versions:
        say(home, "promoted", version, day=-1)


def test_a_log_that_was_written_anew_cut_or_removed_lacks_what_lists_quote(home):
    champion_quotes.checked(home, "tiny")
    for version in "12":
        say(home, "promoted", version)
        quote(home, int(version))
    file, whole = home.champions("tiny"), home.champions("tiny").read_bytes()
    assert len(champion_quotes.checked(home, "tiny")) == 2
    written_anew(home, "1", "3")
    assert champion(home) == "3"
    for left in (file.read_bytes(), whole.splitlines(keepends=True)[0], b"", None):
        file.unlink() if left is None else file.write_bytes(left)
        with pytest.raises(
            ModelError, match=r"tiny\.jsonl: lacks the entry .*\.\.\. that the list of 2026-03-02 quotes"
        ):
            champion_quotes.checked(home, "tiny")


def test_a_revision_that_is_not_shown_any_more_quotes_too_and_only_the_newest_dates_may_be_asked(home):
    say(home, "promoted", "1")
    quote(home, 1)
    written_anew(home, "2")
    quote(home, 1, replace="by the log that was written anew")
    with pytest.raises(ModelError, match="that the list of 2026-03-01 quotes"):
        champion_quotes.checked(home, "tiny")
    quote(home, 2)
    assert champion_quotes.checked(home, "tiny", 1)
    with pytest.raises(ModelError, match="that the list of 2026-03-01 quotes"):
        champion_quotes.checked(home, "tiny", 2)


def test_nothing_is_added_to_a_log_that_lacks_what_lists_quote_until_a_person_vouches_for_a_champion(home):
    for version in "12":
        say(home, "promoted", version)
    say(home, "awaiting approval", "3", "challenger")
    with pytest.raises(ModelError, match="lacks nothing that a list quotes"):
        vouch(home, "2")
    quote(home, 1)
    written_anew(home, "1", "4")
    say(home, "awaiting approval", "3", "challenger", day=-1)
    found = home.champions("tiny").read_bytes()
    for attempt in (lambda: approve(home, "3"), lambda: roll_back(home)):
        with pytest.raises(
            ModelError, match="there is none, a person vouches for a champion: qma approve tiny 1 --log"
        ):
            attempt()
    assert home.champions("tiny").read_bytes() == found
    entry = vouch(home, "2")
    assert home.champions("tiny").read_bytes().startswith(found)
    assert champion_log.in_words(entry) == "2026-03-06 12:00 UTC  v2 vouched for (first), by M. Roth: seen its lists"
    assert champion(home) == "2"
    assert waiting(home) == []
    quote(home, 2, published=NOW + timedelta(days=6))
    assert len(champion_quotes.checked(home, "tiny")) == 4
    assert roll_back(home).version == "4"
    file = home.champions("tiny")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-2]))  # as it was before
    with pytest.raises(ModelError, match="that the list of 2026-03-02 quotes"):
        champion_quotes.checked(home, "tiny")


def test_a_list_after_a_person_vouched_for_a_champion_is_held_against_the_log_again(home):
    say(home, "promoted", "1")
    quote(home, 1)
    home.champions("tiny").unlink()
    vouch(home, "1")
    say(home, "promoted", "2", day=6)
    quote(home, 2, published=NOW + timedelta(days=7))
    assert len(champion_quotes.checked(home, "tiny")) == 2
    file = home.champions("tiny")
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(ModelError, match="that the list of 2026-03-02 quotes"):
        champion_quotes.checked(home, "tiny")


def test_a_list_that_is_damaged_quotes_nothing(home):
    say(home, "promoted", "1")
    quote(home, 1)
    home.champions("tiny").unlink()
    (home.published("tiny") / "2026-03-01" / "manifest.json").write_text("{}")
    assert champion_quotes.checked(home, "tiny") == []


def test_writers_at_the_same_time_lose_no_entry(home):
    children = []
    for version in ("1", "2", "3", "4"):
        children.append(os.fork())
        if children[-1] == 0:
            for _turn in range(5):
                say(home, "refused", version)
            os._exit(0)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children} == {0}
    versions = [one.version for one in champion_log.entries(home, "tiny")]
    assert sorted(versions) == sorted("1234" * 5)


def test_a_promotion_decided_against_a_champion_that_is_none_any_more_is_refused(home):
    assert say(home, "promoted", "1", "first", over="").event == "promoted"
    say(home, "promoted", "2", over="1")
    late = say(home, "promoted", "3", over="1")
    assert (late.event, champion(home)) == ("refused", "2")
    assert late.why.startswith("v2 became champion while it was trained")


def test_a_model_that_is_not_the_one_that_was_promoted_is_refused(home):
    say(home, "promoted", "1", "first")
    (home.models("tiny") / "v1" / "model.json").write_text(FACTS)
    with pytest.raises(ModelError, match=r"v1/model.json: .*found SHA-256"):
        champion(home)


def test_a_version_that_is_not_kept_cannot_be_promoted(home):
    with pytest.raises(ModelError, match="v9"):
        say(home, "promoted", "9")
    assert champion_log.entries(home, "tiny") == []


def approve(home, version, by="M. Roth", why="seen its lists", day=5):
    return champion_log.approve(home, "tiny", version, by=by, why=why, now=NOW + timedelta(days=day))


def vouch(home, version, day=5):
    now = NOW + timedelta(days=day)
    return champion_log.vouch(home, "tiny", version, by="M. Roth", why="seen its lists", now=now)


def waiting(home):
    return [one.version for one in champion_log.pending(home, "tiny")]


def test_a_version_that_awaits_approval_is_champion_when_somebody_says_so_and_why(home):
    say(home, "awaiting approval", "1", "first")
    with pytest.raises(ModelError, match="has no champion; v1 awaits approval: qma approve tiny 1 --by NAME --why"):
        champion(home)
    entry = approve(home, "1")
    assert (champion(home), entry.by, entry.why, entry.role) == ("1", "M. Roth", "seen its lists", "first")
    assert waiting(home) == []
    assert champion_log.in_words(entry) == "2026-03-06 12:00 UTC  v1 approved (first), by M. Roth: seen its lists"


def test_only_what_awaits_approval_and_was_held_against_the_recipe_in_use_is_approved(home):
    say(home, "promoted", "1", "first")
    say(home, "awaiting approval", "2", "challenger")
    say(home, "promoted", "3", "refresh")
    assert waiting(home) == ["2"]  # a refresh is the same recipe
    with pytest.raises(ModelError, match=r"v3 of line tiny does not await approval; those that do: v2\."):
        approve(home, "3")
    say(home, "awaiting approval", "4", "challenger")
    approve(home, "4")
    assert waiting(home) == []  # v2 was held against another recipe
    with pytest.raises(ModelError, match="v2 of line tiny does not await approval; those that do: none"):
        approve(home, "2")


def roll_back(home, version=None, by="M. Roth", why="too many false alarms", day=6):
    now = NOW + timedelta(days=day)
    return champion_log.rollback(home, "tiny", by=by, why=why, now=now, version=version)


def test_a_rollback_goes_to_the_champion_before_and_another_one_further_back(home):
    for version in "123":
        say(home, "promoted", version)
    say(home, "refused", "4")
    assert [roll_back(home).version, champion(home)] == ["2", "2"]
    assert [roll_back(home).version, champion(home)] == ["1", "1"]
    with pytest.raises(ModelError, match="cannot be rolled back to an earlier champion; .* in use: none"):
        roll_back(home)
    say(home, "promoted", "5")
    assert roll_back(home).version == "1"


def test_a_rollback_goes_to_a_version_only_if_it_was_champion(home):
    for version in "123":
        say(home, "promoted", version)
    say(home, "refused", "4")
    for never in ("4", "3", "9"):
        with pytest.raises(ModelError, match=rf"cannot be rolled back to v{never}; .* in use: v1, v2\."):
            roll_back(home, never)
    assert roll_back(home, "1").event == "rolled back"
    assert champion(home) == "1"


def test_a_damaged_version_is_not_made_champion(home):
    say(home, "promoted", "1", "first")
    say(home, "awaiting approval", "2", "challenger")
    say(home, "promoted", "3")
    for version in "12":
        (home.models("tiny") / f"v{version}" / "model.json").write_text(FACTS)
    for attempt in (lambda: approve(home, "2"), lambda: roll_back(home)):
        with pytest.raises(ModelError, match="found SHA-256"):
            attempt()
    assert champion(home) == "3"


@pytest.mark.parametrize(("by", "why", "name"), [(" ", "a reason", "--by"), ("M. Roth", "\t", "--why")])
def test_nobody_decides_without_a_name_and_a_reason(home, by, why, name):
    for version in "12":
        say(home, "promoted", version)
    say(home, "awaiting approval", "3", "challenger")
    for command, attempt in (
        ("approve", lambda: approve(home, "3", by, why)),
        ("rollback", lambda: roll_back(home, by=by, why=why)),
    ):
        with pytest.raises(ModelError, match=f"qma {command} tiny: {name} is empty"):
            attempt()
    assert champion(home) == "2"


def shadow(home):
    found = champion_log.shadow(home, "tiny", champion_log.entries(home, "tiny"))
    return found and found.version


def test_the_shadow_is_the_challenger_of_the_newest_training(home):
    assert shadow(home) is None
    say(home, "promoted", "1", "first")
    assert shadow(home) is None
    say(home, "refused", "2", "challenger")
    assert shadow(home) == "2"
    say(home, "promoted", "3")  # the champion's recipe, of the same training
    assert shadow(home) == "2"
    say(home, "promoted", "4")  # a training of the champion's recipe alone
    assert shadow(home) is None
    say(home, "awaiting approval", "5", "challenger")
    assert shadow(home) == "5"
    approve(home, "5")
    assert shadow(home) is None


def test_a_disk_that_is_full_leaves_the_champion_and_says_so(home):
    say(home, "promoted", "1", "first")
    size = home.champions("tiny").stat().st_size
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.dont_write_bytecode = True  # half a compiled module would be kept, and fail whoever imports it later
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, size + 50))  # half of an entry fits
        try:
            say(home, "promoted", "2")
        except ModelError as error:
            os._exit(77 if "cannot be written" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
    assert home.champions("tiny").stat().st_size == size + 50
    assert champion(home) == "1"
    say(home, "promoted", "2")
    assert champion(home) == "2"
