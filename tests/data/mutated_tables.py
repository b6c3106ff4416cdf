"""Mutations of records, columns and types."""

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
from fates import Fate, File, at, cells_fate, fated, good, of, packed, pieces, whole
from known_rows import Habit, Record, content, written


@of("text")
def a_value_too_few_or_too_many(draw, habit, plant, name):
    records, number = plant[name], at(draw, plant[name])
    cells = list(records[number].cells)
    cells = draw.choice([cells[:-1], [*cells, ""], [*cells, "x"], cells[1:], cells * 2, [*cells, *[""] * 1000]])
    changed = [cells if one == number else record.cells for one, record in enumerate(records)]
    return {name: File(content(habit, changed), fated(records, {number: Fate("bad", (None,))}))}


@of("text")
def broken_records_and_then_one_without_a_unit(draw, habit, plant, name):
    records, unit = plant[name], [one.ours for one in habit.fields].index("unit_id")
    number = draw.randrange(1, len(records))
    broken = sorted(draw.sample(range(number), draw.randrange(1, number + 1)))
    cells = [one.cells[:-1] if place in broken else one.cells for place, one in enumerate(records)]
    cells[number] = (*cells[number][:unit], "", *cells[number][unit + 1 :])
    fates = {place: Fate("bad", (None,)) for place in broken} | {number: cells_fate(habit, cells[number])}
    return {name: File(content(habit, cells), fated(records, fates))}


@of("all")
def records_repeated(draw, habit, plant, name):
    records = [*plant[name], *draw.choices(plant[name], k=draw.randrange(1, 4))]
    return {name: whole(habit, draw.sample(records, len(records)))}


@of("all")
def a_record_contradicted(draw, habit, plant, name):
    """The same key and clocks with another value: neither can be taken."""
    records, number = plant[name], at(draw, plant[name])
    keys = {"material": "copper", "passed": "x", "machine": "M9", "value": 4711.5, "s1": 4711.5}
    [column] = [column for column, one in enumerate(habit.fields) if one.ours in keys]
    cells = list(records[number].cells)
    value = keys[habit.fields[column].ours]
    if habit.fields[column].ours == "passed":
        cells[column] = "NOK" if cells[column] == "OK" else "OK"
    else:
        cells[column] = written(value, habit) if habit.text else value
    changed = [*[one.cells for one in records], cells]
    if habit.name == "wide":  # the other tags of that record agree
        kept = Fate("may", (None, *records[number].rows[1:]))
        return {name: File(content(habit, changed), (*fated(records, {number: kept}), kept))}
    bad = Fate("bad", (None,))
    return {name: File(content(habit, changed), (*fated(records, {number: bad}), bad))}


@of("all")
def records_in_another_order(draw, habit, plant, name):
    return {name: whole(habit, draw.sample(plant[name], len(plant[name])))}


@of("all")
def records_moved_to_another_file(draw, habit, plant, name):
    other = draw.choice([one for one in plant if one != name])
    middle = at(draw, plant[name])
    return {name: whole(habit, plant[name][:middle]), other: whole(habit, [*plant[name][middle:], *plant[other]])}


@of("all")
def records_also_in_another_file(draw, habit, plant, name):
    other = draw.choice([one for one in plant if one != name])
    return {other: whole(habit, [*plant[other], *draw.sample(plant[name], 2)])}


@of("all")
def a_file_twice_under_another_name(draw, habit, plant, name):
    return {f"{name[:7]}{draw.choice(['copy', '(1)', ' 2', '[x]', 'ä'])}.{habit.ending}": whole(habit, plant[name])}


@of("text")
def the_header_again(draw, habit, plant, name):
    """As where exports are put one below the other."""
    middle = at(draw, plant[name])
    cells = [list(one.cells) for one in plant[name]]
    header = [one.theirs for one in habit.fields]
    bad = cells_fate(habit, header)
    fates = (*good(plant[name][:middle]), bad, *good(plant[name][middle:]))
    return {name: File(content(habit, [*cells[:middle], header, *cells[middle:]]), fates)}


def _column(draw: random.Random, habit: Habit) -> int:
    return draw.choice([number for number, one in enumerate(habit.fields) if one.kind != "tag" and one.required])


@of("all")
def a_column_renamed(draw, habit, plant, name):
    names, number = [one.theirs for one in habit.fields], _column(draw, habit)
    names[number] = draw.choice(["", names[number].upper(), names[number] + " ", names[number] + "_2", "x" * 10_000])
    return {name: File(content(habit, [one.cells for one in plant[name]], names), (), "refused")}


