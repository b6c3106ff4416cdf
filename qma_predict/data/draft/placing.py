"""Which table the files of a group are, and which of their columns are ours."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from qma_predict.data.contract import TABLES
from qma_predict.data.draft.columns import NAMES, Column, named, numeric, plain, taken_by
from qma_predict.data.draft.look import Look
from qma_predict.data.draft.times import guessed_times, happened, role_of_time
from qma_predict.data.values import with_points

_TIMES = ("occurred_at", "started_at", "ended_at", "recorded_at", "valid_from")
_NUMBERS = ("value", "measured", "lower", "upper", "set_point", "plausible_low", "plausible_high", "probability")

_SIGNS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...], tuple[str, ...]]] = {
    # all of these groups, one of each; the more of these the surer; none of these
    "readings": ((("unit_id", "machine"), ("tag",), ("value",), ("occurred_at",)), ("tag", "value"), ("passed",)),
    "inspections": (
        (("unit_id",), ("passed",), ("occurred_at",)),
        ("passed", "gate", "characteristic", "measured"),
        ("tag",),
    ),
    "materials": ((("unit_id",), ("lot_id",), ("occurred_at",)), ("lot_id", "supplier"), ("passed", "tag")),
    "visits": (
        (("unit_id",), ("started_at",), ("station", "ended_at", "machine")),
        ("station", "started_at", "ended_at"),
        ("passed", "tag", "lot_id"),
    ),
    "units": ((("unit_id",), ("product", "order_no"), ("occurred_at",)), ("product",), ("passed", "tag", "lot_id")),
    "tags": ((("tag",), ("lower", "upper", "set_point", "unit")), ("tag", "lower", "upper", "set_point"), ("unit_id",)),
    "events": ((("kind", "text"), ("occurred_at",)), ("machine", "kind", "text"), ("unit_id", "tag", "value")),
}
_HINTS = {
    "units": "unit order auftrag auftraege teile serial",
    "visits": "visit route station booking buchung durchlauf scan",
    "readings": "reading historian messwert sensor process prozess signal",
    "tags": "tag limit spec parameter",
    "materials": "material lot charge genealogy genealogie bom",
    "events": "event alarm maintenance wartung log stoerung",
    "inspections": "inspection quality qc pruef test eol result ergebnis",
}


@dataclass(frozen=True)
class Placed:
    """A source to be: the files, their table, and how the columns map.

    `sure` are the evidence in words, `checks` what a person has to look at.
    """

    look: Look
    table: str
    columns: Mapping[str, str | tuple[str, ...]]
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tags: str | None = None
    time_format: str = "ISO8601"
    decimal: str = "."
    checks: tuple[str, ...] = ()

    @property
    def unused(self) -> list[str]:
        """Columns of the files that go nowhere."""
        used = taken_by(self.columns)
        return [name for name in map(str, self.look.rows) if name not in used]

    @property
    def tag_columns(self) -> list[str]:
        """Columns that the pattern of `tags` fits."""
        return [name for name in self.unused if self.tags is not None and fnmatch.fnmatchcase(name, self.tags)]


def place(look: Look, ids: set[str]) -> list[Placed]:
    """Tables that the files of a group are, the likeliest alone; none where no table fits.

    Parameters
    ----------
    look : Look
    ids : set of str
        Some units' names seen in other files, by which a column of units is known whatever it is called.
    """
    own = look.columns
    found = []
    for table in _SIGNS:
        mapping = _mapping(table, own, ids)
        needed, telling, strange = _SIGNS[table]
        if any(not set(group) & mapping.keys() for group in needed) or any(
            not set(_mapping(table, own, ids, (role,)).values()) <= set(mapping.values()) for role in strange
        ):
            continue
        names = {role: named(_first(value), role) for role, value in mapping.items()}
        score = sum(names.values()) + sum(names.get(role, 0) > 0 for role in telling)
        found.append((score + _hinted(look, table), Placed(look, table, mapping)))
    long = [one for _, one in sorted(found, key=lambda pair: -pair[0])[:1]]
    if long:
        beside = _wide(look, own, ids, long[0]) if long[0].table in ("inspections", "visits", "units") else []
        beside = [one for one in beside if one.table != long[0].table]
        return [_finished(one, own) for one in [*long, *beside]]
    return [_finished(one, own) for one in _wide(look, own, ids) or _scans(look, own, ids)]


def _first(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[0]


def _hinted(look: Look, table: str) -> float:
    words = plain(PurePosixPath(look.pattern.split(".")[0]).name)
    return 1.5 if any(hint in words for hint in _HINTS[table].split()) else 0.0


def _mapping(
    table: str, own: list[Column], ids: set[str], roles: Iterable[str] = ()
) -> dict[str, str | tuple[str, ...]]:
    """Our names of columns to the files', the surest pairs first, each column once."""
    wanted = tuple(roles) or (*(column.name for column in TABLES[table].columns), "recorded_at")
    pairs = sorted(
        ((_score(column, role, ids), -number, role, column) for number, column in enumerate(own) for role in wanted),
        key=lambda pair: pair[:3],
        reverse=True,
    )
    taken: dict[str, str | tuple[str, ...]] = {}
    for score, _, role, column in pairs:
        if score > 0.25 and role not in taken and column.name not in taken.values():
            taken[role] = column.name
    if role_of_time(table) in wanted:
        taken.update(happened(table, own, taken))
    taken.update(_date_and_clock(own, taken, wanted))
    main = next((taken[role] for role in _TIMES if role in taken), None)
    formats = {column.name: column.time_format for column in own}
    same = {"recorded_at", "ended_at"} if isinstance(main, str) else set()
    for role in same & taken.keys():  # a source has one format of times
        if formats[str(taken[role])] != formats[str(main)]:
            del taken[role]
    return taken


