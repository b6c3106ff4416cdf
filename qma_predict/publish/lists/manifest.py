"""The manifest of a published list: what the list says of itself, and the hash of every file."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from qma_predict.errors import DamagedList

MANIFEST = "manifest.json"
RECEIPT = "receipt.json"
VERSION = 2

_FIRST = {"revision": 1, "reason": None, "replaces": None}


def manifest_bytes(
    business_date: date,
    contents: Mapping[str, bytes],
    facts: Mapping[str, Any],
    *,
    revision: int = 1,
    reason: str | None = None,
    replaces: str | None = None,
) -> bytes:
    """The manifest as a file; ``replaces`` is the SHA-256 of the manifest that this one takes the place of."""
    return as_json({
        "manifest_version": VERSION,
        "business_date": business_date.isoformat(),
        "revision": revision,
        "reason": reason,
        "replaces": replaces,
        "facts": facts,
        "files": _entries(contents),
    })  # fmt: skip


def receipt_bytes(receipt: Mapping[str, Any], manifest: bytes) -> bytes:
    """What depends on the clock as a file, which also names the manifest."""
    return as_json({**receipt, "manifest_sha256": sha256(manifest)})


def verify(path: Path) -> dict[str, Any]:
    """Return the manifest of a published list after comparing every file with its hash.

    Parameters
    ----------
    path : Path
        A date of a line's folder, or one of the revisions.

    Returns
    -------
    dict
        With ``revision``, 1 in lists of earlier versions of the program, ``reason`` and ``replaces``.

    Raises
    ------
    DamagedList
        Anything is missing, cannot be read or differs; the message names every such file.
    """
    whole = path.resolve()  # once: a list that is replaced meanwhile is still read to its end
    manifest, files, wrong = _read(whole)
    day, _, number = whole.name.partition(".r")
    if manifest.get("business_date") != day:
        wrong.append(f"{MANIFEST} is of business date {manifest.get('business_date')}")
    if number and str(manifest["revision"]) != number:
        wrong.append(f"{MANIFEST} is of revision {manifest['revision']}")
    for name, expected in sorted(files.items()):
        try:
            found = sha256((whole / name).read_bytes())
        except FileNotFoundError:
            wrong.append(f"{name} is missing")
        except OSError as error:
            wrong.append(f"{name} cannot be read ({error.strerror})")
        else:
            if found != expected:
                wrong.append(f"{name} has SHA-256 {found[:12]}..., expected {expected[:12]}...")
    if wrong:
        raise DamagedList(whole, wrong)
    return manifest


def sealed(path: Path) -> dict[str, Any]:
    """Return the manifest of a published list after comparing it with its receipt, but no other file with its hash.

    Parameters
    ----------
    path : Path
        As `verify` takes it.

    Raises
    ------
    DamagedList
        One of the two cannot be read, or it is not the manifest that was published.
    """
    whole = path.resolve()
    manifest, _, wrong = _read(whole)
    if wrong:
        raise DamagedList(whole, wrong)
    return manifest


def _read(whole: Path) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The manifest, the hash of each file by it, and what is wrong with it."""
    try:
        written = (whole / MANIFEST).read_bytes()
        manifest = json.loads(written)
        seal = json.loads((whole / RECEIPT).read_bytes())["manifest_sha256"]
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedList(whole, [f"{MANIFEST} or {RECEIPT} cannot be read ({error!r})"]) from error
    wrong = [] if sha256(written) == seal else [f"{MANIFEST} is not the one that {RECEIPT} names"]
    return _FIRST | manifest, files, wrong


def digest_of(path: Path) -> str:
    """SHA-256 of the manifest of a published list.

    Raises
    ------
    DamagedList
        If it cannot be read.
    """
    try:
        return sha256((path / MANIFEST).read_bytes())
    except OSError as error:
        raise DamagedList(path, [f"{MANIFEST} cannot be read ({error!r})"]) from error


def says(manifest: Mapping[str, Any], contents: Mapping[str, bytes], facts: Mapping[str, Any]) -> bool:
    """Whether a manifest is of these files and facts."""
    return bool(manifest["files"] == _entries(contents) and manifest["facts"] == json.loads(as_json(facts)))


def as_json(content: Mapping[str, Any]) -> bytes:
    """JSON that is the same for the same content."""
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _entries(contents: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    return {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in contents.items()}
