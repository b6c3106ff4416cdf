"""The model card: what a training knows of its model, in Markdown, for the people who must trust it or not.

A function of dataset, training, how often its blocks were looked at, and under which version it is kept: no clock, no
name of the machine, the same to the byte from the same training. What is not defined says why. Texts of the plant are
escaped.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pandas as pd

from qma_predict.learn import kept_apart, looks
from qma_predict.learn.backtest import summarise
from qma_predict.learn.base_rate import defects_worth
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.labels import STATES
from qma_predict.learn.metrics import observed_over_expected
from qma_predict.learn.reliability import observed_over_expected_interval
from qma_predict.learn.reliance import NOTHING, Reliance
from qma_predict.learn.training import Training
from qma_predict.learn.trust import FACTOR, with_outcome
from qma_predict.learn.weights import LARGEST
from qma_predict.publish.models.card_features import features, features_file
from qma_predict.publish.models.card_limits import failure_modes, limits, reproduction, versions
from qma_predict.publish.models.card_reliance import relied_on
from qma_predict.publish.models.kept_models import CARD, FEATURES
from qma_predict.publish.models.markdown import LONGEST, escaped, more, shortened, table
from qma_predict.publish.models.model import Model

_UNITS_OF_METRICS = {"log_loss": " [nat]", "expected_cost": " [currency of the costs, per candidate]"}


def for_people(
    dataset: Dataset, training: Training, looked: Sequence[int], relied: Reliance, model: Model
) -> dict[str, str]:
    """Return what is kept of a model for people, as files by name: its card, and the list of its features."""
    card = model_card(dataset, training, model, looked, relied)
    return {CARD: card, FEATURES: features_file(dataset, training)}


def model_card(
    dataset: Dataset, training: Training, model: Model, looked: Sequence[int], relied: Reliance = NOTHING
) -> str:
    """Return the card of a training.

    Parameters
    ----------
    dataset : Dataset
        What was trained on.
    training : Training
    model : Model
        Its winner as it is kept: its version and MLflow run are named.
    looked : sequence of int, shape (n_blocks,)
        How many earlier trainings looked at each block of its backtest.
    relied : Reliance
        What the winner relies on.

    Returns
    -------
    str
        Markdown, ending with a line break.
    """
    line = dataset.line
    sections = {
        "Model": _model(dataset, training, model),
        "Data": _data(dataset),
        "Labels": _labels(dataset, training),
        "Features": features(dataset, training, model, relied),
        "What it relies on": relied_on(relied, dataset.units, ranking=bool(training.ranking)),
        "Leaks": _leaks(training),
        "Backtest": _backtest(dataset, training, looked),
        "Calibration": _calibration(training),
        "Limits of validity": limits(dataset, training),
        "Known failure modes": failure_modes(dataset, training),
        "Versions": versions(),
        "How to make it again": reproduction(dataset, model),
    }
    head = (
        f"# Model card: {escaped(line.title)}, v{model.version}\n\n"
        f"Written by the training itself; `qma card {line.name}` prints that of the model in use. "
        "Times are UTC, intervals 95 %."
    )
    return "\n\n".join([head, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"


def _model(dataset: Dataset, training: Training, model: Model) -> str:
    line, winner = dataset.line, training.winner
    is_recipe = winner == line.learning.recipe
    kind = "recipe" if is_recipe else "simple rule of the ladder: no recipe was shown to be better"
    if not is_recipe and training.verdict.better:
        kind = "simple rule of the ladder: a refresh of the model in use, though the recipe was shown to be better"
    parameters = ", ".join(f"{name} = {value!r}" for name, value in sorted(line.learning.parameters.items()))
    leaving = f" or have reached {', '.join(line.candidates.leave_at)}" if line.candidates.leave_at else ""
    return _facts(
        {
            "line": f"{line.name}, {line.plant}",
            "version": f"v{model.version}",
            "MLflow run": model.run_id or "none",
            "model": f"{winner} ({kind})",
            "parameters": (parameters or "the recipe's own") if is_recipe else "none",
            "seed": line.learning.seed,
            "answers": "which of two units is likelier to be recorded as defect if inspected, and not how likely"
            if training.ranking
            else "how likely a unit is to be recorded as defect if it is inspected",
            "when": f"{duration(line.prediction.grace)} after the end of the unit's stay at {line.prediction.after}",
            "use": f"a list of the {line.list.capacity} riskiest candidates a night, "
            f"as of {line.list.as_of:%H:%M} {line.timezone}",
            "candidates": f"units until they are inspected at the gate, are {duration(line.candidates.max_age)} old"
            f"{leaving}",
        }
    )


def _data(dataset: Dataset) -> str:
    identity, cutoff = dataset.identity, dataset.points["cutoff"]
    together = {} if dataset.groups is None else {"kept together": f"units of one {identity['group']}"}
    facts = _facts(
        {
            "known at": _moment(dataset.history.as_of),
            "units": identity["units"],
            "cutoffs": f"{_moment(cutoff.min())} to {_moment(cutoff.max())}" if len(cutoff) else "not defined: no unit",
            "left out, since inspected before their cutoff": identity["already_known"],
            "features": identity["features"],
            "digest of features and labels": identity["digest"],
            "SHA-256 of line.toml": identity["line_digest"],
        }
        | together
    )
    versions = sorted(dataset.history.versions.items())
    pinned = table(["table", "version"], ([escaped(name), str(number)] for name, number in versions))
    return f"{facts}\n\n{pinned or 'No table of the lake has a row.'}"


def _labels(dataset: Dataset, training: Training) -> str:
    gate, quality, known = dataset.line.gate, training.labels, dataset.y.dropna()
    facts = _facts(
        {
            "gate": gate.name,
            "characteristics": ", ".join(gate.characteristics),
            "maturity": f"{duration(gate.maturity)} after the cutoff",
            "codes of void results": ", ".join(gate.void) or "none",
            "codes of disputed results": ", ".join(gate.disputed) or "none",
            "labelled": len(known),
            "defects": int(known.sum()),
            "share of defects among the inspected": _number(known.mean(), "no label is known"),
            "share of defects among all": _interval(*quality.rate, "no label is known"),
            "weights": _weights(training),
        }
    )
    counts: dict[str, int] = dataset.identity["states"]  # type: ignore[assignment]  # what make_dataset put there
    states = table(["state", "units"], ([state, str(counts[state])] for state in STATES))
    waited = [
        [
            *(label, str(row["units"]), *(_delay(row[name]) for name in ("median", "q99", "longest"))),
            _number(row["in_time"], "no unit"),
        ]
        for label, row in quality.delays.to_dict("index").items()
    ]
    head = ["label", "units old enough", "median delay", "99 % within", "longest", "share within the maturity"]
    delays = f"From the cutoff until the result that decided was recorded:\n\n{table(head, waited)}"
    notices = "\n".join(f"* {escaped(notice)}" for notice in quality.notices)
    return "\n\n".join(part for part in (facts, states, delays, notices) if part)


def _weights(training: Training) -> str:
    if training.weight_of(training.winner) is not None:
        return "by the recorded probability of inspection"
    return "all alike" if training.labels.weight is None else f"all alike: {training.winner} takes none"


def _leaks(training: Training) -> str:
    if training.leaks.empty:
        return "No feature looked like a leak. Leaks that single features hardly show are not found."
    return shortened(
        ["feature", "looks like", "evidence", "what was done"],
        [
            [*(escaped(row[name]) for name in ("feature", "kind", "evidence")), "kept" if row["kept"] else "left out"]
            for row in training.leaks.to_dict("records")
        ],
        "; all are in `leaks.csv` of the MLflow run",
    )


def _backtest(dataset: Dataset, training: Training, looked: Sequence[int]) -> str:
    found = training.backtest
    blocks = found.table.drop_duplicates("block")
    columns = ("train_units", "train_defects", "units", "defects")
    spans = table(
        ["block", "from", "to", "units to learn from", "defects", "candidates with an outcome", "defects"],
        (
            [str(row["block"]), _moment(row["origin"]), _moment(row["end"]), *(str(row[name]) for name in columns)]
            for row in blocks.to_dict("records")
        ),
    )
    said = (training.verdict, training.shuffled, training.practice)
    sentences = [*(one.sentence for one in said), looks.in_words(looked)]
    if dataset.groups is not None and (apart := kept_apart.in_words(dataset, found)):
        sentences.append(apart)
    parts = [
        "Every contestant learnt what was known before a block, and was judged on the block, "
        f"at {found.capacity} checks a night.",
        "\n".join(f"* {escaped(sentence)}" for sentence in sentences),
        spans,
        "Mean over the blocks in which it is defined, among inspected candidates (number of blocks, where not all):",
        _figures(_means(found.table), len(blocks)),
        _undefined(found.table),
    ]
    if training.over_all is not None:
        parts += [
            "The same over all units, by their probability of inspection, all blocks together:",
            _figures(training.over_all, len(blocks)),
        ]
    return "\n\n".join(part for part in parts if part)


def _undefined(values: pd.DataFrame) -> str:
    """Where a figure is not defined, and why."""
    blocks = values.dropna(subset="reason").groupby("reason", sort=False)["block"].unique()
    told = [f"* not defined in block {', '.join(map(str, here))}: {escaped(why)}" for why, here in blocks.items()]
    return "\n".join(told[:LONGEST]) + more(len(told) - LONGEST, " are in `backtest.csv` of the MLflow run")


def _means(values: pd.DataFrame) -> pd.DataFrame:
    """Means over blocks, with the last reason where there is one, and no interval."""
    reasons = values.groupby(["contestant", "metric"])["reason"].last()
    means = summarise(values).rename(columns={"mean": "value"}).assign(low=math.nan, high=math.nan)
    return means.join(reasons, on=["contestant", "metric"])


def _figures(told: pd.DataFrame, blocks: int) -> str:
    """A row a metric, a column a contestant."""
    cells = told.set_index(["metric", "contestant"])

    def cell(metric: str, contestant: str) -> str:
        row = cells.loc[(metric, contestant)]
        reason = "in no block" if pd.isna(row["reason"]) else str(row["reason"])
        if math.isnan(row["value"]):
            return _number(row["value"], reason)
        some = f" ({row['blocks']:.0f} of {blocks})" if row["blocks"] < blocks else ""
        between = "" if math.isnan(row["low"]) else f" ({row['low']:.4g} to {row['high']:.4g})"
        return _number(row["value"], reason) + between + some

    names = list(told["contestant"].unique())
    rows = [
        [metric.replace("_", " ") + _UNITS_OF_METRICS.get(metric, ""), *(cell(metric, name) for name in names)]
        for metric in told["metric"].unique()
    ]
    return table(["metric", *map(escaped, names)], rows)


def _calibration(training: Training) -> str:
    rows = [_promised(training, name) for name in training.models]
    head = ["contestant", "observed defects", "expected", "observed over expected", "interval"]
    by = ""
    if (weight := training.labels.uncut) is not None:
        head.append("defects are worth")
        cut = bool((weight > LARGEST).any())
        as_learnt = f", cut to {LARGEST:g} times the mean as for learning (those under Backtest are not)" if cut else ""
        by = (
            ", counted among inspected units; the ratio, its interval, and how many of equal weight the defects are "
            f"worth there are over all units, by the weights of the labels{as_learnt}, where the contestant takes "
            "them, and else among inspected units, too"
        )
    notice = training.models[training.winner].notice
    moved = [f"By the newest labels it learnt: **{escaped(notice)}** Its scores follow that."] if notice else []
    parts = [_meaning(training), *moved, f"Over all blocks{by}:", table(head, rows)]
    ranges = training.ranges
    if ranges.score:
        points = zip(ranges.score, ranges.low, ranges.high, strict=True)
        shares = table(
            ["score about", "share of defects from", "to"], ([f"{one:.4g}" for one in row] for row in points)
        )
        parts += ["Share of defects among past units with about the same score:", shares]
    return "\n\n".join(parts)


def _meaning(training: Training) -> str:
    """What scores may be read as, and of which units."""
    if because := training.ranking:
        return f"**Scores are a ranking, not probabilities**: {escaped(because)}."
    of = ""
    if training.labels.weight is not None:
        weighted = training.weight_of(training.winner) is not None
        of = " over all units" if weighted else " of units that are selected for inspection as the labelled ones were"
    return (
        f"Scores may be read as probabilities{of}: in the backtest, what they promised was not off by more than chance "
        f"and a factor of {FACTOR:g}."
    )


def _promised(training: Training, name: str) -> list[str]:
    rows = with_outcome(training.backtest, name, training.weight_of(name))
    y, score, w = (rows[column].to_numpy(dtype=float) for column in ("outcome", "score", "weight"))
    weighted = training.labels.weight is not None
    worth = [f"{defects_worth(score, y, w):.3g}"] if weighted else []
    told = [escaped(name), f"{y.sum():.6g}", f"{score.sum():.6g}"]
    if not score.sum() > 0:
        return [*told, *["not defined: no defect was expected"] * 2, *worth]
    low, high = observed_over_expected_interval(y, score, sample_weight=w)
    ratio = observed_over_expected(y, score, sample_weight=w)
    return [*told, f"{ratio:.4g}", f"{low:.4g} to {high:.4g}", *worth]


def duration(span: timedelta) -> str:
    """Duration in words.

    Examples
    --------
    >>> duration(timedelta(days=5)), duration(timedelta(minutes=90)), duration(timedelta(0))
    ('5 d', '1.5 h', '0 s')
    """
    seconds = span.total_seconds()
    size, unit = next((one for one in ((86400, "d"), (3600, "h"), (60, "min")) if seconds >= one[0]), (1, "s"))
    return f"{seconds / size:.4g} {unit}"


def _delay(span: pd.Timedelta) -> str:
    return "not defined: no unit" if pd.isna(span) else duration(span)


def _moment(moment: pd.Timestamp) -> str:
    return f"{pd.Timestamp(moment).tz_convert('UTC'):%Y-%m-%d %H:%M:%S}"


def _number(value: float, reason: str) -> str:
    return f"not defined: {escaped(reason)}" if math.isnan(value) else f"{value:.4g}"


def _interval(value: float, low: float, high: float, reason: str) -> str:
    return _number(value, reason) + ("" if math.isnan(value) else f" ({low:.4g} to {high:.4g})")


def _facts(facts: Mapping[str, object]) -> str:
    return table(["what", "value"], ([name, escaped(str(value))] for name, value in facts.items()))
