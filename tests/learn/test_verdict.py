import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.at_capacity import precision_at_capacity, recall_at_capacity
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.costs import expected_cost
from qma_predict.learn.metrics import average_precision, brier_skill, roc_auc
from qma_predict.learn.redraws import redrawn
from qma_predict.learn.reliability import log_loss
from qma_predict.learn.verdict import COMPARABLE, _told, differences, verdict
from qma_predict.line import Costs

CAPACITY = 10
COSTS = Costs(escape=100.0, inspection=1.0, false_alarm=2.0)


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
                "roc_auc": roc_auc(y, score),
            }
            values |= dict.fromkeys(("brier_skill", "log_loss", "expected_cost"), np.nan)
            if ((score >= 0) & (score <= 1)).all():
                values["brier_skill"] = brier_skill(y, score, prevalence=rate)
                values["log_loss"] = log_loss(y, score)
                costs = {"capacity": CAPACITY, "nights": night, "costs": COSTS}
                values["expected_cost"] = expected_cost(y, score, **costs)
            facts = {"block": block, "train_units": 1000, "train_defects": 1000 * rate}
            table += [
                facts | {"contestant": name, "metric": metric, "value": value, "reason": None}
                for metric, value in values.items()
            ]
            rows = {"block": block, "contestant": name, "unit_id": np.arange(len(y)), "night": night}
            predictions.append(pd.DataFrame(rows | {"score": score, "outcome": y}))
    return Backtest(pd.DataFrame(table), pd.concat(predictions, ignore_index=True), CAPACITY, COSTS)


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


def promise(near):
    """Probabilities that know the outcome by so much."""
    return lambda y, rng: np.clip(0.1 + near * y + rng.uniform(0, 0.05, len(y)), 0, 1)


@pytest.mark.parametrize("metric", COMPARABLE)
def test_by_every_metric_who_knows_more_is_better_and_who_knows_less_is_worse(metric):
    knows = {"trees": promise(0.5), "prevalence": lambda y, rng: np.full(len(y), 0.1)}
    made = result(knows)
    more = verdict(made, "trees", metric=metric)
    less = verdict(made, "prevalence", metric=metric, against=["trees"])
    assert (more.better, more.worse, more.blocks_won) == (True, False, 4)
    assert (less.better, less.worse, less.blocks_won) == (False, True, 0)
    assert (more.low > 0) == (metric not in ("log_loss", "expected_cost"))
    assert ", worse (difference" in less.sentence


@pytest.mark.parametrize("metric", COMPARABLE)
def test_a_draw_of_every_night_once_gives_the_metric_itself(metric):
    made = result({"trees": promise(0.05)}, blocks=1)
    rows = made.predictions.sample(frac=1, random_state=1)
    once = np.ones((20, rows["night"].nunique()), dtype=int)
    rng = np.random.default_rng(0)
    drawn = redrawn(rows, once, metric, rng, capacity=CAPACITY, prevalence=0.1, costs=COSTS)
    assert drawn == pytest.approx(made.table.set_index("metric").loc[metric, "value"])


def test_a_night_drawn_twice_counts_twice_and_one_not_drawn_not_at_all():
    rows = pd.DataFrame({"night": [1, 1, 2, 2], "score": [0.8, 0.2, 0.6, 0.4], "outcome": [1.0, 0.0, 0.0, 1.0]})
    draws = np.array([[2, 0], [0, 2], [2, 1]])
    area = redrawn(rows, draws, "roc_auc", np.random.default_rng(0), capacity=1)
    # third draw: 3 defects and 3 goods; 0.8 twice above all 3, 0.4 above the two 0.2 only
    assert area.tolist() == pytest.approx([1.0, 0.0, (2 * 3 + 2) / 9])
    loss = redrawn(rows, draws, "log_loss", np.random.default_rng(0), capacity=1)
    first, second = -np.log(0.8), -np.log(0.4)
    assert loss.tolist() == pytest.approx([first, second, (2 * first + second) / 3])


