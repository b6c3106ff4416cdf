"""Answers come back: from a filled list to the lake and the desk database."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sqlalchemy import Engine

from qma_predict.data.files import on_disk
from qma_predict.data.ingest import take
from qma_predict.data.lake import Lake
from qma_predict.data.sources import file_id
from qma_predict.data.values import TIME
from qma_predict.errors import DamagedList
from qma_predict.line import Line
from qma_predict.publish.lists.desk import record_answers
from qma_predict.publish.lists.desk_tables import ISSUE_ANSWERS
from qma_predict.publish.pages.words import counted
from qma_predict.review.answer_checks import UNIT, Listed, checked, listed_units
from qma_predict.review.answer_files import answers_in, issue_answers_in, read_answers, source_of
from qma_predict.review.answer_results import inspections_of
from qma_predict.review.issue_answers import ISSUE, checked_issues, told_issues

__all__ = ["Imported", "Refused", "import_answers", "imported_words", "read_answers"]

SHOWN = 20
"""Refused rows that `imported_words` tells by themselves."""


class Refused(NamedTuple):
    """A row that was not taken; `sheet` is empty for CSV, `row` is as a spreadsheet numbers it."""

    sheet: str
    row: int
    reason: str


@dataclass(frozen=True)
class Imported:
    """What became of the answers of a file: rows = accepted + duplicates + refused.

    Attributes
    ----------
    path : str
    rows : int
        Rows with a result or a comment, and issues with an owner or a day; `empty` have none.
    accepted, duplicates : int
        Answers that were new, and rows that say what was answered already.
    refused : tuple of Refused
        All are in the lake's table `quarantine` as well.
    results : int
        Rows of `inspections` that came of it.
    issues : int
        Of the accepted, those that say who looks after an issue.
    damaged : tuple of str
        Lists that are answered and damaged, and what to do.
    """

    path: str
    rows: int
    accepted: int
    duplicates: int
    refused: tuple[Refused, ...]
    empty: int
    results: int
    issues: int = 0
    damaged: tuple[str, ...] = ()


def import_answers(engine: Engine, lake: Lake, line: Line, folder: Path, file: Path, *, now: datetime) -> Imported:
    """Take the answers of a filled list into the lake and the desk database; the same file again changes nothing.

    A changed answer is a correction, with a later moment. Results become inspections at the gate unless the line
    wants them confirmed there (`list.confirm`); owners and days of issues are shown again by the next lists
    (`qma_predict.review.issue_answers.owners`). Stopped anywhere and run again with the same file, nothing is lost
    and nothing is taken twice. Of a list that is damaged rows are refused; once it is restored, the same file brings
    them, too.

    Parameters
    ----------
    engine : Engine
        Of `qma_predict.publish.lists.desk.open_desk`.
    lake : Lake
        Of this line. The caller sees to it that one process at a time writes to it.
    line : Line
    folder : Path
        ``<home>/published/<line>``, with the lists that are answered.
    file : Path
        As `read_answers` reads it.
    now : datetime, UTC
        When answers were given that do not say it, and from when on they are known.

    Raises
    ------
    SourceError
        If the file cannot be read, or is no filled list.
    LakeError, HomeError
        If the lake or the desk database cannot be written.
    """
    # known from now on, as recorded_at says; a later moment in the book would keep this day's list from its own data
    as_of = line.as_of(line.current_business_date(now))
    filled = _Filled(file, on_disk(str(file)).load(), now, as_of)
    units = _take_units(engine, lake, line, folder, filled)
    issues = _take_issues(engine, lake, folder, filled)
    refused = pd.concat([units.refused, issues.refused], ignore_index=True)
    rows, accepted = units.rows + issues.rows, units.accepted + issues.accepted
    return Imported(
        str(file),
        rows,
        accepted,
        rows - accepted - len(refused),
        tuple(Refused(*row) for row in refused[["sheet", "row", "reason"]].itertuples(index=False, name=None)),
        units.empty + issues.empty,
        units.results,
        issues.accepted,
        tuple(str(error) for error in (units.damaged | issues.damaged).values()),
    )


@dataclass(frozen=True)
class _Filled:
    """A file that came back: `now` is when, and `as_of` our first sight of its rows as the lake's book has it."""

    path: Path
    content: bytes
    now: datetime
    as_of: datetime

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class _Taken(NamedTuple):
    """What became of the rows of a file that answer for units, or of those that answer for issues."""

    rows: int
    accepted: int
    refused: pd.DataFrame
    empty: int
    damaged: dict[str, DamagedList]
    results: int = 0


