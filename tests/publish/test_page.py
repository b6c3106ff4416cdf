import re
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from example_lists import AS_OF, FACTS, because, issue, not_scored, promises, ranked
from read_page import tags_of, text_of

from qma_predict.publish.pages import pictures
from qma_predict.publish.pages.facts import Facts
from qma_predict.publish.pages.page import MOST_ISSUES, render
from qma_predict.publish.pages.rows import LONGEST_PAGE
from qma_predict.publish.pages.words import RESULT_CODES, Moments, count_words, risk_words


def page(candidates: pd.DataFrame | None = None, facts: Facts = FACTS, **given: object) -> str:
    candidates = ranked([0.2, 0.1, 0.03, 0.01], listed=2) if candidates is None else candidates
    return render(facts, candidates, given.pop("unscored", not_scored([])), **given)


def test_a_risk_has_its_range_and_the_page_says_what_that_is():
    rows = ranked([0.22, 0.1, 0.03], listed=2, risk_low=[0.14, 0.04, 0.03], risk_high=[0.32, 0.2, 0.2])
    text = text_of(page(rows))
    assert "22 in 100 (14-32)" in text
    assert "10 in 100 (4-20)" in text
    assert "the highest left out: 3 in 100 (3-20)." in text
    assert "risk (range)" in text
    assert "range : what became of past units with about this risk" in text


def test_without_ranges_the_page_speaks_of_none():
    assert "range" not in text_of(page())


def test_scores_that_are_a_ranking_are_shown_as_places_and_never_as_probabilities():
    facts = replace(FACTS, ranking="its backtest holds 3 known defects", expected=None, low=None, high=None)
    facts = replace(facts, random_found=None)
    html = page(ranked([0.22, 0.1, 0.1, 0.03], listed=2), facts, issues=[issue()])
    text = text_of(html)
    assert "SCORES a ranking and not probabilities: its backtest holds 3 known defects" in text
    assert "riskier than 3 of 4" in text
    assert text.count("riskier than 1 of 4") == 2  # the two that tie, one of them left out
    assert "the highest left out: riskier than 1 of 4." in text
    assert "how many fail is not known: scores are a ranking" in text
    assert not re.search("[0-9] in 100", text)
    assert "EXPECTED not enough known yet" in text
    assert "expected defects" not in html  # no capacity curve


def test_the_head_says_whether_the_list_can_be_trusted():
    text = text_of(page())
    for words in (
        "Risk list: Plant A · Line 2, for Tue 24 Nov 2026",
        "data as of Tue 24 Nov 05:00",
        "valid until Wed 25 Nov 05:00",
        "list line2-2026-11-24",
        "all times Europe/Berlin, UTC+01:00",
        "STATUS OK to use DATA",
        "recorded up to Tue 24 Nov 04:50 in 6 tables",
        "MODEL boosted_trees, version 17, trained with data until Tue 10 Nov 04:00",
        "CAPACITY 2 checks (10 min)",
        "EXPECTED 0.3 defects found (0-1)",
        "picking at random would find less than 0.1",
        "NOT SCORED 0 units",
    ):
        assert words in text


def test_the_head_says_who_approved_the_model_and_when_it_is_trained_again():
    facts = replace(FACTS, approved="approved by A. <b>Meyer</b>", next_training=AS_OF + timedelta(days=5))
    assert "until Tue 10 Nov 04:00, approved by A. <b>Meyer</b>, next training Sun 29 Nov 05:00" in text_of(
        page(facts=facts)
    )
    assert "retrospect" not in text_of(page())


def test_a_list_made_after_its_day_says_so():
    text = text_of(page(facts=replace(FACTS, retrospective=True)))
    assert "MADE IN RETROSPECT for the record: it knows only what had been ingested by then" in text
    assert "and nothing that came later" in text


def test_listed_units_are_rows_and_the_rest_is_one_line():
    text = text_of(page(because=because(["u0"])))
    assert (
        "1 u0 A-55 storage bay 4 since Mon 22:00 20 in 100 leak, dimension hold pressure 412 bar, "
        "good parts 428-441 Wed 05:00 2 u1 A-55"
    ) in text
    assert "u2" not in text
    assert "Units to check: 2 (ranked by risk)" in text
    assert "2 lower-risk units not listed; the highest left out: 3 in 100." in text