def test_the_differences_name_each_baseline_and_metric_and_agree_with_the_verdict():
    made = result({"trees": promise(0.1), "prevalence": promise(0.0), "recent_rate": promise(0.03)})
    found = differences(made, "trees", metrics=("average_precision", "log_loss"))
    assert found[["baseline", "metric"]].to_numpy().tolist() == [
        ["prevalence", "average_precision"],
        ["recent_rate", "average_precision"],
        ["prevalence", "log_loss"],
        ["recent_rate", "log_loss"],
    ]
    assert found["finding"].tolist()[:2] == ["better", "better"]
    best = verdict(made, "trees")
    row = found[(found["baseline"] == best.baseline) & (found["metric"] == best.metric)].iloc[0]
    assert row[["difference", "model_mean", "blocks"]].tolist() == [best.difference, best.model_mean, best.blocks]
    assert row["low"] == pytest.approx(best.low, abs=0.02)


def test_differences_on_too_little_have_no_finding_and_metrics_without_a_value_no_row():
    few = result({"trees": signal(2.0), "prevalence": nothing}, nights=2, per_night=20)
    found = differences(few, "trees")
    assert set(found["metric"]) == {*COMPARABLE[:4]}
    assert found["finding"].isna().all()


def test_the_same_ranking_is_not_distinguishable():
    same = result({"trees": lambda y, rng: np.arange(len(y)), "prevalence": lambda y, rng: np.arange(len(y))})
    found = verdict(same, "trees")
    assert (found.difference, found.low, found.high, found.better) == (0.0, 0.0, 0.0, False)
    assert found.sentence.endswith(
        "not distinguishable (difference 0.00, 95 % interval 0.00 to 0.00), ahead in 0 of 4 blocks"
    )


def test_where_defects_are_one_in_a_thousand_a_difference_and_its_ends_are_told_apart_from_nothing():
    rare = {"trees": signal(1.0), "prevalence": nothing}
    found = verdict(result(rare, per_night=2500, rate=0.001), "trees")
    assert found.better
    told = ("model_mean", "baseline_mean", "difference", "low", "high")
    assert numbers_in(found.sentence) == pytest.approx([getattr(found, name) for name in told], abs=6e-5)
    assert min(numbers_in(found.sentence)) > 0
    assert found.difference < 0.01


def numbers_in(sentence):
    """Both means, the difference and its ends."""
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-\d+)?", sentence.replace("95 %", ""))[:5]]


@pytest.mark.parametrize(
    ("metric", "found", "told"),
    [
        ("average_precision", (0.32, 0.10, 0.22, 0.04, 0.412), ["0.32", "0.10", "0.22", "0.04", "0.41"]),
        ("average_precision", (0.32, 0.10, 0.22, 0.00042, 0.4), ["0.32", "0.10", "0.22", "0.00042", "0.40"]),
        ("average_precision", (0.12, 0.1, 0.02, -0.002, 0.03), ["0.12", "0.10", "0.02", "-0.0020", "0.03"]),
        ("average_precision", (0.124, 0.126, -0.002, -0.1, 0.1), ["0.1240", "0.1260", "-0.0020", "-0.1000", "0.1000"]),
        ("average_precision", (0.121, 0.1159, 0.0051, 0.0, 0.1), ["0.1210", "0.1159", "0.0051", "0.0000", "0.1000"]),
        ("roc_auc", (0.5, 0.5, 0.0, 0.0, 0.0), ["0.50", "0.50", "0.00", "0.00", "0.00"]),
        ("log_loss", (0.2, 0.3, -0.1, -0.12, 1e-6), ["0.2", "0.3", "-0.1", "-0.12", "1e-06"]),
        (
            "log_loss",
            (0.20004, 0.20001, 3e-5, 1e-5, 2e-4),
            ["0.200040", "0.200010", "0.000030", "0.000010", "0.000200"],
        ),
        ("expected_cost", (1234.0, 1230.0, 4.0, -3.0, 9.0), ["1234.0", "1230.0", "4.0", "-3.0", "9.0"]),
    ],
)
def test_digits_are_enough_to_tell_the_means_apart_and_the_rest_from_nothing(metric, found, told):
    assert (
        _told(metric, dict(zip(("model_mean", "baseline_mean", "difference", "low", "high"), found, strict=True)))
        == told
    )


def turning(y, rng):
    """Right in three quarters of the nights, and as wrong after them."""
    return np.where(np.arange(len(y)) < 0.75 * len(y), y, 1 - y) + 0.01 * rng.random(len(y))


