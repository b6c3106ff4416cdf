"""Backup of a home as one file, and its restore in another place; stopped anywhere, neither leaves a half one.

A backup is a tar file: everything of the home but locks, debris and replays, databases as their own backup gives them,
and at the end `backup.json` with the SHA-256 of every file. A file without it was cut off.
"""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from qma_predict.errors import HomeError
from qma_predict.home import MARK, STORE_LOCK, Home, open_home
from qma_predict.operate.moved_store import move_store
from qma_predict.publish.lists.durable import STAGING, flush_folder, remove_debris, staging

BOOK = "backup.json"
FORMAT = 1

_DATABASE = b"SQLite format 3\0"
_LEFT_OUT = ("locks", "replays")
"""Folders directly below the home."""

_ENDINGS = ("-wal", "-shm", "-journal", ".lock")
"""Files beside a database that belong to it, which its own backup has, and locks."""

_STORES = ("lake", "published", "models", "champions")
"""Folders of the home with a folder, or a file, a line."""


@dataclass(frozen=True)
class Backup:
    """A backup: where it is, of which home, when it was made, and how much is in it."""

    file: Path
    home: str
    made_at: str
    files: int
    bytes: int


def backup(home: Home, file: Path, now: datetime) -> Backup:
    """Write a home to a new tar file, while nobody writes to the home's lakes and lists.

    Waits for those who write now. A training that runs meanwhile may be in it as a run that did not end. Replays,
    which can be made again, and a desk database outside the home are not in it.

    Parameters
    ----------
    home : Home
    file : Path
        Appears when it is whole.
    now : datetime, UTC
        Our clock, for the book.

    Raises
    ------
    HomeError
        If the file exists, lies in the home or cannot be written, a file of the home cannot be read, or a link of the
        home is absolute or leads out of it.
    """
    file = file.absolute()
    _refuse(home, file)
    try:
        with _nobody_writes(home), ExitStack() as done:
            remove_debris(file.parent, file.name)
            draft = staging(file.parent, file.name)
            done.callback(remove_debris, file.parent, file.name)
            with draft.open("xb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
                book = _write(home, tar, file, now)
                tar.close()
                raw.flush()
                os.fsync(raw.fileno())
            draft.replace(file)
            flush_folder(file.parent)
    except (OSError, sqlite3.Error) as error:
        raise HomeError(
            f"{home.folder}: not backed up to {file}: {error}. Expected a readable home, a writable folder and free "
            "space; there is no half backup. Repair it and run again."
        ) from error
    return _told(file, book)


def restore(file: Path, folder: Path) -> Backup:
    """Make a home out of a backup, after every file was compared with its SHA-256.

    Parameters
    ----------
    file : Path
        Of `backup`.
    folder : Path
        A new or empty folder, anywhere; it appears when it is whole.

    Returns
    -------
    Backup
        What was restored.

    Raises
    ------
    HomeError
        If the folder is not empty, or the backup is damaged, cut off or of a newer version of the program.
    """
    folder = folder.absolute()
    try:
        if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise HomeError(f"{folder}: not empty. Restore to a new or an empty folder, and compare before you swap.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_debris(folder.parent, folder.name)
        fresh = staging(folder.parent, folder.name)
        with ExitStack() as done:
            done.callback(remove_debris, folder.parent, folder.name)
            book = _read(file, fresh)
            move_store(fresh / "mlflow" / "mlflow.db", book["home"], str(folder))
            open_home(fresh)  # refuses one of a newer version
            os.sync()
            if folder.is_dir():
                folder.rmdir()
            fresh.replace(folder)
            flush_folder(folder.parent)
    except (OSError, tarfile.TarError, sqlite3.Error) as error:
        raise HomeError(
            f"{file}: not restored to {folder}: {error}. Expected a file of `qma backup` and free space; nothing was "
            "changed. Take another backup, or make room."
        ) from error
    return _told(file, book)


def _refuse(home: Home, file: Path) -> None:
    if not (home.folder / MARK).is_file():
        raise HomeError(f"{home.folder}: there is no home (no {MARK}). Name the one to back up: qma --home FOLDER.")
    if file.exists():
        raise HomeError(f"{file}: exists already. Name a new file, such as home-2026-01-31.tar.")
    if home.folder.resolve() in file.resolve().parents:
        raise HomeError(f"{file}: lies in the home that is backed up. Name a file elsewhere, best on another disk.")
    if not file.parent.is_dir():
        raise HomeError(f"{file.parent}: no such folder. Make it, or name a file in another one.")


@contextmanager
def _nobody_writes(home: Home) -> Iterator[None]:
    """Hold the locks of all lines, then that of MLflow's store: in this order, as runs do.

    A scheduled run has a lock from beginning to end, too; it may wait for hours for its sources, and is not waited for.
    """
    lines = {path.name.removesuffix(".jsonl") for store in _STORES for path in (home.folder / store).glob("[!.]*")}
    with ExitStack() as stack:
        for name in [*sorted(lines), STORE_LOCK]:
            stack.enter_context(home.writing(name))
        yield


def _write(home: Home, tar: tarfile.TarFile, target: Path, now: datetime) -> dict[str, Any]:
    files: dict[str, dict[str, Any]] = {}
    links: dict[str, str] = {}
    # what a database says of files is there before the files are read
    databases: list[Path] = []
    others: list[Path] = []
    for path in sorted(_entries(home.folder, home.folder)):
        _stays_inside(home, path)
        (databases if _is_database(path) else others).append(path)
    for path in [*databases, *others]:
        name = path.relative_to(home.folder).as_posix()
        if path.is_symlink():
            links[name] = os.readlink(path)
            tar.add(path, name, recursive=False)
        elif path.is_dir():
            tar.add(path, name, recursive=False)
        else:
            files[name] = _add_database(tar, path, name, target) if path in databases else _add(tar, path, name)
    book = {
        "format": FORMAT,
        "program": version("qma-predict"),
        "home": str(home.folder),
        "made_at": now.astimezone(UTC).isoformat(),
        "files": files,
        "links": links,
    }
    data = json.dumps(book, sort_keys=True, indent=1).encode()
    member = tarfile.TarInfo(BOOK)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
    return book


def _entries(home: Path, folder: Path) -> Iterator[Path]:
    """Everything below a folder of the home that is kept, links not followed."""
    for path in folder.iterdir():
        if path.name.startswith(STAGING) or _is_left_out(path, path.relative_to(home).parts):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _entries(home, path)


def _is_left_out(path: Path, parts: tuple[str, ...]) -> bool:
    """Whether something is not kept, by its place in the home: a line may have any of these names."""
    if len(parts) == 1 and path.name in _LEFT_OUT:
        return True
    if len(parts) == 3 and (parts[0], parts[2]) == ("lake", ".spill"):
        return True
    return path.name.endswith(_ENDINGS) and path.is_file()


def _stays_inside(home: Home, path: Path) -> None:
    """Refuse a link that would lead elsewhere, or nowhere, in the home that is restored."""
    if not path.is_symlink():
        return
    to, real = os.readlink(path), Path(os.path.realpath(path))
    # also by its words: one that leaves the home and comes back by the home's name does not in a home of another name
    by_words = os.path.normpath(path.relative_to(home.folder).parent / to)
    if os.path.isabs(to) or by_words.split(os.sep)[0] == ".." or not real.is_relative_to(home.folder.resolve()):
        raise HomeError(
            f"{path}: a link to {to}, which a backup cannot hold. Expected files and folders of the home itself, and "
            "relative links between them; nothing was written. Move what it shows into the home, in the place of the "
            "link; or, if it must lie elsewhere, copy it and the home apart, by other means, while nobody writes."
        )


def _is_database(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE


def _add_database(tar: tarfile.TarFile, path: Path, name: str, target: Path) -> dict[str, Any]:
    """Add a database as it is at one moment, whoever writes to it."""
    copy = staging(target.parent, target.name)
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)) as source,
        closing(sqlite3.connect(copy)) as fresh,
    ):
        source.backup(fresh)
    added = _add(tar, copy, name)
    copy.unlink()
    return added


