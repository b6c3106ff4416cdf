"""Drivers: in what a listed unit is unlike good units, and how that is said."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pandas as pd

from qma_predict.publish.text import visible

LEVELS = ("last", "mean")
"""Statistics that are values of the tag itself, so that its limits and plausible range hold for them."""

SHARES = ("defect_rate", "share_beyond")
"""Statistics that are shares, told in 100."""

_LARGE = 1e9

_WORDS = {
    "last": "{tag}",
    "mean": "mean {tag}",
    "count": "readings of {tag}",
    "deviation": "{tag} against its set point",
    "beyond": "{tag} beyond its limits by",
    "share_beyond": "readings of {tag} beyond its limits",
    "change": "{tag} against the unit before",
    "shift": "{tag} against the units before",
    "hours_since": "time since {tag}",
    "units_since": "units since {tag}",
    "measured": "{tag}",
    "defect_rate": "recent defect rate of this {station} {tag}",
    "inspected": "units inspected lately of this {station} {tag}",
    "stay": "time at {station}",
    "wait": "wait before {station}",
    "hour": "hour of the day",
    "machine": "{station} machine",
    "product": "product",
}


class Name(NamedTuple):
    """What a feature is of: ``station`` (with the way to a part before it), ``tag`` and ``statistic``."""

    station: str
    tag: str
    statistic: str


class Limits(NamedTuple):
    """What holds for a tag [unit of the tag]; NaN where none is stated."""

    lower: float
    upper: float
    plausible_low: float
    plausible_high: float


UNLIMITED = Limits(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Driver:
    """A feature that raises a unit's risk and in which it is unlike good units.

    Attributes
    ----------
    feature, tag, station : str
        Names as the plant has them; a text such as a machine has its statistic as tag.
    value : float or str or None
        Of the unit [unit]; None if it is missing.
    unit : str
        Unit of measure; empty if there is none.
    low, high : float or None
        10th and 90th percentile of good units [unit]; None where the value is a text or few good units have one.
    limit : str
        The limit on the value's side in words; empty if there is none.
    since : datetime or None
        Cutoff of the first unit of this machine since which all were unlike good units in the same way.
    contribution : float
        To the log-odds of a defect, against good units.
    stability : float
        Share of the refits that agree.
    share : float or None
        Share of good units that have the same text, or any value where one is missing or rare; else None.
    """

    feature: str
    tag: str
    station: str
    value: float | str | None
    unit: str
    low: float | None
    high: float | None
    limit: str
    since: datetime | None
    contribution: float
    stability: float
    share: float | None = None


def name_of(feature: str, route: Collection[str], tags: Collection[str]) -> Name:
    """Take a feature's name apart.

    Parameters
    ----------
    feature : str
    route : collection of str
        The line's stations.
    tags : collection of str
        ``{station}.{tag}`` of every tag that is known, since both may hold dots.

    Examples
    --------
    >>> name_of("press.DB1.PT_3.last", ["press"], [])
    Name(station='press', tag='DB1.PT_3', statistic='last')
    >>> name_of("bottom.press.force.mean", ["press"], [])
    Name(station='bottom.press', tag='force', statistic='mean')
    >>> name_of("press.machine", ["press"], []), name_of("resin.lot.defect_rate", ["press"], [])
    (Name(station='press', tag='', statistic='machine'), Name(station='resin', tag='lot', statistic='defect_rate'))
    """
    of, _dot, statistic = feature.rpartition(".")
    parts = of.split(".")
    for start in range(len(parts)):
        for end in range(start + 1, len(parts) + 1):
            if ".".join(parts[start:end]) in route:
                return Name(".".join(parts[:end]), ".".join(parts[end:]), statistic)
    for start in range(len(parts) - 1):
        if ".".join(parts[start:]) in tags:
            return Name(".".join(parts[: start + 1]), ".".join(parts[start + 1 :]), statistic)
    return Name(of, "", statistic) if len(parts) == 1 else Name(".".join(parts[:-1]), parts[-1], statistic)


def words_of(name: Name, *, at_station: bool = False) -> str:
    """What a feature is, in words; with its station where other stations have a tag of that name.

    Examples
    --------
    >>> words_of(Name("press", "hold_pressure", "last")), words_of(Name("mill", "cycle_time", "slope"), at_station=True)
    ('hold pressure', 'slope of cycle time at mill')
    >>> words_of(Name("press", "", "machine")), words_of(Name("press", "machine", "defect_rate"))
    ('press machine', 'recent defect rate of this press machine')
    """
    if name.statistic in _WORDS:
        form = _WORDS[name.statistic]
    else:
        form = visible(name.statistic).replace("_", " ") + (" of {tag}" if name.tag else " of {station}")
    words = form.replace("{tag}", plain(name.tag)).replace("{station}", plain(name.station))
    return f"{words} at {plain(name.station)}" if at_station and "{tag}" in form and "{station}" not in form else words


def plain(name: str) -> str:
    """A plant's name as it is read: spaces for underscores, and nothing that breaks a sentence."""
    return visible(name.replace("_", " "))


