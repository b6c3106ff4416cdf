"""A plant of two stations whose oven makes defects when it is hot, and a line of its own."""

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.train import train_flow
from qma_predict.home import open_home
from qma_predict.publish.models import champion_log

TOML = """
name = "tiny"
title = "Tiny line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["press", "oven"]
prediction = { after = "oven", grace = "15 min" }
gate = { name = "final", characteristics = ["leak"], maturity = "2 d" }
candidates = { max_age = "3 d" }
list = { as_of = "05:00", capacity = 5 }
learning = { recipe = "logistic", families = ["FAMILY"], blocks = 2, block = "14 d" }
training = { margin = 0.1, approval = APPROVAL }
sources = [
    { table = "visits", path = "visits.csv", delay = "0 s" },
    { table = "readings", path = "readings.csv", delay = "0 s" },
    { table = "inspections", path = "inspections.csv", delay = "0 s" },
]
"""
BEGIN = pd.Timestamp("2026-01-01 08:00", tz="UTC")
DAYS, UNITS = 90, 20


def rows():
    rng, visits, readings, inspections = np.random.default_rng(4), [], [], []
    for number in range(DAYS * UNITS):
        start = BEGIN + pd.Timedelta(days=number // UNITS, minutes=30 * (number % UNITS))
        unit, heat = f"u{number:04}", rng.normal()
        machine = f"P{number % 3}"
        for hours, station in ((0, "press"), (1, "oven")):
            begin, end = start + pd.Timedelta(hours=hours), start + pd.Timedelta(hours=hours, minutes=20)
            visits.append(
                {"unit_id": unit, "station": station, "machine": machine, "started_at": begin, "ended_at": end,
                 "recorded_at": end}
            )  # fmt: skip
        at = {"occurred_at": start + pd.Timedelta(hours=1, minutes=5)}
        readings.append({"unit_id": unit, "station": "oven", "tag": "heat", "value": heat} | at)
        readings.append({"unit_id": unit, "station": "oven", "tag": "flow", "value": rng.normal()} | at)
        passed = rng.random() > 1 / (1 + np.exp(3.0 - 2.2 * heat))
        inspections.append(
            {"unit_id": unit, "gate": "final", "characteristic": "leak", "passed": passed,
             "occurred_at": start + pd.Timedelta(days=1, hours=2)}
        )  # fmt: skip
    return {"visits": visits, "readings": readings, "inspections": inspections}


class Place:
    """A line's folder and its home."""

    def __init__(self, folder):
        self.folder, self.line, self.home = folder, str(folder / "tiny"), open_home(folder / "home")

    def says(self, family, *, approval=False):
        (self.folder / "tiny").mkdir(exist_ok=True)
        text = TOML.replace("FAMILY", family).replace("APPROVAL", str(approval).lower())
        (self.folder / "tiny" / "line.toml").write_text(text)
        return self

    def train(self, day):
        """Train, and return what is in the log that was not there before."""
        before = len(champion_log.entries(self.home, "tiny"))
        train_flow.fn(self.line, str(self.home.folder), day)
        return champion_log.entries(self.home, "tiny")[before:]

    @property
    def champion(self):
        return champion_log.champion(self.home, "tiny")

    def run(self, *words):
        return CliRunner().invoke(app, ["--home", str(self.home.folder), *words])
