"""Nights of the small plant in processes of their own, forked from one that has imported everything and done nothing.

What goes wrong is done to such a process: it is ended at a step, its files may not grow, its sources change.
"""

import ctypes
import json
import logging
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from processes import PROCESSES
from small_plant import Plant, make_plant

import pipelines.ingest
import pipelines.nightly
import pipelines.steps
from pipelines.scheduled import make_due
from qma_predict.data import ingest
from qma_predict.data.lake import Lake
from qma_predict.errors import QmaError

KILLED = 9


@dataclass(frozen=True)
class Outcome:
    """How a process ended: its exit code, the durable steps it did, what it refused in words, and its warnings."""

    code: int
    steps: list[str] = field(default_factory=list)
    error: str = ""
    said: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)


def build(place: Path) -> Plant:
    """Make the plant, in a process of its own."""
    child = PROCESSES.Process(target=make_plant, args=(place,))
    child.start()
    child.join()
    assert child.exitcode == 0
    return make_plant_known(place)


def make_plant_known(place: Path) -> Plant:
    """The plant that another process made."""
    from qma_predict.home import Home

    return Plant(place / "line", Home(place / "home"))


def night(plant: Plant, day: date, now: datetime, **fault: Any) -> Outcome:
    """Make the list of a date at a moment; `fault` as `_work` takes it."""
    return _in_child(plant, now, day, fault)


def scheduled(plant: Plant, *moments: datetime, **fault: Any) -> Outcome:
    """Make what is due, at one moment after another."""
    return _in_child(plant, moments, None, fault)


def trained(plant: Plant, *modes: tuple[int, int]) -> Outcome:
    """Train, and log monitoring, while the MLflow store's folder and its file have one pair of modes after another."""
    return _outcome(_train, plant, modes)


def _in_child(plant: Plant, when: Any, day: date | None, fault: dict[str, Any]) -> Outcome:
    return _outcome(_work, plant, when, day, **fault)


def _outcome(work: Callable[..., None], *args: Any, **kwargs: Any) -> Outcome:
    with TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        child = PROCESSES.Process(target=work, args=(*args, told), kwargs=kwargs)
        child.start()
        child.join()
        told_there = json.loads(told.read_text()) if told.exists() else {}
        return Outcome(code=child.exitcode, **told_there)


def _train(plant: Plant, modes: tuple[tuple[int, int], ...], told: Path) -> None:
    from pipelines.train import learn
    from qma_predict.publish.models import registry

    registry.check(plant.home)  # makes it
    _without_powers()
    log, as_of = _Kept(), plant.at("2026-03-02 12:00")
    logging.getLogger().addHandler(log)
    for folder, file in modes:
        (plant.home.mlflow / "mlflow.db").chmod(file)
        plant.home.mlflow.chmod(folder)
        try:
            learn(str(plant.folder), str(plant.home.folder), as_of)
        except QmaError as error:
            log.lines.append(f"{type(error).__name__}: {error}")
        registry.log_monitoring(plant.home, plant.line, as_of.date(), {"lists": 1.0}, "<p>")
        plant.home.mlflow.chmod(0o700)
    told.write_text(json.dumps({"said": log.lines}))


def _without_powers() -> None:
    """Let permissions bind this process, which may be root's, as they bind that of any user."""
    if sys.platform == "linux":
        version_3, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(version_3, nothing) == 0  # no capabilities; the user stays who it is


def _work(
    plant: Plant,
    when: Any,
    day: date | None,
    told: Path,
    *,
    kill: int | None = None,
    largest: int | None = None,
    meddle: Callable[[str], None] | None = None,
    powers: bool = True,
) -> None:
    """Make lists in this process, which is ended at the step of number `kill`.

    `largest` bounds the size of files [bytes], as a full disk does; `meddle` is told the path of every source's file
    after it was found and before it is read; without `powers`, permissions bind root too.
    """
    if not powers:
        _without_powers()
    steps, log = _with_steps(kill), _Kept()
    logging.getLogger().addHandler(log)
    pipelines.steps.WAIT_SECONDS = 0
    if meddle is not None:
        usual = ingest._read

        def read(piece: Any, *rest: Any) -> Any:
            meddle(piece.path)
            return usual(piece, *rest)

        ingest._read = read
    report: dict[str, Any] = {}
    if largest is not None:
        sys.dont_write_bytecode = True  # half a compiled module would be kept, and fail whoever imports it later
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        for now in [when] if day else when:
            _run(plant, now, day)
    except QmaError as error:
        report["error"] = f"{type(error).__name__}: {error}"
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    modules = [name for name in ("mlflow",) if name in sys.modules]
    told.write_text(json.dumps(report | {"steps": steps, "said": log.lines, "modules": modules}))


def _run(plant: Plant, now: datetime, day: date | None) -> None:
    def clock() -> datetime:
        return now

    pipelines.ingest.now_utc = clock
    place = str(plant.folder), str(plant.home.folder)
    if day is None:
        make_due(*place, clock=clock, sleep=lambda seconds: None)
    else:
        pipelines.nightly.make_list(*place, day, clock=clock, sleep=lambda seconds: None)


def _with_steps(kill: int | None) -> list[str]:
    """Let every durable step of this process be told, and end it at one."""
    steps: list[str] = []

    def step(name: str) -> None:
        if len(steps) == kill:
            os._exit(KILLED)
        steps.append(name)

    def told(name: str, usual: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step(f"before {name}")
            done = usual(*args, **kwargs)
            step(f"after {name}")
            return done

        return call

    pipelines.ingest.Lake = partial(Lake, step=step)
    module = pipelines.nightly
    module.bundle.publish = partial(module.bundle.publish, step=step)
    for name in ("record_list", "record_promises"):
        setattr(module.desk, name, told(name, getattr(module.desk, name)))
    module.messages.tell = told("tell", module.messages.tell)
    return steps


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
