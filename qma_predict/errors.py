"""What can go wrong, as one tree.

::

    QmaError
    |-- LineError          line.toml is missing, malformed or contradicts itself
    |-- SourceError        a source of the plant cannot be found or read
    |-- HomeError          the home is from a newer version, or cannot be used
    |-- LakeError          a table of the lake is damaged or not what was pinned
    |-- NotEnoughData      too few units, labels or days for what was asked
    |-- ModelError         no champion, or a model that is not what it was
    |-- PublicationError   a list cannot be published, or a published one is damaged
    |   `-- DamagedList    a published list is not what was published
    |-- NoList             by the time promised there is no list that can be used
    `-- Leakage            a feature saw what was recorded after its unit's cutoff

Every message says where, what was found, what was expected and what to do. The command line prints it
without a traceback and exits with the class's ``exit_code``.
"""

from collections.abc import Sequence
from pathlib import Path


class QmaError(Exception):
    """Base of every error that the program raises on purpose."""

    exit_code = 1


class LineError(QmaError):
    """The line's definition is missing, malformed or contradicts itself."""

    exit_code = 3


class SourceError(QmaError):
    """A source of the plant cannot be found or read."""

    exit_code = 4


class HomeError(QmaError):
    """The home is from a newer version of the program, or cannot be used."""

    exit_code = 5


class LakeError(QmaError):
    """A table of the lake is damaged, or is not what a manifest pinned."""

    exit_code = 6


class NotEnoughData(QmaError):
    """Too few units, labels or days for what was asked."""

    exit_code = 7


class ModelError(QmaError):
    """There is no champion, or a model is not what it was when it was logged."""

    exit_code = 8


class PublicationError(QmaError):
    """A list cannot be published, or a published one is damaged."""

    exit_code = 9


class DamagedList(PublicationError):
    """A published list is not what was published.

    Parameters
    ----------
    path : Path
        Its folder.
    wrong : sequence of str
        What is missing, cannot be read or differs.
    """

    def __init__(self, path: Path, wrong: Sequence[str]) -> None:
        super().__init__(path, wrong)
        self.path, self.wrong = path, wrong

    def __str__(self) -> str:
        """Say it as every error does."""
        return (
            f"{self.path}: the published list is damaged: {'; '.join(self.wrong)}; expected the files as they were "
            "published; restore the folder from a backup, or publish the date again with --replace WHY"
        )


class Leakage(QmaError, AssertionError):
    """A feature saw what was recorded after its unit's cutoff; for pytest, a failed assertion."""

    exit_code = 10


class NoList(QmaError):
    """By the time promised there is no list that can be used."""

    exit_code = 11