def test_ranked_units_and_audits_are_counted_and_audits_marked():
    rows = ranked([0.5, 0.2, 0.1, 0.03, 0.01], listed=2, value=[9.0, 3.0, 2.0, 1.0, 0.1])
    rows.loc[3, ["listed", "selected_by"]] = [True, "audit"]
    text = text_of(page(rows))
    assert "Units to check: 3 (2 ranked by value per minute, 1 audit)" in text
    assert "4 u3 A-55 storage bay 4 since Mon 22:00 3 in 100 leak, dimension audit Wed" in text
    assert "2 lower-risk units not listed; the highest left out: 10 in 100." in text


def test_the_highest_left_out_is_by_risk_though_the_list_is_by_value():
    text = text_of(page(ranked([0.1, 0.02, 0.3], listed=1, value=[9.0, 3.0, 2.0])))
    assert "2 other units not listed; the highest left out: 30 in 100." in text
    assert "(ranked by value per minute)" in text


def test_checks_of_unlike_length_are_ranked_by_risk_per_minute():
    assert "(ranked by risk per minute)" in text_of(page(ranked([0.1, 0.3], listed=1, minutes=[1.0, 9.0])))


def test_capacity_as_work_names_the_checks_that_fit_into_it():
    facts = replace(FACTS, capacity=None, minutes=190.0, more_hour=0.84, ahead=1)
    text = text_of(page(facts=facts))
    assert "CAPACITY 190 min of work (listed: 2 checks, 10 min)" in text
    assert "one more hour of inspection would add about 0.8" in text
    assert "1 of 2 are still ahead of their gate." in text


def test_where_no_minutes_are_known_none_are_told():
    rows = ranked([0.5, 0.2, 0.1], listed=2, value=[9.0, 3.0, 2.0], minutes=np.nan)
    text = text_of(page(rows, replace(FACTS, ten_more=0.84)))
    assert "CAPACITY 2 checks EXPECTED" in text
    assert "ten more checks would add about 0.8" in text
    assert "Units to check: 2 (ranked by value)" in text
    assert not any(word in text for word in (" min ", "minute", "hour"))


def test_fewer_units_than_the_capacity_are_counted():
    assert "CAPACITY 5 checks (listed: 2, 10 min)" in text_of(page(facts=replace(FACTS, capacity=5)))
    unknown = ranked([0.2], listed=1, minutes=np.nan)
    assert "CAPACITY 1 check EXPECTED" in text_of(page(unknown, replace(FACTS, capacity=1)))


def test_a_unit_says_by_when_it_is_wanted():
    text = text_of(page(ranked([0.2, 0.1], listed=2), replace(FACTS, valid_until=AS_OF.replace(hour=6))))
    assert "20 in 100 leak, dimension 07:00 2 u1" in text
    assert "10 in 100 leak, dimension 07:00 " in text


def test_a_unit_names_its_doubts_its_issues_and_that_it_returns():
    rows = ranked([0.2, 0.1], listed=2, first_night=date(2026, 11, 20), listed_since=[date(2026, 11, 22), None])
    rows["caution"] = ["no oven data", None]
    reasons = because(["u0", "u1"], action="check sensor oven.temp")
    reasons.at["u1", "told"] = ("check sensor oven.temp first: it reads 9999 °C",)
    text = text_of(page(rows, because=reasons, issues=[issue(), issue(number=3, unit_ids=("u0",))]))
    assert (
        "caution: no oven data check sensor oven.temp first hold pressure 412 bar, good parts 428-441 "
        "issue 1, 3 again, since Sun 22 Nov Wed"
    ) in text
    assert "leak, dimension check sensor oven.temp first: it reads 9999 °C issue 1 Wed" in text


SENTENCES = (
    "die temperature moving 1 against its set point 30 degC, good parts -4 to 10; on DCM-1 since Tue 2 Dec 12:19",
    "melt no. 3 hydrogen index 0.221 ml/100g, good parts 0.098-0.186, limit 0.188; on FUR-1 since Tue 2 Dec 17:13",
)


