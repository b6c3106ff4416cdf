"""What is old and no longer needed is removed, on demand; lists, what they pin, and champions stay.

Lists are records: they, the versions of the lake that they pin, and every model that was champion, made a list or has
scores beside one are never removed, however old. Where a list is damaged, so that nobody knows what it needs, neither
models nor files of the lake are. MLflow's runs are not touched; `mlflow gc` removes those that were
deleted there.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from qma_predict.data.lake import KEEP_VERSIONS, SCHEMAS
from qma_predict.errors import DamagedList, HomeError, LakeError, ModelError
from qma_predict.home import Home
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.durable import staging
from qma_predict.publish.models import champion_log, champion_quotes, kept_models

SHORTEST = timedelta(days=7)
"""What is newer stays: somebody may still write or read it."""


@dataclass(frozen=True)
class Old:
    """Something that can be removed: where it is, its size, and why it is not needed."""

    path: Path
    bytes: int
    why: str


class Tidied(NamedTuple):
    """What can be removed, or was, and the lists that are damaged, so that models and the lake stay as they are."""

    old: list[Old]
    damaged: list[str]


def tidy(home: Home, line: str, keep: timedelta, now: datetime, *, apply: bool = False) -> Tidied:
    """What of a line is older than `keep` and not needed; removed, if so wanted.

    Stopped anywhere and run again, the rest is removed.

    Parameters
    ----------
    home : Home
    line : str
        Its name.
    keep : timedelta
        `SHORTEST` at least.
    now : datetime, UTC
    apply : bool
        Whether it is removed; nobody else writes to the line meanwhile.

    Returns
    -------
    Tidied
        Where a list is damaged, nobody knows which models and versions of the lake it needs: all of them stay.

    Raises
    ------
    ValueError
        If `keep` is shorter than `SHORTEST`.
    LakeError, ModelError
        If what the lists pin, the lake or the log of champions cannot be read: nothing is removed then.
    HomeError
        If something cannot be removed: what comes after it stays.
    """
    if keep < SHORTEST:
        raise ValueError(f"keep: found {keep}, expected {SHORTEST.days} days at least")
    with home.writing(line) if apply else nullcontext():
        lists, damaged = _lists(home, line)
        files = [] if damaged else list(_models(home, line, lists, now - keep))
        files += [old for find in (_pages, _replays, _spilled) for old in find(home, line, now - keep)]
        pinned, names = _pinned(lists), () if damaged else SCHEMAS
        tables = {name: _unneeded(home.lake(line) / name, keep, pinned.get(name, set())) for name in names}
        if apply:
            for old in files:
                _remove(old.path)
            for name in [name for name, found in tables.items() if found]:
                _vacuum(home.lake(line) / name, keep, pinned.get(name, set()), dry_run=False)
    return Tidied([*files, *chain.from_iterable(tables.values())], damaged)


def in_words(found: Tidied, *, applied: bool) -> str:
    """What was found, a line each, and how much it is."""
    old, done = found.old, "removed" if applied else "would be removed; qma tidy ... --apply removes it"
    total = sum(one.bytes for one in old)
    lines = [f"{one.path}: {one.why}" for one in old]
    some = "1 file or folder" if len(old) == 1 else f"{len(old):,} files or folders"
    lines.append(f"{some}, {total / 1e6:,.1f} MB: {done}" if old else "nothing to remove")
    if found.damaged:
        lines += ["no model and no file of the lake is removed: nobody knows which of them these lists need"]
        lines += [f"  {one}" for one in found.damaged]
    return "\n".join(lines)


class _List(NamedTuple):
    """What a published list needs: its model, the entry of the log of champions that it quotes, and its tables."""

    model: str
    champion_log: str
    lake_versions: dict[str, int]


def _lists(home: Home, line: str) -> tuple[list[_List], list[str]]:
    """What every revision of every published list needs, and those of which nobody knows."""
    folder, known, damaged = home.published(line), [], []
    for path in chain.from_iterable(bundle.revisions(folder, day).values() for day in bundle.known_dates(folder)):
        try:
            known.append(_needed_by(path))
        except DamagedList as error:
            damaged.append(f"{error}. Once there is another revision, what is left of this one may be moved away")
    return known, damaged


def _needed_by(path: Path) -> _List:
    facts: dict[str, Any] = bundle.sealed(path)["facts"]
    try:
        quoted = facts.get("provenance", {}).get("champion_log", "")  # lists of earlier versions quote none
        versions = {name: int(version) for name, version in facts["lake_versions"].items()}
        return _List(str(facts["model"]["version"]), quoted, versions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedList(path.resolve(), [f"{bundle.MANIFEST} does not say what it needs ({error!r})"]) from error


def _models(home: Home, line: str, lists: Sequence[_List], before: datetime) -> Iterator[Old]:
    """Models that were never champion, scored no list or beside one, wait for nothing and are not the newest."""
    versions = kept_models.versions(home, line)
    known = champion_log.entries(home, line)
    needed = {entry.version for entry in known if entry.reigns or entry.at > before}
    needed |= {entry.version for entry in champion_log.pending(home, line)} | set(versions[-1:])
    needed |= {one.model for one in lists} | _challengers(home, line, lists)
    hashes = {entry.version: entry.model_sha256 for entry in known}
    for version in versions:
        if version in needed:
            continue
        try:
            old = kept_models.read(home, line, version, hashes.get(version)).as_of < before
        except ModelError:
            continue  # it is damaged, which the doctor tells
        if old:
            folder = home.models(line) / f"v{version}"
            yield Old(folder, _size(folder), "a model that was never champion and made no list")


def _challengers(home: Home, line: str, lists: Sequence[_List]) -> set[str]:
    """Versions whose scores are kept beside lists: tonight's, and those by what the log was when a list was made."""
    known = champion_quotes.checked(home, line)  # nobody knows which are needed where it lacks what a list quotes
    heads: set[str | None] = {one.champion_log for one in lists}
    found = set()
    for head in heads | {None}:
        try:
            model = champion_log.shadow(home, line, known, head)
        except ModelError:
            continue  # it is gone or damaged: if it is there, it stays
        if model is not None:
            found.add(model.version)
    return found


