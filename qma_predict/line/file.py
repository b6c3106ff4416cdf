"""Reading a `line.toml`, and saying what is wrong with it."""

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping
from datetime import time
from glob import escape
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from qma_predict.errors import LineError
from qma_predict.line.definition import VARIABLE, Line, Source


def load_line(line: str | Path, environ: Mapping[str, str] | None = None) -> Line:
    """Line of a folder that has a `line.toml`, or of the folder of that name under `models/`.

    Parameters
    ----------
    line : str or Path
        A folder, or the name of a folder below `models/` in the current directory.
    environ : mapping, optional
        Where `${NAME}` in a source's path is looked up; the process environment by default. Only names
        listed under `variables` may occur.

    Raises
    ------
    LineError
        With the file, and for each key what was found and what was expected: all keys that are wrong in
        themselves at once, then all that contradict each other, then all variables that are not set.
    """
    file = _find(line)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise LineError(f"{file}: cannot be read: {error.strerror}. Check its permissions.") from error
    return parse_line(text, file, environ)


def parse_line(text: bytes, file: Path, environ: Mapping[str, str] | None = None) -> Line:
    """Line that this text defines, as `load_line` reads it from a file.

    Parameters
    ----------
    text : bytes
    file : Path
        From whose folder relative paths are taken; messages name it.
    environ : mapping, optional
        As for `load_line`.

    Raises
    ------
    LineError
        As `load_line`.
    """
    try:
        data = tomllib.loads(text.decode("utf-8-sig"))  # some editors on Windows write a byte order mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LineError(f"{file}: not valid TOML: {error}. Expected UTF-8 text in TOML syntax.") from error
    try:
        parsed = Line.model_validate(data)
    except ValidationError as error:
        wrong = [one for one in error.errors(include_url=False) if one["type"] != _FOLLOWS]
        raise _all_wrong(file, [_explain(one) for one in wrong]) from error
    environ = os.environ if environ is None else environ
    told = parsed.messages.model_copy(update={"to": _addresses(parsed.messages.to, environ)})
    resolved = parsed.model_copy(update={"sources": _resolve(file, parsed, environ), "messages": told})
    resolved._text = text
    resolved._digest = hashlib.sha256(text).hexdigest()
    resolved._file = str(file)
    return resolved


def _find(line: str | Path) -> Path:
    tried = [Path(line) / "line.toml", Path("models") / line / "line.toml"]
    for file in tried:
        if file.is_file():
            return file
    known = sorted(path.parent.name for path in Path("models").glob("*/line.toml"))
    raise LineError(
        f"{line}: no such line. Expected a folder with a line.toml, or a name under {Path('models').resolve()} "
        f"(found there: {', '.join(known) or 'none'})."
    )


def _resolve(file: Path, line: Line, environ: Mapping[str, str]) -> tuple[Source, ...]:
    """Sources with full paths: variables replaced, and relative ones taken from the folder of `line.toml`."""
    used = {
        (i, key, name): environ.get(name)
        for i, source in enumerate(line.sources)
        for key in ("path", "url", "query")
        for name in VARIABLE.findall(getattr(source, key) or "")
    }
    unset = [
        f"sources[{i}].{key}: the environment variable {name} is not set, expected "
        f"{'the folder that holds the data' if key == 'path' else 'its value'}."
        for (i, key, name), value in used.items()
        if not value
    ]
    if unset:
        raise _all_wrong(file, unset)

    def full(path: str) -> str:
        # only what line.toml itself says is a pattern: a folder may be named "data [old]"
        replaced = VARIABLE.sub(lambda found: escape(environ[found[1]]), path)
        return replaced if "://" in replaced else os.path.join(escape(str(file.parent)), replaced)

    def resolved(source: Source) -> Source:
        if source.path is not None:
            return source.model_copy(update={"path": full(source.path)})
        url = VARIABLE.sub(lambda found: environ[found[1]], str(source.url))
        query = VARIABLE.sub(lambda found: environ[found[1]].replace("'", "''"), str(source.query))
        return source.model_copy(update={"url": url, "query": query})

    return tuple(resolved(source) for source in line.sources)


def _addresses(urls: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses with their variables replaced; one that is not set stays: for want of it no list may be missing."""
    return tuple(VARIABLE.sub(lambda found: environ.get(found[1]) or found[0], url) for url in urls)


def _all_wrong(file: Path, problems: list[str]) -> LineError:
    return LineError("\n".join([f"{file}:", *(f"  {line}" for problem in problems for line in problem.split("\n"))]))


_FOLLOWS = "default_factory_not_called"
"""A default that is made from a value which is wrong; that one is told."""

_EXPECTED = {
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "string_type": "text in quotes",
    "string_too_short": "text",
    "int_type": "a whole number",
}


def _explain(error: Any) -> str:
    """One problem of a `line.toml` as `key: what was found, what was expected`."""
    location, kind = error["loc"], error["type"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if kind == "extra_forbidden":
        known = list(_kind_at(location[:-1]).model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.0)
        return f"{where}: unknown key. The nearest known key is {near[0]!r}; known are {', '.join(known)}."
    if kind == "missing":
        return f"{where}: missing. It is required."
    expected = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if kind in _EXPECTED:
        expected = f"expected {_EXPECTED[kind]}"
    if kind == "value_error" and not location:  # of the whole line, with its keys already
        return expected
    if kind == "value_error" and hasattr(_kind_at(location), "model_fields"):  # of a whole section
        return f"{where}: {expected}."
    return f"{where}: found {_as_toml(error['input'])}, {expected}."


def _as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    return str(value).lower() if isinstance(value, bool | time) else repr(value)


def _kind_at(location: tuple[str | int, ...]) -> Any:
    """What is expected there: a section's class, or the type of a value."""
    kind: Any = Line
    for part in location:
        # a key of a section, or one of a tuple or dict of sections
        kind = kind.model_fields[part].annotation if hasattr(kind, "model_fields") else _section(kind)
    return kind


def _section(kind: Any) -> type[BaseModel] | None:
    return next((one for one in get_args(kind) if hasattr(one, "model_fields")), None)
