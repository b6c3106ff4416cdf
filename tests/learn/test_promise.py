import json
from dataclasses import asdict
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binom, binomtest, kstest

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread, poisson_binomial, promise_spread

CAPACITY = 20


def nights_of(rng: np.random.Generator, nights: int, *, spread: float, level: float = 0.0, stays: float = 0.0):
    """Predictions of nights whose log-odds are off together, by a shift that resembles the night before's."""
    rows, state = [], rng.normal()
    for at in range(nights):
        state = stays * state + np.sqrt(1 - stays**2) * rng.normal()
        score = expit(rng.normal(-3.0, 1.3, 200))
        shift = level - spread**2 / 2 + spread * state
        outcome = rng.random(200) < expit(logit(score) + shift)
        unit_id = [f"{at}-{n}" for n in range(200)]
        night = date(2026, 1, 1) + timedelta(days=at)
        rows.append(
            pd.DataFrame({"unit_id": unit_id, "night": night, "score": score, "outcome": outcome.astype(float)})
        )
    return pd.concat(rows, ignore_index=True).assign(block=1, contestant="recipe")


def learnt(predictions: pd.DataFrame, **settings) -> PromiseSpread:
    return promise_spread(Backtest(pd.DataFrame(), predictions, CAPACITY), "recipe", CAPACITY, **settings)


def moments(spread: PromiseSpread) -> tuple[float, float]:
    """Mean and standard deviation of the shift."""
    shift, chance = np.array(spread.shift), np.array(spread.chance)
    return chance @ shift, np.sqrt(chance @ shift**2 - (chance @ shift) ** 2)


def test_interval_of_two_fair_units_by_hand():
    # P(0) = 0.25, P(1) = 0.5, P(2) = 0.25: the 5 % quantile is 0, the 95 % quantile is 2.
    assert CHANCE_ALONE.interval([0.5, 0.5]) == (1.0, 0, 2)


def test_a_quantile_that_is_hit_exactly_is_taken():
    # P(0) = 0.95 exactly, so that 95 % of such nights find nothing.
    assert CHANCE_ALONE.interval([0.05]) == (0.05, 0, 0)
    assert CHANCE_ALONE.interval([0.95]) == (0.95, 0, 1)


def test_interval_of_equal_risks_is_the_binomial_one():
    # Binomial(20, 0.3): P(X <= 2) = 0.0355, P(X <= 3) = 0.1071; P(X <= 8) = 0.8867, P(X <= 9) = 0.9520.
    assert CHANCE_ALONE.interval([0.3] * 20) == (pytest.approx(6.0), 3, 9)


def test_interval_holds_what_it_says_among_drawn_nights():
    risks = np.array([0.9, 0.4, 0.22, 0.1, 0.1, 0.05, 0.03, 0.01])
    found = (np.random.default_rng(5).random((20_000, len(risks))) < risks).sum(axis=1)
    interval = CHANCE_ALONE.interval(risks)
    assert interval.expected == pytest.approx(found.mean(), abs=0.03)
    assert interval[1:] == (np.quantile(found, 0.05), np.quantile(found, 0.95))


def test_the_expected_number_is_the_mean_of_what_the_interval_is_of():
    spread = PromiseSpread((-1.0, 0.0, 0.5), (0.5, 0.25, 0.25))
    scores = np.array([0.9, 0.4, 0.22, 0.1, 0.05])
    rng = np.random.default_rng(11)
    shift = rng.choice(spread.shift, 40_000, p=spread.chance)
    found = (rng.random((40_000, 5)) < 1 / (1 + (1 / scores - 1) * np.exp(-shift[:, None]))).sum(axis=1)
    assert spread.interval(scores).expected == pytest.approx(found.mean(), abs=0.03)
    assert spread.risks(scores).sum() == spread.interval(scores).expected < scores.sum()


def test_a_shift_shared_by_all_units_by_hand():
    # At odds of a half and of twice: P(0) = (4/9 + 1/9) / 2 = 5/18, P(1) = 4/9, P(2) = 5/18.
    twice = float(np.log(2))
    spread = PromiseSpread((-twice, twice), (0.5, 0.5))
    assert spread.pit([0.5, 0.5], 1, 0.0) == pytest.approx(5 / 18)
    assert spread.pit([0.5, 0.5], 1, 1.0) == pytest.approx(13 / 18)
    assert spread.pit([0.5, 0.5], 2, 1.0) == pytest.approx(1.0)


def test_a_unit_that_is_surely_good_or_defect_stays_so():
    assert PromiseSpread((-1.0, 1.0), (0.5, 0.5)).interval([1.0, 1.0, 0.0]) == (2.0, 2, 2)


def test_an_interval_holds_its_own_expectation():
    # nearly nothing is found on 97 nights of 100, and nearly all on three
    assert PromiseSpread((-9.0, 9.0), (0.97, 0.03)).interval([0.5] * 100) == (pytest.approx(3.0, abs=0.02), 0, 3)


