"""Model cards where people find them: in the home, with the model, and beside `line.toml`."""

from pathlib import Path

from qma_predict.errors import LineError, ModelError
from qma_predict.home import Home
from qma_predict.line import Line


def read(home: Home, line: str, version: str) -> str:
    """Card of a version of a line's model, as its training wrote it.

    Raises
    ------
    ModelError
        If it cannot be read.
    """
    file = home.card(line, version)
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{file}: the card of {line} v{version} cannot be read: {error}. "
            f"It is also with the MLflow run, as card.md; or train again: qma train {line}"
        ) from error


def write_beside(line: Line, card: str) -> Path:
    """Write a card as `card.md` beside `line.toml`, and return where it is.

    Raises
    ------
    LineError
        If it cannot be written there.
    """
    file = Path(line.file).with_name("card.md")
    try:
        file.write_text(card, encoding="utf-8", newline="\n")
    except OSError as error:
        raise LineError(f"{file}: cannot be written: {error.strerror}. Check the folder's permissions.") from error
    return file
