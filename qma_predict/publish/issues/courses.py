"""How the quantity went that an issue's units have otherwise, as pictures."""

from collections.abc import Sequence

import pandas as pd

from qma_predict.line import Line
from qma_predict.publish.issues.find import Issue
from qma_predict.publish.pages.pictures import course
from qma_predict.publish.reasons.drivers import LEVELS, limits_at, name_of

LEAST = 5
"""Values from which on a course is drawn."""


def courses(
    issues: Sequence[Issue],
    conditions: pd.DataFrame,
    X: pd.DataFrame,
    siblings: pd.DataFrame,
    tags: pd.DataFrame,
    line: Line,
) -> dict[int, str]:
    """Draw the course of each issue's driver over tonight's candidates under the same conditions, whenever made.

    Parameters
    ----------
    issues : sequence of Issue
    conditions : DataFrame
        As `find_issues` takes it.
    X, siblings : DataFrame, indexed by unit_id
        Features of tonight's candidates, and of good units.
    tags : DataFrame
        Every version of the table `tags` that is known.
    line : Line

    Returns
    -------
    dict of int to str
        SVG by the issue's number; an issue without a driver, or with fewer than `LEAST` values, has none.
    """
    of_tags = {f"{station}.{tag}": rows for (station, tag), rows in tags.groupby(["station", "tag"])}
    drawn = {}
    for issue in issues:
        if not issue.feature:
            continue
        at = _came(issue, conditions)
        at = at[at.index.isin(X.index)]
        values = X[issue.feature].reindex(at.index)
        if values.notna().sum() < LEAST:
            continue
        name = name_of(issue.feature, line.route, of_tags)
        usual = siblings[issue.feature].dropna()
        limits: tuple[float | None, float | None] = (None, None)
        if (rows := of_tags.get(f"{name.station}.{name.tag}")) is not None and name.statistic in LEVELS:
            product = X.get("unit.product", pd.Series(dtype="str")).reindex(list(issue.unit_ids)).mode()
            found = limits_at(rows, product.iloc[0] if len(product) else "", at.max())
            limits = (found.lower, found.upper)
        good = (float(usual.quantile(0.1)), float(usual.quantile(0.9))) if len(usual) else None
        drawn[issue.number] = course(at, values, timezone=line.timezone, good=good, limits=limits)
    return drawn


def _came(issue: Issue, conditions: pd.DataFrame) -> pd.Series:
    """When each unit came under the issue's conditions, by unit_id; under the last of any where it has none."""
    shared = pd.DataFrame(list(issue.conditions), columns=["attribute", "value"], dtype="str")
    wanted = conditions.merge(shared) if issue.conditions else conditions
    of_unit = wanted.groupby("unit_id").agg(shared=("attribute", "size"), at=("occurred_at", "max"))
    return of_unit["at"] if not issue.conditions else of_unit.loc[of_unit["shared"] == len(shared), "at"]
