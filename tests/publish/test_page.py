import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pandas as pd
import pytest

from qma_predict.learn.trust import NO_RANGES, RiskRanges
from qma_predict.publish.page import LONGEST_PAGE, RESULT_CODES, Facts, count_words, render, risk_words
from qma_predict.publish.risk_list import CANDIDATE_COLUMNS, not_scored, rank

AS_OF = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)  # 05:00 in Berlin

FACTS = Facts(
    plant="Plant A",
    line="Line 2",
    business_date=date(2026, 11, 24),
    as_of=AS_OF,
    valid_until=AS_OF + timedelta(days=1),
    timezone="Europe/Berlin",
    list_id="2026-11-24",
    state="OK",
    state_reasons=(),
    data_until=AS_OF - timedelta(minutes=10),
    sources=6,
    model="line2",
    model_version="17",
    trained_until=datetime(2026, 11, 10, 3, 0, tzinfo=UTC),
    capacity=2,
    base_rate=0.012,
    expected=0.3,
    low=0,
    high=1,
    random_found=0.03,
)

VOID = {"meta", "col", "br"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order; keeps the tags and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def tags_of(html: str) -> list[str]:
    page = Balanced()
    page.feed(html)
    page.close()
    assert page.open == []
    return page.seen


def text_of(html: str) -> str:
    page = Balanced()
    page.feed(html)
    page.close()
    return re.sub(r"\s+", " ", " ".join(page.text))


def night(scores: list[float | None], **columns: object) -> pd.DataFrame:
    rows = {
        "unit_id": [f"u{i}" for i in range(len(scores))],
        "product": "A-55",
        "cutoff": pd.Timestamp(AS_OF - timedelta(hours=8)),
        "first_night": FACTS.business_date,
        "station": "storage",
        "machine": "bay 4",
        "since": pd.Timestamp(AS_OF - timedelta(hours=7)),
        "score": pd.Series(scores, dtype="float64"),
        "reason": ["no oven data" if score is None else None for score in scores],
    }
    return pd.DataFrame({**rows, **columns})


def page(candidates: pd.DataFrame, facts: Facts = FACTS, ranges: RiskRanges = NO_RANGES) -> str:
    return render(facts, rank(candidates, capacity=facts.capacity, ranges=ranges), not_scored(candidates))


def test_a_risk_has_its_range_and_the_page_says_what_that_is():
    text = text_of(page(night([0.22, 0.1, 0.03]), ranges=RiskRanges((0.1, 0.3), (0.04, 0.2), (0.2, 0.4))))
    assert "22 in 100 (14-32)" in text
    assert "10 in 100 (4-20)" in text
    assert "the highest left out: 3 in 100 (3-20)." in text
    assert "risk (range)" in text
    assert "range : what became of past units with about this risk" in text


def test_without_ranges_the_page_speaks_of_none():
    assert "range" not in text_of(page(night([0.22, 0.1])))


def test_scores_that_are_a_ranking_are_shown_as_places_and_never_as_probabilities():
    facts = replace(FACTS, ranking="its backtest holds 3 known defects", expected=None, low=None, high=None)
    facts = replace(facts, random_found=None)
    text = text_of(page(night([0.22, 0.1, 0.1, 0.03]), facts))
    assert "SCORES a ranking and not probabilities: its backtest holds 3 known defects" in text
    assert "riskier than 3 of 4" in text
    assert text.count("riskier than 1 of 4") == 2  # the two that tie, one of them left out
    assert "the highest left out: riskier than 1 of 4." in text
    assert " in 100" not in text
    assert "EXPECTED not enough known yet" in text


def test_the_head_says_whether_the_list_can_be_trusted():
    text = text_of(page(night([0.2, 0.1, 0.03, 0.01])))
    for words in (
        "Risk list: Plant A · Line 2, for Tue 24 Nov 2026",
        "data as of Tue 24 Nov 05:00",
        "valid until Wed 25 Nov 05:00",
        "list 2026-11-24",
        "all times Europe/Berlin, UTC+01:00",
        "STATUS OK to use DATA",
        "recorded up to Tue 24 Nov 04:50, 6 sources",
        "MODEL line2, version 17, trained with data until Tue 10 Nov 04:00",
        "CAPACITY 2 checks",
        "EXPECTED 0.3 defects found (0-1)",
        "picking at random would find less than 0.1",
        "NOT SCORED 0 units",
    ):
        assert words in text


def test_listed_units_are_rows_and_the_rest_is_one_line():
    text = text_of(page(night([0.2, 0.1, 0.03, 0.01])))
    assert "1 u0 A-55 storage bay 4 since Mon 23 Nov 22:00 20 in 100 2 u1 A-55" in text
    assert "u2" not in text
    assert "2 lower-risk units not listed; the highest left out: 3 in 100." in text


def test_a_unit_that_returns_says_since_when():
    text = text_of(page(night([0.2, 0.1], first_night=[date(2026, 11, 22), FACTS.business_date])))
    assert "20 in 100 since Sun 22 Nov 2 u1" in text
    assert text.count("since Sun 22 Nov") == 1


def test_every_result_code_is_explained_below_and_on_each_printed_page():
    html = page(night([0.2]))
    assert "1 defect found, 2 no fault found, 3 not checked (no time)" in text_of(html)
    assert len(RESULT_CODES) == 6
    assert '@bottom-right { content: "page " counter(page) " of " counter(pages)' in html
    assert r"Risk list 2026\00002d11\00002d24, valid until Wed" in html


def test_an_unfit_state_is_said_in_words_with_its_reasons():
    degraded = replace(FACTS, state="DEGRADED", state_reasons=("oven silent since 01:10", "torque late"))
    assert "STATUS DEGRADED: use with care oven silent since 01:10 torque late DATA" in text_of(
        page(night([0.2]), degraded)
    )
    baseline = replace(FACTS, state="BASELINE", state_reasons=("no champion yet",))
    words = "BASELINE: list by the simple rule, model not used tonight no champion yet DATA"
    assert words in text_of(page(night([0.2]), baseline))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (replace(FACTS, state="FINE"), "state is 'FINE', expected one of"),
        (replace(FACTS, state="DEGRADED"), "DEGRADED without a reason"),
    ],
)
def test_a_state_that_says_nothing_is_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        page(night([0.2]), facts)