def _add(tar: tarfile.TarFile, path: Path, name: str) -> dict[str, Any]:
    with path.open("rb") as file:
        read = _Hashed(file)
        member = tar.gettarinfo(arcname=name, fileobj=file)
        member.type, member.linkname = tarfile.REGTYPE, ""  # also where a file has two names
        member.size = os.fstat(file.fileno()).st_size
        tar.addfile(member, read)  # type: ignore[arg-type]  # only read(n) is called
    return {"bytes": member.size, "sha256": read.digest.hexdigest()}


class _Hashed:
    """A file whose content is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def _read(file: Path, to: Path) -> dict[str, Any]:
    """Unpack a backup into a new folder, and return its book after comparing everything with it."""
    to.mkdir()
    with tarfile.open(file, mode="r:") as tar:
        tar.extractall(to, filter="data")  # refuses what would lie or point outside
    try:
        book = json.loads((to / BOOK).read_bytes())
        (to / BOOK).unlink()
        if book["format"] > FORMAT:
            raise HomeError(f"{file}: a backup of format {book['format']}, known is {FORMAT}. Upgrade the program.")
        expected = {name: entry["sha256"] for name, entry in book["files"].items()} | book["links"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HomeError(f"{file}: not a whole backup: {BOOK} cannot be read ({error!r}). Take another one.") from error
    found = {}
    for path in to.rglob("*"):
        name = path.relative_to(to).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            with path.open("rb") as content:
                found[name] = hashlib.file_digest(content, "sha256").hexdigest()
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise HomeError(
            f"{file}: damaged: {len(wrong)} of {len(expected)} files are missing or not what they were, such as "
            f"{wrong[0]}. Nothing was restored; take another backup."
        )
    return dict(book)


def _told(file: Path, book: dict[str, Any]) -> Backup:
    sizes = [entry["bytes"] for entry in book["files"].values()]
    return Backup(file, book["home"], book["made_at"], len(sizes), sum(sizes))
