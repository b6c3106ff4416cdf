"""Files of a source on a disk or at a URL: found, told apart by their stamps, and read at once."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob, has_magic
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from qma_predict.errors import SourceError
from qma_predict.line import Source
from qma_predict.line.definition import without_password

T = TypeVar("T")

Stamp = tuple[str, int, int]
"""Path, size [bytes] and time of change [ns] of a file: one with the same stamp is not read again."""

FOREIGN = (Exception,)
"""What a driver of a filesystem or database may raise: they are many, and each has errors of its own."""

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified")
_SUMS = ("ETag", "etag", "content_hash", "md5Hash", "checksum", "Content-MD5", "Digest")

_EMPTY_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class File:
    """A file that was found: its path or URL, how to stamp and load it, and what its folders say of its rows.

    `partition` has the value of each column that stands in the names of folders (`site=A`), which the file itself may
    lack.
    """

    path: str
    stamp: Callable[[], Stamp]
    load: Callable[[], bytes]
    partition: Mapping[str, str | None]


def find_files(source: Source) -> list[File]:
    """Files of a source, sorted by name.

    Raises
    ------
    SourceError
        If there is none, or the place cannot be searched: away, refused, or of a kind for which a driver is missing.
    """
    pattern = str(source.path)
    files = _remote(pattern) if "://" in pattern else _local(pattern)
    if not files:
        raise SourceError(
            f"source of {source.table}: no file matches {source.place}. "
            "Check the path in line.toml, and that the export has run."
        )
    return files


def on_disk(path: str, partition: Mapping[str, str | None] | None = None) -> File:
    """A file of a disk or a mounted share."""

    def stamp() -> Stamp:
        found = patiently(lambda: os.stat(path), path)
        return path, found.st_size, found.st_mtime_ns

    def read() -> bytes:
        with open(path, "rb") as file:
            return file.read()

    return File(path, stamp, lambda: patiently(read, path), partition or {})


def _local(pattern: str) -> list[File]:
    names = sorted(name for name in glob(pattern, recursive=True) if not os.path.isdir(name))
    return [on_disk(name, _folders(name, pattern)) for name in names]


def _remote(pattern: str) -> list[File]:
    system, inner = file_system(pattern)
    place = without_password(pattern)

    def search() -> dict[str, dict[str, Any]]:
        system.invalidate_cache()  # else a listing of an earlier ingest
        if has_magic(inner):
            return system.glob(inner, detail=True)
        return {inner: system.info(inner)} if system.exists(inner) else {}

    found = patiently(search, place, FOREIGN)
    files = sorted((name, info) for name, info in found.items() if info.get("type") != "directory")
    return [at_url(system, name, info, pattern, _folders(name, inner)) for name, info in files]


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path on it.

    Raises
    ------
    SourceError
        If its driver is not installed, or nobody knows it.
    """
    import fsspec  # finds its drivers, which takes a moment

    place = without_password(url)
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise SourceError(
            f"{place}: a package for {url.partition('://')[0]}:// is missing: {error}. Install it beside qma-predict."
        ) from error
    except ValueError as error:
        raise SourceError(f"{place}: {error}. Expected a URL that fsspec knows, such as s3:// or sftp://.") from error
    except FOREIGN as error:  # some drivers connect here
        raise SourceError(f"{place}: cannot be reached: {error}. Check the URL, the network and the login.") from error


def at_url(system: Any, name: str, info: Mapping[str, Any], pattern: str, partition: Mapping[str, str | None]) -> File:
    """A file of an fsspec filesystem, as it was listed."""
    url = _url(system, name, pattern)

    def load() -> bytes:
        return patiently(lambda: system.cat_file(name), url, FOREIGN)

    def stamp() -> Stamp:
        modified = patiently(lambda: _modified(system, name, info), url, FOREIGN)
        size = info.get("size")
        if modified is None or size is None:  # the place knows neither time nor sum: the content tells
            content = load()
            return url, len(content), _number(content)
        return url, int(size), modified

    return File(url, stamp, load, partition)


def _url(system: Any, name: str, pattern: str) -> str:
    """URL of a file, for messages and the book."""
    if "://" in name:
        return without_password(name)
    scheme = pattern.partition("://")[0]
    stripped = str(system._strip_protocol(pattern)).lstrip("/")
    host = urlsplit(pattern).netloc
    if host and not stripped.startswith(host) and "::" not in pattern:  # of S3, the bucket is part of the name
        return without_password(f"{scheme}://{host}/{name.lstrip('/')}")
    return without_password(f"{scheme}://{name.lstrip('/')}")


def _modified(system: Any, name: str, info: Mapping[str, Any]) -> int | None:
    """Time of change [ns], or a number that stands for the sum of the content, or nothing."""
    for key in _TIMES:
        if isinstance(info.get(key), datetime | int | float):
            return _ns(info[key])
    try:
        return _ns(system.modified(name))
    except (NotImplementedError, KeyError, TypeError):  # what file systems raise that keep no such time
        sums = [str(info[key]) for key in _SUMS if info.get(key)]
        return _number(sums[0].encode()) if sums else None


def _ns(moment: datetime | float) -> int:
    if isinstance(moment, datetime):
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1e6) * 1000
    return int(moment * 1e9)


def _number(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big")


def _folders(name: str, pattern: str) -> dict[str, str | None]:
    """What the folders below the fixed part of a pattern say: `site=A` is the value A of the column site."""
    parts = re.sub(r"\[([*?\[])\]", "_", pattern).split("/")  # escaped signs are no pattern
    fixed = next((i for i, part in enumerate(parts) if has_magic(part)), len(parts) - 1)
    pairs = [part.split("=", 1) for part in name.split("/")[fixed:-1] if "=" in part]
    return {key: None if value == _EMPTY_PARTITION else unquote(value) for key, value in pairs if key}


def patiently(action: Callable[[], T], path: str, errors: tuple[type[Exception], ...] = (OSError,)) -> T:
    """Do what a file share may refuse for a moment: tried three times within two seconds.

    Parameters
    ----------
    action : callable
    path : str
        What is asked, for the message.
    errors : tuple of types
        What it raises if it is refused.

    Raises
    ------
    SourceError
        If it stays so.
    """
    wait = wait_exponential(multiplier=0.5)
    again = Retrying(retry=retry_if_exception_type(errors), stop=stop_after_attempt(3), wait=wait, reraise=True)
    try:
        return again(action)
    except errors as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{path}: cannot be read: {reason}. Check the share and its permissions.") from error