def test_every_reason_that_is_shown_is_whole():
    reasons = because(["u0", "u1", "u2"])
    reasons.at["u0", "told"] = SENTENCES
    reasons.at["u1", "told"] = (SENTENCES[0], SENTENCES[1].replace("index", "i" * 900))
    reasons.at["u2", "told"] = ("force " + "9" * 2_000,)
    html = page(ranked([0.3, 0.2, 0.1], listed=3), replace(FACTS, capacity=3), because=reasons)
    whole, first, cut = re.findall('<span class="why">([^<]*)</span>', html)
    assert whole == ". ".join(SENTENCES)
    assert first == f"{SENTENCES[0]} …"
    assert cut.startswith("force 999")
    assert cut.endswith("9…")


def test_units_that_an_earlier_issue_has_are_counted_beside_those_of_an_issue():
    text = text_of(page(issues=[issue(number=2, units=11, beside=((1, 12),))]))
    assert "11 units, beside 12 of issue 1 9 in 100" in text
    assert "beside" not in text_of(page(issues=[issue()]))


def test_an_issue_whose_nights_are_not_known_says_since_when_alone():
    text = text_of(page(issues=[issue(nights=0)]))
    assert "normally predicted 1.2 since Sun 22 Nov 22:00 injection" in text
    assert "tonight" not in text[: text.index("injection")]


def test_the_usual_share_is_of_what_was_found_and_a_groups_of_what_was_predicted():
    text = text_of(page(issues=[issue()]))
    assert "risk normally found 1 in 100 check" in text
    assert "normally predicted 1.2" in text


def test_what_the_range_of_the_promise_was_learnt_from_is_said():
    assert "as the backtest's nights went." in text_of(page())
    text = text_of(page(facts=replace(FACTS, own_nights=12)))
    assert "as the backtest's nights and 12 nights of this model's own lists went." in text


def test_where_the_last_list_is_not_judged_the_newest_that_is_gets_told():
    open_one = {"checked": 0, "found": 0, "verdict": "not enough yet"}
    text = text_of(page(promises=promises(open_one, open_one, {"verdict": "broken"}, {})))
    assert "LAST JUDGED Sat 21 Nov: promised 5 (2-8) among the 31 checked, found 4, broken" in text
    assert "LAST JUDGED" not in text_of(page(promises=promises({}, open_one)))
    assert "LAST JUDGED" not in text_of(page(promises=promises(open_one)))


def test_issues_come_before_units_with_what_to_do_and_room_for_who_does_it():
    text = text_of(page(issues=[issue()]))
    assert (
        "Issues: 1, read these first 1 Press W13 · mould 5400 19 units 9 in 100 (5-14), normally predicted 1.2 "
        "third night in a row, since Sun 22 Nov 22:00 injection time 2.31 s, good parts 2.05-2.18, rising "
        "made under the same conditions, where last seen: 212 in stock , 40 shipped hold owner due"
    ) in text
    assert text.index("Issues: 1") < text.index("Units to check: 2")


def test_an_issue_says_no_more_than_is_known():
    text = text_of(page(issues=[issue(normal=None, since=None, nights=1, driver="", places=(), units=1)]))
    assert "1 unit 9 in 100 (5-14), usual rate not known first night hold owner" in text


def test_issues_beyond_the_longest_are_counted():
    text = text_of(page(issues=[issue(number=n) for n in range(1, MOST_ISSUES + 4)]))
    assert f"{MOST_ISSUES} Press W13" in text
    assert f"{MOST_ISSUES + 1} Press W13" not in text
    assert "3 more: see the workbook of this list." in text


def test_no_issue_is_said():
    assert "Issues: none No group of tonight's candidates stands out" in text_of(page())


def test_yesterday_and_the_last_nights_are_told():
    rows = promises({}, {"verdict": "broken"}, {}, {"verdict": "not enough yet"})
    text = text_of(page(promises=rows))
    assert "YESTERDAY promised 5 (2-8) among the 31 checked, found 4, 7 not checked, 2 pending" in text
    assert "LAST 4 NIGHTS promise kept 2 of 3, 1 not enough known yet" in text


