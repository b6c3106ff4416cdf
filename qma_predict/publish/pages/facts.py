"""What a list states of itself, wherever it is shown: page, check sheet, workbook, message, manifest."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.publish.pages.words import Moments, count_words, counted, risk_words

STATES = {
    "OK": "OK to use",
    "DEGRADED": "use with care",
    "BASELINE": "list by the simple rule, model not used tonight",
}


IN_RETROSPECT = (
    "for the record: it knows only what had been ingested by then (of times before the first ingest, what had been "
    "recorded by then), and nothing that came later"
)
"""What is said of a list that was made after its day was over."""


@dataclass(frozen=True)
class Facts:
    """What the head of the page states.

    Times are aware and may be in any zone; the page shows them in ``timezone``. None means that the figure is
    not known, and the page says so.
    """

    plant: str
    line: str
    business_date: date
    as_of: datetime  # the moment as which everything was asked
    valid_until: datetime
    timezone: str  # of the line, as in the tz database: Europe/Berlin
    list_id: str
    state: str  # a key of STATES
    state_reasons: tuple[str, ...]  # in words
    data_until: datetime | None  # newest recorded time among the data used
    tables: int  # tables that the line's sources fill
    model: str
    model_version: str | None
    trained_until: datetime | None  # newest data that the model learnt from
    capacity: int | None  # [units]; None where it is given as work
    base_rate: float | None  # share of defects among units with a known label, recently
    expected: float | None  # [defects] among the listed units
    low: int | None
    high: int | None
    random_found: float | None  # [defects] by as many checks of units picked at random
    ranking: str = ""  # why scores are a ranking and not probabilities; empty if they may be read as such
    minutes: float | None = None  # capacity as work [min]; None where it is given in units
    more_hour: float | None = None  # [defects] that one more hour of inspection would add, where its checks are known
    ten_more: float | None = None  # [defects] that ten more checks would add, where they are not
    ahead: int | None = None  # listed units that have not reached their gate yet [units]
    nothing_in: tuple[str, ...] = ()  # those of the tables in which nothing is known to be recorded
    no_issues_because: str = ""  # why no issue can be told tonight; empty if it can
    approved: str = ""  # who made the model champion: "approved by A. Meyer"; empty if that is not recorded
    next_training: datetime | None = None  # by schedule
    promise_spread: PromiseSpread = CHANCE_ALONE  # by which defects among scored units are counted
    own_nights: int = 0  # nights of the model's own lists from which that was learnt, beside the backtest's [nights]
    retrospective: bool = False  # made after its day was over, for the record

    @property
    def moments(self) -> Moments:
        """Times as the line's own clocks show them."""
        return Moments(self.timezone, self.business_date, self.as_of)


def check_facts(facts: Facts) -> None:
    """Refuse facts that a reader could not act on.

    Raises
    ------
    ValueError
        A state that is not in `STATES`, a state other than OK without a reason, not exactly one of ``capacity`` and
        ``minutes``, or an expected number outside its range.
    """
    if facts.state not in STATES:
        raise ValueError(f"state is {facts.state!r}, expected one of {list(STATES)}")
    if facts.state != "OK" and not facts.state_reasons:
        raise ValueError(f"state is {facts.state} without a reason, expected state_reasons to say why")
    if (facts.capacity is None) == (facts.minutes is None):
        raise ValueError(f"capacity is {facts.capacity} units and {facts.minutes} min, expected exactly one of them")
    low, expected, high = facts.low, facts.expected, facts.high
    if low is not None and high is not None and not (expected is not None and low <= expected < high + 0.5):
        raise ValueError(f"expected is {facts.expected} ({facts.low}-{facts.high}), expected a number in its range")


def state_words(facts: Facts) -> str:
    """Return the state with what it means for the reader."""
    return STATES["OK"] if facts.state == "OK" else f"{facts.state}: {STATES[facts.state]}"


def capacity_words(facts: Facts, listed: int, work: float | None) -> str:
    """Return what can be checked and what is listed.

    Parameters
    ----------
    facts : Facts
    listed : int
        Listed units [units].
    work : float or None
        Of their checks together [min].
    """
    minutes = None if work is None else f"{work:,.0f} min"
    if facts.minutes is not None:
        listed_words = counted(listed, "check") + (f", {minutes}" if minutes else "")
        return f"{facts.minutes:,.0f} min of work (listed: {listed_words})"
    words = counted(int(facts.capacity or 0), "check")
    if listed == facts.capacity:
        return f"{words} ({minutes})" if minutes else words
    return f"{words} (listed: {listed:,}{f', {minutes}' if minutes else ''})"


def expected_words(facts: Facts) -> str:
    """Return how many defects the checks should find."""
    if facts.expected is None:
        return "not enough known yet"
    number = count_words(facts.expected)
    words = f"{number} defect{'' if number == '1' else 's'} found"
    return words if facts.low is None else f"{words} ({facts.low}-{facts.high})"


