"""What a model card says of where its model holds, how it fails, and how to make it again."""

import platform
from datetime import timedelta
from importlib.metadata import version

from qma_predict.learn.dataset import Dataset
from qma_predict.learn.training import Training
from qma_predict.line import Line
from qma_predict.publish.models.markdown import escaped, table

MOST_NAMES = 20
"""Products and machines that are named; the rest is counted."""

PACKAGES = (
    *("qma-predict", "lightgbm", "scikit-learn", "scipy", "numpy", "pandas", "pyarrow", "duckdb", "ibis-framework"),
    *("deltalake", "mlflow", "skops"),
)


def limits(dataset: Dataset) -> str:
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
        "Numbers: within the ranges under Features. Beyond them the model was never tried.",
        f"Inspections: {uninspected} of {len(dataset.y)} units have no label. What became of units that are never "
        "inspected is not known: neither what the model learnt nor its figures say anything of them, beyond what "
        "recorded probabilities of inspection allow.",
        f"A defect is what the gate {line.gate.name} records of {', '.join(line.gate.characteristics)}; other defects, "
        "and those that its inspectors miss, are good units here.",
        "It ranks and estimates; it does not explain causes, and changing a feature need not change the risk.",
    ]
    return _items(sentences)


def _names(dataset: Dataset, feature: str) -> str:
    if feature not in dataset.X:
        return ""
    counts = dataset.X[feature].value_counts()
    ordered = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
    told = ", ".join(f"{name} ({count} units)" for name, count in ordered[:MOST_NAMES])
    return told + (f" and {len(ordered) - MOST_NAMES} more" if len(ordered) > MOST_NAMES else "")


def failure_modes(dataset: Dataset, training: Training) -> str:
    """How such a model is known to fail, as far as that follows from how it was made."""
    line = dataset.line
    declared = sorted({source.table for source in line.sources if source.delay is not None})
    sentences = [
        f"The share of defects shifts: probabilities are off until labels of the new time are there, "
        f"{_days(line)} at least, and the line is trained again. The order of units suffers less.",
        "A product or machine that the history above does not hold has no past: the model knows nothing of it, and its "
        "units are scored by the rest of their features.",
        "Inspection is selective: where units are inspected because they are suspicious, the model learns the "
        "plant's suspicion, too, and units that nobody ever suspects are not known. "
        + (
            "Labels were weighted by their recorded probability of inspection."
            if training.labels.weight is not None
            else "No probability of inspection is recorded here that differs between units; all labels count alike."
        ),
        "The list acts on its own labels: units that it names are inspected more, others less. Keep a random sample of "
        "inspections.",
        "A sensor that is replaced, recalibrated or renamed changes its features without a word.",
        "Rows that come later than the prediction point waits for them are missing values at night, as in training; "
        "if they come late more often than before, the model knows less than its backtest says.",
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


def _days(line: Line) -> str:
    return f"{line.gate.maturity / timedelta(days=1):.4g} d"


def versions() -> str:
    """What the model was made with."""
    rows = [["Python", platform.python_version()], *([name, version(name)] for name in PACKAGES)]
    return table(["program", "version"], rows)


def reproduction(dataset: Dataset) -> str:
    """Commands that make the same training from the same lake, and tell whether it is the same."""
    line, as_of = dataset.line, dataset.history.as_of
    pinned = dict(sorted(dataset.history.versions.items()))
    day = line.current_business_date(as_of)
    command = f", `qma train {line.name} --date {day}` does it" if line.as_of(day) == as_of else ""
    return f"""With the lake of the home, and `line.toml` with the digest under Data{command}. In Python, with the same
versions of the tables, also when there are newer ones:

```python
from datetime import datetime

from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.training import train
from qma_predict.line import load_line

line, home = load_line("{line.name}"), open_home("qma-home")
assert line.digest == "{line.digest}"
as_of, versions = datetime.fromisoformat("{as_of.isoformat()}"), {pinned!r}
dataset = make_dataset(Lake(home.lake(line.name)).at(as_of, versions), line)
assert dataset.identity["digest"] == "{dataset.identity["digest"]}"
training = train(dataset)
```"""


def _items(sentences: list[str]) -> str:
    return "\n".join(f"* {escaped(sentence)}" for sentence in sentences)