def test_no_listed_unit_finds_nothing():
    assert CHANCE_ALONE.interval([]) == (0.0, 0, 0)
    assert CHANCE_ALONE.pit([], 0, 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_what_is_no_probability_has_no_expectation(score):
    with pytest.raises(ValueError, match="must lie in"):
        CHANCE_ALONE.interval([0.5, score])


def test_more_found_than_checked_is_refused():
    with pytest.raises(ValueError, match="3 defects found in 2 checked units"):
        CHANCE_ALONE.pit([0.5, 0.5], 3, 0.5)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_equal_chances_are_binomial(n):
    assert poisson_binomial(np.full(n, 0.3)) == pytest.approx(binom.pmf(np.arange(n + 1), n, 0.3), abs=1e-13)


def test_chances_of_unequal_units_add_up_one_by_one():
    p = np.random.default_rng(1).random((3, 33))
    chance = np.ones((3, 1))
    for at in range(33):
        more = np.zeros((3, at + 2))
        more[:, :-1] += chance * (1 - p[:, [at]])
        more[:, 1:] += chance * p[:, [at]]
        chance = more
    assert poisson_binomial(p) == pytest.approx(chance, abs=1e-13)


def test_thousands_of_units_take_a_moment():
    expected, low, high = learnt(nights_of(np.random.default_rng(0), 5, spread=0.5)).interval(np.full(5000, 0.1))
    assert 400 < expected < 600
    assert low < 400 < 600 < high


def test_what_was_learnt_is_plain_numbers():
    spread = learnt(nights_of(np.random.default_rng(0), 10, spread=0.5))
    kept = json.loads(json.dumps(asdict(spread)))
    assert PromiseSpread(**{name: tuple(to) if isinstance(to, list) else to for name, to in kept.items()}) == spread
    assert sum(spread.chance) == pytest.approx(1.0)
    assert (spread.nights, spread.checked) == (10, 200)


def test_only_units_of_known_outcome_that_a_list_would_have_held_count():
    rows = nights_of(np.random.default_rng(0), 30, spread=0.0)
    rows["rank"] = rows.groupby("night")["score"].rank(ascending=False)
    beyond = rows.assign(outcome=rows["outcome"].where(rows["rank"] <= CAPACITY, 1.0))
    assert learnt(beyond) == learnt(rows)
    some = learnt(rows.assign(outcome=rows["outcome"].where(rows["rank"] % 2 == 1)))
    assert some.checked == 300  # a unit without an outcome keeps its place on the list
    others = pd.concat([rows, rows.assign(contestant="other", outcome=1.0)])
    assert learnt(others) == learnt(rows)


def test_without_nights_the_prior_is_wide_and_right_on_average():
    spread = learnt(nights_of(np.random.default_rng(0), 1, spread=0.0).iloc[:0])
    assert (spread.nights, spread.checked, spread.found, spread.expected) == (0, 0, 0, 0.0)
    mean, sd = moments(spread)
    assert -0.2 < mean <= 0.0
    assert 0.4 < sd < 0.8


@pytest.mark.parametrize("spread", [0.0, 0.4, 0.9])
def test_many_nights_tell_the_spread(spread):
    _, sd = moments(learnt(nights_of(np.random.default_rng(7), 300, spread=spread)))
    assert sd == pytest.approx(max(spread, 0.1), abs=0.13)


@pytest.mark.parametrize("level", [-0.5, 0.5])
def test_many_nights_tell_the_level(level):
    mean, _ = moments(learnt(nights_of(np.random.default_rng(7), 200, spread=0.0, level=level)))
    assert mean == pytest.approx(level, abs=0.1)


def test_equal_weights_change_nothing_and_unequal_ones_say_less():
    rows = nights_of(np.random.default_rng(7), 60, spread=0.0, level=0.8)
    assert learnt(rows, weight=pd.Series(5.0, index=rows["unit_id"])) == learnt(rows)
    unequal = pd.Series(np.where(np.arange(len(rows)) % 4, 0.01, 10.0), index=rows["unit_id"])
    assert moments(learnt(rows, weight=unequal))[1] > moments(learnt(rows))[1]


@pytest.mark.parametrize(
    ("spread", "level", "stays"),
    [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.6, 0.0, 0.0), (0.6, 0.3, 0.0), (0.5, -0.4, 0.7)],
    ids=["chance alone", "small errors", "large errors", "too low on average", "too high, errors that stay for days"],
)
def test_promises_are_calibrated_on_later_nights(spread, level, stays):
    # five plants: 56 nights to learn from, 40 to judge by
    rng = np.random.default_rng(11)
    pits, held = [], []
    for _ in range(5):
        predictions = nights_of(rng, 96, spread=spread, level=level, stays=stays)
        later = predictions["night"] >= date(2026, 1, 1) + timedelta(days=56)
        promise = learnt(predictions[~later])
        for _, rows in predictions[later].groupby("night"):
            checked = rows.nlargest(CAPACITY, "score")
            found = int(checked["outcome"].sum())
            interval = promise.interval(checked["score"])
            held.append(interval.low <= found <= interval.high)
            pits.append(promise.pit(checked["score"], found, rng.random()))
    # 200 nights count as 100: those of one plant share what its backtest could not tell
    assert binomtest(sum(held) // 2, 100, 0.9, alternative="less").pvalue > 0.001
    assert kstest(pits[::2], "uniform").pvalue > 0.001


def test_chance_alone_is_too_narrow_where_errors_are_shared():
    rng = np.random.default_rng(11)
    held = []
    for _, rows in nights_of(rng, 200, spread=0.7).groupby("night"):
        checked = rows.nlargest(CAPACITY, "score")
        interval = CHANCE_ALONE.interval(checked["score"])
        held.append(interval.low <= checked["outcome"].sum() <= interval.high)
    assert np.mean(held) < 0.85
