"""The line: one file, `line.toml`, says what the plant is."""

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from qma_predict.errors import LineError

TableName = Literal["units", "visits", "readings", "tags", "materials", "events", "inspections", "answers"]

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    """Read `"15 min"`, `"20 h"` or `"5 d"` as a timedelta."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", value) if isinstance(value, str) else None
    if not found:
        raise ValueError('expected a duration such as "30 s", "15 min", "20 h" or "5 d"')
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError('expected a zone of the tz database such as "Europe/Berlin" or "UTC"')
    return value


def _time_of_day(value: object) -> object:
    """Read `"05:00"`, and nothing that merely converts to a time."""
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('expected a local time of day such as "05:00"')
    return time.fromisoformat(value)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictionPoint(_Part):
    """The moment at which a unit is judged: it leaves `after`, plus `grace` for late rows."""

    after: Text
    grace: Duration


class Gate(_Part):
    """The inspection that decides, the characteristics that count there, and how long a label is waited for."""

    name: Text
    characteristics: tuple[Text, ...] = Field(min_length=1)
    maturity: Duration


class Candidates(_Part):
    """Which units a night may list: those younger than `max_age` that have not reached a `leave_at` station."""

    max_age: Duration
    leave_at: tuple[Text, ...] = ()


class RiskList(_Part):
    """When the list is made (`as_of`, local time of the business date) and how many units can be checked."""

    as_of: TimeOfDay
    capacity: int = Field(ge=1)


class Learning(_Part):
    """What is learned from, and how."""

    recipe: Text = "boosted_trees"
    families: tuple[Name, ...] = ("route", "readings")
    blocks: int = Field(default=4, ge=1)
    block: Duration = timedelta(days=14)
    seed: int = Field(default=0, ge=0)


class Source(_Part):
    """Where rows of one table come from, and how the plant's habits map to ours."""

    table: TableName
    path: Text
    format: Literal["csv", "parquet"] | None = None
    separator: str = Field(default=",", min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    encoding: Text = "utf-8"
    timezone: Zone = "UTC"
    time_format: Text = "ISO8601"
    columns: dict[str, Text] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    delay: Duration | None = None

    @model_validator(mode="after")
    def _second_clock(self) -> Self:
        if ("recorded_at" in self.columns) == (self.delay is not None):
            raise ValueError(
                "expected one of two: columns.recorded_at (the plant says when the row could first be read) or "
                'delay (for example delay = "10 min" after it happened)'
            )
        return self


class Line(_Part):
    """A line of a plant, as its `line.toml` defines it."""

    name: Name
    title: Text
    plant: Text
    timezone: Zone
    route: tuple[Text, ...] = Field(min_length=1)
    variables: tuple[str, ...] = ()
    prediction: PredictionPoint
    gate: Gate
    candidates: Candidates
    list: RiskList
    learning: Learning = Learning()
    sources: tuple[Source, ...] = Field(min_length=1)
    _digest: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prediction.after not in self.route:
            raise ValueError(f"prediction.after is {self.prediction.after!r}, expected a station of route")
        both = sorted(set(self.candidates.leave_at) & set(self.route))
        if both:
            raise ValueError(f"candidates.leave_at names {both}, which units pass on their route")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the text of `line.toml`."""
        return self._digest

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
        With the file, and for each key what was found and what was expected, all at once.
    """
    file = _find(line)
    try:
        text = file.read_bytes()
        data = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LineError(f"{file}: not valid TOML: {error}. Expected UTF-8 text in TOML syntax.") from error
    try:
        parsed = Line.model_validate(data)
    except ValidationError as error:
        rows = "\n".join(f"  {_explain(item)}" for item in error.errors(include_url=False))
        raise LineError(f"{file}:\n{rows}") from error
    sources = tuple(
        source.model_copy(update={"path": _resolve(file, parsed, index, os.environ if environ is None else environ)})
        for index, source in enumerate(parsed.sources)
    )
    resolved = parsed.model_copy(update={"sources": sources})
    resolved._digest = hashlib.sha256(text).hexdigest()
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


def _resolve(file: Path, line: Line, index: int, environ: Mapping[str, str]) -> str:
    where = f"{file}: sources[{index}].path"

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in line.variables:
            raise LineError(f"{where}: ${{{name}}} is not listed under variables, which allows {list(line.variables)}.")
        if not environ.get(name):
            raise LineError(f"{where}: the environment variable {name} is not set. Set it to the folder that holds the data.")
        return environ[name]

    path = re.sub(r"\$\{(\w+)\}", value, line.sources[index].path)
    return path if "://" in path else str(file.parent.joinpath(path))


def _explain(error: Any) -> str:
    """One problem of a `line.toml` as `key: what was found, what was expected`."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        known = _fields_at(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.0)
        return f"{where}: unknown key. The nearest known key is {near[0]!r}; known are {', '.join(known)}."
    if error["type"] == "missing":
        return f"{where}: missing. It is required."
    message = error["msg"].removeprefix("Value error, ")
    found = "" if isinstance(error["input"], dict) else f"found {error['input']!r}, "
    return f"{where}: {found}{message[0].lower()}{message[1:]}." if where else f"{message}."


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = Line
    for part in location:
        if isinstance(part, str):
            kind = model.model_fields[part].annotation
            model = Source if part == "sources" else kind  # type: ignore[assignment]  # a nested model's class
    return list(model.model_fields)