def _date_and_clock(
    own: list[Column], taken: Mapping[str, object], wanted: Iterable[str]
) -> dict[str, str | tuple[str, ...]]:
    """A date and a time of day in two columns, as one moment."""
    role = next((one for one in ("occurred_at", "started_at") if one in wanted), None)
    date = next(
        (c for c in own if role and taken.get(role) == c.name and (c.moments.dropna().dt.hour == 0).all()), None
    )
    clock = next((c for c in own if c.clock), None)
    return {role: (date.name, clock.name)} if role and date and clock else {}


def _score(column: Column, role: str, ids: set[str]) -> float:
    """How well a column can be a role: by name if its values allow it, for units by their values alone too."""
    kind = column.kind
    if not column.everywhere:
        return 0.0
    if role in _TIMES or role in _NUMBERS:
        fits = kind == ("time" if role in _TIMES else "number")
        fits = fits or (kind == "empty" and role not in ("occurred_at", "started_at", "value"))
    elif role == "passed":
        fits = column.flag
    else:
        fits = (kind == "text" or (kind == "number" and column.decimal is None)) and not column.clock
    if not fits or (column.texts.empty and role in ("unit_id", "tag", "value", "lot_id")):
        return 0.0
    score = named(column.name, role)
    if role in ("tag", "station", "machine") and column.texts.nunique() > 2000:
        return 0.0
    if role == "kind" and column.distinct > 0.5 and len(column.texts) > 4:
        return 0.0
    if role == "unit_id" and ids and column.name:
        shared = len(column.some & ids) / max(1, len(column.some))
        return max(score, 0.9 * shared) if shared > 0.5 else score
    if role == "product" and named(column.name, "unit_id") and column.distinct > 0.5:
        return 0.0
    return score


def _wide(look: Look, own: list[Column], ids: set[str], other: Placed | None = None) -> list[Placed]:
    """Files with one column a tag: what has a unit or a machine, a time, and numbers that are nothing else."""
    mapping = _mapping("readings", own, ids, ("unit_id", "machine", "station", "occurred_at", "recorded_at"))
    taken = taken_by(mapping)
    others = [column for column in own if column.name not in taken]
    table = {one for role in NAMES if role not in ("value", "tag", "unit_id") for one in _named(others, role)}
    table |= set() if other is None else {_first(value) for value in other.columns.values()}
    tags = [column.name for column in others if numeric(column) and column.name not in table]
    if "occurred_at" not in mapping or not {"unit_id", "machine"} & mapping.keys() or not tags:
        return []
    if look.header is not None and all(name.startswith("column_") for name in tags):
        return []
    rest = [column.name for column in others if column.name not in tags and column.kind != "empty"]
    some = [tag for tag in tags if tag not in look.partly]  # a file in which no column fits a pattern is refused
    fits = [pattern for pattern in patterns(tags, rest) if any(fnmatch.fnmatchcase(tag, pattern) for tag in some)]
    left = [tag for tag in tags if not any(fnmatch.fnmatchcase(tag, pattern) for pattern in fits)]
    told = (f"no pattern takes {', '.join(left)}, which only some of the files have",) if left else ()
    placed = [Placed(look, "readings", mapping, tags=pattern, checks=told) for pattern in fits]
    if "unit_id" in mapping:
        start = {
            "unit_id": mapping["unit_id"],
            "started_at": mapping["occurred_at"],
            "ended_at": mapping["occurred_at"],
        }
        here = {role: mapping[role] for role in ("machine", "station", "recorded_at") if role in mapping}
        placed.append(Placed(look, "visits", start | here))
    return placed


def _named(own: Iterable[Column], role: str) -> list[str]:
    return [column.name for column in own if named(column.name, role) >= 0.8 and (role != "passed" or column.flag)]


