import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.metrics import average_precision, precision_at_capacity, recall_at_capacity
from qma_predict.learn.verdict import verdict

CAPACITY = 10


def result(scores, *, blocks=4, nights=10, per_night=30, rate=0.1, seed=0):
    """Contestants by name: what gives their score from the labels and a random generator."""
    rng = np.random.default_rng(seed)
    table, predictions = [], []
    for block in range(1, blocks + 1):
        night = np.repeat(np.arange(nights), per_night)
        y = (rng.random(len(night)) < rate).astype(float)
        for name, make in scores.items():
            score = make(y, rng)
            values = {
                "average_precision": average_precision(y, score),
                "precision_at_capacity": precision_at_capacity(y, score, capacity=CAPACITY, nights=night),
                "recall_at_capacity": recall_at_capacity(y, score, capacity=CAPACITY, nights=night),
            }
            table += [
                {"block": block, "contestant": name, "metric": metric, "value": value, "reason": None}
                for metric, value in values.items()
            ]
            rows = {"block": block, "contestant": name, "unit_id": np.arange(len(y)), "night": night}
            predictions.append(pd.DataFrame(rows | {"score": score, "outcome": y}))
    return Backtest(pd.DataFrame(table), pd.concat(predictions, ignore_index=True), CAPACITY)


def without(backtest, contestant, blocks):
    """Take away a contestant's values in some blocks, as if it could not be fitted there."""
    table, predictions = backtest.table.copy(), backtest.predictions
    gone = (table["contestant"] == contestant) & table["block"].isin(blocks)
    table.loc[gone, "value"] = np.nan
    table.loc[gone, "reason"] = "found 0 defects"
    gone = (predictions["contestant"] == contestant) & predictions["block"].isin(blocks)
    return Backtest(table, predictions[~gone], backtest.capacity)


def signal(strength):
    return lambda y, rng: strength * y + rng.normal(size=len(y))


def nothing(y, rng):
    return np.zeros(len(y))


GOOD = {"trees": signal(2.0), "prevalence": nothing, "recent_rate": signal(0.5)}


@pytest.mark.parametrize("metric", ["average_precision", "precision_at_capacity", "recall_at_capacity"])
def test_a_model_with_a_clear_lead_over_the_best_baseline_is_better(metric):
    found = verdict(result(GOOD), "trees", metric=metric)
    assert found.baseline == "recent_rate"
    assert found.better
    assert 0 < found.low < found.difference < found.high
    assert (found.blocks, found.blocks_won) == (4, 4)
    assert found.difference == pytest.approx(found.model_mean - found.baseline_mean)
    words = metric.replace("_", " ")
    assert found.sentence == (
        f"trees: {words} {found.model_mean:.2f} against {found.baseline_mean:.2f} of recent_rate, "
        f"better (difference {found.difference:.2f}, 95 % interval {found.low:.2f} to {found.high:.2f}), "
        "ahead in 4 of 4 blocks"
    )


def test_the_same_ranking_is_not_distinguishable():
    same = result({"trees": lambda y, rng: np.arange(len(y)), "prevalence": lambda y, rng: np.arange(len(y))})
    found = verdict(same, "trees")
    assert (found.difference, found.low, found.high, found.better) == (0.0, 0.0, 0.0, False)
    assert found.sentence.endswith(
        "not distinguishable (difference 0.00, 95 % interval 0.00 to 0.00), ahead in 0 of 4 blocks"
    )


def test_a_weaker_model_is_worse():
    found = verdict(result({"trees": signal(0.0), "prevalence": nothing, "recent_rate": signal(2.0)}), "trees")
    assert not found.better
    assert found.high < 0
    assert "worse (difference -" in found.sentence
    assert found.sentence.endswith("ahead in 0 of 4 blocks")


@pytest.mark.parametrize("metric", ["average_precision", "precision_at_capacity", "recall_at_capacity"])
def test_chance_is_rarely_better_than_not_ranking_at_all(metric):
    chance = {"trees": signal(0.0), "prevalence": nothing}
    better = [verdict(result(chance, seed=seed, rate=0.04), "trees", metric=metric).better for seed in range(12)]
    assert sum(better) <= 2  # at 2.5 % each more than 2 of 12 have a chance of 0.3 %


def test_two_that_do_not_rank_differ_by_luck_only():
    found = verdict(result({"trees": nothing, "prevalence": nothing}), "trees")
    assert found.difference == 0.0
    assert found.low < 0 < found.high


@pytest.mark.parametrize("metric", ["precision_at_capacity", "recall_at_capacity"])
def test_only_the_places_of_the_list_matter_at_capacity(metric):
    # each night its best is a defect, on even nights the next one too, and there is one place
    night = np.repeat(np.arange(20), 4)
    y = np.array([1.0, 0.0, 0.0, 0.0] * 20)
    y[(night % 2 == 0) & (np.arange(80) % 4 == 1)] = 1.0 if metric == "precision_at_capacity" else np.nan
    rank = np.tile([4.0, 3.0, 2.0, 1.0], 20)
    table = pd.DataFrame({"block": 1, "contestant": ["trees", "prevalence"], "metric": metric, "value": [1.0, 0.0]})
    rows = pd.DataFrame({"block": 1, "unit_id": np.arange(80), "night": night, "outcome": y})
    both = [rows.assign(contestant="trees", score=rank), rows.assign(contestant="prevalence", score=-rank)]
    found = verdict(Backtest(table, pd.concat(both), 1), "trees", metric=metric)
    assert (found.low, found.difference, found.high) == (1.0, 1.0, 1.0)


def test_too_few_defects_or_nights_are_not_enough_yet():
    few_defects = verdict(result(GOOD, nights=3, per_night=10, rate=0.1), "trees")
    few_nights = verdict(result(GOOD, nights=2, per_night=200), "trees")
    for found in (few_defects, few_nights):
        assert not found.better
        assert np.isnan(found.low)
        assert "not enough yet to tell: fewer than 10 nights or 20 known defects" in found.sentence


def test_only_blocks_that_both_share_are_compared():
    found = verdict(without(result(GOOD), "trees", [1]), "trees")
    assert (found.blocks, found.blocks_won) == (3, 3)


def test_a_model_that_was_never_fitted_says_why():
    found = verdict(without(result(GOOD), "trees", [1, 2, 3, 4]), "trees")
    assert (found.better, found.blocks, found.baseline) == (False, 0, "")
    assert found.sentence == "trees: average precision cannot be compared in any block: found 0 defects"


def test_a_challenger_can_be_held_against_a_champion():
    contestants = GOOD | {"champion": signal(2.5)}
    assert verdict(result(contestants), "trees", against=["champion"]).baseline == "champion"


def test_the_same_seed_gives_the_same_verdict_whatever_the_units_scores_are_scaled_to():
    first = result(GOOD)
    scaled = first.predictions.assign(score=np.exp(first.predictions["score"]))
    assert verdict(first, "trees") == verdict(Backtest(first.table, scaled, CAPACITY), "trees")
    assert verdict(first, "trees") != verdict(first, "trees", random_state=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"model": "nobody"}, "expected 'nobody' and one of prevalence, recent_rate"),
        ({"model": "trees", "against": ["nobody"]}, "expected 'trees' and one of nobody"),
        ({"model": "trees", "metric": "roc_auc"}, "unknown metric 'roc_auc'; expected one of average"),
    ],
)
def test_what_took_no_part_cannot_be_compared(call, message):
    with pytest.raises(ValueError, match=message):
        verdict(result(GOOD), **call)
