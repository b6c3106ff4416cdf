"""From the plant's files to the lake: in = accepted + duplicates + quarantined, for every file.

A batch of files is committed in this order: the rows that are refused (`quarantine`), the rows that are taken
together with the fact that their files are in (the table), the files' counts (`files`, the book). Stopped
anywhere and run again, what was refused stays refused, what was taken is not taken twice, and the rest is taken as
if it came for the first time.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import pandas as pd

from qma_predict.data.contract import TABLES, check, columns_of
from qma_predict.data.lake import Lake
from qma_predict.data.sources import cells_of, file_id, find_files, load, parse, stamp
from qma_predict.data.versions import reconcile
from qma_predict.errors import SourceError
from qma_predict.line import Line, Source

log = logging.getLogger(__name__)

SHOWN = 10
"""Quarantined rows that an ingest tells by themselves."""

_PLACE = ["file_id", "row", "column"]

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
    refused : tuple of str
        The first few quarantined rows, with file, row and reason; all are in the lake's table `quarantine`.
    """

    files: tuple[Counts, ...]
    problems: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """A file of a source that is not in the book under its stamp: path, size and time of change.

    `rows` fit the contract, `refused` do not; both name their place, the record's number in the file and the
    column of a cell that is a row by itself. A `repeat` has neither: its content is in already, so that all of them
    are duplicates.
    """

    stamp: tuple[str, int, int]
    identity: str
    count: int
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)
    repeat: bool = False


def ingest(line: Line, lake: Lake, *, as_of: datetime, now: datetime) -> Ingested:
    """Take the sources' new files into the lake; the same file again adds nothing.

    Parameters
    ----------
    line : Line
    lake : Lake
        Of this line. The caller sees to it that one process at a time writes to it.
    as_of : datetime, UTC
        Our first sight of the rows: a night's `as_of`, or now. It never goes back: if a later ingest took
        files before, that moment is used.
    now : datetime, UTC
        Our clock, by which times in the future are told.

    Raises
    ------
    LakeError
        If the lake is damaged or cannot be written. Run again after the repair: nothing is taken twice.
    """
    book = lake.read("files")
    moment = max([pd.Timestamp(as_of), *book["ingested_at"]])
    done: list[Counts] = []
    problems: list[tuple[str, str]] = []
    for source in line.sources:
        for batch in _batches(_new_files(source, book, pd.Timestamp(now), problems)):
            done += _write(lake, source, batch, moment)
    if problems:
        lake.append("problems", pd.DataFrame(problems, columns=["table", "problem"]).assign(ingested_at=moment))
    return Ingested(tuple(done), tuple(problem for _, problem in problems), _first_refused(lake, done))


def _first_refused(lake: Lake, done: list[Counts]) -> tuple[str, ...]:
    """Where and why rows of these files were refused, for the first few."""
    paths = {counts.path for counts in done if counts.quarantined}
    if not paths:
        return ()
    rows = lake.read("quarantine")
    rows = rows[rows["path"].isin(paths)].sort_values(["path", "row", "column"]).head(SHOWN)
    places = (
        rows["row"].astype("str").where(rows["column"] == "", rows["row"].astype("str") + ", column " + rows["column"])
    )
    return tuple(
        f"{path}, row {place}: {why}" for path, place, why in zip(rows["path"], places, rows["reason"], strict=True)
    )


def _new_files(
    source: Source, book: pd.DataFrame, now: pd.Timestamp, problems: list[tuple[str, str]]
) -> Iterator[_File]:
    """Read the files of a source that are not in the book yet; what cannot be read goes to `problems`."""
    try:
        columns_of(source)
        paths = find_files(source)
    except SourceError as error:
        problems.append((source.table, str(error)))
        return
    same_rules = book[book["rules"] == _rules(source)]
    seen = set(zip(same_rules["path"], same_rules["size"], same_rules["modified_ns"], strict=True))
    counts = dict(zip(book["file_id"], book["rows"], strict=True))
    for path in paths:
        try:
            if (stamped := stamp(path)) in seen:
                continue
            file = _read(path, stamped, source, counts, now)
        except SourceError as error:
            problems.append((source.table, str(error)))
            continue
        counts[file.identity] = file.count
        yield file


def _rules(source: Source) -> str:
    return hashlib.sha256(source.model_dump_json().encode()).hexdigest()


