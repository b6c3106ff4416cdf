"""What is old and no longer needed is removed, on demand; lists, what they pin, and champions stay.

Lists are records: they, the versions of the lake that they pin, and every model that was champion, made a list or has
scores beside one are never removed, however old. MLflow's runs are not touched; `mlflow gc` removes those that were
deleted there.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from qma_predict.data.lake import KEEP_VERSIONS, SCHEMAS
from qma_predict.errors import HomeError, LakeError, ModelError, PublicationError
from qma_predict.home import Home
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.durable import staging
from qma_predict.publish.lists.manifest import MANIFEST
from qma_predict.publish.models import champion_log, kept_models

SHORTEST = timedelta(days=7)
"""What is newer stays: somebody may still write or read it."""


@dataclass(frozen=True)
class Old:
    """Something that can be removed: where it is, its size, and why it is not needed."""

    path: Path
    bytes: int
    why: str


def tidy(home: Home, line: str, keep: timedelta, now: datetime, *, apply: bool = False) -> list[Old]:
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

    Raises
    ------
    ValueError
        If `keep` is shorter than `SHORTEST`.
    PublicationError, LakeError, ModelError
        If what the lists pin, the lake or the log of champions cannot be read: nothing is removed then.
    HomeError
        If something cannot be removed: what comes after it stays.
    """
    if keep < SHORTEST:
        raise ValueError(f"keep: found {keep}, expected {SHORTEST.days} days at least")
    with home.writing(line) if apply else nullcontext():
        files = [old for find in (_models, _pages, _replays, _spilled) for old in find(home, line, now - keep)]
        pinned = _pinned(home, line)
        tables = {name: _unneeded(home.lake(line) / name, keep, pinned.get(name, set())) for name in SCHEMAS}
        if apply:
            for old in files:
                _remove(old.path)
            for name in [name for name, found in tables.items() if found]:
                _vacuum(home.lake(line) / name, keep, pinned.get(name, set()), dry_run=False)
    return [*files, *chain.from_iterable(tables.values())]


def in_words(old: list[Old], *, applied: bool) -> str:
    """What was found, a line each, and how much it is."""
    done = "removed" if applied else "would be removed; qma tidy ... --apply removes it"
    total = sum(one.bytes for one in old)
    lines = [f"{one.path}: {one.why}" for one in old]
    return "\n".join([*lines, f"{len(old):,} of {total / 1e6:,.1f} MB {done}" if old else "nothing to remove"])


def _models(home: Home, line: str, before: datetime) -> Iterator[Old]:
    """Models that were never champion, scored no list or beside one, wait for nothing and are not the newest."""
    versions = kept_models.versions(home, line)
    known = champion_log.entries(home, line)
    needed = {entry.version for entry in known if entry.reigns or entry.at > before}
    needed |= {entry.version for entry in champion_log.pending(home, line)} | set(versions[-1:])
    needed |= {str(facts["model"]["version"]) for facts in _facts(home, line)} | _challengers(home, line)
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


def _challengers(home: Home, line: str) -> set[str]:
    """Versions whose scores are kept beside lists: tonight's, and those by what the log was when a list was made."""
    known = champion_log.entries(home, line)
    heads: set[str | None] = {facts["champion_log"] for facts in _facts(home, line)}
    if lacking := sorted(str(head) for head in heads - {entry.sha256 for entry in known} - {""}):
        raise ModelError(
            f"{home.champions(line)}: lacks the entry {lacking[0][:12]}... that a published list quotes, so that "
            "nobody knows which models are needed; restore it from a backup"
        )
    found = set()
    for head in heads | {None}:
        try:
            model = champion_log.shadow(home, line, known, head)
        except ModelError:
            continue  # it is gone or damaged: if it is there, it stays
        if model is not None:
            found.add(model.version)
    return found


def _pinned(home: Home, line: str) -> dict[str, set[int]]:
    """Versions of each table that lists pin."""
    pinned: dict[str, set[int]] = {}
    for facts in _facts(home, line):
        for name, version in facts["lake_versions"].items():
            pinned.setdefault(name, set()).add(int(version))
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


def _facts(home: Home, line: str) -> Iterator[dict[str, Any]]:
    """What every revision of every published list says of itself."""
    folder = home.published(line)
    for day in bundle.published_dates(folder):
        for path in bundle.revisions(folder, day).values():
            try:
                facts = json.loads((path / MANIFEST).read_bytes())["facts"]
                quoted = facts.get("provenance", {}).get("champion_log", "")  # lists of earlier versions quote none
                yield {"model": facts["model"], "lake_versions": facts["lake_versions"], "champion_log": quoted}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise PublicationError(
                    f"{path / MANIFEST}: cannot be read ({error!r}), so that nobody knows what the list needs; restore "
                    "the folder from a backup"
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
