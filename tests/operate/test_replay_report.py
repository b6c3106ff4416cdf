"""What replayed lists would have found: numbers by hand, and intervals that hold as often as they say."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.runs import run_length
from qma_predict.line import Costs
from qma_predict.operate.night_blocks import interval, night_blocks
from qma_predict.operate.replay_page import found_by_night, render, words
from qma_predict.operate.replay_promises import share_kept
from qma_predict.operate.replay_report import KEPT, LISTS, NO_LIST, Replay, evaluate
from qma_predict.publish.lists.manifest import sha256

FIRST = date(2026, 3, 2)
KNOWN = pd.Timestamp("2026-05-01 04:00", tz="UTC").to_pydatetime()


def days(count):
    return [FIRST + timedelta(days=n) for n in range(count)]


def nights(count, **columns):
    rows = {"business_date": days(count), "state": "OK", "model": "boosted_trees", "version": "1", "candidates": 4,
            "listed": 2, "capacity": 2, "real": ""}  # fmt: skip
    frame = pd.DataFrame({**rows, **columns})
    return frame.assign(reasons=[()] * count, issues=[()] * count)


def promises(count, **columns):
    rows = {"business_date": days(count), "promised": 1.0, "low": 0.0, "high": 2.0, "listed": 2, "checked": 2,
            "found": 1, "pending": 0, "not_checked": 0, "verdict": "kept"}  # fmt: skip
    return pd.DataFrame({**rows, **columns})


def scored(by_night):
    """A contestant's frame of the scores of each night's new candidates."""
    rows = [(f"{n}-{k}", day, score) for n, (day, of) in enumerate(by_night) for k, score in enumerate(of)]
    return pd.DataFrame(rows, columns=["unit_id", "night", "score"])


def outcomes(by_night):
    return pd.Series({f"{n}-{k}": value for n, of in enumerate(by_night) for k, value in enumerate(of)})


def two_nights(line, **given) -> Replay:
    """Two places a night: the lists hold both defects of the first night, the rule one of them and none else."""
    lists = scored([(FIRST, [0.9, 0.8, 0.2, 0.1]), (FIRST + timedelta(days=1), [0.7, 0.6, 0.1])])
    rule = scored([(FIRST, [0.9, 0.1, 0.8, 0.2]), (FIRST + timedelta(days=1), [0.3, 0.2, 0.1])])
    truth = outcomes([[1.0, 1.0, 0.0, np.nan], [np.nan, 0.0, 1.0]])
    usual = {"weight": None, "known_until": KNOWN, "nights": nights(2), "promises": promises(2)}
    return evaluate(line, scores={LISTS: lists, "recent_rate": rule}, outcome=truth, **(usual | given))


def value(replay, contestant, metric):
    found = replay.figures.set_index(["contestant", "metric"])["value"]
    return found[(contestant, metric)]


def test_precision_and_recall_at_capacity_are_those_worked_by_hand(tiny_line):
    replay = two_nights(tiny_line)
    assert value(replay, LISTS, "recall_at_capacity") == pytest.approx(2 / 3)
    assert value(replay, LISTS, "precision_at_capacity") == pytest.approx(2 / 3)  # one listed unit is unknown
    assert value(replay, "recent_rate", "recall_at_capacity") == pytest.approx(1 / 3)
    assert value(replay, "recent_rate", "precision_at_capacity") == pytest.approx(1 / 3)
    assert replay.nights["recall"].tolist() == [1.0, 0.0]
    assert replay.nights["precision"].tolist() == [1.0, 0.0]
    assert replay.found.to_dict("list") == {LISTS: [2.0, 0.0], "recent_rate": [1.0, 0.0]}


def test_each_night_has_the_capacity_of_its_own_list(tiny_line):
    line = tiny_line.model_copy(update={"costs": Costs(escape=100.0, inspection=2.0, false_alarm=5.0)})
    replay = two_nights(line, nights=nights(2, capacity=[1, 3]))
    assert value(replay, LISTS, "recall_at_capacity") == pytest.approx(2 / 3)  # one of two, and the one of three
    assert value(replay, LISTS, "precision_at_capacity") == pytest.approx(2 / 3)
    assert value(replay, "recent_rate", "precision_at_capacity") == pytest.approx(2 / 3)
    assert value(replay, LISTS, "expected_cost") == pytest.approx((3 * 2 + 5 + 100) / 5)
    assert replay.nights["recall"].tolist() == [0.5, 1.0]
    assert replay.found[LISTS].tolist() == [1.0, 1.0]
    page = render(many(tiny_line, gap=1.0, nights=nights(30, capacity=[2, 5] * 15)))
    assert "with 2 to 5 checks a night the lists found" in page
    assert "Defects found up to each night, with 2 to 5 checks a night" in page


def test_a_change_of_capacity_is_in_the_intervals_too(tiny_line):
    few, more = (many(tiny_line, gap=1.0, nights=nights(30, capacity=c)) for c in (2, 6))
    mixed = many(tiny_line, gap=1.0, nights=nights(30, capacity=[2, 6] * 15))
    low, middle, high = (
        one.figures.query("metric == 'recall_at_capacity' and contestant == @LISTS").iloc[0]
        for one in (few, mixed, more)
    )
    assert low["value"] < middle["value"] < high["value"]
    assert middle["low"] < middle["value"] < middle["high"]


def test_a_unit_that_was_never_inspected_is_neither_good_nor_defect(tiny_line):
    replay = two_nights(tiny_line)
    assert replay.nights[["new", "known", "defects"]].to_numpy().tolist() == [[4, 3, 2], [3, 2, 1]]


def test_too_few_nights_give_figures_but_no_interval_and_no_verdict(tiny_line):
    replay = two_nights(tiny_line)
    assert replay.figures[["low", "high"]].isna().all().all()
    assert replay.differences["finding"].isna().all()
    assert replay.finding == "not enough yet"
    assert "fewer than 10 nights or 20 known defects" in replay.sentence


def test_costs_decide_where_they_are_known(tiny_line):
    line = tiny_line.model_copy(update={"costs": Costs(escape=100.0, inspection=2.0, false_alarm=5.0)})
    replay = two_nights(line)
    assert replay.metric == "expected_cost"
    # the lists check 3 known units for 2 each, stop one for nothing, and one of three defects escapes
    assert value(replay, LISTS, "expected_cost") == pytest.approx((3 * 2 + 5 + 100) / 5)
    assert value(replay, "recent_rate", "expected_cost") == pytest.approx((3 * 2 + 2 * 5 + 200) / 5)


def test_units_stand_for_those_that_were_as_likely_to_be_inspected(tiny_line):
    given = {LISTS: scored([(day, [0.9, 0.8, 0.1]) for day in days(20)])}
    truth = outcomes([[1.0, 0.0, 1.0]] * 20)
    weight = pd.Series([1.0, 1.0, 3.0] * 20, index=truth.index)
    replay = evaluate(tiny_line, nights(20), promises(20), given, truth, weight, KNOWN)
    found = replay.over_all.set_index(["contestant", "metric"])["value"]
    assert found[(LISTS, "recall_at_capacity")] == pytest.approx(1 / 4)  # the escaped defects stand for three each
    assert found[(LISTS, "precision_at_capacity")] == pytest.approx(1 / 2)
    assert replay.few_over_all == ""
    assert "By inspected units alone" not in render(replay)
    assert two_nights(tiny_line).over_all.empty


def test_a_few_defects_that_stand_for_many_tell_nothing_of_all_units(tiny_line):
    weight = pd.Series({"0-0": 1.0, "0-1": 1.0, "0-2": 1.0, "1-1": 1.0, "1-2": 30.0})
    replay = two_nights(tiny_line, weight=weight)
    assert replay.over_all.empty
    assert value(replay, LISTS, "recall_at_capacity") == pytest.approx(2 / 3)
    assert "By inspected units alone: over all units 3 known defects are worth 1.1, fewer than 10." in render(replay)


def test_a_rule_that_did_not_score_all_units_is_left_out(tiny_line):
    lists = scored([(FIRST, [0.9, 0.8])])
    given = {LISTS: lists, "spc_rule": lists.head(1), "prevalence": lists}
    replay = evaluate(tiny_line, nights(1), promises(1), given, outcomes([[1.0, 0.0]]), None, KNOWN)
    assert set(replay.figures["contestant"]) == {LISTS, "prevalence"}


def many(line, *, gap, count=30, seed=0, **given) -> Replay:
    """Nights of which the lists see the defects by `gap` better than the rule does."""
    rng = np.random.default_rng(seed)
    truth = [(rng.random(30) < 0.1).astype(float) for _ in range(count)]
    by = {
        name: scored([(day, y * push + rng.normal(size=30)) for day, y in zip(days(count), truth, strict=True)])
        for name, push in ((LISTS, 1.0 + gap), ("recent_rate", 1.0), ("prevalence", 0.0))
    }
    usual = {"nights": nights(count), "promises": promises(count), "weight": None, "known_until": KNOWN}
    return evaluate(line, scores=by, outcome=outcomes(truth), **(usual | given))


def test_clearly_better_lists_are_called_better_and_worse_ones_worse(tiny_line):
    better = many(tiny_line, gap=2.0)
    assert better.finding == "better"
    assert better.sentence.startswith("Better: with 2 checks a night the lists found ")
    assert "(recent_rate)" in better.sentence
    assert many(tiny_line, gap=-1.0).finding == "worse"


@pytest.mark.proof
def test_equal_lists_are_seldom_told_apart(tiny_line):
    """Once in twenty is what the intervals allow, and of two rules the luckier one is compared with."""
    findings = [many(tiny_line, gap=0.0, seed=seed).finding for seed in range(100)]
    assert findings.count("better") <= 6
    assert findings.count("worse") <= 12


def test_promises_are_counted_and_what_was_found_for_each_promised(tiny_line):
    told = promises(12, promised=2.0, found=[1, 2, 4, 1, 1, 3] * 2, verdict=["kept", "kept", "broken"] * 4)
    replay = many(tiny_line, gap=1.0, count=12, promises=told)
    assert (replay.kept, replay.judged) == (8, 12)
    assert replay.found_per_promised == 1.0
    assert replay.found_low < 1.0 < replay.found_high


def test_the_share_of_promises_kept_has_an_interval_that_tells_how_few_the_nights_are(tiny_line):
    told = promises(30, verdict=["broken"] + ["kept"] * 9 + ["broken"] * 2 + ["kept"] * 16 + ["not enough yet"] * 2)
    replay = many(tiny_line, gap=1.0, promises=told)
    assert (replay.kept, replay.judged) == (25, 28)
    share = replay.kept_share
    assert 0.6 < share.low < 0.8 < share.value < share.high <= 1.0
    figure = replay.figures.set_index(["contestant", "metric"]).loc[(LISTS, KEPT)]
    assert tuple(figure[["value", "low", "high"]]) == tuple(share)
    said = f"promise kept 25 of 28, 2 not enough known yet; share kept {share}"
    assert said in words(replay)
    assert said in render(replay)


def test_where_all_promises_were_kept_the_bound_is_exact():
    kept = pd.Series([True] * 30)
    share = share_kept(kept)
    assert (share.value, share.high) == (1.0, 1.0)
    assert share.low == pytest.approx(0.025 ** (1 / 30))
    assert share_kept(~kept).high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert np.isnan(share_kept(kept.head(9)).low)
    assert np.isnan(share_kept(kept.head(0)).value)


def test_the_interval_of_the_share_kept_holds_where_nights_are_broken_together():
    rng = np.random.default_rng(0)

    def covered():
        lasting = np.repeat(rng.random(15) < 0.8, 2)
        share = share_kept(pd.Series(lasting))
        return share.low <= 0.8 <= share.high

    assert np.mean([covered() for _ in range(150)]) > 0.85


def test_a_night_without_a_list_says_why_and_so_does_a_training_that_failed(tiny_line):
    told = nights(3, state=[NO_LIST, "OK", "OK"], model=["", "rule", "rule"], version=["", "1", "1"])
    told.at[0, "reasons"] = ("there is no champion yet: 0 units with a known label",)
    of_made = promises(3).tail(2)
    replay = many(tiny_line, gap=1.0, count=3, nights=told, promises=of_made)
    assert replay.nights["verdict"].tolist() == [NO_LIST, "kept", "kept"]
    failed = {KNOWN - timedelta(days=60): "0 units with a known label"}
    replay = replace(replay, failed=failed)
    assert "States: OK on 2 nights, no list on 1 night (Mon 2 Mar)." in words(replay)
    assert "promise kept 2 of 2; share kept 100.0 %; " in words(replay)
    why = "The training as of Mon 2 Mar 05:00 failed, and the champion before it stayed, if there was one: 0 units"
    assert why in words(replay)
    page = render(replay)
    assert why in page
    assert "there is no champion yet: 0 units with a known label" in page


def test_a_night_that_nobody_was_new_on_is_still_told(tiny_line):
    replay = two_nights(tiny_line, nights=nights(3), promises=promises(3))
    assert replay.nights["new"].tolist() == [4, 3, 0]
    assert np.isnan(replay.nights["recall"].iloc[2])
    assert "nothing" not in words(replay)


def test_every_draw_has_as_many_nights_in_blocks_that_follow_each_other():
    draws = night_blocks(27, 500, np.random.default_rng(3))
    assert run_length(27) == 5
    assert (draws.sum(axis=1) == 27).all()
    assert draws.mean(axis=0) == pytest.approx(1.0, abs=0.2)
    neighbours = np.corrcoef(draws[:, 4], draws[:, 5])[0, 1]
    assert neighbours > 0.5
    assert abs(np.corrcoef(draws[:, 4], draws[:, 14])[0, 1]) < 0.3


def test_intervals_by_blocks_hold_more_often_where_nights_resemble_their_neighbours():
    def covered(block, rng):
        noise = rng.normal(size=(34))
        x = noise[4:] + 0.9 * noise[3:-1] + 0.6 * noise[2:-2]
        draws = block(30, 400, rng)
        low, high = interval(float(x.mean()), draws @ x / 30, 30)
        return low <= 0 <= high

    def one_by_one(nights, draws, rng):
        return rng.multinomial(nights, np.full(nights, 1 / nights), size=draws)

    rng = np.random.default_rng(0)
    in_blocks = np.mean([covered(night_blocks, rng) for _ in range(300)])
    alone = np.mean([covered(one_by_one, rng) for _ in range(300)])
    assert in_blocks > 0.9
    assert in_blocks > alone + 0.08


def test_the_same_replay_is_the_same_page_to_the_byte_and_loads_nothing(tiny_line):
    first, second = (render(many(tiny_line, gap=1.0, count=12)) for _ in range(2))
    assert sha256(first.encode()) == sha256(second.encode())
    assert "http" not in first.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "<script" not in first


def test_the_page_says_states_reasons_issues_and_differing_lists_and_escapes_them(tiny_line):
    told = nights(30, state=["DEGRADED"] + ["OK"] * 29, real=["differs: risk_list.csv"] + ["same"] * 29)
    told.at[0, "reasons"] = ("oven <b>silent</b>",)
    told.at[0, "issues"] = ("press W13 & lot R-1",)
    page = render(many(tiny_line, gap=1.0, nights=told))
    assert "oven &lt;b&gt;silent&lt;/b&gt;" in page
    assert "issue: <bdi>press W13 &amp; lot R-1</bdi>" in page
    assert "OK on 29 nights, DEGRADED on 1 night (Mon 2 Mar)" in page
    assert "30, of which 1 list came out different: see the nights" in page
    assert "Mon 2 Mar: differs: risk_list.csv" in page


def test_a_night_says_what_is_not_known_of_its_list(tiny_line):
    told = promises(2, checked=[8, 0], pending=[2, 0], not_checked=[1, 0], promised=[3.0, np.nan], found=[4, 0])
    page = render(two_nights(tiny_line, promises=told))
    assert "<td>2 of 4</td><td>3 (0-2)</td><td>4 in 8</td><td>2 pending, 1 not checked</td>" in page
    assert "<td>no number</td><td>nothing checked</td><td>none</td>" in page


def test_labels_of_lines_that_end_together_do_not_overlap():
    svg = found_by_night(pd.DataFrame({LISTS: [1.0, 2.0], "a": [1.0, 2.0], "b": [0.0, 0.0]}, index=days(2)))
    heights = sorted(float(part.split('"')[0]) for part in svg.split(' y="')[1:] if "text-anchor" not in part[:40])
    assert min(np.diff(heights)) > 10


def test_words_tell_the_verdict_the_promises_and_the_states(tiny_line):
    lines = words(replace(many(tiny_line, gap=2.0))).splitlines()
    assert lines[0] == "30 nights replayed, Mon 2 Mar 2026 to Tue 31 Mar 2026."
    said = "Promises: promise kept 30 of 30; share kept 100.0 % (88.4 to 100.0 %); 1.00 (1.00 to 1.00) defects found"
    assert lines[2].startswith(said)
    assert lines[3:] == ["States: OK on 30 nights.", "Lists that were really made: none of these nights was."]