def test_the_last_list_is_not_called_yesterdays_if_it_was_earlier():
    text = text_of(page(promises=promises({}, {"promised": np.nan}).iloc[1:]))
    assert "LIST OF Sun 22 Nov promised no number, found 4 in 31 checked" in text
    assert "YESTERDAY no earlier list NOT SCORED" in text_of(page(promises=promises()))
    assert "YESTERDAY" not in text_of(page())


def test_pictures_say_what_they_show():
    times = pd.Series(pd.date_range("2026-11-22", periods=9, freq="6h", tz="UTC"))
    course = pictures.course(times, pd.Series(range(9)), timezone="UTC", good=(2, 5))
    html = page(promises=promises({}, {}), issues=[issue(), issue(number=2)], courses={1: course})
    labels = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert [label.split(" ")[0] for label in labels] == ["Course", "Defects", "Expected"]
    assert html.count("<svg") == 3
    names = re.findall(r' id="([^"]+)"', html)
    assert sorted(names) == sorted(set(names))


def test_every_result_code_is_explained_below_and_on_each_printed_page():
    html = page()
    assert "1 defect found, 2 no fault found, 3 not checked (no time)" in text_of(html)
    assert len(RESULT_CODES) == 6
    assert '@bottom-right { content: "page " counter(page) " of " counter(pages)' in html
    assert r"Risk list line2\00002d2026\00002d11\00002d24, valid until Wed" in html.replace(r"\000020", " ").replace(
        r"\00002c", ","
    )


def test_an_unfit_state_is_said_in_words_with_its_reasons():
    degraded = replace(FACTS, state="DEGRADED", state_reasons=("oven silent since 01:10", "torque late"))
    assert "STATUS DEGRADED: use with care oven silent since 01:10 torque late DATA" in text_of(page(facts=degraded))
    baseline = replace(FACTS, state="BASELINE", state_reasons=("no champion yet",))
    words = "BASELINE: list by the simple rule, model not used tonight no champion yet DATA"
    assert words in text_of(page(facts=baseline))


def test_many_reasons_of_a_state_are_counted():
    text = text_of(page(facts=replace(FACTS, state="DEGRADED", state_reasons=tuple(f"file {n} cut" for n in range(9)))))
    assert "file 4 cut 4 more: see the workbook of this list DATA" in text


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (replace(FACTS, state="FINE"), "state is 'FINE', expected one of"),
        (replace(FACTS, state="DEGRADED"), "DEGRADED without a reason"),
        (replace(FACTS, capacity=None), "capacity is None units and None min, expected exactly one"),
        (replace(FACTS, low=1), r"expected is 0.3 \(1-1\)"),
        (replace(FACTS, expected=1.6), r"expected is 1.6 \(0-1\)"),
        (replace(FACTS, expected=None), r"expected is None \(0-1\)"),
        (replace(FACTS, minutes=60.0), "capacity is 2 units and 60.0 min, expected exactly one"),
    ],
)
def test_a_state_that_says_nothing_is_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        page(facts=facts)


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
    text = text_of(page(facts=unknown))
    assert "EXPECTED not enough known yet" in text
    assert "picking at random would find an unknown number: not enough known yet" in text
    assert "usual rate not known yet" in text
    assert "nothing recorded yet" in text
    assert "MODEL boosted_trees CAPACITY" in text
    assert "None" not in text


def test_no_defect_ever_seen_is_said():
    assert "no defect known so far" in text_of(page(facts=replace(FACTS, base_rate=0.0)))


def test_units_not_scored_are_counted_by_reason_most_frequent_first():
    unscored = not_scored(["unknown setup", "no oven data", "no oven data", None])
    words = "4 units: 2 no oven data; 1 reason not recorded; 1 unknown setup. Treat by control plan."
    assert words in text_of(page(unscored=unscored))


def test_many_reasons_become_one_line():
    assert "1 reason 4; 3 for 3 other reasons." in text_of(page(unscored=not_scored([f"reason {i}" for i in range(8)])))


