"""Replayed nights: those that were really run come out the same; others follow a calendar; states change when they
should."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import demo_plant
import pandas as pd
import pytest
from small_plant import FIRST, Plant, make_plant

import pipelines.backfill
import pipelines.ingest
from pipelines.backfill import backfill_flow
from pipelines.ingest import take_in
from pipelines.nightly import list_night
from pipelines.replay import Replayed, replay_flow
from pipelines.steps import run
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.simulate import Plant as Simulated
from qma_predict.errors import HomeError, PublicationError
from qma_predict.home import Home, open_home
from qma_predict.learn.baselines import BASELINES
from qma_predict.line import load_line
from qma_predict.operate.replay_folder import compared, failed_trainings, training_whole
from qma_predict.operate.replay_page import render, words
from qma_predict.operate.replay_report import LISTS, NO_LIST
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log, kept_models

ONE = timedelta(days=1)
SECOND, THIRD = FIRST + ONE, FIRST + 2 * ONE
MISSED = FIRST + 3 * ONE
EARLY = THIRD - 14 * ONE
"""Of the first of two trainings by the calendar that come too early: no label is known, then too few to judge by."""
KNOWN = FIRST + 12 * ONE


def replay(plant: Plant, first: date, last: date, out: Path | None = None) -> Replayed:
    return run(replay_flow, str(plant.folder), str(plant.home.folder), first, last, str(out) if out else None)


def tree(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every file below a folder, links by where they point to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not any(part in without for part in name.parts) and (path.is_symlink() or path.is_file()):
            found[name.as_posix()] = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
    return found


def replayed_bytes(folder: Path) -> dict[str, bytes]:
    """A replay's folder but for what says when it was made."""
    return tree(folder, without=("receipt.json", "locks", ".publish.lock", "home.json"))


@pytest.fixture(scope="module")
def plant_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Three nights that were really run, one that was not, and ten days more until their results are known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.ingest, "now_utc", pipelines.ingest.now_utc)  # which the plant sets
        plant = make_plant(tmp_path_factory.mktemp("plant"))
        toml = (plant.folder / "line.toml").read_text()
        short = toml.replace('families = ["readings"]', 'families = ["readings"], blocks = 1, block = "4 d"')
        (plant.folder / "line.toml").write_text(short)
        for day in (FIRST, SECOND, THIRD):
            ingest_as_of(plant, day, patch, recorded=[day - ONE])
            list_night(str(plant.folder), str(plant.home.folder), day)
        ingest_as_of(plant, KNOWN, patch, recorded=[THIRD + n * ONE for n in range(9)])
        yield plant


def ingest_as_of(plant: Plant, day: date, patch: pytest.MonkeyPatch, *, recorded: list[date]) -> None:
    moment = plant.line.as_of(day)
    patch.setattr(pipelines.ingest, "now_utc", lambda: moment)
    plant.record(*recorded)
    take_in(str(plant.folder), str(plant.home.folder), moment)


@dataclass(frozen=True)
class Real:
    """The plant, what its home held before, and the replay of nights that were really run."""

    plant: Plant
    before: dict[str, bytes]
    done: Replayed


@pytest.fixture(scope="module")
def real(plant_run: Plant) -> Real:
    before = tree(plant_run.home.folder)
    return Real(plant_run, before, replay(plant_run, SECOND, THIRD))


def test_replayed_nights_are_those_that_were_really_run_to_the_byte(real):
    for day in (SECOND, THIRD):
        theirs, ours = (place / "published" / "tiny" / str(day) for place in (real.plant.home.folder, real.done.folder))
        assert tree(ours.resolve(), without=("receipt.json",)) == tree(theirs.resolve(), without=("receipt.json",))
        assert (ours / "manifest.json").exists()
    assert real.done.replay.nights["real"].tolist() == ["same", "same"]


def test_a_replay_changes_nothing_but_its_own_folder(real):
    folder = real.plant.home.folder
    assert real.done.folder == folder / "replays" / "tiny" / f"{SECOND}_{THIRD}"
    assert tree(folder, without=("replays",)) == real.before


