"""From the plant's files to the lake: in = accepted + duplicates + quarantined, for every file.

A batch of files is committed in this order: the rows that are refused (`quarantine`), the rows that are taken
together with the fact that their files are in (the table), the files' counts (`files`, the book). Stopped
anywhere and run again, what was refused stays refused, what was taken is not taken twice, and the rest is taken as
if it came for the first time.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import pandas as pd

from qma_predict.data.contract import TABLES, check, columns_of
from qma_predict.data.database import from_text
from qma_predict.data.files import Stamp
from qma_predict.data.lake import Lake
from qma_predict.data.sources import Piece, cells_of, pieces, rules
from qma_predict.data.versions import reconcile
from qma_predict.errors import SourceError
from qma_predict.line import Line, Source

log = logging.getLogger(__name__)

SHOWN = 10
"""Quarantined rows that an ingest tells by themselves."""

_CONFLICT = "conflict: another row has the same key and recorded_at but other values"

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
    """A piece of a source, a file or a part of an answer, that is not in the book under its stamp.

    `rows` fit the contract, `refused` do not; both name their place, the record's number in the file and the
    column of a cell that is a row by itself. A `repeat` has neither: its content is in already, so that all of them
    are duplicates. `watermark` is what the next question of a database starts from.
    """

    stamp: Stamp
    identity: str
    count: int
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)
    repeat: bool = False
    answered: bool = False
    watermark: str | None = None


def ingest(line: Line, lake: Lake, *, as_of: datetime, now: datetime, tried_again: bool = False) -> Ingested:
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
    tried_again : bool
        Whether what cannot be read is tried again at once, so that the books need not say that it could not be.

    Raises
    ------
    LakeError
        If the lake is damaged or cannot be written. Run again after the repair: nothing is taken twice.
    """
    book = lake.read("files")
    moment = max([pd.Timestamp(as_of), *book["ingested_at"]])
    done: list[tuple[str, Counts]] = []
    problems: list[tuple[str, str]] = []
    for source in line.sources:
        read_by = _rules(source, line.units)
        for batch in _batches(_new_files(source, line.units, book, pd.Timestamp(now), problems)):
            done += _write(lake, source, read_by, batch, moment)
    if problems and not tried_again:
        lake.append("problems", pd.DataFrame(problems, columns=["table", "problem"]).assign(ingested_at=moment))
    counts = tuple(one for _, one in done)
    return Ingested(counts, tuple(problem for _, problem in problems), _first_refused(lake, done))


def take(
    lake: Lake, source: Source, identity: str, rows: pd.DataFrame, refused: pd.DataFrame, *, count: int, as_of: datetime
) -> Counts:
    """Take rows of a file that were checked elsewhere, as `ingest` takes those of a source's files.

    Stopped anywhere and called again with the same file, nothing is lost and nothing is taken twice; a file that is
    in the book is a duplicate as a whole.

    Parameters
    ----------
    lake : Lake
        The caller sees to it that one process at a time writes to it.
    source : Source
        Table, and path for the books.
    identity : str
        Of the file's content and of what its rows were checked against.
    rows : DataFrame, shape (n_rows, n_columns)
        The table's columns, `occurred_at` and `recorded_at`, and the place of each: ``row`` and ``column``.
    refused : DataFrame, shape (n_refused, 4)
        ``row``, ``column``, ``reason`` and ``content``.
    count : int
        Rows of the file; those that are neither taken nor refused are duplicates.
    as_of : datetime, UTC
        Our first sight of the rows, as `ingest` has it.

    Raises
    ------
    LakeError
        If the lake is damaged or cannot be written.
    """
    book = lake.read("files")
    if identity in set(book["file_id"]):
        return Counts(source.table, source.place, count, 0, count, 0)
    file = _File((source.place, count, 0), identity, count, rows, refused)
    [(_, counts)] = _write(lake, source, _rules(source, {}), [file], max([pd.Timestamp(as_of), *book["ingested_at"]]))
    return counts


def _first_refused(lake: Lake, done: list[tuple[str, Counts]]) -> tuple[str, ...]:
    """Where and why rows of these files were refused, for the first few."""
    files = [identity for identity, counts in done if counts.quarantined]
    if not files:
        return ()
    rows = lake.of_files("quarantine", files, ["path", "row", "column", "reason"])
    rows = rows.sort_values(["path", "row", "column"]).head(SHOWN)
    places = (
        rows["row"].astype("str").where(rows["column"] == "", rows["row"].astype("str") + ", column " + rows["column"])
    )
    return tuple(
        f"{path}, row {place}: {why}" for path, place, why in zip(rows["path"], places, rows["reason"], strict=True)
    )


def _new_files(
    source: Source, units: Mapping[str, str], book: pd.DataFrame, now: pd.Timestamp, problems: list[tuple[str, str]]
) -> Iterator[_File]:
    """Read what of a source is not in the book yet; what cannot be read goes to `problems`."""
    same_rules = book[book["rules"] == _rules(source, units)]
    seen = set(zip(same_rules["path"], same_rules["size"], same_rules["modified_ns"], strict=True))
    counts = dict(zip(book["file_id"], book["rows"], strict=True))
    before = _watermark(same_rules)
    told = len(problems)

    def tell(error: SourceError) -> None:
        if (problem := (source.table, str(error))) not in problems[told:]:  # of an answer, each part has the same
            problems.append(problem)

    try:
        columns_of(source)
        for piece in pieces(source, before, units):
            if isinstance(piece, SourceError):
                tell(piece)
                continue
            try:
                stamped = piece.stamp()
                if stamped in seen and not piece.answered:
                    continue
                file = _read(piece, stamped, source, units, counts, now)
            except SourceError as error:
                tell(error)
                continue
            counts[file.identity] = file.count
            # the next question starts further on only if nothing of this answer is missing
            further = len(problems) == told and piece.watermark != before
            yield replace(file, answered=piece.answered, watermark=piece.watermark if further else None)
    except SourceError as error:
        tell(error)


