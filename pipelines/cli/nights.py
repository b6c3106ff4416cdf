"""Commands of nights: the list, what comes back, a unit's history."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import DATE, LINE, app, in_words
from qma_predict.errors import PublicationError, SourceError

feedback = typer.Typer(help="What comes back from those who checked.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(feedback, name="feedback")

FIRST = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First business date, YYYY-MM-DD.")]
LAST = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last business date, YYYY-MM-DD.")]


@app.command(epilog="Example: qma nightly demo --date 2025-12-30")
def nightly(
    context: typer.Context,
    line: LINE,
    date: DATE = None,
    replace: Annotated[str | None, typer.Option(help="Why the published list is replaced by a new revision.")] = None,
) -> None:
    """Ingest, score the candidates and publish the risk list of a business date.

    Without --date, what is due is made, by the line's schedule.missed. For any scheduler: run it once a day, at the
    time as which the list is made.
    """
    with in_words():
        from pipelines.nightly import nightly_flow
        from pipelines.scheduled import scheduled_flow
        from pipelines.steps import run

        if date is None and replace is None:
            folder = run(scheduled_flow, line, context.obj)
        else:
            folder = run(nightly_flow, line, context.obj, date.date() if date else None, replace)
        typer.echo(f"{folder}/risk_list.html")


@app.command(epilog="Example: qma backfill demo --from 2025-12-20 --to 2025-12-24")
def backfill(
    context: typer.Context,
    line: LINE,
    first: FIRST,
    last: LAST,
) -> None:
    """Publish the lists of past business dates that have none, marked as made in retrospect. Nobody is told."""
    with in_words():
        from pipelines.backfill import backfill_flow, in_words_of
        from pipelines.steps import run

        done = run(backfill_flow, line, context.obj, first.date(), last.date())
        typer.echo(in_words_of(done))
        if done.failed:
            raise typer.Exit(PublicationError.exit_code)


@app.command(epilog="Example: qma replay demo --from 2025-12-01 --to 2025-12-30")
def replay(
    context: typer.Context,
    line: LINE,
    first: FIRST,
    last: LAST,
    out: Annotated[Path | None, typer.Option(help="Folder for it; by default below the home, in replays.")] = None,
) -> None:
    """Show the lists people would have got, with only what was known each night, and judge them by what came out.

    Nothing that is published changes. Run again after an interruption, it goes on.
    """
    with in_words():
        from pipelines.replay import replay_flow
        from pipelines.steps import run
        from qma_predict.operate.replay_page import words

        done = run(replay_flow, line, context.obj, first.date(), last.date(), str(out) if out else None)
        typer.echo(f"{words(done.replay)}\n{done.folder}/report.html")


@app.command(epilog="Example: qma serve")
def serve(
    context: typer.Context,
    lines: Annotated[
        list[str] | None, typer.Argument(help="Folders with a line.toml, or names under models/; all of those without.")
    ] = None,
) -> None:
    """Run the lines' flows by their own clocks, until told to end.

    By a Prefect server of its own, or the one that PREFECT_API_URL names; lists are made without it, where it fails.
    """
    with in_words():
        from pipelines.serve import serve as keep_serving

        every = sorted(str(path.parent) for path in Path("models").glob("*/line.toml"))
        keep_serving(lines or every, context.obj)


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
    """Take the answers of a filled list: who answered what becomes data, and results become inspections.

    Exits with 4 if rows were refused, and with 9 if some are of a list that is damaged; the others are taken.
    """
    with in_words():
        from pipelines.feedback import take_answers
        from qma_predict.review.answers import imported_words

        done = take_answers(line, context.obj, file)
        typer.echo(imported_words(done))
        if done.refused:
            raise typer.Exit((PublicationError if done.damaged else SourceError).exit_code)


@app.command(epilog="Example: qma unit demo H-0012345")
def unit(
    context: typer.Context,
    line: LINE,
    unit_id: Annotated[str, typer.Argument(help="As the plant names it.")],
) -> None:
    """Show what is known of a unit: where it was, on which lists, what was answered and what was found."""
    with in_words():
        from qma_predict.data.lake import Lake
        from qma_predict.home import find_home
        from qma_predict.line import load_line
        from qma_predict.review.unit_history import unit_history, unit_words

        definition, home = load_line(line), find_home(context.obj)
        history = Lake(home.lake(definition.name)).at(datetime.now(UTC))
        events = unit_history(home.published(definition.name), definition, history, unit_id)
        typer.echo(unit_words(events, definition, unit_id))


@app.command("audit-plan", epilog="Example: qma audit-plan demo")
def audit_plan(context: typer.Context, line: LINE) -> None:
    """Show how well escapes will be known after weeks of audits, by the share of the capacity kept for them."""
    with in_words():
        from pipelines.audits import plan_audits

        typer.echo(plan_audits(line, context.obj))
