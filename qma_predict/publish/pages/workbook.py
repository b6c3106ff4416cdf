"""The list as a workbook: every listed unit, to be filled in and brought back.

What the program computed is locked (without a password: a guard against slips), what people answer is not. No cell
holds a formula, whatever the plant calls its units. The same input gives the same bytes.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from qma_predict.publish.pages import facts as said
from qma_predict.publish.pages.check_sheet import to_check
from qma_predict.publish.pages.facts import Facts, check_facts
from qma_predict.publish.pages.rows import LONGEST_PAGE, completed, issues_of, order_words, work_of
from qma_predict.publish.pages.words import (
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
)
from qma_predict.publish.text import shortened, spreadsheet_text

if TYPE_CHECKING:
    from qma_predict.publish.issues.find import Issue

MOST_ROWS = 5_000
"""Units without a score in the workbook at most [units]; the data files have all."""

OWNERS_KEPT = timedelta(days=14)
"""How long after its owner was brought back a later issue of the same title has it."""

RESULTS = tuple(f"{code} {words}" for code, words in RESULT_CODES)
"""What the drop-down of ``result`` offers."""

_ANSWERS = ("result", "comment", "owner", "due")  # columns that people fill in
_LONGEST_TEXT = 2_000  # characters of a cell; a spreadsheet holds 32,767
_WIDTHS = {"unit_id": 22, "part": 12, "place": 24, "check": 22, "because": 60, "title": 48, "driver": 60, "result": 24}
_WIDTHS |= {"comment": 30, "reason": 60, "places": 40, "action": 30, "list_id": 18, "risk": 20, "since": 18, "by": 10}
_WIDTHS |= {"what": 22, "says": 110, "owner": 16, "due": 12, "business_date": 14, "verdict": 16, "nights": 22}
_WIDTHS |= {"rank": 7, "minutes": 9, "issue": 7, "issues": 8, "units": 8, "beside": 16, "caution": 20}
_ROW_HEIGHT, _MOST_LINES = 15.0, 27  # points of one line of text; a spreadsheet's rows end at 409 points


def render(
    facts: Facts,
    ranked: pd.DataFrame,
    not_scored: pd.DataFrame,
    *,
    issues: "Sequence[Issue]" = (),
    because: pd.DataFrame | None = None,
    promises: pd.DataFrame | None = None,
    owners: pd.DataFrame | None = None,
) -> bytes:
    """Return the list as an XLSX file.

    Parameters
    ----------
    facts, ranked, not_scored, issues, because, promises
        As `qma_predict.publish.pages.page.render` takes them.
    owners : DataFrame of str, indexed by title, optional
        ``owner`` and ``due`` (YYYY-MM-DD) of issues, as people answered earlier lists.

    Returns
    -------
    bytes
        Sheets Read me, Issues, Units, Check sheet, Not scored and Yesterday. Units and Check sheet hold every listed
        unit with ``list_id`` and ``unit_id`` (as `spreadsheet_text`) and empty ``result`` and ``comment``; Issues each
        issue with ``list_id`` and ``title``, and the ``owner`` and ``due`` that it has.

    Raises
    ------
    ValueError
        As `qma_predict.publish.pages.facts.check_facts`.
    """
    check_facts(facts)
    night = completed(ranked)
    out = io.BytesIO()
    never = dict.fromkeys(("strings_to_formulas", "strings_to_numbers", "strings_to_urls"), False)
    book = xlsxwriter.Workbook(out, {"in_memory": True, **never})
    book.set_properties(
        {"title": spreadsheet_text(facts.list_id), "created": facts.as_of.astimezone(UTC).replace(tzinfo=None)}
    )
    check = to_check(ranked, facts).assign(list_id=facts.list_id)
    sheets = {
        "Read me": _read_me(facts, night, not_scored, promises),
        "Issues": _issues(issues, facts, owners),
        "Units": _units(night, facts, issues, because),
        "Check sheet": check[["list_id", "unit_id", "part", "place", "check", "by"]].assign(result=None, comment=None),
        "Not scored": _not_scored(not_scored, facts),
        "Yesterday": _yesterday(promises),
    }
    formats = {
        "head": book.add_format({"bold": True, "bottom": 2, "text_wrap": True, "valign": "top"}),
        "cell": book.add_format({"text_wrap": True, "valign": "top"}),
        "answer": book.add_format(
            {"text_wrap": True, "valign": "top", "locked": False, "border": 1, "num_format": "@"}
        ),
    }
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        _fill(sheet, rows, formats)
        sheet.set_footer(f"&L{_footer(facts)}&R&P / &N")
    book.close()
    return out.getvalue()


def _fill(sheet: Worksheet, rows: pd.DataFrame, formats: Mapping[str, Format]) -> None:
    columns = list(rows.columns)
    for row, lines in enumerate(_lines_needed(rows), start=1):  # not every program fits rows to wrapped text
        sheet.set_row(row, _ROW_HEIGHT * min(lines, _MOST_LINES))
    for place, column in enumerate(columns):
        answer = column in _ANSWERS
        sheet.set_column(place, place, _width(column))
        sheet.write_string(0, place, column, formats["head"])
        for row, value in enumerate(rows[column].tolist(), start=1):
            _write(sheet, row, place, value, formats["answer" if answer else "cell"])
        if column == "result" and len(rows):
            message = f"expected one of: {', '.join(RESULTS)}"
            sheet.data_validation(
                1,
                place,
                len(rows),
                place,
                {"validate": "list", "source": list(RESULTS), "error_title": "result", "error_message": message},
            )
    sheet.freeze_panes(1, 0)
    sheet.repeat_rows(0)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)
    sheet.protect("", {"autofilter": True, "format_columns": True, "format_rows": True})


def _lines_needed(rows: pd.DataFrame) -> Iterable[int]:
    """Lines that the longest wrapped text of each row takes in its column."""
    for values in rows.itertuples(index=False):
        texts = ((value, _width(column)) for value, column in zip(values, rows.columns, strict=True))
        yield max((len(wrap(value, width)) for value, width in texts if isinstance(value, str) and value), default=1)


def _width(column: str) -> int:
    return _WIDTHS.get(column, 11)


def _write(sheet: Worksheet, row: int, column: int, value: Any, form: Format) -> None:
    if value is None or pd.isna(value) or value == "":
        sheet.write_blank(row, column, None, form)
    elif isinstance(value, str):
        sheet.write_string(row, column, shortened(spreadsheet_text(value), longest=_LONGEST_TEXT), form)
    else:
        sheet.write_number(row, column, float(value), form)


def _footer(facts: Facts) -> str:
    """The list's id on each printed page, at most the 255 characters that a footer may have; & begins a code."""
    until = facts.moments.words(facts.valid_until)
    return f"{shortened(facts.list_id, longest=80).replace('&', '&&')}, valid until {until}"


