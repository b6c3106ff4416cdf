"""Publication of a business date: all or nothing, once, whoever stops it wherever.

A published list is a folder ``<home>/published/<line>/<business date>`` with the files of the list,
``manifest.json`` (the facts of the list and the SHA-256 of every file) and ``receipt.json`` (what depends on
the clock, such as when it was published, and the SHA-256 of the manifest). Beside the dates lies the symbolic
link ``latest`` to the newest of them.

The folder of a date appears by one rename of a finished, flushed staging folder, so a reader sees all of it
or nothing. Writers of one line take turns by a file lock, which the operating system frees when its holder
dies: whoever holds it knows that every staging folder there is the debris of a dead writer, and removes it.
Where the lock does not reach (two hosts on a share without locks) a rename onto a published date still fails,
so that one list stands; the other writer may stop with an error, never with a half list. Needs a POSIX file
system.
"""

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from qma_predict.errors import PublicationError

MANIFEST = "manifest.json"
RECEIPT = "receipt.json"
LATEST = "latest"
MANIFEST_VERSION = 1

STEPS = (
    "locked",
    "debris removed",
    "staging made",
    "file written",  # once for every file of the list
    "manifest written",
    "receipt written",
    "staging flushed",
    "renamed",
    "date flushed",
    "pointer made",
    "pointer moved",
    "pointer flushed",
)
"""The moments of a publication at which ``step`` is called, in order: what was done when a process stops."""

LOCK_SECONDS = 60.0
"""How long a writer waits for another one of the same line [s]; a publication takes well under a second."""

_LOCK = ".publish.lock"
_STAGING = ".staging-"

logger = logging.getLogger(__name__)


def publish(
    folder: Path,
    business_date: date,
    contents: Mapping[str, bytes],
    *,
    facts: Mapping[str, Any],
    receipt: Mapping[str, Any],
    step: Callable[[str], None] = lambda name: None,
) -> Path:
    """Publish the list of a business date, or return the one that is already published.

    Parameters
    ----------
    folder : Path
        The line's folder, ``<home>/published/<line>``; made if missing.
    business_date : date
        Local date on which the list is read.
    contents : mapping of file name to bytes
        The files of the list.
    facts : mapping
        What the list says of itself, for the manifest: JSON values, nothing that depends on the clock.
    receipt : mapping
        What depends on the clock and the process (``published_at``, ``process``, ``run_id``): JSON values.
    step : callable
        Called with each name of `STEPS` once that is done; the crash tests end the process there.

    Returns
    -------
    Path
        The folder of the published date. If the date was published before, that list unchanged, even if
        ``contents`` differ now (a warning is logged).

    Raises
    ------
    PublicationError
        A file name that cannot be published, a published list that is damaged, a lock that is not released
        within `LOCK_SECONDS`, or a store that cannot be written.
    """
    _check_names(contents)
    manifest = _manifest_bytes(business_date, contents, facts)
    target = folder / business_date.isoformat()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _flush_folder(folder.parent)
        with FileLock(folder / _LOCK, timeout=LOCK_SECONDS):
            step("locked")
            _remove_debris(folder)
            step("debris removed")
            if not target.exists():
                _write(target, contents, manifest, receipt, step)
            elif (target / MANIFEST).is_file() and (target / MANIFEST).read_bytes() != manifest:
                logger.warning("%s is already published with other content; it is kept as it was", target)
            verify(target)
            _move_pointer(folder, step)
    except Timeout as error:
        raise PublicationError(
            f"{folder}: another process has been publishing for more than {LOCK_SECONDS:.0f} s, expected "
            f"less than one; find the process that holds {_LOCK}, end it, and publish again"
        ) from error
    except OSError as error:
        raise PublicationError(
            f"{target}: cannot be written ({error}), expected a writable folder with free space; the earlier "
            "lists are unchanged; repair the store and publish again"
        ) from error
    return target


