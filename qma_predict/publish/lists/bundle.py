"""Publication of a business date: all or nothing, once, whoever stops it wherever.

A published list is a folder ``<home>/published/<line>/revisions/<business date>.r1`` with the files of the list,
``manifest.json`` (the facts of the list and the SHA-256 of every file) and ``receipt.json`` (what depends on
the clock, such as when it was published, and the SHA-256 of the manifest). Beside ``revisions`` lies a symbolic
link with the name of each business date to its list, and ``latest`` to the newest of the dates.

A list that is deliberately replaced stays where it is; the new one is the date's next revision (``.r2``), whose
manifest says why, and has the SHA-256 of the manifest that it replaces; so is one that is damaged, or whose folder is
gone: what is left of it stays as it is.

A revision appears by one rename of a finished, flushed staging folder, and is shown by one rename of a link, so a
reader of a date sees all of the old list or all of the new one. Writers of one line take turns by a file lock,
which the operating system frees when its holder dies: whoever holds it knows that every staging folder there is the
debris of a dead writer, and removes it, and that a revision which is not shown is whole, and shows it. Where the
lock does not reach (two hosts on a share without locks) a rename onto a published revision still fails, so that one
list stands; the other writer may stop with an error, never with a half list. Needs a POSIX file system.

Earlier versions of the program kept a list in a folder with the name of its date. It is read as revision 1. When it
is replaced it is moved to ``revisions`` first, and its date shows nothing for that moment.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from qma_predict.errors import DamagedList, PublicationError
from qma_predict.publish.lists.dates import (
    REVISIONS,
    kept,
    known_dates,
    linked,
    lost_dates,
    published_dates,
    read,
    revisions,
)
from qma_predict.publish.lists.durable import Step, flush_folder, move_link, remove_debris, staging, write_flushed
from qma_predict.publish.lists.manifest import (
    MANIFEST,
    RECEIPT,
    digest_of,
    manifest_bytes,
    receipt_bytes,
    says,
    sealed,
    verify,
)

__all__ = ["LATEST", "MANIFEST", "RECEIPT", "REVISIONS", "STEPS", "finish", "known_dates", "lost_dates", "publish",
           "published_dates", "read", "revisions", "sealed", "verify"]  # fmt: skip

LATEST = "latest"

STEPS = (
    "locked",
    "debris removed",
    "old folder moved",  # only where a list of an earlier version of the program is replaced
    "staging made",
    "file written",  # once for every file of the list
    "manifest written",
    "receipt written",
    "staging flushed",
    "renamed",
    "revision flushed",
    "link made",  # only where a list is replaced
    "date linked",
    "date flushed",
    "pointer made",  # only where the date becomes the newest
    "pointer moved",
    "pointer flushed",
)
"""The moments of a publication at which ``step`` is called, in order: what was done when a process stops."""

LOCK_SECONDS = 60.0
"""How long a writer waits for another one of the same line [s]; a publication takes well under a second."""

_LOCK = ".publish.lock"

logger = logging.getLogger(__name__)


def publish(
    folder: Path,
    business_date: date,
    contents: Mapping[str, bytes],
    *,
    facts: Mapping[str, Any],
    receipt: Mapping[str, Any],
    replace: str | None = None,
    step: Step = lambda name: None,
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
    replace : str, optional
        Why the published list of the date is deliberately replaced. The same list for the same reason again
        changes nothing.
    step : callable
        Called with each name of `STEPS` once that is done; the crash tests end the process there.

    Returns
    -------
    Path
        The published date, a link to its newest revision. If the date was published before and is not replaced,
        that list unchanged, even if ``contents`` differ now (a warning is logged).

    Raises
    ------
    PublicationError
        A file name that cannot be published, a published list that is damaged, a reason that says nothing, a date
        without a list to replace, a lock that is not released within `LOCK_SECONDS`, or a store that cannot be
        written.
    """
    _check_names(contents)
    if replace is not None and not replace.strip():
        raise PublicationError(f"{folder}, {business_date}: the reason is empty; say why the list is replaced")
    target = folder / business_date.isoformat()
    write = _Writing(folder, target, contents, facts, receipt, step)
    with _alone(folder, target, step):
        if replace is not None:
            write.next_revision(replace)
        elif not os.path.lexists(target):
            write.first_revision()
        elif not says(verify(target), contents, facts):
            logger.warning("%s is already published with other content; it is kept as it was", target)
        verify(target)
        _move_pointer(folder, step)
    return target


def finish(folder: Path) -> None:
    """Do what stopped writers had left to do: each date shows its newest revision, and ``latest`` the newest date.

    Parameters
    ----------
    folder : Path
        The line's, with a list at least.

    Raises
    ------
    PublicationError
        As `publish`, of lock and store.
    """
    with _alone(folder, folder):
        _move_pointer(folder)


