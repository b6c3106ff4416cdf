import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from sklearn.metrics import average_precision_score

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.promotion import (
    CHALLENGER,
    CHAMPION,
    REFRESH,
    Decision,
    judge_challenger,
    judge_refresh,
    paired,
    shortcomings,
    tells,
)
from qma_predict.learn.verdict import Verdict

BETTER, WORSE = (
    Verdict("trees", "recent_rate", "average_precision", 0.3, 0.2, 0.1, low, high, 4, 4, low > 0, high < 0, "so and so")
    for low, high in ((0.05, 0.15), (-0.3, -0.1))
)


def result(scores, *, blocks=1, nights=14, per_night=40, rate=0.08, seed=0):
    """Contestants by name: what gives their score from the labels and a random generator."""
    rng, rows = np.random.default_rng(seed), []
    for block in range(1, blocks + 1):
        night = np.repeat(np.arange(nights), per_night)
        y = (rng.random(len(night)) < rate).astype(float)
        facts = {"block": block, "unit_id": np.arange(len(y)), "night": night, "outcome": y}
        rows += [pd.DataFrame(facts | {"contestant": name, "score": make(y, rng)}) for name, make in scores.items()]
    return Backtest(pd.DataFrame(), pd.concat(rows, ignore_index=True), 10)


def signal(strength):
    return lambda y, rng: strength * y + rng.normal(size=len(y))


def test_the_values_are_the_average_precision_of_both_and_the_gain_their_difference():
    made = result({"a": signal(2.0), "b": signal(1.0)}, blocks=2)
    values = [
        [average_precision_score(one["outcome"], one["score"]) for _block, one in rows.groupby("block")]
        for _name, rows in made.predictions.groupby("contestant")
    ]
    found = paired(made, "a", "b", 0.9)
    assert (found.new, found.old) == pytest.approx(tuple(np.mean(values, axis=1)))
    assert found.gain == pytest.approx(found.new - 0.9 * found.old)
    assert (found.nights, found.missing) == (28, "")
    assert found.spread.freedom == pytest.approx(5)  # runs of five nights or so: three in each block