def patterns(tags: list[str], others: list[str]) -> list[str]:
    """Patterns of `tags` that fit these columns and none of the others.

    Examples
    --------
    >>> patterns(["temp_1", "temp_2", "force"], ["operator"])
    ['temp_*', 'force']
    >>> patterns(["force", "speed"], [])
    ['*']
    """
    if not others and len(tags) > 1:
        return ["*"]
    heads: dict[str, list[str]] = {}
    for tag in tags:
        heads.setdefault(re.split(r"[\d_.\- ]", tag, maxsplit=1)[0], []).append(tag)
    found = []
    for head, group in heads.items():
        sure = len(group) > 1 and head and not any(name.startswith(head) for name in others)
        cut = group[0][: len(head) + 1] if all(tag.startswith(group[0][: len(head) + 1]) for tag in group) else head
        found += [f"{_literal(cut)}*"] if sure else [_literal(tag) for tag in group]
    return found


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _scans(look: Look, own: list[Column], ids: set[str]) -> list[Placed]:
    """Files that say no more than which unit was seen when."""
    mapping = _mapping("visits", own, ids, ("unit_id", "started_at", "recorded_at", "station", "machine"))
    if not {"unit_id", "started_at"} <= mapping.keys():
        return []
    return [Placed(look, "visits", {**mapping, "ended_at": mapping["started_at"]})]


def _finished(placed: Placed, own: list[Column]) -> Placed:
    """What the files do not say, said by constants or left to be looked at."""
    by_name = {column.name: column for column in own}
    mapping, checks = dict(placed.columns), [*placed.look.notes, *placed.checks]
    stem = subject(placed.look)
    machine = {"machine": plain(placed.look.machine)} if placed.look.machine else {}
    wanted = {
        "visits": {"station": stem, **machine},
        "readings": ({"station": stem} if "unit_id" in mapping else {}) | machine,
        "inspections": {"gate": stem, "characteristic": plain(_first(mapping.get("passed", "result")))},
        "events": {"machine": stem, "kind": "log"},
        "tags": {"station": stem, "valid_from": "2000-01-01 00:00:00"},
    }.get(placed.table, {})
    constants = {name: value for name, value in wanted.items() if name not in mapping}
    if placed.table == "events" and mapping.keys() >= {"kind", "text"} and mapping["kind"] == mapping["text"]:
        del mapping["text"]
    checks += [
        f"{name}: the files do not say it; {value!r} is taken from their name" for name, value in constants.items()
    ]
    times = [by_name[_first(mapping[role])] for role in _TIMES if role in mapping]
    time_format = (times[0].time_format if times else None) or "ISO8601"
    pair = next((value for value in mapping.values() if not isinstance(value, str)), None)
    if pair is not None and time_format != "ISO8601":
        minutes = by_name[pair[1]].texts.str.count(":").max() < 2
        time_format += " %H:%M" if minutes else " %H:%M:%S"
    checks += guessed_times(placed.table, own, mapping)
    checks += [f"{one.name}: day and month could be the other way round" for one in times[:1] if one.unsure]
    decimal, told = _decimal(own, {*map(_first, mapping.values()), *placed.tag_columns})
    checks += told
    words = {"passed": by_name[_first(mapping["passed"])].words} if "passed" in mapping else {}
    if words.get("passed"):
        checks.append(f"passed: which word of {_first(mapping['passed'])} is good")
    return replace(
        placed,
        columns={name: mapping[name] for name in (*_order(placed.table), "recorded_at") if name in mapping},
        constants=constants,
        values={name: found for name, found in words.items() if found},
        time_format=time_format,
        decimal=decimal,
        checks=tuple(checks),
    )


def _decimal(own: list[Column], used: set[str]) -> tuple[str, list[str]]:
    """Decimal sign of the files, and what a person has to look at: signs that can be for thousands in what is used."""
    numbers = [column for column in own if column.kind == "number"]
    sure = {column.decimal for column in numbers if column.thousands is None} - {None}
    grouped = [column for column in numbers if column.thousands is not None]
    decimal = "," if "," in (sure or {column.decimal for column in grouped}) else "."
    checks = []
    for column in grouped:
        if column.name in used and not (column.decimal == "," and "," in sure):
            written = column.texts[column.texts.str.contains(column.thousands, regex=False)].head(1)
            read = with_points(written, decimal).fillna("nothing").iloc[0]
            checks.append(
                f"{column.name}: beside whole numbers below 1000, the sign in {written.iloc[0]} seems to be for "
                f"thousands; by decimal = {decimal!r} it is read as {read}"
            )
    return decimal, checks


def _order(table: str) -> list[str]:
    return [column.name for column in TABLES[table].columns]


def subject(look: Look) -> str:
    """What the files are about, by their name without numbers and the words that many names have."""
    if look.subject:
        return plain(look.subject)
    words = plain(PurePosixPath(look.pattern).name.split(".")[0]).split("_")
    usual = {"data", "log", "production", "qc", "timestamps", "scan", "export", "csv", "all", "process", "maintenance"}
    told = [word for word in words if word not in usual and not word.isdigit()]
    return "_".join(told or words) or "line"