def test_what_is_not_known_is_said_and_never_zero():
    unknown = replace(
        FACTS,
        expected=None,
        low=None,
        high=None,
        random_found=None,
        base_rate=None,
        data_until=None,
        model_version=None,
        trained_until=None,
    )
    text = text_of(page(night([0.2]), unknown))
    assert "EXPECTED not enough known yet" in text
    assert "picking at random would find an unknown number: not enough known yet" in text
    assert "usual rate not known yet" in text
    assert "nothing recorded yet, 6 sources" in text
    assert "MODEL line2 CAPACITY" in text
    assert "None" not in text


def test_no_defect_ever_seen_is_said():
    assert "no defect known so far" in text_of(page(night([0.2]), replace(FACTS, base_rate=0.0)))


def test_units_not_scored_are_counted_by_reason_most_frequent_first():
    reasons = ["unknown setup", "no oven data", "no oven data", None]
    candidates = night([None] * 4, reason=reasons)
    words = "4 units: 2 no oven data; 1 reason not recorded; 1 unknown setup. Treat by control plan."
    assert words in text_of(page(candidates))


def test_many_reasons_become_one_line():
    candidates = night([None] * 8, reason=[f"reason {i}" for i in range(8)])
    assert "1 reason 4; 3 for 3 other reasons." in text_of(page(candidates))


@pytest.mark.parametrize(
    ("scores", "capacity", "sentence"),
    [
        ([], 2, "there are no candidates tonight"),
        ([None, None], 2, "none of tonight's candidates could be scored"),
        ([0.2], 0, "the capacity is 0 checks. 1 unit not listed; the highest left out: 20 in 100"),
    ],
)
def test_an_empty_list_is_a_page_that_says_why(scores, capacity, sentence):
    candidates = night(scores) if scores else pd.DataFrame(columns=CANDIDATE_COLUMNS)
    html = page(candidates, replace(FACTS, capacity=capacity, expected=0.0, low=0, high=0))
    assert f"Units to check: none No unit is listed: {sentence}" in text_of(html)
    assert "table" not in tags_of(html)


def test_the_page_is_cut_at_its_longest_and_says_so():
    n = LONGEST_PAGE + 5
    html = page(night([0.2] * n), replace(FACTS, capacity=n))
    assert tags_of(html).count("tr") == LONGEST_PAGE + 1
    assert "shows the first 300 of 305 units to check" in text_of(html)
    assert "No scored unit was left out." in text_of(html)


