"""The home: the folder with everything that the program keeps."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from qma_predict.errors import HomeError

_UNUSABLE = re.compile(r"[\[\]|^\\]|%[0-9a-fA-F]{2}")
"""What deltalake 1.6 takes for a part of an address, and then panics or looks elsewhere."""

MARK = "home.json"
"""The file by which a home is known."""

FORMAT = 2
"""Version of the layout below. A home of a newer format is refused rather than misread."""


STORE_LOCK = "mlflow.store"
"""Name of the lock of the MLflow store; with a dot, which no line's name has."""


@dataclass(frozen=True)
class Home:
    """Where things lie: `lake/<line>`, `models/<line>`, `champions`, `published/<line>`, `desk.db`, `mlflow`.

    And `definitions/<line>`, by which lists and models were made. Make one with `open_home`. It also has a lock a line
    for writers.
    """

    folder: Path

    def lake(self, line: str) -> Path:
        """Folder of a line's Delta tables."""
        return self.folder / "lake" / line

    def published(self, line: str) -> Path:
        """Folder of a line's published lists."""
        return self.folder / "published" / line

    def definitions(self, line: str) -> Path:
        """Folder of the texts of `line.toml` by which a line's lists and models were made, a file a digest."""
        return self.folder / "definitions" / line

    def models(self, line: str) -> Path:
        """Folder of a line's kept models, a folder a version."""
        return self.folder / "models" / line

    def champions(self, line: str) -> Path:
        """File of a line's log of champions."""
        return self.folder / "champions" / f"{line}.jsonl"

    def card(self, line: str, version: str) -> Path:
        """File of the model card of a version of a line's model."""
        return self.models(line) / f"v{version}" / "card.md"

    @property
    def mlflow(self) -> Path:
        """Folder of the MLflow store: `mlflow.db` and `artifacts`."""
        return self.folder / "mlflow"

    @property
    def desk(self) -> Path:
        """File of the desk database, unless another one is named."""
        return self.folder / "desk.db"

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Hold the lock of a line's lake and lists, or of another store: one writer at a time, others wait.

        The lock ends with the process, however it ends.
        """
        folder = self.folder / "locks"
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f"{what}.lock"):
            yield


def open_home(folder: str | Path) -> Home:
    """Open a home, or make a new one where there is none.

    Raises
    ------
    HomeError
        If the folder is from a newer version of the program, or is not a home and not empty, or cannot be used.
    """
    folder = Path(folder).absolute()
    if found := _UNUSABLE.search(folder.as_posix()):
        raise HomeError(f"{folder}: cannot be used as home: Delta tables cannot lie below a name with {found[0]!r}.")
    mark = folder / MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # listed before the mark is looked for: another process may make the home at the same time
        strangers = [path.name for path in folder.iterdir() if not path.name.startswith(mark.name)]
        if not mark.exists():
            if strangers:
                raise HomeError(f"{folder}: not empty, and not a home (no {MARK}). Name an empty or a new folder.")
            draft = mark.with_name(f"{mark.name}.{uuid4().hex}")
            draft.write_text(json.dumps({"format": FORMAT}) + "\n")
            draft.replace(mark)
        found = json.loads(mark.read_text())["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{folder}: cannot be used as home: {error}. Check its permissions and {MARK}.") from error
    if found != FORMAT:
        raise HomeError(
            f"{folder}: the home has format {found!r}, this version of the program reads format {FORMAT}. "
            "Upgrade the program, or name another home."
        )
    return Home(folder)


def find_home(folder: str | Path) -> Home:
    """Open a home that is there: none is made where a name is mistyped.

    Raises
    ------
    HomeError
        If there is none, or as `open_home`.
    """
    if not os.path.isfile(Path(folder) / MARK):
        raise HomeError(
            f"{Path(folder).absolute()}: there is no home. Expected the folder in which qma ingest keeps everything: "
            "name it by --home or QMA_HOME."
        )
    return open_home(folder)
