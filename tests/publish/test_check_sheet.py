import re
from dataclasses import replace

import numpy as np
import pandas as pd
from example_lists import AS_OF, FACTS, NASTY, ranked

from qma_predict.publish.pages.check_sheet import render, to_check


def five() -> pd.DataFrame:
    """Four listed units, one of them an audit beside a ranked one at the same place, and one that is not listed."""
    rows = ranked([0.5, 0.4, 0.3, 0.2, 0.1], listed=4, station=["wash", "storage", "wash", "wash", "storage"])
    rows["machine"] = ["w1", "bay 4", "w2", "w1", "bay 1"]
    rows["selected_by"] = ["rank", "rank", "rank", "audit", None]
    return rows


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split("</style>")[1]))


def test_the_listed_units_are_ordered_by_place_with_what_to_do():
    sheet = to_check(five(), FACTS)
    assert list(sheet["unit_id"]) == ["u1", "u0", "u3", "u2"]
    assert list(sheet["place"]) == ["storage bay 4", "wash w1", "wash w1", "wash w2"]
    assert list(sheet.columns) == ["unit_id", "part", "place", "check", "by"]
    text = text_of(render(FACTS, five()))
    assert "storage bay 4 u1 A-55 leak, dimension Wed 05:00 wash w1 u0 A-55" in text
    assert "4 units, by place" in text
    assert "list line2-2026-11-24 valid until Wed 25 Nov 05:00" in text
    assert "u4" not in text


def test_audits_cannot_be_told_from_ranked_units():
    rows = five()
    swapped = rows.assign(selected_by=["audit", "audit", "rank", "rank", None])
    assert render(FACTS, swapped) == render(FACTS, rows)


def test_nothing_that_could_bias_the_verdict_is_on_the_sheet():
    rows = five()
    other = rows.assign(
        rank=[9, 8, 7, 6, 5],
        score=[0.01, 0.2, 0.3, 0.9, 0.5],
        risk_low=0.1,
        risk_high=0.8,
        value=12.0,
        selection_probability=[0.1, 0.2, 0.3, 0.4, 0.5],
        caution="no oven data",
        because="pressure high",
        issues="1, 3",
    )
    assert render(FACTS, other.iloc[::-1]) == render(FACTS, rows)
    unlike = replace(FACTS, expected=7.0, low=4, high=10, random_found=2.0, state="DEGRADED", state_reasons=("x",))
    assert render(unlike, rows) == render(FACTS, rows)
    assert not re.search(r"\b(risk|rank|audit|because|in 100)\b", text_of(render(FACTS, rows)))


def test_a_unit_is_wanted_until_the_list_is_out_of_date():
    sheet = to_check(five(), replace(FACTS, valid_until=AS_OF.replace(hour=9)))
    assert list(sheet["by"]) == ["10:00"] * 4


def test_units_whose_place_is_not_known_come_last():
    rows = ranked([0.3, 0.2], listed=2, station=[None, "wash"], machine=None)
    assert list(to_check(rows, FACTS)["place"]) == ["wash", "not recorded"]


def test_what_to_check_falls_back_to_the_control_plan():
    assert set(to_check(five().drop(columns="check"), FACTS)["check"]) == {"control plan"}


def test_a_list_without_units_is_a_sheet_that_says_so():
    assert "No unit is to be checked from this list." in render(FACTS, ranked([], listed=0))


def test_every_unit_of_a_long_list_is_there():
    html = render(FACTS, ranked(list(np.linspace(0.9, 0.1, 5_200)), listed=5_000))
    assert html.count('<th scope="row">') == 5_000


def test_text_of_the_plant_can_break_neither_sheet_nor_layout():
    n = len(NASTY)
    rows = ranked([0.2] * n, listed=n, unit_id=NASTY, product=NASTY, station=NASTY, machine=NASTY, check=NASTY)
    html = render(replace(FACTS, plant="<b>", list_id='"; } </style><script>'), rows)
    assert "<script" not in html
    assert html.count("</style>") == 1
    assert html.count("<tr>") == 1 + n
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", html)
    assert "&#39;" * 60 not in html


def test_the_sheet_has_no_script_and_needs_nothing_from_elsewhere():
    html = render(FACTS, five())
    assert not re.search(r"<script|<link|<img|https?:|url\(|@import", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in html