def test_text_of_the_plant_can_break_neither_page_nor_layout():
    nasty = [
        "<script>alert(1)</script>",
        "</td></table>",
        "x" * 5000,
        "\u202e81300\u202c",
        "a\x00b\nc",
        "{{ 7*7 }}",
    ]
    candidates = night([0.2] * 6, unit_id=nasty, product=nasty, station=nasty, machine=nasty)
    facts = replace(
        FACTS,
        capacity=6,
        plant="<b>",
        line="</title>",
        model="<i>",
        list_id='"; } </style><script>',
        timezone="UTC",
    )
    html = page(candidates, replace(facts, state="DEGRADED", state_reasons=("</ul><script>",)))
    assert tags_of(html).count("script") == 0
    assert tags_of(html).count("tr") == 7
    assert html.count("</style>") == 1
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", html)
    assert r"\u202e81300\u202c" in text_of(html)
    assert "{{ 7*7 }}" in text_of(html)
    assert "x" * 60 not in html


def test_the_largest_page_stays_below_one_megabyte():
    n = 2 * LONGEST_PAGE
    units = [f"{i:05d}" + "\u202e" * 1_000 for i in range(n)]
    html = page(night([0.2] * n, unit_id=units, product="\u6f22" * 900), replace(FACTS, capacity=n))
    assert len(html.encode()) < 1_000_000


def test_the_page_needs_no_script_and_nothing_from_elsewhere():
    html = page(night([0.2, None]))
    assert not {"script", "link", "img", "iframe"} & set(tags_of(html))
    assert not re.search(r"https?:|url\(|@import", html)


def test_the_page_can_be_read_to_a_blind_person():
    html = page(night([0.2]))
    assert '<html lang="en">' in html
    assert "caption" in tags_of(html)
    assert html.count("<th ") == html.count('<th scope="col"') + html.count('<th scope="row"') == 9


def test_the_same_night_gives_the_same_bytes_in_any_row_order():
    candidates = night([0.2, 0.1, 0.1, None, None], reason=[None, None, None, "b", "a"])
    assert page(candidates) == page(candidates.iloc[::-1])


def test_an_hour_that_the_clock_change_repeats_names_its_offset():
    # On 25 Oct 2026 clocks in Berlin go from 03:00 back to 02:00, at 01:00 UTC.
    since = [
        pd.Timestamp("2026-10-25T00:30Z"),
        pd.Timestamp("2026-10-25T01:30Z"),
        pd.Timestamp("2026-10-25T02:30Z"),
    ]
    text = text_of(page(night([0.3, 0.2, 0.1], since=since), replace(FACTS, capacity=3)))
    assert "since Sun 25 Oct 02:30 (UTC+02:00)" in text
    assert "since Sun 25 Oct 02:30 (UTC+01:00)" in text
    assert "since Sun 25 Oct 03:30 10 in 100" in text


def test_a_time_of_another_year_names_the_year():
    facts = replace(FACTS, business_date=date(2027, 1, 1))
    assert "data as of Tue 24 Nov 2026 05:00" in text_of(page(night([]), facts))


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (1.0, "more than 99 in 100"),
        (0.995, "more than 99 in 100"),
        (0.994, "99 in 100"),
        (0.225, "23 in 100"),
        (0.0097, "1 in 100"),
        (0.0094, "9 in 1,000"),
        (0.00097, "1 in 1,000"),
        (0.000095, "1 in 10,000"),
        (0.00009, "less than 1 in 10,000"),
    ],
)
def test_a_risk_is_told_in_whole_units_of_round_numbers(probability, words):
    assert risk_words(probability) == words


def test_a_higher_risk_never_reads_lower():
    def value(words: str) -> float:
        among = 1 if words.startswith("more") else 0
        count, total = re.findall(r"[\d,]+", words)
        return (int(count) + among - words.startswith("less") / 2) / int(total.replace(",", ""))

    read = [value(risk_words(step / 20_000)) for step in range(20_001)]
    assert read == sorted(read)


@pytest.mark.parametrize(("number", "words"), [(3.5, "4"), (2.96, "3"), (2.44, "2.4"), (0.05, "0.1"), (0, "0")])
def test_an_expected_number_has_no_more_digits_than_it_deserves(number, words):
    assert count_words(number) == words
