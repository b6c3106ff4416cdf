"""Kinds of values in a `line.toml`: each says what it expects."""

import re
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Annotated, TypeVar
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from qma_predict.line.measures import is_unit

T = TypeVar("T")

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    """Read `"15 min"`, `"20 h"` or `"5 d"` as a timedelta."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(s|min|h|d)", value) if isinstance(value, str) else None
    if not found:
        raise ValueError('expected a duration such as "30 s", "15 min", "20 h" or "5 d"')
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def _period(value: object) -> object:
    """Read a duration of which there must be some."""
    if _duration(value) == timedelta(0):
        raise ValueError("expected more than 0")
    return _duration(value)


zones = cache(available_timezones)


def _zone(value: str) -> str:
    if value not in zones():
        raise ValueError('expected a zone of the tz database such as "Europe/Berlin" or "UTC"')
    return value


def _time_of_day(value: object) -> object:
    """Read `"05:00"`, and nothing that merely converts to a time."""
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('expected a local time of day such as "05:00"')
    return time.fromisoformat(value)


IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
"""What names something in a module."""


def _class_path(value: str) -> str:
    if not IMPORT_PATH.fullmatch(value):
        raise ValueError(
            'expected the full import path of a class such as "my_plant.models.SteppedTrees", of each class its own'
        )
    return value


def _cron(value: str) -> str:
    expected = 'expected minute, hour, day, month and weekday such as "10 5 * * 1-5"'
    try:
        if len(value.split()) != 5:
            raise ValueError(expected)
        next(CronSim(value, datetime(2000, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(expected) from error
    return value


def _encoding(value: str) -> str:
    try:
        "".encode(value)
    except LookupError as error:
        raise ValueError('expected an encoding of text such as "utf-8", "latin-1" or "cp1252"') from error
    return value


EPOCHS = ("epoch s", "epoch ms", "epoch us", "epoch ns")
"""Formats of times that are numbers: how many of a unit passed since 1970 in UTC."""


def _time_format(value: str) -> str:
    """Refuse what pandas would guess at or stumble over: `mixed`, unknown directives, names of zones."""
    if value in ("ISO8601", *EPOCHS):
        return value
    if "%" not in value or not re.fullmatch(r"(?:[^%]|%[aAbBdfHIjmMpSyYz%])*", value):
        raise ValueError('expected "ISO8601", "epoch ms" or directives such as "%d.%m.%Y %H:%M:%S"')
    return value


def _columns(value: object) -> object:
    """Read the name of a column, or several that together are one value."""
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError('expected the name of a column, or several such as ["Date", "Time"]')
    return value if isinstance(value, str) else tuple(names)


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f'expected a regular expression such as "^Total" ({error})') from error
    return value


def _unit(value: str) -> str:
    if not is_unit(value):
        raise ValueError('expected a unit of measure such as "degC", "bar", "mm" or "1/min"')
    return value


_RULE = re.compile(
    r"upper|lower|remove blanks|remove signs|remove leading zeros|pad [1-9]\d?"
    r"|(?:remove prefix|remove suffix|add prefix) \S+"
)


def _rule(value: str) -> str:
    if not _RULE.fullmatch(value):
        raise ValueError(
            'expected "upper", "lower", "remove blanks", "remove signs", "remove leading zeros", "remove prefix SN-", '
            '"remove suffix -A", "add prefix M" or "pad 6"'
        )
    return value


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("expected at least one")
    return values


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected each name once")
    return values


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
        raise ValueError('expected lower-case letters, digits, "-" and "_"')
    return value


def _separator(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in '"\r\n':
        raise ValueError('expected one character such as ";" or a tab')
    return value


Name = Annotated[str, AfterValidator(_name)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Period = Annotated[timedelta, BeforeValidator(_period)]
Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]
Cron = Annotated[str, AfterValidator(_cron)]
Encoding = Annotated[str, AfterValidator(_encoding)]
TimeFormat = Annotated[str, AfterValidator(_time_format)]
ColumnNames = Annotated[str | tuple[str, ...], BeforeValidator(_columns)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Unit = Annotated[str, AfterValidator(_unit)]
Rule = Annotated[str, AfterValidator(_rule)]
Separator = Annotated[str, AfterValidator(_separator)]
Text = Annotated[str, Field(min_length=1)]
ClassPath = Annotated[str, AfterValidator(_class_path)]
Count = Annotated[int, Field(strict=True)]
Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Minutes = Annotated[float, Field(strict=True, ge=0.01, allow_inf_nan=False)]
Some = AfterValidator(_some)
Names = Annotated[tuple[Text, ...], Some, AfterValidator(_distinct)]


class Part(BaseModel):
    """A section of a `line.toml`: it is not changed, and a key that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
