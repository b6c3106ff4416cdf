import pytest

from qma_predict.data.simulate import simulate, write_plant


@pytest.fixture(scope="session")
def plant():
    """Forty days in which summer time ends, about 16,000 units."""
    return simulate(days=40, units_per_day=400, seed=1, start="2025-10-01")


@pytest.fixture(scope="session")
def tiny():
    """Three days around the end of summer time, about 360 units."""
    return simulate(days=3, units_per_day=120, seed=9, start="2025-10-25")


@pytest.fixture(scope="session")
def written(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "plant-9"
    write_plant(tiny, folder)
    return folder
