"""An existing Delta table, read in place: every data file of its newest version is a file of ours."""

import os
import re
from collections.abc import Mapping
from glob import glob
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from qma_predict.data.files import File, Stamp, at_url, file_system, on_disk
from qma_predict.errors import SourceError
from qma_predict.line import Source
from qma_predict.line.definition import without_password

_READ = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "deletionVectors", "columnMapping"}
"""Features of a table with which its data files are plain Parquet; of the last two, while they are not used."""


def find_data_files(source: Source) -> tuple[list[File], list[SourceError]]:
    """Data files of the newest version of a source's tables, and what is wrong with tables that cannot be read.

    A file's `partition` has every column of the table that it may lack: the values of its folder, or nothing for a
    column that came later.

    Raises
    ------
    SourceError
        If there is no table.
    """
    pattern = str(source.path)
    if "://" in pattern:
        folders = [re.sub(r"\[([*?\[])\]", r"\1", pattern).rstrip("/")]
    else:
        folders = sorted(name.rstrip("/") for name in glob(pattern) if os.path.isdir(os.path.join(name, "_delta_log")))
    if not folders:
        raise SourceError(
            f"source of {source.table}: no Delta table at {source.place}. Expected a folder with a _delta_log; check "
            "the path in line.toml."
        )
    files: list[File] = []
    problems: list[SourceError] = []
    for folder in folders:
        try:
            files += _data_files(folder)
        except SourceError as error:
            problems.append(error)
    return files, problems


def _data_files(folder: str) -> list[File]:
    place = without_password(folder)
    if "://" not in folder and re.search(r"[][%^|]", folder):  # deltalake 1.6 takes it for a URL, and panics
        raise SourceError(f"{place}: a Delta table cannot be read in a folder with one of [ ] % ^ | in its name.")
    try:
        table = DeltaTable(folder)
        _refuse_unknown(place, table)
        names = [field.name for field in table.schema().fields]
        added = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    except (DeltaError, OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{place}: cannot be read as a Delta table: {error}. Check its _delta_log, the URL and the login."
        ) from error
    partitions = table.metadata().partition_columns
    return sorted((_file(folder, one, names, partitions) for one in added), key=lambda file: file.path)


def _refuse_unknown(place: str, table: DeltaTable) -> None:
    """Raise SourceError for a table whose data files do not hold its rows as they are."""
    protocol, configuration = table.protocol(), table.metadata().configuration
    unknown = sorted(set(protocol.reader_features or []) - _READ)
    if configuration.get("delta.columnMapping.mode", "none") != "none":
        unknown.append("columnMapping")
    if "deletionVectors" in (protocol.reader_features or []) and _has_deletion_vectors(table):
        unknown.append("deletion vectors (rows that are deleted without a new file)")
    if unknown:
        raise SourceError(
            f"{place}: the Delta table uses {', '.join(unknown)}, which cannot be read here. Have it rewritten "
            "without, or ask an engine that reads it by url and query."
        )


def _has_deletion_vectors(table: DeltaTable) -> bool:
    try:
        return len(pa.table(table.deletion_vectors())) > 0
    except DeltaError:  # it has some that are damaged or away
        return True


def _file(folder: str, added: Mapping[str, Any], names: list[str], partitions: list[str]) -> File:
    """A data file, stamped by the table's log."""
    path = unquote(added["path"])
    values = {name: _text(added.get(f"partition.{name}")) for name in partitions}
    partition = dict.fromkeys(names) | values
    if "://" in folder:
        system, inner = file_system(folder)
        listed = {"size": added["size_bytes"], "modified": added["modification_time"] / 1000}
        return at_url(system, f"{inner}/{path}", listed, folder, partition)
    file = on_disk(os.path.join(folder, path), partition)

    def stamp() -> Stamp:
        return file.path, added["size_bytes"], added["modification_time"] * 1_000_000

    return File(file.path, stamp, file.load, partition)


def _text(value: Any) -> str | None:
    """A partition's value as text."""
    if value is None or isinstance(value, str):
        return value
    return str(pd.Timestamp(value)) if hasattr(value, "isoformat") else str(value)
