"""A small home for each test that looks after one."""

from pathlib import Path

import pytest
from small_homes import Small, make_small


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Line, home with a lake of one ingest, two lists and a desk database; of this test alone."""
    return make_small(tmp_path)
