"""The texts of `line.toml` by which lists and models were made, so that they can be made again after it was changed.

Each is a file named by its SHA-256, which the manifests of the lists have as ``line_digest``, and the cards of models.
They lie beside the lists, not in them: a list is read by many people, and `line.toml` may hold addresses and passwords.
"""

import logging
from pathlib import Path

from qma_predict.errors import LineError
from qma_predict.home import Home
from qma_predict.line import Line, parse_line
from qma_predict.publish.lists.durable import remove_debris, write_whole
from qma_predict.publish.lists.manifest import sha256

log = logging.getLogger(__name__)


def keep(home: Home, line: Line) -> None:
    """Keep the text of a line's `line.toml`, unless it is kept; only for the holder of the line's lock.

    That it cannot be written is logged: no list or model is missing for want of it.
    """
    file = _file(home, line, line.digest)
    try:
        if file.exists() and sha256(file.read_bytes()) == line.digest:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_debris(file.parent)
        write_whole(file, line.text)
    except OSError as error:
        said = "%s: cannot be written (%s): once line.toml is changed, what was made by it cannot be made again"
        log.error(said, file, error)


def as_defined(home: Home, line: Line, digest: str) -> Line:
    """Return a line as the `line.toml` of this digest defined it, in today's folder and with today's variables.

    Parameters
    ----------
    home : Home
    line : Line
        As it is defined now.
    digest : str
        SHA-256 of a text of its `line.toml`.

    Raises
    ------
    LineError
        If that text is not kept or not what it was, or this version of the program does not understand it.
    """
    if digest == line.digest:
        return line
    file = _file(home, line, digest)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise LineError(
            f"{file}: cannot be read: {error.strerror}. What was made by the line.toml of this digest needs it: "
            f"restore it from a backup, or put that text in the place of {line.file}, whose digest is {line.digest}."
        ) from error
    if sha256(text) != digest:
        raise LineError(f"{file}: is not what was kept. Restore it from a backup.")
    return parse_line(text, Path(line.file))


def _file(home: Home, line: Line, digest: str) -> Path:
    return home.definitions(line.name) / f"{digest}.toml"
