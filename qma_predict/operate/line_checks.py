"""Checks of a line's definition and of its sources."""

from collections.abc import Iterator

from qma_predict.data.database import connected
from qma_predict.data.sources import pieces
from qma_predict.errors import SourceError
from qma_predict.line import Line, Source
from qma_predict.line.definition import VARIABLE
from qma_predict.operate.check import Check, tried
from qma_predict.publish.models.trusted import check_trust


def definition_checks(line: Line) -> Iterator[Check]:
    """Checks of a line that could be loaded: its addresses, and whether its sources can be reached."""
    yield Check("line", "ok", f"{line.file}: understood, {len(line.sources)} sources")
    yield addresses(line)
    if line.learning.trust:
        yield tried("trust", lambda: trust(line))
    for source in line.sources:
        yield reach(source)


def addresses(line: Line) -> Check:
    """Whether somebody is told, and all variables of the addresses are set."""
    unset = sorted({name for url in line.messages.to for name in VARIABLE.findall(url)})
    if unset:
        found = f"messages.to: {', '.join(unset)} not set in the environment"
        return Check("messages", "warning", found, "Set them, or nobody is told at these addresses.")
    if not line.messages.to:
        what = "Name an address, or look at the lists by yourselves."
        return Check(
            "messages", "warning", "messages.to names no address: nobody is told of a list that is missing", what
        )
    known = len(line.messages.to)
    return Check("messages", "ok", "1 address" if known == 1 else f"{known} addresses")


def trust(line: Line) -> Check:
    """Whether what the line trusts in stored models are classes, where they are defined; their modules are imported."""
    check_trust(line)
    return Check("trust", "ok", f"stored models may hold {', '.join(line.learning.trust)}")


def reach(source: Source) -> Check:
    """Whether a source is there: its files are found, its database answers. Nothing is read from it."""
    name = f"source {source.table}"
    try:
        if source.url is not None:
            with connected(source):
                return Check(name, "ok", f"{source.place}: the database answers")
        found = list(pieces(source))
        for piece in found:
            if isinstance(piece, SourceError):
                raise piece
            piece.stamp()
    except SourceError as error:
        return Check(name, "failed", str(error))
    return Check(name, "ok", f"{source.place}: {len(found)} file{'' if len(found) == 1 else 's'}")
