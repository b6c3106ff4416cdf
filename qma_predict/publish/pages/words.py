"""How numbers, times and places of a list are said: as people say them, no more exactly than they are known."""

from bisect import bisect
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from markupsafe import escape

from qma_predict.publish.text import shortened, visible

RESULT_CODES = (
    (1, "defect found"),
    (2, "no fault found"),
    (3, "not checked (no time)"),
    (4, "not checked (gone)"),
    (5, "data wrong"),
    (6, "known issue"),
)

LONGEST_CELL = 48
"""Characters of an id or a name at most: about three lines of the widest column."""

LONGEST_SENTENCE = 240

SENTENCES = ". "
"""What stands between the sentences of a reason."""

_ROW = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
# strftime would follow the process's locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
        return words if risk_words(high) == words else f"{words} (up to {risk_words(high)})"
    among = _among(words)
    return f"{words} ({int(low * among + 0.5)}-{int(high * among + 0.5)})"


def normal_words(normal: float | None, risk: float) -> str:
    """Return a group's usual risk as it was predicted, among as many as its risk of tonight is told.

    Examples
    --------
    >>> [normal_words(n, 0.09) for n in (0.0123, 0.11, 0.0001, 0.0, None)]
    ['normally predicted 1.2', 'normally predicted 11', 'normally predicted less than 0.1', 'normally predicted none', \
'usual rate not known']
    >>> normal_words(0.0012, 0.00001)
    'normally predicted 1 in 1,000'
    """
    if normal is None or pd.isna(normal):
        return "usual rate not known"
    if normal == 0:
        return "normally predicted none"
    words = risk_words(risk)
    if not words[0].isdigit():
        return f"normally predicted {risk_words(normal)}"
    often = normal * _among(words)
    if often < 0.05:
        return "normally predicted less than 0.1"
    return "normally predicted " + (f"{int(often + 0.5):,}" if often >= 9.95 else f"{often:.1f}".removesuffix(".0"))


def _among(words: str) -> int:
    return int(words.split(" in ")[1].replace(",", ""))


def rank_words(below: int, of: int) -> str:
    """Return a place in a ranking: how many of the night's candidates have a lower score.

    Examples
    --------
    >>> rank_words(5, 7), rank_words(1999, 2001), rank_words(0, 7)
    ('riskier than 5 of 7', 'riskier than 99 of 100', 'riskier than 0 of 7')
    """
    return f"riskier than {below} of {of}" if of <= 100 else f"riskier than {100 * below // of} of 100"


def risks_of(rows: pd.DataFrame, scores: pd.Series, ranking: str) -> list[str]:
    """Return each unit's risk in words, in the order of the rows.

    Parameters
    ----------
    rows : DataFrame, one row a unit
        With ``score``, ``risk_low`` and ``risk_high``.
    scores : Series of float, shape (n_scored,)
        Of all of the night's scored candidates.
    ranking : str
        Why scores are a ranking, and told as places; empty if they may be read as probabilities.

    Examples
    --------
    >>> night = pd.DataFrame({"score": [0.3, 0.1, 0.1], "risk_low": float("nan"), "risk_high": float("nan")})
    >>> risks_of(night.head(2), night["score"], "")
    ['30 in 100', '10 in 100']
    >>> risks_of(night.head(2), night["score"], "too few defects")
    ['riskier than 2 of 3', 'riskier than 0 of 3']
    """
    if ranking:
        below = np.searchsorted(np.sort(scores.to_numpy(float)), rows["score"].to_numpy(float))
        return [rank_words(int(n), len(scores)) for n in below]
    return [range_words(*risk) for risk in rows[["score", "risk_low", "risk_high"]].itertuples(index=False)]


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


