"""`qma`: what the flows do on schedule, by hand."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines import report
from qma_predict.errors import QmaError, SourceError

app = typer.Typer(
    help="Predict quality defects: ingest a line's data, train in time order, publish nightly risk lists.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

feedback = typer.Typer(help="What comes back from those who checked.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(feedback, name="feedback")

LINE = Annotated[str, typer.Argument(help="A folder with a line.toml, or its name under models/.")]
DATE = Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Business date, YYYY-MM-DD.")]


@app.callback()
def main(
    context: typer.Context,
    home: Annotated[Path, typer.Option(envvar="QMA_HOME", help="Folder that keeps everything.")] = Path("qma-home"),
) -> None:
    """Set up what all commands share."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for name in ("qma_predict", "pipelines"):
        logging.getLogger(name).setLevel(logging.INFO)
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    context.obj = str(home)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Say what went wrong on purpose in words, with the error's exit code."""
    try:
        yield
    except QmaError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


@app.command(epilog="Example: qma --home demo-home demo")
def demo(context: typer.Context) -> None:
    """Do the main job on a simulated plant, where the truth is known."""
    with _in_words():
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
    with _in_words():
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
    with _in_words():
        from qma_predict.data.draft import line_name, write_draft

        name = line_name(line or folder.resolve().name)
        file = write_draft(folder, to or Path("models") / name, name)
        typer.echo(report.of_draft(file))


@app.command(epilog="Example: qma check demo")
def check(line: LINE) -> None:
    """Say what an ingest would accept and what is suspicious, without writing anything."""
    with _in_words():
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
    with _in_words():
        from pipelines.ingest import ingest_flow
        from pipelines.steps import run

        done = run(ingest_flow, line, context.obj)
        typer.echo(report.of_ingest(done))
        if done.problems:
            raise typer.Exit(SourceError.exit_code)


@app.command(epilog="Example: qma train demo --date 2025-12-17")
def train(context: typer.Context, line: LINE, date: DATE = None) -> None:
    """Backtest in time order, fit, log to MLflow and make the winner the champion.

    With --date, only what the list of that business date could know is used.
    """
    with _in_words():
        from pipelines.steps import run
        from pipelines.train import train_flow

        model = run(train_flow, line, context.obj, date.date() if date else None)
        typer.echo(report.of_model(model))


@app.command(epilog="Example: qma search demo --minutes 5")
def search(
    context: typer.Context,
    line: LINE,
    date: DATE = None,
    minutes: Annotated[float, typer.Option(min=0.0, help="How long to search.")] = 10.0,
    trials: Annotated[int | None, typer.Option(min=1, help="So many trials instead, whatever the time.")] = None,
) -> None:
    """Look for better parameters of the recipe, in time order, on what was known before the backtest begins.

    Nothing is changed: what was found is printed, and logged to MLflow.
    """
    with _in_words():
        from pipelines.search import search_flow
        from pipelines.steps import run

        found = run(search_flow, line, context.obj, date.date() if date else None, minutes, trials)
        typer.echo(report.of_search(found))


@app.command(epilog="Example: qma nightly demo --date 2025-12-30")
def nightly(
    context: typer.Context,
    line: LINE,
    date: DATE = None,
    replace: Annotated[str | None, typer.Option(help="Why the published list is replaced by a new revision.")] = None,
) -> None:
    """Ingest, score the candidates and publish the risk list of a business date."""
    with _in_words():
        from pipelines.nightly import nightly_flow
        from pipelines.steps import run

        folder = run(nightly_flow, line, context.obj, date.date() if date else None, replace)
        typer.echo(f"{folder}/risk_list.html")


@app.command(epilog="Example: qma watch demo")
def watch(context: typer.Context, line: LINE) -> None:
    """Say whether the list that is due is there and whole; if not, tell people and exit with 11.

    One shot, for any scheduler: run it once a day, at the time by which the list is promised.
    """
    with _in_words():
        from pipelines.watch import watch as look_once

        typer.echo(look_once(line, context.obj))


@feedback.command("import", epilog="Example: qma feedback import demo filled.xlsx")
def feedback_import(
    context: typer.Context,
    line: LINE,
    file: Annotated[Path, typer.Argument(help="The filled workbook (risk_list.xlsx), or a CSV with its columns.")],
) -> None:
    """Take the answers of a filled list: who answered what becomes data, and results become inspections."""
    with _in_words():
        from pipelines.feedback import take_answers
        from qma_predict.review.answers import imported_words

        done = take_answers(line, context.obj, file)
        typer.echo(imported_words(done))
        if done.refused:
            raise typer.Exit(SourceError.exit_code)


@app.command(epilog="Example: qma unit demo H-0012345")
def unit(
    context: typer.Context,
    line: LINE,
    unit_id: Annotated[str, typer.Argument(help="As the plant names it.")],
) -> None:
    """Show what is known of a unit: where it was, on which lists, what was answered and what was found."""
    with _in_words():
        from qma_predict.data.lake import Lake
        from qma_predict.home import open_home
        from qma_predict.line import load_line
        from qma_predict.review.unit_history import unit_history, unit_words

        definition, home = load_line(line), open_home(context.obj)
        history = Lake(home.lake(definition.name)).at(datetime.now(UTC))
        events = unit_history(home.published(definition.name), history, unit_id)
        typer.echo(unit_words(events, definition, unit_id))


@app.command("audit-plan", epilog="Example: qma audit-plan demo")
def audit_plan(context: typer.Context, line: LINE) -> None:
    """Show how well escapes will be known after weeks of audits, by the share of the capacity kept for them."""
    with _in_words():
        from pipelines.audits import plan_audits

        typer.echo(plan_audits(line, context.obj))


@app.command(epilog="Example: qma champion demo")
def champion(context: typer.Context, line: LINE) -> None:
    """Show the model in use."""
    with _in_words():
        from qma_predict.home import open_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import registry

        typer.echo(report.of_model(registry.champion(open_home(context.obj), load_line(line))))


@app.command(epilog="Example: qma card demo --write")
def card(
    context: typer.Context,
    line: LINE,
    write: Annotated[bool, typer.Option("--write", help="Copy it beside line.toml, too.")] = False,
) -> None:
    """Show the model card of the model in use, as its training wrote it.

    With --write it is also copied beside line.toml as card.md, for a person to commit.
    """
    with _in_words():
        from qma_predict.home import open_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import kept_cards, registry

        home, definition = open_home(context.obj), load_line(line)
        champion = registry.champion(home, definition)
        text = kept_cards.read(home, champion.line, champion.version)
        typer.echo(text, nl=False)
        if write:
            typer.echo(f"{kept_cards.write_beside(definition, text)}: written", err=True)
