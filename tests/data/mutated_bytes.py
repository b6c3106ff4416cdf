"""Mutations of a file as bytes: damaged, cut, packed, of other line ends and encodings."""

import csv
import gzip
import random
from collections.abc import Sequence
from dataclasses import replace

from fates import Fate, File, Plant, at, cells_fate, fated, good, of, opened, packed, pieces, whole
from known_rows import Habit, Record, content, written


def _noise(draw: random.Random, piece: bytes) -> bytes:
    noisy = bytearray(piece)
    for _ in range(draw.choice([1, 1, 2, 5])):
        place, sign = draw.randrange(len(noisy)), draw.choice([0, 9, 10, 13, 34, 44, 59, 255, draw.randrange(256)])
        change = draw.choice(["set", "insert", "remove"])
        noisy[place : place + (change != "insert")] = b"" if change == "remove" else bytes([sign])
        noisy = noisy or bytearray(b"?")
    return bytes(noisy)


@of("text")
def bytes_of_a_record_change(draw, habit, plant, name):
    records, number = plant[name], at(draw, plant[name])
    parts = pieces(habit, records)
    parts[number + 1] = _noise(draw, parts[number + 1])
    fates, counted = _after_noise(habit, records, number, parts[number + 1])
    return {name: File(packed(habit, parts), fates, "either", counted)}


def _after_noise(habit: Habit, records: Sequence[Record], number: int, piece: bytes) -> tuple[tuple[Fate, ...], bool]:
    end = habit.line_end.encode()
    if b'"' in piece or any(b'"' in one for one in pieces(habit, [records[number]])):
        return opened(records, number), False
    if not piece.endswith(end) or set(piece.removesuffix(end)) & set(b"\r\n\0") or not piece.strip():
        following = min(number + 1, len(records) - 1)  # it may have become part of this one
        return fated(records, {one: Fate("open", records[one].rows) for one in (number, following)}), False
    text = piece.decode(habit.encoding.removesuffix("-sig"), errors="replace")
    return fated(records, {number: cells_fate(habit, next(csv.reader([text], delimiter=habit.separator)))}), True


@of("typed")
def bytes_of_the_file_change(draw, habit, plant, name):
    damaged = _noise(draw, content(habit, [one.cells for one in plant[name]]))
    return {name: File(damaged, opened(plant[name]), "either", counted=False)}


@of("gz", "csv.gz", "xlsx", "parquet")
def cut(draw, habit, plant, name):
    full = content(habit, [one.cells for one in plant[name]])
    return {name: File(full[: draw.randrange(1, len(full) - 1)], (), "refused")}


@of("csv")
def cut_as_text(draw, habit, plant, name):
    records, parts = plant[name], pieces(habit, plant[name])
    number = at(draw, records)
    parts[number + 1] = parts[number + 1][: draw.randrange(len(parts[number + 1]))]
    fates = opened(records, number)[: number + 1]
    return {name: File(packed(habit, parts[: number + 2]), fates, "either", counted=False)}


@of("csv")
def cut_between_records(draw, habit, plant, name):
    number = at(draw, plant[name]) + 1
    ending = draw.choice([b"", b"\n", b"\r\n\r\n"])
    parts = pieces(habit, plant[name])[: number + 1]
    return {name: File(packed(habit, parts).rstrip(b"\r\n") + ending, good(plant[name][:number]))}


@of("zipped")
def compressed_bytes_change(draw, habit, plant, name):
    records = plant[name]
    full = bytearray(content(habit, [one.cells for one in records]))
    full[draw.randrange(10, len(full))] ^= 1 << draw.randrange(8)
    return {name: File(bytes(full), good(records), "either")}


@of("zipped")
def two_compressed_files_in_one(draw, habit, plant, name):
    header, *rest = pieces(habit, plant[name])
    middle = at(draw, rest)
    parts = [gzip.compress(b"".join(one), mtime=0) for one in ([header, *rest[:middle]], rest[middle:])]
    return {name: File(b"".join(parts), good(plant[name]))}


@of("zipped")
def rubbish_after_the_compressed_file(draw, habit, plant, name):
    full = whole(habit, plant[name])
    return {name: replace(full, content=full.content + draw.choice([b"\0" * 512, b"rubbish"]), whole="either")}


@of("zipped")
def not_compressed_at_all(draw, habit, plant, name):
    return {name: File(b"".join(pieces(habit, plant[name])), (), "refused")}


@of("zipped")
def compressed_twice(draw, habit, plant, name):
    return {name: File(gzip.compress(content(habit, [one.cells for one in plant[name]])), (), "refused")}


