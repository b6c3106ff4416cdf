"""What is published of a line: its business dates, and the revisions of each."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from qma_predict.errors import DamagedList, PublicationError
from qma_predict.publish.lists.manifest import verify

REVISIONS = "revisions"

_REVISION = re.compile(r"(\d{4}-\d{2}-\d{2})\.r(\d+)")


def read(folder: Path, business_date: date) -> dict[str, Any]:
    """Return the manifest of the list of a business date, verified.

    Raises
    ------
    PublicationError
        The date is not published, or its list is damaged (`DamagedList`), such as one whose folder is gone.
    """
    path = folder / business_date.isoformat()
    if not path.is_dir() and not path.is_symlink():
        known = published_dates(folder)
        span = f"{known[0]} to {known[-1]}, {len(known)} lists" if known else "none"
        raise PublicationError(f"{path}: no list is published for this date; published are: {span}")
    return verify(path)


def published_dates(folder: Path) -> list[date]:
    """Return the business dates that are published in the line's folder, oldest first."""
    return _dates(folder, Path.is_dir)


def lost_dates(folder: Path) -> list[date]:
    """Return the business dates that show a list whose folder is gone, oldest first."""
    return _dates(folder, lambda entry: entry.is_symlink() and not entry.exists())


def known_dates(folder: Path) -> list[date]:
    """Return the business dates that show a list, whether its folder is there or gone, oldest first."""
    return _dates(folder, lambda entry: entry.is_dir() or entry.is_symlink())


def revisions(folder: Path, business_date: date) -> dict[int, Path]:
    """Return the folder of every revision of a business date's list by its number, oldest first.

    The last one is what the date shows, be it damaged or gone. A list that was never replaced has one, number 1; a date
    that is not published has none. The next one that `publish` writes has the number after the last.
    """
    day = folder / business_date.isoformat()
    found = kept(folder).get(day.name, {})
    if shown := linked(day):
        found.setdefault(shown, day)  # its folder is gone
    elif day.is_dir():  # of an earlier version of the program
        try:
            found[int(verify(day)["revision"])] = day
        except DamagedList:  # which one it is nobody knows
            found[max(found, default=1)] = day
    return dict(sorted(found.items()))


def kept(folder: Path) -> dict[str, dict[int, Path]]:
    """Folders of all revisions by the name of their business date and their number, in no order."""
    found: dict[str, dict[int, Path]] = {}
    for path in (folder / REVISIONS).glob("*"):
        if name := _REVISION.fullmatch(path.name):
            found.setdefault(name[1], {})[int(name[2])] = path
    return found


def linked(link: Path) -> int:
    """Number of the revision that a date links to, whether it is there or not; 0 if it links to none."""
    name = _REVISION.fullmatch(Path(os.readlink(link)).name) if link.is_symlink() else None
    return int(name[2]) if name else 0


def _dates(folder: Path, wanted: Callable[[Path], bool]) -> list[date]:
    days = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with suppress(ValueError):
            day = date.fromisoformat(entry.name)
            if day.isoformat() == entry.name and wanted(entry):  # fromisoformat also reads 20261124
                days.append(day)
    return sorted(days)
