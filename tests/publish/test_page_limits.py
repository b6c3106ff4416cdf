"""The page when the plant's texts are hostile, and when there is more than a page can hold."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from example_lists import FACTS, NASTY, because, issue, not_scored, promises, ranked
from read_page import tags_of, text_of

from qma_predict.publish.pages import pictures
from qma_predict.publish.pages.page import render
from qma_predict.publish.pages.rows import LONGEST_PAGE


def nasty_page(n: int = 1) -> str:
    """Everything that the plant may name, named as an attacker would, n times."""
    texts = NASTY * n
    rows = ranked([0.2] * len(texts), listed=len(texts), unit_id=[f"{t}{i}" for i, t in enumerate(texts)])
    rows = rows.assign(product=texts, station=texts, machine=texts, check=texts, caution=texts)
    reasons = because(rows["unit_id"].tolist(), action="check sensor").assign(told=[(text,) for text in texts])
    told = [
        issue(number=i, title=text, driver=text, action=text, places=((text, 3),))
        for i, text in enumerate(texts[:10], 1)
    ]
    facts = replace(FACTS, capacity=len(texts), plant="<b>", line="</title>", model="<i>", timezone="UTC")
    facts = replace(facts, list_id='"; } </style><script>', state="DEGRADED", state_reasons=NASTY)
    return render(facts, rows, not_scored(list(NASTY)), issues=told, because=reasons, promises=promises({}))


def test_text_of_the_plant_can_break_neither_page_nor_layout():
    html = nasty_page()
    assert tags_of(html).count("script") == 1
    assert tags_of(html).count("tr") == 1 + len(NASTY)
    assert html.count("</style>") == 1
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", html)
    assert r"\u202e81300\u202c" in text_of(html)
    assert "{{ 7*7 }}${7*7}" in text_of(html)
    assert "&#39;" * 250 not in html


def test_the_largest_page_stays_below_one_megabyte():
    html = nasty_page(1 + LONGEST_PAGE // len(NASTY))
    assert html.count("<tr>") == 1 + LONGEST_PAGE
    assert len(html.encode()) < 1_000_000


@pytest.mark.parametrize("letter", ["'", "\u6f22", "\U0001f600"])
def test_300_units_of_the_longest_texts_stay_below_one_megabyte(letter):
    n, text = LONGEST_PAGE, letter * 1_000
    rows = ranked([0.2] * n, listed=n, unit_id=[f"{i:03d}{text}" for i in range(n)], risk_low=0.1, risk_high=0.3)
    rows = rows.assign(product=text, station=text, machine=text, check=text, caution=text)
    reasons = because(rows["unit_id"].tolist(), sentence=text, action=text + "!")
    told = [
        issue(
            number=i, title=text, driver=text, action=text, places=((text, 3),) * 9, unit_ids=rows["unit_id"].tolist()
        )
        for i in range(1, 13)
    ]
    times = pd.Series(pd.date_range("2026-11-01", periods=5_000, freq="5min", tz="UTC"))
    course = pictures.course(times, pd.Series(np.sin(np.arange(5_000.0) ** 2)), timezone="UTC")
    html = render(
        replace(FACTS, capacity=n, state="DEGRADED", state_reasons=(text,) * 9),
        rows,
        not_scored([f"{i}{text}" for i in range(9)]),
        issues=told,
        because=reasons,
        promises=promises(*[{}] * 30),
        courses=dict.fromkeys(range(1, 13), course),
    )
    assert len(html.encode()) < 1_000_000


def test_200_000_candidates_and_5_000_checks_make_a_page_of_300():
    scores = np.linspace(0.9, 0.0001, 200_000)
    html = render(replace(FACTS, capacity=5_000), ranked(list(scores), listed=5_000), not_scored([]))
    assert "195,000 lower-risk units" in text_of(html)
    assert "the first 300 of 5,000 units" in text_of(html)
    assert len(html.encode()) < 1_000_000


def test_the_page_needs_nothing_from_elsewhere_and_allows_only_its_own_script():
    html = render(FACTS, ranked([0.2, 0.1], listed=1), not_scored([]), promises=promises({}, {}))
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(tags_of(html))
    assert not re.search(r"https?:|url\(|@import| on[a-z]+=", html)
    assert re.search(r"default-src &#39;none&#39;|default-src 'none'", html)
    assert len(re.findall(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", html)) == 1
