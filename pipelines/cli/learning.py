"""Commands of models: train, search, who is champion."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from pipelines import report
from pipelines.cli.app import DATE, LINE, app, in_words


@app.command(epilog="Example: qma train demo --date 2025-12-17")
def train(context: typer.Context, line: LINE, date: DATE = None) -> None:
    """Backtest in time order, fit, log to MLflow, and decide whether the model becomes champion.

    With --date, only what the list of that business date could know is used. The first model is promoted; later ones
    have to be no worse than the champion, and by another recipe better, by the margin in line.toml.
    """
    with in_words():
        from pipelines.steps import run
        from pipelines.train import train_flow
        from qma_predict.home import open_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log

        last = run(train_flow, line, context.obj, date.date() if date else None)
        home, name = open_home(context.obj), load_line(line).name
        known = champion_log.entries(home, name)
        typer.echo("\n".join(champion_log.in_words(entry) for entry in known if entry.at == last.at))
        if champion_log.reigning(known):
            typer.echo(report.of_model(champion_log.champion(home, name)))


@app.command(epilog="Example: qma search demo --minutes 5")
def search(
    context: typer.Context,
    line: LINE,
    date: DATE = None,
    minutes: Annotated[float, typer.Option(min=0.0, help="How long to search.")] = 10.0,
    trials: Annotated[int | None, typer.Option(min=1, help="So many trials instead, whatever the time.")] = None,
) -> None:
    """Look for better parameters of the recipe, in time order, on what was known before the backtest begins.

    Nothing is changed: what was found is printed, and logged to MLflow. Ctrl-C ends the search early and keeps what the
    batches of trials found that were finished by then.
    """
    with in_words():
        from pipelines.search import search_flow
        from pipelines.steps import run

        found = run(search_flow, line, context.obj, date.date() if date else None, minutes, trials)
        typer.echo(report.of_search(found))


@app.command(epilog="Example: qma champion demo --on 2026-02-10")
def champion(
    context: typer.Context,
    line: LINE,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Business date, YYYY-MM-DD; now by default.")
    ] = None,
) -> None:
    """Show the model in use, and how it came to be: the log of champions.

    With --on, those of the moment at which the list of that business date is made. Exits with 8 if the log is not what
    published lists quote.
    """
    with in_words():
        from qma_predict.home import find_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log, champion_quotes

        definition, home = load_line(line), find_home(context.obj)
        at = definition.as_of(on.date()) if on else None
        known = champion_quotes.checked(home, definition.name)
        model = champion_log.champion(home, definition.name, at)
        typer.echo(report.of_model(model))
        typer.echo("\n".join(champion_log.in_words(entry) for entry in known if at is None or entry.at <= at))


BY = Annotated[str, typer.Option("--by", help="Name of the person who decides.")]
WHY = Annotated[str, typer.Option("--why", help="For what reason.")]


@app.command(epilog='Example: qma approve demo 4 --by "M. Roth" --why "two weeks of good shadow lists"')
def approve(
    context: typer.Context,
    line: LINE,
    version: Annotated[str, typer.Argument(help="Version that awaits approval, such as 4; qma champion tells them.")],
    by: BY,
    why: WHY,
    log_lost: Annotated[
        bool, typer.Option("--log-lost", help="The log of champions lacks what lists quote, and there is no backup.")
    ] = False,
) -> None:
    """Make a model champion that awaits approval; the name and the reason are kept.

    With --log-lost, any model that is kept: a person vouches for it, and what is left of the log goes on from there.
    """
    with in_words():
        from qma_predict.home import find_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log, registry

        definition, home = load_line(line), find_home(context.obj)
        name, trust = definition.name, definition.learning.trust
        now = datetime.now(UTC)
        decide = champion_log.vouch if log_lost else champion_log.approve
        entry = decide(home, name, version.removeprefix("v"), by=by, why=why, now=now, trust=trust)
        registry.follow(home, champion_log.model_of(home, name, entry))
        typer.echo(champion_log.in_words(entry))


@app.command(epilog='Example: qma rollback demo --by "M. Roth" --why "too many false alarms since Monday"')
def rollback(
    context: typer.Context,
    line: LINE,
    by: BY,
    why: WHY,
    to: Annotated[str | None, typer.Option("--to", help="Version; by default the champion before.")] = None,
) -> None:
    """Make an earlier champion the champion again; the name and the reason are kept.

    The next training may promote a newer model again: change line.toml first if its recipe is at fault.
    """
    with in_words():
        from qma_predict.home import find_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log, registry

        definition, home = load_line(line), find_home(context.obj)
        name, trust = definition.name, definition.learning.trust
        version = to.removeprefix("v") if to else None
        now = datetime.now(UTC)
        entry = champion_log.rollback(home, name, by=by, why=why, now=now, version=version, trust=trust)
        registry.follow(home, champion_log.model_of(home, name, entry))
        typer.echo(champion_log.in_words(entry))


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
        from qma_predict.home import find_home
        from qma_predict.line import load_line
        from qma_predict.publish.models import champion_log, champion_quotes, kept_cards

        definition, home = load_line(line), find_home(context.obj)
        champion_quotes.checked(home, definition.name)
        model = champion_log.champion(home, definition.name)
        text = kept_cards.read(home, model.line, model.version)
        typer.echo(text, nl=False)
        if write:
            typer.echo(f"{kept_cards.write_beside(definition, text)}: written", err=True)
