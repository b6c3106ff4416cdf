"""The risk list as one self-contained HTML page that is read at six in the morning, often on paper.

No clock is read and nothing is fetched: the same input gives the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from qma_predict.publish.pages import facts as said
from qma_predict.publish.pages import pictures
from qma_predict.publish.pages.facts import Facts, check_facts
from qma_predict.publish.pages.rows import LONGEST_PAGE, completed, issues_of, order_words, work_of
from qma_predict.publish.pages.templates import script_hash, template
from qma_predict.publish.pages.words import (
    LONGEST_SENTENCE,
    RESULT_CODES,
    beside_words,
    cell_words,
    counted,
    grouped,
    nights_words,
    normal_words,
    place_words,
    range_words,
    risks_of,
    whole_words,
)
from qma_predict.publish.text import shortened, visible

if TYPE_CHECKING:
    from qma_predict.publish.issues.find import Issue

MOST_ISSUES = 12
"""Issues on the page at most, and of the first of them courses are drawn."""

MOST_COURSES = 4

_LONGEST_NAME = 32  # characters of a part, place or check; of a unit's id there may be more
_LONGEST_BECAUSE = 1_000  # bytes: two sentences have up to 220, and 300 units of the longest have to fit on a page
_LONGEST_NOTE = 48
_MOST_PLACES = 6
_MOST_REASONS = 5
_WIDTHS = (4, 3, 11, 6, 13, 12, 9, 28, 7, 7)


def render(
    facts: Facts,
    ranked: pd.DataFrame,
    not_scored: pd.DataFrame,
    *,
    issues: "Sequence[Issue]" = (),
    because: pd.DataFrame | None = None,
    promises: pd.DataFrame | None = None,
    courses: Mapping[int, str] | None = None,
    owners: pd.DataFrame | None = None,
) -> str:
    """Return the lead's page of a risk list as HTML.

    Parameters
    ----------
    facts : Facts
        What the head of the page states.
    ranked : DataFrame, one row a scored candidate, best first
        As `qma_predict.publish.pages.rows.completed` describes it.
    not_scored : DataFrame, one row a candidate without a score
        ``reason`` says why.
    issues : sequence of Issue, optional
        What candidates have in common, the most important first.
    because : DataFrame indexed by unit_id, optional
        Of the listed units: ``told`` (the sentences that say why, a tuple of str) and ``action`` (such as "check
        sensor x", or empty).
    promises : DataFrame, one row an earlier list, newest first, optional
        As `qma_predict.publish.pages.facts.last_words` takes it.
    courses : mapping of int to str, optional
        By an issue's number, how its driver went: SVG of `qma_predict.publish.pages.pictures.course`, taken as it is.
    owners : DataFrame of str, indexed by title, optional
        ``owner`` and ``due`` (YYYY-MM-DD) of issues, as people answered earlier lists.

    Returns
    -------
    str
        One HTML document without outside resources, at most 1 MB of UTF-8. Its one script sorts, filters and says
        when the list is out of date; nothing of the list needs it.

    Raises
    ------
    ValueError
        As `qma_predict.publish.pages.facts.check_facts`.
    """
    check_facts(facts)
    night = completed(ranked)
    listed = night[night["listed"]]
    script = Markup(template("page.js.jinja").render())
    return template("page.html.jinja").render(
        facts=facts,
        moments=facts.moments,
        name=f"{visible(facts.plant)} · {visible(facts.line)}",
        day=facts.moments.long_day(facts.business_date),
        valid_until_ms=_milliseconds(facts.valid_until),
        codes_line=", ".join(f"{code} {words}" for code, words in RESULT_CODES),
        footer=_footer(facts),
        script=script,
        script_hash=script_hash(script),
        **_head(facts, listed, not_scored, promises),
        **_issue_parts(issues, facts, courses or {}, owners),
        **_unit_parts(night, facts, issues, because, len(not_scored)),
        pictures=_pictures(night, facts, promises),
    )


def _head(
    facts: Facts, listed: pd.DataFrame, not_scored: pd.DataFrame, promises: pd.DataFrame | None
) -> dict[str, Any]:
    last = None
    if promises is not None:
        when, words = said.last_words(promises, facts)
        lists = counted(len(promises), "night").upper() if len(promises) else ""
        last = {"when": when, "words": words, "lists": lists, "kept": said.kept_words(promises)}
        last["judged"] = said.judged_words(promises, facts)
    return {
        "in_retrospect": said.IN_RETROSPECT,
        "state": said.state_words(facts),
        "state_reasons": facts.state_reasons[:_MOST_REASONS],
        "data": said.data_words(facts),
        "model": said.model_words(facts),
        "capacity": said.capacity_words(facts, len(listed), work_of(listed)),
        "expected": said.expected_words(facts),
        "random": said.random_words(facts),
        "more": said.more_words(facts),
        "usual": said.usual_words(facts),
        "last": last,
        "unscored": grouped(not_scored["reason"], most=_MOST_REASONS),
        "n_unscored": len(not_scored),
    }


def _issue_parts(
    issues: "Sequence[Issue]", facts: Facts, courses: Mapping[int, str], owners: pd.DataFrame | None
) -> dict[str, Any]:
    known = {} if owners is None else owners.fillna("").map(shortened, longest=_LONGEST_NAME).to_dict("index")
    nobody = {"owner": "", "due": ""}
    told = [_issue(issue, facts) | known.get(issue.title, nobody) for issue in issues[:MOST_ISSUES]]
    for place, issue in enumerate(told):
        issue["picture"] = Markup(courses.get(issue["number"], "") if place < MOST_COURSES else "")
    return {"issues": told, "n_issues": len(issues)}


def _issue(issue: "Issue", facts: Facts) -> dict[str, Any]:
    moments = facts.moments
    since = "" if issue.since is None else f"since {moments.words(issue.since)}"
    risk = f"{range_words(issue.risk, issue.low, issue.high)}, {normal_words(issue.normal, issue.risk)}"
    return {
        "number": issue.number,
        "title": _sentence(issue.title),
        "units": ", beside ".join(filter(None, (counted(issue.units, "unit"), beside_words(issue.beside)))),
        "risk": "how many fail is not known: scores are a ranking" if facts.ranking else risk,
        "nights": ", ".join(words for words in (nights_words(issue.nights), since) if words),
        "driver": _sentence(issue.driver),
        "places": _places(issue.places),
        "action": _sentence(issue.action),
    }


def _places(places: Sequence[tuple[str, int]]) -> list[str]:
    words = [f"{units:,} {cell_words(place, longest=_LONGEST_NAME)}" for place, units in places[:_MOST_PLACES]]
    others = sum(units for _, units in places[_MOST_PLACES:])
    return [*words, f"{others:,} elsewhere"] if others else words


def _unit_parts(
    night: pd.DataFrame, facts: Facts, issues: "Sequence[Issue]", because: pd.DataFrame | None, n_unscored: int
) -> dict[str, Any]:
    listed, rest = night[night["listed"]], night[~night["listed"]]
    highest = rest.sort_values("score", ascending=False, kind="stable").head(1)
    ranked = listed.loc[listed["selected_by"] != "audit", "score"]
    lower = bool(len(ranked) and len(rest) and highest["score"].iloc[0] <= ranked.min())
    return {
        "units": list(_units(listed.head(LONGEST_PAGE), night["score"], facts, issues, because)),
        "n_listed": len(listed),
        "audits": int((listed["selected_by"] == "audit").sum()),
        "order": order_words(night),
        "ahead": None if facts.ahead is None else f"{facts.ahead:,} of {len(listed):,} are still ahead of their gate.",
        "longest": LONGEST_PAGE,
        "widths": _WIDTHS,
        "nothing": _nothing(facts, night, n_unscored),
        "n_rest": len(rest),
        "rest_are": "lower-risk " if lower else "other " if len(listed) else "",
        "highest_left_out": "".join(risks_of(highest, night["score"], facts.ranking)),
        "ranges": bool(night["risk_low"].notna().any()),
    }


def _units(
    rows: pd.DataFrame,
    scores: pd.Series,
    facts: Facts,
    issues: "Sequence[Issue]",
    because: pd.DataFrame | None,
) -> Iterable[dict[str, Any]]:
    moments, shared = facts.moments, issues_of(issues)
    reasons = {} if because is None else because[["told", "action"]].to_dict("index")
    for row, risk in zip(rows.itertuples(), risks_of(rows, scores, facts.ranking), strict=True):
        yield {
            "rank": row.rank,
            "unit": cell_words(row.unit_id),
            "part": cell_words(row.product, longest=_LONGEST_NAME),
            "place": place_words(row.station, row.machine, longest=_LONGEST_NAME),
            "since": None if pd.isna(row.since) else moments.recent(row.since),
            "score": f"{row.score:.6f}",
            "risk": risk,
            "check": cell_words(row.check, longest=_LONGEST_NAME, missing="control plan"),
            "because": list(_because(row, reasons.get(row.unit_id, {}), shared.get(row.unit_id, ""))),
            "again": None if pd.isna(row.listed_since) else moments.day(row.listed_since),
            "by": moments.by(facts.valid_until),
        }


def _because(row: Any, reason: Mapping[str, Any], shared: str) -> Iterable[str]:
    """What speaks for the unit, and what the reader should know before believing it, a line each."""
    sentence = whole_words(reason.get("told") or (), longest=_LONGEST_BECAUSE)
    action = str(reason.get("action") or "")
    if not pd.isna(row.caution):
        yield f"caution: {cell_words(row.caution, longest=_LONGEST_NOTE)}"
    if action and not sentence.startswith(action):
        yield f"{cell_words(action, longest=_LONGEST_NOTE)} first"
    if sentence:
        yield sentence
    notes = [f"issue {shared}"] if shared else []
    notes += ["audit"] if row.selected_by == "audit" else []
    if notes:
        yield "; ".join(notes)


def _nothing(facts: Facts, night: pd.DataFrame, n_unscored: int) -> str:
    """Why no unit is listed."""
    if night.empty:
        return "none of tonight's candidates could be scored" if n_unscored else "there are no candidates tonight"
    if facts.capacity == 0 or facts.minutes == 0:
        return "the capacity is 0 checks" if facts.minutes is None else "the capacity is 0 min"
    if (night["value"] <= 0).all():
        return "no check tonight is worth what it costs"
    return "no check fits into the capacity"


def _pictures(night: pd.DataFrame, facts: Facts, promises: pd.DataFrame | None) -> list[tuple[str, Markup]]:
    drawn = []
    if promises is not None and not promises.empty:
        drawn.append(
            (
                "What each night's list promised for the units that were checked, and what was found",
                pictures.nights(promises),
            )
        )
    if not facts.ranking:
        curve = pictures.capacity_curve(night, facts.promise_spread)
        drawn.append(("What more or fewer checks tonight would find", curve))
    return [(caption, Markup(svg)) for caption, svg in drawn if svg]


def _footer(facts: Facts) -> str:
    list_id = shortened(facts.list_id, longest=LONGEST_SENTENCE)
    return f"Risk list {list_id}, valid until {facts.moments.words(facts.valid_until)}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _sentence(text: str) -> str:
    return shortened(text, longest=LONGEST_SENTENCE)
