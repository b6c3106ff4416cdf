"""The units that are looked at: all would cost as much as a training, every night."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from qma_predict.line import Line

A_DAY = 40
"""Units of a day of production of which tags are charted, at most."""

A_NIGHT = 200
"""Units that became candidates on one of the last nights and are compared with the training, at most."""


def production_day(cutoff: pd.Series, line: Line) -> pd.Series:
    """Local date of each cutoff [UTC], as datetime64 without a zone."""
    return cutoff.dt.tz_convert(ZoneInfo(line.timezone)).dt.tz_localize(None).dt.normalize()


def drawn(rows: pd.DataFrame, by: str, most: int) -> pd.DataFrame:
    """At most so many rows of each value of a column, in the order of a hash of ``unit_id``: the same every time.

    Examples
    --------
    >>> rows = pd.DataFrame({"unit_id": ["u1", "u2", "u3"], "day": [1, 1, 2]})
    >>> drawn(rows, "day", 1)["day"].tolist()
    [1, 2]
    """
    order = pd.util.hash_array(rows["unit_id"].to_numpy(dtype=object)).argsort(kind="stable")
    mixed = rows.iloc[order]
    return rows.loc[mixed.index[(mixed.groupby(by).cumcount() < most).to_numpy()].sort_values()]


def of_nights(points: pd.DataFrame, business_date: date, nights: int) -> pd.DataFrame:
    """Points that first were candidates on one of the last nights, `business_date` included.

    Parameters
    ----------
    points : DataFrame
        With ``unit_id`` and ``night`` (business date, missing where a unit never was a candidate).
    business_date : date
    nights : int
    """
    first = business_date - timedelta(days=nights - 1)
    known = points[points["night"].notna()]
    return known[(known["night"] >= first) & (known["night"] <= business_date)]
