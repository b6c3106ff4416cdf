"""Rows that are known by construction, as plants of several habits write them, and read again without the program.

A habit is one way to write a table. `record` makes a record of which the rows are known, `content` writes records as
a file, and `reading` says what rows the cells of a record mean: a second, independent reading, by the standard
library alone, for records that a mutation changed.
"""

import csv
import gzip
import io
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

NOW = datetime(2025, 7, 1, tzinfo=UTC)
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
DELAY = timedelta(minutes=5)
ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")
OFTEN_WRONG = ("not ok", "nok", "fail", "failed", "no", "bad", "nio", "n.i.o.", "false", "0")
OFTEN_RIGHT = ("ok", "pass", "passed", "yes", "good", "io", "i.o.", "true", "1")

Row = tuple[tuple[str, Any], ...]
"""A row of the lake: names and values, without when and from which file it came."""


@dataclass(frozen=True)
class Field:
    """A column of a plant's file: our name, theirs, kind (text, number, time, flag, tag), whether a row needs it."""

    ours: str
    theirs: str
    kind: str = "text"
    required: bool = True


@dataclass(frozen=True)
class Habit:
    """How a plant writes a table; `rules` are the keys of its source beyond those that follow from the rest."""

    name: str
    table: str
    ending: str
    fields: tuple[Field, ...]
    rules: dict[str, Any] = field(default_factory=dict)
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    time_format: str = "ISO8601"
    zone: str = "UTC"
    line_end: str = "\n"

    @property
    def text(self) -> bool:
        """Whether its files are text, maybe compressed."""
        return self.ending in ("csv", "csv.gz")

    @property
    def delayed(self) -> bool:
        """Whether the file does not say when a row was recorded."""
        return "recorded_at" not in [one.ours for one in self.fields]

    def source(self, folder: str) -> dict[str, Any]:
        """The source in a `line.toml` that reads its files."""
        columns = {one.ours: one.theirs for one in self.fields if one.kind != "tag"}
        keys = {"separator": self.separator, "decimal": self.decimal, "encoding": self.encoding}
        clock = {"timezone": self.zone, "time_format": self.time_format} | ({"delay": "5 min"} if self.delayed else {})
        return {"table": self.table, "path": f"{folder}/*", "columns": columns, **keys, **clock, **self.rules}


_UNIT, _AT = Field("unit_id", "unit_id"), Field("occurred_at", "occurred_at", "time")
_READING = (
    _UNIT,
    Field("station", "station"),
    Field("tag", "tag"),
    _AT,
    Field("value", "value", "number"),
)
_MATERIAL = (Field("lot_id", "lot"), Field("material", "what", required=False), Field("unit_id", "unit"))
_CLOCKS = (Field("occurred_at", "used", "time"), Field("recorded_at", "booked", "time"))

HABITS = (
    Habit("plain", "readings", "csv", _READING),
    Habit(
        "german",
        "readings",
        "csv",
        (
            *(Field("occurred_at", "Zeit", "time"), Field("unit_id", "Gerät"), Field("tag", "Größe")),
            *(Field("value", "Wert", "number"), Field("station", "Anlage")),
        ),
        *({}, ";", ",", "latin-1", "%d.%m.%Y %H:%M:%S", "Europe/Berlin"),
    ),
    Habit("zipped", "materials", "csv.gz", (*_MATERIAL, *_CLOCKS), separator="\t"),
    Habit(
        "windows",
        "inspections",
        "csv",
        (
            *(Field("reason", "remark", required=False), _UNIT, Field("characteristic", "what")),
            *(_AT, Field("passed", "result", "flag")),
        ),
        {"constants": {"gate": "final"}},
        *(",", ".", "utf-8-sig", "ISO8601", "America/Chicago", "\r\n"),
    ),
    Habit(
        "wide",
        "readings",
        "csv",
        (_UNIT, _AT, *(Field(f"s{number}", f"s{number}", "tag", required=False) for number in (1, 2, 3))),
        {"tags": "s?", "constants": {"station": "press"}},
    ),
    Habit(
        "parquet",
        "visits",
        "parquet",
        (
            *(_UNIT, Field("started_at", "started_at", "time"), Field("ended_at", "ended_at", "time", required=False)),
            Field("machine", "machine", required=False),
        ),
        {"constants": {"station": "press"}},
    ),
    Habit("tokyo", "readings", "parquet", _READING, zone="Asia/Tokyo"),
    Habit("workbook", "materials", "xlsx", (*_MATERIAL, *_CLOCKS)),
)


@dataclass(frozen=True)
class Record:
    """A record of a file: its cells (text, or values where the format has types), and the rows that it is."""

    cells: tuple[Any, ...]
    rows: tuple[Row | None, ...]


def record(habit: Habit, unit: str, draw: random.Random) -> Record:
    """A record of a unit, with values and times of its own."""
    start = datetime(2025, 5, 1, tzinfo=UTC) + timedelta(seconds=draw.randrange(40 * 86400))
    given = {
        **{"unit_id": unit, "station": draw.choice(["press", "oven"]), "tag": draw.choice(["force", "Öl-Druck"])},
        **{"lot_id": f"{draw.randrange(10**7):07}", "material": draw.choice(["steel", "brass", None])},
        **{"reason": draw.choice([None, 'said "fine"', "a, b; c", "two\nlines"]), "characteristic": "leak"},
        **{"machine": draw.choice(["M1", "M 2", None]), "passed": draw.random() < 0.7},
        **{"value": draw.randrange(1, 10**5) / 1000 + 0.0001, "occurred_at": start, "started_at": start},
        **{"ended_at": start + timedelta(minutes=7), "recorded_at": start + timedelta(hours=draw.randrange(1, 99))},
        **{f"s{number}": draw.choice([None, draw.randrange(1, 900) / 8 + 0.0625]) for number in (2, 3)},
        "s1": draw.randrange(1, 900) / 8 + 0.0625,
    }
    values = {one.ours: given[one.ours] for one in habit.fields}
    cells = tuple(values[one.ours] if not habit.text else written(values[one.ours], habit) for one in habit.fields)
    return Record(cells, _rows(values, habit))


