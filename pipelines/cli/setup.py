"""Commands that set a line up: a simulated plant, a first line.toml, a look at its files, what they hold."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines import report
from pipelines.cli.app import LINE, app, in_words
from qma_predict.errors import SourceError


@app.command(epilog="Example: qma --home demo-home demo")
def demo(context: typer.Context) -> None:
    """Do the main job on a simulated plant, where the truth is known."""
    with in_words():
        from pipelines.demo import demo as run_demo

        typer.echo(report.of_demo(run_demo(context.obj)))


@app.command(epilog="Example: qma simulate plant --days 40 --units-per-day 200")
def simulate(
    folder: Annotated[Path, typer.Argument(help="A new folder: plant/ for the files, truth/ apart from them.")],
    days: Annotated[int, typer.Option(min=1)] = 120,
    units_per_day: Annotated[int, typer.Option(min=1)] = 750,
    seed: Annotated[int, typer.Option(min=0)] = 7,
) -> None:
    """Write the files of a simulated plant; QMA_DATA=FOLDER qma ingest demo reads them."""
    with in_words():
        from qma_predict.data.simulate import simulate as make
        from qma_predict.data.simulate import write_plant

        write_plant(make(days=days, units_per_day=units_per_day, seed=seed), folder)
        typer.echo(f"{folder}: written. Next: QMA_DATA={folder} qma ingest demo")


@app.command(epilog="Example: qma init /data/exports --line pumps")
def init(
    folder: Annotated[Path, typer.Argument(help="A folder with the plant's files: CSV, Parquet, XLSX.")],
    line: Annotated[str, typer.Option(help="Name of the line; that of the folder by default.")] = "",
    to: Annotated[Path | None, typer.Option(help="Folder for the line.toml; models/NAME by default.")] = None,
) -> None:
    """Draft a line.toml for a folder of files, with the evidence for each guess."""
    with in_words():
        from qma_predict.data.draft import line_name, write_draft

        name = line_name(line or folder.resolve().name)
        file = write_draft(folder, to or Path("models") / name, name)
        typer.echo(report.of_draft(file))


@app.command(epilog="Example: qma check demo")
def check(line: LINE) -> None:
    """Say what an ingest would accept and what is suspicious, without writing anything."""
    with in_words():
        from qma_predict.data.survey import survey
        from qma_predict.line import load_line

        logging.getLogger("qma_predict").setLevel(logging.WARNING)
        found = survey(load_line(line), now=datetime.now(UTC))
        typer.echo(report.of_survey(found))
        if not found.useful:
            raise typer.Exit(SourceError.exit_code)


@app.command(epilog="Example: qma ingest demo")
def ingest(context: typer.Context, line: LINE) -> None:
    """Take the plant's new files into the lake."""
    with in_words():
        from pipelines.ingest import ingest_flow
        from pipelines.steps import run

        done = run(ingest_flow, line, context.obj)
        typer.echo(report.of_ingest(done))
        if done.problems:
            raise typer.Exit(SourceError.exit_code)
