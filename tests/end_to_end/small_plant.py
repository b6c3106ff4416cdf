"""A plant of two stations with a line of its own, whose nights take a second: for what is done hundreds of times.

Its champion is a logistic regression of how much the oven heated a unit; its simple rule gives all the same risk.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import pipelines.ingest
from pipelines.ingest import take_in
from qma_predict.data.contract import TABLES
from qma_predict.data.lake import Lake
from qma_predict.home import Home, open_home
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.reference import Reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.line import Line, load_line
from qma_predict.publish.lists import bundle, desk
from qma_predict.publish.models import champion_log, kept_models
from qma_predict.publish.models.model import Model

TOML = """
name = "tiny"
title = "Tiny line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["press", "oven"]
prediction = { after = "oven", grace = "15 min" }
gate = { name = "final", characteristics = ["leak"], maturity = "5 d" }
candidates = { max_age = "3 d", leave_at = ["shipping"] }
list = { as_of = "05:00", by = "06:00", capacity = 3 }
learning = { recipe = "logistic", families = ["readings"] }
sources = [
    { table = "visits", path = "plant/visits-*.csv", delay = "0 s" },
    { table = "readings", path = "plant/readings-*.csv", delay = "0 s" },
    { table = "inspections", path = "plant/inspections-*.csv", delay = "0 s" },
]
"""

FIRST = date(2026, 3, 2)
"""Of the lists; the plant began two weeks before, and its history was loaded the day before."""

UNITS = 8


@dataclass(frozen=True)
class Plant:
    """A line's folder, which has the plant's files, and its home."""

    folder: Path
    home: Home

    @property
    def line(self) -> Line:
        """As line.toml says now."""
        return load_line(self.folder)

    def with_home(self, home: Path) -> "Plant":
        """The same plant with a copy of its home."""
        shutil.copytree(self.home.folder, home, symlinks=True)
        return Plant(self.folder, Home(home))

    def copy(self, to: Path) -> "Plant":
        """A plant of its own, with files and a home like these."""
        shutil.copytree(self.folder.parent, to, symlinks=True)
        return Plant(to / "line", Home(to / "home"))

    def record(self, *days: date) -> None:
        """Let the plant write its files of these days."""
        for day in days:
            write_day(self.folder / "plant", day)

    def at(self, text: str) -> datetime:
        """A moment of a local time, `2026-03-03 05:30`."""
        return pd.Timestamp(text, tz=self.line.timezone).to_pydatetime().astimezone(UTC)


def make_plant(place: Path, timezone: str = "Europe/Berlin") -> Plant:
    """Two weeks of history, loaded, and a champion; no list yet. Only in a process of its own: it sets the clock."""
    folder = place / "line"
    (folder / "plant").mkdir(parents=True)
    (folder / "line.toml").write_text(TOML.replace("Europe/Berlin", timezone))
    plant = Plant(folder, open_home(place / "home"))
    plant.record(*(FIRST - timedelta(days=n) for n in range(14, 1, -1)))
    loaded = plant.at("2026-03-01 12:00")
    pipelines.ingest.now_utc = lambda: loaded
    take_in(str(folder), str(place / "home"), loaded)
    keep(plant, "1")
    champion_log.append(
        plant.home, "tiny", "promoted", "1", role="first", by="training", why="it is the first",
        at=plant.at("2026-03-01"),
    )  # fmt: skip
    return plant


def keep(plant: Plant, version: str, *, defect_when: str = "hot") -> Model:
    """Keep a model by which units are at risk that were heated much, or little."""
    heat = np.arange(0.0, 2.0, 0.05, dtype="float32")
    X = pd.DataFrame({"oven.heat.last": heat}, pd.Index([f"good-{n}" for n in range(40)], name="unit_id"))
    defect = (heat > 1.4) if defect_when == "hot" else (heat < 0.6)
    fitted = RiskModel.of(LogisticRegression().fit(X, defect), X)
    rule = RiskModel.of(make_baseline("prevalence").fit(X, defect), X)
    past = pd.DataFrame({"unit_id": pd.Series(dtype="str"), "night": [], "score": []})
    groups = pd.Series({name: name for name in X}, dtype="str")
    reference = Reference(X.head(30), pd.Series(pd.NA, X.index[:30], dtype="str"), groups, (), past)
    model = Model(
        line="tiny", version=version, run_id="r", contestant="logistic", is_recipe=True, as_of=plant.at("2026-03-01"),
        base_rate=0.3, finding="logistic: better", baseline="prevalence",
    )  # fmt: skip
    return kept_models.keep(plant.home, model, fitted, rule, reference)


def write_day(folder: Path, day: date) -> None:
    """Files of a day: units go through the press and the oven, and are inspected the day after."""
    names = [f"{day:%m%d}-{n}" for n in range(UNITS)]
    visits, readings = ["unit_id,station,started_at,ended_at"], ["unit_id,station,tag,occurred_at,value"]
    inspections = ["unit_id,occurred_at,gate,characteristic,passed"]
    for n, unit in enumerate(names):
        hour = 7 + n
        visits.append(f"{unit},press,{day} {hour:02}:00,{day} {hour:02}:10")
        visits.append(f"{unit},oven,{day} {hour:02}:20,{day} {hour:02}:40")
        heat = (day.toordinal() * 7 + n * 5) % 40 / 20
        readings.append(f"{unit},oven,heat,{day} {hour:02}:30,{heat}")
        inspections.append(f"{unit},{day + timedelta(days=1)} {hour:02}:00,final,leak,{'NOK' if heat > 1.5 else 'OK'}")
    for name, rows in (("visits", visits), ("readings", readings), ("inspections", inspections)):
        (folder / f"{name}-{day}.csv").write_text("\n".join(rows) + "\n")


def rows(plant: Plant) -> dict[str, list[int]]:
    """Digests of every row of the lake and of its books but for the clock's, in no order."""
    lake = Lake(plant.home.lake("tiny"))
    tables = {name: lake.read(name).drop(columns="ingested_at") for name in (*TABLES, "quarantine", "files")}
    for name in ("quarantine", "files"):
        tables[name]["path"] = tables[name]["path"].map(lambda path: Path(path).name)
    kept = {name: table.drop(columns=["modified_ns", "rules"], errors="ignore") for name, table in tables.items()}
    return {name: sorted(pd.util.hash_pandas_object(table.astype("str"), index=False)) for name, table in kept.items()}


