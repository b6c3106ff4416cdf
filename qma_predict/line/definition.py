"""What a `line.toml` says, as one frozen object."""

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, model_validator

from qma_predict.line.kinds import (
    ClassPath,
    ColumnNames,
    Count,
    Duration,
    Encoding,
    Name,
    Names,
    Part,
    Pattern,
    Period,
    Rule,
    Separator,
    Some,
    Text,
    TimeFormat,
    Unit,
    Zone,
    zones,
)
from qma_predict.line.operation import Schedule, TrainingPlan, every_day_at, firings
from qma_predict.line.policy import Costs, Messages, RiskList

TableName = Literal[
    "units", "visits", "readings", "tags", "materials", "events", "inspections", "agreement", "answers", "issue_answers"
]

VARIABLE = re.compile(r"\$\{(\w+)\}")
"""A variable of the environment in a path, URL or query, such as `${QMA_DATA}`."""


def without_password(url: str) -> str:
    """A URL as messages and books may name it; a path as it is."""
    hidden = re.sub(r"(://[^:/@]*:)[^@]*(?=@)", r"\1***", url)
    return re.sub(r"(?i)([?&;](?:password|passwd|pwd|secret|token|odbc_connect)=)[^&;]*", r"\1***", hidden)


class PredictionPoint(Part):
    """The moment at which a unit is judged: it leaves `after`, plus `grace` for late rows."""

    after: Text
    grace: Duration


class Gate(Part):
    """The inspection that decides, the characteristics that count there, and how long a label is waited for.

    Attributes
    ----------
    void : tuple of str
        Codes of results that say nothing of the unit: the inspection itself failed.
    disputed : tuple of str
        Codes of results that are called in question until a correction settles them.
    """

    name: Text
    characteristics: Names
    maturity: Duration
    void: tuple[Text, ...] = ()
    disputed: tuple[Text, ...] = ()


class Candidates(Part):
    """Which units a night may list: those younger than `max_age` that have not reached a `leave_at` station."""

    max_age: Period
    leave_at: tuple[Text, ...] = ()


class Learning(Part):
    """What is learned from, and how.

    Attributes
    ----------
    families : tuple of str
        Families of features: names of ours, or import paths of modules such as `my_plant.spindle`.
    family : dict of dict
        Settings of families by their name: `[learning.family.recent] window = "14 d"`.
    keep : tuple of str
        Features that stay although they look like a leak.
    group : str, optional
        What units share so closely that one tells of another, as issues name it: `order`, or a material and " lot" such
        as `casting lot`. What is learnt from never has units of a group of which others calibrate or judge it.
    trust : tuple of str
        Import paths of classes, other than ours, that stored models may hold: `my_plant.models.SteppedTrees`. To load
        such a model may run any code of these classes, with values from its file.
    practice : tuple of str
        Values of `reason` of inspections that are the plant's own suspicion, to be compared with.
    parameters : dict
        Parameters of the recipe other than its defaults: `{ larger_trees__num_leaves = 8 }`; `qma search` finds some.
    """

    recipe: Text = "default"
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    families: tuple[Text, ...] = ("product", "route", "readings")
    family: dict[str, dict[str, Any]] = Field(default_factory=dict)
    keep: tuple[Text, ...] = ()
    group: Text | None = None
    trust: tuple[ClassPath, ...] = ()
    practice: tuple[Text, ...] = ()
    blocks: Count = Field(default=4, ge=1)
    block: Period = timedelta(days=14)
    seed: Count = Field(default=0, ge=0)


