"""Rules of `normalise` that would make names match where few do."""

import re
from collections.abc import Iterable, Iterator, Sequence

import ibis.expr.types as ir
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.data.names import normalised
from qma_predict.data.survey.finding import Finding
from qma_predict.line import Line

_MOST = 50_000
"""Names of a side that are compared."""

_ENOUGH = 0.95


def findings(history: History, line: Line) -> Iterator[Finding]:
    """For each pair of tables whose names hardly match, the line to add that makes more of them match."""
    for table, column, keys, other in _pairs(history, line):
        if keys.empty or other.empty:
            continue
        matched = int(keys.isin(set(other)).sum())
        if matched >= _ENOUGH * len(keys):
            continue
        best = _best(keys, other, matched)
        if best is None:
            if not matched:
                told = f"{_shown(keys)} against {_shown(other)}"
                what = f"{table}.{column}: none of {len(keys):,} names is known elsewhere: {told}"
                yield Finding(
                    "look", "keys never match", what, len(keys), "compare the two; is one a different number?"
                )
            continue
        mine, theirs, after = best
        told = f"{_shown(keys)} against {_shown(other)}"
        what = f"{table}.{column}: {matched:,} of {len(keys):,} names match ({told}), {after:,} would"
        yield Finding("look", "keys would match", what, after - matched, _line(table, column, mine, theirs))


def _line(table: str, column: str, mine: Sequence[str], theirs: Sequence[str]) -> str:
    both = mine == theirs
    told = []
    if mine:
        told.append(
            f"normalise = {{ {column} = {_quoted(mine)} }} in the source of {table}"
            + (" and of visits" if both else "")
        )
    if theirs and not both:
        told.append(f"normalise = {{ {column} = {_quoted(theirs)} }} in the source of visits")
    return " and ".join(told)


def _quoted(rules: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in rules) + "]"


def _shown(keys: pd.Series) -> str:
    return ", ".join(keys.head(2))


def _pairs(history: History, line: Line) -> Iterator[tuple[str, str, pd.Series, pd.Series]]:
    tables = history.tables
    visited, machines = _distinct(tables["visits"], "unit_id"), _distinct(tables["visits"], "machine")
    for table in ("inspections", "readings", "materials", "units"):
        if table in history.versions:
            yield table, "unit_id", _distinct(tables[table], "unit_id"), visited
    for table in [one for one in ("events", "readings") if one in history.versions]:
        yield table, "machine", _distinct(tables[table], "machine"), machines
    stations = _distinct(tables["visits"], "station")
    yield "route", "station", pd.Series(line.route, dtype="str"), stations
    if "readings" in history.versions:
        yield "readings", "station", _distinct(tables["readings"], "station"), stations
    if "tags" in history.versions:
        yield "tags", "tag", _distinct(tables["tags"], "tag"), _distinct(tables["readings"], "tag")


def _distinct(table: ir.Table, column: str) -> pd.Series:
    named = table.filter(table[column].notnull(), table[column] != "")
    return named.select(column).distinct().order_by(column).limit(_MOST).to_pandas()[column].astype("str")


def _best(keys: pd.Series, other: pd.Series, matched: int) -> tuple[tuple[str, ...], tuple[str, ...], int] | None:
    """Fewest rules on one side, or the same on both, by which the most names match; None where that is few more."""
    rules = _candidates(keys, other)
    found: list[tuple[int, int, tuple[str, ...], tuple[str, ...]]] = []
    single = [(rule,) for rule in rules]
    pairs = [
        (one, two) for one in rules for two in rules if one != two and one + two not in ("upperlower", "lowerupper")
    ]
    same = set(other)
    for tried in (single, pairs):
        for rule in tried:
            mine = normalised(keys, rule)
            if mine.nunique() < len(keys):
                continue  # two names would become one
            found.append((int(mine.isin(same).sum()), -len(rule), rule, ()))
            theirs = normalised(other, rule)
            if theirs.nunique() == len(other):
                found.append((int(mine.isin(set(theirs)).sum()), -len(rule) - 1, rule, rule))
        best = max(found, default=None, key=lambda one: one[:2])
        if best is not None and best[0] >= _ENOUGH * len(keys):
            break
    if not found:
        return None
    best = max(found, key=lambda one: one[:2])
    return (best[2], best[3], best[0]) if best[0] >= matched + max(1, 0.2 * len(keys)) else None


def _candidates(keys: pd.Series, other: pd.Series) -> list[str]:
    """Rules worth trying: all without a parameter, and those whose parameter the names themselves show."""
    rules = ["upper", "lower", "remove blanks", "remove signs", "remove leading zeros"]
    for rule, names in (("remove", keys), ("add", other)):
        rules += [f"{rule} prefix {one}" for one in _heads(names)]
    tails = [_common(keys.str[::-1])[::-1]]
    tails += [found[0] for found in [re.search(r"[-_./][A-Za-z0-9]+$", keys.iloc[0])] if found]
    rules += [f"remove suffix {one}" for one in tails if one and not re.search(r"\s", one) and not one.isdigit()]
    lengths = set(other.str.len())
    if len(lengths) == 1 and (other.str.fullmatch(r"\d+").all()) and 1 < (length := lengths.pop()) < 100:
        rules.append(f"pad {length}")
    return list(dict.fromkeys(rules))


def _common(names: pd.Series) -> str:
    """What all names begin with."""
    first, last = names.min(), names.max()
    return next((first[:n] for n in range(len(first), 0, -1) if last.startswith(first[:n])), "")


def _heads(names: pd.Series) -> Iterable[str]:
    common = _common(names)
    letters = re.match(r"[^\d\s]+", common)
    return [letters[0]] if letters and (names != letters[0]).all() else []