def test_the_lists_before_the_first_night_are_the_real_ones(real):
    theirs, ours = (place / "published" / "tiny" / str(FIRST) for place in (real.plant.home.folder, real.done.folder))
    assert tree(ours.resolve()) == tree(theirs.resolve())
    assert ours.is_symlink()
    assert real.done.replay.nights["business_date"].tolist() == [SECOND, THIRD]


def test_the_ladder_scores_the_lists_units_and_what_became_known_later_judges_them(real):
    found = real.done.replay
    assert set(found.figures["contestant"]) == {LISTS, *BASELINES}
    assert found.nights["known"].tolist() == found.nights["new"].tolist() == [8, 8]
    assert (found.nights["promised"] > 0).all()
    recall = found.figures.query("metric == 'recall_at_capacity'").set_index("contestant")["value"]
    assert recall[LISTS] == 1.0  # the plant's defects are those that the oven heated most
    assert recall["prevalence"] < 0.5


def test_what_became_known_after_a_replay_was_begun_does_not_change_it(real):
    before = replayed_bytes(real.done.folder)
    again = replay(real.plant, SECOND, THIRD)
    assert again.folder == real.done.folder
    assert replayed_bytes(again.folder) == before


def test_a_changed_line_is_told_and_another_replay_not_written_over(real, tmp_path):
    plant = real.plant.copy(tmp_path / "copy")
    toml = (plant.folder / "line.toml").read_text()
    (plant.folder / "line.toml").write_text(toml.replace("capacity = 3", "capacity = 2"))
    with pytest.raises(HomeError, match="begun with another line.toml"):
        replay(plant, SECOND, THIRD)
    replay(plant, SECOND, SECOND, tmp_path / "other")
    with pytest.raises(HomeError, match=f"begun with another last {SECOND}, expected {THIRD}"):
        replay(plant, SECOND, THIRD, tmp_path / "other")
    with pytest.raises(HomeError, match="is a home, not a replay"):
        replay(plant, SECOND, THIRD, plant.home.folder)


CHANGED = {"capacity = 3": "capacity = 2", '"05:00"': '"04:30"', '"06:00"': '"05:30"', '"5 d"': '"4 d"'}


def test_a_night_that_was_really_run_has_the_line_toml_of_then(plant_run, tmp_path):
    plant = plant_run.copy(tmp_path / "copy")
    toml = (plant.folder / "line.toml").read_text()
    for before, after in CHANGED.items():
        assert before in toml
        toml = toml.replace(before, after)
    (plant.folder / "line.toml").write_text(toml)
    nights = replay(plant, THIRD, MISSED, tmp_path / "replay").replay.nights
    assert nights["real"].tolist() == ["same", ""]
    assert nights["capacity"].tolist() == [3, 2]


def without_definitions(plant: Plant, to: Path) -> Plant:
    """A plant of its own, whose lists are of a version of the program that kept no definitions."""
    plant = plant.copy(to)
    shutil.rmtree(plant.home.definitions("tiny"))
    return plant


def test_where_the_line_toml_of_then_is_not_kept_todays_is_taken_and_only_what_follows_from_it_differs(
    plant_run, tmp_path
):
    plant = without_definitions(plant_run, tmp_path / "copy")
    toml = (plant.folder / "line.toml").read_text()
    (plant.folder / "line.toml").write_text(f"{toml}\n# a comment\n")
    assert replay(plant, SECOND, SECOND, tmp_path / "comment").replay.nights["real"].item() == "same"
    (plant.folder / "line.toml").write_text(toml.replace("capacity = 3", "capacity = 2"))
    done = replay(plant, SECOND, SECOND, tmp_path / "capacity").replay.nights
    assert done["real"].item().startswith("differs: line.toml was changed since; check_sheet.html, risk_list.csv")
    assert done["capacity"].item() == 2


