"""Commands that keep the program running: health, status, copies, what is old."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import DATE, LINE, app, in_words
from qma_predict.errors import LineError, PublicationError

LINES = Annotated[list[str] | None, typer.Argument(help="Folders with a line.toml, or names under models/.")]
JSON = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]


@app.command(epilog="Example: qma doctor demo")
def doctor(
    context: typer.Context,
    line: Annotated[str | None, typer.Argument(help="A folder with a line.toml, or its name under models/.")] = None,
    as_json: JSON = False,
) -> None:
    """Look whether everything is in order: versions, disk, stores, and of a line its sources, lists and models.

    Nothing is changed. Exits with 1 if a check failed; warnings do not count.
    """
    with in_words():
        from qma_predict.home import Home
        from qma_predict.operate import doctor as module

        home, server = Home(Path(context.obj).absolute()), os.environ.get("PREFECT_API_URL")
        checks = module.doctor(line, home, datetime.now(UTC), environment=os.environ, server=server)
        typer.echo(module.as_json(checks) if as_json else module.in_words(checks))
        if module.failed(checks):
            raise typer.Exit(1)


@app.command(epilog="Example: qma status")
def status(context: typer.Context, lines: LINES = None, as_json: JSON = False) -> None:
    """Show how lines stand: newest list, what was taken in, champion, next run; all lines under models/ by default.

    Exits with 1 if something could not be looked at, or is not what it was.
    """
    with in_words():
        from qma_predict.home import Home
        from qma_predict.operate import status as module

        now, known = datetime.now(UTC), sorted(str(path.parent) for path in Path("models").glob("*/line.toml"))
        if not lines and not known:
            raise LineError(f"no line.toml below {Path('models').absolute()}: name lines, or run it where models lies")
        rows = module.status(Home(Path(context.obj).absolute()), lines or known, now)
        typer.echo(module.as_json(rows) if as_json else module.in_words(rows, now))
        if any(row.wrong for row in rows):
            raise typer.Exit(1)


@app.command(epilog="Example: qma monitor demo --date 2025-12-30")
def monitor(context: typer.Context, line: LINE, date: DATE = None) -> None:
    """Show how the data, the features, the defect rate and the lists of a line are doing, as a page."""
    with in_words():
        from pipelines.monitor import monitor_flow
        from pipelines.steps import run

        typer.echo(run(monitor_flow, line, context.obj, date.date() if date else None))


@app.command(epilog="Example: qma backup /backups/qma-2026-01-31.tar")
def backup(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="A new file, best on another disk.")]
) -> None:
    """Copy the whole home into one file, while nobody writes to it."""
    with in_words():
        from qma_predict.home import Home
        from qma_predict.operate.backup import backup as make

        home = Home(Path(context.obj).absolute())
        done = make(home, file, datetime.now(UTC))
        typer.echo(f"{done.file}: {done.files:,} files of {done.bytes / 1e6:,.1f} MB of {done.home}")
        if os.environ.get("QMA_DESK"):
            typer.echo("The desk database that QMA_DESK names is not in it: back it up by its own means.")


@app.command(epilog="Example: qma restore /backups/qma-2026-01-31.tar new-home")
def restore(
    file: Annotated[Path, typer.Argument(help="Of qma backup.")],
    folder: Annotated[Path, typer.Argument(help="A new or an empty folder; then name it as --home or QMA_HOME.")],
) -> None:
    """Make a home out of a backup, after comparing every file with its hash."""
    with in_words():
        from qma_predict.operate.backup import restore as make

        done = make(file, folder)
        typer.echo(f"{folder}: {done.files:,} files as they were at {done.made_at}. Next: qma --home {folder} doctor")


@app.command(epilog="Example: qma tidy demo --days 365 --apply")
def tidy(
    context: typer.Context,
    line: LINE,
    days: Annotated[int, typer.Option(min=7, max=36_500, help="What is not older stays.")] = 365,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without, it is only told.")] = False,
) -> None:
    """Remove what is old and not needed: never lists, what they pin, or a model that was champion or made a list.

    Exits with 9 if a list is damaged, so that nobody knows what it pins: models and the lake stay as they are then.
    """
    with in_words():
        from qma_predict.home import find_home
        from qma_predict.line import load_line
        from qma_predict.operate import retention

        definition, home = load_line(line), find_home(context.obj)
        found = retention.tidy(home, definition.name, timedelta(days=days), datetime.now(UTC), apply=apply)
        typer.echo(retention.in_words(found, applied=apply))
        if found.damaged:
            raise typer.Exit(PublicationError.exit_code)
