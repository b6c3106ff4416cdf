"""What the commands say at the end, in words."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.demo import Demo
    from qma_predict.data.ingest import Counts, Ingested
    from qma_predict.publish.registry import Model


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


def of_model(model: "Model") -> str:
    """What the champion is, and why."""
    return (
        f"champion of {model.line}: v{model.version}, {model.contestant}, "
        f"trained with what was known at {model.as_of:%Y-%m-%d %H:%M} UTC\n"
        f"backtest: {model.finding}\n"
        f"MLflow run {model.run_id}"
    )


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
            f"The newest list: {done.newest}",
        ]
    )
