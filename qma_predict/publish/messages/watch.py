"""Whether the list that is due is there, whole; and what to tell people where it is not.

Only the published files are looked at: neither the lake nor the model nor a scheduler has to work, and nothing is
written, so that any host that sees the home can look.
"""

from dataclasses import dataclass
from datetime import date, datetime

from qma_predict.errors import PublicationError
from qma_predict.home import Home
from qma_predict.line import Line
from qma_predict.publish.lists import bundle
from qma_predict.publish.messages.sending import harmless, line_words
from qma_predict.publish.pages.words import Moments, day_words


@dataclass(frozen=True)
class Watch:
    """What was seen.

    Attributes
    ----------
    business_date : date
        Of the newest list that is due by the line's schedule.
    words : str
        What was seen, for a person.
    missing : str
        Why there is no list that can be used, as far as known; empty where there is one, or where none is due yet.
    """

    business_date: date
    words: str
    missing: str = ""


def look(home: Home, line: Line, now: datetime) -> Watch:
    """Look whether the newest list that is due is there and whole, once its promised time has come.

    Parameters
    ----------
    home : Home
        Its folder need not exist.
    line : Line
    now : datetime
        Aware; from `line.promised_by` of the business date on, the list is due.
    """
    day = line.newest_due(now)
    moments, promised = Moments(line.timezone, day, line.as_of(day)), line.promised_by(day)
    due = f"promised by {moments.words(promised)} ({line.timezone})"
    name = f"line {line.name}, {moments.day(day)}"
    if now < promised:
        return Watch(day, f"{name}: the list is {due}; it is not due yet")
    missing, manifest = "", {}
    folder = home.published(line.name)
    try:
        dates = bundle.published_dates(folder)
        if day in dates:
            manifest = bundle.read(folder, day)
            if manifest["business_date"] != day.isoformat():  # copied or linked by hand
                missing = f"{folder / day.isoformat()}: is the list of {manifest['business_date']}"
        elif not home.folder.is_dir():
            missing = f"there is no folder {home.folder}"
        else:
            newest = f"the newest list is that of {dates[-1]}" if dates else "no list was ever published"
            missing = f"{newest} (looked in {folder})"
    except PublicationError as error:
        missing = str(error)
    except OSError as error:
        missing = f"{folder}: cannot be read: {error}"
    if missing:
        return Watch(day, f"{name}: no list that can be used, {due}: {missing}", missing)
    state = manifest["facts"].get("state", "not recorded")
    return Watch(day, f"{name}: the list is there and whole (revision {manifest['revision']}, state {state})")


def notice(line: Line, seen: Watch) -> tuple[str, str]:
    """Return what people are told where no list can be used, as title and body: state NONE."""
    day = f"{day_words(seen.business_date)} {seen.business_date.year}"
    name = f"{line_words(line.plant, line.title)}, {day}"
    moments = Moments(line.timezone, seen.business_date, line.as_of(seen.business_date))
    parts = [
        f"State: NONE: there is no risk list for {name}. Use the control plan.",
        f"It was promised by {moments.words(line.promised_by(seen.business_date))} ({line.timezone}).",
        f"Cause, as far as known: {harmless(seen.missing, longest=600)}",
        f"To make it: qma nightly {line.name} --date {seen.business_date}",
    ]
    return f"NO RISK LIST {name}: use the control plan", "\n\n".join(parts)
