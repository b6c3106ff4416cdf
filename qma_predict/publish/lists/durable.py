"""Files, folders and links that are on the disk, whole, before anybody sees them."""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

Step = Callable[[str], None]

STAGING = ".staging-"
"""How names begin of what is not finished."""

logger = logging.getLogger(__name__)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a new file to the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(file: Path, data: bytes) -> None:
    """Write a file, new or in the place of another, that is there whole or not at all."""
    draft = staging(file.parent, file.name)
    write_flushed(draft, data)
    os.replace(draft, file)
    flush_folder(file.parent)


def flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def staging(folder: Path, name: str) -> Path:
    """A name in the folder that nobody else uses, for what is not finished; `remove_debris` knows it."""
    return folder / f"{STAGING}{name}-{os.getpid()}-{secrets.token_hex(4)}"


def move_link(
    link: Path, to: str, step: Step = lambda name: None, steps: tuple[str, str] = ("link made", "link moved")
) -> None:
    """Let a link point elsewhere, at once; ``step`` is called when the new one is made, and when it took the place."""
    fresh = staging(link.parent, link.name)
    fresh.symlink_to(to, target_is_directory=True)
    step(steps[0])
    os.replace(fresh, link)
    step(steps[1])


def remove_debris(folder: Path, name: str | None = None) -> None:
    """Remove what dead writers left, of one name or of all; only for the one who may write to it."""
    of_it = re.compile(rf"{re.escape(STAGING)}{'.*' if name is None else re.escape(name) + '-[0-9]+-[0-9a-f]{8}'}")
    for entry in [entry for entry in folder.iterdir() if of_it.fullmatch(entry.name)]:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
        logger.info("removed %s, left by a writer that was stopped", entry)
