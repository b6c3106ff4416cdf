"""MLflow's store in another place: it keeps absolute paths of its own artifacts."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
    "datasets": ("dataset_source",),
}
"""Columns of MLflow 3.17's database that hold a path or a URL of an artifact, or of the lake."""


def move_store(database: Path, old: str, new: str) -> int:
    """Let a store's paths begin with the new home where they begin with the old one; return how many these were.

    Parameters
    ----------
    database : Path
        `mlflow.db`; where there is none, nothing is done.
    old, new : str
        Absolute folders of the home.

    Raises
    ------
    sqlite3.Error
        If it is no database, or cannot be written.
    """
    if not database.is_file() or old == new:
        return 0
    changed = 0
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _columns(connection):
            # as a URL (with %20 for a blank), as a path, and as the path of a dataset's JSON
            for before, after in ((Path(old).as_uri(), Path(new).as_uri()), (old, new), (_json(old), _json(new))):
                done = connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"),
                )
                changed += done.rowcount
    return changed


def strange_places(database: Path, home: Path) -> list[str]:
    """Artifact locations of experiments that lie outside a home: it was moved without `qma restore`.

    Only looks; a database that cannot be read raises sqlite3.Error.
    """
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        # the first experiment is MLflow's own, which nothing is logged to
        rows = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id <> 0").fetchall()
    inside = f"{home.absolute().as_uri()}/"
    return sorted(place for (place,) in rows if not str(place).startswith(inside))


def _columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    there = []
    for table, columns in _PLACES.items():
        known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        there += [(table, column) for column in columns if column in known]
    return there


def _json(folder: str) -> str:
    return json.dumps({"path": folder})[:-2]
