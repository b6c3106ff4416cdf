import json
from dataclasses import asdict
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, kstest

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.night_shifts import promise_since, promise_spread
from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread

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
        night, block = date(2026, 1, 1) + timedelta(days=at), 1 + at // 14
        columns = {"unit_id": unit_id, "night": night, "block": block, "score": score, "outcome": outcome.astype(float)}
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True).assign(contestant="recipe")


def learnt(predictions: pd.DataFrame, **settings) -> PromiseSpread:
    return promise_spread(Backtest(pd.DataFrame(), predictions, CAPACITY), "recipe", CAPACITY, **settings)


def listed(rows: pd.DataFrame) -> pd.DataFrame:
    """Units that the lists of a model held, as it learns from them."""
    return rows.sort_values("score", ascending=False).groupby("night").head(CAPACITY).assign(weight=1.0)


def moments(spread: PromiseSpread) -> tuple[float, float]:
    """Mean and standard deviation of the shift."""
    shift, chance = np.array(spread.shift), np.array(spread.chance)
    return chance @ shift, np.sqrt(chance @ shift**2 - (chance @ shift) ** 2)


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


def test_models_that_differ_in_level_make_promises_wide_until_the_own_lists_tell():
    rng = np.random.default_rng(7)
    blocks = [nights_of(rng, 14, spread=0.0, level=level) for level in (-0.8, 0.7, -0.6, 0.8, 0.0, -0.7)]
    rows = [rows.assign(block=n, night=[f"{n} {night}" for night in rows["night"]]) for n, rows in enumerate(blocks)]
    before = learnt(pd.concat(rows, ignore_index=True))
    assert before.level == (pytest.approx(0.0, abs=0.3), pytest.approx(0.65, abs=0.2))
    own = listed(nights_of(rng, 60, spread=0.0, level=0.8))
    assert promise_since(before, own.iloc[:0]) == before
    widths = [moments(promise_since(before, own.head(n)))[1] for n in (20, 200, 1200)]
    assert moments(before)[1] > widths[0] > widths[1] > widths[2]
    after = promise_since(before, own)
    assert after.level == (pytest.approx(0.8, abs=0.15), pytest.approx(0.05, abs=0.06))
    assert (after.nights, after.checked, after.found) == (60, 1200, own["outcome"].sum())


def test_own_lists_learn_nothing_for_who_has_no_backtest():
    assert promise_since(CHANCE_ALONE, listed(nights_of(np.random.default_rng(7), 5, spread=0.0))) is CHANCE_ALONE


def test_own_lists_count_units_by_what_they_stand_for():
    own = listed(nights_of(np.random.default_rng(7), 20, spread=0.0))
    before = learnt(nights_of(np.random.default_rng(1), 28, spread=0.0))
    assert promise_since(before, own.assign(weight=7.0)) == promise_since(before, own)
    heavy = own.assign(weight=np.where(own["outcome"] == 1.0, 9.0, 1.0))
    assert promise_since(before, heavy).level[0] > promise_since(before, own).level[0]


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
