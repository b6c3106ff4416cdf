"""Entries of the log of champions on the disk: only added, each naming the hash of the one before."""

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from qma_predict.errors import ModelError
from qma_predict.publish.lists.durable import flush_folder
from qma_predict.publish.lists.manifest import sha256

Event = Literal["promoted", "refused", "awaiting approval", "approved", "rolled back", "vouched for"]
Role = Literal["first", "refresh", "challenger", "simple rule"]

_REIGNS = ("promoted", "approved", "rolled back", "vouched for")


@dataclass(frozen=True)
class Entry:
    """What happened to a version, in the log of a line.

    Attributes
    ----------
    number : int
        1 is the first.
    at : datetime, UTC
    event : str
        "promoted", "refused", "awaiting approval", "approved", "rolled back" or "vouched for", where entries before it
        are lost; all but the second and third make the version champion.
    version, model_sha256 : str
        The version, and the hash by which `kept_models.read` knows it.
    role : str
        What it was when it was trained: "first", "refresh" of the champion's recipe, "challenger" with another one, or
        the "simple rule" than which the recipe was shown to be worse.
    by, why : str
        Who decided, a person or the training, and for what reason.
    previous, sha256 : str
        Hash of the entry before, empty for the first, and of this one.
    """

    number: int
    at: datetime
    event: Event
    version: str
    model_sha256: str
    role: Role
    by: str
    why: str
    previous: str
    sha256: str = ""

    @property
    def reigns(self) -> bool:
        """Whether it makes its version champion."""
        return self.event in _REIGNS


def read(file: Path) -> list[Entry]:
    """All entries, oldest first; a last line that a dead writer did not finish is none, unless it hashes whole.

    Raises
    ------
    ModelError
        If the log cannot be read, or an entry is not the one that was written.
    """
    try:
        whole = _finished(file.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"{file}: the log of champions cannot be read: {error}. Check its permissions.") from error
    found: list[Entry] = []
    for number, row in enumerate(whole.splitlines(), start=1):
        entry, previous = _entry(row), found[-1].sha256 if found else ""
        if entry is None or (entry.number, entry.previous) != (number, previous) or entry.sha256 != _hash(entry):
            raise ModelError(
                f"{file}, entry {number}: the log of champions was changed after it was written: found an entry that "
                "does not fit its own hash or the one before. Restore the file from a backup; if there is none, move "
                f"it away, and a person vouches for a champion: qma approve {file.stem} VERSION --log-lost --by NAME "
                "--why TEXT"
            )
        found.append(entry)
    return found


def add(file: Path, entry: Entry) -> Entry:
    """Add an entry after those that are finished, and bring it to the disk; only for who may write there.

    Returns
    -------
    Entry
        With its hash.

    Raises
    ------
    ModelError
        If it cannot be written.
    """
    entry = replace(entry, sha256=_hash(entry))
    try:
        _write(file, _row(entry))
    except OSError as error:
        raise ModelError(
            f"{file}: cannot be written ({error}). The champion is the one before; see to the disk and try again."
        ) from error
    return entry


def _write(file: Path, row: bytes) -> None:
    """Add a row after the last one that is finished, and bring it to the disk."""
    new = not file.exists()
    file.parent.mkdir(exist_ok=True)
    with file.open("ab" if new else "r+b") as log:
        if not new:
            data = log.read()
            finished = _finished(data)
            log.truncate(log.seek(min(len(finished), len(data))))
            row = finished[len(data) :] + row
        log.write(row)
        log.flush()
        os.fsync(log.fileno())
    if new:
        for folder in (file.parent, file.parent.parent):
            flush_folder(folder)


def _finished(data: bytes) -> bytes:
    """The lines that are finished, each with its end; a last one that lacks nothing but its end is one of them."""
    end = data.rfind(b"\n") + 1
    last = _entry(data[end:])
    return data + b"\n" if last is not None and last.sha256 == _hash(last) else data[:end]


def _row(entry: Entry) -> bytes:
    told = asdict(entry) | {"at": entry.at.isoformat()}
    return f"{json.dumps(told, sort_keys=True, ensure_ascii=False)}\n".encode()


def _hash(entry: Entry) -> str:
    return sha256(_row(replace(entry, sha256="")))


def _entry(row: bytes) -> Entry | None:
    try:
        told = json.loads(row)
        return Entry(**told | {"at": datetime.fromisoformat(told["at"])})
    except (ValueError, TypeError, KeyError):
        return None
