"""How the quantity went that an issue's units have otherwise, as pictures."""

from collections.abc import Sequence

import pandas as pd

from qma_predict.line import Line
from qma_predict.publish.issues.driver import came, good_range, limits_of, of_the_same_products
from qma_predict.publish.issues.find import Issue
from qma_predict.publish.issues.measured import compared_with
from qma_predict.publish.pages.pictures import course

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
    drawn = {}
    for issue in issues:
        if not issue.feature:
            continue
        at = came(issue.conditions, conditions)
        at = at[at.index.isin(X.index)]
        values = X[issue.feature].reindex(at.index)
        if values.notna().sum() < LEAST:
            continue
        own = X[X.index.isin(issue.unit_ids)]
        good = compared_with(siblings, issue.feature, issue.conditions, line) if issue.side else siblings
        usual = of_the_same_products(own, good)[issue.feature].dropna()
        limits = limits_of(issue.feature, own, tags, at.max(), line)
        ends = good_range(usual) if len(usual) else None
        shown = (limits.lower, limits.upper)
        drawn[issue.number] = course(at, values, timezone=line.timezone, good=ends, limits=shown)
    return drawn
