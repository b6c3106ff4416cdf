"""The card of the champion that this folder's conftest trained and logged."""

import re
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from qma_predict.learn.explanations import REST
from qma_predict.publish.models import kept_cards


@pytest.fixture
def text(trained):
    return kept_cards.read(trained.home, "demo", trained.model.version)


@pytest.fixture
def artifact(trained):
    mlflow.set_tracking_uri(f"sqlite:///{trained.home.mlflow / 'mlflow.db'}")
    return lambda name: Path(mlflow.artifacts.download_artifacts(run_id=trained.model.run_id, artifact_path=name))


def table_after(text, head):
    """Cells of the table whose first row starts so, by its first column."""
    lines = text[text.index(f"\n| {head}") + 1 :].split("\n\n")[0].split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return pd.DataFrame(rows[2:], columns=rows[0]).set_index(rows[0][0])


def test_the_card_is_with_the_run_to_the_byte(text, artifact):
    assert artifact("card.md").read_bytes() == text.encode()


def test_its_figures_are_those_of_the_backtest(text, artifact):
    backtest = pd.read_csv(artifact("backtest.csv"))
    means = backtest.groupby(["metric", "contestant"])["value"].mean()
    told = table_after(text, "metric | boosted_trees")
    assert len(told) == backtest["metric"].nunique()
    for metric, row in told.iterrows():
        for contestant, cell in row.items():
            mean = means[(metric.split(" [")[0].replace(" ", "_"), contestant)]
            if pd.isna(mean):
                assert cell == "not defined: the line names no costs"
            else:
                assert float(cell.split(" (")[0]) == pytest.approx(mean, rel=6e-4)


def test_its_facts_are_those_of_the_dataset(text, artifact):
    identity = mlflow.artifacts.load_dict(artifact("dataset.json").as_uri())
    facts = table_after(text, "what | value |\n|---|---|\n| known at")["value"]
    assert (int(facts["units"]), int(facts["features"])) == (identity["units"], identity["features"])
    assert facts["digest of features and labels"] == identity["digest"]
    assert facts["known at"] == "2025-11-10 04:00:00"
    assert table_after(text, "table | version")["version"].astype(int).to_dict() == identity["versions"]
    assert table_after(text, "state | units")["units"].astype(int).to_dict() == identity["states"]
    delays = pd.read_csv(artifact("labels/delays.csv"), index_col="label")
    assert table_after(text, "label | units")["units old enough"].astype(int).to_dict() == delays["units"].to_dict()


def test_its_features_are_those_of_the_file_beside_it_with_their_units(trained, text, artifact):
    file = trained.home.card("demo", trained.model.version).with_name("features.csv")
    assert f"`models/demo/v{trained.model.version}/features.csv` of the home" in text
    assert artifact("features.csv").read_bytes() == file.read_bytes()
    every = pd.read_csv(file, index_col="feature", keep_default_na=False)
    told = table_after(text, "feature | unit")
    assert told["unit"].to_dict() == every.loc[told.index, "unit"].to_dict()
    assert {"degC", "mV/h", "kg"} <= set(every["unit"])
    more = int(re.search(r"(\d+) more in that file", text)[1])
    assert len(told) + more == len(every) == every["used"].sum()
    assert table_after(text, "family | station")["features"].astype(int).sum() == len(every)


def test_it_names_its_version_and_its_run_and_what_it_relies_on_first(trained, text, artifact):
    facts = table_after(text, "what | value |\n|---|---|\n| line")["value"]
    assert (facts["version"], facts["MLflow run"]) == (f"v{trained.model.version}", trained.model.run_id)
    groups = [name for name in pd.read_csv(artifact("importance.csv"))["group"] if name != REST]
    assert table_after(text, "feature | unit").index[0] == groups[0]
    assert set(groups) <= set(table_after(text, "feature | unit").index)


def test_the_card_says_what_the_champion_says(trained, text):
    assert trained.model.finding in text
    assert all(sentence in text for sentence in trained.model.also)
    assert trained.model.ranking in text


def test_its_commands_make_the_same_dataset_again(trained, text, tmp_path, monkeypatch):
    shutil.copytree(trained.line, tmp_path / "models" / "demo")
    with (tmp_path / "models" / "demo" / "line.toml").open("a") as file:
        file.write("# changed since\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QMA_HOME", str(trained.home.folder))
    assert "where `QMA_HOME` names the home that keeps this model" in text
    assert "the environment variables that `line.toml` names are set: `QMA_DATA`." in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names: dict[str, object] = {}
    exec(code.removesuffix("fitted = train(dataset).models['boosted_trees']\n"), names)  # it asserts the digest
    assert "fitted" not in names
    assert str(len(names["dataset"].X)) == table_after(text, "what | value |\n|---|---|\n| known at")["value"]["units"]
    assert f"`qma train demo --date {names['line'].current_business_date(trained.model.as_of)}`" in text
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_the_command_prints_the_card_and_copies_it_only_when_asked(trained, text, tmp_path):
    shutil.copytree(trained.line, tmp_path / "demo")
    command = ["--home", str(trained.home.folder), "card", str(tmp_path / "demo")]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout) == (0, text)
    assert not (tmp_path / "demo" / "card.md").exists()
    done = CliRunner().invoke(app, [*command, "--write"])
    assert (done.exit_code, done.stdout) == (0, text)
    assert (tmp_path / "demo" / "card.md").read_bytes() == text.encode()
    assert done.stderr.endswith("card.md: written\n")
