"""Which of the times in a file says when a row happened, also where its name is none that is known."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from qma_predict.data.draft.columns import TOLD, Column, Names, named, plain, taken_by

_ABOUT = {
    "inspections": "inspect insp pruef check test qc qa qs qualit audit mess gemess measur eol judg urteil befund",
    "materials": "consum verbau einbau eingebaut mount install montier assembl",
    "readings": "mess gemess measur sampl read",
}
"""How the names of times begin that tell when a row of a table happened."""
_STORING = "book buch gebuch stor gespeich speich erfass record insert import export upload sync updat chang geaender"
"""How the names of times begin that tell when a row was written down."""
_PLANNED = "due plan soll ziel termin liefer deliv deadline expir ablauf mhd wunsch target"
"""How the names of times begin that nothing has happened at yet."""
_ABOUT_IT = 1.0
_TIMES = ("started_at", "occurred_at", "ended_at")


def role_of_time(table: str) -> str:
    """Our name of the time when a row of a table happened; a stay is told by its start."""
    return "started_at" if table == "visits" else "occurred_at"


def happened(table: str, own: Sequence[Column], taken: Names) -> dict[str, str]:
    """Times of a table by the names and values of the times that no other role has.

    A name that is about the table's doing comes first, then one that is known, then any, then one that tells when a row
    was written down, then one of a plan; of several such, the latest: nothing is then taken to have been known too
    early. Stays without known times start at the earliest and end at the latest of them.

    Parameters
    ----------
    table : str
    own : sequence of Column
    taken : mapping
        Our names to the files', as the names of the columns tell them.

    Returns
    -------
    dict of str
        Our names of times to the files', to be put over those of `taken`; empty where there is no time.
    """
    role = role_of_time(table)
    elsewhere = {one for name, one in taken.items() if name != role}
    free = [one for one in own if one.kind == "time" and one.everywhere and one.name not in elsewhere]
    if not free:  # the only time has another role already: the row is told to have happened then
        times = {one.name for one in own if one.kind == "time"}
        others = (taken[name] for name in ("ended_at", "recorded_at") if name in taken)
        return next(({role: one} for one in others if isinstance(one, str) and one in times), {})
    best = max(_rank(one, table) for one in free)
    likely = sorted((one for one in free if _rank(one, table) == best), key=_middle)
    if table == "visits":
        if role in taken:
            return {}
        alone = len(likely) == 1 or "ended_at" in taken
        return {role: likely[0].name} if alone else {role: likely[0].name, "ended_at": likely[-1].name}
    return {role: likely[-1].name}


def guessed_times(table: str, own: Sequence[Column], mapping: Names) -> list[str]:
    """What a person has to look at: a time that no known name tells, and times that go nowhere."""
    role = role_of_time(table)
    if not isinstance(name := mapping.get(role), str):
        return []
    used = taken_by(mapping)
    times = {one.name: one for one in own if one.kind == "time"}
    others = [one for label, one in times.items() if label not in used]
    ended = mapping.get("ended_at", name)
    if table == "visits" and isinstance(ended, str) and ended != name and not named(ended, "ended_at"):
        start, end = f"{name} is taken for the start, as the earliest,", f"{ended} for the end, as the latest"
        checks = [f"started_at, ended_at: the names do not tell which is which; {start} and {end}"]
    elif name == mapping.get("recorded_at"):
        checks = [f"{role}: the only time is {name}, of which the name says when a row was written down"]
    elif max(named(name, "started_at"), named(name, "occurred_at")) >= TOLD or not others:
        known = _rank(times[name], table) == _ABOUT_IT or any(map(partial(named, name), _TIMES))
        checks = [] if known else [f"{role}: {name} is taken as no other time is left; its name is none that is known"]
    elif _rank(times[name], table) == _ABOUT_IT:
        checks = [f"{role}: {name} is taken for its name"]
    elif table == "visits":
        checks = [f"{role}: no name tells it surely; {name} is taken"]
    else:
        checks = [f"{role}: no name tells it surely; {name} is taken, so that nothing is known too early"]
    if mapping.get("ended_at") == name:
        checks = ["the files say one time a unit: taken as start and end of its stay", *checks]
    if others:
        told = ", ".join(f"{one.name} ({_apart(one, times[name])})" for one in others[:6])
        checks.append(f"{role} is {name}, and these times go nowhere: {told}{', ...' if len(others) > 6 else ''}")
    return checks


def _rank(column: Column, table: str) -> float:
    """How likely a time is the one when a row happened."""
    if _begins(column.name, _ABOUT.get(table, "")):
        return _ABOUT_IT
    known = named(column.name, role_of_time(table))
    if known:
        return min(known, 0.99)
    if _begins(column.name, _PLANNED):
        return 0.05
    return 0.1 if _begins(column.name, _STORING) else 0.2


def _begins(name: str, stems: str) -> bool:
    """Whether a word of a name begins with one of these, or a long one of these is inside: `endpruefung_zeit`."""
    own = plain(name)
    return any(
        (len(stem) > 4 and stem in own) or any(word.startswith(stem) for word in own.split("_"))
        for stem in stems.split()
    )


def _middle(column: Column) -> pd.Timestamp:
    return column.moments.median()


def _apart(one: Column, other: Column) -> str:
    """How far a time is from another, in the row in the middle."""
    hours = (one.moments - other.moments).dropna().dt.total_seconds() / 3600
    if hours.empty:
        return "never beside it"
    usual = float(hours.median())
    size = f"{abs(usual):.1f} h" if abs(usual) < 48 else f"{abs(usual) / 24:.0f} d"
    return "usually the same" if usual == 0 else f"usually {size} {'later' if usual > 0 else 'earlier'}"
