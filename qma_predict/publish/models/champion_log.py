"""Who was champion of a line when, and why: a file to which entries are only added.

`<home>/champions/<line>.jsonl` has an entry a line. Each names the hash of the one before, so that none can be changed,
left out or put in without showing; that none was taken away at the end, and that the log was not written anew, shows
against published lists, which quote the hash of the newest (`champion_quotes`). The log alone says who is champion; the
alias in MLflow follows it.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from qma_predict.errors import ModelError
from qma_predict.home import Home
from qma_predict.publish.models import champion_quotes, kept_models
from qma_predict.publish.models.champion_entries import Entry, Event, Role, add, read
from qma_predict.publish.models.model import Model


def append(
    home: Home,
    line: str,
    event: Event,
    version: str,
    *,
    role: Role,
    by: str,
    why: str,
    at: datetime,
    over: str | None = None,
) -> Entry:
    """Add an entry, which is on the disk when this returns.

    Must not be called by one who holds the line's lock.

    Parameters
    ----------
    home : Home
    line : str
    event : str
    version : str
        A version that is kept.
    role, by, why : str
    at : datetime, aware
        Now.
    over : str, optional
        Version of the champion that a promotion was decided against; empty if there was none. If there is another one
        meanwhile, the entry says "refused" and why.

    Raises
    ------
    ModelError
        If the version is not kept or is damaged, the log was changed, or it cannot be written.
    """
    with home.writing(line):
        known = entries(home, line)
        before = reigning(known)
        now = before.version if before else ""
        if over is not None and over != now:
            event = "refused"
            why = f"v{now} became champion while it was trained, so it was held against another one; train again. {why}"
        return _add(home, line, known, event, version, role=role, by=by, why=why, at=at)


def entries(home: Home, line: str) -> list[Entry]:
    """All entries, oldest first; a last line that a dead writer did not finish is none, unless it hashes whole.

    Raises
    ------
    ModelError
        If the log cannot be read, or an entry is not the one that was written.
    """
    return read(home.champions(line))


def reigning(known: Sequence[Entry], at: datetime | None = None) -> Entry | None:
    """The entry that made the champion of a moment, by default of now; None if there was none."""
    return next((one for one in reversed(known) if one.reigns and (at is None or one.at <= at)), None)


def champion(home: Home, line: str, at: datetime | None = None) -> Model:
    """Champion of a line, by default the one of now.

    Parameters
    ----------
    home : Home
    line : str
    at : datetime, aware, optional
        When: what the log said then.

    Raises
    ------
    ModelError
        If there is none, the log was changed, or the model is not the one that was promoted.
    """
    known = entries(home, line)
    entry = reigning(known, at)
    if entry is not None:
        return model_of(home, line, entry)
    waiting = _awaiting(known)
    if at is not None and reigning(known) is not None:
        raise ModelError(f"{home.champions(line)}: line {line} had no champion at {_moment(at)}.")
    if waiting:
        raise ModelError(
            f"{home.champions(line)}: line {line} has no champion; v{waiting[-1].version} awaits approval: "
            f"qma approve {line} {waiting[-1].version} --by NAME --why TEXT"
        )
    raise ModelError(
        lost(home, line, known)
        or f"{home.champions(line)}: line {line} has no champion. Train one first: qma train {line}"
    )


def lost(home: Home, line: str, known: Sequence[Entry]) -> str:
    """Why there is no champion though models are kept and the log says nothing of any; empty if that is not so."""
    kept = [f"v{version}" for version in kept_models.versions(home, line)]
    if known or not kept:
        return ""
    return (
        f"{home.champions(line)}: line {line} has no champion: the log has no entry, and models are kept "
        f"({', '.join(kept)}). If it was removed or emptied, restore it from a backup; if its first training was "
        f"stopped, train again: qma train {line}"
    )


def model_of(home: Home, line: str, entry: Entry) -> Model:
    """The version of an entry.

    Raises
    ------
    ModelError
        If it is not the one that the entry names.
    """
    return kept_models.read(home, line, entry.version, entry.model_sha256)


def head(home: Home, line: str) -> str:
    """Hash of the newest entry, for what is to show later that the log was rewritten; empty if there is none.

    Raises
    ------
    ModelError
        If the log was changed.
    """
    known = entries(home, line)
    return known[-1].sha256 if known else ""


def pending(home: Home, line: str) -> list[Entry]:
    """Entries of the versions that await approval, oldest first.

    Raises
    ------
    ModelError
        If the log was changed.
    """
    return _awaiting(entries(home, line))


def shadow(home: Home, line: str, known: Sequence[Entry], head: str | None = None) -> Model | None:
    """The challenger of the newest training, if it is refused or awaits approval: its lists are made in the shadow.

    Parameters
    ----------
    home : Home
    line : str
    known : sequence of Entry
        All entries, oldest first.
    head : str, optional
        Hash of the entry that is taken for the newest, as published lists quote it.

    Raises
    ------
    ModelError
        If the model is not the one that was trained.
    """
    newest = [one for one in known if head is None or one.number <= _number(known, head)][-2:]
    if newest and newest[-1].role == "refresh" and newest[-1].event != "rolled back":
        newest.pop()  # of the same training: a challenger that did not win leaves the champion's recipe to be refreshed
    if newest and newest[-1].role == "challenger" and not newest[-1].reigns:
        return model_of(home, line, newest[-1])
    return None


def _number(known: Sequence[Entry], head: str) -> int:
    return next((one.number for one in known if one.sha256 == head), 0)


def approve(
    home: Home, line: str, version: str, *, by: str, why: str, now: datetime, trust: Collection[str] = ()
) -> Entry:
    """Make a version champion that awaits approval.

    Parameters
    ----------
    home : Home
    line, version : str
    by, why : str
    now : datetime
    trust : collection of str
        Classes other than ours that it may hold: `learning.trust` of the line.

    Raises
    ------
    ModelError
        If it does not, the name or the reason is empty, the model or the log is not what it was, lists quote what the
        log lacks, or the model holds types that are not trusted.
    """
    _said(line, "approve", by, why)
    with home.writing(line):
        known = champion_quotes.checked(home, line)
        waiting = {one.version: one for one in _awaiting(known)}
        if version not in waiting:
            raise ModelError(
                f"{home.champions(line)}: v{version} of line {line} does not await approval; those that do: "
                f"{', '.join(f'v{one}' for one in waiting) or 'none'}. qma champion {line} tells what became of it."
            )
        _usable(home, model_of(home, line, waiting[version]), trust)
        role = waiting[version].role
        return _add(home, line, known, "approved", version, role=role, by=by, why=why, at=now)


def rollback(
    home: Home,
    line: str,
    *,
    by: str,
    why: str,
    now: datetime,
    version: str | None = None,
    trust: Collection[str] = (),
) -> Entry:
    """Make a version champion again that was it before: the last one before the champion, or another one by version.

    Parameters
    ----------
    home : Home
    line : str
    by, why : str
    now : datetime
    version : str, optional
    trust : collection of str
        As for `approve`.

    Raises
    ------
    ModelError
        If there is no such version, the name or the reason is empty, the model or the log is not what it was, lists
        quote what the log lacks, or the model holds types that are not trusted.
    """
    _said(line, "rollback", by, why)
    with home.writing(line):
        known = champion_quotes.checked(home, line)
        before = reigns(known)[:-1]
        wanted = [one for one in before if version in (None, one.version)]
        if not wanted:
            raise ModelError(
                f"{home.champions(line)}: line {line} cannot be rolled back to "
                f"{'an earlier champion' if version is None else f'v{version}'}; champions before the one in use: "
                f"{', '.join(f'v{one.version}' for one in before) or 'none'}."
            )
        _usable(home, model_of(home, line, wanted[-1]), trust)
        role = wanted[-1].role
        return _add(home, line, known, "rolled back", wanted[-1].version, role=role, by=by, why=why, at=now)


def vouch(
    home: Home, line: str, version: str, *, by: str, why: str, now: datetime, trust: Collection[str] = ()
) -> Entry:
    """Make a kept version champion where the log lacks what lists quote, or is gone, and no backup is left.

    What lists quoted until now is not held against the log any more.

    Parameters
    ----------
    home, line, version, by, why, now, trust
        As for `approve`.

    Raises
    ------
    ModelError
        If the log lacks nothing, an entry of it was changed, the name or the reason is empty, or the model cannot be
        used.
    """
    _said(line, "approve", by, why)
    with home.writing(line):
        known = entries(home, line)
        if not (champion_quotes.lacking(champion_quotes.quotes(home, line), known) or lost(home, line, known)):
            raise ModelError(
                f"{home.champions(line)}: lacks nothing that a list quotes. Without --log-lost, a version that awaits "
                f"approval is approved; to go back to another one: qma rollback {line} --to VERSION"
            )
        _usable(home, kept_models.read(home, line, version), trust)
        return _add(home, line, known, "vouched for", version, role="first", by=by, why=why, at=now)


def _usable(home: Home, model: Model, trust: Collection[str]) -> None:
    """Refuse a model that no night would load."""
    kept_models.verify(home, model)
    kept_models.check_types(home, model, trust)


def in_words(entry: Entry) -> str:
    """An entry as a line of text."""
    event = "rolled back to" if entry.event == "rolled back" else entry.event
    return f"{_moment(entry.at)}  v{entry.version} {event} ({entry.role}), by {entry.by}: {entry.why}"


def _awaiting(known: list[Entry]) -> list[Entry]:
    """Those that await approval and were held against the recipe that is still the champion's."""
    waiting: list[Entry] = []
    for entry in known:
        if entry.event == "awaiting approval":
            waiting.append(entry)
        elif entry.reigns and (entry.role != "refresh" or entry.event == "rolled back"):
            waiting = []
    return waiting


def reigns(known: list[Entry]) -> list[Entry]:
    """Entries of the champions up to the newest; a rollback takes away those after the one it goes to."""
    found: list[Entry] = []
    for entry in known:
        if entry.event == "rolled back":
            last = max(number for number, one in enumerate(found) if one.version == entry.version)
            found = found[: last + 1]
        elif entry.reigns:
            found.append(entry)
    return found


def _said(line: str, command: str, by: str, why: str) -> None:
    for name, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise ModelError(f"qma {command} {line}: {name} is empty. Expected a name and a reason, for those who ask.")


def _add(home: Home, line: str, known: list[Entry], event: Event, version: str, **rest: Any) -> Entry:
    """Write an entry after those that are known; the line's lock is held."""
    rest["at"] = rest["at"].astimezone(UTC)
    model = kept_models.read(home, line, version)
    previous = known[-1].sha256 if known else ""
    entry = Entry(len(known) + 1, event=event, version=version, model_sha256=model.sha256, previous=previous, **rest)
    return add(home.champions(line), entry)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
