import hashlib
import json
import shutil
from datetime import date, datetime, timedelta

import pandas as pd
import pytest
from published_lists import put_list

from qma_predict.errors import DamagedList
from qma_predict.publish.messages.sending import harmless
from qma_predict.review.earlier import lists_before, lists_named, read_lists

FIRST = date(2026, 3, 2)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]


@pytest.fixture
def folder(tmp_path, tiny_line):
    """Lists of three days; the second one was replaced at noon."""
    folder = tmp_path / "published" / "tiny"
    for day in DAYS:
        put_list(folder, tiny_line, day, {"u0": 0.5})
    noon = pd.Timestamp(f"{DAYS[1]} 12:00", tz="UTC")
    put_list(folder, tiny_line, DAYS[1], {"u1": 0.5}, replace="late file", published_at=noon)
    return folder


@pytest.fixture
def before(folder, tiny_line):
    """Return a function that reads the lists before the night after the three days, or before a moment."""
    night = tiny_line.as_of(DAYS[-1] + timedelta(days=1))
    return lambda moment=night, **more: lists_before(folder, tiny_line, moment, **more)


def contents(folder):
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


def test_lists_come_as_they_were_shown(before, folder, tiny_line):
    found = before()
    assert list(found.whole) == DAYS
    assert (found.whole[DAYS[1]].path.name, found.damaged) == ("2026-03-03.r2", {})
    early = before(datetime.fromisoformat("2026-03-03 11:59+00:00"))
    assert [one.path.name for one in early.whole.values()] == ["2026-03-02.r1", "2026-03-03.r1"]
    assert list(before(tiny_line.as_of(DAYS[1])).whole) == [FIRST]


def test_a_night_looks_at_the_lists_of_eight_weeks_and_at_the_newest_ones_however_old(before, tiny_line):
    last = tiny_line.as_of(DAYS[-1])
    assert list(before(last + timedelta(weeks=8, days=-1), most=1).whole) == DAYS[-2:]
    assert list(before(last + timedelta(weeks=9), most=2).whole) == DAYS[-2:]
    assert list(before(last + timedelta(weeks=1)).of_weeks(1)) == DAYS[-1:]


def cut(path):
    (path / "scores.parquet").write_bytes((path / "scores.parquet").read_bytes()[:-10])


def away(name):
    return lambda path: (path / name).unlink()


def naked(path):
    (path / "receipt.json").write_text("[]")


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (cut, "scores.parquet has SHA-256 "),
        (away("scores.parquet"), "scores.parquet is missing"),
        (away("manifest.json"), "manifest.json or receipt.json cannot be read"),
        (away("receipt.json"), "receipt.json cannot be read"),
        (naked, "manifest.json or receipt.json cannot be read"),
        (shutil.rmtree, "manifest.json or receipt.json cannot be read"),
    ],
)
def test_a_damaged_list_is_left_out_named_and_stays_as_it_is(before, folder, caplog, damage, wrong):
    damage(folder / "revisions" / "2026-03-02.r1")
    left = contents(folder)
    found = before()
    assert list(found.whole) == DAYS[1:]
    (words,) = found.damaged.values()
    what = "published/tiny/revisions/2026-03-02.r1 of the home"
    start = f"the list of Mon 2 Mar 2026 is damaged, and tonight knows nothing of it: {what}, "
    end = ". Restore it from a backup, or run qma nightly tiny --date 2026-03-02 --replace WHY"
    assert words.startswith(f"{start}{wrong}")
    assert words.endswith(end)
    cut = harmless(words)  # as a message tells it
    assert cut.startswith(start)
    assert cut.endswith(end)
    assert contents(folder) == left
    assert "2026-03-02.r1: the published list is damaged" in caplog.text


def test_the_first_revision_may_be_damaged_once_it_is_replaced(before, folder):
    shutil.rmtree(folder / "revisions" / "2026-03-03.r1")
    assert before().damaged == {}


def test_a_damaged_list_of_an_earlier_version_of_the_program_is_named_too(before, folder):
    (folder / "2026-03-04").unlink()
    (folder / "revisions" / "2026-03-04.r1").rename(folder / "2026-03-04")
    assert list(before().whole) == DAYS
    cut(folder / "2026-03-04")
    assert "published/tiny/2026-03-04 of the home, scores.parquet has" in before().damaged[DAYS[-1]]


def test_an_error_that_is_no_damage_is_raised(folder, tiny_line):
    with pytest.raises(TypeError, match="offset-naive"):
        read_lists(folder, tiny_line, DAYS, datetime(2026, 3, 4, 12))  # noqa: DTZ001


def named(lists):
    """As a manifest has it."""
    return json.loads(json.dumps(lists.named, default=str))


def test_the_lists_that_were_read_are_read_again_whatever_was_published_since(before, folder, tiny_line):
    (folder / "revisions" / "2026-03-04.r1" / "scores.parquet").unlink()
    early = before(datetime.fromisoformat("2026-03-05 04:00+00:00"))
    assert list(early.damaged) == [DAYS[2]]
    said = named(early)
    assert [(one["business_date"], one.get("revision")) for one in said] == [
        ("2026-03-02", 1), ("2026-03-03", 2), ("2026-03-04", None)
    ]  # fmt: skip
    put_list(folder, tiny_line, FIRST - timedelta(days=1), {"u9": 0.5})
    put_list(folder, tiny_line, DAYS[1], {"u1": 0.7}, replace="again")
    put_list(folder, tiny_line, DAYS[2], {"u1": 0.7}, replace="damaged")
    again = lists_named(folder, said, early.moment)
    assert again == early
    assert named(again) == said


def test_a_list_that_is_not_the_one_that_was_read_is_not_taken_for_it(before, folder, tiny_line):
    said = named(before())
    for day, damage in ((DAYS[0], cut), (DAYS[2], shutil.rmtree)):
        path = folder / "revisions" / f"{day}.r1"
        kept = path.with_name("kept")
        shutil.copytree(path, kept)
        damage(path)
        with pytest.raises(DamagedList, match=path.name):
            lists_named(folder, said, before().moment)
        shutil.rmtree(path, ignore_errors=True)
        kept.rename(path)
    shutil.rmtree(folder / "revisions" / "2026-03-02.r1")
    (folder / "2026-03-02").unlink()
    put_list(folder, tiny_line, FIRST, {"another": 0.5})
    with pytest.raises(DamagedList, match=r"manifest.json has SHA-256 .*, expected "):
        lists_named(folder, said, before().moment)