def random_words(facts: Facts) -> str:
    """Return how many defects as many checks would find at random."""
    if facts.random_found is None and facts.expected is not None:
        return "there is nothing to pick from at random"
    if facts.random_found is None:
        return "picking at random would find an unknown number: not enough known yet"
    return f"picking at random would find {count_words(facts.random_found, about='about ')}"


def more_words(facts: Facts) -> str | None:
    """Return what one more hour of inspection would add, or ten more checks; None if that is not known."""
    for what, adds in (("one more hour of inspection", facts.more_hour), ("ten more checks", facts.ten_more)):
        if adds is not None:
            return f"{what} would add {count_words(adds, about='about ')}"
    return None


def base_rate_words(rate: float | None) -> str:
    """Return the usual share of defects, as inspections found it."""
    if rate is None:
        return "usual rate not known yet"
    if rate == 0:
        return "no defect known so far"
    return f"normally found {risk_words(rate)}"


def usual_words(facts: Facts) -> str:
    """Return what a risk is compared with: the usual rate, or that there is none to compare a ranking with."""
    usual = base_rate_words(facts.base_rate)
    if not facts.ranking:
        return usual
    return f"no probability; {usual}" if facts.base_rate == 0 else "no probability"


def data_words(facts: Facts) -> str:
    """Return how new the data is, and in which tables there is none."""
    if facts.data_until is None:
        return "nothing recorded yet"
    until, tables = f"recorded up to {facts.moments.words(facts.data_until)}", counted(facts.tables, "table")
    if not facts.nothing_in:
        return f"{until} in {tables}"
    return f"{until} in {facts.tables - len(facts.nothing_in)} of {tables}, nothing in {', '.join(facts.nothing_in)}"


def model_words(facts: Facts) -> str:
    """Return which model made the list and what it learnt from."""
    words = facts.model
    if facts.model_version:
        words += f", version {facts.model_version}"
    if facts.trained_until:
        words += f", trained with data until {facts.moments.words(facts.trained_until)}"
    if facts.approved:
        words += f", {facts.approved}"
    if facts.next_training:
        words += f", next training {facts.moments.words(facts.next_training)}"
    return words


def last_words(promises: pd.DataFrame, facts: Facts) -> tuple[str, str]:
    """Return which list was the last one, and what it promised and found.

    Parameters
    ----------
    promises : DataFrame, one row an earlier list, newest first
        ``business_date`` (date), ``promised``, ``low``, ``high``, ``listed``, ``checked``, ``found``, ``pending``,
        ``not_checked`` and ``verdict``.
    facts : Facts

    Returns
    -------
    when, words : str
    """
    if promises.empty:
        return "YESTERDAY", "no earlier list"
    last = promises.iloc[0]
    yesterday = last["business_date"] == facts.business_date - timedelta(days=1)
    when = "YESTERDAY" if yesterday else f"LIST OF {facts.moments.day(last['business_date'])}"
    if last["checked"] == 0:
        return (
            when,
            f"{last['listed']:,.0f} listed, {last['not_checked']:,.0f} not checked, {last['pending']:,.0f} pending",
        )
    return when, f"{_found_words(last)}, {last['not_checked']:,.0f} not checked, {last['pending']:,.0f} pending"


def judged_words(promises: pd.DataFrame, facts: Facts) -> str:
    """Return what the newest list that could be judged promised and found; empty if it is the last one, or none is.

    Parameters
    ----------
    promises, facts
        As for `last_words`.
    """
    judged = promises[promises["verdict"].isin(["kept", "broken"])]
    if judged.empty or promises["verdict"].iloc[0] in ("kept", "broken"):
        return ""
    newest = judged.iloc[0]
    return f"{facts.moments.day(newest['business_date'])}: {_found_words(newest)}, {newest['verdict']}"


def _found_words(row: pd.Series) -> str:
    found, checked = f"found {row['found']:,.0f}", f"{row['checked']:,.0f} checked"
    if pd.isna(row["promised"]):
        return f"promised no number, {found} in {checked}"
    # re-stated for what was checked, seldom all: the list itself said another number
    ends = "" if pd.isna(row["low"]) else f" ({row['low']:.0f}-{row['high']:.0f})"
    return f"promised {count_words(row['promised'])}{ends} among the {checked}, {found}"


def kept_words(promises: pd.DataFrame) -> str:
    """Return on how many nights the promise was kept, of those that are known well enough to say.

    Examples
    --------
    >>> kept_words(pd.DataFrame({"verdict": ["not enough yet", "kept", "kept", "broken"]}))
    'promise kept 2 of 3, 1 not enough known yet'
    >>> kept_words(pd.DataFrame({"verdict": ["not enough yet"]}))
    'not enough known yet'
    """
    verdicts = promises["verdict"]
    kept, broken = int((verdicts == "kept").sum()), int((verdicts == "broken").sum())
    open_ones = len(verdicts) - kept - broken
    if not kept + broken:
        return "not enough known yet"
    return f"promise kept {kept} of {kept + broken}" + (f", {open_ones} not enough known yet" if open_ones else "")
