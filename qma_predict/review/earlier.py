"""The lists before a night: found, compared with their hashes, and read once."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from qma_predict.errors import DamagedList
from qma_predict.line import Line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.manifest import digest_of
from qma_predict.publish.lists.published import published_at
from qma_predict.publish.pages.words import day_words

WEEKS = 8
"""How far back a night looks at lists."""

MOST = 30
"""Lists that it looks at however old they are: those of whose promises it tells."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierList:
    """A list that is whole: folder and number of the revision that counts, and its manifest's facts and SHA-256."""

    path: Path
    facts: Mapping[str, Any]
    revision: int
    sha256: str


@dataclass(frozen=True)
class EarlierLists:
    """Lists as they were shown at a moment.

    Attributes
    ----------
    moment : datetime
    whole : dict of date to EarlierList
        By business date, oldest first.
    damaged : dict of date to str
        Why others are left out, and what to do.
    """

    moment: datetime
    whole: dict[date, EarlierList]
    damaged: dict[date, str]

    @property
    def named(self) -> tuple[dict[str, Any], ...]:
        """Which lists were read, and why others were not, as the manifest of the list that is made after them says it.

        By ``business_date``: ``revision`` and the manifest's ``sha256``, or else ``left_out``, in words.
        """
        read: dict[date, dict[str, Any]] = {
            day: {"revision": one.revision, "sha256": one.sha256} for day, one in self.whole.items()
        }
        read |= {day: {"left_out": why} for day, why in self.damaged.items()}
        return tuple({"business_date": day, **read[day]} for day in sorted(read))

    def of_weeks(self, weeks: int) -> dict[date, EarlierList]:
        """Those of the last weeks before the moment."""
        oldest = (self.moment - timedelta(weeks=weeks)).date()
        return {day: one for day, one in self.whole.items() if day >= oldest}


def lists_before(folder: Path, line: Line, moment: datetime, *, most: int = MOST) -> EarlierLists:
    """Read the lists that were made before a moment: those of the last `WEEKS`, and the newest `most`.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    line : Line
    moment : datetime
        Lists of this moment and later ones are left out.
    most : int

    Notes
    -----
    A list that is damaged, or whose folder is gone, is left out and told, and stays as it is: one bad file must not
    keep people from tonight's list.
    """
    days = [day for day in bundle.known_dates(folder) if line.as_of(day) < moment]
    oldest, newest = (moment - timedelta(weeks=WEEKS)).date(), days[-most:]
    return read_lists(folder, line, [day for day in days if day >= oldest or day in newest], moment)


def read_lists(folder: Path, line: Line, days: Iterable[date], moment: datetime) -> EarlierLists:
    """Read the lists of these business dates as they were shown at a moment; of those made later, the first revision.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    line : Line
    days : iterable of date
    moment : datetime
    """
    whole, damaged = {}, {}
    for day in sorted(days):
        try:
            whole[day] = _whole(_shown_at(folder, day, moment))
        except DamagedList as error:
            log.error("%s", error)
            damaged[day] = _words(error, folder, line, day)
    return EarlierLists(moment, whole, damaged)


def lists_named(folder: Path, named: Iterable[Mapping[str, Any]], moment: datetime) -> EarlierLists:
    """Read the lists that were read before, as a manifest names them, whatever was published or replaced since.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    named : iterable of mapping
        As `EarlierLists.named`, with dates as ISO text.
    moment : datetime

    Raises
    ------
    DamagedList
        If one of them is not what it was.
    """
    whole, damaged = {}, {}
    for said in named:
        day = date.fromisoformat(said["business_date"])
        if "left_out" in said:
            damaged[day] = said["left_out"]
            continue
        path = bundle.revisions(folder, day).get(said["revision"], folder / day.isoformat())
        whole[day] = one = _whole(path)
        if one.sha256 != said["sha256"]:
            wrong = f"{bundle.MANIFEST} has SHA-256 {one.sha256[:12]}..., expected {said['sha256'][:12]}..."
            raise DamagedList(path, [wrong])
    return EarlierLists(moment, whole, damaged)


def _whole(path: Path) -> EarlierList:
    said = bundle.verify(path)
    return EarlierList(path, said["facts"], int(said["revision"]), digest_of(path))


def _shown_at(folder: Path, day: date, moment: datetime) -> Path:
    shown = folder / day.isoformat()
    if not shown.exists():
        return shown  # its folder is gone
    paths = list(bundle.revisions(folder, day).values())
    by_then = (path for path in reversed(paths) if (made := published_at(path)) is not None and made <= moment)
    return next(by_then, paths[0])


def _words(error: DamagedList, folder: Path, line: Line, day: date) -> str:
    """Say what is damaged and what to do; pages and messages cut a sentence in its middle, which is left to details."""
    return (
        f"the list of {day_words(day)} {day.year} is damaged, and tonight knows nothing of it: "
        f"{damage_words(error, folder, line)}. Restore it from a backup, or run qma nightly {line.name} --date {day} "
        "--replace WHY"
    )


def damage_words(error: DamagedList, folder: Path, line: Line) -> str:
    """Say what is damaged, without the place of the home, so that a replay elsewhere says the same."""
    place = os.path.relpath(error.path, folder.resolve())
    return f"published/{line.name}/{place} of the home, {'; '.join(error.wrong)}"