def _rules(source: Source, units: Mapping[str, str]) -> str:
    where = f"{source.place} {source.query} {source.watermark}".encode()
    return hashlib.sha256(rules(source, units) + where).hexdigest()


def _watermark(book: pd.DataFrame) -> str | None:
    """From where a database is asked: the greatest watermark of the newest ingest that has one."""
    marked = book.dropna(subset=["watermark"])
    newest = marked.loc[marked["ingested_at"] == marked["ingested_at"].max(), "watermark"]
    return max(newest, key=from_text, default=None)


def _read(
    piece: Piece,
    stamped: Stamp,
    source: Source,
    units: Mapping[str, str],
    counts: Mapping[str, int],
    now: pd.Timestamp,
) -> _File:
    content = piece.load()
    if piece.stamp() != stamped:
        raise SourceError(f"{piece.path}: changed while it was read. Nothing of it was taken; the next ingest does.")
    if content.identity in counts:
        return _File(stamped, content.identity, counts[content.identity], repeat=True)
    raw = content.rows()
    try:
        cells, place = cells_of(raw, source)
        rows, reasons = check(cells, source, now, units)
    except SourceError as error:
        raise SourceError(f"{piece.path}: {error}") from error
    wrong = reasons != ""
    refused = place[wrong].assign(reason=reasons[wrong], content=_as_text(cells[wrong]))
    broken = raw.broken.rename_axis("row").reset_index().assign(column="")
    rows = pd.concat([rows, place], axis=1)[~wrong]
    refused = pd.concat([broken, refused], ignore_index=True)
    return _File(stamped, content.identity, len(cells) + len(broken), rows, refused)


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


def _write(
    lake: Lake, source: Source, read_by: str, batch: list[_File], moment: pd.Timestamp
) -> list[tuple[str, Counts]]:
    """Commit a batch and book its files; of an answer, parts that say nothing new are counted but not booked."""
    new = {file.identity: file for file in batch if not file.repeat}
    taken, refused = _commit(lake, source, new, moment) if new else ({}, {})
    counts, booked = [], []
    for file in batch:
        accepted, quarantined = (0, 0) if file.repeat else (taken.get(file.identity, 0), refused.get(file.identity, 0))
        duplicates = file.count - accepted - quarantined
        one = Counts(source.table, file.stamp[0], file.count, accepted, duplicates, quarantined)
        counts.append((file.identity, one))
        if accepted or quarantined or file.watermark or not file.answered:
            named = {"file_id": file.identity, "size": file.stamp[1], "modified_ns": file.stamp[2]}
            booked.append(asdict(one) | named | {"watermark": file.watermark})
    if booked:
        lake.append("files", pd.DataFrame(booked).assign(rules=read_by, ingested_at=moment))
    log.info("ingest %s: %s rows of %s files", source.table, f"{sum(one.rows for _, one in counts):,}", len(counts))
    return counts


def _commit(
    lake: Lake, source: Source, files: Mapping[str, _File], moment: pd.Timestamp
) -> tuple[dict[str, int], dict[str, int]]:
    """Commit what is refused, then what is taken; how many rows that were, by file."""
    # of an interrupted ingest: what was refused stays refused, what was taken is a duplicate of itself now
    earlier = lake.of_files("quarantine", files, _PLACE)
    before = lake.of_files(source.table, lake.taken(source.table, files), ["file_id"])
    rows = _without(_together({key: file.rows for key, file in files.items()}), earlier)
    refused = _without(_together({key: file.refused for key, file in files.items()}), earlier)
    if any(file.answered for file in files.values()):
        rows, refused = _not_refused_before(lake, source, files, rows, refused)
    verdict = reconcile(rows, lake.with_keys_of(source.table, rows), TABLES[source.table])
    accepted, conflicts = rows[verdict == "accepted"], rows[verdict == "conflict"]
    refused = pd.concat([refused, _told(conflicts)], ignore_index=True)
    if len(refused):
        paths = {key: file.stamp[0] for key, file in files.items()}
        origin = {"table": source.table, "path": refused["file_id"].map(paths), "ingested_at": moment}
        lake.append("quarantine", refused.assign(**origin))
    if len(accepted):
        lake.append(source.table, accepted.assign(ingested_at=moment), list(files))
    return _tally(before, accepted), _tally(earlier, refused)


def _not_refused_before(
    lake: Lake, source: Source, files: Mapping[str, _File], rows: pd.DataFrame, refused: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of answers without those that an earlier answer had and that were refused: they are duplicates.

    A database says the same rows again, in other parts and under other numbers.
    """
    known = lake.refused_from(source.table, source.place)
    known = known[~known["file_id"].isin(list(files))]
    conflicts = known.loc[known["reason"] == _CONFLICT, "content"]
    if len(conflicts) and len(rows):
        rows = rows[~pd.Series(_as_text(rows.drop(columns=_PLACE)), index=rows.index).isin(conflicts)]
    said = pd.MultiIndex.from_frame(refused[["reason", "content"]])
    return rows, refused[~said.isin(pd.MultiIndex.from_frame(known[["reason", "content"]]))]


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
    return conflicts[_PLACE].assign(reason=_CONFLICT, content=_as_text(conflicts.drop(columns=_PLACE)))