class Source(Part):
    """Where rows of one table come from, and how the plant's habits map to ours.

    Either files (`path`), or a database (`url` and `query`).

    Attributes
    ----------
    path : str, optional
        Files by a pattern, on a disk or at any URL that fsspec knows; a table's folder where the format is delta.
    url, query : str, optional
        Database by SQLAlchemy's URL, and what to ask it.
    watermark : str, optional
        Column of the query that never goes back, such as when a row was changed. Only rows from the greatest one
        taken on are asked for: the query has `:watermark` where it compares.
    skip : int
        Lines above the header.
    header : tuple of str, optional
        Names of the columns, where the files have no header (or a wrong one that `skip` leaves out).
    footer : str, optional
        Regular expression at the start of the lines after the last row; a file that does not end with one is cut.
    columns : dict
        Our name of a column to the plant's, or to several that together are its value, such as date and time.
    constants : dict
        Our name of a column to the value that all rows have.
    values : dict of dict
        Our name of a column to the plant's words and ours: `{ passed = { "0" = "OK", "1" = "NOK" } }`.
    normalise : dict of tuple of str
        Our name of a column to rules by which its names become those of other systems, in this order:
        `{ machine = ["upper", "remove blanks"] }`.
    units : dict
        Pattern of a tag to the unit in which this source gives it, the first that fits: `{ "temp_*" = "degF" }`.
    tags : str, optional
        Pattern (`*`, `?`) of the columns that are tags, where a file of readings has one column a tag.
    timezone : str
        Zone of times without an offset; the line's by default.
    shift : timedelta
        How much later something happened than the file says.
    delay : timedelta, optional
        How long after it happened a row could be read, where the file does not say.
    """

    table: TableName
    path: Text | None = None
    url: Text | None = None
    query: Text | None = None
    watermark: Text | None = None
    format: Literal["csv", "parquet", "xlsx", "delta"] | None = None
    sheet: Text | None = None
    skip: Count = Field(default=0, ge=0)
    header: Names | None = None
    footer: Pattern | None = None
    separator: Separator = ","
    decimal: Literal[".", ","] = "."
    encoding: Encoding = "utf-8"
    timezone: Zone = "UTC"
    time_format: TimeFormat = "ISO8601"
    columns: dict[str, ColumnNames] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    normalise: dict[str, tuple[Rule, ...]] = Field(default_factory=dict)
    units: dict[str, Unit] = Field(default_factory=dict)
    tags: Text | None = None
    shift: Duration = timedelta(0)
    delay: Duration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.path is None) == (self.url is None) or (self.url is None) != (self.query is None):
            raise ValueError("expected one of two: path (files), or url and query (a database)")
        files_only = ("format", "sheet", "skip", "header", "footer", "separator", "encoding")
        if self.url is not None and (habits := [name for name in files_only if name in self.model_fields_set]):
            raise ValueError(f"{', '.join(habits)} goes with path (files), found it with url")
        if self.watermark is not None and ":watermark" not in (self.query or ""):
            raise ValueError('watermark goes with a query that compares with it, such as "... where id >= :watermark"')
        if ("recorded_at" in self.columns) == (self.delay is not None):
            raise ValueError(
                "expected one of two: columns.recorded_at (the plant says when the row could first be read) or "
                'delay (for example delay = "10 min" after it happened)'
            )
        both = sorted(self.columns.keys() & self.constants.keys())
        if both:
            raise ValueError(f"columns and constants both name {', '.join(both)}, expected one of them")
        if self.shift and self.table in ("visits", "tags", "answers", "issue_answers"):
            raise ValueError(f"shift goes with tables whose rows have occurred_at, found it with {self.table}")
        for name, given in (("tags", self.tags), ("units", self.units)):
            if given and self.table != "readings":
                raise ValueError(f"{name} goes with readings only, found it with {self.table}")
        if self.tags is not None and {"tag", "value"} & (self.columns.keys() | self.constants.keys()):
            raise ValueError("tags stands for tag and value, expected neither of them under columns or constants")
        return self

    @property
    def place(self) -> str:
        """Where the rows are, for messages: the pattern of the files, or the database without its password."""
        return without_password(self.path or str(self.url))