def _rows(values: dict[str, Any], habit: Habit) -> tuple[Row | None, ...]:
    values = values | habit.rules.get("constants", {})
    happened = values.get("ended_at") or values.get("occurred_at") or values.get("started_at")
    if habit.delayed:
        values["recorded_at"] = happened and happened + DELAY
    tags = {one.ours: values.pop(one.ours) for one in habit.fields if one.kind == "tag"}
    if not tags:
        return (tuple(sorted((values | {"occurred_at": happened}).items())),)
    long = [values | {"tag": tag, "value": value} for tag, value in tags.items() if value is not None]
    return tuple(tuple(sorted(one.items())) for one in long)


def written(value: Any, habit: Habit) -> str:
    """A value as text of that habit."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "OK" if value else "NOK"
    if isinstance(value, datetime):
        local = value.astimezone(ZoneInfo(habit.zone)).replace(tzinfo=None)
        return local.isoformat(" ") if habit.time_format == "ISO8601" else local.strftime(habit.time_format)
    return repr(value).replace(".", habit.decimal) if isinstance(value, float) else value


def content(habit: Habit, records: Sequence[Sequence[Any]], header: Sequence[str] | None = None) -> bytes:
    """A file of records, given as their cells."""
    names = [one.theirs for one in habit.fields] if header is None else header
    if habit.ending == "parquet":
        return _parquet(habit, records, names)
    if habit.ending == "xlsx":
        return _xlsx(habit, records, names)
    lines = io.StringIO()
    csv.writer(lines, delimiter=habit.separator, lineterminator=habit.line_end).writerows([names, *records])
    plain = lines.getvalue().encode(habit.encoding)
    return gzip.compress(plain, mtime=0) if habit.ending == "csv.gz" else plain


def _parquet(habit: Habit, records: Sequence[Sequence[Any]], names: Sequence[str]) -> bytes:
    table = {}
    for number, name in enumerate(names):
        cells = [one[number] for one in records]
        if len({type(cell) for cell in cells if cell is not None}) > 1:
            cells = [None if cell is None else written(cell, habit) for cell in cells]
        table[name] = pa.array(cells)
    file = io.BytesIO()
    pq.write_table(pa.table(table), file)
    return file.getvalue()


def _xlsx(habit: Habit, records: Sequence[Sequence[Any]], names: Sequence[str]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        form = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet = book.add_worksheet()
        for row, cells in enumerate([names, *records]):
            for column, cell in enumerate(cells):
                if isinstance(cell, datetime):
                    local = cell.astimezone(ZoneInfo(habit.zone)).replace(tzinfo=None)
                    sheet.write_datetime(row, column, local, form)
                elif isinstance(cell, float):
                    sheet.write_number(row, column, cell)
                elif cell:
                    sheet.write_string(row, column, cell)
    return file.getvalue()


def reading(habit: Habit, cells: Sequence[Any]) -> tuple[Row | None, ...]:
    """Rows that the cells of a record mean, None for one that breaks the contract. Reads by the standard library."""
    values, wrong = {}, set()
    for column, cell in zip(habit.fields, cells, strict=True):
        kept = cell.strip() or None if isinstance(cell, str) else cell
        values[column.ours] = _value(kept, column.kind, habit) if isinstance(kept, str) else kept
        if (values[column.ours] is None and (kept is not None or column.required)) or values[column.ours] in ERRORS:
            wrong.add(column.ours)
    tags = {one.ours for one in habit.fields if one.kind == "tag"}
    marked = {**values, **dict.fromkeys(tags & wrong, math.nan)}  # not empty, so a row by itself
    rows = _rows(marked, habit)
    if wrong - tags:
        return tuple(None for _ in rows)
    return tuple(one if _possible(dict(one)) else None for one in rows if one is not None)


def _value(text: str, kind: str, habit: Habit) -> Any:
    try:
        if kind in ("number", "tag"):
            number = float(_with_point(text, habit.decimal))
            return number if math.isfinite(number) else None
        if kind == "time":
            iso = habit.time_format == "ISO8601"
            read = datetime.fromisoformat(text) if iso else datetime.strptime(text, habit.time_format)  # noqa: DTZ007
            return (read if read.tzinfo else read.replace(tzinfo=ZoneInfo(habit.zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    if kind == "flag":
        return {**dict.fromkeys(OFTEN_RIGHT, True), **dict.fromkeys(OFTEN_WRONG, False)}.get(text.lower())
    return text


def _with_point(text: str, decimal: str) -> str:
    """Text of a number with a point as decimal sign; groups of three digits may have the other sign between them."""
    other, rest = (".", "(,[0-9]*)?") if decimal == "," else (",", "[.][0-9]*")  # 1,234 can be less than two
    if re.fullmatch(rf"[+-]?[1-9][0-9]{{0,2}}([{other}][0-9]{{3}})+{rest}", text):
        text = text.replace(other, "")
    return text.replace(other, "?").replace(",", ".")


def _possible(row: dict[str, Any]) -> bool:
    moments = [value for value in row.values() if isinstance(value, datetime)]
    if any(not EARLIEST <= one <= NOW + timedelta(days=1) for one in moments) or row.get("value") != row.get("value"):
        return False
    ended = row.get("ended_at") or row["occurred_at"]
    return row["recorded_at"] >= row["occurred_at"] and ended >= row.get("started_at", ended)