def counted(number: int, noun: str) -> str:
    """Return '1 check' or '1,204 checks'.

    Examples
    --------
    >>> counted(1, "check"), counted(1204, "check")
    ('1 check', '1,204 checks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def nights_words(nights: int) -> str:
    """Return for how many nights in a row; empty for 0: that is not known.

    Examples
    --------
    >>> [nights_words(n) for n in (0, 1, 3, 12)]
    ['', 'first night', 'third night in a row', '12 nights in a row']
    """
    if nights == 0:
        return ""
    if nights == 1:
        return "first night"
    return f"{_ROW[nights - 1]} night in a row" if nights <= len(_ROW) else f"{nights} nights in a row"


def beside_words(beside: Sequence[tuple[int, int]]) -> str:
    """Return how many candidates earlier issues tell: number of each issue and units; empty if none.

    Examples
    --------
    >>> beside_words([(1, 12), (3, 1)])
    '12 of issue 1, 1 of issue 3'
    """
    return ", ".join(f"{units:,} of issue {number}" for number, units in beside)


def grouped(reasons: pd.Series, *, most: int) -> list[str]:
    """Return '9 no oven data' and the like, most frequent first, those after the first ``most`` as one.

    Examples
    --------
    >>> grouped(pd.Series(["no oven data", "setup unknown", "no oven data", None]), most=2)
    ['2 no oven data', '1 reason not recorded', '1 for 1 other reason']
    """
    counts = reasons.fillna("reason not recorded").astype(str).value_counts()
    groups = sorted(counts.items(), key=lambda group: (-group[1], group[0]))
    words = [f"{n:,} {shortened(str(text), longest=LONGEST_SENTENCE)}" for text, n in groups[:most]]
    others = groups[most:]
    if others:
        words.append(f"{sum(n for _, n in others):,} for {counted(len(others), 'other reason')}")
    return words


def place_words(station: object, machine: object, *, longest: int = LONGEST_CELL) -> str:
    """Return where a unit is, each part shortened to ``longest`` characters.

    Examples
    --------
    >>> place_words("storage", "bay 4"), place_words("wash", None), place_words(None, None)
    ('storage bay 4', 'wash', 'not recorded')
    """
    known = [shortened(str(part), longest=longest) for part in (station, machine) if not pd.isna(part)]
    return " ".join(known) or "not recorded"


def cell_words(text: object, *, longest: int = LONGEST_CELL, missing: str = "not recorded") -> str:
    """Return a text for a cell of a table: visible, at most ``longest`` characters; ``missing`` if there is none."""
    return missing if text is None or pd.isna(text) or text == "" else shortened(str(text), longest=longest)


def whole_words(sentences: Sequence[str], *, longest: int) -> str:
    r"""Return sentences as one text: of too many, the last are left out, since half a sentence says something else.

    Parameters
    ----------
    sentences : sequence of str
    longest : int
        Of the text in HTML [bytes]; a sentence that is longer by itself is cut at its end.

    Examples
    --------
    >>> told = ["force 9 N, good parts 2-5", "heat 215 degC, good parts 201-209"]
    >>> print(whole_words(told, longest=99), whole_words(told, longest=40), whole_words(told, longest=20), sep="\n")
    force 9 N, good parts 2-5. heat 215 degC, good parts 201-209
    force 9 N, good parts 2-5 …
    force 9 N, good p…
    """
    texts = [visible(sentence) for sentence in sentences]
    for kept in range(len(texts), 0, -1):
        words = SENTENCES.join(texts[:kept]) + (" …" if kept < len(texts) else "")
        if _bytes(words) <= longest:
            return words
    first = texts[0] if texts else ""
    return first and f"{first[: bisect(range(longest), longest, key=lambda end: _bytes(f'{first[:end]}…')) - 1]}…"


def _bytes(text: str) -> int:
    return len(escape(text).encode())


class Moments:
    """Times in the line's own zone, as the reader's clock on the wall shows them.

    Parameters
    ----------
    timezone : str
        Of the line, as in the tz database.
    business_date : date
        Times of its year are told without the year.
    as_of : datetime
        Whose offset is named as the zone's.
    """

    def __init__(self, timezone: str, business_date: date, as_of: datetime) -> None:
        self.zone = ZoneInfo(timezone)
        self.business_date = business_date
        self.zone_words = f"{timezone}, {_offset(as_of.astimezone(self.zone))}"

    def words(self, moment: datetime) -> str:
        """Return 'Tue 24 Nov 05:00', with the year if it is another one."""
        local = moment.astimezone(self.zone)
        return f"{self.day(local.date())} {self._clock(local)}"

    def recent(self, moment: datetime) -> str:
        """Return 'Tue 05:00' for a moment of the business date or the five days before it, else with the date."""
        local = moment.astimezone(self.zone)
        days = (self.business_date - local.date()).days
        return f"{day_words(local.date())[:3]} {self._clock(local)}" if 0 <= days <= 5 else self.words(moment)

    def by(self, moment: datetime) -> str:
        """Return '09:30' for a moment of the business date, 'Wed 05:00' up to five days later, else with the date."""
        local = moment.astimezone(self.zone)
        days = (local.date() - self.business_date).days
        if days == 0:
            return self._clock(local)
        return f"{day_words(local.date())[:3]} {self._clock(local)}" if 0 < days <= 5 else self.words(moment)

    def day(self, day: date) -> str:
        """Return 'Tue 24 Nov', with the year if it is another one."""
        return day_words(day) if day.year == self.business_date.year else self.long_day(day)

    def long_day(self, day: date) -> str:
        """Return 'Tue 24 Nov 2026'."""
        return f"{day_words(day)} {day.year}"

    def _clock(self, local: datetime) -> str:
        # In the hour that the clock change repeats, the wall clock alone does not tell which one is meant.
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        return f"{local:%H:%M} ({_offset(local)})" if twice else f"{local:%H:%M}"


def day_words(day: date) -> str:
    """Return 'Tue 24 Nov'.

    Examples
    --------
    >>> day_words(date(2026, 11, 24))
    'Tue 24 Nov'
    """
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"


def _offset(local: datetime) -> str:
    offset = f"{local:%z}"
    return f"UTC{offset[:3]}:{offset[3:5]}"