@pytest.mark.parametrize("metric", ["average_precision", "roc_auc", "recall_at_capacity"])
def test_an_interval_holds_nothing_that_a_difference_of_the_metric_cannot_be(metric):
    """Twelve nights are four runs, of which Student's t says little: without limits -1.19 to 1.81, for one."""
    both = {"trees": turning, "prevalence": lambda y, rng: -turning(y, rng)}
    made = result(both, blocks=1, nights=12, per_night=15, rate=0.3, seed=2)
    found = verdict(made, "trees", metric=metric)
    assert (found.low, found.high) == (-1.0, 1.0)
    assert "95 % interval -1.00 to 1.00" in found.sentence
    assert differences(made, "trees", metrics=[metric])[["low", "high"]].to_numpy().tolist() == [[-1.0, 1.0]]


def test_what_sums_of_equal_numbers_differ_by_is_no_difference():
    made = result({"trees": signal(1.0), "prevalence": signal(1.0)})
    same = made.predictions[made.predictions["contestant"] == "trees"].assign(contestant="prevalence")
    table = made.table[made.table["contestant"] == "trees"]
    noise = table.assign(contestant="prevalence", value=table["value"] * (1 - 1e-16) - 1e-16)
    both = Backtest(pd.concat([table, noise]), pd.concat([made.predictions, same]), CAPACITY, COSTS)
    both = replace(both, predictions=both.predictions.drop_duplicates(["contestant", "block", "unit_id"], keep="last"))
    found = verdict(both, "trees")
    assert (found.difference, found.low, found.high, found.better) == (0.0, 0.0, 0.0, False)


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


def test_two_that_do_not_rank_do_not_differ():
    found = verdict(result({"trees": nothing, "prevalence": nothing}), "trees")
    assert found.difference == 0.0
    assert (found.low, found.high) == (0.0, 0.0)  # by the expected value of ties
    assert not found.better


@pytest.mark.parametrize("metric", ["precision_at_capacity", "recall_at_capacity"])
def test_only_the_places_of_the_list_matter_at_capacity(metric):
    # each night its best is a defect, on even nights the next one too, and there is one place
    night = np.repeat(np.arange(20), 4)
    y = np.array([1.0, 0.0, 0.0, 0.0] * 20)
    y[(night % 2 == 0) & (np.arange(80) % 4 == 1)] = 1.0 if metric == "precision_at_capacity" else np.nan
    rank = np.tile([4.0, 3.0, 2.0, 1.0], 20)
    table = pd.DataFrame({"block": 1, "contestant": ["trees", "prevalence"], "metric": metric, "value": [1.0, 0.0]})
    table = table.assign(train_units=100, train_defects=10)
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


def test_nights_of_which_no_outcome_is_known_are_no_evidence():
    found = result(GOOD, blocks=1, nights=20, rate=0.3)
    unseen = found.predictions["night"] >= 9
    few = replace(found, predictions=found.predictions.assign(outcome=found.predictions["outcome"].mask(unseen)))
    assert few.predictions["outcome"].sum() > 60  # in three contestants
    assert "not enough yet to tell: fewer than 10 nights" in verdict(few, "trees").sentence


def test_candidates_without_an_outcome_and_their_nights_leave_the_ranking_and_its_interval_as_they_are():
    found = result(GOOD)
    more = found.predictions.assign(night=found.predictions["night"] + 5, outcome=np.nan, score=0.5)
    both = replace(found, predictions=pd.concat([found.predictions, more.assign(unit_id=more["unit_id"] + 1000)]))
    assert verdict(both, "trees") == verdict(found, "trees")


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


def test_the_verdict_is_the_same_whatever_the_scores_are_scaled_to():
    first = result(GOOD)
    scaled = first.predictions.assign(score=np.exp(first.predictions["score"]))
    assert verdict(first, "trees") == verdict(Backtest(first.table, scaled, CAPACITY), "trees")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"model": "nobody"}, "expected 'nobody' and one of prevalence, recent_rate"),
        ({"model": "trees", "against": ["nobody"]}, "expected 'trees' and one of nobody"),
        ({"model": "trees", "metric": "block"}, "unknown metric 'block'; expected one of average"),
    ],
)
def test_what_took_no_part_cannot_be_compared(call, message):
    with pytest.raises(ValueError, match=message):
        verdict(result(GOOD), **call)
