"""Who looks after an issue and until when: from the workbooks of lists to those of the next."""

from collections.abc import Collection
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qma_predict.data.lake import History
from qma_predict.data.reasons import Reasons
from qma_predict.data.values import TIME
from qma_predict.errors import DamagedList
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import read_revisions
from qma_predict.publish.pages.workbook import OWNERS_KEPT
from qma_predict.publish.text import spreadsheet_text
from qma_predict.review.answer_files import PLACE, refusals

ISSUE = ["list_id", "title"]

LONGEST_OWNER = 100
"""Characters of an owner at most."""

_DAYS = ("%Y-%m-%d", "%Y-%m-%d 00:00:00", "%d.%m.%Y")
"""Forms of `due`: the standard's, a cell that is a date, and where dates have points."""

_SAID = ["owner", "due"]


class Told(NamedTuple):
    """Issues that lists told, and by the id of a list the newest of its revisions that is damaged."""

    issues: pd.DataFrame
    damaged: dict[str, DamagedList]


def told_issues(folder: Path, list_ids: Collection[str]) -> Told:
    """Issues that lists told, whichever revision did.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    list_ids : collection of str
        Those that are not published are left out.

    Returns
    -------
    issues : DataFrame, shape (n_issues, 3)
        ``list_id``, ``title`` and ``day``, the business date of the list.
    damaged : dict of str to DamagedList
    """

    def read(path: Path) -> list[tuple[str, date]]:
        manifest = bundle.sealed(path)
        day = date.fromisoformat(manifest["business_date"])
        return [(issue["title"], day) for issue in manifest["facts"].get("issues", [])]

    said, damaged = read_revisions(folder, list_ids, read)
    rows = [(list_id, *issue) for list_id, told in said.items() for issue in sorted(set(chain.from_iterable(told)))]
    return Told(pd.DataFrame(rows, columns=[*ISSUE, "day"], dtype=object), damaged)


def checked_issues(
    rows: pd.DataFrame, told: Told, before: pd.DataFrame, now: datetime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Owners and days of issues that can be taken, one an issue, and those that cannot.

    What a row leaves out, its owner or its day, stays as it was answered for that issue of that list before.

    Parameters
    ----------
    rows : DataFrame
        Of `qma_predict.review.answer_files.issue_answers_in`.
    told : Told
        Of `told_issues`.
    before : DataFrame
        All rows of the lake's table `issue_answers`.
    now : datetime, UTC
        When they were answered.

    Returns
    -------
    answers : DataFrame, shape (n_answers, 7)
        ``list_id``, ``title``, ``answered_at`` [UTC], ``owner``, ``due`` (YYYY-MM-DD) and the place. Those that repeat
        the newest answer before have its moment.
    refused : DataFrame, shape (n_refused, 4)
        ``sheet``, ``row``, ``reason`` and ``content``.
    """
    reasons = Reasons(len(rows))
    read = _named(rows, told, reasons)
    read["due"] = _due(read, reasons)
    _check_owners(read["owner"], reasons)
    said = read["owner"].fillna("") + "\n" + read["due"].fillna("")
    several = said.groupby([read[name] for name in ISSUE]).transform("nunique") > 1
    reasons.add(several, "title", "the file contradicts itself: it has this issue several times", read["title"])
    why = reasons.series(rows.index)
    good = (why == "").to_numpy()
    answers = _continued(read[good].drop_duplicates(ISSUE).reset_index(drop=True), before, now)
    return answers[[*ISSUE, "answered_at", *_SAID, *PLACE]], refusals(rows[~good], why[~good])


def owners(history: History) -> pd.DataFrame:
    """Who was last said to look after issues, as known at a moment.

    Parameters
    ----------
    history : History

    Returns
    -------
    DataFrame of str, shape (n_issues, 2), indexed by title
        ``owner`` and ``due`` (YYYY-MM-DD), either may be missing; of the last `OWNERS_KEPT` only.
    """
    rows = history.all_versions("issue_answers").to_pandas()
    rows = rows[rows["answered_at"] >= history.as_of - OWNERS_KEPT]
    order = rows.sort_values(["answered_at", "list_id", "recorded_at"], kind="stable")
    return order.drop_duplicates("title", keep="last").set_index("title")[_SAID].sort_index()


def _named(rows: pd.DataFrame, told: Told, reasons: Reasons) -> pd.DataFrame:
    """Rows with the titles as the list has them: a spreadsheet has them made harmless."""
    issues = told.issues
    written = issues.assign(form=issues["title"].map(spreadsheet_text))
    forms = pd.concat([issues.assign(form=issues["title"]), written]).drop_duplicates(["list_id", "form"])
    found = rows.rename(columns={"title": "form"}).merge(forms, how="left", on=["list_id", "form"])
    named = rows[ISSUE].notna().all(axis=1)
    for name in ISSUE:
        reasons.add(rows[name].isna(), name, "missing")
    absent = named & found["title"].isna().to_numpy()
    lost = absent & rows["list_id"].isin(list(told.damaged))
    what = "the list is damaged, so that nobody knows its issues; restore it from a backup and import this file again"
    reasons.add(lost, "list_id", what, rows["list_id"])
    reasons.add(absent & ~lost, "title", "no issue of that list", rows["title"])
    return found.set_index(rows.index)


def _check_owners(owners: pd.Series, reasons: Reasons) -> None:
    reasons.add(owners.str.len() > LONGEST_OWNER, "owner", f"longer than {LONGEST_OWNER} characters", owners)
    harmful = owners.notna() & (owners.map(spreadsheet_text, na_action="ignore") != owners)  # the next list shows it
    reasons.add(harmful, "owner", "expected a name without hidden characters and no formula", owners)


def _due(read: pd.DataFrame, reasons: Reasons) -> pd.Series:
    given = read["due"]
    day = pd.Series(pd.NaT, index=read.index, dtype="datetime64[us]")
    for form in _DAYS:
        day = day.fillna(pd.to_datetime(given, format=form, errors="coerce").astype("datetime64[us]"))
    reasons.add(given.notna() & day.isna(), "due", "not a day such as 2026-11-30 or 30.11.2026", given)
    reasons.add(day < pd.to_datetime(read["day"]), "due", "before the day of the list", given)
    return day.dt.strftime("%Y-%m-%d").astype("str")


def _continued(answers: pd.DataFrame, before: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Answers with what they leave out, and when they were given."""
    order = before.sort_values(["answered_at", "recorded_at"], kind="stable")
    newest = order.drop_duplicates(ISSUE, keep="last").set_index(ISSUE)[["answered_at", *_SAID]]
    last = newest.reindex(pd.MultiIndex.from_frame(answers[ISSUE])).set_axis(answers.index)
    same = last["answered_at"].notna()
    for name in _SAID:
        answers[name] = answers[name].fillna(last[name]).astype("str")
        same &= answers[name].fillna("") == last[name].fillna("")
    following = (last["answered_at"] + pd.Timedelta("1us")).clip(lower=pd.Timestamp(now)).fillna(pd.Timestamp(now))
    return answers.assign(answered_at=last["answered_at"].where(same, following).astype(TIME))