@contextmanager
def _alone(folder: Path, target: Path, step: Step = lambda name: None) -> Iterator[None]:
    """Be the only writer of a line's folder, with what earlier ones left tidied up; say in words what prevents it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flush_folder(folder.parent)
        with FileLock(folder / _LOCK, timeout=LOCK_SECONDS):
            step("locked")
            remove_debris(folder)
            _show_finished(folder)
            step("debris removed")
            yield
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


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        plain = name == Path(name).name and "\\" not in name and name not in ("", MANIFEST, RECEIPT)
        if not plain or name.startswith("."):
            raise PublicationError(
                f"file name {name!r} cannot be published, expected a plain name other than {MANIFEST} and "
                f"{RECEIPT}, without folders and without a leading dot"
            )


@dataclass(frozen=True)
class _Writing:
    """What is to be published, and where: `link` is the date, in the line's folder."""

    folder: Path
    link: Path
    contents: Mapping[str, bytes]
    facts: Mapping[str, Any]
    receipt: Mapping[str, Any]
    step: Step

    @property
    def day(self) -> date:
        return date.fromisoformat(self.link.name)

    def first_revision(self) -> None:
        """Publish a date that has no list; if another writer was first, keep theirs."""
        self._write(1, manifest_bytes(self.day, self.contents, self.facts))
        try:
            self.link.symlink_to(self._name(1), target_is_directory=True)
        except FileExistsError:
            if not self.link.is_symlink():  # where no lock reaches, a writer of an earlier version of the program
                shutil.rmtree(self.folder / self._name(1))
            return
        self.step("date linked")
        flush_folder(self.folder)
        self.step("date flushed")

    def next_revision(self, reason: str) -> None:
        """Publish another list in the place of the one that is shown, unless it is this one, for this reason."""
        replaces: str | None = None
        try:
            shown = read(self.folder, self.day)
            if says(shown, self.contents, self.facts) and shown["reason"] == reason:
                return
            if not self.link.is_symlink():
                self._adopt(shown["revision"])
            replaces = digest_of(self.link)
        except DamagedList as error:
            if not self.link.is_symlink():
                raise
            logger.warning("%s; it is replaced, and stays as it is", error)
        number = max(revisions(self.folder, self.day)) + 1
        manifest = manifest_bytes(
            self.day, self.contents, self.facts, revision=number, reason=reason, replaces=replaces
        )
        self._write(number, manifest)
        move_link(self.link, self._name(number), self.step, ("link made", "date linked"))
        flush_folder(self.folder)
        self.step("date flushed")

    def _adopt(self, number: int) -> None:
        """Make a folder with the name of its date a revision to which its date links."""
        kept = self.folder / self._name(number)
        kept.parent.mkdir(exist_ok=True)
        # it is there already where a home was copied by a program that follows links
        self.link.rename(staging(self.folder, kept.name) if kept.exists() else kept)
        self.step("old folder moved")
        self.link.symlink_to(self._name(number), target_is_directory=True)
        flush_folder(kept.parent)
        flush_folder(self.folder)

    def _write(self, number: int, manifest: bytes) -> None:
        """Write a staging folder and rename it to the revision; if another writer was first, keep theirs."""
        target = self.folder / self._name(number)
        target.parent.mkdir(exist_ok=True)
        unfinished = staging(self.folder, target.name)
        unfinished.mkdir()  # not tempfile.mkdtemp: its folders are closed to other users, who read the lists
        try:
            self.step("staging made")
            for name, data in sorted(self.contents.items()):
                write_flushed(unfinished / name, data)
                self.step("file written")
            write_flushed(unfinished / MANIFEST, manifest)
            self.step("manifest written")
            write_flushed(unfinished / RECEIPT, receipt_bytes(self.receipt, manifest))
            self.step("receipt written")
            flush_folder(unfinished)
            self.step("staging flushed")
            unfinished.rename(target)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not target.exists():
                raise
            return
        self.step("renamed")
        flush_folder(target.parent)
        self.step("revision flushed")

    def _name(self, number: int) -> str:
        """Where a revision lies, as a link in the line's folder says it."""
        return f"{REVISIONS}/{self.link.name}.r{number}"


def _show_finished(folder: Path) -> None:
    """Let each date show its newest revision, as its writer would have; only for the holder of the lock."""
    for day, there in kept(folder).items():
        link, newest = folder / day, f"{REVISIONS}/{there[max(there)].name}"
        if linked(link) < max(there) and (link.is_symlink() or not link.exists()):  # it never goes back to an older one
            move_link(link, newest)
            logger.info("%s shows %s, whose writer was stopped before that", link, newest)


def _move_pointer(folder: Path, step: Step = lambda name: None) -> None:
    """Point ``latest`` to the newest published date, so that a back-dated list never moves it back."""
    pointer = folder / LATEST
    newest = published_dates(folder)[-1].isoformat()
    if pointer.is_dir() and not pointer.is_symlink():  # a home copied by a program that follows links
        pointer.rename(staging(folder, LATEST))
    if not pointer.is_symlink() or os.readlink(pointer) != newest:
        move_link(pointer, newest, step, ("pointer made", "pointer moved"))
    flush_folder(folder)
    step("pointer flushed")
