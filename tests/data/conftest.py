from pathlib import Path

import pytest

from qma_predict.line import Line, Source


@pytest.fixture(scope="session")
def source():
    """Return a function that makes a source of materials; what it is given replaces or adds to that."""

    def make(**given) -> Source:
        clock = {} if {"columns", "delay"} & given.keys() else {"delay": "0 s"}
        return Source.model_validate({"table": "materials", "path": "unused.csv"} | clock | given)

    return make


@pytest.fixture(scope="session")
def material_line():
    """Return a function that makes a line of `m-*.csv` files of materials in a folder; more sources may be given."""

    def make(folder: Path, *more: dict, **rules) -> Line:
        materials = {"table": "materials", "path": str(folder / "m-*.csv"), "columns": {"recorded_at": "recorded_at"}}
        return Line.model_validate(
            {
                "name": "tiny",
                "title": "Tiny line",
                "plant": "Test plant",
                "timezone": "UTC",
                "route": ["press"],
                "prediction": {"after": "press", "grace": "15 min"},
                "gate": {"name": "final", "characteristics": ["leak"], "maturity": "5 d"},
                "candidates": {"max_age": "3 d"},
                "list": {"as_of": "05:00", "capacity": 2},
                "sources": [materials | rules, *more],
            }
        )

    return make


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mutations of a plant's files (tests/data/test_mutations.py)")
    group.addoption("--mutations", type=int, default=500, help="how many seeds")
    group.addoption("--mutation", type=int, help="one seed alone")
