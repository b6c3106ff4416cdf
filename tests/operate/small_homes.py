"""A home with a line that has one source, a lake of one ingest, two lists and a desk database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.home import Home, open_home
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.reference import Reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.line import Line, load_line
from qma_predict.publish.lists import bundle, desk
from qma_predict.publish.models import kept_models
from qma_predict.publish.models.model import Model

TOML = """
name = "tiny"
title = "Tiny line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["press"]
variables = ["QMA_HOOK"]
prediction = { after = "press", grace = "0 s" }
gate = { name = "final", characteristics = ["leak"], maturity = "5 d" }
candidates = { max_age = "3 d" }
list = { as_of = "05:00", capacity = 2, by = "06:00" }
sources = [{ table = "visits", path = "visits-*.csv", delay = "0 s" }]
"""

INGESTED = datetime(2026, 3, 3, 4, tzinfo=UTC)
"""Moment of the ingest, and of the newest list."""

FACTS = {
    "list_id": "tiny-2026-03-03",
    "line": "Tiny line",
    "state": "DEGRADED",
    "state_reasons": ["one is late"],
    "expected": 3.2,
    "low": 1,
    "high": 6,
    "listed": 12,
    "ranking": "",
    "model": {"version": "1"},
    "lake_versions": {"visits": 0, "files": 0},
}


@dataclass(frozen=True)
class Small:
    """A folder with line.toml and its files, the line, and its home."""

    folder: Path
    line: Line
    home: Home


def write_toml(folder: Path, change: Callable[[str], str] = lambda text: text) -> None:
    (folder / "line.toml").write_text(change(TOML))


def make_small(place: Path) -> Small:
    folder = place / "line"
    folder.mkdir()
    write_toml(folder)
    rows = ["unit_id,station,started_at,ended_at", "u1,press,2026-03-02 08:00,2026-03-02 09:00"]
    (folder / "visits-1.csv").write_text("\n".join(rows) + "\n")
    line, home = load_line(folder), open_home(place / "home")
    ingest(line, Lake(home.lake("tiny")), as_of=INGESTED, now=INGESTED)
    for day in (2, 3):
        facts = FACTS | {"list_id": f"tiny-2026-03-0{day}"}
        receipt = {"published_at": f"2026-03-0{day}T04:01:00+00:00"}
        contents = {"risk_list.html": f"list of {day}".encode()}
        bundle.publish(home.published("tiny"), date(2026, 3, day), contents, facts=facts, receipt=receipt)
    desk.open_desk(home, {}).dispose()
    return Small(folder, line, home)


def keep_model(home: Home, version: str, as_of: datetime) -> Model:
    """Keep a model of the line that says how many of its units were defect."""
    X = pd.DataFrame({"press.force.last": np.array([1.0, 2.0], dtype="float32")}, pd.Index(["a", "b"], name="unit_id"))
    fitted = RiskModel.of(make_baseline("prevalence").fit(X, [0, 1]), X)
    past = pd.DataFrame({"unit_id": pd.Series(dtype="str"), "night": [], "score": []})
    groups = pd.Series({name: name for name in X}, dtype="str")
    reference = Reference(X, pd.Series(["A", "B"], X.index, dtype="str"), groups, (), past)
    model = Model(
        line="tiny",
        version=version,
        run_id="r",
        contestant="prevalence",
        is_recipe=False,
        as_of=as_of,
        base_rate=0.5,
        finding="none is better",
        baseline="prevalence",
    )
    return kept_models.keep(home, model, fitted, fitted, reference, lambda model: {kept_models.CARD: "# Card"})
