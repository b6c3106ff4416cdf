"""Mutations of single cells: strange values, signs around them, other decimal signs and orders of dates."""

import random
from collections.abc import Callable
from typing import Any

from fates import File, Plant, at, cells_fate, fated, of
from known_rows import Habit, content, written

STRANGE = (
    *("", " ", "NaN", "null", "NULL", "None", "-", "?", "N/A", "#N/A", "#REF!", "inf", "-inf", "1e400", "-9999", "+7"),
    *("9" * 400, "1,234.5", "1.234,5", "1_000", "1 000", "5%", "1e3", "1d3", "0x10", "=1+1", "'5", "1.2.3", "TRUE"),
    *("\u0661\u0662\u0663", "\uff11\uff12", "\u22125", "nio", "ok ", "O.K.", "now", "today", "1746100000"),
    *("2025-02-30", "2025-13-01", "2025-05-01", "2025-05-01T24:00", "31.12.2024 23:59:60", "12:60:00", "2025-W18-4"),
    *("1970-01-01", "01.01.1900 00:00:00", "9999-12-31 23:59:59", "0001-01-01 00:00:00", "2262-04-12 00:00"),
    *("2025-05-01 10:00:00+02:00", "2025-05-01T08:00Z", "20250501T080000"),
)
AROUND = (
    "{} ",
    "  {}",
    "\u00a0{}",
    "{}\t",
    "\u202e{}",
    "\u200f{}",
    "\ufeff{}",
    "{}\u200b",
    "\x07{}",
    "{}\x1b[31m",
    "{}" * 3,
)


@of("all")
def a_strange_cell(draw, habit, plant, name):
    return _one_cell(draw, habit, plant, name, lambda cell: draw.choice(STRANGE))


@of("all")
def a_very_long_cell(draw, habit, plant, name):
    size = 30_000 if habit.ending == "xlsx" else 200_000
    return _one_cell(draw, habit, plant, name, lambda cell: draw.choice("x7 ,") * size)


@of("text", "parquet")
def signs_around_a_cell(draw, habit, plant, name):
    return _one_cell(draw, habit, plant, name, lambda cell: draw.choice(AROUND).replace("{}", written(cell, habit)))


@of("all")
def a_huge_number(draw, habit, plant, name):
    return _one_cell(
        draw, habit, plant, name, lambda cell: draw.choice(["1e308", "-1e308", "1e309", str(2**63), "1" * 25])
    )


@of("all")
def a_key_with_blanks(draw, habit, plant, name):
    column = [one.ours for one in habit.fields].index("unit_id")
    return _one_cell(draw, habit, plant, name, lambda cell: draw.choice([" {} ", "{} ", "{}  x"]).format(cell), column)


@of("all")
def day_and_month_swapped(draw, habit, plant, name):
    def swap(cell: Any) -> str:
        text = written(cell, habit)
        if habit.time_format == "ISO8601":
            return text[:5] + text[8:10] + "-" + text[5:7] + text[10:]
        return text[3:5] + "." + text[:2] + text[5:]

    column = draw.choice([number for number, one in enumerate(habit.fields) if one.kind == "time"])
    return _one_cell(draw, habit, plant, name, swap, column)


@of("plain", "german", "wide", "tokyo")
def decimal_sign_changed(draw, habit, plant, name):
    other = "," if habit.decimal == "." else "."
    columns = [number for number, one in enumerate(habit.fields) if one.kind in ("number", "tag")]

    def changed(number: int, cell: Any) -> Any:
        return written(cell, habit).replace(habit.decimal, other) if number in columns else cell

    records = [[changed(number, cell) for number, cell in enumerate(one.cells)] for one in plant[name]]
    fates = tuple(cells_fate(habit, cells) for cells in records)
    assert {fate.kind for fate in fates} == {"bad"}
    return {name: File(content(habit, records), fates)}


def _one_cell(
    draw: random.Random, habit: Habit, plant: Plant, name: str, change: Callable[[Any], str], column: int | None = None
) -> dict[str, File]:
    """Change a cell; the fate of its record is what the standard library reads there."""
    records, number = plant[name], at(draw, plant[name])
    column = at(draw, habit.fields) if column is None else column
    cells = list(records[number].cells)
    cells[column] = change(cells[column]).encode(habit.encoding, "ignore").decode(habit.encoding)
    changed = [cells if one == number else list(record.cells) for one, record in enumerate(records)]
    fate = cells_fate(habit, [cell if cell != "" else None for cell in cells] if habit.ending == "xlsx" else cells)
    return {name: File(content(habit, changed), fated(records, {number: fate}))}
