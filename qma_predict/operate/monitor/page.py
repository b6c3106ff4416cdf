"""What was seen of a line as one self-contained HTML page: alarms first, then what is information only.

No clock is read and nothing is fetched: the same input gives the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from qma_predict.learn.rates import percent
from qma_predict.operate.monitor.drift import SMALLEST
from qma_predict.operate.monitor.envelope import MANY
from qma_predict.operate.monitor.monitoring import NIGHTS, Monitoring
from qma_predict.operate.monitor.rates import PERSISTENT, count_unequally, rate_of
from qma_predict.publish.pages import pictures
from qma_predict.publish.pages.facts import kept_words
from qma_predict.publish.pages.templates import template
from qma_predict.publish.pages.words import Moments, cell_words, counted, day_words
from qma_predict.publish.state import MISSING
from qma_predict.publish.text import visible

MOST = 10
"""Rows of a table, or names in a sentence, at most; the frames have all."""

UNKNOWN = "not known"


def render(monitoring: Monitoring) -> str:
    """Return the page of what was seen of a line as of a business date.

    Parameters
    ----------
    monitoring : Monitoring

    Returns
    -------
    str
        One HTML document without scripts and outside resources.
    """
    m = monitoring
    moments = Moments(m.line.timezone, m.business_date, m.as_of.to_pydatetime())
    return template("page.html.jinja", Path(__file__).parent).render(
        name=f"{visible(m.line.plant)} · {visible(m.line.title)}",
        day=moments.long_day(m.business_date),
        footer=f"Monitoring {m.line.name} {m.business_date.isoformat()}",
        moments=moments,
        m=m,
        nights=NIGHTS,
        persistent=PERSISTENT,
        smallest=f"{100 * SMALLEST:.0f}",
        tables=list(_tables(m, moments)),
        silent=_names(_silent(m)),
        refused=[_refused(row) for row in m.refused.head(MOST).itertuples()],
        problems=[f"{cell_words(row.table)}: {row.problem}" for row in m.problems.head(MOST).itertuples()],
        rate=_rate(m),
        rate_pictures=_rate_pictures(m),
        weeks=list(_weeks(m)),
        level=_level(m),
        promises=kept_words(m.promises) if len(m.promises) else "",
        promise_picture=Markup(pictures.nights(m.promises)),
        drifted=list(_drifted(m)),
        n_drifted=int(m.drift["drifted"].sum()),
        n_features=len(m.drift),
        too_few=bool(len(m.drift)) and bool(m.drift["p"].isna().all()),
        scores=_scores(m),
        outside=_outside(m),
        tags=list(_tags(m)),
    )


def _tables(m: Monitoring, moments: Moments) -> Iterator[dict[str, Any]]:
    by = m.volume.set_index(["table", "ago"])
    for table, fresh in m.fresh.iterrows():
        last, late = by.loc[(table, 0)], m.delays.loc[table]
        unusual = by.loc[table]["unusual"].fillna(False).astype(bool)
        yield {
            "table": cell_words(table),
            "newest": moments.recent(fresh["recorded"]) if pd.notna(fresh["recorded"]) else "no row",
            "hours": _number(fresh["hours"], 1),
            "rows": f"{int(last['rows']):,}",
            "usual": _number(last["usual"], 0),
            "unusual": _unusual(unusual, last),
            "delay": f"{_hours(late['median'])}, {_hours(late['q95'])}" if late["rows"] else "no row",
            "usual_delay": _hours(late["usual_q95"]) if pd.notna(late["usual_q95"]) else "no row",
            "later": bool(late["later"]),
            "seen_late": UNKNOWN if pd.isna(late["seen_late"]) else f"{int(late['seen_late']):,}",
        }


def _silent(m: Monitoring) -> pd.Series:
    silent = m.sensors[m.sensors["silent"].astype(bool)]
    return silent["station"].astype("str") + "." + silent["tag"].astype("str")


def _unusual(unusual: pd.Series, last: pd.Series) -> str:
    if pd.isna(last["unusual"]):
        return UNKNOWN
    ago = [int(at) for at in unusual.index[unusual]]
    if not ago:
        return "no"
    return ", ".join("last night" if at == 0 else f"{counted(at, 'night')} before" for at in ago)


def _refused(row: Any) -> str:
    return f"{row.rows:,} of {cell_words(row.table)} in {counted(row.files, 'file')}: {row.reason}"


def _rate(m: Monitoring) -> str:
    judged = m.rates[~m.rates["baseline"].astype(bool)]
    if judged.empty:
        return "No day of production has matured labels yet."
    units, defects = int(judged["units"].sum()), int(judged["defects"].sum())
    unequal = count_unequally(judged)
    told = (
        f"{counted(defects, 'defect')} in {units:,} inspected units of the last {counted(len(judged), 'judged day')} "
        f"of production, up to {day_words(judged['day'].iloc[-1].date())}: {percent(rate_of(judged))}"
        f"{' of all units' if unequal else ''}"
    )
    centre = judged["centre"].iloc[-1]
    if pd.isna(centre):
        lack = "their defects are worth too few among all units" if unequal else "have too few defects"
        return f"{told}. The days before are too few, or {lack}, for control limits."
    signals = int(judged["signal"].sum())
    return (
        f"{told}, {percent(centre)} before. {counted(signals, 'day')} beyond the limits; the average is "
        f"{'beyond' if judged['average_signal'].iloc[-1] else 'within'} its limits now."
    )


def _rate_pictures(m: Monitoring) -> list[tuple[str, Markup]]:
    average = m.rates[["day", "baseline"]].assign(
        **{name: m.rates[f"average_{name}"] for name in ("centre", "low", "high", "signal")}, value=m.rates["average"]
    )
    rates = m.rates.rename(columns={"rate": "value"})
    drawn = [
        (
            "Defects by day of production (Laney p')",
            pictures.control_chart(rates, what="the defect rate", percent=True),
        ),
        (
            "Its exponentially weighted moving average, in standard errors of a day",
            pictures.control_chart(average, what="the moving average of the defect rate"),
        ),
    ]
    return [(caption, Markup(svg)) for caption, svg in drawn if svg]


def _weeks(m: Monitoring) -> Iterator[dict[str, str]]:
    for row in m.realised.iloc[::-1].itertuples():
        ratio = "" if pd.isna(row.ratio) else f"{row.ratio:.2f} ({row.low:.2f}-{row.high:.2f})"
        yield {
            "week": day_words(row.week),
            "nights": f"{row.nights}",
            "known": f"{row.known:,} of {row.units:,}",
            "defects": f"{row.defects:,}",
            "expected": _number(row.expected, 1),
            "ratio": ratio or UNKNOWN,
            "precision": _pair(row.precision, row.expected_precision),
            "recall": _pair(row.recall, row.expected_recall),
            "average_precision": _pair(row.average_precision, row.expected_average_precision),
        }


def _pair(found: float, expected: float) -> str:
    return f"{_number(found, 2)} ({_number(expected, 2)})"


def _level(m: Monitoring) -> str:
    shift = m.level.shift
    if not m.level.expected:
        return "No outcome of a scored unit is known yet."
    if shift.notice:
        return shift.notice
    said = ", which chance alone can do"
    if shift.low > 1 or shift.high < 1:
        said = f": {'more' if shift.low > 1 else 'fewer'}, though not beyond three standard deviations"
    found = f"{counted(m.level.defects, 'defect')} where {m.level.expected:.1f} were expected"
    if m.level.weighted:
        found = f"{found} among the inspected units; over all units about {shift.ratio:.2f} times as many as expected"
    return f"Over all these weeks {found}{said} (95 % interval of the ratio {shift.low:.2f} to {shift.high:.2f})."


def _drifted(m: Monitoring) -> Iterator[dict[str, str]]:
    for row in m.drift[m.drift["drifted"]].head(MOST).itertuples():
        yield {
            "feature": cell_words(row.feature),
            "effect": f"{100 * row.effect:.0f} in 100",
            "moved": f"{100 * row.moved:.0f}",
            "chance": f"{100 * row.chance:.0f}",
            "q": _probability(row.q),
        }


def _scores(m: Monitoring) -> str:
    effect, p = m.scores["effect"], m.scores["p"]
    if pd.isna(effect):
        return "There are too few nights to compare the scores of the lists with those of the backtest."
    return (
        f"Scores: {100 * effect:.0f} in 100 units of the last {NIGHTS} nights have a score in another tenth than in "
        f"the backtest's last weeks, beyond what chance shows (p {_probability(p)})."
    )


def _outside(m: Monitoring) -> list[str]:
    if not m.units:
        return [f"No unit became a candidate in the last {NIGHTS} nights."]
    beyond = m.envelope[m.envelope["outside"] >= MANY]
    lack = m.envelope[m.envelope["missing"] - m.envelope["missing_before"] > MISSING]
    said = [
        f"{m.outside:,} of {m.units:,} units of the last {NIGHTS} nights are outside the range of the training in one "
        "of ten features or more."
    ]
    if len(beyond):
        told = [f"{cell_words(row.feature)} ({100 * row.outside:.0f} in 100)" for row in beyond.head(MOST).itertuples()]
        said.append(f"Often beyond the training's range: {', '.join(told)}{_more(len(beyond))}.")
    if len(lack):
        said.append(f"Missing for most units, and known in the training: {_names(lack['feature'])}.")
    return said


def _tags(m: Monitoring) -> Iterator[dict[str, Any]]:
    for feature, rows in m.tags.groupby("feature", sort=False):
        judged = rows[~rows["baseline"].astype(bool)]
        unit = m.tag_units.get(str(feature), "")
        yield {
            "name": cell_words(feature),
            "unit": f" [{cell_words(unit)}]" if unit else "",
            "now": "average beyond its limits" if len(judged) and judged["average_signal"].iloc[-1] else "",
            "picture": Markup(pictures.control_chart(rows, what="the daily mean")),
        }


def _names(names: pd.Series) -> str:
    return ", ".join(cell_words(name) for name in names.head(MOST)) + _more(len(names))


def _more(number: int) -> str:
    return f" and {number - MOST} more" if number > MOST else ""


def _number(value: float, digits: int) -> str:
    return UNKNOWN if pd.isna(value) else f"{value:,.{digits}f}"


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "below 0.001"


def _hours(hours: float) -> str:
    """A span, in minutes below two hours.

    Examples
    --------
    >>> _hours(0.25), _hours(30.0), _hours(float("nan"))
    ('15 min', '30 h', 'not known')
    """
    if pd.isna(hours):
        return UNKNOWN
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h"
