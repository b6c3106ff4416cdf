"""Tables of the desk database."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Dialect, Double, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from qma_predict.publish.risk_list import TABLE_SCHEMA


class _Moment(TypeDecorator[datetime]):
    """A moment [UTC], aware also where the database keeps no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


def _kind(kind: pa.DataType) -> TypeEngine[Any]:
    if pa.types.is_timestamp(kind):
        return _Moment()
    if pa.types.is_date(kind):
        return Date()
    if pa.types.is_boolean(kind):
        return Boolean()
    if pa.types.is_integer(kind):
        return Integer()
    return Double() if pa.types.is_floating(kind) else Text()


def _key(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


TABLES = MetaData()

LISTS = Table(
    "lists",
    TABLES,
    _key("list_id", Text()),
    _key("revision", Integer()),
    Column("line", Text, nullable=False),
    Column("business_date", Date, nullable=False),
    Column("state", Text),
    Column("reason", Text),  # why it replaced the revision before
    Column("facts", JSON, nullable=False),
    Column("manifest_sha256", Text, nullable=False),
)

LIST_ROWS = Table(
    "list_rows",
    TABLES,
    _key("list_id", Text()),
    _key("revision", Integer()),
    _key("unit_id", Text()),
    *(Column(one.name, _kind(one.type)) for one in TABLE_SCHEMA if one.name not in ("list_id", "unit_id")),
)

ANSWERS = Table(
    "answers",
    TABLES,
    _key("list_id", Text()),
    _key("unit_id", Text()),
    _key("answered_at", _Moment()),
    Column("code", Text),
    Column("comment", Text),
    Column("imported_at", _Moment, nullable=False),
    Column("file_digest", Text, nullable=False),
    Column("sheet", Text, nullable=False),
    Column("row", Integer, nullable=False),
)

ISSUE_ANSWERS = Table(
    "issue_answers",
    TABLES,
    _key("list_id", Text()),
    _key("title", Text()),
    _key("answered_at", _Moment()),
    Column("owner", Text),
    Column("due", Date),
    Column("imported_at", _Moment, nullable=False),
    Column("file_digest", Text, nullable=False),
    Column("sheet", Text, nullable=False),
    Column("row", Integer, nullable=False),
)

PROMISES = Table(
    "promises",
    TABLES,
    _key("line", Text()),
    _key("as_of", _Moment()),  # what was known when it was told
    _key("business_date", Date()),  # of the list that made it
    *(Column(name, Double) for name in ("promised", "low", "high")),
    *(Column(name, Integer, nullable=False) for name in ("listed", "checked", "found", "pending", "not_checked")),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
