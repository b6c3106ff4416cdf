"""Commands of nights: the list, what comes back, a unit's history."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import DATE, LINE, app, in_words
from qma_predict.errors import SourceError

feedback = typer.Typer(help="What comes back from those who checked.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(feedback, name="feedback")


@app.command(epilog="Example: qma nightly demo --date 2025-12-30")
def nightly(
    context: typer.Context,
    line: LINE,
    date: DATE = None,
    replace: Annotated[str | None, typer.Option(help="Why the published list is replaced by a new revision.")] = None,
) -> None:
    """Ingest, score the candidates and publish the risk list of a business date."""
    with in_words():
        from pipelines.nightly import nightly_flow
        from pipelines.steps import run

        folder = run(nightly_flow, line, context.obj, date.date() if date else None, replace)
        typer.echo(f"{folder}/risk_list.html")


@app.command(epilog="Example: qma watch demo")
def watch(context: typer.Context, line: LINE) -> None:
    """Say whether the list that is due is there and whole; if not, tell people and exit with 11.

    One shot, for any scheduler: run it once a day, at the time by which the list is promised.
    """
    with in_words():
        from pipelines.watch import watch as look_once

        typer.echo(look_once(line, context.obj))


@feedback.command("import", epilog="Example: qma feedback import demo filled.xlsx")
def feedback_import(
    context: typer.Context,
    line: LINE,
    file: Annotated[Path, typer.Argument(help="The filled workbook (risk_list.xlsx), or a CSV with its columns.")],
) -> None:
    """Take the answers of a filled list: who answered what becomes data, and results become inspections."""
    with in_words():
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
    with in_words():
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
    with in_words():
        from pipelines.audits import plan_audits

        typer.echo(plan_audits(line, context.obj))
