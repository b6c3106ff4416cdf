"""A draft of a line.toml from a folder of files: what could be told from them, and what a person must look at."""

import json
import os
import re
from glob import escape
from pathlib import Path

from qma_predict.data.draft.columns import TOLD, Column, named
from qma_predict.data.draft.facts import Facts, facts
from qma_predict.data.draft.groups import looks
from qma_predict.data.draft.look import Look
from qma_predict.data.draft.placing import Placed, place
from qma_predict.errors import SourceError

__all__ = ["draft_line", "line_name", "write_draft"]

_ORDER = ("units", "visits", "readings", "tags", "materials", "events", "inspections")


def write_draft(folder: str | Path, to: str | Path, name: str | None = None) -> Path:
    """Write a draft of a line.toml for the files of a folder.

    Parameters
    ----------
    folder : str or Path
        Files of a plant at any depth: CSV (also .gz), Parquet, XLSX.
    to : str or Path
        Folder for the ``line.toml``.
    name : str, optional
        Of the line; that of `to` by default.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SourceError
        If there is a ``line.toml`` already, or no file of the folder could be placed.
    """
    file = Path(to) / "line.toml"
    if file.exists():
        raise SourceError(f"{file}: exists already, and a draft replaces nothing. Name another folder or remove it.")
    text = draft_line(folder, line_name(name or Path(to).name))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise SourceError(f"{file}: cannot be written: {error.strerror}. Check the folder's permissions.") from error
    return file


def draft_line(folder: str | Path, name: str) -> str:
    """Text of a line.toml for the files of a folder, with the evidence beside each guess.

    Raises
    ------
    SourceError
        If the folder is none, or no file in it could be placed; the message names files and reasons.
    """
    root = Path(os.path.abspath(folder))
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder. Expected a folder with the plant's files.")
    groups, strangers = looks(root)
    ids = _ids(groups)
    placed: list[Placed] = []
    for look in groups:
        found = place(look, ids)
        placed += found
        if not found:
            strangers.append((look.pattern, _why_not(look, groups)))
    placed = _without_repeats(placed)
    if not placed:
        told = "\n".join(f"  {path}: {why}" for path, why in strangers[:20]) or "  the folder holds no files"
        raise SourceError(
            f"{root}: no file could be placed as a table of a plant:\n{told}\n"
            "Expected CSV, Parquet or XLSX files with a unit's or machine's name and a time in each row."
        )
    placed.sort(key=lambda one: (_ORDER.index(one.table), one.look.pattern))
    return _text(root, name, placed, facts(placed), strangers)


def line_name(given: str) -> str:
    """Name of a line, made of any text.

    Examples
    --------
    >>> line_name("Exports [2025]")
    'exports-2025'
    """
    return re.sub(r"[^a-z0-9_-]+", "-", given.lower()).strip("-_") or "line"


def _ids(groups: list[Look]) -> set[str]:
    """Names of units, by columns whose own name says so."""
    found: set[str] = set()
    for look in groups:
        for column in look.columns:
            if named(column.name, "unit_id") >= 0.7 and column.kind != "time" and column.texts.nunique() > 1:
                found |= set(column.texts.unique()[:20_000])
    return found


def _without_repeats(placed: list[Placed]) -> list[Placed]:
    """Visits that were made of readings only where no other files have visits of the same station."""
    if not any(one.table == "visits" and "station" in one.columns for one in placed):
        return placed
    others = {one.look.pattern for one in placed if one.table != "visits"}
    return [
        one
        for one in placed
        if not (one.table == "visits" and "station" not in one.columns and one.look.pattern in others)
    ]


def _why_not(look: Look, groups: list[Look]) -> str:
    """Why a table of values is no table of ours, and what would make it one."""
    own = look.columns
    shown = ", ".join(column.name for column in own[:12]) + (", ..." if len(own) > 12 else "")
    if any(column.kind == "time" for column in own):
        roles = ("unit_id", "machine", "tag")
        told = next((f"{one.name} ({role})" for one in own for role in roles if named(one.name, role) >= TOLD), None)
        if told is not None:
            return f"has a time and {told}, but nothing that goes with them in a table was told. Columns: {shown}"
        return f"has a time, but no column that names a unit, machine or tag was told. Columns: {shown}"
    for column in own:
        values = set(column.texts.unique()[:5000])
        for other in groups:
            timed = [one for one in other.columns if other is not look]
            if not values or not any(one.kind == "time" for one in timed):
                continue
            for one in timed:
                shared = len(values & set(one.texts.unique())) / len(values)
                if shared > 0.5 and one.kind != "time" and len(values) > 10:
                    return (
                        f"has no time. Columns: {shown}. {shared:.0%} of the values of {column.name} are in "
                        f"{one.name} of {other.pattern}: a query that joins the two would give each row its time, "
                        "or constants = { occurred_at = ... } if all of it was known at one moment"
                    )
    return f"has no time, and no column that another file has. Columns: {shown}"


def _text(root: Path, name: str, placed: list[Placed], found: Facts, strangers: list[tuple[str, str]]) -> str:
    parts = [_head(root, name, found)]
    parts += [_source(root, one) for one in placed]
    if strangers:
        lines = "\n".join(f"#   {path}: {why}" for path, why in strangers)
        parts.append(f"# Files that could not be placed:\n{lines}")
    return "\n\n".join(parts) + "\n"


