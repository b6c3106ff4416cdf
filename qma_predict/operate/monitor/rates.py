"""The defect rate by day of production, of matured labels only, on control charts."""

from datetime import timedelta

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn.labels import labels
from qma_predict.learn.rates import percent
from qma_predict.learn.weights import uncut_weights
from qma_predict.line import Line
from qma_predict.operate.monitor.charts import ewma_of_rate, laney_p
from qma_predict.operate.monitor.sample import production_day
from qma_predict.publish.pages.words import counted, day_words

JUDGED = 28
"""Days that are judged: the newest."""

BASELINE = 56
"""Days before them, which set the limits."""

FEWEST_DAYS = 20
"""Days with inspected units that a baseline needs."""

FEWEST_DEFECTS = 10.0
"""Defects that it needs, or where units count unequally, as many as they are worth: with fewer, a day's rate is far
from normal, and limits say little."""

COVERED = 0.5
"""Share of what a day's inspected units stand for on average, of all that were made on it, below which unequally
counted units do not stand for the day: a list that was checked without any audit."""

PERSISTENT = 3
"""Days in a row, the newest among them, for which the average must be beyond its limits for an alarm."""

COLUMNS = ("day", "units", "defects", "worth", "rate", "centre", "low", "high", "signal", "average", "average_centre",
           "average_low", "average_high", "average_signal", "baseline")  # fmt: skip


def defect_rates(history: History, points: pd.DataFrame, line: Line) -> pd.DataFrame:
    """Defect rate of each day of production of which all labels are mature, with p' chart and EWMA chart.

    Parameters
    ----------
    history : History
    points : DataFrame
        With unique ``unit_id`` and with ``cutoff`` [UTC].
    line : Line

    Returns
    -------
    DataFrame, a row a day with inspected units, the oldest first
        ``day``; ``units`` and ``defects``, inspected with a result; ``worth``, of how many units ``rate`` is known as
        well as; ``rate``; ``centre``, ``low``, ``high`` and ``signal`` of Laney's p' chart; the same of the EWMA chart
        after ``average``, in standard errors of a day's rate; ``baseline``. Limits are missing where the baseline has
        too few days or defects.

    Notes
    -----
    Where inspections say with what probability their unit was selected, a unit counts as often as it stands for
    others (`uncut_weights`), and a day as many units as they are worth (Kish 1965): otherwise a list that finds defects
    would look as if more of them were made. Days are left out whose inspected units stand for less than `COVERED` of
    what is usual, such as those without an audit: their rate would be that of the list.
    """
    day = production_day(points["cutoff"], line)
    judged_until = production_day(pd.Series([history.as_of - line.gate.maturity]), line).iloc[0]
    since = judged_until - timedelta(days=JUDGED + BASELINE)
    wanted = points[((day >= since) & (day < judged_until)).to_numpy()]
    if wanted.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    units = pd.DataFrame({"label": labels(history, wanted, line), "weight": uncut_weights(history, wanted, line)})
    units["day"] = day[wanted.index].to_numpy()
    return charted(_by_day(units), judged_until - timedelta(days=JUDGED))


def _by_day(units: pd.DataFrame) -> pd.DataFrame:
    known = units[units["label"].notna()]
    parts = pd.DataFrame(
        {"w": known["weight"], "wy": known["weight"] * known["label"], "ww": known["weight"] ** 2, "y": known["label"]}
    )
    sums = parts.groupby(known["day"]).sum()
    days = pd.DataFrame(
        {
            "units": known.groupby("day").size(),
            "defects": sums["y"],
            "worth": sums["w"] ** 2 / sums["ww"],
            "rate": sums["wy"] / sums["w"],
        }
    )
    if known["weight"].nunique() > 1:
        made = units.groupby("day").size()[days.index]
        days = days[sums["w"] / made >= COVERED * sums["w"].sum() / made.sum()]
    return days.reset_index()


def charted(days: pd.DataFrame, judged_from: pd.Timestamp) -> pd.DataFrame:
    """Control charts of daily rates.

    Parameters
    ----------
    days : DataFrame, the oldest first
        ``day``, ``units``, ``defects``, ``rate``, and ``worth``: of how many units the rate is known as well as.
    judged_from : Timestamp
        First day that is judged; those before are the baseline.

    Returns
    -------
    DataFrame
        As `defect_rates` says.
    """
    baseline = (days["day"] < judged_from).to_numpy()
    enough = baseline.sum() >= FEWEST_DAYS and _worth_of_defects(days[baseline]) >= FEWEST_DEFECTS
    shown = laney_p(days["rate"] * days["worth"], days["worth"], baseline & enough)
    average = ewma_of_rate(shown)
    found = days.assign(**{name: shown[name].to_numpy() for name in ("centre", "low", "high", "signal")})
    for name in ("centre", "low", "high", "signal"):
        found[f"average_{name}"] = average[name].to_numpy()
    return found.assign(average=average["value"].to_numpy(), baseline=baseline)[list(COLUMNS)]


def persistent(rates: pd.DataFrame) -> str:
    """Return the alarm of a defect rate that stays beyond its limits, in a sentence; empty if it does not.

    Parameters
    ----------
    rates : DataFrame
        Of `defect_rates`.

    Notes
    -----
    A single day beyond the limits is shown and no alarm. On twelve simulated plants with their usual incidents the
    rule gave 0.3 alarms in 30 nights; on days that differ by chance alone, with 9 defects a day, 0.03, and with one in
    two days, or rates over all units that are worth as much, 0.2.
    """
    judged = rates[~rates["baseline"].astype(bool)]
    beyond = judged["average_signal"].to_numpy(dtype=bool)
    run = int(np.argmin(beyond[::-1])) if not beyond.all() else len(beyond)
    if run < PERSISTENT:
        return ""
    of_run, before = judged.tail(run), rates[rates["baseline"].astype(bool)]
    higher = bool(of_run["average"].iloc[-1] > of_run["average_high"].iloc[-1])
    rate, units = percent(rate_of(of_run)), f"{int(of_run['units'].sum()):,} inspected"
    told = f"{rate} of {units} units in these"
    if count_unequally(of_run):
        told = f"{rate} of all units in these, told from {counted(int(of_run['defects'].sum()), 'defect')} in {units}"
    return (
        f"the defect rate is {'above' if higher else 'below'} what it was: "
        f"{counted(run, 'day')} of production in a row beyond the limits of its average, since "
        f"{day_words(of_run['day'].iloc[0].date())}; {told}, {percent(float(before['centre'].iloc[0]))} in the "
        f"{counted(len(before), 'day')} before"
    )


def rate_of(days: pd.DataFrame) -> float:
    """Defect rate of days of `defect_rates` together, by what they are worth, as the charts' centre is.

    Examples
    --------
    >>> round(rate_of(pd.DataFrame({"rate": [0.1, 0.4], "worth": [20.0, 10.0]})), 9)
    0.2
    """
    return _worth_of_defects(days) / float(days["worth"].sum())


def count_unequally(days: pd.DataFrame) -> bool:
    """Whether inspected units of days of `defect_rates` stand for others, and not all for as many."""
    return not np.allclose(days["worth"], days["units"])


def _worth_of_defects(days: pd.DataFrame) -> float:
    """How many defects the rates of days are known as well as of; their number where all units count the same."""
    return round(float((days["rate"] * days["worth"]).sum()), 9)  # a sum of ratios would lie beside a whole number
