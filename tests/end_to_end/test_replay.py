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

import pipelines.ingest
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
from qma_predict.operate.replay_folder import training_whole
from qma_predict.operate.replay_report import LISTS
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log, kept_models

ONE = timedelta(days=1)
SECOND, THIRD = FIRST + ONE, FIRST + 2 * ONE
MISSED = FIRST + 3 * ONE
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
    told = replay(plant, SECOND, SECOND, tmp_path / "other").replay.nights["real"].item()
    assert told.startswith("differs: line.toml was changed since; check_sheet.html, risk_list.csv")
    with pytest.raises(HomeError, match=f"begun with another last {SECOND}, expected {THIRD}"):
        replay(plant, SECOND, THIRD, tmp_path / "other")
    with pytest.raises(HomeError, match="is a home, not a replay"):
        replay(plant, SECOND, THIRD, plant.home.folder)


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
    """Two nights that were not run, after one that was."""
    return replay(plant_run, THIRD, MISSED + ONE, tmp_path_factory.mktemp("calendar") / "replay")


def test_nights_that_were_not_run_have_the_champion_of_the_calendar(by_calendar):
    nights = by_calendar.replay.nights
    assert nights["real"].tolist() == ["same", "", ""]
    entries = champion_log.entries(Home(by_calendar.folder), "tiny")
    assert [entry.at.date() for entry in entries] == [THIRD]  # without a calendar, as of the first night
    assert nights["trained_until"].tolist()[1:] == [THIRD, THIRD]
    facts = bundle.read(by_calendar.folder / "published" / "tiny", MISSED)["facts"]
    assert facts["provenance"]["champion_log"] == entries[0].sha256
    assert not (by_calendar.folder / "mlflow").exists()


def test_a_replay_that_was_interrupted_anywhere_ends_in_the_same_bytes(plant_run, by_calendar, tmp_path):
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
    replay(plant_run, THIRD, MISSED + ONE, folder)
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
