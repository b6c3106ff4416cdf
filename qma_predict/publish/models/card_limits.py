"""What a model card says of where its model holds, how it fails, and how to make it again."""

import platform
import tomllib
from datetime import timedelta
from importlib.metadata import version

import pandas as pd

from qma_predict.learn.dataset import Dataset
from qma_predict.learn.training import Training
from qma_predict.line import Line
from qma_predict.line.definition import VARIABLE
from qma_predict.publish.models.card_features import used
from qma_predict.publish.models.markdown import escaped, table
from qma_predict.publish.models.model import Model, made_by

MOST_NAMES = 20
"""Products and machines that are named; the rest is counted."""

PACKAGES = (
    *("qma-predict", "lightgbm", "scikit-learn", "scipy", "numpy", "pandas", "pyarrow", "duckdb", "ibis-framework"),
    *("deltalake", "mlflow", "skops"),
)


def limits(dataset: Dataset, training: Training) -> str:
    """Where the model holds: what was there when it learnt."""
    line, cutoff = dataset.line, dataset.points["cutoff"]
    seen = [(name, _names(dataset, name)) for name in ("unit.product", *(f"{one}.machine" for one in line.route))]
    uninspected = int(dataset.y.isna().sum())
    until = f"{cutoff.min():%Y-%m-%d} to {cutoff.max():%Y-%m-%d}" if len(cutoff) else "not defined: no unit"
    sentences = [
        f"Route: {', '.join(line.route)}. A unit is judged when it leaves {line.prediction.after}; what is done to it "
        "later is not known to the model.",
        f"Time: units with cutoffs {until}. Nothing says that it holds long after.",
        *(f"{name}: {names}" for name, names in seen if names),
        *(
            ["Numbers: within the ranges in the file named under Features. Beyond them the model was never tried."]
            if _numbers(dataset, used(training))
            else []
        ),
        f"Inspections: {uninspected} of {len(dataset.y)} units have no label. What became of units that are never "
        "inspected is not known: neither what the model learnt nor its figures say anything of them, beyond what "
        "recorded probabilities of inspection allow.",
        f"A defect is what the gate {line.gate.name} records of {', '.join(line.gate.characteristics)}; other defects, "
        "and those that its inspectors miss, are good units here.",
        f"It ranks{'' if training.ranking else ' and estimates'}; it does not explain causes, and changing a feature "
        "need not change the risk.",
    ]
    return _items(sentences)


def _names(dataset: Dataset, feature: str) -> str:
    if feature not in dataset.X:
        return ""
    counts = dataset.X[feature].value_counts()
    ordered = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
    told = ", ".join(f"{name} ({count} units)" for name, count in ordered[:MOST_NAMES])
    return told + (f" and {len(ordered) - MOST_NAMES} more" if len(ordered) > MOST_NAMES else "")


def _numbers(dataset: Dataset, features: list[str]) -> bool:
    """Whether one of these features is a number."""
    return any(pd.api.types.is_numeric_dtype(dataset.X[name].dtype) for name in features if name in dataset.X)


def failure_modes(dataset: Dataset, training: Training) -> str:
    """How such a model is known to fail, as far as that follows from how it was made."""
    line, own = dataset.line, used(training)
    declared = sorted({source.table for source in line.sources if source.delay is not None})
    names_known = any(name == "unit.product" or name.endswith(".machine") for name in own)
    sentences = [
        f"The share of defects shifts: {'figures of the backtest' if training.ranking else 'probabilities'} are off "
        f"until labels of the new time are there, {_days(line)} at least, and the line is trained again. The order of "
        "units suffers less.",
        "A product or machine that the history above does not hold has no past: the model knows nothing of it, and its "
        "units are scored by the rest of their features."
        if names_known
        else "The model looks at no product or machine: one that the history above does not hold is scored like any "
        "other.",
        "Inspection is selective: where units are inspected because they are suspicious, the model learns the "
        "plant's suspicion, too, and units that nobody ever suspects are not known. " + _weighted(training),
        "The list acts on its own labels: units that it names are inspected more, others less. Keep a random sample of "
        "inspections.",
        *(
            ["A sensor that is replaced, recalibrated or renamed changes its features without a word."]
            if _numbers(dataset, own)
            else []
        ),
        *(
            [
                "Rows that come later than the prediction point waits for them are missing values at night, as in "
                "training; if they come late more often than before, the model knows less than its backtest says."
            ]
            if own
            else []
        ),
        *(
            [
                f"When rows of {', '.join(declared)} could be read is not recorded, but declared in line.toml by a "
                "delay: where that is too short, the backtest has seen what a night will not."
            ]
            if declared
            else []
        ),
        "Looked at again and again, the same blocks flatter whatever is kept: see how often under Backtest.",
    ]
    return _items(sentences)