def _read_me(
    facts: Facts, night: pd.DataFrame, not_scored: pd.DataFrame, promises: pd.DataFrame | None
) -> pd.DataFrame:
    listed, moments = night[night["listed"]], facts.moments
    last = [] if promises is None else [said.last_words(promises, facts), ("LAST NIGHTS", said.kept_words(promises))]
    if promises is not None and (judged := said.judged_words(promises, facts)):
        last.append(("LAST JUDGED", judged))
    more, usual = said.more_words(facts), said.base_rate_words(facts.base_rate)
    lines = [
        ("LIST", f"{facts.list_id}: {facts.plant}, {facts.line}, for {moments.long_day(facts.business_date)}"),
        *([("MADE", f"in retrospect, {said.IN_RETROSPECT}")] if facts.retrospective else []),
        ("STATUS", "; ".join([said.state_words(facts), *facts.state_reasons])),
        ("VALID UNTIL", f"{moments.words(facts.valid_until)}; all times {moments.zone_words}"),
        ("DATA", f"as of {moments.words(facts.as_of)}, {said.data_words(facts)}"),
        ("MODEL", said.model_words(facts)),
        ("CAPACITY", said.capacity_words(facts, len(listed), work_of(listed))),
        ("EXPECTED", "; ".join([said.expected_words(facts), said.random_words(facts), *([more] if more else [])])),
        *([("SCORES", f"a ranking and not probabilities: {facts.ranking}; {usual}")] if facts.ranking else []),
        *([("ISSUES", f"not told tonight: {facts.no_issues_because}")] if facts.no_issues_because else []),
        *last,
        ("UNITS", f"{counted(len(listed), 'unit')}, {order_words(night)}" if len(listed) else "no unit is listed"),
        *([("REASONS", f"of the first {LONGEST_PAGE:,} units alone")] if len(listed) > LONGEST_PAGE else []),
        ("NOT SCORED", "; ".join([counted(len(not_scored), "unit"), *grouped(not_scored["reason"], most=20)])),
        ("RESULT", "one of: " + ", ".join(RESULTS)),
        (
            "FILL IN",
            "columns result and comment, on the sheet Units or on the sheet Check sheet; owner and due, on the "
            "sheet Issues. All else is locked.",
        ),
        (
            "DUE",
            "a day, such as 2026-11-30 or 30.11.2026. An issue of the same title on a later list has owner and due "
            f"again, until {OWNERS_KEPT.days} days after they were brought back.",
        ),
        ("BRING BACK", "qma feedback import reads the filled file; the same file twice changes nothing."),
        (
            "INSPECTORS",
            "get the sheet Check sheet alone, or check_sheet.html: they do not say why a unit was selected.",
        ),
        ("DECISIONS", "The list never releases a unit and never scraps one: people decide."),
    ]
    if len(not_scored) > MOST_ROWS:
        lines.append(("LEFT OUT", f"Not scored has the first {MOST_ROWS:,} units; the data files have all."))
    return pd.DataFrame(lines, columns=["what", "says"])


