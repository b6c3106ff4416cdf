"""The listing is the architecture: imports point up the journey, and the edges stay where they are."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
JOURNEY = ("errors", "line", "home", "data", "features", "learn", "publish", "review", "operate")
"""Each may import only from itself and from those before it."""

LEARNING = ("mlflow", "prefect", "sklearn", "skops", "lightgbm", "optuna", "matplotlib")
"""What takes seconds to import, and who only looks at what is kept does without."""

COMPUTING = ("scipy.optimize", "scipy.signal", "scipy.stats")

LONG = {
    *("demo", "simulate", "ingest", "train", "search", "nightly", "backfill", "replay", "serve", "monitor"),
    *("approve", "rollback", "audit_plan"),
}
"""Functions of the commands that may import these: they run a flow, write to MLflow, or compute."""


def imports(file: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports_against_the_journey(root: Path) -> list[str]:
    wrong = []
    for file in sorted((root / "qma_predict").rglob("*.py")):
        stage = file.relative_to(root / "qma_predict").parts[0].removesuffix(".py")
        if stage == "__init__":
            continue
        allowed = JOURNEY[: JOURNEY.index(stage) + 1]
        for name in imports(file):
            package, _, rest = name.partition(".")
            if package == "pipelines" or (package == "qma_predict" and rest and rest.split(".")[0] not in allowed):
                wrong.append(f"{file.relative_to(root)} imports {name}")
    return wrong


def files_that_import(root: Path, package: str) -> set[str]:
    files = [*(root / "qma_predict").rglob("*.py"), *(root / "pipelines").rglob("*.py")]
    return {
        str(file.relative_to(root)) for file in files if any(name.split(".")[0] == package for name in imports(file))
    }


def imports_of_commands(root: Path) -> dict[str, list[str]]:
    """What each command of `qma` imports when it is called, as statements, by the name of its function."""
    modules = [ast.parse(file.read_text()) for file in sorted((root / "pipelines" / "cli").glob("*.py"))]
    functions = [node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)]
    return {
        function.name: [
            ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        for function in functions
        if any(".command(" in ast.unparse(decorator) for decorator in function.decorator_list)
    }


def test_every_stage_is_part_of_the_journey():
    stages = {
        path.stem
        for path in (ROOT / "qma_predict").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert stages - {"__init__"} == set(JOURNEY)


def test_imports_point_up_the_journey():
    assert imports_against_the_journey(ROOT) == []


def test_an_import_down_the_journey_is_found(tmp_path):
    (tmp_path / "qma_predict" / "data").mkdir(parents=True)
    (tmp_path / "qma_predict" / "data" / "bad.py").write_text("def f():\n    from qma_predict.learn import splits\n")
    assert imports_against_the_journey(tmp_path) == [
        "qma_predict/data/bad.py imports qma_predict.learn",
        "qma_predict/data/bad.py imports qma_predict.learn.splits",
    ]


def test_prefect_is_imported_only_in_pipelines():
    assert {Path(file).parts[0] for file in files_that_import(ROOT, "prefect")} == {"pipelines"}


def test_mlflow_is_imported_in_one_module():
    assert files_that_import(ROOT, "mlflow") == {"qma_predict/publish/models/registry.py"}


def test_importing_the_library_touches_no_file_network_or_global_state(tmp_path):
    """In a new process: import every module, with writing, sockets and the environment watched."""
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((ROOT / "qma_predict").rglob("*.py"))
    ]
    script = f"""
import importlib, os, sys, warnings, logging, random, numpy, pandas, sklearn, pyarrow, ibis, duckdb, deltalake
opened = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        opened.append(arguments)
    if event in ("socket.connect", "subprocess.Popen", "os.mkdir", "os.putenv", "os.remove", "os.rename"):
        opened.append((event, arguments))
before = dict(os.environ), logging.root.level, list(logging.root.handlers), random.getstate()
sys.dont_write_bytecode = True
sys.addaudithook(watch)
for name in {modules!r}:
    importlib.import_module(name)
assert opened == [], opened
assert before == (dict(os.environ), logging.root.level, list(logging.root.handlers), random.getstate())
for heavy in ("mlflow", "prefect", "lightgbm", "optuna"):
    assert heavy not in sys.modules, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_line_answers_without_the_heavy_libraries(tmp_path):
    script = "import sys, pipelines.cli; print({'pandas', 'mlflow', 'prefect', 'ibis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_commands_that_only_look_do_without_the_learning_stack(tmp_path):
    commands = imports_of_commands(ROOT)
    assert commands.keys() >= LONG
    imported = [statement for name, statements in commands.items() if name not in LONG for statement in statements]
    missing = f"import sys; sys.modules.update(dict.fromkeys({LEARNING + COMPUTING!r}))"  # their import fails
    script = "\n".join([missing, "import pipelines.cli", *imported])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_lock_has_hashes_and_names_no_index():
    lock = (ROOT / "requirements.lock").read_text()
    packages = [line for line in lock.splitlines() if line and line[0] not in " #"]
    assert len(packages) > 100
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert "://" not in lock
    assert "--index" not in lock


def test_every_requirement_is_in_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [item for group in project["dependency-groups"].values() for item in group if isinstance(item, str)]
    names = {
        item.split(">")[0].split("<")[0].split("=")[0].split("[")[0]
        for item in project["project"]["dependencies"] + groups
    }
    lock = (ROOT / "requirements.lock").read_text()
    assert [name for name in sorted(names) if f"\n{name}==" not in f"\n{lock}"] == []
