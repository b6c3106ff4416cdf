"""What the commands say at the end, in words."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.demo import Demo
    from qma_predict.data.ingest import Counts, Ingested
    from qma_predict.data.survey import Survey
    from qma_predict.learn.search import Search
    from qma_predict.publish.models.model import Model


def of_ingest(done: "Ingested") -> str:
    """Counts by table, then the first rows that were refused, then what could not be read."""
    if not done.files:
        lines = ["nothing new"]
    else:
        lines = [f"{'table':<12}{'files':>7}{'rows in':>13}{'accepted':>13}{'duplicates':>12}{'quarantined':>13}"]
        tables = list(dict.fromkeys(file.table for file in done.files))
        lines += [_row(table, [file for file in done.files if file.table == table]) for table in tables]
    lines += [f"quarantined: {row}" for row in done.refused]
    more = sum(file.quarantined for file in done.files) - len(done.refused)
    if more > 0:
        lines.append(f"quarantined: {more:,} rows more, all in the lake's table quarantine")
    return "\n".join(lines + [f"not read: {problem}" for problem in done.problems])


def _row(table: str, files: Iterable["Counts"]) -> str:
    files = list(files)
    sums = [sum(getattr(file, name) for file in files) for name in ("rows", "accepted", "duplicates", "quarantined")]
    return f"{table:<12}{len(files):>7,}{sums[0]:>13,}{sums[1]:>13,}{sums[2]:>12,}{sums[3]:>13,}"


def of_draft(file: Path) -> str:
    """How much of a draft a person must look at, and what comes next."""
    checks = file.read_text(encoding="utf-8").count("# CHECK")
    return f"{file}: written, {checks} lines marked CHECK to look at. Next: qma check {file.parent}"


_HEADS = {"blocks": "Mend first:", "look": "Look at:", "note": "Note:"}


def of_survey(found: "Survey") -> str:
    """What blocks, then the counts, then what is suspicious."""
    suspicious = [_findings(found, "look"), _findings(found, "note")]
    parts = [_findings(found, "blocks"), _tables(found), _fit(found), *suspicious]
    if not found.of("blocks") and not found.of("look"):
        parts.append(f"Nothing suspicious found. Next: qma ingest {found.line}")
    return "\n\n".join(part for part in parts if part)


def _findings(found: "Survey", weight: str) -> str:
    told = [one for one in found.findings if one.weight == weight]
    lines = [line for one in told for line in (f"  {one.kind}: {one.what}", f"    -> {one.do}")]
    return "\n".join([_HEADS[weight], *lines]) if lines else ""


def _tables(found: "Survey") -> str:
    lines = [f"{'table':<12}{'files':>7}{'rows in':>13}{'accepted':>13}{'duplicates':>12}{'quarantined':>13}"]
    for row in found.tables.itertuples():
        counts = f"{row.rows:>13,}{row.accepted:>13,}{row.duplicates:>12,}{row.quarantined:>13,}"
        lines.append(f"{row.table:<12}{row.files:>7,}{counts}")
    return "\n".join(lines)


def _fit(found: "Survey") -> str:
    """Join coverage, labels and lags."""
    lines = [f"  {row.what}: {row.matched:,} of {row.of:,}" for row in found.coverage.itertuples()]
    said = found.labels.iloc[0]
    lines.append(
        f"  labels of {said['units']:,} units: {said['defects']:,} defects, {said['good']:,} good, "
        f"{said['missing']:,} missing"
    )
    head = f"{'recorded after it happened':<28}{'median':>14}{'95 %':>14}{'longest':>16}{'after the cutoff':>26}"
    lines += ["", head]
    for row in found.clocks.itertuples():
        late = f"{row.late:,} of {row.of:,}" if row.of else ""
        spans = f"{_span(row.median):>14}{_span(row.p95):>14}{_span(row.longest):>16}"
        lines.append(f"  {row.table:<26}{spans}{late:>26}")
    return "\n".join(["What fits together:", *lines])


def _span(span: "pd.Timedelta") -> str:
    days, rest = divmod(round(span.total_seconds()), 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def of_model(model: "Model") -> str:
    """What the champion is, and why; and which features looked like leaks."""
    leaks = f"look like leaks: {model.leaks}; the evidence is in leaks.csv of the run\n" if model.leaks else ""
    ranking = [f"its scores are a ranking and not probabilities: {model.ranking}"] if model.ranking else []
    also = "".join(f"  {sentence}\n" for sentence in (*model.also, *ranking))
    return (
        f"champion of {model.line}: v{model.version}, {model.contestant}, "
        f"trained with what was known at {model.as_of:%Y-%m-%d %H:%M} UTC\n"
        f"backtest: {model.finding}\n"
        f"{also}"
        f"{leaks}MLflow run {model.run_id}"
    )


def of_search(found: "Search") -> str:
    """The best trials, what to make of them, and what to write into the line's file."""
    state, tried = found.trials["state"], len(found.trials) - 1
    complete = found.trials[state.isin(["in use", "complete"])].sort_values("log_loss")
    failed = f" and {sum(state == 'failed')} failed" if "failed" in set(state) else ""
    pruned = f"{tried} trials, {sum(state == 'pruned')} of them pruned{failed}; the best:"
    lines = [pruned if tried else "No candidate was tried. What the line has:"]
    for trial in complete.head(5).to_dict("records"):
        named = ", ".join(f"{name} = {trial[name]:g}" for name in found.best)
        lines.append(f"  log loss {trial['log_loss']:.4f}{' (in use)' if trial['trial'] == 0 else ''}: {named}")
    lines += [
        "",
        f"With what was known at {found.as_of:%Y-%m-%d %H:%M} UTC, before the backtest begins:",
        found.sentence,
    ]
    if found.better:
        values = ", ".join(f"{name} = {_toml(value)}" for name, value in found.parameters.items())
        lines += ["", "For line.toml, under [learning]:", f"parameters = {{ {values} }}"]
    return "\n".join(lines)


def _toml(value: bool | int | float | str) -> str:
    return json.dumps(value)  # of such values a number or text of JSON is one of TOML, too


def of_demo(done: "Demo") -> str:
    """What the demo did, how good it was, and where the newest list is."""
    rows = sum(file.rows for file in done.ingested.files)
    table = [f"{'':<16}{'precision':>11}{'recall':>9}{'average precision':>20}"]
    for row in done.performance.sort_values("average_precision", ascending=False).itertuples():
        name = f"{row.Index} (lists)" if row.Index == done.model.contestant else str(row.Index)
        table.append(f"{name:<24.24}{row.precision:>3.2f}{row.recall:>9.2f}{row.average_precision:>20.2f}")
    return "\n".join(
        [
            f"Ingested {rows:,} rows of {len(done.ingested.files)} files; "
            f"{sum(file.quarantined for file in done.ingested.files)} went to quarantine.",
            of_model(done.model),
            f"Published {len(done.nights)} lists, {done.nights[0]} to {done.nights[-1]}, "
            f"{done.capacity} units each at most.",
            "Against the true state of each unit on its first night, listing as many units a night:",
            *table,
            f"Compare runs: .venv/bin/mlflow ui --backend-store-uri sqlite:///{done.home}/mlflow/mlflow.db",
            f"How data, features, defect rate and lists are doing: {done.monitoring}",
            f"The newest list: {done.newest}",
        ]
    )