def _issues(issues: "Sequence[Issue]", facts: Facts, owners: pd.DataFrame | None) -> pd.DataFrame:
    moments = facts.moments
    known = pd.DataFrame(columns=["owner", "due"]) if owners is None else owners
    rows = [
        {
            "issue": issue.number,
            "title": issue.title,
            "units": issue.units,
            "beside": beside_words(issue.beside),
            "risk": None if facts.ranking else range_words(issue.risk, issue.low, issue.high),
            "normal": None if facts.ranking else normal_words(issue.normal, issue.risk),
            "nights": nights_words(issue.nights),
            "since": None if issue.since is None else moments.words(issue.since),
            "driver": issue.driver,
            "places": ", ".join(f"{units:,} {place}" for place, units in issue.places),
            "action": issue.action,
        }
        for issue in issues
    ]
    columns = ["list_id", "issue", "title", "units", "beside", "risk", "normal", "nights", "since", "driver", "places"]
    columns += ["action"]
    told = known.reindex([issue.title for issue in issues])
    return pd.DataFrame(rows, columns=columns).assign(
        list_id=facts.list_id, owner=told["owner"].to_numpy(), due=told["due"].to_numpy()
    )


def _units(night: pd.DataFrame, facts: Facts, issues: "Sequence[Issue]", because: pd.DataFrame | None) -> pd.DataFrame:
    listed = night[night["listed"]]
    moments, shared = facts.moments, issues_of(issues)
    known = pd.DataFrame(columns=["because", "action"]) if because is None else because
    reasons = known.reindex(listed["unit_id"])
    return pd.DataFrame(
        {
            "list_id": facts.list_id,
            "rank": listed["rank"].to_numpy(),
            "unit_id": listed["unit_id"].to_numpy(),
            "part": [cell_words(part) for part in listed["product"]],
            "place": list(_places(listed)),
            "since": [None if pd.isna(since) else moments.words(since) for since in listed["since"]],
            "risk": risks_of(listed, night["score"], facts.ranking),
            "score": listed["score"].to_numpy(),
            "check": [cell_words(check, missing="control plan") for check in listed["check"]],
            "minutes": listed["minutes"].to_numpy(),
            "action": reasons["action"].to_numpy(),
            "because": reasons["because"].to_numpy(),
            "caution": listed["caution"].to_numpy(),
            "issues": [shared.get(unit_id) for unit_id in listed["unit_id"]],
            "selected_by": listed["selected_by"].to_numpy(),
            "by": moments.by(facts.valid_until),
            "result": None,
            "comment": None,
        }
    )


def _places(units: pd.DataFrame) -> Iterable[str]:
    return (place_words(*place) for place in zip(units["station"], units["machine"], strict=True))


def _not_scored(not_scored: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    rows, moments = not_scored.head(MOST_ROWS), facts.moments
    return pd.DataFrame(
        {
            "unit_id": rows["unit_id"].to_numpy(),
            "part": [cell_words(part) for part in rows["product"]],
            "place": list(_places(rows)),
            "since": [None if pd.isna(since) else moments.words(since) for since in rows["since"]],
            "reason": [
                cell_words(reason, longest=_LONGEST_TEXT, missing="reason not recorded") for reason in rows["reason"]
            ],
        }
    )


def _yesterday(promises: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["business_date", "promised", "low", "high", "listed", "checked", "found", "pending", "not_checked"]
    columns += ["verdict", "reason"]
    rows = pd.DataFrame(columns=columns) if promises is None else promises.reindex(columns=columns)
    return rows.assign(business_date=[day.isoformat() for day in rows["business_date"]])
