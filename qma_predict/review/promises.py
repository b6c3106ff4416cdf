"""What earlier lists promised, and what became of it: kept, broken, or not enough yet."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn.labels import label_states
from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.line import Line
from qma_predict.publish.lists.published import rows_of
from qma_predict.publish.models.model import identity
from qma_predict.review.answer_checks import RESULTS, UNIT, newest_answers
from qma_predict.review.earlier import MOST, EarlierLists

MIN_CHECKED = 5
"""Checked units [units] from which on a promise is said to be kept or broken."""

MIN_PROMISED = 1.0
"""The same of the defects that were promised among them: a promise of nearly none is kept by finding none."""

COLUMNS = ("business_date", "model", "promised", "low", "high", "listed", "checked", "found", "pending", "not_checked",
           "verdict", "reason")  # fmt: skip

_ROWS = ["list_id", "unit_id", "cutoff", "score", "score_is"]


def promises(lists: EarlierLists, history: History, line: Line, *, most: int = MOST) -> pd.DataFrame:
    """Each earlier list's promise, re-stated for the units that were checked, against what was found among them.

    Parameters
    ----------
    lists : EarlierLists
        Those before the moment of the history (`qma_predict.review.earlier.lists_before`).
    history : History
        What was known when.
    line : Line
    most : int
        Lists at most, the newest.

    Returns
    -------
    DataFrame, one row an earlier list, newest first
        ``business_date`` (date)
            Of the list.
        ``model``
            Which one it is by, as `Model.identity`; empty if the list does not say it.
        ``promised``, ``low``, ``high``
            Defects expected among the checked units, and the central 90 % interval by the list's own spread; missing
            where nothing was checked, or the list's scores were a ranking.
        ``listed``, ``checked``, ``pending``, ``not_checked``
            Units; the last three are the first.
        ``found``
            Defects among the checked.
        ``verdict``, ``reason``
            ``"kept"`` if what was found lies within the interval, ``"broken"`` if not, ``"not enough yet"`` for less
            than `MIN_CHECKED` checked units or `MIN_PROMISED` promised defects; and why, in words.

    Notes
    -----
    A unit was checked if people answered on that list that it was (unless the line wants that confirmed), or if the
    gate decided on it. What the gate found counts only after the line's maturity, of defects and good units alike:
    defects are reported sooner, so that a list would look better on its first days. Until then such a unit is
    pending; after it, a unit of which nothing is known was not checked. An answer tells at once, either way.
    """
    shown = dict(list(reversed(lists.whole.items()))[:most])
    if not shown:
        return pd.DataFrame(columns=list(COLUMNS))
    listed = {day: rows_of(one.path, listed=True, columns=_ROWS) for day, one in shown.items()}
    units = pd.concat([rows for rows in listed.values() if len(rows)] or list(listed.values()), ignore_index=True)
    labels = _labels(history, units, line)
    answers = _answers(history, units, line)
    rows = [
        _of_list(day, one.facts, _states(listed[day], labels, answers, history, line)) for day, one in shown.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spread(facts: Mapping[str, Any]) -> PromiseSpread:
    """How far the list's probabilities may be off together; lists of earlier versions do not say it."""
    said = facts.get("promise_spread")
    return PromiseSpread(tuple(said["shift"]), tuple(said["chance"])) if said else CHANCE_ALONE


def _labels(history: History, units: pd.DataFrame, line: Line) -> pd.Series:
    """State of each unit's label, which only a mature one has."""
    points = units[["unit_id", "cutoff"]].drop_duplicates("unit_id").astype({"unit_id": "str"})
    if points.empty:
        return pd.Series(dtype="str")
    return label_states(history, points.reset_index(drop=True), line)


def _answers(history: History, units: pd.DataFrame, line: Line) -> pd.Series:
    """Newest code that was answered on each list to each unit, by list and unit."""
    known = history.all_versions("answers")
    lists = sorted(set(units["list_id"]))
    found = newest_answers(known.filter(known.list_id.isin(lists)).to_pandas())
    codes = found.set_index(UNIT)["code"]
    return codes.where(~codes.isin(list(RESULTS))) if line.list.confirm else codes


def _states(listed: pd.DataFrame, labels: pd.Series, answers: pd.Series, history: History, line: Line) -> pd.DataFrame:
    """Each listed unit's score, whether it is ``checked`` and ``pending``, and whether a defect was ``found``."""
    units = listed.set_index("unit_id")
    code = answers.reindex(pd.MultiIndex.from_frame(listed[UNIT])).set_axis(units.index)
    label = labels.reindex(units.index)
    answered, decided = code.isin(list(RESULTS)), label.isin(["defect", "good"])
    mature = units["cutoff"] + pd.Timedelta(line.gate.maturity) <= history.as_of
    return pd.DataFrame(
        {
            "score": units["score"].where(units["score_is"] != "ranking"),
            "checked": answered | decided,
            "pending": ~(answered | decided) & ~mature & code.isna(),
            "found": np.where(answered, code == "1", label == "defect"),
        }
    )


def _of_list(day: date, facts: Mapping[str, Any], units: pd.DataFrame) -> dict[str, Any]:
    checked = units[units["checked"]]
    found, pending = int(checked["found"].sum()), int(units["pending"].sum())
    row: dict[str, Any] = {"business_date": day, "model": identity(facts.get("model", {}))}
    row |= {"promised": np.nan, "low": np.nan, "high": np.nan}
    numbers = len(checked) > 0 and bool(checked["score"].notna().all())
    if numbers:
        row["promised"], row["low"], row["high"] = map(float, _spread(facts).interval(checked["score"]))
    row |= {"listed": len(units), "checked": len(checked), "found": found, "pending": pending}
    row["not_checked"] = len(units) - len(checked) - pending
    row["verdict"], row["reason"] = _verdict(row, ranking=len(checked) > 0 and not numbers)
    return row


def _verdict(row: dict[str, Any], *, ranking: bool) -> tuple[str, str]:
    if ranking:
        return "not enough yet", "its scores were a ranking, which promises no number"
    if row["checked"] < MIN_CHECKED:
        return "not enough yet", f"{row['checked']} of {row['listed']} checked, expected {MIN_CHECKED} or more"
    if row["promised"] < MIN_PROMISED:
        return "not enough yet", f"{row['promised']:.1f} defects promised among {row['checked']} checked units"
    said = f"found {row['found']} in {row['checked']} checked, promised {row['low']:.0f} to {row['high']:.0f}"
    if row["low"] <= row["found"] <= row["high"]:
        return "kept", said
    return "broken", f"{said}: {'fewer' if row['found'] < row['low'] else 'more'} than promised"
