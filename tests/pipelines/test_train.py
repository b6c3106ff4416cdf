"""What becomes of a trained model, on a plant of two stations whose oven makes defects when it is hot."""

import logging
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from oven_plant import Place, rows

from pipelines import logs, train
from qma_predict.errors import ModelError
from qma_predict.learn.promotion import Decision
from qma_predict.line import load_line
from qma_predict.publish.models import champion_log, kept_looks, kept_models, trusted
from qma_predict.publish.models.model import line_of

FIRST, LATER = date(2026, 2, 24), date(2026, 3, 31)
NOW = datetime(2026, 4, 2, tzinfo=UTC)


def told(entries):
    return [(one.version, one.role, one.event) for one in entries]


@pytest.fixture
def place(make_lake, tmp_path):
    """The plant without any model."""
    place = Place(tmp_path)
    shutil.copytree(make_lake(rows()).folder, place.home.lake("tiny"))
    return place


@pytest.fixture(scope="module")
def _with_first(tmp_path_factory):
    """Filled by the first test that asks for it: its place, after the first training."""
    return tmp_path_factory.mktemp("with_first"), []


@pytest.fixture
def with_first(_with_first, place, tmp_path):
    """The plant with a first model, which is by readings."""
    folder, done = _with_first
    if not done:
        done += told(place.says("readings").train(FIRST))
        shutil.copytree(tmp_path, folder, dirs_exist_ok=True)
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    assert done == [("1", "first", "promoted")]
    return Place(tmp_path / "copy")


def another(place, **changed):
    """Keep the champion's files once more, as another version."""
    model = replace(place.champion, **changed)
    files = {name: (place.home.models("tiny") / "v1" / name).read_bytes() for name in ("model.skops", "baseline.skops")}
    fitted, rule = (trusted.loaded(data) for data in files.values())
    return kept_models.keep(place.home, model, fitted, rule, kept_models.load_reference(place.home, place.champion))


def test_newer_data_refresh_the_champion(with_first):
    (entry,) = with_first.train(LATER)
    assert (entry.version, entry.role, entry.event) == ("2", "refresh", "promoted")
    assert entry.why.startswith("not worse than the champion by more than 10%: average precision ")
    assert with_first.champion.as_of == load_line(with_first.line).as_of(LATER)
    assert with_first.train(LATER) == []  # run again: nothing is done twice


@pytest.mark.proof
def test_a_run_that_was_stopped_before_the_log_said_so_leaves_the_champion_and_the_next_one_goes_on(
    with_first, monkeypatch
):
    class Killed(BaseException):
        pass

    def stopped(*_args, **_more):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(champion_log, "append", stopped)
        with pytest.raises(Killed):
            with_first.train(LATER)
    assert kept_models.versions(with_first.home, "tiny") == ["1", "2"]
    assert with_first.champion.version == "1"
    (entry,) = with_first.train(LATER)
    assert (entry.version, entry.event, with_first.champion.version) == ("3", "promoted", "3")


def test_a_run_again_trains_nothing(with_first):
    assert with_first.train(FIRST) == []
    assert kept_models.versions(with_first.home, "tiny") == ["1"]


def test_what_a_training_logs_says_of_which_line_it_is(with_first, caplog):
    caplog.handler.addFilter(logs._note)
    try:
        with caplog.at_level(logging.INFO, logger="pipelines.train"):
            with_first.train(FIRST)
    finally:
        caplog.handler.removeFilter(logs._note)
    (record,) = (one for one in caplog.records if one.name == "pipelines.train")
    assert "trained before on the same data" in record.getMessage()
    assert record.about == {"line": "tiny", "business_date": FIRST.isoformat()}


def test_a_challenger_that_is_no_better_stays_in_the_shadow_and_the_champions_recipe_is_refreshed(with_first):
    with_first.says("route")
    entries = with_first.train(LATER)
    assert told(entries) == [("2", "challenger", "refused"), ("3", "refresh", "promoted")]
    assert entries[0].why.startswith("not shown to be better than simple rules (logistic: average precision ")
    log = champion_log.entries(with_first.home, "tiny")
    champion, shadow = with_first.champion, champion_log.shadow(with_first.home, "tiny", log)
    assert (champion.learning["families"], shadow.learning["families"]) == (["readings"], ["route"])
    assert (champion.as_of, champion.version, shadow.version) == (shadow.as_of, "3", "2")
    assert line_of(load_line(with_first.line), champion).learning.families == ("readings",)


