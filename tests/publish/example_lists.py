"""A night written by hand, in the shapes that the rest of the program delivers, for the tests of what people open."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.publish.issues.find import Issue
from qma_predict.publish.pages.facts import Facts

AS_OF = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)  # 05:00 in Berlin

FACTS = Facts(
    plant="Plant A",
    line="Line 2",
    business_date=date(2026, 11, 24),
    as_of=AS_OF,
    valid_until=AS_OF + timedelta(days=1),
    timezone="Europe/Berlin",
    list_id="line2-2026-11-24",
    state="OK",
    state_reasons=(),
    data_until=AS_OF - timedelta(minutes=10),
    tables=6,
    model="boosted_trees",
    model_version="17",
    trained_until=datetime(2026, 11, 10, 3, 0, tzinfo=UTC),
    capacity=2,
    base_rate=0.012,
    expected=0.3,
    low=0,
    high=1,
    random_found=0.03,
)

NASTY = (
    "<script>alert(1)</script>",
    "</td></table></style>",
    '=HYPERLINK("http://x.invalid")',
    "+1;@SUM(A1)",
    "\u202e81300\u202c",
    "a\x00b\nc\x1b[31m",
    "{{ 7*7 }}${7*7}",
    "'" * 5_000,
    "\u05d0\u05d1\u05d2 42",
)


def ranked(scores: list[float], *, listed: int, **columns: object) -> pd.DataFrame:
    """Scored candidates, best first, the first of them listed."""
    n = len(scores)
    rows = {
        "unit_id": [f"u{i}" for i in range(n)],
        "product": "A-55",
        "cutoff": pd.Timestamp(AS_OF - timedelta(hours=8)),
        "first_night": FACTS.business_date,
        "station": "storage",
        "machine": "bay 4",
        "since": pd.Timestamp(AS_OF - timedelta(hours=7)),
        "score": np.asarray(scores, dtype=float),
        "reason": None,
        "rank": np.arange(1, n + 1),
        "listed": np.arange(n) < listed,
        "selected_by": np.where(np.arange(n) < listed, "rank", None),
        "selection_probability": 1.0,
        "minutes": 5.0,
        "value": np.nan,
        "check": "leak, dimension",
        "risk_low": np.nan,
        "risk_high": np.nan,
    }
    return pd.DataFrame({**rows, **columns})


def not_scored(reasons: list[str | None]) -> pd.DataFrame:
    """Candidates without a score."""
    rows = ranked([np.nan] * len(reasons), listed=0, reason=reasons)
    return rows.assign(unit_id=[f"n{i}" for i in range(len(rows))])


def because(
    units: list[str], sentence: str = "hold pressure 412 bar, good parts 428-441", action: str = ""
) -> pd.DataFrame:
    """Why units are listed."""
    return pd.DataFrame(
        {"because": sentence, "told": [(sentence,)] * len(units), "action": action, "drivers": [()] * len(units)},
        index=pd.Index(units, name="unit_id"),
    )


def issue(**fields: Any) -> Issue:
    """An issue of two units."""
    told = {
        "number": 1,
        "title": "Press W13 · mould 5400",
        "conditions": (("press", "W13"), ("mould", "5400")),
        "units": 19,
        "risk": 0.09,
        "low": 0.05,
        "high": 0.14,
        "normal": 0.012,
        "since": datetime(2026, 11, 22, 21, 0, tzinfo=UTC),
        "nights": 3,
        "driver": "injection time 2.31 s, good parts 2.05-2.18, rising",
        "places": (("in stock", 212), ("shipped", 40)),
        "action": "hold",
        "unit_ids": ("u0", "u1"),
    }
    return Issue(**{**told, **fields})


def promises(*rows: dict[str, Any]) -> pd.DataFrame:
    """Earlier lists, newest first, the first of them yesterday's."""
    usual = {
        "promised": 5.0,
        "low": 2.0,
        "high": 8.0,
        "listed": 40,
        "checked": 31,
        "found": 4,
        "pending": 2,
        "not_checked": 7,
        "verdict": "kept",
        "reason": "",
    }
    days = [FACTS.business_date - timedelta(days=n + 1) for n in range(len(rows))]
    columns = ["business_date", *usual]
    return pd.DataFrame(
        [{"business_date": day, **usual, **row} for day, row in zip(days, rows, strict=True)], columns=columns
    )
