"""A home with a champion, trained once for all processes as of a night in the middle of the small plant's autumn."""

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipelines.scheduled import make_due
from qma_predict.data.lake import Lake
from qma_predict.home import Home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.training import train
from qma_predict.line import Line, load_line
from qma_predict.publish.models import champion_log, registry
from qma_predict.publish.models.model import Model

NIGHT = date(2025, 11, 10)
LISTED = date(2025, 11, 11)
PROMOTED = datetime(2026, 1, 5, 13, tzinfo=UTC)


@dataclass(frozen=True)
class Trained:
    """A line's folder, a home with its lake and champion, and that champion."""

    line: str
    home: Home
    model: Model


@pytest.fixture
def with_one_list(trained: Trained, once: Callable[[str, Callable[[Path], None]], Path], tmp_path: Path) -> Home:
    """A home of its own with the champion and one list, that of `LISTED`, made on its night."""

    def make(folder: Path) -> None:
        home = Home(folder / "home")
        shutil.copytree(trained.home.folder, home.folder, symlinks=True)
        shutil.rmtree(home.published("demo"), ignore_errors=True)
        home.desk.unlink(missing_ok=True)  # it has the lists of the shared home
        make_due(trained.line, str(home.folder), clock=lambda: load_line(trained.line).as_of(LISTED))

    home = Home(tmp_path / "home")
    shutil.copytree(once("one list", make) / "home", home.folder, symlinks=True)
    return home


@pytest.fixture(scope="session")
def _trained(
    home: Home,
    line: Line,
    line_folder: Path,
    once: Callable[[str, Callable[[Path], None]], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    def make(folder: Path) -> None:
        place = Home(folder / "home")
        shutil.copytree(home.folder, place.folder)
        dataset = make_dataset(Lake(place.lake(line.name)).at(line.as_of(NIGHT)), line)
        # the small plant has too few defects to show that the recipe is better, which is another test's concern
        training = replace(train(dataset), winner=line.learning.recipe)
        model = registry.log_training(place, dataset, training)
        first = {"role": "first", "by": "training", "why": "there was none"}
        champion_log.append(place, line.name, "promoted", model.version, at=PROMOTED, **first)
        registry.follow(place, model)
        (folder / "model.pkl").write_bytes(pickle.dumps(model))

    folder = once("trained", make)
    place = Home(tmp_path_factory.mktemp("trained") / "home")  # each process publishes in its own
    shutil.copytree(folder / "home", place.folder)
    return Trained(str(line_folder), place, pickle.loads((folder / "model.pkl").read_bytes()))


@pytest.fixture
def trained(_trained: Trained, plant_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The trained home, with QMA_DATA set. Shared: publish only dates of your own."""
    monkeypatch.setenv("QMA_DATA", str(plant_folder))
    return _trained


@pytest.fixture(scope="session", autouse=True)
def _prefect_away_from_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No Prefect server, and nothing of Prefect's in the user's home."""
    before = dict(os.environ)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    yield
    os.environ.clear()
    os.environ.update(before)
