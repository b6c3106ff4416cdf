"""Issues of a night: groups of candidates that share what may be behind their risk, each told as one story."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from qma_predict.line import Line
from qma_predict.publish.issues.driver import Driver, came, driver_of, in_words
from qma_predict.publish.issues.excess import outstanding
from qma_predict.publish.issues.groups import LEAST_UNITS, NIGHTS, Kind, Normal, judged, laid_out, nights_in_a_row
from qma_predict.publish.issues.measured import compared_with, measured_groups
from qma_predict.publish.pages.words import Moments

WEEKS = 6
"""Weeks before the night from which normals are taken."""

MOST = 10
"""Issues of a night at most: who has more has one problem that no group names."""

_RUN = timedelta(days=14)
"""How far back the beginning of a run of raised risk is looked for."""

_HOLD = 0.2
_CHECK_ALL = 5.0


@dataclass(frozen=True)
class Issue:
    """Candidates that share conditions and have more risk than is normal for such units.

    Attributes
    ----------
    number : int
        From 1, the largest excess first.
    title : str
        What they share, in words.
    conditions : tuple of (str, str)
        Attributes and values that they share.
    units : int
        Candidates tonight: those who came under the conditions since `since`, but for those `beside`.
    risk, low, high : float
        Mean P(defect) of the units, with its range.
    normal : float
        Mean P(defect) of the group's own last weeks without its highest nights, or, where it has less than a week,
        that of other units of the same products and machines; of units beyond a usual range, that of their products.
    since : datetime, UTC
        When the first unit of the run of raised risk came under the conditions.
    nights : int
        For how many nights in a row the group has had such a risk, tonight included; 0 where units are beyond a usual
        range, of which past nights tell nothing.
    driver : str
        The measured quantity that differs most from good units, in words; empty if none stands out.
    places : tuple of (str, int)
        Where all units made under the same conditions are now (see `blast_radius`), most first.
    action : str
        See `action_of`.
    unit_ids : tuple of str
        Candidates tonight, sorted; a candidate belongs to one issue at most, the first.
    feature : str
        The feature of `driver`; empty if there is none.
    side : str
        Where the units share that this feature is "above" or "below" its usual range: which. Else empty.
    beside : tuple of (int, int)
        Other candidates under the same conditions that issues before this one tell: the number of each and how many.
    """

    number: int
    title: str
    conditions: tuple[tuple[str, str], ...]
    units: int
    risk: float
    low: float
    high: float
    normal: float
    since: datetime
    nights: int
    driver: str
    places: tuple[tuple[str, int], ...]
    action: str
    unit_ids: tuple[str, ...]
    feature: str = ""
    side: str = ""
    beside: tuple[tuple[int, int], ...] = ()


def recent(past: pd.DataFrame, night: date) -> pd.DataFrame:
    """Past scores of the `WEEKS` before a night: those that `find_issues` uses, and whose conditions it needs."""
    return past[(past["night"] < night) & (past["night"] >= night - timedelta(weeks=WEEKS)) & past["score"].notna()]


def why_none(past: pd.DataFrame, night: date) -> str:
    """Why no issues can be told, in words; empty if they can.

    Examples
    --------
    >>> scores = pd.DataFrame({"unit_id": ["a"], "night": [date(2026, 3, 1)], "score": [0.1]})
    >>> why_none(scores, date(2026, 3, 2))
    'not enough nights to know what is normal: 1 of 7'
    """
    nights = recent(past, night)["night"].nunique()
    if nights >= NIGHTS:
        return ""
    return f"not enough nights to know what is normal: {nights} of {NIGHTS}"


def find_issues(
    scored: pd.DataFrame,
    conditions: pd.DataFrame,
    past: pd.DataFrame,
    line: Line,
    night: date,
    *,
    features: pd.DataFrame | None = None,
    siblings: pd.DataFrame | None = None,
    units_of_measure: Mapping[str, str] | None = None,
    tags: pd.DataFrame | None = None,
) -> tuple[Issue, ...]:
    """Issues of a night, the largest excess first; none if `why_none` says why.

    The group that stands out most is told, its units are taken away, and the rest is tested again. Of groups that
    stand out, the one is told whose risk is least likely to be that of its normal (likelihood ratio of Poisson counts,
    as in scan statistics); of groups of almost the same units, the one with fewer conditions, then the newer.

    Parameters
    ----------
    scored : DataFrame
        Tonight's candidates: ``unit_id``, ``score`` (P(defect); missing: left out), ``first_night``; ``risk_low`` and
        ``risk_high`` if known.
    conditions : DataFrame
        As `features.conditions` gives it, of tonight's candidates and of the units of `recent`.
    past : DataFrame
        ``unit_id``, ``night`` (business date), ``score``: out-of-sample scores of earlier units.
    line : Line
    night : date
        Business date of tonight.
    features : DataFrame, optional, indexed by unit_id
        Feature table of tonight's candidates, or of those listed.
    siblings : DataFrame, optional
        Feature table of past good units, with the same columns.
    units_of_measure : mapping, optional
        Unit of measure by the name of the feature, as `feature_units` gives it.
    tags : DataFrame, optional
        Every version of the table `tags` that is known, for the limit of what was measured.

    References
    ----------
    Kulldorff, M. (1997). A spatial scan statistic. Communications in Statistics, Theory and Methods 26, 1481-1496.
    """
    if why_none(past, night) or scored["score"].notna().sum() < LEAST_UNITS:
        return ()
    rows = laid_out(scored, recent(past, night), night)
    kinds, usual = judged(rows, conditions)
    measured = []
    if features is not None and siblings is not None and kinds:
        limits = {kind.attributes[0]: normal.limit for kind, normal in kinds if len(kind.attributes) == 1}
        measured = measured_groups(rows, conditions, features, siblings, line, usual, limits)
    tonight = rows["night"] >= rows.attrs["tonight"]
    candidates = conditions[conditions["unit_id"].isin(rows["unit_id"][tonight])]
    usual_tonight = pd.Series(usual[tonight], rows["unit_id"][tonight])
    moments = Moments(line.timezone, night, line.as_of(night))
    found: list[Issue] = []
    told = np.zeros(len(rows), dtype=bool)
    for kind, normal, group in outstanding(rows, kinds, usual, most=MOST, measured=measured):
        run = _run(kind, normal, group, rows, told)
        own = run["unit_id"][run["tonight"]]
        told[kind.members["row"][kind.members["group"] == group]] = True
        if len(own) < LEAST_UNITS:
            continue  # almost all are told by those before
        at = came(kind.conditions(group), candidates)
        good = siblings
        if siblings is not None and kind.feature:
            good = compared_with(siblings, kind.feature, kind.conditions(group), line)
        driver = driver_of(features, good, own, at, line, moments, units_of_measure or {}, tags=tags, only=kind.feature)
        if kind.feature:
            run = run.assign(normal=usual_tonight[run["unit_id"]].to_numpy())
        issue = _issue(len(found) + 1, kind, normal, group, run, scored, driver, line)
        found.append(replace(issue, beside=_beside(issue, found, kind, group, rows)))
    return tuple(found)


def _beside(
    issue: Issue, before: Sequence[Issue], kind: Kind, group: int, rows: pd.DataFrame
) -> tuple[tuple[int, int], ...]:
    """Candidates of a group since its issue began that earlier issues tell."""
    its = kind.members[(kind.members["group"] == group) & (kind.members["at"] >= issue.since)]
    units = set(rows["unit_id"].iloc[its["row"]])
    return tuple((one.number, n) for one in before if (n := len(units.intersection(one.unit_ids))))


def _run(kind: Kind, normal: Normal, group: int, rows: pd.DataFrame, told: np.ndarray) -> pd.DataFrame:
    """Units of a group from the first to the last of its run of raised risk, in order of time.

    Where the sum of what is above the middle between normal and tonight's risk is largest (as a CUSUM has it), among
    runs that end with one of tonight's units. Of tonight's, those that are told already are left out.
    """
    tonight = rows["night"].to_numpy() >= rows.attrs["tonight"]
    its = (kind.members["group"].to_numpy() == group) & ~(tonight & told)[kind.members["row"]]
    members = rows.iloc[kind.members["row"][its]].assign(at=kind.members["at"][its].array, normal=normal.expected[its])
    members = members.assign(tonight=tonight[kind.members["row"][its]])
    members = members.sort_values(["tonight", "at", "unit_id"], kind="stable").drop_duplicates("unit_id", keep="last")
    members = members[members["at"] >= members["at"][members["tonight"]].min() - _RUN]
    members = members.sort_values(["at", "unit_id"], kind="stable", ignore_index=True)
    now = members[members["tonight"]]
    if now.empty:
        return now
    middle = (now["score"].mean() + now["normal"].mean()) / 2
    above = np.append(0.0, (members["score"] - middle).cumsum())
    lowest = np.minimum.accumulate(above)[:-1]
    gain = np.where(members["tonight"], above[1:] - lowest, -np.inf)
    last = int(gain.argmax())
    first = int(above[: last + 1].argmin())
    run = members.iloc[first : last + 1]
    return run if run["tonight"].sum() >= LEAST_UNITS else members.iloc[min(first, now.index[0]) :]


def _issue(
    number: int,
    kind: Kind,
    normal: Normal,
    group: int,
    run: pd.DataFrame,
    scored: pd.DataFrame,
    driver: Driver | None,
    line: Line,
) -> Issue:
    now = run[run["tonight"]]
    risk, usual = float(now["score"].mean()), float(now["normal"].mean())
    low, high = _range(scored.set_index("unit_id").loc[now["unit_id"]], risk)
    nights = 0 if kind.feature else nights_in_a_row(normal, group)
    shared = kind.conditions(group)
    words = [_words(*one) for one in shared]
    words += [f"{in_words(kind.feature, line)} {kind.side} its usual range"] if kind.feature else []
    return Issue(
        number=number,
        title=" · ".join(words),
        conditions=shared,
        units=len(now),
        risk=risk,
        low=low,
        high=high,
        normal=usual,
        since=run["at"].iloc[0].to_pydatetime(),
        nights=nights,
        driver="" if driver is None else driver.sentence,
        places=(),
        action=action_of(risk, usual, nights, sensor=driver is not None and driver.implausible),
        unit_ids=tuple(sorted(now["unit_id"])),
        feature=kind.feature if driver is None else driver.feature,
        side=kind.side,
    )


def _range(units: pd.DataFrame, risk: float) -> tuple[float, float]:
    """Range of the mean risk: mean of the units' own ranges, else 90 % by the spread of their scores."""
    if {"risk_low", "risk_high"} <= set(units) and units[["risk_low", "risk_high"]].notna().all(axis=None):
        return min(float(units["risk_low"].mean()), risk), max(float(units["risk_high"].mean()), risk)
    error = 1.645 * float(units["score"].std(ddof=0) / len(units) ** 0.5)
    return max(risk - error, 0.0), min(risk + error, 1.0)


