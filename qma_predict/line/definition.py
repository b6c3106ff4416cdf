"""What a `line.toml` says, as one frozen object."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from qma_predict.line.kinds import (
    Count,
    Duration,
    Encoding,
    Name,
    Names,
    Period,
    Separator,
    Some,
    Text,
    TimeFormat,
    TimeOfDay,
    Zone,
)

TableName = Literal["units", "visits", "readings", "tags", "materials", "events", "inspections", "answers"]

VARIABLE = re.compile(r"\$\{(\w+)\}")
"""A variable of the environment in a path, such as `${QMA_DATA}`."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictionPoint(_Part):
    """The moment at which a unit is judged: it leaves `after`, plus `grace` for late rows."""

    after: Text
    grace: Duration


class Gate(_Part):
    """The inspection that decides, the characteristics that count there, and how long a label is waited for."""

    name: Text
    characteristics: Names
    maturity: Duration


class Candidates(_Part):
    """Which units a night may list: those younger than `max_age` that have not reached a `leave_at` station."""

    max_age: Period
    leave_at: tuple[Text, ...] = ()


class RiskList(_Part):
    """When the list is made (`as_of`, local time of the business date) and how many units can be checked."""

    as_of: TimeOfDay
    capacity: Count = Field(ge=1)


class Learning(_Part):
    """What is learned from, and how."""

    recipe: Text = "boosted_trees"
    families: tuple[Name, ...] = ("product", "route", "readings")
    blocks: Count = Field(default=4, ge=1)
    block: Period = timedelta(days=14)
    seed: Count = Field(default=0, ge=0)


class Source(_Part):
    """Where rows of one table come from, and how the plant's habits map to ours.

    Attributes
    ----------
    columns : dict
        Our name of a column to the plant's.
    constants : dict
        Our name of a column to the value that all rows have.
    values : dict of dict
        Our name of a column to the plant's words and ours: `{ passed = { "0" = "OK", "1" = "NOK" } }`.
    tags : str, optional
        Pattern (`*`, `?`) of the columns that are tags, where a file of readings has one column a tag.
    shift : timedelta
        How much later something happened than the file says.
    delay : timedelta, optional
        How long after it happened a row could be read, where the file does not say.
    """

    table: TableName
    path: Text
    format: Literal["csv", "parquet", "xlsx"] | None = None
    sheet: Text | None = None
    separator: Separator = ","
    decimal: Literal[".", ","] = "."
    encoding: Encoding = "utf-8"
    timezone: Zone = "UTC"
    time_format: TimeFormat = "ISO8601"
    columns: dict[str, Text] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    tags: Text | None = None
    shift: Duration = timedelta(0)
    delay: Duration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if ("recorded_at" in self.columns) == (self.delay is not None):
            raise ValueError(
                "expected one of two: columns.recorded_at (the plant says when the row could first be read) or "
                'delay (for example delay = "10 min" after it happened)'
            )
        both = sorted(self.columns.keys() & self.constants.keys())
        if both:
            raise ValueError(f"columns and constants both name {', '.join(both)}, expected one of them")
        if self.shift and self.table in ("visits", "tags", "answers"):
            raise ValueError(f"shift goes with tables whose rows have occurred_at, found it with {self.table}")
        if self.tags is not None and self.table != "readings":
            raise ValueError(f"tags goes with readings only, found it with {self.table}")
        if self.tags is not None and {"tag", "value"} & (self.columns.keys() | self.constants.keys()):
            raise ValueError("tags stands for tag and value, expected neither of them under columns or constants")
        return self


class Line(_Part):
    """A line of a plant, as its `line.toml` defines it."""

    name: Name
    title: Text
    plant: Text
    timezone: Zone
    route: Names
    variables: tuple[str, ...] = ()
    prediction: PredictionPoint
    gate: Gate
    candidates: Candidates
    list: RiskList
    learning: Learning = Learning()
    sources: Annotated[tuple[Source, ...], Some]
    _digest: str = PrivateAttr(default="")
    _file: str = PrivateAttr(default="line.toml")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wrong = []
        if self.prediction.after not in self.route:
            wrong.append(f"prediction.after: found {self.prediction.after!r}, expected a station of route")
        if both := sorted(set(self.candidates.leave_at) & set(self.route)):
            wrong.append(f"candidates.leave_at: found {', '.join(both)}, expected stations that are not on the route")
        for index, source in enumerate(self.sources):
            unlisted = sorted(set(VARIABLE.findall(source.path)) - set(self.variables))
            wrong += [
                f"sources[{index}].path: found ${{{name}}}, expected a name listed in variables" for name in unlisted
            ]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the text of `line.toml`."""
        return self._digest

    @property
    def file(self) -> str:
        """Path of `line.toml`, for messages."""
        return self._file

    def as_of(self, business_date: date) -> datetime:
        """Moment [UTC] as which the list of a business date is made.

        In the hour that the clock change repeats, the earlier instant; in the hour that it skips, the
        instant that the zone's offset before the change gives.
        """
        local = datetime.combine(business_date, self.list.as_of, ZoneInfo(self.timezone))
        return local.astimezone(UTC)

    def current_business_date(self, now: datetime) -> date:
        """Business date whose list is the newest that can be made at `now` [UTC]."""
        day = now.astimezone(ZoneInfo(self.timezone)).date()
        return day if self.as_of(day) <= now else day - timedelta(days=1)

    def business_date(self, moment: datetime) -> date:
        """First business date whose list can know of `moment` [UTC]: the earliest with `as_of >= moment`."""
        day = moment.astimezone(ZoneInfo(self.timezone)).date()
        return day if self.as_of(day) >= moment else day + timedelta(days=1)
