"""Signs of a wrong zone: hours that a change of clocks doubles or leaves out where the declared zone has none."""

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

import pandas as pd
from ibis import _

from qma_predict.data.lake import History
from qma_predict.data.survey.finding import Finding
from qma_predict.line import Line

_OTHERS = ("Europe/Berlin", "America/New_York")
"""Zones that stand for those whose clocks change on the same days."""

_LEAST = 8
"""Rows in an ordinary hour, below which one without a row tells nothing."""


def findings(history: History, line: Line) -> Iterator[Finding]:
    """Tables in which local times of a zone with summer time were taken for those of one without it."""
    for name in ("visits", "readings", "inspections", "units"):
        declared = {source.timezone for source in line.sources if source.table == name}
        if len(declared) != 1 or name not in history.versions:
            continue
        zone = declared.pop()
        hours = history.tables[name].group_by(hour=_.occurred_at.truncate("h")).agg(rows=_.count()).to_pandas()
        local = pd.DatetimeIndex(pd.to_datetime(hours["hour"], utc=True)).tz_convert(zone).tz_localize(None)
        rows = hours["rows"].groupby(local).sum()
        for suspect in dict.fromkeys((line.timezone, *_OTHERS)):
            signs = list(_signs(rows, zone, suspect))
            if signs:
                what = f"{name}: the hour of {signs[0][0]} ({zone}) is {signs[0][1]}, as clocks of {suspect} would do"
                do = f'timezone = "{suspect}" of the source?'
                yield Finding("look", "clock change in the data", what, len(signs), do)
                break


def _signs(rows: pd.Series, zone: str, suspect: str) -> Iterator[tuple[str, str]]:
    """Local hours that are doubled or missing when the clocks of the suspect change and those of the zone do not."""
    for day, forward in _changes(rows.index, suspect):
        if any(day == other for other, _forward in _changes([day], zone)):
            continue
        start = day + pd.Timedelta(hours=1 if suspect.startswith("America") and not forward else 2)
        near = [start + pd.Timedelta(days=n) for n in (-7, -3, -2, -1, 1, 2, 3, 7)]
        usual = rows.reindex(near).fillna(0).median()
        around = rows.reindex([start - pd.Timedelta("1h"), start + pd.Timedelta("2h")]).fillna(0)
        if usual < _LEAST or (around < 0.5 * usual).any():
            continue
        seen = rows.get(start, 0)
        if not forward and seen >= 1.7 * usual:
            yield f"{start:%Y-%m-%d %H:%M}", "doubled"
        elif forward and seen == 0:
            yield f"{start:%Y-%m-%d %H:%M}", "missing"


def _changes(moments: Iterable[pd.Timestamp], zone: str) -> Iterator[tuple[pd.Timestamp, bool]]:
    """Days between the first and the last moment on which clocks change, and whether they go forward."""
    known = pd.DatetimeIndex(moments)
    days = pd.date_range(known.min().normalize(), known.max().normalize() + pd.Timedelta("1D"), freq="D")
    offsets = [day.to_pydatetime().replace(tzinfo=ZoneInfo(zone)).utcoffset() for day in days]
    for day, before, after in zip(days, offsets, offsets[1:], strict=False):
        if before != after:
            yield day, after > before
