"""What a folder holds: files that belong together, by their names, their columns and how they are written."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from glob import escape
from itertools import pairwise, takewhile
from pathlib import Path, PurePath, PurePosixPath

import pandas as pd

from qma_predict.data.draft.columns import TOLD, named
from qma_predict.data.draft.look import Look, Unreadable, of_file

_YEAR = r"(?:19|20)\d\d"
_DATE = (
    rf"(?:(?<!\d){_YEAR}[-_.]?(?:kw|w|q)\d{{1,2}}(?!\d)"
    rf"|(?<![a-z\d])(?:[0-3]\d[-_.])?(?:0[1-9]|1[0-2])[-_.]{_YEAR}(?![-_.]?\d)"
    rf"|(?<!\d){_YEAR}(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12]\d|3[01]))?)?"
    r"(?:[-_t]?[0-2]\d[-_.]?[0-5]\d(?:[-_.]?[0-5]\d)?)?(?!\d)"
    rf"|(?<={_YEAR}/)\d\d(?=/)|(?<={_YEAR}/\d\d/)\d\d(?=/))"  # folders of months and days
)
_MONTH = (
    r"(?<![^\W\d_])(?:january?|januar|jan|february|februar|feb|march|maerz|märz|mrz|mar|april|apr|may|mai|june|juni|jun|"
    r"july|juli|jul|august|aug|september|sept|sep|october|oktober|oct|okt|november|nov|december|dezember|dec|dez)"
    r"(?![^\W\d_])"
)
_DATED = re.compile(rf"(?:{_DATE}|{_MONTH})(?:[-_. ]?(?:{_DATE}|{_MONTH}))*", re.IGNORECASE)
_VARYING = re.compile(rf"(?:{_DATE}|{_MONTH}|\d+)(?:[-_. ]?(?:{_DATE}|{_MONTH}|\d+))*", re.IGNORECASE)
_RUNNING = re.compile(
    r"(?:part|teil|chunk|file|page|seite|block|split|export)[-_. ]?\d+|(?<![a-z\d])0\d\d+", re.IGNORECASE
)
"""Numbers of the pieces of one export."""
_MANY = 30
"""More numbers than these are no stations or machines."""
_NARROW = "no wider pattern fits these files and no others; later files may not fit it"


def looks(folder: Path) -> tuple[list[Look], list[tuple[str, str]]]:
    """Groups of files below a folder, and the files that could not be placed with the reason of each."""
    found: dict[tuple[str, str | None], list[Look]] = {}
    strangers: dict[str, str] = {}
    contents: dict[str, str] = {}
    for path in sorted((path for path in folder.rglob("*") if path.is_file()), key=_originals_first):
        name = path.relative_to(folder).as_posix()
        if _hidden(name):
            continue
        try:
            if "${" in name or not name.isprintable():
                raise Unreadable("its name cannot be written in a line.toml; rename it")
            if _family(same := contents.setdefault(_digest(path), name)) != _family(name):
                raise Unreadable(f"the same content as {same}")
            for look in of_file(path, name):
                found.setdefault((_family(name), look.sheet), []).append(look)
        except (Unreadable, OSError, EOFError, zlib.error, ValueError, zipfile.BadZipFile, KeyError) as error:
            strangers[name] = " ".join(str(error).split())[:200]
    groups = [one for family in found.values() for one in _groups(folder, family, strangers)]
    dated = {path.parent / _stem(path): look for look in groups for path in look.paths if _DATED.search(path.name)}
    return [_beside(one, dated) for one in groups], sorted(strangers.items())


def _originals_first(path: Path) -> tuple[tuple[str, ...], str, str]:
    """By folder and name, but a file before its copies, the names of which go on after its own."""
    return path.parent.parts, _stem(path), path.name


def _stem(path: PurePath) -> str:
    return path.name.split(".")[0]


def _beside(look: Look, dated: Mapping[Path, Look]) -> Look:
    """The look of a file named as a dated one and more, such as `press_2025-08_neu.csv`, and about the same."""
    if len(look.paths) > 1:
        return look
    [path] = look.paths
    for cut in re.finditer(r"[-_ (]+", _stem(path)):
        own = _stem(path)[: cut.start()]
        other = dated.get(path.parent / own) if own else None
        if other is not None and set(other.rows.columns) == set(look.rows.columns):
            note = f"named as {own} and more, with the same columns: is it a copy, a correction or a rest of it?"
            return replace(look, subject=_VARYING.sub("", own), notes=(*look.notes, note))
    return look


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _family(name: str) -> str:
    """The name with every date, month and number in it left out."""
    return _VARYING.sub("*", name)


def _undated(look: Look) -> str:
    """The name of a file without its dates, but with the other numbers."""
    return _DATED.sub("*", _name(look))


def _name(look: Look) -> str:
    return re.sub(r"\[([*?\[])\]", r"\1", look.pattern)


def _groups(folder: Path, family: Sequence[Look], strangers: Mapping[str, str]) -> list[Look]:
    """Looks for the files of names that differ in numbers alone."""
    kinds: list[list[Look]] = []
    for look in family:
        kind = next((kind for kind in kinds if _alike(kind, look)), None)
        if kind is None:
            kinds.append([look])
        else:
            kind.append(look)
    found: list[Look] = []
    for kind in kinds:
        parts: dict[str, list[Look]] = {}
        for look in kind:
            parts.setdefault(_undated(look), []).append(look)
        told = any(named(one.name, role) >= TOLD for one in kind[0].columns for role in ("station", "machine"))
        if len(parts) > 1 and not told and _side_by_side(parts):
            found += _numbered(folder, parts, strangers)
            continue
        notes = []
        if len(parts) > 1 and not told and not all(map(_RUNNING.search, parts)):
            notes = ["the names differ in numbers that are no dates: taken for parts of one export, not for machines"]
        found += _together(folder, kind, _VARYING, strangers, notes)
    return found


def _alike(kind: Sequence[Look], look: Look) -> bool:
    """Whether a file can be read as those of a kind are: as written, and with about the same columns."""
    last = kind[-1]
    for name in ("format", "separator", "skip", "header"):
        if getattr(last, name) != getattr(look, name):
            return False
    if len({one.encoding for one in (*kind, look)} - {"ascii"}) > 1:
        return False
    ours, theirs = set(last.rows.columns), set(look.rows.columns)
    return ours == theirs or (_undated(last) == _undated(look) and 2 * len(ours & theirs) >= len(ours | theirs))


def _side_by_side(parts: Mapping[str, Sequence[Look]]) -> bool:
    """Whether files of different numbers tell of the same time, as those of stations and machines do."""
    if len(parts) > _MANY or all(map(_RUNNING.search, parts)):
        return False
    spans = sorted(span for group in parts.values() if (span := _span(group)) is not None)
    shares = [
        (min(end, other_end) - other) / max(min(end - start, other_end - other), pd.Timedelta("1s"))
        for (start, end), (other, other_end) in pairwise(spans)
    ]
    return len(spans) == len(parts) and sorted(shares)[len(shares) // 2] >= 0.5


def _span(group: Sequence[Look]) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    times = [next((one.moments.dropna() for one in look.columns if one.kind == "time"), None) for look in group]
    ends = [(one.min(), one.max()) for one in times if one is not None and len(one)]
    return (min(start for start, _ in ends), max(end for _, end in ends)) if ends else None


def _numbered(folder: Path, parts: Mapping[str, Sequence[Look]], strangers: Mapping[str, str]) -> list[Look]:
    """A look for the files of each number: a station where units come to several of them, or else a machine."""
    units = [_units(group) for group in parts.values()]
    shared = any(len(one & other) > 0.2 * max(1, min(len(one), len(other))) for one, other in pairwise(units))
    known = ", ".join(PurePosixPath(name).name for name in list(parts)[:6])
    found = []
    for name, group in parts.items():
        own = _stem(PurePosixPath(name)).replace("*", "")
        subject, machine = own, ""
        note = f"{known} are of the same time: taken for a station each; or are they machines of one?"
        if all(units) and not shared:
            subject, machine = re.sub(r"\d+", "", own), own
            note = f"{known} are of the same time and of other units: taken for machines of one station"
        looked = _together(folder, group, _DATED, strangers, [note])
        found += [replace(one, subject=subject, machine=machine) for one in looked]
    return found


def _units(group: Sequence[Look]) -> set[str]:
    named_so = [one for look in group for one in look.columns if named(one.name, "unit_id") >= TOLD]
    return {unit for one in named_so for unit in one.some}


def _together(
    folder: Path, group: Sequence[Look], varying: re.Pattern[str], strangers: Mapping[str, str], notes: Sequence[str]
) -> list[Look]:
    """One look for the files of a group; one each where no pattern fits them and no others."""
    encoding = next((one.encoding for one in group if one.encoding != "ascii"), "utf-8")
    group = [replace(one, encoding=encoding) for one in group]
    if len(group) == 1:
        return [replace(group[0], notes=tuple(notes))]
    names = {_name(one) for one in group}
    allowed = {name for name in strangers if _family(name) == _family(min(names))}
    wide, narrow = _patterns(sorted(names), varying)
    for patterns, permitted, told in ((wide, set(), ()), (wide, allowed, ()), (narrow, set(), (_NARROW,))):
        for pattern in patterns:
            fits = {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}
            more = {name for name in fits - names if not _hidden(name)}
            if names <= fits and more <= permitted:
                also = (f"the pattern also fits {name}: {strangers[name]}" for name in sorted(more))
                return [_joined(group, pattern, (*notes, *told, *also))]
    note = f"no pattern fits {len(group)} files of such names and no others; rename them for one source"
    return [replace(one, notes=(*notes, note)) for one in group]


def _patterns(names: Sequence[str], varying: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Patterns of names, the widest first: those that later files of such names will fit too, and others."""
    fixed = [escape(part) for part in varying.sub("\0", names[0]).split("\0")]
    digits = [re.sub(r"\d", "[0-9]", escape(found[0])) for found in varying.finditer(names[0])]
    exact = "".join(part for pair in zip(fixed, [*digits, ""], strict=True) for part in pair)
    start = _shared(names)
    end = _shared([name[len(start) :][::-1] for name in names])[::-1]
    crosses = any("/" in name[len(start) : len(name) - len(end)] for name in names)
    return ["*".join(fixed), "[0-9]*".join(fixed), exact], [] if crosses else [f"{escape(start)}*{escape(end)}"]


