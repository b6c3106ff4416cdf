"""The notebooks run from the first cell to the last, and are committed without what they show."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WITH_REAL_DATA = [path for path in NOTEBOOKS if "secom" in path.read_text().lower()]
DATA = ROOT.parent / "shared" / "data"
CELL_SECONDS = 300


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_small_and_without_outputs(path):
    notebook = read(path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < 60_000


@pytest.mark.parametrize("path", sorted(set(NOTEBOOKS) - set(WITH_REAL_DATA)), ids=lambda path: path.stem)
def test_a_notebook_runs_quietly_and_shows_plots(path, tmp_path, monkeypatch):
    ran_quietly(path, tmp_path, tmp_path, monkeypatch)


@pytest.mark.proof
@pytest.mark.parametrize("path", WITH_REAL_DATA, ids=lambda path: path.stem)
def test_a_notebook_runs_with_the_real_data_where_that_is(path, tmp_path, monkeypatch):
    ran_quietly(path, DATA if DATA.is_dir() else tmp_path, tmp_path, monkeypatch)


def ran_quietly(path, data, tmp_path, monkeypatch):
    monkeypatch.setenv("QMA_DATA", str(data))
    notebook = read(path)
    NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) > 5
    assert list(tmp_path.iterdir()) == [], "a notebook leaves nothing behind"
