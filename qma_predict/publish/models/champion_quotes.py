"""The log of champions held against the lists that quote it.

Every list quotes the hash of what was the newest entry when it was made, and the log only grows. So it holds what any
list quotes, unless it was rewritten, with hashes that fit each other again, or cut.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from qma_predict.errors import DamagedList, ModelError
from qma_predict.home import Home
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.dates import kept
from qma_predict.publish.lists.published import published_at
from qma_predict.publish.models.champion_entries import Entry, read

NEWEST = 60
"""Newest dates whose lists a night compares the log with; who only looks now and then compares all."""


@dataclass(frozen=True)
class Quote:
    """What a published list says of the log, and of its model.

    Attributes
    ----------
    business_date : date
    entry : str
        Hash of the newest entry when it was made.
    version, model_sha256 : str
        The model; the hash is empty where the list does not say it.
    published_at : datetime, optional
    """

    business_date: date
    entry: str
    version: str
    model_sha256: str
    published_at: datetime | None


def quotes(home: Home, line: str, newest: int | None = None) -> Iterator[Quote]:
    """What the lists say that do quote the log, every revision of them, newest first; damaged ones are left out.

    Parameters
    ----------
    home : Home
    line : str
    newest : int, optional
        Only lists of so many dates; all by default.
    """
    folder = home.published(line)
    there, dates = kept(folder), bundle.known_dates(folder)
    for day in reversed(dates if newest is None else dates[-newest:]):
        name = day.isoformat()
        for _, path in sorted(there.get(name, {1: folder / name}).items(), reverse=True):
            with suppress(DamagedList):  # the doctor tells of it
                facts: dict[str, Any] = bundle.sealed(path)["facts"]
                if entry := facts.get("provenance", {}).get("champion_log"):
                    model = facts["model"]
                    version, sha256 = str(model["version"]), model.get("sha256") or ""
                    yield Quote(day, entry, version, sha256, published_at(path))


def lacking(told: Iterable[Quote], known: Sequence[Entry]) -> list[Quote]:
    """Those whose entry the log lacks, but for lists made before a person vouched for a champion without it."""
    hashes = {one.sha256 for one in known}
    since = next((one.at for one in reversed(known) if one.event == "vouched for"), None)
    found = [one for one in told if one.entry not in hashes]
    return [one for one in found if since is None or (one.published_at is not None and one.published_at > since)]


def checked(home: Home, line: str, newest: int | None = None) -> list[Entry]:
    """All entries of the log, oldest first, after holding them against what lists quote.

    Parameters
    ----------
    home : Home
    line : str
    newest : int, optional
        As `quotes` takes it.

    Raises
    ------
    ModelError
        If the log cannot be read, an entry is not the one that was written, or it lacks one that a list quotes.
    """
    told = list(quotes(home, line, newest))  # before the log, which may grow meanwhile
    known = read(home.champions(line))
    if wrong := lacking(told, known):
        one = wrong[0]
        raise ModelError(
            f"{home.champions(line)}: lacks the entry {one.entry[:12]}... that the list of {one.business_date} quotes: "
            "the log of champions was rewritten, cut or removed. Restore it from a backup; if there is none, a "
            f"person vouches for a champion: qma approve {line} {one.version} --log-lost --by NAME --why TEXT"
        )
    return known