@of("typed")
def another_format_under_that_name(draw, habit, plant, name):
    text = replace(habit, ending=draw.choice(["csv", "csv.gz"]))
    cells = [[written(cell, habit) for cell in one.cells] for one in plant[name]]
    return {name: File(content(text, cells), (), "refused")}


@of("csv")
def a_table_of_another_format_under_that_name(draw, habit, plant, name):
    typed = replace(habit, ending=draw.choice(["parquet", "xlsx"]))
    return {name: File(content(typed, [one.cells for one in plant[name]]), (), "refused")}


@of("all")
def emptied(draw, habit, plant, name):
    return {name: File(draw.choice([b"", b"", b"\n", b" \r\n \r\n"]), (), "refused")}


@of("all")
def no_record_left(draw, habit, plant, name):
    return {name: File(content(habit, []), ())}


@of("text")
def nul_bytes_at_the_end(draw, habit, plant, name):
    """As a file system leaves them after a power failure."""
    parts = [*pieces(habit, plant[name]), b"\0" * draw.choice([1, 64, 4096])]
    return {name: File(packed(habit, parts), (*good(plant[name]), Fate("open", (None,))), "either", counted=False)}


@of("text")
def a_quote_opens_and_none_closes(draw, habit, plant, name):
    records, number = plant[name], at(draw, plant[name])
    parts = pieces(habit, records)
    cells = parts[number + 1].split(habit.separator.encode())
    cells[draw.randrange(len(cells))] = b'"' + cells[0]
    parts[number + 1] = habit.separator.encode().join(cells)
    return {name: File(packed(habit, parts), opened(records, number), "either", counted=False)}


@of("text")
def a_quote_opens_in_the_last_cell(draw, habit, plant, name):
    parts = pieces(habit, plant[name])
    before, sign, last = parts[-1].rpartition(habit.separator.encode())
    parts[-1] = before + sign + b'"' + last.rstrip(b"\r\n") + draw.choice([b"", habit.line_end.encode()])
    last_one = len(plant[name]) - 1
    return {name: File(packed(habit, parts), fated(plant[name], {last_one: Fate("bad", (None,))}))}


def _without_quotes(plant: Plant, name: str, habit: Habit) -> list[Record]:
    """Records whose text has no line ends of its own."""
    return [one for one in plant[name] if not any("\n" in cell for cell in one.cells)]


@of("text")
def other_line_ends(draw, habit, plant, name):
    records = _without_quotes(plant, name, habit)
    end = draw.choice([b"\n", b"\r\n", b"\r"])
    parts = [part.rstrip(b"\r\n") + end for part in pieces(habit, records)]
    return {name: File(packed(habit, parts), good(records))}


@of("text")
def mixed_line_ends(draw, habit, plant, name):
    records = _without_quotes(plant, name, habit)
    parts = [part.rstrip(b"\r\n") + draw.choice([b"\n", b"\r\n"]) for part in pieces(habit, records)]
    return {name: File(packed(habit, parts), good(records))}


@of("text")
def empty_lines(draw, habit, plant, name):
    header, *rest = pieces(habit, plant[name])
    spaced = [draw.choice([b"", b"\n", b"\r\n\r\n"]) + part for part in rest]
    return {name: File(packed(habit, [header, *spaced]), good(plant[name]))}


@of("text")
def no_line_end_at_the_end(draw, habit, plant, name):
    parts = pieces(habit, plant[name])
    parts[-1] = parts[-1].rstrip(b"\r\n")
    return {name: File(packed(habit, parts), good(plant[name]))}


@of("plain", "wide", "zipped", "windows")
def a_byte_order_mark_more_or_less(draw, habit, plant, name):
    other = replace(habit, encoding="utf-8" if habit.encoding == "utf-8-sig" else "utf-8-sig")
    return {name: File(packed(other, pieces(habit, plant[name])), good(plant[name]))}


@of("text")
def another_encoding(draw, habit, plant, name):
    text = b"".join(pieces(habit, plant[name])).decode(habit.encoding.removesuffix("-sig"))
    text = text.replace("S0", draw.choice(["S0", "Sü", "S°"]))
    other = draw.choice(["utf-16", "utf-16-le", "utf-32", "cp1252", "utf-7", "cp037"])
    changed = text.encode(other)
    wrapped = gzip.compress(changed, mtime=0) if habit.ending == "csv.gz" else changed
    return {name: File(wrapped, opened(plant[name]), "either", counted=False)}
