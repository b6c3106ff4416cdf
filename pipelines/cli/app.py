"""What all commands of `qma` share."""

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines import logs
from qma_predict.errors import QmaError

app = typer.Typer(
    help="Predict quality defects: ingest a line's data, train in time order, publish nightly risk lists.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LINE = Annotated[str, typer.Argument(help="A folder with a line.toml, or its name under models/.")]
DATE = Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Business date, YYYY-MM-DD.")]


@app.callback()
def main(
    context: typer.Context,
    home: Annotated[Path, typer.Option(envvar="QMA_HOME", help="Folder that keeps everything.")] = Path("qma-home"),
) -> None:
    """Set up what all commands share."""
    logs.set_up_as_asked()
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    context.obj = str(home)


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Say what went wrong on purpose in words, with the error's exit code."""
    try:
        yield
    except QmaError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
