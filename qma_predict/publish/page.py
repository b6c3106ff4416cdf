"""The risk list as one self-contained HTML page that is read at six in the morning, often on paper.

No clock is read and nothing is fetched: the same input gives the same bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import pandas as pd

from qma_predict.publish.text import shortened, visible

LONGEST_PAGE = 300
"""Units on the page at most [units]; the data files have all."""

STATES = {
    "OK": "OK to use",
    "DEGRADED": "use with care",
    "BASELINE": "list by the simple rule, model not used tonight",
}

RESULT_CODES = (
    (1, "defect found"),
    (2, "no fault found"),
    (3, "not checked (no time)"),
    (4, "not checked (gone)"),
    (5, "data wrong"),
    (6, "known issue"),
)

_LONGEST_CELL = 48  # characters: about three lines of the widest column
_LONGEST_SENTENCE = 240
_MOST_REASONS = 5
# strftime would follow the process's locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
    sources: int  # number of sources read
    model: str
    model_version: str | None
    trained_until: datetime | None  # newest data that the model learnt from
    capacity: int  # [units]
    base_rate: float | None  # share of defects among units with a known label, recently
    expected: float | None  # [defects] among the listed units
    low: int | None
    high: int | None
    random_found: float | None  # [defects] by as many checks of units picked at random
    ranking: str = ""  # why scores are a ranking and not probabilities; empty if they may be read as such


def render(facts: Facts, ranked: pd.DataFrame, not_scored: pd.DataFrame) -> str:
    """Return the lead's page of a risk list as HTML.

    Parameters
    ----------
    facts : Facts
        What the head of the page states.
    ranked, not_scored : DataFrame
        As `qma_predict.publish.risk_list.rank` and `not_scored` return them.

    Returns
    -------
    str
        One HTML document without scripts or outside resources, at most 1 MB of UTF-8.

    Raises
    ------
    ValueError
        A state that is not in `STATES`, or a state other than OK without a reason.
    """
    if facts.state not in STATES:
        raise ValueError(f"state is {facts.state!r}, expected one of {list(STATES)}")
    if facts.state != "OK" and not facts.state_reasons:
        raise ValueError(f"state is {facts.state} without a reason, expected state_reasons to say why")
    moments = _Moments(facts)
    risks = _risks(ranked, facts.ranking)
    listed, rest = ranked[ranked["listed"]], ranked[~ranked["listed"]]
    return _template().render(
        facts=facts,
        name=f"{visible(facts.plant)} · {visible(facts.line)}",
        day=_day(facts.business_date, facts.business_date.year, always_year=True),
        moments=moments,
        state=f"{facts.state}: {STATES[facts.state]}" if facts.state != "OK" else STATES["OK"],
        expected=_expected(facts),
        random=None if facts.random_found is None else count_words(facts.random_found, about="about "),
        base_rate=_base_rate(facts.base_rate),
        unscored=_grouped(not_scored["reason"]),
        n_unscored=len(not_scored),
        n_listed=len(listed),
        units=list(_units(listed.head(LONGEST_PAGE), risks, moments)),
        longest=LONGEST_PAGE,
        n_rest=len(rest),
        highest_left_out=risks[len(listed)] if len(rest) else None,
        ranges=bool(ranked["risk_low"].notna().any()),
        codes_line=", ".join(f"{code} {words}" for code, words in RESULT_CODES),
    )


def risk_words(probability: float) -> str:
    """Return a probability as a natural frequency.

    Examples
    --------
    >>> [risk_words(p) for p in (0.2237, 0.012, 0.0031, 0.00042)]
    ['22 in 100', '1 in 100', '3 in 1,000', '4 in 10,000']
    >>> risk_words(0.9991), risk_words(0.0)
    ('more than 99 in 100', 'less than 1 in 10,000')
    """
    if probability >= 0.995:
        return "more than 99 in 100"
    for among in (100, 1_000, 10_000):
        if probability * among >= 0.95:  # 0.0097 is 1 in 100, not 10 in 1,000
            return f"{int(probability * among + 0.5)} in {among:,}"
    return "less than 1 in 10,000"


def range_words(probability: float, low: float, high: float) -> str:
    """Return a probability as a natural frequency with its range, among as many.

    Examples
    --------
    >>> range_words(0.2237, 0.151, 0.308), range_words(0.0031, 0.0012, 0.011)
    ('22 in 100 (15-31)', '3 in 1,000 (1-11)')
    >>> range_words(0.00001, 0.0, 0.002), range_words(0.999, 0.91, 1.0), range_words(0.2, float("nan"), float("nan"))
    ('less than 1 in 10,000 (up to 2 in 1,000)', 'more than 99 in 100 (91 in 100 at least)', '20 in 100')
    """
    words = risk_words(probability)
    if pd.isna(low):
        return words
    if words.startswith("more"):
        return f"{words} ({risk_words(low)} at least)"
    if words.startswith("less"):
        return f"{words} (up to {risk_words(high)})"
    among = int(words.split(" in ")[1].replace(",", ""))
    return f"{words} ({int(low * among + 0.5)}-{int(high * among + 0.5)})"


def rank_words(below: int, of: int) -> str:
    """Return a place in a ranking: how many of the night's candidates have a lower score.

    Examples
    --------
    >>> rank_words(5, 7), rank_words(1999, 2001), rank_words(0, 7)
    ('riskier than 5 of 7', 'riskier than 99 of 100', 'riskier than 0 of 7')
    """
    return f"riskier than {below} of {of}" if of <= 100 else f"riskier than {100 * below // of} of 100"


def count_words(number: float, *, about: str = "") -> str:
    """Return an expected number of units no more exactly than it deserves, ``about`` before a rounded one.

    Examples
    --------
    >>> [count_words(n) for n in (6.24, 1204.4, 0.52, 0.03, 0.0)]
    ['6', '1,204', '0.5', 'less than 0.1', '0']
    """
    if number == 0:
        return "0"
    if number < 0.05:
        return "less than 0.1"
    return about + (f"{int(number + 0.5):,}" if number >= 3 else f"{number:.1f}".removesuffix(".0"))


class _Moments:
    """Times in the line's own zone, as the reader's clock on the wall shows them."""

    def __init__(self, facts: Facts) -> None:
        self.zone = ZoneInfo(facts.timezone)
        self.business_date = facts.business_date
        self.zone_words = f"{facts.timezone}, {_offset(facts.as_of.astimezone(self.zone))}"

    def words(self, moment: datetime) -> str:
        """Return 'Tue 24 Nov 05:00', with the year if it is another one."""
        local = moment.astimezone(self.zone)
        words = f"{self.day(local.date())} {local:%H:%M}"
        # In the hour that the clock change repeats, the wall clock alone does not tell which one is meant.
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        return f"{words} ({_offset(local)})" if twice else words

    def day(self, day: date) -> str:
        """Return 'Tue 24 Nov', with the year if it is another one."""
        return _day(day, self.business_date.year)


def _offset(local: datetime) -> str:
    offset = f"{local:%z}"
    return f"UTC{offset[:3]}:{offset[3:5]}"


def _day(day: date, year: int, *, always_year: bool = False) -> str:
    words = f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"
    return f"{words} {day.year}" if always_year or day.year != year else words


def _expected(facts: Facts) -> str | None:
    if facts.expected is None:
        return None
    words = f"{count_words(facts.expected)} defects found"
    return words if facts.low is None else f"{words} ({facts.low}-{facts.high})"


def _base_rate(rate: float | None) -> str:
    if rate is None:
        return "usual rate not known yet"
    if rate == 0:
        return "no defect known so far"
    return f"normally {risk_words(rate)}"


def _grouped(reasons: pd.Series) -> list[str]:
    """Return '9 no oven data' and the like, most frequent first, the many rare ones as one."""
    counts = reasons.fillna("reason not recorded").astype(str).value_counts()
    groups = sorted(counts.items(), key=lambda group: (-group[1], group[0]))
    words = [f"{n:,} {shortened(str(text), longest=_LONGEST_SENTENCE)}" for text, n in groups[:_MOST_REASONS]]
    others = groups[_MOST_REASONS:]
    if others:
        words.append(f"{sum(n for _, n in others):,} for {len(others)} other reasons")
    return words


def _risks(ranked: pd.DataFrame, ranking: str) -> list[str]:
    """Each unit's risk in words, in the order of the ranking."""
    if ranking:
        below = ranked["score"].rank(method="min") - 1
        return [rank_words(int(n), len(ranked)) for n in below]
    return [range_words(*risk) for risk in ranked[["score", "risk_low", "risk_high"]].itertuples(index=False)]


def _units(listed: pd.DataFrame, risks: list[str], moments: _Moments) -> Iterable[dict[str, Any]]:
    tonight = moments.business_date
    for row, risk in zip(listed.itertuples(), risks, strict=False):
        yield {
            "rank": row.rank,
            "unit": _cell(row.unit_id),
            "part": _cell(row.product),
            "station": _cell(row.station),
            "machine": _cell(row.machine),
            "since": None if pd.isna(row.since) else moments.words(row.since),
            "risk": risk,
            "returns": moments.day(row.first_night) if row.first_night < tonight else None,
        }


def _cell(text: object) -> str | None:
    return None if pd.isna(text) else shortened(str(text), longest=_LONGEST_CELL)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"css_text": _css_text, "sentence": _sentence}
    return environment.get_template("page.html.jinja")


def _sentence(text: str) -> str:
    return shortened(text, longest=_LONGEST_SENTENCE)


def _css_text(text: str) -> str:
    """Return the text for a quoted CSS string: all but letters and digits as code points."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x}" for c in text)