def verify(path: Path) -> dict[str, Any]:
    """Return the manifest of a published list after comparing every file with its hash.

    Raises
    ------
    PublicationError
        Anything is missing or differs; the message names every such file.
    """
    try:
        manifest_bytes = (path / MANIFEST).read_bytes()
        manifest = json.loads(manifest_bytes)
        sealed = json.loads((path / RECEIPT).read_bytes())["manifest_sha256"]
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, [f"{MANIFEST} or {RECEIPT} cannot be read ({error!r})"]) from error
    wrong = []
    if _sha256(manifest_bytes) != sealed:
        wrong.append(f"{MANIFEST} is not the one that {RECEIPT} names")
    if manifest.get("business_date") != path.name:
        wrong.append(f"{MANIFEST} is of business date {manifest.get('business_date')}")
    for name, expected in sorted(files.items()):
        file = path / name
        if not file.is_file():
            wrong.append(f"{name} is missing")
        elif (found := _sha256(file.read_bytes())) != expected:
            wrong.append(f"{name} has SHA-256 {found[:12]}..., expected {expected[:12]}...")
    if wrong:
        raise _damaged(path, wrong)
    return manifest


def read(folder: Path, business_date: date) -> dict[str, Any]:
    """Return the manifest of the list of a business date, verified.

    Raises
    ------
    PublicationError
        The date is not published, or its list is damaged.
    """
    path = folder / business_date.isoformat()
    if not path.is_dir():
        known = published_dates(folder)
        span = f"{known[0]} to {known[-1]}, {len(known)} lists" if known else "none"
        raise PublicationError(f"{path}: no list is published for this date; published are: {span}")
    return verify(path)


def published_dates(folder: Path) -> list[date]:
    """Return the business dates that are published in the line's folder, oldest first."""
    if not folder.is_dir():
        return []
    folders = (entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    return sorted(_dates(entry.name for entry in folders))


def _dates(names: Iterable[str]) -> Iterable[date]:
    for name in names:
        try:
            day = date.fromisoformat(name)
        except ValueError:
            continue
        if day.isoformat() == name:  # fromisoformat also reads 20261124
            yield day


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        plain = name == Path(name).name and "\\" not in name and name not in ("", MANIFEST, RECEIPT)
        if not plain or name.startswith("."):
            raise PublicationError(
                f"file name {name!r} cannot be published, expected a plain name other than {MANIFEST} and "
                f"{RECEIPT}, without folders and without a leading dot"
            )


def _manifest_bytes(business_date: date, contents: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    files = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in contents.items()}
    return _json_bytes(
        {
            "manifest_version": MANIFEST_VERSION,
            "business_date": business_date.isoformat(),
            "facts": facts,
            "files": files,
        }
    )


def _json_bytes(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(
    target: Path,
    contents: Mapping[str, bytes],
    manifest: bytes,
    receipt: Mapping[str, Any],
    step: Callable[[str], None],
) -> None:
    """Write a staging folder and rename it to ``target``; if another writer was first, keep theirs."""
    staging = target.parent / f"{_STAGING}{target.name}-{os.getpid()}-{secrets.token_hex(4)}"
    sealed = _json_bytes({**receipt, "manifest_sha256": _sha256(manifest)})
    staging.mkdir()  # not tempfile.mkdtemp: its folders are closed to other users, who read the lists
    try:
        step("staging made")
        for name, data in sorted(contents.items()):
            _write_flushed(staging / name, data)
            step("file written")
        _write_flushed(staging / MANIFEST, manifest)
        step("manifest written")
        _write_flushed(staging / RECEIPT, sealed)
        step("receipt written")
        _flush_folder(staging)
        step("staging flushed")
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not target.exists():
            raise
        return
    step("renamed")
    _flush_folder(target.parent)
    step("date flushed")


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_debris(folder: Path) -> None:
    """Remove what dead writers left; only for the holder of the lock."""
    for entry in folder.glob(f"{_STAGING}*"):
        if entry.is_symlink():
            entry.unlink()
        else:
            shutil.rmtree(entry)
        logger.info("removed %s, left by a writer that was stopped", entry)


def _move_pointer(folder: Path, step: Callable[[str], None]) -> None:
    """Point ``latest`` to the newest published date, so that a back-dated list never moves it back."""
    pointer = folder / LATEST
    newest = published_dates(folder)[-1].isoformat()
    if not pointer.is_symlink() or os.readlink(pointer) != newest:
        fresh = folder / f"{_STAGING}{LATEST}-{os.getpid()}-{secrets.token_hex(4)}"
        fresh.symlink_to(newest, target_is_directory=True)
        step("pointer made")
        os.replace(fresh, pointer)
        step("pointer moved")
    _flush_folder(folder)
    step("pointer flushed")


def _damaged(path: Path, wrong: list[str]) -> PublicationError:
    return PublicationError(
        f"{path}: the published list is damaged: {'; '.join(wrong)}; expected the files as they were "
        "published; restore the folder from a backup, or move it away and publish the date again"
    )
