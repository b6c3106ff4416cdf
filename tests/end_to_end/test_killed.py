"""The real command, killed at random moments and run again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from pipelines.train import learn
from qma_predict.data.lake import Lake
from qma_predict.home import Home
from qma_predict.publish import bundle

ROOT = Path(__file__).parents[2]
NIGHT = date(2025, 11, 11)


def night(home: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [Path(sys.executable).parent / "qma", "--home", home, "nightly", "demo", "--date", str(NIGHT)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def contents(home: Path) -> dict[str, bytes]:
    folder = home / "published" / "demo" / str(NIGHT)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "receipt.json"}


@pytest.mark.proof
def test_a_night_killed_ten_times_ends_in_one_whole_list(home, line, plant_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("QMA_DATA", str(plant_folder))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(ROOT)
    environment = dict(os.environ)
    whole = Home(tmp_path / "whole")
    shutil.copytree(home.folder, whole.folder)
    learn("demo", str(whole.folder), line.as_of(NIGHT))
    killed = Home(tmp_path / "killed")
    shutil.copytree(whole.folder, killed.folder)
    started = time.monotonic()
    assert night(whole.folder, environment).wait() == 0
    length = time.monotonic() - started
    rows = Lake(whole.lake("demo")).versions()
    draw = random.Random(20251111)
    lists = killed.published("demo")
    for _ in range(10):
        process = night(killed.folder, environment)
        time.sleep(draw.uniform(0.3, 1.0) * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for day in bundle.published_dates(lists):  # whatever is there is whole
            bundle.verify(lists / day.isoformat())
    assert night(killed.folder, environment).wait() == 0
    assert contents(killed.folder) == contents(whole.folder)
    assert {path.name for path in lists.iterdir()} == {str(NIGHT), "latest", ".publish.lock"}
    assert Lake(killed.lake("demo")).versions() == rows