def contents(plant: Plant, day: date) -> dict[str, bytes]:
    """Files of a published list but for its receipt."""
    folder = plant.home.published("tiny") / day.isoformat()
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "receipt.json"}


def assert_whole(plant: Plant, days: Iterable[date]) -> None:
    """Each of these dates has one whole list, in the folder and in the desk database, and nothing else is there."""
    folder, days = plant.home.published("tiny"), sorted(days)
    assert bundle.published_dates(folder) == days
    for day in days:
        assert list(bundle.revisions(folder, day)) == [1]
        bundle.read(folder, day)
    assert sorted(path.name for path in (folder / "revisions").iterdir()) == [f"{day}.r1" for day in days]
    assert [path for path in folder.iterdir() if path.name.startswith(".staging")] == []
    if days:
        assert (folder / "latest").resolve() == (folder / str(days[-1])).resolve()
    engine = desk.open_desk(plant.home, {})
    known = pd.read_sql("select business_date, revision from lists order by 1", engine)
    listed = pd.read_sql("select list_id, unit_id from list_rows", engine)
    engine.dispose()
    assert [str(day) for day in known["business_date"]] == [str(day) for day in days]
    assert not listed.duplicated().any()
    assert set(listed["list_id"]) <= {f"tiny-{day}" for day in days}  # one without candidates has no rows