def _pinned(lists: Sequence[_List]) -> dict[str, set[int]]:
    """Versions of each table that lists pin."""
    pinned: dict[str, set[int]] = {}
    for one in lists:
        for name, version in one.lake_versions.items():
            pinned.setdefault(name, set()).add(version)
    return pinned


def _unneeded(folder: Path, keep: timedelta, pinned: set[int]) -> list[Old]:
    """Files of a table that belong neither to its newest version nor to one that a list pins."""
    # without the pinned versions first: they take a while to read
    if not DeltaTable.is_deltatable(str(folder)) or not _vacuum(folder, keep, set()):
        return []
    files = [folder / name for name in _vacuum(folder, keep, pinned)]
    return [Old(file, file.stat().st_size, "of no version that is needed") for file in files if file.is_file()]


def _vacuum(folder: Path, keep: timedelta, pinned: set[int], *, dry_run: bool = True) -> list[str]:
    hours = int(keep / timedelta(hours=1))
    try:
        table = DeltaTable(str(folder))
        return table.vacuum(
            hours, dry_run, full=True, keep_versions=sorted(pinned), post_commithook_properties=KEEP_VERSIONS
        )
    except (DeltaError, OSError) as error:
        raise LakeError(
            f"{folder}: cannot be tidied: {error}. Expected every version that a list pins; restore the home, or leave "
            "its lake as it is."
        ) from error


def _pages(home: Home, line: str, before: datetime) -> Iterator[Old]:
    """Pages of the monitoring, which have their business date as name."""
    for path in sorted((home.folder / "monitoring" / line).glob("????-??-??.html")):
        if path.stem < before.date().isoformat():
            yield Old(path, path.stat().st_size, "a page of the monitoring")


def _replays(home: Home, line: str, before: datetime) -> Iterator[Old]:
    """Replays to which nothing was added since."""
    for folder in sorted((home.folder / "replays" / line).glob("*")):
        if max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))) < before.timestamp():
            yield Old(folder, _size(folder), "a replay, which can be made again")


def _spilled(home: Home, line: str, before: datetime) -> Iterator[Old]:
    """What DuckDB laid aside for a process that was stopped."""
    for path in (home.lake(line) / ".spill").glob("*"):
        if path.is_file() and path.stat().st_mtime < before.timestamp():
            yield Old(path, path.stat().st_size, "laid aside by a process that was stopped")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _remove(path: Path) -> None:
    """Remove a file, or a folder at once: what is stopped half way is debris that the next writer removes."""
    try:
        if path.is_file():
            path.unlink()
            return
        debris = staging(path.parent, path.name)
        path.rename(debris)
        shutil.rmtree(debris)
    except OSError as error:
        raise HomeError(
            f"{path}: cannot be removed: {error}. Expected a folder that may be written; what was told before it is "
            "removed, the rest is there. Check the permissions and the disk, and run again."
        ) from error
