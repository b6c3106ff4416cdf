import pytest

from qma_predict.line import Source


@pytest.fixture
def source():
    """Return a function that makes a source of materials; what it is given replaces or adds to that."""

    def make(**given) -> Source:
        clock = {} if {"columns", "delay"} & given.keys() else {"delay": "0 s"}
        return Source.model_validate({"table": "materials", "path": "unused.csv"} | clock | given)

    return make