def test_the_standard_error_is_that_of_the_jackknife_over_runs_of_nights():
    made = result({"a": signal(2.0), "b": signal(1.0)}, nights=12)
    rows = made.predictions.pivot_table(index=["night", "unit_id", "outcome"], columns="contestant", values="score")
    rows = rows.reset_index()
    leads = []
    for run in range(4):  # of three nights, the square root of twelve
        some = rows[rows["night"] // 3 != run]
        leads.append(average_precision_score(some["outcome"], some["a"]))
        leads[-1] -= average_precision_score(some["outcome"], some["b"])
    assert paired(made, "a", "b").spread.error == pytest.approx(np.sqrt(3 * np.var(leads)))


def test_units_without_an_outcome_and_nights_of_one_contestant_alone_do_not_count():
    made = result({"a": signal(2.0), "b": signal(1.0)})
    rows = made.predictions
    unknown = rows.assign(outcome=rows["outcome"].where(rows["unit_id"] % 2 == 0))
    half = paired(Backtest(made.table, unknown, 10), "a", "b")
    known = paired(Backtest(made.table, unknown.dropna(subset="outcome"), 10), "a", "b")
    assert (half.new, half.old, half.spread.error) == (known.new, known.old, known.spread.error)
    lone = rows[(rows["contestant"] == "a") | (rows["night"] < 12)]
    assert paired(Backtest(made.table, lone, 10), "a", "b").nights == 12


def test_the_same_scores_are_a_refresh_that_is_no_worse_and_no_challenger():
    same = {REFRESH: lambda y, rng: np.arange(len(y)) * 7919 % 560.0}
    decision = judge_refresh(result(same | {CHAMPION: same[REFRESH]}), 0.05)
    assert decision.promote
    assert decision.sentence.startswith("not worse than the champion by more than 5%: average precision ")
    tie = judge_challenger(result({CHALLENGER: same[REFRESH], CHAMPION: same[REFRESH]}), 0.0, BETTER)
    assert not tie.promote
    assert tie.sentence.startswith("not shown to be better than the champion's recipe: ")


def test_a_refresh_that_is_clearly_better_or_clearly_worse_is_told_so():
    better = judge_refresh(result({REFRESH: signal(3.0), CHAMPION: signal(1.0)}), 0.05)
    worse = judge_refresh(result({REFRESH: signal(1.0), CHAMPION: signal(3.0)}), 0.05)
    assert (better.promote, worse.promote) == (True, False)
    assert worse.sentence.startswith("worse than the champion by more than 5%: average precision ")
    assert worse.sentence.endswith("on 14 nights that neither knew; so the champion stays")


def test_what_cannot_be_told_keeps_the_champion_until_it_is_overdue():
    unclear = result({REFRESH: signal(1.2), CHAMPION: signal(1.2)})
    few = result({REFRESH: signal(1.2), CHAMPION: signal(1.2)}, nights=9)
    for made, words in ((unclear, "it could be worse"), (few, "whether it is worse than the champion by more than 5%")):
        stays, goes = (judge_refresh(made, 0.05, overdue=late) for late in (False, True))
        assert (stays.promote, goes.promote) == (False, True)
        assert stays.sentence.startswith(words)
        assert stays.sentence.endswith("so the champion stays")
        assert goes.sentence.endswith("so that the newer model is taken")
    assert "there are 9 nights and " in judge_refresh(few, 0.05).sentence


def test_what_is_shown_to_be_worse_is_no_champion_even_of_an_overdue_one():
    assert not judge_refresh(result({REFRESH: signal(0.5), CHAMPION: signal(3.0)}), 0.05, overdue=True).promote


def test_the_newest_block_tells_the_margin_if_the_interval_is_no_wider():
    same = signal(1.5)
    made = result({REFRESH: lambda y, rng: same(y, np.random.default_rng(1)), CHAMPION: same}, nights=42)
    found = paired(made, REFRESH, CHAMPION, 0.95)
    share = (found.gain - found.spread.low(0.95)) / found.old
    surely = np.sqrt(found.spread.freedom / chi2.ppf(0.05, found.spread.freedom))
    assert surely == pytest.approx(1.75, abs=0.3)
    assert not tells(made, 0.05)
    assert not tells(made, share * 1.2)  # by luck, perhaps
    assert tells(made, share * surely * 1.3)  # the margin moves the gain's error a little, too
    assert not tells(result({REFRESH: same, CHAMPION: same}, nights=3), 1.0)  # not enough to have an interval


def test_a_margin_of_everything_takes_any_refresh():
    assert judge_refresh(result({REFRESH: signal(0.5), CHAMPION: signal(1.0)}), 1.0).promote


def test_a_challenger_has_to_lead_beyond_chance_and_by_the_margin():
    made = result({CHALLENGER: signal(2.6), CHAMPION: signal(2.0)}, blocks=4)
    found = paired(made, CHALLENGER, CHAMPION)
    share = found.gain / found.old
    assert found.spread.low(0.975) > 0
    assert judge_challenger(made, share - 0.01, BETTER).promote
    small = judge_challenger(made, share + 0.01, BETTER)
    assert not small.promote
    assert small.sentence.startswith("better than the champion's recipe, but not by ")
    chance = judge_challenger(result({CHALLENGER: signal(1.3), CHAMPION: signal(1.2)}), 0.0, BETTER)
    assert not chance.promote


def test_a_challenger_that_was_not_shown_to_be_better_than_the_ladder_is_refused():
    made = result({CHALLENGER: signal(3.0), CHAMPION: signal(1.0)}, blocks=4)
    assert judge_challenger(made, 0.05, BETTER).promote
    refused = judge_challenger(made, 0.05, WORSE)
    assert not refused.promote
    assert refused.sentence.startswith("not shown to be better than simple rules (so and so); average precision ")


def test_a_challenger_that_is_worse_is_told_so():
    made = result({CHALLENGER: signal(1.0), CHAMPION: signal(3.0)}, blocks=4)
    assert judge_challenger(made, 0.05, BETTER).sentence.startswith("shown to be worse than the champion's recipe: ")


def test_without_enough_nights_or_defects_there_is_no_challenger():
    few = judge_challenger(result({CHALLENGER: signal(9.0), CHAMPION: signal(0.0)}, nights=3), 0.05, BETTER)
    assert few == Decision(False, few.sentence)
    assert "cannot be told: there are 3 nights" in few.sentence


def test_defects_of_one_night_alone_tell_nothing():
    made = result({REFRESH: signal(3.0), CHAMPION: signal(1.0)})
    rows = made.predictions
    burst = rows.assign(outcome=(rows["night"] == 5).astype(float))
    found = judge_refresh(Backtest(made.table, burst, 10), 0.05)
    assert not found.promote
    assert "a few nights in a row hold all known defects" in found.sentence


Y = pd.Series([1.0] * 10 + [0.0] * 90)
GOOD = np.where(Y == 1, 0.5, 0.05)
NEWEST = pd.DataFrame({"press.force.last": [1.0, np.nan], "press.machine": ["P1", None], "oven.heat.last": [2.0, 3.0]})


def wrong(score=GOOD, X=NEWEST, *, ranking=False, weight=None):
    return shortcomings(score, Y, X, ranking=ranking, weight=weight)


def test_a_model_that_is_sound_has_no_shortcomings():
    assert wrong() == ""
    assert wrong(X=NEWEST.assign(**{"oven.heat.last": np.nan})) == ""  # one sensor of many may be silent


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (np.where(Y == 1, np.nan, 0.1), "some of its scores are not numbers between 0 and 1"),
        (GOOD * 3, "some of its scores are not numbers between 0 and 1"),
        (-GOOD, "some of its scores are not numbers between 0 and 1"),
        (np.full(100, 0.1), "it gives every unit the same score"),
        (0.9 - GOOD * 0.1, "it expects 89 defects, where 10 were found"),
        (GOOD * 0.1, "it expects 1 defects, where 10 were found"),
    ],
)
def test_scores_that_cannot_be_right_are_told(score, words):
    assert words in wrong(score)


def test_a_ranking_needs_no_calibration_and_weights_count():
    assert wrong(GOOD * 0.1, ranking=True) == ""
    weight = pd.Series(np.where(Y == 1, 0.1, 1.0))  # what was inspected for a suspicion stands for little
    # 5.0 and 1.0 of 91 units that these stand for; counted singly it is 9.5 of 10
    assert wrong(weight=weight) == (
        "of the units it learnt from it expects 10 defects, where 10 were found, and of all units, for which these "
        "stand, about 5.5 %, where about 1.1 % were found"
    )
    assert wrong(0.9 - GOOD * 0.1, weight=pd.Series(2.0, index=Y.index)).endswith("89 defects, where 10 were found")


def test_features_that_have_gone_silent_are_told():
    silent = NEWEST.assign(**{"press.force.last": np.nan, "press.machine": None})
    assert wrong(X=silent) == (
        "2 of its 3 features have no value in the newest block, such as press.force.last, press.machine"
    )