def _words(attribute: str, value: str) -> str:
    """A condition as people say it.

    Examples
    --------
    >>> _words("press machine", "W13"), _words("resin lot", "R-7781"), _words("product", "A-55")
    ('press W13', 'resin lot R-7781', 'A-55')
    >>> _words("mill tool change", "CNC-2 since tool change 2026-03-02 14:05"), _words("order", "77")
    ('mill CNC-2 since tool change 2026-03-02 14:05', 'order 77')
    """
    if attribute == "product":
        return value
    if attribute.endswith(" machine"):
        return f"{attribute.removesuffix(' machine')} {value}"
    if " since " in value:
        kind = value.partition(" since ")[2].rsplit(" ", 2)[0]
        return f"{attribute.removesuffix(' ' + kind)} {value}"
    return f"{attribute} {value}"


def action_of(risk: float, normal: float, nights: int, *, sensor: bool = False) -> str:
    """What to do, from the closed list of actions: the first of these rules that holds.

    * `check sensor`: what differs most is beyond what good units ever had; first see whether the reading is right
    * `hold`: a fifth of the units or more is expected to be defect
    * `check 100 %`: at least five times the normal risk
    * `reinforced sampling`: on the second night in a row or later
    * `watch`: otherwise

    Scrapping, and the release of what is held, are decided by people.

    Examples
    --------
    >>> action_of(0.3, 0.01, 1), action_of(0.1, 0.01, 1), action_of(0.03, 0.01, 2), action_of(0.03, 0.01, 1)
    ('hold', 'check 100 %', 'reinforced sampling', 'watch')
    """
    if sensor:
        return "check sensor"
    if risk >= _HOLD:
        return "hold"
    if risk >= _CHECK_ALL * normal:
        return "check 100 %"
    return "reinforced sampling" if nights > 1 else "watch"