def _shared(names: Iterable[str]) -> str:
    """What all names begin with."""
    return "".join(signs[0] for signs in takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False)))


def _joined(group: Sequence[Look], pattern: str, notes: Sequence[str]) -> Look:
    """The files as one; rows of the first, the last, and each that has a column that those before do not have."""
    seen: set[str] = set()
    rows = []
    for number, one in enumerate(group):
        if number in (0, len(group) - 1) or not set(one.rows.columns) <= seen:
            rows.append(one.rows)
        seen |= set(one.rows.columns)
    counts = {name: sum(name in one.rows.columns for one in group) for name in sorted(map(str, seen))}
    partly = {name: count for name, count in counts.items() if count < len(group)}
    told = []
    if partly:
        some = ", ".join(f"{name} ({count} of {len(group)})" for name, count in list(partly.items())[:8])
        told = [
            f"columns that only some of the files have are tags or not used: {some}{', ...' * (len(partly) > 8)}; "
            "if one is more than that, split the files into two sources"
        ]
    return replace(
        group[0],
        pattern=pattern,
        paths=tuple(path for one in group for path in one.paths),
        rows=pd.concat(rows, ignore_index=True),
        total=sum(one.total for one in group),
        partly=tuple(partly),
        notes=(*notes, *told),
    )
