"""Promotion decides rightly as often as its margin claims.

Nights are simulated by their scores and outcomes, so that by how much one contestant is really better is known: the
mean over many blocks of the size that is judged. Nights differ in level, in how well a score ranks, and in where it
lies, for one night or for `lasts` nights in a row, which is what the interval by runs of nights has to allow for.
Recipes that are fitted on simulated plants are in test_promotion_on_plants.py.
"""

import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.metrics import average_precision
from qma_predict.learn.promotion import CHALLENGER, CHAMPION, REFRESH, judge_challenger, judge_refresh, tells
from qma_predict.learn.verdict import Verdict

pytestmark = pytest.mark.proof

MARGIN = 0.05
OLD = 1.5
SEEDS = 400
NIGHTS, PER_NIGHT = 14, 60


def effects(rng, spread, nights, lasts):
    """Something that varies between nights, and stays as it is for so many; it changes on any night."""
    begun = rng.integers(lasts)
    return np.repeat(rng.normal(0, spread, nights // lasts + 2), lasts)[begun : begun + nights]


def scored(rng, new, nights=NIGHTS, *, shared, wobble, lasts=1):
    """Nights in a row: night, outcome, and the scores of one of strength `new` and one of strength `OLD`."""
    night = np.repeat(np.arange(nights), PER_NIGHT)
    level = effects(rng, 0.4, nights, lasts)[night]
    y = (rng.random(len(night)) < 1 / (1 + 19 * np.exp(-level))).astype(float)
    common, moved = rng.normal(size=len(night)), effects(rng, 0.3, nights, lasts)[night]
    scores = []
    for strength in (new, OLD):
        own, of_its_own = rng.normal(size=len(night)), 1 + effects(rng, wobble, nights, lasts)[night]
        noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        scores.append(strength * of_its_own * y + noise + moved)
    return night, y, *scores


@cache
def mean_precision(strength, shared, wobble):
    rng = np.random.default_rng(99)
    blocks = (scored(rng, strength, shared=shared, wobble=wobble) for _ in range(300))
    return float(np.mean([average_precision(y, new) for _night, y, new, _old in blocks if y.any()]))


@cache
def strength_of(gain, shared, wobble):
    """Strength of a score whose average precision is by this share above that of `OLD`."""
    if gain == 0:
        return OLD
    wanted, low, high = (1 + gain) * mean_precision(OLD, shared, wobble), 0.5, 3.0
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_precision(middle, shared, wobble) < wanted else (low, middle)
    return (low + high) / 2


def blocks_of(names, strength, seed, blocks=4, **how):
    night, y, *scores = scored(np.random.default_rng([5, seed]), strength, blocks * NIGHTS, **how)
    facts = pd.DataFrame({"block": night // NIGHTS + 1, "unit_id": np.arange(len(y)), "night": night, "outcome": y})
    rows = [facts.assign(contestant=name, score=score) for name, score in zip(names, scores, strict=True)]
    return Backtest(pd.DataFrame(), pd.concat(rows, ignore_index=True), 10)


def refreshed(seed, strength, **how):
    """The decision on a refresh, on the newest block where that tells the margin, else on all."""
    every = blocks_of((REFRESH, CHAMPION), strength, seed, **how)
    rows = every.predictions
    newest = Backtest(every.table, rows[rows["block"] == rows["block"].max()], every.capacity)
    return judge_refresh(newest if tells(newest, MARGIN) else every, MARGIN).promote


BEATS_THE_LADDER = Verdict("new", "prevalence", "average_precision", 0.3, 0.1, 0.2, 0.1, 0.3, 4, 4, True, False, "")


def challenged(seed, strength, **how):
    return judge_challenger(blocks_of((CHALLENGER, CHAMPION), strength, seed, **how), MARGIN, BEATS_THE_LADDER).promote


def share(decide, gain, **how):
    strength = strength_of(gain, how["shared"], how["wobble"])
    return float(np.mean([decide(seed, strength, **how) for seed in range(SEEDS)]))


def report(capsys, *lines):
    """Show the figures whatever becomes of the test."""
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines]))


def at_most(rate):
    """The largest share of `SEEDS` that comes in 99 of 100 proofs if each seed has this chance."""
    return binom.ppf(0.99, SEEDS, rate) / SEEDS


ALIKE, UNLIKE = {"shared": 0.97, "wobble": 0.0}, {"shared": 0.7, "wobble": 0.25}
"""Two fits of one recipe, which are wrong together, and two recipes, each of which has nights of its own."""

LASTING, UNSTEADY = UNLIKE | {"lasts": 4}, {"shared": 0.7, "wobble": 0.4, "lasts": 4}
"""The same where what happens lasts for four nights."""


@pytest.mark.parametrize("how", [ALIKE, UNLIKE, LASTING, UNSTEADY])
def test_a_refresh_that_is_worse_by_the_margin_passes_once_in_twenty(how, capsys):
    passed = share(refreshed, -MARGIN, **how)
    report(capsys, f"refresh worse by the margin, {how}: {passed:.3f} promoted")
    assert passed <= at_most(0.05)


def test_a_refresh_that_is_really_worse_is_refused_and_one_as_good_passes_where_nights_suffice(capsys):
    found = {gain: share(refreshed, gain, **ALIKE) for gain in (-0.2, 0.0, 0.1)}
    report(capsys, f"refresh by its gain, {ALIKE}: {found} promoted")
    assert found[-0.2] <= 0.005
    assert found[0.0] >= 0.3  # about 170 known defects in all blocks; the rest wait until they are overdue
    assert found[0.1] >= 0.9


@pytest.mark.parametrize("how", [ALIKE, UNLIKE, LASTING, UNSTEADY])
def test_a_challenger_that_is_no_better_passes_once_in_forty_at_most(how, capsys):
    passed = share(challenged, 0.0, **how)
    report(capsys, f"challenger without a lead, {how}: {passed:.3f} promoted")
    assert passed <= at_most(0.025)


def test_a_challenger_passes_if_it_is_really_better_and_not_if_it_is_worse(capsys):
    found = {gain: share(challenged, gain, **UNLIKE) for gain in (-0.2, MARGIN, 0.35)}
    report(capsys, f"challenger by its gain, {UNLIKE}: {found} promoted")
    assert found[-0.2] == 0.0
    assert found[MARGIN] <= at_most(0.5)
    assert found[0.35] >= 0.6
