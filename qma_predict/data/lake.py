"""The lake of a line: Delta tables that only grow, and views of what was known at a moment.

Every durable write of a line's data goes through `Lake.append`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from qma_predict.data.contract import TABLES
from qma_predict.errors import LakeError

_MOMENT = pa.timestamp("us", "UTC")
BOOKS = {
    "quarantine": pa.schema(
        [("file_id", pa.string()), ("table", pa.string()), ("path", pa.string()), ("row", pa.int64())]
        + [("reason", pa.string()), ("content", pa.string()), ("ingested_at", _MOMENT)]
    ),
    "files": pa.schema(
        [("file_id", pa.string()), ("table", pa.string()), ("path", pa.string())]
        + [("size", pa.int64()), ("modified_ns", pa.int64()), ("rules", pa.string())]
        + [("rows", pa.int64()), ("accepted", pa.int64()), ("duplicates", pa.int64()), ("quarantined", pa.int64())]
        + [("ingested_at", _MOMENT)]
    ),
    "problems": pa.schema([("table", pa.string()), ("problem", pa.string()), ("ingested_at", _MOMENT)]),
}
"""Tables about the ingest itself: refused rows with reason and origin, files with their counts, and the sources
and files that could not be read at all."""

SCHEMAS: dict[str, pa.Schema] = {name: table.schema for name, table in TABLES.items()} | BOOKS


@dataclass(frozen=True)
class Lake:
    """The Delta tables of one line below `folder`; `step` is told the name of each durable step."""

    folder: Path
    step: Callable[[str], None] = field(default=lambda name: None)

    def append(self, name: str, rows: pd.DataFrame, transactions: list[str]) -> None:
        """Append rows in one atomic commit that also says which files are now in (see `has`)."""
        schema = SCHEMAS[name]
        table = pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
        properties = CommitProperties(app_transactions=[Transaction(one, 1) for one in transactions])
        self.step(f"before {name}")
        write_deltalake(str(self.folder / name), table, mode="append", commit_properties=properties)
        self.step(f"after {name}")

    def has(self, name: str, transaction: str) -> bool:
        """Whether a commit of the table carried this transaction."""
        table = self._delta(name)
        return table is not None and table.transaction_version(transaction) is not None

    def read(self, name: str) -> pd.DataFrame:
        """All rows of a small table, in a stable order."""
        delta = self._delta(name)
        return (SCHEMAS[name].empty_table() if delta is None else delta.to_pyarrow_table()).to_pandas()

    def rows_with_keys_of(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of the lake whose key occurs among `rows`."""
        key = list(TABLES[name].key)
        table = self._table(self._connect(), name, self._delta(name))
        return table.semi_join(ibis.memtable(rows[key].drop_duplicates()), key).to_pandas()

    def count_by_file(self, name: str, identities: list[str]) -> list[int]:
        """How many rows of the table came from each of these files."""
        table = self._table(self._connect(), name, self._delta(name))
        counts = table.group_by("file_id").agg(rows=ibis._.count()).to_pandas().set_index("file_id")["rows"]
        return [int(counts.get(identity, 0)) for identity in identities]

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

    @staticmethod
    def _table(connection: ibis.BaseBackend, name: str, delta: DeltaTable | None) -> ir.Table:
        files = [] if delta is None else delta.file_uris()
        if files:
            return connection.read_parquet(files, table_name=name)
        return connection.create_table(name, SCHEMAS[name].empty_table(), temp=True)


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

    def at(self, as_of: datetime) -> "History":
        """The same tables as known at another moment."""
        return replace(self, as_of=pd.Timestamp(as_of))

    def all_versions(self, name: str) -> ir.Table:
        """Every version of every row known at `as_of`."""
        table = self.tables[name]
        moment = ibis.literal(self.as_of.to_pydatetime()).cast("timestamp('UTC', 6)")
        known = table.recorded_at <= moment
        if self.set_up is not None and self.as_of >= self.set_up:
            known &= table.ingested_at <= moment
        return table.filter(known)

    def newest(self, name: str) -> ir.Table:
        """The newest version of every row known at `as_of`."""
        return newest(self.all_versions(name), TABLES[name].key)


def newest(rows: ir.Table, key: tuple[str, ...]) -> ir.Table:
    """Of the rows with the same key, the one recorded last."""
    order = ibis.row_number().over(group_by=key, order_by=ibis.desc("recorded_at"))
    return rows.mutate(_age=order).filter(ibis._._age == 0).drop("_age")
