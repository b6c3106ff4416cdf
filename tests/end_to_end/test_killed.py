"""The real command, killed at random moments and run again."""

import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pipelines.train import learn
from qma_predict.data.contract import TABLES
from qma_predict.data.lake import Lake
from qma_predict.home import Home, open_home
from qma_predict.publish.lists import bundle

NIGHT = date(2025, 11, 11)


@pytest.fixture
def start(plant_folder, line_folder, tmp_path, monkeypatch):
    """Return a function that starts the command on a home."""
    monkeypatch.setenv("QMA_DATA", str(plant_folder))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "demo").symlink_to(line_folder)
    monkeypatch.chdir(tmp_path)

    def start(home: Home, *command: str) -> subprocess.Popen[bytes]:
        words = [Path(sys.executable).parent / "qma", "--home", home.folder, *command]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return start


def seconds(process: subprocess.Popen[bytes]) -> float:
    """How long a command runs that nothing stops."""
    started = time.monotonic()
    assert process.wait() == 0
    return time.monotonic() - started


def kill(process: subprocess.Popen[bytes], after: float) -> bool:
    """Kill a command so many seconds after now; whether it was still running."""
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def contents(home: Path) -> dict[str, bytes]:
    folder = home / "published" / "demo" / str(NIGHT)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "receipt.json"}


def rows(lake: Lake) -> dict[str, list[int]]:
    """Digests of every row of the lake and its books but for when it was ingested, in no order."""
    tables = {
        name: lake.read(name).drop(columns="ingested_at").astype("str") for name in (*TABLES, "quarantine", "files")
    }
    return {name: sorted(pd.util.hash_pandas_object(table, index=False)) for name, table in tables.items()}


@pytest.mark.proof
def test_a_night_killed_ten_times_ends_in_one_whole_list(home, line, start, tmp_path):
    whole = Home(tmp_path / "whole")
    shutil.copytree(home.folder, whole.folder)
    learn("demo", str(whole.folder), line.as_of(NIGHT))
    killed = Home(tmp_path / "killed")
    shutil.copytree(whole.folder, killed.folder)
    night = ("nightly", "demo", "--date", str(NIGHT))
    length = seconds(start(whole, *night))
    versions = Lake(whole.lake("demo")).versions()
    draw = random.Random(20251111)
    lists = killed.published("demo")
    for _ in range(10):
        kill(start(killed, *night), draw.uniform(0.3, 1.0) * length)
        for day in bundle.published_dates(lists):  # whatever is there is whole
            bundle.verify(lists / day.isoformat())
    assert start(killed, *night).wait() == 0
    assert contents(killed.folder) == contents(whole.folder)
    assert {path.name for path in lists.iterdir()} == {str(NIGHT), "latest", "revisions", ".publish.lock"}
    assert Lake(killed.lake("demo")).versions() == versions


@pytest.mark.proof
def test_an_ingest_killed_five_times_ends_in_the_same_lake(start, tmp_path):
    whole = open_home(tmp_path / "whole")
    length = seconds(start(whole, "ingest", "demo"))
    expected = rows(Lake(whole.lake("demo")))
    assert all(expected[name] for name in ("units", "visits", "readings", "inspections", "files"))
    draw = random.Random(20251112)
    stopped = 0
    for part in range(5):  # spread over the time after the program has started
        home = open_home(tmp_path / f"killed-{part}")
        stopped += kill(start(home, "ingest", "demo"), (0.3 + 0.14 * (part + draw.random())) * length)
        assert start(home, "ingest", "demo").wait() == 0
        assert rows(Lake(home.lake("demo"))) == expected, f"killed in part {part}"
        shutil.rmtree(home.folder)
    assert stopped >= 3  # the last may have been done before
