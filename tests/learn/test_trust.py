import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.trust import NO_RANGES, equal_promises, jeffreys_interval, ranking_because, risk_ranges


def result(score, outcome, contestant="trees"):
    """A backtest of which only the predictions matter, in two blocks."""
    rows = pd.DataFrame({"contestant": contestant, "score": score, "outcome": outcome})
    rows["unit_id"] = np.arange(len(rows))
    rows["block"] = 1 + np.arange(len(rows)) % 2
    return Backtest(pd.DataFrame(), rows, 10)


def honest(units=20_000, seed=0, rate=30):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, rate, size=units)
    return p, (rng.random(units) < p).astype(float)


@pytest.mark.parametrize(("defects", "says"), [(19, "its backtest holds 19 known defects"), (20, "")])
def test_fewer_than_twenty_defects_make_scores_a_ranking(defects, says):
    outcome = [1.0] * defects + [0.0] * (1000 - defects) + [np.nan] * 100
    assert ranking_because(result([0.02] * 1100, outcome), "trees").startswith(says)
    assert bool(ranking_because(result([0.02] * 1100, outcome), "trees")) == bool(says)


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (0.1, ""),
        (0.06, ""),  # 100 found where 60 were promised
        (0.03, "in its backtest 30 defects were expected and 100 found"),
        (0.3, "in its backtest 300 defects were expected and 100 found"),
    ],
)
def test_promises_that_are_off_by_more_than_two_beyond_chance_are_a_ranking(score, says):
    found = ranking_because(result([score] * 1000, [1.0] * 100 + [0.0] * 900), "trees")
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_another_contestants_scores_say_nothing():
    assert ranking_because(result([0.1] * 1000, [1.0] * 100 + [0.0] * 900, "rule"), "trees") != ""
    assert risk_ranges(result([0.1] * 1000, [1.0] * 100 + [0.0] * 900, "rule"), "trees") == NO_RANGES


def test_the_range_is_what_became_of_units_with_about_the_score():
    # two kinds of units: 12 of 120 and 30 of 60 were defects
    score = [0.1] * 120 + [0.5] * 60
    outcome = [1.0] * 12 + [0.0] * 108 + [1.0] * 30 + [0.0] * 30
    ranges = risk_ranges(result(score, outcome), "trees")
    assert ranges.score == pytest.approx((0.1, 0.5))
    low, high = ranges.at(np.array([0.1, 0.3, 0.5]))
    # Jeffreys: beta(12.5, 108.5) and beta(30.5, 30.5)
    assert low[[0, 2]] == pytest.approx([0.0558, 0.3760], abs=2e-4)
    assert high[[0, 2]] == pytest.approx([0.1631, 0.6240], abs=2e-4)
    assert low[1] == pytest.approx((low[0] + low[2]) / 2)


def test_ranges_hold_the_true_risk_of_new_units_and_narrow_with_what_is_known():
    new, _ = honest(seed=1)
    widths = []
    for units in (2_000, 50_000):
        low, high = risk_ranges(result(*honest(units)), "trees").at(new)
        assert ((low <= new) & (new <= high)).all()  # as promised: the scores are true here
        widths.append((high - low).mean())
    assert widths[1] < widths[0] / 2


def test_ranges_hold_the_true_risk_where_promises_are_too_low():
    p, y = honest(50_000)
    low, high = risk_ranges(result(p / 1.5, y), "trees").at(p / 1.5)
    assert ((low <= p) & (p <= high)).mean() > 0.9


def test_weights_make_the_range_that_of_all_units():
    # of one kind, at a score of 0.6: 300 suspicious units, half of them defects, stand for 300; 100 others, with
    # 10 defects, for 900. All units: (150 + 90) / 1200 = 0.2
    score, outcome = [0.6] * 400, [1.0] * 150 + [0.0] * 150 + [1.0] * 10 + [0.0] * 90
    made = result(score, outcome)
    weight = pd.Series([1.0] * 300 + [9.0] * 100)
    ranges = risk_ranges(made, "trees", weight)
    units = 1200**2 / (300 + 81 * 100)
    low, high = jeffreys_interval(np.array([0.2 * units]), np.array([units]))
    assert (ranges.low, ranges.high) == (pytest.approx(tuple(low)), pytest.approx(tuple(high)))
    assert ranking_because(made, "trees") == ""
    assert ranking_because(made, "trees", weight) == (
        "in its backtest 240 defects were expected and 160 found among inspected units, over all units 0.33 times as "
        "many as expected (95 % interval 0.23 to 0.47), off by more than chance"
    )


def listed_and_audited(rng, *, wrong=1.0):
    """Outcomes of lists of twenty and two audits a night, each of which stands for 140 units; weights by unit."""
    p = np.concatenate([rng.beta(2, 23, size=1120), rng.beta(1, 80, size=112)])
    made = result(np.minimum(p * wrong, 1.0), (rng.random(1232) < p).astype(float))
    return made, pd.Series(np.repeat([1.0, 140.0], [1120, 112]))


def test_true_probabilities_are_seldom_a_ranking_where_a_few_audits_stand_for_all_others():
    rng, refused = np.random.default_rng(0), 0
    for _ in range(200):
        made, weight = listed_and_audited(rng)
        refused += bool(ranking_because(made, "trees", weight))
    assert refused <= 18  # nominal 10 of 200 at most, of which chance makes 18 once in 100


def test_where_audits_say_little_the_inspected_units_are_checked_as_they_are():
    made, weight = listed_and_audited(np.random.default_rng(1), wrong=3.0)
    found = ranking_because(made, "trees", weight)
    assert found.startswith("in its backtest 2")  # about 270 expected, of which a third were found
    assert found.endswith("found among inspected units, off by more than chance")


def test_a_higher_score_never_has_a_lower_range():
    for seed in range(5):
        ranges = risk_ranges(result(*honest(1_000, seed, rate=8)), "trees")
        low, high = ranges.at(np.linspace(0, 1, 200))
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) >= 0).all()


def test_without_known_outcomes_there_is_no_range():
    assert risk_ranges(result([0.1, 0.2], [np.nan, np.nan]), "trees") == NO_RANGES
    assert np.isnan(NO_RANGES.at(np.array([0.1, 0.9]))).all()


def test_bins_promise_as_much_each_and_equal_scores_share_one():
    bins = equal_promises(np.array([0.3] * 40 + [0.1] * 120), each=5, most=8)
    assert [np.unique(bins[:40]).size, np.unique(bins[40:]).size] == [1, 1]
    score = np.random.default_rng(0).random(4000) / 10
    promised = np.bincount(equal_promises(score, each=10, most=20), score)
    assert promised == pytest.approx([score.sum() / len(promised)] * len(promised), rel=0.02)
