"""What a `line.toml` says of running by itself: when lists are made, and when and how models are renewed."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim
from pydantic import Field

from qma_predict.line.kinds import Cron, Part, TimeOfDay


class Schedule(Part):
    """When the nightly run starts, how long it waits for the plant's files, and what becomes of missed nights.

    Attributes
    ----------
    cron : str, optional
        Minute, hour, day, month, weekday in the line's zone; every day at `list.as_of` by default.
    wait_until : time, optional
        Local time until which a run waits for sources that are not there yet; then the list is made without them
        and is DEGRADED. By default nothing is waited for.
    missed : str
        What a run makes when earlier ones did not take place: "latest", the newest list only; "all", also those
        that are missing, marked as made in retrospect; "none", nothing once the promised time has passed.
    """

    cron: Cron | None = None
    wait_until: TimeOfDay | None = None
    missed: Literal["latest", "all", "none"] = "latest"


class TrainingPlan(Part):
    """When a model is trained, and by what it may take over.

    Attributes
    ----------
    cron : str, optional
        Minute, hour, day, month, weekday in the line's zone; only by hand without it.
    margin : float
        Share of the champion's value by which a refresh may be worse, and a challenger has to be better. What may go
        wrong, one time in twenty and in forty (`qma_predict.learn.promotion`), is meant of each decision by itself.
    approval : bool
        Whether a named person has to approve the first model and every challenger; refreshes need nobody.
    """

    cron: Cron | None = None
    margin: float = Field(default=0.05, strict=True, ge=0, le=1)
    approval: bool = Field(default=False, strict=True)


def firings(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Moments [UTC] after a moment at which a cron expression of a zone fires, without end.

    What falls into the hour that the clock change skips fires right after it; in the hour that it repeats, once.

    Examples
    --------
    >>> found = firings("30 2 * * *", "Europe/Berlin", datetime(2025, 3, 29, tzinfo=UTC))
    >>> [next(found).isoformat() for _ in range(3)]
    ['2025-03-29T01:30:00+00:00', '2025-03-30T01:00:00+00:00', '2025-03-31T00:30:00+00:00']
    """
    return (moment.astimezone(UTC) for moment in CronSim(cron, after.astimezone(ZoneInfo(zone))))


def every_day_at(moment: time) -> str:
    """Cron expression of a local time.

    Examples
    --------
    >>> every_day_at(time(5, 30))
    '30 5 * * *'
    """
    return f"{moment.minute} {moment.hour} * * *"
