"""The rows that page, check sheet and workbook show: one shape, whatever a night could not say."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from qma_predict.publish.pages.words import counted

if TYPE_CHECKING:
    from qma_predict.publish.issues.find import Issue

LONGEST_PAGE = 300
"""Units on the page at most, and with reasons [units]; workbook and data files have all."""

_MAY_BE_MISSING = {
    "selected_by": "str",
    "minutes": "float64",
    "value": "float64",
    "check": "str",
    "caution": "str",
    "listed_since": "object",
}


def completed(ranked: pd.DataFrame) -> pd.DataFrame:
    """Return the ranked candidates with every column that is shown.

    Parameters
    ----------
    ranked : DataFrame, one row a scored candidate, best first
        ``rank`` (1 first), ``listed``, ``unit_id``, ``product``, ``station``, ``machine``, ``since``, ``first_night``,
        ``score``, ``risk_low`` and ``risk_high``. If they are known: ``selected_by`` ("rank" or "audit"), ``minutes``
        of a check [min], ``value`` of a check (expected money saved), ``check`` (what to check), ``caution`` (why
        its risk is less certain than others') and ``listed_since`` (business date of the first earlier list that named
        the unit among those to check).

    Returns
    -------
    DataFrame
        The same rows, what was not given as missing values.
    """
    absent = {name: kind for name, kind in _MAY_BE_MISSING.items() if name not in ranked}
    missing = {name: pd.Series(pd.NA, index=ranked.index, dtype="object").astype(kind) for name, kind in absent.items()}
    return ranked.assign(**missing, listed=ranked["listed"].astype(bool))


def order_words(night: pd.DataFrame) -> str:
    """Return how the listed units were chosen.

    Parameters
    ----------
    night : DataFrame
        As `completed` returns it.

    Examples
    --------
    >>> night = pd.DataFrame({"listed": True, "selected_by": ["rank", "rank", "audit"], "value": 9.0, "minutes": 5.0})
    >>> order_words(night), order_words(night.head(2)), order_words(night.head(2).assign(value=float("nan")))
    ('2 ranked by value per minute, 1 audit', 'ranked by value per minute', 'ranked by risk')
    >>> order_words(night.assign(minutes=float("nan")))
    '2 ranked by value, 1 audit'
    """
    listed = night[night["listed"]]
    by = "value" if night["value"].notna().any() else "risk"
    lengths = night["minutes"].nunique()
    if lengths > 1 or (by == "value" and lengths):
        by += " per minute"
    audits = int((listed["selected_by"] == "audit").sum())
    return f"{len(listed) - audits:,} ranked by {by}, {counted(audits, 'audit')}" if audits else f"ranked by {by}"


def issues_of(issues: "Sequence[Issue]") -> dict[str, str]:
    """Return the numbers of each unit's issues, such as "1, 3", by unit_id."""
    numbers: dict[str, list[str]] = {}
    for issue in issues:
        for unit_id in issue.unit_ids:
            numbers.setdefault(unit_id, []).append(str(issue.number))
    return {unit_id: ", ".join(of_unit) for unit_id, of_unit in numbers.items()}


def work_of(listed: pd.DataFrame) -> float | None:
    """Return the work of the checks together [min]; None if it is not known of all, or nothing is listed."""
    known = len(listed) > 0 and listed["minutes"].notna().all()
    return float(listed["minutes"].sum()) if known else None