def _take_units(engine: Engine, lake: Lake, line: Line, folder: Path, filled: _Filled) -> _Taken:
    rows, unreadable = answers_in(filled.path, filled.content)
    listed = listed_units(folder, set(rows["list_id"].dropna()))
    identity = _identity(filled.content, listed, line)
    before = _answered_before(lake, "answers", identity)
    answers, refused = checked(rows, listed, before, line, filled.now)
    refused = pd.concat([unreadable, refused], ignore_index=True)
    count = len(rows) + len(unreadable)
    accepted = _take(lake, "answers", identity, answers, refused, count, filled)
    known, results = lake.read("answers"), 0
    if not line.list.confirm:
        found = inspections_of(known, answers, listed.units, line)
        source, none = source_of(filled.path, "inspections"), _as_refused(refused.head(0))
        taken = take(lake, source, f"{identity} results", found, none, count=len(found), as_of=filled.as_of)
        results = taken.accepted
    record_answers(engine, _as_written(known, answers, UNIT, filled).rename(columns={"text": "comment"}))
    return _Taken(count, accepted, refused, rows.attrs["empty"], listed.damaged, results)


def _take_issues(engine: Engine, lake: Lake, folder: Path, filled: _Filled) -> _Taken:
    rows = issue_answers_in(filled.path, filled.content)
    told = told_issues(folder, set(rows["list_id"].dropna()))
    against = f"issues {told.issues.astype('str').to_numpy().tolist()} without {sorted(told.damaged)}"
    identity = file_id(filled.content, against.encode())
    before = _answered_before(lake, "issue_answers", identity)
    answers, refused = checked_issues(rows, told, before, filled.now)
    accepted = 0
    if len(rows):
        accepted = _take(lake, "issue_answers", identity, answers, refused, len(rows), filled)
        written = _as_written(lake.read("issue_answers"), answers, ISSUE, filled)
        due = written["due"].map(date.fromisoformat, na_action="ignore").astype(object)
        record_answers(engine, written.assign(due=due), ISSUE_ANSWERS)
    return _Taken(len(rows), accepted, refused, rows.attrs["empty"], told.damaged)


def _answered_before(lake: Lake, table: str, identity: str) -> pd.DataFrame:
    """Answers that a file is held against: of the same file again, or after a stop, what it said then."""
    before = lake.read(table)
    return before[before["file_id"] == identity] if lake.taken(table, [identity]) else before


def _take(
    lake: Lake, table: str, identity: str, answers: pd.DataFrame, refused: pd.DataFrame, count: int, filled: _Filled
) -> int:
    rows, source = _as_taken(answers, filled.now), source_of(filled.path, table)
    return take(lake, source, identity, rows, _as_refused(refused), count=count, as_of=filled.as_of).accepted


def imported_words(done: Imported) -> str:
    """What an import did, in lines.

    Examples
    --------
    >>> refused = (Refused("Units", 7, "unit_id: not among the units to check of that list: 'u9'"),)
    >>> print(imported_words(Imported("filled.xlsx", 5, 3, 1, refused, 30, 3)))
    filled.xlsx: 5 rows with an answer, 30 without: 3 accepted, 1 duplicate, 1 refused; 3 results at the gate
      Units, row 7: unit_id: not among the units to check of that list: 'u9'
    """
    lines = [
        f"{done.path}: {counted(done.rows, 'row')} with an answer, {done.empty:,} without: {done.accepted:,} accepted, "
        f"{counted(done.duplicates, 'duplicate')}, {len(done.refused):,} refused; "
        f"{counted(done.results, 'result')} at the gate"
        + (f", {counted(done.issues, 'issue')} with an owner or a day" if done.issues else "")
    ]
    for one in done.refused[:SHOWN]:
        lines.append(f"  {f'{one.sheet}, ' if one.sheet else ''}row {one.row}: {one.reason}")
    if len(done.refused) > SHOWN:
        lines.append(f"  and {len(done.refused) - SHOWN:,} more, all in the lake's table quarantine")
    return "\n".join([*lines, *done.damaged])


def _identity(content: bytes, listed: Listed, line: Line) -> str:
    """Of the file and of what it was checked against: a row that was refused may be good once its list is there."""
    lists = listed.units[["list_id", "revisions"]].drop_duplicates().sort_values("list_id")
    against = f"answers {lists.to_numpy().tolist()} {line.gate.void}"
    if listed.damaged:  # restored, it has no other number of revisions
        against += f" without {sorted(error.path.name for error in listed.damaged.values())}"
    return file_id(content, against.encode())


def _as_taken(answers: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Answers as rows of the lake's table, with their places."""
    rows = answers.rename(columns={"comment": "text", "sheet": "column"})
    recorded = rows["answered_at"].clip(lower=pd.Timestamp(now)).astype(TIME)
    return rows.assign(occurred_at=rows["answered_at"], recorded_at=recorded).reset_index(drop=True)


def _as_refused(refused: pd.DataFrame) -> pd.DataFrame:
    return refused.rename(columns={"sheet": "column"})[["row", "column", "reason", "content"]]


def _as_written(known: pd.DataFrame, answers: pd.DataFrame, of: Sequence[str], filled: _Filled) -> pd.DataFrame:
    """Answers of this file that are in the lake, as the desk database has them."""
    key = [*of, "answered_at"]
    rows = known.drop_duplicates(key, keep="last").merge(answers[[*key, "sheet", "row"]], on=key)
    return rows.rename(columns={"recorded_at": "imported_at"}).assign(file_digest=filled.digest)