@of("text", "xlsx")
def a_column_named_twice(draw, habit, plant, name):
    names, number = [one.theirs for one in habit.fields], _column(draw, habit)
    names[number] = names[number - 1]
    return {name: File(content(habit, [one.cells for one in plant[name]], names), (), "refused")}


@of("all")
def a_column_missing(draw, habit, plant, name):
    number = _column(draw, habit)
    names = [one.theirs for one in habit.fields]
    records = [one.cells[:number] + one.cells[number + 1 :] for one in plant[name]]
    return {name: File(content(habit, records, names[:number] + names[number + 1 :]), (), "refused")}


@of("all")
def columns_in_another_order_and_one_more(draw, habit, plant, name):
    names = [*(one.theirs for one in habit.fields), draw.choice(["operator", "file_id", "row", "column", "index"])]
    order = draw.sample(range(len(names)), len(names))
    records = [[*one.cells, "Ada"] for one in plant[name]]
    changed = [[cells[number] for number in order] for cells in records]
    return {name: File(content(habit, changed, [names[number] for number in order]), good(plant[name]))}


@of("all")
def cells_of_two_columns_swapped(draw, habit, plant, name):
    one, other = draw.sample(range(len(habit.fields)), 2)
    records = [list(record.cells) for record in plant[name]]
    for cells in records:
        cells[one], cells[other] = cells[other], cells[one]
    text = [
        [written(cell, habit) if isinstance(cell, str) or habit.text else cell for cell in cells] for cells in records
    ]
    fates = tuple(Fate("open", fate.rows) for fate in good(plant[name])) if not habit.text else None
    return {name: File(content(habit, records), fates or tuple(cells_fate(habit, cells) for cells in text), "either")}


@of("text")
def the_header_missing(draw, habit, plant, name):
    return {name: File(packed(habit, pieces(habit, plant[name])[1:]), (), "refused")}


@of("text")
def another_separator(draw, habit, plant, name):
    other = draw.choice([one for one in ",;\t|" if one != habit.separator])
    return {name: File(content(replace(habit, separator=other), [one.cells for one in plant[name]]), (), "refused")}


@of("typed")
def everything_as_text(draw, habit, plant, name):
    records = [[None if cell is None else written(cell, habit) for cell in one.cells] for one in plant[name]]
    return {name: File(content(habit, records), good(plant[name]))}


def _retyped(habit: Habit, records: Sequence[Record], change: Callable[[pa.Array], pa.Array]) -> bytes:
    table = pq.read_table(io.BytesIO(content(habit, [one.cells for one in records])))
    columns = {name: change(table[name].combine_chunks()) for name in table.column_names}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=2, store_schema=True)
    return file.getvalue()


@of("parquet")
def other_types_of_the_same_values(draw, habit, plant, name):
    zone = draw.choice(["UTC", "Asia/Tokyo", "+03:00"])
    moments = draw.choice([pa.timestamp(one, zone) for one in ("s", "ms", "us", "ns")])
    texts = draw.choice([pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.binary(), pa.large_binary()])

    def change(values: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(values.type):
            return values.cast(moments)
        return values.cast(texts) if pa.types.is_string(values.type) else values

    return {name: File(_retyped(habit, plant[name], change), good(plant[name]))}


@of("parquet")
def types_that_mean_nothing(draw, habit, plant, name):
    kind = draw.choice(["list", "struct", "null", "duration", "bool"])

    def change(values: pa.Array) -> pa.Array:
        if kind == "list":
            return pa.array([[one] for one in values.to_pylist()])
        if kind == "struct":
            return pa.array([{"a": one} for one in values.to_pylist()])
        other = {"null": (None, pa.null()), "duration": (1, pa.duration("us")), "bool": (True, pa.bool_())}[kind]
        return pa.array([other[0]] * len(values), other[1])

    bad = tuple(Fate("bad", tuple(None for _ in one.rows)) for one in plant[name])
    return {name: File(_retyped(habit, plant[name], change), bad, "either")}


@of("xlsx")
def empty_rows_and_notes(draw, habit, plant, name):
    """Empty rows of a sheet count where rows are numbered, as Excel shows them; a note is no row of the table."""
    empty, number = [None] * len(habit.fields), at(draw, plant[name])
    cells = [one.cells for one in plant[name]]
    bad = ["only a note", *empty[1:]]
    fates = (*good(plant[name][:number]), Fate("good", ()), *good(plant[name][number:]), Fate("bad", (None,)))
    return {name: File(content(habit, [*cells[:number], empty, *cells[number:], bad]), fates)}