class Line(Part):
    """A line of a plant, as its `line.toml` defines it.

    Attributes
    ----------
    units : dict
        Pattern of `station.tag` to the unit in which the tag is kept; the first that fits.
    """

    name: Name
    title: Text
    plant: Text
    timezone: Zone
    route: Names
    variables: tuple[str, ...] = ()
    units: dict[str, Unit] = Field(default_factory=dict)
    prediction: PredictionPoint
    gate: Gate
    candidates: Candidates
    list: RiskList
    learning: Learning = Learning()
    schedule: Schedule = Schedule()
    training: TrainingPlan = TrainingPlan()
    costs: Costs = Costs()
    messages: Messages = Messages()
    sources: Annotated[tuple[Source, ...], Some]
    _text: bytes = PrivateAttr(default=b"")
    _digest: str = PrivateAttr(default="")
    _file: str = PrivateAttr(default="line.toml")

    @model_validator(mode="before")
    @classmethod
    def _zone_of_sources(cls, data: Any) -> Any:
        """Local times of a source are the line's unless it says otherwise."""
        zone = data.get("timezone") if isinstance(data, dict) else None
        if zone not in zones() or not isinstance(data.get("sources"), list):
            return data  # what is wrong is told once, where it is
        zoned = [{"timezone": zone, **one} if isinstance(one, dict) else one for one in data["sources"]]
        return {**data, "sources": zoned}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wrong = []
        if self.prediction.after not in self.route:
            wrong.append(f"prediction.after: found {self.prediction.after!r}, expected a station of route")
        if both := sorted(set(self.candidates.leave_at) & set(self.route)):
            wrong.append(f"candidates.leave_at: found {', '.join(both)}, expected stations that are not on the route")
        if both := sorted(set(self.gate.void) & set(self.gate.disputed)):
            wrong.append(f"gate: void and disputed both name {', '.join(both)}, expected one of them")
        texts = {f"messages.to[{index}]": url for index, url in enumerate(self.messages.to)}
        for index, source in enumerate(self.sources):
            texts |= {f"sources[{index}].{key}": getattr(source, key) or "" for key in ("path", "url", "query")}
        for key, text in texts.items():
            unlisted = sorted(set(VARIABLE.findall(text)) - set(self.variables))
            wrong += [f"{key}: found ${{{name}}}, expected a name listed in variables" for name in unlisted]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def text(self) -> bytes:
        """Text of `line.toml`, with variables as it has them."""
        return self._text

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

        In the hour that the clock change repeats, the earlier instant; in the hour that it skips, the change itself, at
        which a schedule of that time fires.
        """
        return self._instant(business_date, self.list.as_of)

    def promised_by(self, business_date: date) -> datetime:
        """Moment [UTC] by which the list of a business date is promised; clock changes as for `as_of`."""
        day = business_date if self.list.by > self.list.as_of else business_date + timedelta(days=1)
        return self._instant(day, self.list.by)

    def _instant(self, day: date, clock: time) -> datetime:
        local = datetime.combine(day, clock, ZoneInfo(self.timezone))
        moment = local.astimezone(UTC)
        if moment.astimezone(local.tzinfo).time() == clock:
            return moment
        return next(firings(every_day_at(clock), self.timezone, moment - timedelta(hours=3)))

    def current_business_date(self, now: datetime) -> date:
        """Business date whose list is the newest that can be made at `now` [UTC]."""
        day = now.astimezone(ZoneInfo(self.timezone)).date()
        return day if self.as_of(day) <= now else day - timedelta(days=1)

    def business_date(self, moment: datetime) -> date:
        """First business date whose list can know of `moment` [UTC]: the earliest with `as_of >= moment`."""
        day = moment.astimezone(ZoneInfo(self.timezone)).date()
        return day if self.as_of(day) >= moment else day + timedelta(days=1)

    @property
    def nightly_cron(self) -> str:
        """When the nightly run starts, in the line's zone."""
        return self.schedule.cron or every_day_at(self.list.as_of)

    def due(self, after: date, now: datetime) -> tuple[date, ...]:
        """Business dates later than `after` whose scheduled run has started by `now` [UTC], oldest first."""
        moments = takewhile(lambda moment: moment <= now, firings(self.nightly_cron, self.timezone, self.as_of(after)))
        days = (self.current_business_date(moment) for moment in moments)
        return tuple(dict.fromkeys(day for day in days if day > after))

    def newest_due(self, now: datetime) -> date:
        """Business date of the newest list that is due at `now` [UTC]; the current one if none was in the last week."""
        today = self.current_business_date(now)
        return max(self.due(today - timedelta(days=7), now), default=today)

    def next_due(self, business_date: date) -> date:
        """Business date of the list that is due next after that of `business_date`, which holds until then."""
        moments = firings(self.nightly_cron, self.timezone, self.as_of(business_date))
        return next(day for day in map(self.current_business_date, moments) if day > business_date)

    def waits_until(self, business_date: date) -> datetime:
        """Moment [UTC] until which the run of a business date waits for its sources; `as_of` if it does not wait."""
        wait = self.schedule.wait_until
        if wait is None:
            return self.as_of(business_date)
        day = business_date if wait >= self.list.as_of else business_date + timedelta(days=1)
        return self._instant(day, wait)