def test_what_an_earlier_version_of_the_program_did_not_say_is_not_compared(tmp_path):
    def publish(name, files, **facts):
        contents = {file: text.encode() for file, text in files.items()}
        bundle.publish(tmp_path / name, FIRST, contents, facts={"state": "OK", **facts}, receipt={})
        return tmp_path / name

    real = publish("real", {"risk_list.csv": "rank"}, line_digest="1")
    new = {"risk_list.csv": "rank", "more.csv": "rank"}
    assert compared(real, publish("more", new, line_digest="1", earlier_lists=[]), FIRST) == "same"
    assert compared(real, publish("comment", new, line_digest="2"), FIRST) == "same"
    assert compared(real, publish("lacks", {"more.csv": "rank"}, line_digest="1"), FIRST) == "differs: risk_list.csv"
    other = publish("other", {"risk_list.csv": "unit"}, line_digest="2")
    assert compared(real, other, FIRST) == "differs: line.toml was changed since; risk_list.csv, line_digest"
    assert compared(real, tmp_path / "none", FIRST) == "differs: there is no list in the replay"
    assert compared(tmp_path / "none", other, FIRST) == ""


@pytest.fixture(scope="module")
def gap_filled(plant_run: Plant, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """Two nights more that were really run; afterwards the one before them is made, and another one replaced."""
    with pytest.MonkeyPatch.context() as patch:
        plant = plant_run.copy(tmp_path_factory.mktemp("gap") / "copy")
        later = plant.line.as_of(KNOWN)
        patch.setattr(pipelines.backfill, "now_utc", lambda: later)
        for day in (MISSED + ONE, MISSED + 2 * ONE):
            list_night(str(plant.folder), str(plant.home.folder), day)
        done = run(backfill_flow, str(plant.folder), str(plant.home.folder), FIRST, MISSED + 2 * ONE)
        assert done.made == (MISSED,)
        list_night(str(plant.folder), str(plant.home.folder), THIRD, "late results")
        assert list(bundle.revisions(plant.home.published("tiny"), THIRD)) == [1, 2]
        return plant


def test_nights_are_the_same_though_lists_before_them_were_made_or_replaced_afterwards(gap_filled, tmp_path):
    done = replay(gap_filled, MISSED, MISSED + 2 * ONE, tmp_path / "replay")
    assert done.replay.nights["real"].tolist() == ["same"] * 3
    said = bundle.read(gap_filled.home.published("tiny"), MISSED + ONE)["facts"]["earlier_lists"]
    assert [(one["business_date"], one["revision"]) for one in said] == [
        (str(day), 1) for day in (FIRST, SECOND, THIRD)
    ]


def test_a_night_whose_earlier_lists_are_damaged_now_has_those_of_the_replay(gap_filled, tmp_path, caplog):
    plant = gap_filled.copy(tmp_path / "copy")
    (plant.home.published("tiny") / "revisions" / f"{FIRST}.r1" / "risk_list.csv").unlink()
    done = replay(plant, MISSED + ONE, MISSED + ONE, tmp_path / "replay")
    (real,) = done.replay.nights["real"]
    assert real.startswith("differs: ")
    assert "promises" in real
    assert "has the replay's lists before it" in caplog.text


def test_nights_that_the_lake_does_not_reach_are_refused(real):
    with pytest.raises(PublicationError, match=f"reaches to {KNOWN} .* Expected nights that are over"):
        replay(real.plant, SECOND, KNOWN + ONE)
    with pytest.raises(PublicationError, match="expected the earlier date first"):
        replay(real.plant, THIRD, SECOND)


def test_dates_without_a_night_are_refused(real, tmp_path):
    plant = real.plant.copy(tmp_path / "copy")
    toml = (plant.folder / "line.toml").read_text()
    (plant.folder / "line.toml").write_text(f'schedule = {{ cron = "0 5 * * 1" }}\n{toml}')
    tuesday = FIRST + 8 * ONE
    with pytest.raises(PublicationError, match=r"no list is due from .* by the schedule \(0 5 \* \* 1\)"):
        replay(plant, tuesday, tuesday + ONE, tmp_path / "other")


@pytest.fixture(scope="module")
def by_calendar(plant_run: Plant, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Nights before there was a champion, three that were really run, and two after them that were not."""
    return replay(plant_run, EARLY, MISSED + ONE, tmp_path_factory.mktemp("calendar") / "replay")


def test_nights_that_were_not_run_have_the_champion_of_the_calendar(by_calendar):
    nights = by_calendar.replay.nights
    assert nights["real"].tolist() == [*[""] * 12, *["same"] * 3, "", ""]
    entries = champion_log.entries(Home(by_calendar.folder), "tiny")
    assert [entry.at.date() for entry in entries] == [THIRD]  # without a calendar, every week
    assert nights["trained_until"].tolist()[-2:] == [THIRD, THIRD]
    facts = bundle.read(by_calendar.folder / "published" / "tiny", MISSED)["facts"]
    assert facts["provenance"]["champion_log"] == entries[0].sha256
    assert not (by_calendar.folder / "mlflow").exists()


def test_a_training_that_fails_is_told_and_nights_before_there_is_a_champion_have_no_list(by_calendar):
    found = by_calendar.replay
    failed = failed_trainings(Home(by_calendar.folder))
    assert [at.date() for at in failed] == [EARLY, EARLY + 7 * ONE]
    none, few = (f"there is no champion yet: {why}" for why in failed.values())
    assert "0 units with a known label" in none
    assert "Wait for more history" in few
    early = found.nights.head(12)
    assert set(early["state"]) == set(early["verdict"]) == {NO_LIST}
    assert early["reasons"].tolist() == [(none,)] * 7 + [(few,)] * 5
    assert f"{NO_LIST} on 12 nights" in words(found)
    for told in (words(found), render(found)):
        assert "The training as of Wed 18 Feb 05:00 failed, and the champion before it stayed" in told
    published = bundle.published_dates(by_calendar.folder / "published" / "tiny")
    assert published == [FIRST, SECOND, THIRD, MISSED, MISSED + ONE]


def test_where_no_list_can_be_made_at_all_the_reason_is_the_error(plant_run, tmp_path):
    with pytest.raises(
        PublicationError, match="no list can be made from .*: there is no champion yet: .* 0 units with"
    ):
        replay(plant_run, EARLY, EARLY + ONE, tmp_path / "replay")


def test_a_replay_that_was_interrupted_anywhere_ends_in_the_same_bytes(plant_run, by_calendar, tmp_path, caplog):
    whole = replayed_bytes(by_calendar.folder)
    folder = tmp_path / "replay"
    shutil.copytree(by_calendar.folder, folder, symlinks=True)
    lists, place = folder / "published" / "tiny", Home(folder)
    for day in (MISSED, MISSED + ONE):
        (lists / str(day)).unlink()
        shutil.rmtree(lists / "revisions" / f"{day}.r1")
    for path in (folder / "champions", folder / "models"):
        shutil.rmtree(path)
    (folder / "report.html").unlink()
    with contextlib.suppress(KeyboardInterrupt), training_whole(place, "tiny"):  # of which half was done
        shutil.copytree(by_calendar.folder / "models", folder / "models")
        shutil.copytree(by_calendar.folder / "champions", folder / "champions")
        raise KeyboardInterrupt
    kept = (lists / str(THIRD) / "receipt.json").read_bytes()
    caplog.set_level("INFO")
    replay(plant_run, EARLY, MISSED + ONE, folder)
    assert caplog.text.count("training as of") == 1  # the one that failed is not tried again
    assert replayed_bytes(folder) == whole
    assert (lists / str(THIRD) / "receipt.json").read_bytes() == kept
    assert kept_models.versions(place, "tiny") == ["1"]


@dataclass(frozen=True)
class Thirty:
    """Thirty nights of the demo's plant: the plant, their replay here, and the folder of another process's."""

    plant: Simulated
    done: Replayed
    other: Path

    def candidates(self, night: date) -> pd.Series:
        """Units of a night's list."""
        return pd.read_parquet(self.done.folder / "published" / "demo" / str(night) / "scores.parquet")["unit_id"]


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Thirty:
    """The last thirty nights, replayed here and by the command at the same time."""
    place = tmp_path_factory.mktemp("thirty")
    plant = demo_plant.write(place / "line")
    line, home = load_line(place / "line"), open_home(place / "home")
    over = line.as_of(demo_plant.LAST + demo_plant.OVER)
    assert ingest(line, Lake(home.lake(line.name)), as_of=over, now=over).problems == ()
    dates = (demo_plant.FIRST, demo_plant.LAST)
    words = [Path(sys.executable).parent / "qma", "--home", home.folder, "replay", place / "line"]
    words += ["--from", str(dates[0]), "--to", str(dates[1]), "--out", place / "other"]
    elsewhere = os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "2"}
    with (place / "log").open("wb") as log, subprocess.Popen(words, env=elsewhere, stdout=log, stderr=log) as other:
        done = run(replay_flow, str(place / "line"), str(home.folder), *dates, str(place / "one"))
    assert other.returncode == 0, (place / "log").read_text()
    return Thirty(plant, done, place / "other")


@pytest.mark.proof
def test_states_change_on_the_nights_that_a_sensor_is_silent_and_on_no_other(thirty):
    nights = thirty.done.replay.nights
    assert len(nights) == 30
    lacks = demo_plant.silent(thirty.plant)
    silent = [lacks[thirty.candidates(day)].mean() for day in nights["business_date"]]
    assert nights["state"].tolist() == ["DEGRADED" if share > 0.5 else "OK" for share in silent]
    [(reason,)] = set(nights.loc[nights["state"] == "DEGRADED", "reasons"])
    assert reason.endswith(" sensors are missing for most units: melt.hydrogen_index")
    assert sum(share > 0.5 for share in silent) >= 2
    assert sum(0 < share <= 0.5 for share in silent) >= 1  # a night with few such units is no reason


@pytest.mark.proof
def test_bad_lots_and_drifting_dies_are_named_within_three_nights_of_being_detectable(thirty):
    titles = thirty.done.replay.nights.set_index("business_date")["issues"]
    first_night = {unit: day for day in reversed(titles.index) for unit in thirty.candidates(day)}
    known = list(demo_plant.incidents(thirty.plant, first_night))
    assert {incident.mechanism for incident in known} == {"bad_lot", "die_drift"}
    for incident in known:
        nights = [incident.detectable + n * ONE for n in range(3)]
        told = [title for day in nights for title in titles.get(day, ())]
        assert any(incident.named in title for title in told), (incident, told)


@pytest.mark.proof
def test_what_issues_say_to_hold_is_truly_at_risk(thirty):
    lists = thirty.done.folder / "published" / "demo"
    nights = thirty.done.replay.nights["business_date"]
    issues = [issue for day in nights for issue in bundle.read(lists, day)["facts"]["issues"]]
    held = [demo_plant.at_risk(thirty.plant, issue["unit_ids"]) for issue in issues if issue["action"] == "hold"]
    assert len(held) >= 10
    assert sum(held) >= 0.9 * len(held)


@pytest.mark.proof
def test_thirty_nights_keep_their_promises_and_beat_the_ladder(thirty):
    found = thirty.done.replay
    assert found.finding == "better"
    assert found.judged >= 20
    assert found.kept >= 0.85 * found.judged  # their sum says less: what is wrong together lasts for several nights
    assert kept_models.versions(Home(thirty.done.folder), "demo") == ["1", "2"]  # of the first and the sixteenth
    assert found.nights["real"].eq("").all()


@pytest.mark.proof
def test_thirty_nights_and_their_report_are_the_same_to_the_byte_in_another_process(thirty):
    one, other = (replayed_bytes(folder) for folder in (thirty.done.folder, thirty.other))
    assert one == other
    assert {"report.html", "nights.csv", "figures.csv", "differences.csv"} < one.keys()
    assert sum(name.endswith("risk_list.html") for name in one) == 30
