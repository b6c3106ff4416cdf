"""From the plant's files to the lake: in = accepted + duplicates + quarantined, for every file."""

import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from qma_predict.data.contract import TABLES, check, reconcile
from qma_predict.data.lake import Lake
from qma_predict.data.sources import file_id, find_files, read_file
from qma_predict.errors import LakeError, SourceError
from qma_predict.line import Line, Source

log = logging.getLogger(__name__)

COUNTS = ["rows", "accepted", "duplicates", "quarantined"]

BATCH_ROWS = 2_000_000
"""Rows that one commit takes at most, beyond its first file: what bounds the memory of an ingest."""


@dataclass(frozen=True)
class Counts:
    """What became of the rows of a file: rows = accepted + duplicates + quarantined."""

    table: str
    path: str
    rows: int
    accepted: int
    duplicates: int
    quarantined: int


@dataclass(frozen=True)
class Ingested:
    """What an ingest did.

    Attributes
    ----------
    files : tuple of Counts
        The files that were new.
    problems : tuple of str
        Sources and files that could not be read; nothing of them was taken, and they are tried again next time.
    """

    files: tuple[Counts, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Export:
    """A file of a source that is not in the book yet."""

    path: Path
    identity: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class _Checked:
    """Its rows that fit the contract, and those that do not, indexed by their number in the file."""

    export: _Export
    rows: pd.DataFrame
    refused: pd.DataFrame

    @property
    def count(self) -> int:
        return len(self.rows) + len(self.refused)


def ingest(line: Line, lake: Lake, *, as_of: datetime, now: datetime) -> Ingested:
    """Take the sources' new files into the lake; the same file again adds nothing.

    Parameters
    ----------
    line : Line
    lake : Lake
        Of this line. The caller sees to it that one process at a time writes to it.
    as_of : datetime, UTC
        Our first sight of the rows: a night's `as_of`, or now. It never goes back: if a later ingest was
        made before, that moment is used.
    now : datetime, UTC
        Our clock, by which times in the future are told.
    """
    book = _book(lake)
    moment = max([pd.Timestamp(as_of), *book["ingested_at"]])
    done: list[pd.DataFrame] = []
    problems: list[tuple[str, str]] = []
    for source in line.sources:
        try:
            exports = _new_exports(source, book)
        except SourceError as error:
            problems.append((source.table, str(error)))
            continue
        fresh = {export.identity: export for export in exports if export.identity not in set(book["file_id"])}
        for batch in _batches(lake, source, list(fresh.values()), pd.Timestamp(now), problems):
            done.append(_write(lake, source, batch, moment))
            counts = done[-1][COUNTS].sum()
            log.info("ingest %s: %s", source.table, ", ".join(f"{value:,} {name}" for name, value in counts.items()))
        repeats = [export for export in exports if export not in fresh.values()]
        if repeats:
            done.append(_write_repeats(lake, source, repeats, moment))
    if problems:
        lake.append("problems", pd.DataFrame(problems, columns=["table", "problem"]).assign(ingested_at=moment), [])
    files = tuple(Counts(**row) for book in done for row in book[["table", "path", *COUNTS]].to_dict("records"))
    return Ingested(files, tuple(problem for _, problem in problems))


def _book(lake: Lake) -> pd.DataFrame:
    """Every file that is in, with its counts."""
    return lake.read("files")


def _new_exports(source: Source, book: pd.DataFrame) -> list[_Export]:
    """Files of a source that are not in the book with this size and time of change, read by these rules."""
    book = book[book["rules"] == _rules(source)]
    seen = set(zip(book["path"], book["size"], book["modified_ns"], strict=True))
    exports = []
    for path in find_files(source):
        stat = path.stat()
        if (str(path), stat.st_size, stat.st_mtime_ns) not in seen:
            exports.append(_Export(path, file_id(path, source), stat.st_size, stat.st_mtime_ns))
    return exports


def _rules(source: Source) -> str:
    return hashlib.sha256(source.model_dump_json().encode()).hexdigest()


def _batches(
    lake: Lake, source: Source, exports: list[_Export], now: pd.Timestamp, problems: list[tuple[str, str]]
) -> Iterator[list[_Checked]]:
    """Checked files in batches of about `BATCH_ROWS` rows.

    Files of a commit that was interrupted before its books were written come first and together: only then is
    it told again, row by row, what was accepted and what was refused.
    """
    interrupted = [export for export in exports if lake.has(source.table, export.identity)]
    others = [export for export in exports if export not in interrupted]
    yield from _filled(source, interrupted, now, problems, limit=math.inf)
    yield from _filled(source, others, now, problems, limit=BATCH_ROWS)


def _filled(
    source: Source, exports: list[_Export], now: pd.Timestamp, problems: list[tuple[str, str]], limit: float
) -> Iterator[list[_Checked]]:
    batch: list[_Checked] = []
    for export in exports:
        try:
            checked = _check(export, source, now)
        except SourceError as error:
            problem = str(error) if str(export.path) in str(error) else f"{export.path}: {error}"
            problems.append((source.table, problem))
            continue
        if batch and sum(file.count for file in batch) + checked.count > limit:
            yield batch
            batch = []
        batch.append(checked)
    if batch:
        yield batch


def _check(export: _Export, source: Source, now: pd.Timestamp) -> _Checked:
    raw = read_file(export.path, source)
    rows, reasons = check(raw.rows, source, now)
    wrong = (reasons != "").to_numpy()
    refused = pd.DataFrame({"reason": reasons[wrong], "content": _as_text(raw.rows[wrong])}, dtype="str")
    return _Checked(export, rows[~wrong], pd.concat([raw.broken, refused]))


def _as_text(rows: pd.DataFrame) -> list[str]:
    """Each row as JSON, as the plant wrote it."""
    text = rows.to_json(orient="records", lines=True, date_format="iso", force_ascii=False)
    return [line for line in text.split("\n") if line]


def _write(lake: Lake, source: Source, batch: list[_Checked], moment: pd.Timestamp) -> pd.DataFrame:
    """Commit a batch: its rows, then what was refused, then its files' counts.

    Stopped in between and run again, commits that are there are left as they are, and the counts are taken
    from what the lake holds.
    """
    identities = [file.export.identity for file in batch]
    paths = {file.export.identity: str(file.export.path) for file in batch}
    rows = _together([file.rows for file in batch], identities)
    verdict = reconcile(rows, lake.rows_with_keys_of(source.table, rows), TABLES[source.table])
    conflicts = rows[verdict == "conflict"]
    told = conflicts[["file_id", "row"]].assign(
        reason="conflict: another row has the same key and recorded_at but other values",
        content=_as_text(conflicts.drop(columns=["file_id", "row"])),
    )
    refused = pd.concat([_together([file.refused for file in batch], identities), told], ignore_index=True)
    refused = refused.assign(table=source.table, path=refused["file_id"].map(paths), ingested_at=moment)
    accepted = rows[verdict == "accepted"].assign(ingested_at=moment)
    for name, part in ((source.table, accepted), ("quarantine", refused)):
        new = [identity for identity in identities if not lake.has(name, identity)]
        if new:
            lake.append(name, part[part["file_id"].isin(new)], new)
    counts = pd.DataFrame({
        "rows": [file.count for file in batch],
        "accepted": lake.count_by_file(source.table, identities),
        "quarantined": lake.count_by_file("quarantine", identities),
    })
    counts["duplicates"] = counts["rows"] - counts["accepted"] - counts["quarantined"]
    if (counts["duplicates"] < 0).any():
        raise LakeError(f"{lake.folder}: {source.table} holds more rows of a file than the file has. Restore the home.")
    return _write_book(lake, source, [file.export for file in batch], counts, moment)


def _together(frames: list[pd.DataFrame], identities: list[str]) -> pd.DataFrame:
    """Rows of several files in one frame, with the file and the row's number in it."""
    named = [
        frame.rename_axis("row").reset_index().assign(file_id=identity)
        for frame, identity in zip(frames, identities, strict=True)
    ]
    return pd.concat(named, ignore_index=True)


def _write_repeats(lake: Lake, source: Source, exports: list[_Export], moment: pd.Timestamp) -> pd.DataFrame:
    """Book files whose content is in already, under another name or time of change: all rows are duplicates."""
    rows = _book(lake).groupby("file_id")["rows"].first()
    exports = [export for export in exports if export.identity in rows.index]
    count = rows.loc[[export.identity for export in exports]].to_numpy()
    counts = pd.DataFrame({"rows": count, "accepted": 0, "duplicates": count, "quarantined": 0})
    return _write_book(lake, source, exports, counts, moment)


def _write_book(
    lake: Lake, source: Source, exports: list[_Export], counts: pd.DataFrame, moment: pd.Timestamp
) -> pd.DataFrame:
    files = counts.assign(
        file_id=[export.identity for export in exports],
        table=source.table,
        path=[str(export.path) for export in exports],
        size=[export.size for export in exports],
        modified_ns=[export.modified_ns for export in exports],
        rules=_rules(source),
        ingested_at=moment,
    )
    if len(files):
        lake.append("files", files, [])
    return files
