"""The digest of a published list: one message a night, sent also when nothing stands out.

Every address is sent a list, and each revision of it, once. What was sent is marked in
``<home>/messages/<line>/<business date>-r<revision>.json``, after the service has taken it: a process that is
stopped between the two sends that address the same message twice rather than never, and so does a mark that is
lost. A mark holds slow hashes of addresses, from which no password can be read.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from qma_predict.errors import PublicationError
from qma_predict.home import Home
from qma_predict.line import Line
from qma_predict.publish.messages.sending import Delivery, harmless, line_words, send_one
from qma_predict.publish.pages.facts import Facts, expected_words, kept_words, last_words, random_words, state_words
from qma_predict.publish.pages.words import counted, day_words, nights_words

PAGE = "risk_list.html"
MOST_ISSUES = 10
MOST_REASONS = 5
MOST_DAYS = 7
LOCK_SECONDS = 60.0
"""How long a sender waits for another one of the same list [s]."""


def tell(home: Home, line: Line, manifest: Mapping[str, Any], missed: Sequence[date] = ()) -> Delivery:
    """Send the digest of a published list to those of `line.messages.to` who have not had it.

    Parameters
    ----------
    home : Home
    line : Line
    manifest : mapping
        Of the published bundle, as `bundle.verify` and `bundle.read` return it.
    missed : sequence of date
        Business dates before it that were due and have no list.

    Returns
    -------
    Delivery
        With every failure in words; a list is published whether or not anybody can be told.
    """
    if not line.messages.to:
        return Delivery()
    mark = _mark(home, line, manifest["business_date"], manifest["revision"])
    try:
        title, body = digest(manifest, where=where(home, line, manifest), missed=missed)
        mark.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(mark.with_suffix(".lock"), timeout=LOCK_SECONDS):
            return _send_once(mark, line.messages.to, title, body)
    except (OSError, PublicationError) as error:  # a lock that is not released is an OSError, too
        return Delivery(failures=(f"{mark}: the digest may not have been sent: {error}",))


def is_told(home: Home, line: Line, business_date: date, revision: int) -> bool:
    """Whether a revision of a list was sent to as many addresses as the line has: to count them is quick."""
    return len(_marked(_mark(home, line, business_date, revision))) >= len(set(line.messages.to))


def where(home: Home, line: Line, manifest: Mapping[str, Any]) -> str:
    """Return where readers of a message find the page: below `messages.link`, or else in the home."""
    path = f"{manifest['business_date']}/{PAGE}"
    link = line.messages.link
    if link is None:
        return str(home.published(line.name) / path)
    return link + path if link.endswith(("/", "\\", "=")) else f"{link}/{path}"


def digest(manifest: Mapping[str, Any], *, where: str, missed: Sequence[date] = ()) -> tuple[str, str]:
    """Return a list in a few lines of plain text, as title and body.

    Parameters
    ----------
    manifest : mapping
        With ``revision``, ``reason`` and ``facts``: those of `Facts`, ``listed``, ``candidates`` and ``not_scored``
        [units], ``issues`` (a mapping an issue with the fields of `Issue`) and ``promises`` (a mapping an earlier
        list, newest first, as `last_words` reads them).
    where : str
        Address or path of the page.
    missed : sequence of date
        Business dates before it that were due and have no list.

    Raises
    ------
    PublicationError
        The facts are not those of a list of this version of the program.
    """
    given, facts = manifest["facts"], _facts(manifest["facts"])
    day = f"{day_words(facts.business_date)} {facts.business_date.year}"
    revision = manifest["revision"]
    name = f"{line_words(facts.plant, facts.line)}, {day}" + (f", revision {revision}" if revision > 1 else "")
    listed = given["listed"]
    title = f"Risk list {name}: {state_words(facts)}, {counted(listed, 'unit')} to check"
    parts = [
        f"Risk list {name}, valid until {facts.moments.words(facts.valid_until)} ({facts.timezone})",
        *([f"Replaces the list published before: {harmless(manifest['reason'])}"] if revision > 1 else []),
        _points(f"State: {state_words(facts)}", facts.state_reasons, MOST_REASONS),
        *([f"No list was made for {_days(missed)}"] if missed else []),
        f"To check: {listed:,} of {counted(given['candidates'], 'candidate')}",
        _expected(facts),
        _issues(given.get("issues", ()), facts),
        _not_scored(given["not_scored"]),
        *([_promises(given["promises"], facts)] if given.get("promises") else []),
        f"The list: {where}",
    ]
    return title, "\n\n".join(parts)


def _facts(given: Mapping[str, Any]) -> Facts:
    said = {name: given[name] for name in (field.name for field in fields(Facts)) if name in given}
    if isinstance(said.get("model"), Mapping):  # a manifest has all that is known of the model under this name
        said["model"] = said["model"]["contestant"]
    try:
        return TypeAdapter(Facts).validate_python(said)
    except ValidationError as error:
        raise PublicationError(
            f"list {given.get('list_id')}: its facts cannot be told ({error.error_count()} of them are missing or of "
            "another kind), expected a list of this version of the program"
        ) from error


def _days(days: Sequence[date]) -> str:
    """Dates in words; of many, the newest."""
    told = ", ".join(f"{day_words(day)} {day.year}" for day in days[-MOST_DAYS:])
    return told if len(days) <= MOST_DAYS else f"{counted(len(days), 'business date')}, the last of them {told}"


def _points(head: str, points: Sequence[str], most: int) -> str:
    """A head and a point a line; the empty line between them is what Markdown asks for before a list."""
    told = [f"- {harmless(point)}" for point in points[:most]]
    if len(points) > most:
        told.append(f"- and {len(points) - most:,} more, see the list")
    return f"{head}\n\n" + "\n".join(told) if told else head


def _expected(facts: Facts) -> str:
    if facts.ranking:
        return f"Expected: no number; the units are ranked only: {harmless(facts.ranking)}"
    return f"Expected: {expected_words(facts)}; {random_words(facts)}"


def _issues(issues: Sequence[Mapping[str, Any]], facts: Facts) -> str:
    if facts.no_issues_because:
        return f"Issues: not told tonight: {harmless(facts.no_issues_because)}"
    if not issues:
        return "Issues: none, nothing stands out"
    told = [
        f"{issue['number']}. {harmless(issue['title'], longest=160)}: "
        + ", ".join(filter(None, (counted(issue["units"], "unit"), nights_words(issue["nights"]))))
        for issue in issues
    ]
    return _points("Issues, read these first:", told, MOST_ISSUES)


def _not_scored(units: int) -> str:
    return f"Not scored: {counted(units, 'unit')}, treat by the control plan" if units else "Not scored: none"


def _promises(rows: Sequence[Mapping[str, Any]], facts: Facts) -> str:
    promises = pd.DataFrame(list(rows))
    promises["business_date"] = [date.fromisoformat(day) for day in promises["business_date"]]
    when, words = last_words(promises, facts)
    when = when.replace("YESTERDAY", "Yesterday").replace("LIST OF", "List of")
    return f"{when}: {words}; last {counted(len(promises), 'night')}: {kept_words(promises)}"


def _send_once(mark: Path, urls: Sequence[str], title: str, body: str) -> Delivery:
    done = _marked(mark)
    sent = earlier = 0
    failures = []
    for place, url in enumerate(urls):
        key = _key(url, mark)
        if key in done:
            earlier += 1
        elif failure := send_one(place, url, title, body):
            failures.append(failure)
        else:
            sent += 1
            done.add(key)
            try:
                _write(mark, done)
            except OSError as error:
                failures.append(f"messages.to[{place}]: sent, but not marked as sent ({error}); it may come twice")
    return Delivery(sent, earlier, tuple(failures))


def _key(url: str, mark: Path) -> str:
    """Hash of an address, slow and salted by the list: a short password cannot be found by trying them all."""
    return hashlib.scrypt(url.encode(), salt=mark.name.encode(), n=2**14, r=8, p=1, dklen=16).hex()


def _mark(home: Home, line: Line, business_date: date | str, revision: int) -> Path:
    return home.folder / "messages" / line.name / f"{business_date}-r{revision}.json"


def _marked(mark: Path) -> set[str]:
    try:
        return set(json.loads(mark.read_text())["sent"])
    except FileNotFoundError:
        return set()
    except (ValueError, KeyError, TypeError):  # cut off, or edited: rather twice than never
        return set()


def _write(mark: Path, done: set[str]) -> None:
    draft = mark.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps({"sent": sorted(done)}) + "\n")
    draft.replace(mark)
