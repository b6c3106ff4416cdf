"""The folder of a replay: a home of its own, in which nothing of the real one is changed.

It has what the replay was begun with (`replay.json`), the real lists before it, the replayed ones, the models that
were trained for it with a log of their champions, and the scores of the ladder.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from qma_predict.errors import HomeError
from qma_predict.home import Home
from qma_predict.line import Line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.durable import flush_folder, move_link, remove_debris, staging, write_whole
from qma_predict.publish.lists.manifest import as_json
from qma_predict.publish.models import kept_models
from qma_predict.review.earlier import MOST, WEEKS

BEGUN = "replay.json"

_UNFINISHED = "training.json"

_FAILED = "failed_trainings.json"


@dataclass(frozen=True)
class Begun:
    """What a replay was begun with, so that one that goes on later ends in the same bytes.

    Attributes
    ----------
    line, line_digest : str
    first, last : date
    versions : mapping of str to int
        Of the lake's tables.
    known_until : datetime, UTC
        The newest ingest of these: as which outcomes are known.
    """

    line: str
    line_digest: str
    first: date
    last: date
    versions: Mapping[str, int]
    known_until: datetime


def begin(place: Home, line: Line, wanted: Begun) -> Begun:
    """Note what a replay begins with, or return what it was begun with if it goes on.

    Raises
    ------
    HomeError
        If the folder holds another replay, or one that was begun with another line.toml, or is no replay.
    """
    file = place.folder / BEGUN
    if not file.exists():
        if any((place.folder / name).exists() for name in ("lake", "published", "models")):
            raise HomeError(f"{place.folder}: is a home, not a replay (no {BEGUN}). Name a new folder: --out FOLDER")
        write_whole(file, as_json(asdict(wanted) | _as_text(wanted)))
        return wanted
    try:
        said = json.loads(file.read_bytes())
        dates = {name: date.fromisoformat(said[name]) for name in ("first", "last")}
        begun = Begun(**{**said, **dates, "known_until": datetime.fromisoformat(said["known_until"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{file}: cannot be read ({error!r}). Remove the folder, and replay again.") from error
    for name in ("line", "first", "last", "line_digest"):
        found, expected = getattr(begun, name), getattr(wanted, name)
        if found != expected:
            what = "line.toml" if name == "line_digest" else f"{name} {found}"
            raise HomeError(
                f"{place.folder}: this replay was begun with another {what}, expected {expected}. "
                f"Remove the folder, or name another one: qma replay {line.name} ... --out FOLDER"
            )
    return begun


def copy_earlier(real: Path, folder: Path, first: date) -> None:
    """Copy the real lists before a date that its night looks at, with all their revisions.

    Parameters
    ----------
    real, folder : Path
        The line's folders of published lists: the home's, and the replay's.
    first : date
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_debris(folder)
    before = [day for day in bundle.published_dates(real) if day < first]
    oldest = first - timedelta(weeks=WEEKS, days=1)
    newest = set(before[-MOST:])
    (folder / bundle.REVISIONS).mkdir(exist_ok=True)
    for day in (day for day in before if day >= oldest or day in newest):
        name = ""
        for number, path in bundle.revisions(real, day).items():
            name = f"{bundle.REVISIONS}/{day.isoformat()}.r{number}"
            if not (folder / name).exists():
                draft = staging(folder, path.name)
                shutil.copytree(path.resolve(), draft)
                draft.rename(folder / name)
        if not (folder / day.isoformat()).exists():
            move_link(folder / day.isoformat(), name)
    flush_folder(folder)


@contextmanager
def training_whole(place: Home, line: str) -> Iterator[None]:
    """Note what there was before a training, so that `undo_training` can take back one that was stopped."""
    log = place.champions(line)
    before = {"log": log.stat().st_size if log.exists() else 0, "models": kept_models.versions(place, line)}
    write_whole(place.folder / _UNFINISHED, as_json(before))
    yield
    (place.folder / _UNFINISHED).unlink()
    flush_folder(place.folder)


def undo_training(place: Home, line: str) -> None:
    """Take back the models and entries of a training that was stopped: made again, they get the same numbers."""
    file = place.folder / _UNFINISHED
    if not file.exists():
        return
    before, log = json.loads(file.read_bytes()), place.champions(line)
    if log.exists():
        os.truncate(log, before["log"])
    for version in set(kept_models.versions(place, line)) - set(before["models"]):
        shutil.rmtree(place.models(line) / f"v{version}")
    file.unlink()


def failed_trainings(place: Home) -> dict[datetime, str]:
    """Trainings of a replay that gave no model, by their moment [UTC], and why."""
    file = place.folder / _FAILED
    said = json.loads(file.read_bytes()) if file.exists() else {}
    return {datetime.fromisoformat(moment): why for moment, why in said.items()}


def note_failed(place: Home, at: datetime, why: str) -> None:
    """Note that a training gave no model, so that a replay that goes on later does as this one."""
    failed = failed_trainings(place) | {at: why.replace(f"{place.folder}/", "")}
    write_whole(place.folder / _FAILED, as_json({moment.isoformat(): why for moment, why in failed.items()}))


def compared(real: Path, folder: Path, day: date) -> str:
    """Whether a replayed list is the one that was really made: "same", "differs: ..."; empty if none was made.

    What an earlier version of the program did not say yet is not compared, nor the text of line.toml where all that
    follows from it is the same.
    """
    if day not in bundle.published_dates(real):
        return ""
    if day not in bundle.published_dates(folder):
        return "differs: there is no list in the replay"
    theirs, ours = bundle.read(real, day), bundle.read(folder, day)
    files = [name for name, of in sorted(theirs["files"].items()) if of != ours["files"].get(name)]
    facts = [name for name, of in sorted(theirs["facts"].items()) if of != ours["facts"].get(name)]
    if not files and set(facts) <= {"line_digest"}:
        return "same"
    because = "line.toml was changed since; " if "line_digest" in facts else ""
    return f"differs: {because}{', '.join([*files, *facts])}"


def _as_text(begun: Begun) -> dict[str, str]:
    return {name: getattr(begun, name).isoformat() for name in ("first", "last", "known_until")}
