"""One look, for any scheduler: is the list that is due there and whole? If not, people are told."""

from datetime import UTC, datetime
from pathlib import Path

from pipelines.logs import about
from qma_predict.errors import NoList
from qma_predict.home import Home
from qma_predict.line import load_line
from qma_predict.publish.messages.sending import send
from qma_predict.publish.messages.watch import look, notice


def watch(line: str, home: str | Path, now: datetime | None = None) -> str:
    """Return in words that the list is there or not due yet.

    Needs neither Prefect nor the model nor a home that can be opened. Every call tells people again.

    Parameters
    ----------
    line : str
        A folder with a line.toml, or its name under models/.
    home : str or Path
        The folder that keeps everything; it is only read, and not made where it is missing.
    now : datetime, optional
        Aware; the present by default.

    Raises
    ------
    NoList
        The promised time has passed without a whole list; `line.messages.to` were told before, and the message
        says who could not be.
    LineError
        The line.toml cannot be used; nobody is told then.
    """
    definition = load_line(line)
    seen = look(Home(Path(home).absolute()), definition, now or datetime.now(UTC))
    with about(line=definition.name, business_date=seen.business_date):
        if not seen.missing:
            return seen.words
        told = send(definition.messages.to, *notice(definition, seen), kind="failure")
        people = (
            f"{told.sent} of {len(definition.messages.to)} addresses were told"
            if definition.messages.to
            else "nobody was told, messages.to names no address"
        )
        raise NoList("\n".join([seen.words, f"Use the control plan; {people}.", *told.failures]))