@pytest.mark.parametrize(
    ("scores", "unscored", "capacity", "sentence"),
    [
        ([], 0, 2, "there are no candidates tonight"),
        ([], 2, 2, "none of tonight's candidates could be scored"),
        ([0.2], 0, 0, "the capacity is 0 checks. 1 unit not listed; the highest left out: 20 in 100"),
        ([0.2], 0, 2, "no check fits into the capacity. 1 unit not listed"),
    ],
)
def test_an_empty_list_is_a_page_that_says_why(scores, unscored, capacity, sentence):
    facts = replace(FACTS, capacity=capacity, expected=0.0, low=0, high=0)
    html = page(ranked(scores, listed=0), facts, unscored=not_scored(["no data"] * unscored), because=because([]))
    assert f"Units to check: none No unit is listed: {sentence}" in text_of(html)
    assert "EXPECTED 0 defects found (0-0)" in text_of(html)
    assert "table" not in tags_of(html)


def test_where_no_check_is_worth_its_cost_the_page_says_so():
    rows = ranked([0.2], listed=0).assign(value=-3.0)
    assert "No unit is listed: no check tonight is worth what it costs." in text_of(page(rows))


def test_issues_that_could_not_be_told_are_not_called_none():
    text = text_of(page(facts=replace(FACTS, no_issues_because="scores are a ranking")))
    assert "Issues: not told tonight Because scores are a ranking." in text


def test_the_expected_number_is_not_called_the_sum_of_the_risks():
    assert "wrong together, so it need not be the sum of the risks above." in text_of(page())


def test_the_page_is_cut_at_its_longest_and_says_so():
    n = LONGEST_PAGE + 5
    html = page(ranked([0.2] * n, listed=n), replace(FACTS, capacity=n))
    assert tags_of(html).count("tr") == LONGEST_PAGE + 1
    assert "shows the first 300 of 305 units to check" in text_of(html)
    assert "No scored unit was left out." in text_of(html)


def test_the_page_can_be_read_to_a_blind_person():
    html = page(issues=[issue()])
    assert '<html lang="en">' in html
    assert html.count("<th ") == html.count('<th scope="col"') + html.count('<th scope="row"') == 12
    assert {"header", "main", "section", "label"} <= set(tags_of(html))
    for name in re.findall(r'aria-labelledby="([^"]+)"', html):
        assert f'id="{name}"' in html


def test_the_same_night_gives_the_same_bytes_whatever_the_order_of_what_was_not_scored():
    unscored = not_scored(["b", "a", "b"])
    given = {"promises": promises({}, {}), "issues": [issue()], "because": because(["u0", "u1"])}
    assert page(unscored=unscored, **given) == page(unscored=unscored.iloc[::-1], **given)


def test_an_hour_that_the_clock_change_repeats_names_its_offset():
    # On 25 Oct 2026 clocks in Berlin go from 03:00 back to 02:00, at 01:00 UTC.
    since = pd.to_datetime(["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"])
    text = text_of(page(ranked([0.3, 0.2, 0.1], listed=3, since=since), replace(FACTS, capacity=3)))
    assert "since Sun 25 Oct 02:30 (UTC+02:00)" in text
    assert "since Sun 25 Oct 02:30 (UTC+01:00)" in text
    assert "since Sun 25 Oct 03:30 10 in 100" in text


def test_a_weekday_alone_is_said_only_where_it_can_mean_one_day():
    moments = Moments("UTC", date(2026, 11, 24), AS_OF)
    days = [pd.Timestamp(f"2026-11-{day:02d} 08:00Z") for day in (25, 24, 19, 18)]
    assert [moments.recent(day) for day in days] == ["Wed 25 Nov 08:00", "Tue 08:00", "Thu 08:00", "Wed 18 Nov 08:00"]
    days = [pd.Timestamp(f"2026-11-{day:02d} 08:00Z") for day in (23, 24, 29, 30)]
    assert [moments.by(day) for day in days] == ["Mon 23 Nov 08:00", "08:00", "Sun 08:00", "Mon 30 Nov 08:00"]


def test_a_time_of_another_year_names_the_year():
    facts = replace(FACTS, business_date=date(2027, 1, 1))
    assert "data as of Tue 24 Nov 2026 05:00" in text_of(page(facts=facts))


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
