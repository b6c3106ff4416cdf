from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.backfill import Backfilled, backfill_flow, in_words_of
from pipelines.cli import app
from pipelines.nightly import list_night
from pipelines.steps import run
from qma_predict.data.lake import Lake
from qma_predict.errors import PublicationError
from qma_predict.publish.lists import bundle

FIRST, THERE, LAST = (date(2025, 11, day) for day in (14, 15, 16))


@pytest.fixture
def place(trained, without_lists):
    """A home of its own in which one list of three is published."""
    list_night(trained.line, str(without_lists.folder), THERE)
    return without_lists


def test_dates_without_a_list_get_one_that_says_it_was_made_afterwards(trained, place):
    versions = Lake(place.lake("demo")).versions()
    done = run(backfill_flow, trained.line, str(place.folder), FIRST, LAST)
    assert done == Backfilled((FIRST, LAST), (THERE,), ())
    folder = place.published("demo")
    told = {day: bundle.read(folder, day)["facts"]["provenance"]["retrospective"] for day in (FIRST, THERE, LAST)}
    assert told == {FIRST: True, THERE: False, LAST: True}
    assert (folder / "latest").resolve().name == f"{LAST}.r1"
    assert Lake(place.lake("demo")).versions() == versions  # nothing is ingested
    assert not (place.folder / "messages").exists()


def test_a_date_that_cannot_be_made_is_left_out_and_told(trained, place):
    before = date(2025, 11, 9)  # the champion was trained as of the tenth
    words = ["--home", str(place.folder), "backfill", trained.line, "--from", str(before), "--to", str(before)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == PublicationError.exit_code
    assert f"model v{trained.model.version} was trained with what was known at 2025-11-10" in done.output
    assert bundle.published_dates(place.published("demo")) == [THERE]


def test_today_and_dates_in_the_wrong_order_are_refused(trained, place):
    today = datetime.now(UTC).date()
    with pytest.raises(PublicationError, match="is not one of the past"):
        run(backfill_flow, trained.line, str(place.folder), today, today)
    with pytest.raises(PublicationError, match="expected the earlier date first"):
        run(backfill_flow, trained.line, str(place.folder), LAST, FIRST)


def test_days_without_a_run_are_not_missing(trained, place, tmp_path):
    toml = (Path(trained.line) / "line.toml").read_text()
    (tmp_path / "line.toml").write_text(
        toml.replace("[prediction]", '[schedule]\ncron = "0 5 * * 1-5"\n\n[prediction]')
    )
    done = run(backfill_flow, str(tmp_path), str(place.folder), THERE, LAST)  # Saturday and Sunday
    assert done == Backfilled((), (), ())


def test_what_was_done_is_told_in_spans():
    days = tuple(FIRST + timedelta(days=n) for n in range(4))
    done = Backfilled((*days[:2], days[3]), (days[2],), ((LAST + timedelta(days=9), "no champion"),))
    assert in_words_of(done).splitlines() == [
        "made: 2025-11-14 to 2025-11-15, 2025-11-17",
        "there before: 2025-11-16",
        "not made: 2025-11-25: no champion",
    ]
