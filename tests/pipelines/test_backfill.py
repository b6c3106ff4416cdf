import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pipelines.backfill
from pipelines.backfill import Backfilled, backfill_flow, in_words_of
from pipelines.cli import app
from pipelines.nightly import list_night
from pipelines.steps import run
from qma_predict.data.lake import Lake
from qma_predict.errors import PublicationError
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log

FIRST, THERE, LAST = (date(2025, 11, day) for day in (10, 11, 12))


@pytest.fixture
def place(with_one_list):
    """A home of its own in which one list of three is published."""
    assert bundle.published_dates(with_one_list.published("demo")) == [THERE]
    return with_one_list


def told_in(place):
    """Files of messages, which say who was told of what."""
    return {path: path.read_bytes() for path in (place.folder / "messages").rglob("*") if path.is_file()}


def test_dates_without_a_list_get_one_that_says_it_was_made_afterwards(trained, place):
    versions, messages = Lake(place.lake("demo")).versions(), told_in(place)
    done = run(backfill_flow, trained.line, str(place.folder), FIRST, LAST)
    assert done == Backfilled((FIRST, LAST), (THERE,), ())
    folder = place.published("demo")
    told = {day: bundle.read(folder, day)["facts"]["provenance"]["retrospective"] for day in (FIRST, THERE, LAST)}
    assert told == {FIRST: True, THERE: False, LAST: True}
    assert (folder / "latest").resolve().name == f"{LAST}.r1"
    assert Lake(place.lake("demo")).versions() == versions  # nothing is ingested
    assert told_in(place) == messages


def test_a_date_that_cannot_be_made_is_left_out_and_told(trained, place):
    before = date(2025, 11, 9)  # the champion was trained as of the tenth
    words = ["--home", str(place.folder), "backfill", trained.line, "--from", str(before), "--to", str(before)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == PublicationError.exit_code
    assert f"model v{trained.model.version} was trained with what was known at 2025-11-10" in done.output
    assert bundle.published_dates(place.published("demo")) == [THERE]


def test_whatever_one_date_raises_those_after_it_are_made(trained, place, monkeypatch, caplog):
    def fails_once(line, home, day, **more):
        if day == FIRST:
            raise TypeError("unhashable")
        return list_night(line, home, day, **more)

    monkeypatch.setattr(pipelines.backfill, "list_night", fails_once)
    done = run(backfill_flow, trained.line, str(place.folder), FIRST, LAST)
    assert done == Backfilled((LAST,), (THERE,), ((FIRST, "TypeError('unhashable')"),))
    assert "Traceback" in caplog.text


def test_a_list_made_afterwards_by_an_earlier_champion_says_so(trained, place):
    folder, newest = place.models("demo"), "9"
    version = trained.model.version
    shutil.copytree(folder / f"v{version}", folder / f"v{newest}")
    file = folder / f"v{newest}" / "model.json"
    file.write_text(file.read_text().replace(f'"version": "{version}"', f'"version": "{newest}"'))
    champion_log.append(
        place,
        "demo",
        "promoted",
        newest,
        role="refresh",
        by="training",
        why="newer",
        at=datetime(2026, 1, 6, tzinfo=UTC),
    )
    for name in ("model.skops", "baseline.skops"):
        (folder / f"v{newest}" / name).unlink()
    run(backfill_flow, trained.line, str(place.folder), LAST, LAST)
    facts = bundle.read(place.published("demo"), LAST)["facts"]
    assert (facts["model"]["version"], facts["state"]) == (version, "DEGRADED")
    assert facts["reaction"]["instead"].startswith(f"v{version}, an earlier champion, is used. ")
    assert facts["reaction"]["instead"] in facts["state_reasons"]


def test_today_and_dates_in_the_wrong_order_are_refused(trained, place):
    today = datetime.now(UTC).date()
    with pytest.raises(PublicationError, match="is not one of the past"):
        run(backfill_flow, trained.line, str(place.folder), today, today)
    with pytest.raises(PublicationError, match="expected the earlier date first"):
        run(backfill_flow, trained.line, str(place.folder), LAST, FIRST)


def test_days_without_a_run_are_not_missing(trained, place, tmp_path):
    toml = (Path(trained.line) / "line.toml").read_text()
    (tmp_path / "line.toml").write_text(
        toml.replace("[prediction]", '[schedule]\ncron = "0 5 * * 0,6"\n\n[prediction]')
    )
    done = run(backfill_flow, str(tmp_path), str(place.folder), THERE, LAST)  # Tuesday and Wednesday
    assert done == Backfilled((), (), ())


def test_what_was_done_is_told_in_spans():
    days = tuple(FIRST + timedelta(days=n) for n in range(4))
    done = Backfilled((*days[:2], days[3]), (days[2],), ((LAST + timedelta(days=9), "no champion"),))
    assert in_words_of(done).splitlines() == [
        "made: 2025-11-10 to 2025-11-11, 2025-11-13",
        "there before: 2025-11-12",
        "not made: 2025-11-21: no champion",
    ]
