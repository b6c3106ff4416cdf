"""The lake of a line: Delta tables that only grow, and views of what was known at a moment.

Every durable write of a line's data goes through `Lake.append`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any, TypeVar, cast

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from qma_predict.data.contract import TABLES
from qma_predict.errors import LakeError

_TEXT, _NUMBER, _MOMENT = pa.string(), pa.int64(), pa.timestamp("us", "UTC")
BOOKS = {
    "quarantine": pa.schema({
        "file_id": _TEXT, "table": _TEXT, "path": _TEXT, "row": _NUMBER, "column": _TEXT,
        "reason": _TEXT, "content": _TEXT, "ingested_at": _MOMENT,
    }),
    "files": pa.schema({
        "file_id": _TEXT, "table": _TEXT, "path": _TEXT, "size": _NUMBER, "modified_ns": _NUMBER, "rules": _TEXT,
        "rows": _NUMBER, "accepted": _NUMBER, "duplicates": _NUMBER, "quarantined": _NUMBER, "watermark": _TEXT,
        "ingested_at": _MOMENT,
    }),
    "problems": pa.schema({"table": _TEXT, "problem": _TEXT, "ingested_at": _MOMENT}),
}  # fmt: skip
"""Tables about the ingest itself: refused rows with reason and origin, files with their counts, and the sources
and files that could not be read at all."""

KEEP_VERSIONS = PostCommitHookProperties(cleanup_expired_logs=False)
"""For every commit: by default each hundredth forgets the versions older than 30 days, and lists pin theirs."""

SCHEMAS: dict[str, pa.Schema] = {name: table.schema for name, table in TABLES.items()} | BOOKS


Found = TypeVar("Found")


@dataclass(frozen=True)
class Lake:
    """The Delta tables of one line below `folder`; `step` is told the name of each durable step."""

    folder: Path
    step: Callable[[str], None] = field(default=lambda name: None)

    def append(self, name: str, rows: pd.DataFrame, file_ids: Collection[str] = ()) -> None:
        """Append rows in one atomic commit, which also says which files are now in (see `taken`).

        Raises
        ------
        LakeError
            If the table cannot be written; it is then as it was.
        """
        schema = SCHEMAS[name]
        table = pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
        properties = CommitProperties(app_transactions=[Transaction(file_id, 1) for file_id in file_ids])
        path = self.folder / name
        self.step(f"before {name}")
        try:
            write_deltalake(
                str(path), table, mode="append", commit_properties=properties, post_commithook_properties=KEEP_VERSIONS
            )
        except (DeltaError, OSError) as error:
            raise LakeError(f"{path}: cannot be written: {error}. Check the disk's space and permissions.") from error
        self.step(f"after {name}")

    def taken(self, name: str, file_ids: Iterable[str]) -> set[str]:
        """Those of the files of which a commit of the table said that they are in."""
        table = self._delta(name)
        return set() if table is None else {one for one in file_ids if table.transaction_version(one) is not None}

    def read(self, name: str) -> pd.DataFrame:
        """All rows of a small table."""
        delta = self._delta(name)
        return _nothing(name).copy() if delta is None else frame(self._table(self._connect(), name, delta))

    def of_files(self, name: str, file_ids: Collection[str], columns: list[str]) -> pd.DataFrame:
        """These columns of the rows that came from these files."""
        delta = self._delta(name) if file_ids else None
        if delta is None:
            return _nothing(name)[columns]
        table = self._table(self._connect(), name, delta)
        return frame(table.filter(table.file_id.isin(list(file_ids))).select(columns))

    def refused_from(self, name: str, path: str) -> pd.DataFrame:
        """Rows of a table that were refused and came from this path: `file_id`, `reason` and `content`."""
        table = self._table(self._connect(), "quarantine", self._delta("quarantine"))
        found = table.filter((table.table == name) & (table.path == path))
        return found.select("file_id", "reason", "content").to_pandas()

    def with_keys_of(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of the lake whose key occurs among `rows`."""
        delta = self._delta(name)
        if delta is None:
            return _nothing(name).copy()
        key = list(TABLES[name].key)
        table = self._table(self._connect(), name, delta)
        for moment in key:  # leaves most of a large table unread
            if SCHEMAS[name].field(moment).type == _MOMENT and len(rows):
                first, last = (ibis.literal(one.to_pydatetime()) for one in (rows[moment].min(), rows[moment].max()))
                table = table.filter(table[moment].between(first, last))
        return frame(table.semi_join(ibis.memtable(rows[key].drop_duplicates()), key))

    def versions(self) -> dict[str, int]:
        """Newest version of each table that exists."""
        tables = {name: self._delta(name) for name in SCHEMAS}
        return {name: table.version() for name, table in tables.items() if table is not None}

    def at(self, as_of: datetime, versions: Mapping[str, int] | None = None) -> "History":
        """What was known at `as_of` [UTC], from the newest or from pinned versions of the tables.

        Raises
        ------
        LakeError
            If a pinned version is not there any more.
        """
        pinned = dict(self.versions() if versions is None else versions)
        connection = self._connect()
        tables = {
            name: self._table(connection, name, self._delta(name, pinned[name]) if name in pinned else None)
            for name in SCHEMAS
        }
        set_up = pd.Timestamp(connection.execute(tables["files"].ingested_at.min())) if "files" in pinned else None
        return History(tables, pd.Timestamp(as_of), set_up, pinned)

    def _connect(self) -> ibis.BaseBackend:
        return ibis.duckdb.connect(temp_directory=str(self.folder / ".spill"))

    def _delta(self, name: str, version: int | None = None) -> DeltaTable | None:
        path = str(self.folder / name)
        if not DeltaTable.is_deltatable(path):
            if version is None:
                return None
            raise LakeError(f"{path}: the table is missing. Expected its version {version}; restore the home.")
        try:
            return DeltaTable(path, version=version)
        except DeltaError as error:
            wanted = "the newest version" if version is None else f"version {version}"
            raise LakeError(f"{path}: {wanted} cannot be opened: {error}. Restore the home.") from error

    def _table(self, connection: ibis.BaseBackend, name: str, delta: DeltaTable | None) -> ir.Table:
        added = [] if delta is None else pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        if delta is None or not added:
            return connection.create_table(name, SCHEMAS[name].empty_table(), temp=True)
        sizes = {self.folder / name / file["path"]: file["size_bytes"] for file in added}
        damaged = [file.name for file, size in sizes.items() if not file.exists() or file.stat().st_size != size]
        if damaged:
            raise LakeError(
                f"{self.folder / name}: files of version {delta.version()} are missing or cut: {', '.join(damaged)}. "
                "Restore the home."
            )
        # no names or values from the folders above: a home may lie below `site=a` or `lines [1]`
        files = [escape(str(file)) for file in sizes]
        return connection.read_parquet(files, table_name=name, hive_partitioning=False)


