"""Commands of models: train, search, who is champion."""

from typing import Annotated

import typer

from pipelines import report
from pipelines.cli.app import DATE, LINE, app, in_words


@app.command(epilog="Example: qma train demo --date 2025-12-17")
def train(context: typer.Context, line: LINE, date: DATE = None) -> None:
    """Backtest in time order, fit, log to MLflow and make the winner the champion.

    With --date, only what the list of that business date could know is used.
    """
    with in_words():
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
    with in_words():
        from pipelines.search import search_flow
        from pipelines.steps import run

        found = run(search_flow, line, context.obj, date.date() if date else None, minutes, trials)
        typer.echo(report.of_search(found))


@app.command(epilog="Example: qma champion demo")
def champion(context: typer.Context, line: LINE) -> None:
    """Show the model in use."""
    with in_words():
        from qma_predict.home import open_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log

        typer.echo(report.of_model(champion_log.champion(open_home(context.obj), load_line(line).name)))


@app.command(epilog="Example: qma card demo --write")
def card(
    context: typer.Context,
    line: LINE,
    write: Annotated[bool, typer.Option("--write", help="Copy it beside line.toml, too.")] = False,
) -> None:
    """Show the model card of the model in use, as its training wrote it.

    With --write it is also copied beside line.toml as card.md, for a person to commit.
    """
    with in_words():
        from qma_predict.home import open_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log, kept_cards

        home, definition = open_home(context.obj), load_line(line)
        model = champion_log.champion(home, definition.name)
        text = kept_cards.read(home, model.line, model.version)
        typer.echo(text, nl=False)
        if write:
            typer.echo(f"{kept_cards.write_beside(definition, text)}: written", err=True)
