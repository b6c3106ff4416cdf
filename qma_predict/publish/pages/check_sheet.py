"""The inspectors' sheet: what to check, where and by when, and nothing that could bias the verdict.

It has no risk, no rank, no reason and no origin, and its order is that of places: units drawn as audits cannot be told
from the others.
"""

import pandas as pd

from qma_predict.publish.pages.facts import Facts
from qma_predict.publish.pages.rows import completed
from qma_predict.publish.pages.templates import template
from qma_predict.publish.pages.words import LONGEST_SENTENCE, RESULT_CODES, cell_words, place_words
from qma_predict.publish.text import shortened, visible


def to_check(ranked: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """Return the units of the check sheet, by place.

    Parameters
    ----------
    ranked : DataFrame, one row a scored candidate
        As `qma_predict.publish.pages.rows.completed` describes it.
    facts : Facts
        Of it, until when checks are wanted and how times are told.

    Returns
    -------
    DataFrame
        The listed units by ``place`` and ``unit_id``, with ``unit_id``, ``part``, ``place``, ``check`` and ``by``
        (local time), all text.
    """
    night = completed(ranked)
    listed = night[night["listed"]].sort_values(["station", "machine", "unit_id"], na_position="last")
    return pd.DataFrame(
        {
            "unit_id": listed["unit_id"].astype("str"),
            "part": [cell_words(part) for part in listed["product"]],
            "place": [place_words(*place) for place in zip(listed["station"], listed["machine"], strict=True)],
            "check": [cell_words(check, missing="control plan") for check in listed["check"]],
            "by": facts.moments.by(facts.valid_until),
        }
    ).reset_index(drop=True)


def render(facts: Facts, ranked: pd.DataFrame) -> str:
    """Return the check sheet of a list as HTML, to be printed.

    Parameters
    ----------
    facts : Facts
        Which list it is and until when it is valid.
    ranked : DataFrame, one row a scored candidate
        As for `to_check`.

    Returns
    -------
    str
        One HTML document without scripts or outside resources, with every listed unit.
    """
    units = to_check(ranked, facts).assign(unit=lambda rows: [cell_words(unit) for unit in rows["unit_id"]])
    moments = facts.moments
    list_id = shortened(facts.list_id, longest=LONGEST_SENTENCE)
    return template("check_sheet.html.jinja").render(
        facts=facts,
        moments=moments,
        name=f"{visible(facts.plant)} · {visible(facts.line)}",
        day=moments.long_day(facts.business_date),
        footer=f"Check sheet {list_id}, valid until {moments.words(facts.valid_until)}",
        codes_line=", ".join(f"{code} {words}" for code, words in RESULT_CODES),
        units=units.to_dict("records"),
    )
