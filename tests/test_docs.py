"""What the documents say can be done, can be done."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command

from pipelines.cli import app
from qma_predict import errors

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = {
    f"{name} {part}".strip(): one
    for name, command in get_command(app).commands.items()
    for part, one in getattr(command, "commands", {"": command}).items()  # of a group, such as feedback, each part
}


def test_the_readme_code_runs(home, plant_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("QMA_DATA", str(plant_folder))
    shutil.copytree(ROOT / "models", tmp_path / "models")
    (tmp_path / "demo-home").symlink_to(home.folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)  # the point is to run what readers would
    dataset = names["dataset"]
    assert isinstance(dataset.X, pd.DataFrame)
    assert len(dataset.X) == len(dataset.points) > 0


def test_the_readme_names_every_command_and_only_those():
    groups = {command.split()[0] for command in COMMANDS if " " in command}
    told = re.findall(r"^    qma (?:--home \S+ )?([\w-]+)(?: ([\w-]+))?", README, re.MULTILINE)
    assert {f"{name} {part}" if name in groups else name for name, part in told} | {"demo"} == set(COMMANDS)


def test_the_readme_has_the_exit_code_of_every_error():
    table = dict(re.findall(r"^\| (\d+) \| (\w+): ", README, re.MULTILINE))
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.QmaError)]
    assert {int(code): name for code, name in table.items()} == {
        one.exit_code: one.__name__ for one in classes if one is not errors.QmaError and "exit_code" in vars(one)
    }


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_a_line_of_help_and_an_example(command):
    found = COMMANDS[command]
    assert found.help.splitlines()[0].endswith(".")
    assert re.match(f"Example: qma (--home \\S+ )?{command}", found.epilog)


def test_every_target_of_make_has_a_line_of_help():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in told.splitlines()} == set(phony)
    assert {"demo", "test", "proofs", "lint", "format", "lock", "clean"} <= set(phony)


def test_the_architecture_page_names_every_module_of_the_journey():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for path in (ROOT / "qma_predict").iterdir():
        if path.suffix == ".py" and path.stem != "__init__":
            assert path.name in page
        elif (path / "__init__.py").exists():
            assert f"  {path.name}/" in page
    for name in re.findall(r"`((?:qma_predict|features|pipelines|benchmarks|tests)/[\w/]+\.py)`", page):
        assert (ROOT / name).exists() or (ROOT / "qma_predict" / name).exists(), name
