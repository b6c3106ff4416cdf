"""What an ingest of a line would do, and what is strange about its data, without writing anything that stays."""

import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pandas as pd

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.survey import books, clocks, joins, keys, stays, values, zones
from qma_predict.data.survey.finding import Finding, Survey
from qma_predict.line import Line

__all__ = ["Finding", "Survey", "survey"]

_WEIGHTS = ("blocks", "look", "note")


def survey(line: Line, *, now: datetime) -> Survey:
    """Take a line's sources into a lake that is removed again, and look at what is there.

    Parameters
    ----------
    line : Line
    now : datetime, UTC
        Our clock, by which times in the future are told.

    Raises
    ------
    LakeError
        If the temporary folder cannot be written.
    """
    moment = pd.Timestamp(now)
    with tempfile.TemporaryDirectory(prefix="qma-check-") as folder:
        lake = Lake(Path(folder) / "lake")
        done = ingest(line, lake, as_of=now, now=now)
        history = lake.at(now)
        tables, why = books.counts(line, done), books.reasons(history)
        joined, lags, labels = joins.coverage(history, line), clocks.lags(history, line), clocks.labels(history, line)
        found = [
            *books.findings(tables, why, done.problems),
            *joins.findings(history, line, joined),
            *keys.findings(history, line),
            *clocks.findings(history, line, lags, labels, moment),
            *zones.findings(history, line),
            *values.findings(history, line),
            *stays.findings(history, line),
        ]
    return Survey(line.name, tables, why, joined, lags, labels, _sorted(found), done.problems)


def _sorted(found: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda one: _WEIGHTS.index(one.weight)))
