"""What a mutation says of the files that it leaves: what must become of every record. And the list of mutations."""

import gzip
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from known_rows import HABITS, Habit, Record, Row, content, reading, record


@dataclass(frozen=True)
class Fate:
    """What must become of a record.

    Attributes
    ----------
    kind : str
        good: all its rows are in the lake. bad: none is, and it is quarantined with its number. may: its rows as
        read here are in the lake, or quarantined. open: it is damaged beyond what can be foretold.
    rows : tuple
        The rows, None for one that breaks the contract.
    """

    kind: Literal["good", "bad", "may", "open"]
    rows: tuple[Row | None, ...]


@dataclass(frozen=True)
class File:
    """A file of the mutated plant, the fates of its records in their order, and what may become of it as a whole.

    `counted` says that the records of the file are those of `fates`, so that its rows can be counted.
    """

    content: bytes
    fates: tuple[Fate, ...]
    whole: Literal["taken", "refused", "either"] = "taken"
    counted: bool = True


Plant = dict[str, list[Record]]
"""Records of each file of a plant, by the file's name."""

Mutation = Callable[[random.Random, Habit, Plant, str], dict[str, File]]

MUTATIONS: dict[str, list[tuple[str, Mutation]]] = {habit.name: [] for habit in HABITS}


def of(*habits: str) -> Callable[[Mutation], Mutation]:
    """Register a mutation for the habits of these names or groups: all, text, typed."""

    def register(mutation: Mutation) -> Mutation:
        for habit in HABITS:
            groups = {habit.name, habit.ending, "all", "text" if habit.text else "typed"}
            if groups & set(habits):
                MUTATIONS[habit.name].append((mutation.__name__, mutation))
        return mutation

    return register


def plant_of(habit: Habit, seed: int) -> Plant:
    """Two small files of that habit, with units of this seed."""
    draw = random.Random(f"plant {seed}")
    sizes = {f"{seed:05}-{name}.{habit.ending}": draw.randrange(3, 8) for name in "am"}
    return {
        name: [record(habit, f"S{seed:05}-{name[6]}{number:02}", draw) for number in range(size)]
        for name, size in sizes.items()
    }


def whole(habit: Habit, records: Sequence[Record]) -> File:
    """An undamaged file."""
    return File(content(habit, [one.cells for one in records]), good(records))


def good(records: Sequence[Record]) -> tuple[Fate, ...]:
    return tuple(Fate("good", one.rows) for one in records)


def fated(records: Sequence[Record], fates: dict[int, Fate]) -> tuple[Fate, ...]:
    """All good but those at these positions."""
    return tuple(fates.get(number, fate) for number, fate in enumerate(good(records)))


def opened(records: Sequence[Record], first: int = 0) -> tuple[Fate, ...]:
    """Open from this position on."""
    return fated(records, {number: Fate("open", records[number].rows) for number in range(first, len(records))})


def pieces(habit: Habit, records: Sequence[Record]) -> list[bytes]:
    """Bytes of the header and of each record of a text file, without a byte order mark."""
    plain = replace(habit, ending="csv", encoding=habit.encoding.removesuffix("-sig"))
    header, *_ = content(plain, []).splitlines(keepends=True)
    return [header, *(content(plain, [one.cells])[len(header) :] for one in records)]


def packed(habit: Habit, parts: Sequence[bytes]) -> bytes:
    """A text file of these bytes as the habit wraps it."""
    text = (b"\xef\xbb\xbf" if habit.encoding == "utf-8-sig" else b"") + b"".join(parts)
    return gzip.compress(text, mtime=0) if habit.ending == "csv.gz" else text


def at(draw: random.Random, things: Sequence[Any]) -> int:
    return draw.randrange(len(things))


def cells_fate(habit: Habit, cells: Sequence[Any]) -> Fate:
    """Fate of a record of these cells, as the standard library reads them."""
    if len(cells) != len(habit.fields):
        return Fate("bad", (None,))
    rows = reading(habit, cells)
    return Fate("may" if any(rows) else "bad", rows)