def test_every_look_at_a_block_counts_also_of_a_recipe_that_loses_and_where_mlflow_begins_anew(with_first, monkeypatch):
    home = with_first.home
    shutil.rmtree(home.mlflow)
    monkeypatch.setattr(train, "judge_challenger", lambda *_args: Decision(True, "better"))
    entries = with_first.says("route").train(FIRST + timedelta(days=7))
    assert told(entries) == [("2", "challenger", "promoted")]
    first, ours, beside = kept_looks.read(home, "tiny")
    assert [one["learning"]["families"] for one in (first, ours, beside)] == [["readings"], ["route"], ["readings"]]
    assert beside["blocks"] == ours["blocks"]
    assert "its blocks were looked at 1 time before" in with_first.champion.also


def test_the_alias_of_mlflow_follows_and_without_its_store_a_decision_stands(with_first, caplog):
    v2 = another(with_first)
    champion_log.append(with_first.home, "tiny", "promoted", v2.version, role="refresh", by="x", why="x", at=NOW)
    (with_first.home.mlflow / "mlflow.db").write_bytes(b"no database")
    done = with_first.run("rollback", with_first.line, "--by", "M. Roth", "--why", "too many false alarms")
    assert done.exit_code == 0, done.output
    assert "v1 rolled back to (first), by M. Roth: too many false alarms" in done.output
    assert with_first.champion.version == "1"
    assert "the alias of model tiny v1 is not moved" in caplog.text


def test_a_named_person_approves_and_the_log_tells_who_was_champion_when(with_first):
    v2 = another(with_first)
    moment = datetime(2026, 5, 2, tzinfo=UTC)
    awaiting = {"role": "challenger", "by": "training", "why": "better"}
    champion_log.append(with_first.home, "tiny", "awaiting approval", v2.version, at=moment, **awaiting)
    refused = with_first.run("approve", with_first.line, "1", "--by", "M. Roth", "--why", "seen")
    assert (refused.exit_code, "v1 of line tiny does not await approval" in refused.output) == (8, True)
    done = with_first.run("approve", with_first.line, "v2", "--by", "M. Roth", "--why", "seen its lists")
    assert (done.exit_code, "v2 approved (challenger), by M. Roth: seen its lists" in done.output) == (0, True)
    now = with_first.run("champion", with_first.line).output
    assert now.startswith("champion of tiny: v2, logistic, trained with what was known at 2026-02-24 04:00 UTC")
    assert [word in now for word in ("v1 promoted", "v2 awaiting approval", "v2 approved")] == [True] * 3
    before = with_first.run("champion", with_first.line, "--on", "2020-01-01")
    assert (before.exit_code, "had no champion at 2020-01-01 04:00 UTC" in before.output) == (8, True)


@pytest.mark.proof
def test_a_challenger_that_is_better_awaits_approval_where_the_line_asks_for_it(place):
    place.says("route", approval=True)
    assert told(place.train(FIRST)) == [("1", "first", "awaiting approval")]
    with pytest.raises(ModelError, match="no champion; v1 awaits approval: qma approve tiny 1 --by NAME --why TEXT"):
        assert place.champion
    champion_log.approve(place.home, "tiny", "1", by="M. Roth", why="a beginning", now=NOW)
    place.says("readings", approval=True)
    entries = place.train(LATER)
    assert [one.event for one in entries] == ["awaiting approval", entries[1].event]
    assert entries[0].why.startswith("better than the champion's recipe by 10% or more: average precision ")
    assert (entries[1].role, place.champion.learning["families"]) == ("refresh", ["route"])
    champion_log.approve(place.home, "tiny", entries[0].version, by="M. Roth", why="good lists", now=NOW)
    assert place.champion.learning["families"] == ["readings"]


@pytest.mark.proof
@pytest.mark.parametrize(
    ("name", "role", "words"),
    [
        ("model.skops", "refresh", "the champion v1 cannot be loaded"),
        ("model.json", "first", "the champion v1 cannot be read. logistic: average precision "),
    ],
)
def test_a_champion_that_is_damaged_gives_way_to_the_next_training(with_first, name, role, words):
    (with_first.home.models("tiny") / "v1" / name).write_bytes(b"damaged")
    (entry,) = with_first.train(LATER)
    assert (entry.version, entry.role, entry.event) == ("2", role, "promoted")
    assert entry.why.startswith(words)


@pytest.mark.proof
def test_a_training_that_knows_less_than_the_champion_is_refused(with_first):
    (entry,) = with_first.train(FIRST - timedelta(days=3))
    assert (entry.event, with_first.champion.version) == ("refused", "1")
    assert entry.why.startswith("it knows less than the champion, which knows what was known at 2026-02-24 04:00 UTC")
