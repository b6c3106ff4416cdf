"""The page in its place, and numbers in the store of runs as far as it can be written."""

import logging
import shutil
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_homes import keep_model

from pipelines.monitor import look, monitor_flow
from qma_predict.errors import ModelError, PublicationError
from qma_predict.home import open_home
from qma_predict.publish.models import champion_log

DAY = date(2026, 3, 30)


@pytest.fixture
def home(make_lake, tmp_path):
    """A home with a champion and a lake in which is nothing yet."""
    place = open_home(tmp_path / "home")
    shutil.copytree(make_lake({"visits": []}).folder, place.lake("tiny"))
    model = keep_model(place, "1", datetime(2026, 3, 1, 4, tzinfo=UTC))
    first = {"role": "first", "by": "training", "why": "there was none"}
    champion_log.append(place, "tiny", "promoted", model.version, at=datetime(2026, 3, 1, 5, tzinfo=UTC), **first)
    return place


@pytest.fixture
def toml(tiny_line):
    return str(Path(tiny_line.file).parent)


def runs(home):
    client = MlflowClient(f"sqlite:///{home.mlflow / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    return client, client.search_runs([experiment.experiment_id])


def test_a_look_is_a_page_and_a_run_and_again_it_is_the_same(home, toml, caplog):
    file = look(toml, str(home.folder), DAY)
    assert file == home.folder / "monitoring" / "tiny" / "2026-03-30.html"
    page = file.read_bytes()
    assert "Alarms: 2" in page.decode()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "tiny, 2026-03-30: data: no visits are known" in told
    (file.parent / ".staging-of-a-dead-writer").write_text("half")
    assert look(toml, str(home.folder), DAY).read_bytes() == page
    assert [path.name for path in file.parent.iterdir()] == ["2026-03-30.html"]
    client, found = runs(home)
    assert len(found) == 1
    assert found[0].info.status == "FINISHED"
    assert (found[0].data.tags["monitoring"], found[0].data.metrics["alarms"]) == ("2026-03-30", 2.0)
    assert [one.path for one in client.list_artifacts(found[0].info.run_id)] == ["monitoring.html"]


def test_a_store_that_is_locked_is_a_warning(home, toml, caplog):
    home.mlflow.mkdir()
    held = sqlite3.connect(home.mlflow / "mlflow.db")
    held.execute("BEGIN EXCLUSIVE")
    file = look(toml, str(home.folder), DAY)
    held.close()
    assert file.exists()
    assert "the monitoring of tiny, 2026-03-30 is not logged" in caplog.text
    assert "database is locked" in caplog.text


def test_a_store_that_is_no_store_is_a_warning(home, toml, caplog):
    home.mlflow.write_text("not a folder")
    assert look(toml, str(home.folder), DAY).exists()
    assert "the monitoring of tiny, 2026-03-30 is not logged: " in caplog.text


def test_without_a_champion_there_is_nothing_to_compare_with(home, toml):
    home.champions("tiny").unlink()
    with pytest.raises(ModelError, match="line tiny has no champion"):
        look(toml, str(home.folder), DAY)


def test_a_date_that_has_not_come_yet_is_refused(home, toml):
    with pytest.raises(PublicationError, match="line tiny: 2999-01-01 is looked at as of .* which is not yet"):
        monitor_flow.fn(toml, str(home.folder), date(2999, 1, 1))
