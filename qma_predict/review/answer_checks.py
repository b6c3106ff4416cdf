"""Answers against the lists that they answer, and against what was answered before."""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qma_predict.data.reasons import Reasons
from qma_predict.data.values import TIME, times
from qma_predict.errors import DamagedList
from qma_predict.line import Line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import read_revisions, rows_of
from qma_predict.publish.text import spreadsheet_text
from qma_predict.review.answer_files import PLACE, refusals, source_of

RESULTS = {"1": False, "2": True}
"""Codes that are a result of a check, and whether the unit passed it."""

AHEAD = timedelta(days=1)
"""How far the clocks of those who answer may be ahead of ours, as of any source."""

UNIT = ["list_id", "unit_id"]

_TIMES = ("ISO8601", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
"""Forms of `answered_at`: the standard's, and those in which spreadsheets write it where dates have points."""

_ANSWER = [*UNIT, "answered_at", "code", "comment"]


class Listed(NamedTuple):
    """Units that lists told people to check, and by the id of a list the newest of its revisions that is damaged."""

    units: pd.DataFrame
    damaged: dict[str, DamagedList]


def listed_units(folder: Path, list_ids: Collection[str]) -> Listed:
    """Units that lists told people to check, whichever revision did.

    Of a revision that is damaged, and of those before it, nothing counts: nobody knows what it said of their units.

    Parameters
    ----------
    folder : Path
        ``<home>/published/<line>``.
    list_ids : collection of str
        Those that are not published are left out.

    Returns
    -------
    units : DataFrame, shape (n_units, 7)
        ``list_id``, ``unit_id``, ``selected_by``, ``selection_probability`` and ``check`` of the newest revision that
        lists the unit; ``as_of`` [UTC] of the list, and ``revisions``, how many it has.
    damaged : dict of str to DamagedList
    """
    columns = [*UNIT, "selected_by", "selection_probability", "check"]

    def read(path: Path) -> tuple[pd.Timestamp, pd.DataFrame]:
        as_of = pd.Timestamp(bundle.verify(path)["facts"]["as_of"])
        return as_of, rows_of(path, listed=True, columns=columns)

    said, damaged = read_revisions(folder, list_ids, read)
    found = [pd.DataFrame(columns=[*columns, "as_of", "revisions"])]
    for revisions in (one for one in said.values() if one):
        rows = _together([rows for _, rows in revisions]).drop_duplicates("unit_id")
        found.append(rows.assign(as_of=revisions[-1][0], revisions=len(revisions)))
    return Listed(_together(found), damaged)


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([one for one in frames if len(one)] or frames[:1], ignore_index=True)


def checked(
    rows: pd.DataFrame, listed: Listed, before: pd.DataFrame, line: Line, now: datetime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers that can be taken, one a unit and moment, and those that cannot.

    What a row leaves out, its result or its comment, stays as it was answered before. Two rows of one unit, on two
    sheets or on one, are one answer if they do not contradict each other.

    Parameters
    ----------
    rows : DataFrame
        Of `read_answers`.
    listed : Listed
        Of `listed_units`.
    before : DataFrame
        All rows of the lake's table `answers`.
    line : Line
    now : datetime, UTC
        When an answer was given that does not say it.

    Returns
    -------
    answers : DataFrame, shape (n_answers, 7)
        ``list_id``, ``unit_id``, ``answered_at`` [UTC], ``code``, ``comment``, and the place of the first of its rows.
        Those that repeat the newest answer before have its moment.
    refused : DataFrame, shape (n_refused, 4)
        ``sheet``, ``row``, ``reason`` and ``content``.
    """
    reasons = Reasons(len(rows))
    read = _named(rows, listed, reasons)
    read["moment"] = _moments(read, line, now, reasons)
    _tell_contradictions(read, reasons)
    good = (reasons.series(rows.index) == "").to_numpy()
    answers = _one_each(read[good])
    newest = newest_answers(before).set_index(UNIT)
    reasons_after = Reasons(len(answers))
    answers = _continued(answers, newest, now)
    _tell_changed(answers, before, line, newest, reasons_after)
    late = reasons_after.series(answers.index)
    told = reasons.series(rows.index)
    of_answer = dict(zip(answers["group"], late, strict=True))
    told = told.where(told != "", _groups(read).map(lambda group: of_answer.get(group, "")))
    wrong = (told != "").to_numpy()
    return answers.loc[(late == "").to_numpy(), [*_ANSWER, *PLACE]], refusals(rows[wrong], told[wrong])


def newest_answers(answers: pd.DataFrame) -> pd.DataFrame:
    """Of the lake's answers, the newest of each unit and list: ``answered_at``, ``code`` and ``comment``."""
    order = answers.sort_values(["answered_at", "recorded_at"], kind="stable")
    return order.drop_duplicates(UNIT, keep="last").rename(columns={"text": "comment"})[_ANSWER]


def _named(rows: pd.DataFrame, listed: Listed, reasons: Reasons) -> pd.DataFrame:
    """Rows with the units' ids as the plant has them: a spreadsheet has them made harmless."""
    units = listed.units
    written = units.assign(form=units["unit_id"].map(spreadsheet_text).astype("str"))
    forms = pd.concat([units.assign(form=units["unit_id"]), written])[["list_id", "form", "unit_id", "as_of"]]
    forms = forms.drop_duplicates(["list_id", "form", "unit_id"])
    twice = forms.duplicated(["list_id", "form"], keep=False)
    found = rows.rename(columns={"unit_id": "form"}).merge(
        forms[~twice], how="left", on=["list_id", "form"], validate="many_to_one"
    )
    named = rows[UNIT].notna().all(axis=1)
    for name in UNIT:
        reasons.add(rows[name].isna(), name, "missing")
    lost = named & rows["list_id"].isin(list(listed.damaged)) & found["unit_id"].isna().to_numpy()
    what = "the list is damaged, so that nobody knows its units; restore it from a backup and import this file again"
    reasons.add(lost, "list_id", what, rows["list_id"])
    unknown = named & ~lost & ~rows["list_id"].isin(units["list_id"])
    reasons.add(unknown, "list_id", "no such list is published, or it lists no unit", rows["list_id"])
    pairs = pd.MultiIndex.from_frame(rows[UNIT])
    several = named & ~lost & pairs.isin(pd.MultiIndex.from_frame(forms.loc[twice, ["list_id", "form"]]))
    reasons.add(several, "unit_id", "stands for several units of that list", rows["unit_id"])
    absent = named & ~lost & ~unknown & ~several & found["unit_id"].isna().to_numpy()
    reasons.add(absent, "unit_id", "not among the units to check of that list", rows["unit_id"])
    return found.set_index(rows.index)


def _moments(read: pd.DataFrame, line: Line, now: datetime, reasons: Reasons) -> pd.Series:
    """When each answer was given; missing where the file does not say."""
    given = read["answered_at"]
    moment = pd.Series(pd.NaT, index=read.index, dtype=TIME)
    for form in _TIMES:
        moment = moment.fillna(times(given, source_of(Path("-"), timezone=line.timezone, time_format=form)))
    expected = f"not a time of {line.timezone} such as 2026-11-24 06:30 (ISO 8601) or 24.11.2026 06:30"
    reasons.add(given.notna() & moment.isna(), "answered_at", expected, given)
    reasons.add(moment > pd.Timestamp(now) + AHEAD, "answered_at", "impossible time, in the future", given)
    early = moment < pd.to_datetime(read["as_of"], utc=True)
    reasons.add(early, "answered_at", "impossible time, before the list was made", given)
    return moment


def _tell_contradictions(read: pd.DataFrame, reasons: Reasons) -> None:
    """Rows of one unit and moment with several results."""
    known = read[read["code"].notna() & read["unit_id"].notna()]
    texts = pd.Series("", index=read.index)
    for _, rows in known.groupby([*UNIT, "moment"], dropna=False, sort=False):
        if rows["code"].nunique() > 1:
            places = [
                f"{row.code} in {f'{row.sheet}, ' if row.sheet else ''}row {row.row}" for row in rows.itertuples()
            ]
            texts[rows.index] = f"the file contradicts itself: {', '.join(places)}"
    reasons.add_each("result", texts.to_numpy(dtype=object))


def _one_each(read: pd.DataFrame) -> pd.DataFrame:
    """One answer a unit and moment, at the place of its first row."""
    group = _groups(read)
    comment = read["comment"].groupby(group, sort=False).agg(lambda texts: "; ".join(dict.fromkeys(texts.dropna())))
    code = read["code"].groupby(group, sort=False).first()
    first = read.assign(group=group).drop_duplicates("group").set_index("group")
    first["code"], first["comment"] = code, comment.mask(comment == "")
    return first.reset_index().rename(columns={"answered_at": "given"})


def _groups(read: pd.DataFrame) -> pd.Series:
    """What rows of one answer have in common."""
    parts = [read[name].astype("str").fillna("") for name in (*UNIT, "moment")]
    return parts[0].str.cat(parts[1:], sep="\x1f")


def _continued(answers: pd.DataFrame, newest: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Answers with what they leave out and when they were given, where the file does not say."""
    last = newest.reindex(pd.MultiIndex.from_frame(answers[UNIT])).set_axis(answers.index)
    unsaid = answers["moment"].isna()
    for name in ("code", "comment"):
        answers[name] = answers[name].fillna(last[name].where(unsaid)).astype("str")
    same = unsaid & last["answered_at"].notna()
    for name in ("code", "comment"):
        same &= answers[name].fillna("") == last[name].fillna("")
    following = (last["answered_at"] + pd.Timedelta("1us")).clip(lower=pd.Timestamp(now)).fillna(pd.Timestamp(now))
    answers["answered_at"] = answers["moment"].fillna(last["answered_at"].where(same, following)).astype(TIME)
    return answers


def _tell_changed(
    answers: pd.DataFrame, before: pd.DataFrame, line: Line, newest: pd.DataFrame, reasons: Reasons
) -> None:
    """Answers that change one of the same moment, or take back a result that nothing can take back."""
    key = [*UNIT, "answered_at"]
    known = before.drop_duplicates(key, keep="last").set_index(key)[["code", "text"]]
    there = known.reindex(pd.MultiIndex.from_frame(answers[key])).set_axis(answers.index)
    exists = pd.Series(pd.MultiIndex.from_frame(answers[key]).isin(known.index), index=answers.index)
    other = (there["code"].fillna("") != answers["code"].fillna("")) | (
        there["text"].fillna("") != answers["comment"].fillna("")
    )
    what = "the answer of this moment says otherwise; a correction has a later one"
    reasons.add(exists & other, "answered_at", what)
    last = newest.reindex(pd.MultiIndex.from_frame(answers[UNIT])).set_axis(answers.index)
    taken_back = last["code"].isin(list(RESULTS)) & ~answers["code"].isin(list(RESULTS))
    taken_back &= (answers["answered_at"] > last["answered_at"]).fillna(False)
    if line.list.confirm or line.gate.void:
        return
    what = "takes back a result, which needs a code for results that do not count: gate.void in line.toml"
    reasons.add(taken_back, "result", what, answers["code"])