@dataclass(frozen=True)
class History:
    """A line's tables as known at `as_of`: nothing that comes from here was recorded later.

    A row is known if it was recorded by `as_of` and, for moments after the line was set up (its first
    ingest), also ingested by then. Before that, history was loaded afterwards and `recorded_at` alone decides.
    """

    tables: Mapping[str, ir.Table]
    as_of: pd.Timestamp
    set_up: pd.Timestamp | None
    versions: Mapping[str, int]
    _found: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, what: str, find: Callable[[], Found]) -> Found:
        """What `find` gives, for all who ask for the same of this history: it is shared, so nobody changes it."""
        if what not in self._found:
            self._found[what] = find()
        return cast(Found, self._found[what])

    def at(self, as_of: datetime) -> "History":
        """The same tables as known at another moment."""
        return replace(self, as_of=pd.Timestamp(as_of))

    def all_versions(self, name: str) -> ir.Table:
        """Every version of every row known at `as_of`."""
        table = self.tables[name]
        moment = literal(self.as_of)
        known = table.recorded_at <= moment
        if self.set_up is not None and self.as_of >= self.set_up:
            known &= table.ingested_at <= moment
        return table.filter(known)

    def newest(self, name: str) -> ir.Table:
        """The newest version of every row known at `as_of`."""
        return newest(self.all_versions(name), TABLES[name].key)


@cache
def _nothing(name: str) -> pd.DataFrame:
    """A table without rows, as a query answers it; each query costs a hundredth of a second."""
    return ibis.duckdb.connect().create_table(name, SCHEMAS[name].empty_table(), temp=True).to_pandas()


def frame(rows: ir.Table) -> pd.DataFrame:
    """Rows of the lake as `to_pandas` gives them, in a third of the time: no value is made a Python object."""
    return rows.to_pyarrow().to_pandas()


def literal(moment: datetime) -> ir.TimestampScalar:
    """A moment [UTC] as the tables have it."""
    return ibis.literal(pd.Timestamp(moment).to_pydatetime()).cast("timestamp('UTC', 6)")


def recorded_first(rows: ir.Table, key: Sequence[str], *order: str) -> ir.Table:
    """Of the rows with the same key, the one recorded first; of those, the one that happened first, then by `order`."""
    number = ibis.row_number().over(group_by=list(key), order_by=["recorded_at", "occurred_at", *order])
    return rows.mutate(_order=number).filter(ibis._._order == 0).drop("_order")


def newest(rows: ir.Table, key: tuple[str, ...]) -> ir.Table:
    """Of the rows with the same key, the one recorded last."""
    order = ibis.row_number().over(group_by=key, order_by=ibis.desc("recorded_at"))
    return rows.mutate(_age=order).filter(ibis._._age == 0).drop("_age")