def numbers_in_words(value: float, *others: float) -> list[str]:
    """Return numbers with as many decimals as tell the value from the others, and these from each other.

    Examples
    --------
    >>> numbers_in_words(412.301, 428.4, 441.2), numbers_in_words(2.3104, 2.05, 2.181)
    (['412', '428', '441'], ['2.31', '2.05', '2.18'])
    >>> numbers_in_words(441.26, 428.4, 441.2), numbers_in_words(1.0, 0.0, 0.0)
    (['441.3', '428.4', '441.2'], ['1', '0', '0'])
    >>> numbers_in_words(1.5e30), numbers_in_words(28.0, -0.2, 19.0)
    (['1.5e+30'], ['28', '0', '19'])
    """
    numbers = [value, *others]
    gaps = [abs(one - other) for one in numbers for other in numbers if one != other] or [abs(value) or 1.0]
    width = abs(others[-1] - others[0]) if len(others) > 1 and others[0] != others[-1] else max(gaps)
    if max(map(abs, numbers)) >= _LARGE:
        return [f"{one:.5g}" for one in numbers]
    decimals = min(max(0, 1 - math.floor(math.log10(width))), 9)
    while decimals < 9 and any(f"{one:.{decimals}f}" == f"{value:.{decimals}f}" for one in others if one != value):
        decimals += 1
    told = [f"{round(one, decimals) + 0.0:.{decimals}f}" for one in numbers]  # minus zero is zero
    if all(float(text) == int(float(text)) for text in told) or len(others) < 2 or others[0] == others[-1]:
        return [_trimmed(text) for text in told]
    return told


def range_in_words(low: str, high: str) -> str:
    """Return a range of two numbers in words.

    Examples
    --------
    >>> range_in_words("428", "441"), range_in_words("-2", "3"), range_in_words("0", "0")
    ('428-441', '-2 to 3', '0')
    """
    if low == high:
        return low
    return f"{low} to {high}" if low.startswith("-") else f"{low}-{high}"


def limit_in_words(value: float, low: float, high: float, limits: Limits) -> str:
    """Return the limit on the side on which a value is outside the range of good units; empty if none is stated."""
    limit = limits.upper if value > high else limits.lower if value < low else math.nan
    if math.isnan(limit):
        return ""
    return _trimmed(f"{float(f'{limit:.7g}'):.9f}")


def limits_at(rows: pd.DataFrame, product: object, at: datetime) -> Limits:
    """Return what holds for a tag and a product at a moment [UTC], as known then: see `features.tags.with_limits`.

    Parameters
    ----------
    rows : DataFrame
        Of the table `tags`, every version of those of one tag.
    product : str
        Missing if it is not known.
    at : datetime
    """
    rows = rows[(rows["valid_from"] <= at) & (rows["recorded_at"] <= at)]
    rows = rows[rows["product"].isin(["", product])]
    if rows.empty:
        return UNLIMITED
    own = rows.assign(_own=rows["product"] != "").sort_values(["_own", "valid_from", "recorded_at"], kind="stable")
    newest = own.iloc[-1]
    return Limits(*(float(newest[field]) for field in Limits._fields))


def sentence(driver: Driver, words: str, *, compared: str, since: str) -> str:
    """What is said of a driver.

    Parameters
    ----------
    driver : Driver
    words : str
        What the feature is, see `words_of`.
    compared : str
        Who the good units are, such as "good parts".
    since : str
        Since when, in words; empty if only this unit is unlike them.
    """
    tail = f"; {since}" if since else ""
    share = "" if driver.share is None else f"{_in_100(driver.share)} of 100 {compared}"
    if driver.value is None:
        return f"{words} not recorded; {share} have it{tail}"
    if isinstance(driver.value, str):
        return f"{words} {visible(driver.value)}, {share}{tail}"
    unit = f" {visible(driver.unit)}" if driver.unit else ""
    if driver.low is None or driver.high is None:
        return f"{words} {numbers_in_words(driver.value)[0]}{unit} recorded; {share} have one{tail}"
    by, unit = (100.0, " in 100") if driver.feature.rpartition(".")[2] in SHARES else (1.0, unit)
    value, low, high = numbers_in_words(by * driver.value, by * driver.low, by * driver.high)
    limit = f", limit {driver.limit}" if driver.limit else ""
    return f"{words} {value}{unit}, {compared} {range_in_words(low, high)}{limit}{tail}"


def ambiguous(names: Mapping[str, Name]) -> set[str]:
    """Tags that several stations have."""
    stations: dict[str, set[str]] = {}
    for name in names.values():
        stations.setdefault(name.tag, set()).add(name.station)
    return {tag for tag, at in stations.items() if tag and len(at) > 1}


def _in_100(share: float) -> int:
    """A share in 100; 0 and 100 only if none or all."""
    if 0.0 < share < 1.0:
        return min(max(round(100 * share), 1), 99)
    return round(100 * share)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