def _read(
    path: Path, stamped: tuple[str, int, int], source: Source, counts: Mapping[str, int], now: pd.Timestamp
) -> _File:
    content = load(path)
    identity = file_id(content, source)
    if identity in counts:
        return _File(stamped, identity, counts[identity], repeat=True)
    raw = parse(path, content, source)
    try:
        cells, place = cells_of(raw, source)
        rows, reasons = check(cells, source, now)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    wrong = reasons != ""
    refused = place[wrong].assign(reason=reasons[wrong], content=_as_text(cells[wrong]))
    broken = raw.broken.rename_axis("row").reset_index().assign(column="")
    rows = pd.concat([rows, place], axis=1)[~wrong]
    return _File(stamped, identity, len(cells) + len(broken), rows, pd.concat([broken, refused], ignore_index=True))


def _as_text(rows: pd.DataFrame) -> list[str]:
    """Each row as JSON."""
    text = rows.to_json(orient="records", lines=True, date_format="iso", force_ascii=False)
    return [line for line in text.split("\n") if line]


def _batches(files: Iterable[_File]) -> Iterator[list[_File]]:
    batch: list[_File] = []
    rows = 0
    for file in files:
        if batch and rows + file.count > BATCH_ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(file)
        rows += file.count
    if batch:
        yield batch


def _write(lake: Lake, source: Source, batch: list[_File], moment: pd.Timestamp) -> list[Counts]:
    """Commit a batch and book its files."""
    new = {file.identity: file for file in batch if not file.repeat}
    taken, refused = _commit(lake, source, new, moment) if new else ({}, {})
    counts = []
    for file in batch:
        accepted, quarantined = (0, 0) if file.repeat else (taken.get(file.identity, 0), refused.get(file.identity, 0))
        duplicates = file.count - accepted - quarantined
        counts.append(Counts(source.table, file.stamp[0], file.count, accepted, duplicates, quarantined))
    book = pd.DataFrame([asdict(one) for one in counts]).assign(
        file_id=[file.identity for file in batch],
        size=[file.stamp[1] for file in batch],
        modified_ns=[file.stamp[2] for file in batch],
        rules=_rules(source),
        ingested_at=moment,
    )
    lake.append("files", book)
    log.info("ingest %s: %s rows of %s files", source.table, f"{book['rows'].sum():,}", len(book))
    return counts


def _commit(
    lake: Lake, source: Source, files: Mapping[str, _File], moment: pd.Timestamp
) -> tuple[dict[str, int], dict[str, int]]:
    """Commit what is refused, then what is taken; how many rows that were, by file."""
    # of an interrupted ingest: what was refused stays refused, what was taken is a duplicate of itself now
    earlier = lake.of_files("quarantine", files, _PLACE)
    before = lake.of_files(source.table, lake.taken(source.table, files), ["file_id"])
    rows = _without(_together({key: file.rows for key, file in files.items()}), earlier)
    verdict = reconcile(rows, lake.with_keys_of(source.table, rows), TABLES[source.table])
    accepted, conflicts = rows[verdict == "accepted"], rows[verdict == "conflict"]
    refused = _without(_together({key: file.refused for key, file in files.items()}), earlier)
    refused = pd.concat([refused, _told(conflicts)], ignore_index=True)
    if len(refused):
        paths = {key: file.stamp[0] for key, file in files.items()}
        origin = {"table": source.table, "path": refused["file_id"].map(paths), "ingested_at": moment}
        lake.append("quarantine", refused.assign(**origin))
    if len(accepted):
        lake.append(source.table, accepted.assign(ingested_at=moment), list(files))
    return _tally(before, accepted), _tally(earlier, refused)


def _together(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of several files in one frame, with the file."""
    return pd.concat([frame.assign(file_id=identity) for identity, frame in frames.items()], ignore_index=True)


def _without(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Rows that are not among others of the same file and place."""
    if others.empty:
        return rows
    return rows[~pd.MultiIndex.from_frame(rows[_PLACE]).isin(pd.MultiIndex.from_frame(others[_PLACE]))]


def _tally(*frames: pd.DataFrame) -> dict[str, int]:
    return pd.concat([frame["file_id"] for frame in frames]).value_counts().to_dict()


def _told(conflicts: pd.DataFrame) -> pd.DataFrame:
    why = "conflict: another row has the same key and recorded_at but other values"
    return conflicts[_PLACE].assign(reason=why, content=_as_text(conflicts.drop(columns=_PLACE)))