def _weighted(training: Training) -> str:
    if training.weight_of(training.winner) is not None:
        return "Labels were weighted by their recorded probability of inspection."
    if training.labels.weight is not None:
        return (
            "Probabilities of inspection are recorded and differ between units, but "
            f"{training.winner} takes no weights: all labels count alike."
        )
    return "No probability of inspection is recorded here that differs between units; all labels count alike."


def _days(line: Line) -> str:
    return f"{line.gate.maturity / timedelta(days=1):.4g} d"


def versions() -> str:
    """What the model was made with."""
    rows = [["Python", platform.python_version()], *([name, version(name)] for name in PACKAGES)]
    return table(["program", "version"], rows)


def reproduction(dataset: Dataset, model: Model) -> str:
    """Commands that make the same training from the same lake, and say what differs where it is not the same.

    In Python the text of `line.toml` is that of the training, which the home keeps, with what the model was made by,
    which `model.json` says: a champion's recipe is also refreshed while `line.toml` names another.
    """
    line, as_of = dataset.line, dataset.history.as_of
    pinned, digest = dict(sorted(dataset.history.versions.items())), dataset.identity["digest"]
    of_file = Line.model_validate(tomllib.loads(line.text.decode("utf-8-sig")))
    names = sorted({name for one in of_file.sources for name in VARIABLE.findall(f"{one.path} {one.url} {one.query}")})
    needs = ", and the environment variables that `line.toml` names are set: " if names else ""
    return f"""In the folder that holds `models/{line.name}`, where `QMA_HOME` names the home that keeps this model
(without it, the home is `qma-home`){needs}{", ".join(f"`{name}`" for name in names)}.
{_by_command(dataset, model.learning == made_by(of_file))} In Python, whatever `line.toml` says now, and with the same
versions of the tables where there are newer ones:

```python
import os
from datetime import datetime

from qma_predict.data.lake import Lake
from qma_predict.home import find_home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.training import train
from qma_predict.line import load_line
from qma_predict.publish.lists.definitions import as_defined
from qma_predict.publish.models.kept_models import read
from qma_predict.publish.models.model import line_of

home, line = find_home(os.environ.get("QMA_HOME", "qma-home")), load_line("{line.name}")
model = read(home, line.name, "{model.version}")
line = line_of(as_defined(home, line, "{line.digest}"), model)
as_of, versions = datetime.fromisoformat("{as_of.isoformat()}"), {pinned!r}
dataset = make_dataset(Lake(home.lake(line.name)).at(as_of, versions), line)
found, expected = dataset.identity["digest"], "{digest}"
assert found == expected, (
    f"features or labels differ: their digest is {{found}}, expected {{expected}}. Install the versions above; "
    f"if they are, the lake {{home.lake(line.name)}} is not as it was: restore it from a backup."
)
fitted = train(dataset).models[{model.contestant!r}]
```"""


def _by_command(dataset: Dataset, same: bool) -> str:
    """Whether, and with which `line.toml`, a command makes the training."""
    line, as_of = dataset.line, dataset.history.as_of
    day = line.current_business_date(as_of)
    if not same:
        return "It was made by the recipe of the champion before it, and `line.toml` named another: no command does it."
    if line.as_of(day) != as_of:
        return "No list is made as of that moment, so that no command does it."
    return f"While `line.toml` has the digest under Data, `qma train {line.name} --date {day}` does it."


def _items(sentences: list[str]) -> str:
    return "\n".join(f"* {escaped(sentence)}" for sentence in sentences)
