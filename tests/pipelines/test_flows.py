import shutil
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from pipelines import ingest
from pipelines.ingest import ingest_flow, take_in_for
from pipelines.nightly import list_night, nightly_flow
from pipelines.steps import run
from qma_predict.data.ingest import Ingested
from qma_predict.data.lake import Lake
from qma_predict.errors import ModelError, PublicationError
from qma_predict.publish.lists import bundle


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "receipt.json"}


@pytest.fixture(scope="module")
def night_13(_trained, plant_folder):
    """Folder of a published list. Shared: leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QMA_DATA", str(plant_folder))
        return run(nightly_flow, _trained.line, str(_trained.home.folder), date(2025, 11, 13))


def test_a_night_run_twice_is_the_same_list_and_stays_untouched(trained, night_13):
    first = night_13
    before, receipt = contents(first), (first / "receipt.json").read_bytes()
    second = run(nightly_flow, trained.line, str(trained.home.folder), date(2025, 11, 13))
    assert (second, contents(second), (second / "receipt.json").read_bytes()) == (first, before, receipt)


def test_a_night_made_anew_in_another_home_is_the_same_to_the_byte(trained, tmp_path):
    shutil.copytree(trained.home.folder, tmp_path / "home", symlinks=True)  # with the same earlier lists
    first = run(nightly_flow, trained.line, str(trained.home.folder), date(2025, 11, 12))
    again = run(nightly_flow, trained.line, str(tmp_path / "home"), date(2025, 11, 12))
    assert contents(again) == contents(first)


def test_the_manifest_names_line_model_and_pinned_tables(trained, line, night_13):
    folder = night_13
    facts = bundle.verify(folder)["facts"]
    assert facts["line_digest"] == line.digest
    assert facts["model"]["version"] == trained.model.version
    assert facts["lake_versions"] == Lake(trained.home.lake("demo")).versions()
    assert facts["listed"] <= line.list.capacity
    listed = pd.read_csv(folder / "risk_list.csv").query("listed")
    assert len(listed) == facts["listed"]
    assert facts["ranking"] == trained.model.ranking
    assert facts["expected"] is None  # the small plant has too few defects to check probabilities
    assert set(listed["score_is"]) == {"ranking"}


def test_a_list_that_is_not_due_is_refused(trained):
    with pytest.raises(PublicationError, match="which is not yet"):
        run(nightly_flow, trained.line, str(trained.home.folder), datetime.now(UTC).date() + timedelta(days=3))


def test_a_model_that_knows_more_than_the_list_is_refused(trained):
    with pytest.raises(ModelError, match="trained with what was known at 2025-11-10"):
        run(nightly_flow, trained.line, str(trained.home.folder), date(2025, 11, 8))


def test_without_a_champion_nothing_is_published_and_the_message_says_what_to_do(trained, home, tmp_path):
    shutil.copytree(home.folder, tmp_path / "home")
    with pytest.raises(ModelError, match="no champion. Train one first: qma train demo"):
        run(nightly_flow, trained.line, str(tmp_path / "home"), date(2025, 11, 14))
    assert not (tmp_path / "home" / "published").exists()


def test_a_damaged_list_is_not_taken_for_a_published_one(trained, night_13):
    folder = night_13
    whole = (folder / "risk_list.csv").read_bytes()
    (folder / "risk_list.csv").write_bytes(whole[:-10])
    with pytest.raises(PublicationError, match="damaged"):
        run(nightly_flow, trained.line, str(trained.home.folder), date(2025, 11, 13))
    (folder / "risk_list.csv").write_bytes(whole)


@pytest.mark.parametrize(
    ("now", "first_seen"),
    [
        ("2026-02-03 04:30", "2026-02-03 04:00"),  # on its own day: known at the list's moment
        ("2026-02-05 09:00", "2026-02-05 09:00"),  # two days late: first seen now
    ],
)
def test_a_late_run_does_not_pretend_to_have_seen_the_files_in_time(trained, monkeypatch, now, first_seen):
    seen = []

    def take_in(line, home, as_of, tried_again=False):
        seen.append(as_of)
        return Ingested((), (), ())

    monkeypatch.setattr(ingest, "take_in", take_in)
    moment = pd.Timestamp(now, tz="UTC").to_pydatetime()
    take_in_for(trained.line, str(trained.home.folder), date(2026, 2, 3), clock=lambda: moment)
    assert seen == [pd.Timestamp(first_seen, tz="UTC")]


def test_without_a_server_no_server_is_started(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    done = run(ingest_flow, trained.line, str(trained.home.folder))
    assert done.files == ()
    assert not list(tmp_path.glob("prefect/*.db"))


@pytest.fixture(scope="module")
def prefect_server():
    from prefect.testing.utilities import prefect_test_harness  # takes seconds, in every process of tests

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_under_a_server_the_same_flows_run_as_flows_and_give_the_same_list(trained, prefect_server, tmp_path):
    shutil.copytree(trained.home.folder, tmp_path / "home", symlinks=True)
    directly = list_night(trained.line, str(trained.home.folder), date(2025, 11, 15), retrospective=True)
    state = nightly_flow(trained.line, str(tmp_path / "home"), date(2025, 11, 15), return_state=True)
    assert state.is_completed()
    assert contents(state.result()) == contents(directly)
    assert state.state_details.flow_run_id is not None