def _head(root: Path, name: str, found: Facts) -> str:
    told = found.told
    lines = [
        f"# A draft from the files in {_comment(str(root))}. Look at every line marked CHECK.",
        "",
        f"name = {_toml(name)}",
        f"title = {_toml(name)} # CHECK: the line's name as people say it",
        'plant = "Plant" # CHECK',
        f"timezone = {_toml(found.timezone)} # CHECK: {told['timezone']}",
        f"# {_comment(told['route'])}" if "route" in told else "",
        f"route = {_toml(list(found.route))} # CHECK: order, and stations that are missing",
        "",
        "[prediction]",
        f"after = {_toml(found.after)} # CHECK: the last station before the inspection that decides",
        'grace = "15 min" # CHECK: how late rows of it may come; `qma check` counts what it misses',
        "",
        "[gate]",
        f"# {_comment(told['gate'])}",
        f"name = {_toml(found.gate)} # CHECK",
        f"characteristics = {_toml(list(found.characteristics))} # CHECK: those that decide",
        f'maturity = "{found.maturity_days} d" # CHECK: {told.get("maturity", "nothing tells how long results take")}',
        "",
        "[candidates]",
        f'max_age = "{found.max_age_days} d" # CHECK: how long a unit can still be held back',
        *([f"leave_at = {_toml(list(found.leave_at))} # CHECK: by their names"] if found.leave_at else []),
        "",
        "[list]",
        'as_of = "05:00" # CHECK: when the list is needed, local time',
        f"capacity = {found.capacity} # CHECK: how many units can be checked a day; "
        f"{told.get('capacity', 'nothing tells')}",
    ]
    return "\n".join(lines)


def _source(root: Path, one: Placed) -> str:
    look = one.look
    path = f"{escape(root.as_posix())}/{look.pattern}"
    lines = [*_evidence(one), "[[sources]]", f"table = {_toml(one.table)}", f"path = {_toml(path)}"]
    if look.sheet is not None:
        lines.append(f"sheet = {_toml(look.sheet)}")
    if look.skip:
        lines.append(f"skip = {look.skip}")
    if look.header is not None:
        lines.append(f"header = {_toml(list(look.header))} # CHECK: the files have none that fits")
    if look.format == "csv" and look.separator != ",":
        lines.append(f"separator = {_toml(look.separator)}")
    if one.decimal != ".":
        lines.append(f"decimal = {_toml(one.decimal)}")
    if look.encoding != "utf-8":
        lines.append(f"encoding = {_toml(look.encoding)}")
    if one.time_format != "ISO8601":
        lines.append(f"time_format = {_toml(one.time_format)}")
    if one.columns:
        same = {ours: theirs for ours, theirs in one.columns.items() if ours != theirs or ours == "recorded_at"}
        lines += [f"columns = {_toml(same)}"] if same else []
    if one.constants:
        lines.append(f"constants = {_toml(dict(one.constants))}")
    if one.values:
        lines.append(f"values = {_toml(one.values)}")
    if one.tags is not None:
        lines.append(f"tags = {_toml(one.tags)}")
    if "recorded_at" not in one.columns:
        lines.append('delay = "0 s" # CHECK: the files do not say how long after it happened a row could be read')
    return "\n".join([*lines, *(f"# CHECK: {_comment(check)}" for check in one.checks)])


def _evidence(one: Placed) -> list[str]:
    look = one.look
    times = [Column(name, look.rows[name]) for name in _names(one) if name in look.rows]
    moments = [column for column in times if column.kind == "time"]
    lines = [f"# {len(look.paths)} file{'s' * (len(look.paths) != 1)}, about {look.total:,} rows"]
    if moments and moments[0].moments.notna().any():
        seen = moments[0].moments
        zone = "UTC or with an offset" if moments[0].zoned else "local time"
        zone = "UTC" if (moments[0].time_format or "").startswith("epoch") else zone
        lines[0] += f", {moments[0].name} {seen.min():%Y-%m-%d %H:%M} to {seen.max():%Y-%m-%d %H:%M} ({zone})"
    for ours, theirs in list(one.columns.items()):
        name = theirs if isinstance(theirs, str) else theirs[0]
        lines.append(
            f"#   {ours} is {theirs if isinstance(theirs, str) else ' + '.join(theirs)}: {_examples(look, name)}"
        )
    if one.unused and one.tags is None and len(one.unused) < 50:
        shown = [f"{name} ({_examples(look, name)})" for name in one.unused[:8]]
        lines.append(f"#   not used: {'; '.join(shown)}{'; ...' if len(one.unused) > 8 else ''}")
    elif one.tags is not None:
        tags = one.tag_columns
        lines.append(f"#   a column a tag: {', '.join(tags[:8])}{', ...' if len(tags) > 8 else ''}")
    return [_comment(line) for line in lines]


def _names(one: Placed) -> list[str]:
    order = ("occurred_at", "started_at", "ended_at", "valid_from")
    found = [one.columns[role] for role in order if role in one.columns]
    return [name if isinstance(name, str) else name[0] for name in found]


def _examples(look: Look, name: str) -> str:
    seen = look.rows[name].dropna().astype("str").drop_duplicates().head(3)
    return ", ".join(text[:30] for text in seen) or "always empty"


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(str(key))} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return f"[{', '.join(_toml(one) for one in value)}]"  # type: ignore[attr-defined]  # a list or tuple


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
