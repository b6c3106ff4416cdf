"""Promotion decides rightly as often as its margin claims.

Nights are simulated by their scores and outcomes, so that by how much one contestant is really better is known: the
mean over many blocks of the size that is judged. Nights differ in level, in how well a score ranks, and in where it
lies, which is what the interval by nights has to allow for. Then plants are simulated, and recipes are fitted on them.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics import average_precision_score

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.simulate import simulate, write_plant
from qma_predict.home import open_home
from qma_predict.learn.backtest import Backtest, backtest
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.promotion import CHALLENGER, CHAMPION, REFRESH, judge_challenger, judge_refresh, tells
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.verdict import Verdict, verdict
from qma_predict.line import load_line

pytestmark = pytest.mark.proof

DEMO = Path(__file__).parents[2] / "models" / "demo"
MARGIN = 0.05
OLD = 1.5
SEEDS = 200
NIGHTS, PER_NIGHT = 14, 60


def scored(rng, new, *, shared, wobble):
    """A block: night, outcome, and the scores of one of strength `new` and one of strength `OLD`."""
    night = np.repeat(np.arange(NIGHTS), PER_NIGHT)
    level = rng.normal(0, 0.4, NIGHTS)[night]
    y = (rng.random(len(night)) < 1 / (1 + 19 * np.exp(-level))).astype(float)
    common, moved = rng.normal(size=len(night)), rng.normal(0, 0.3, NIGHTS)[night]
    scores = []
    for strength in (new, OLD):
        own, night_of_its_own = rng.normal(size=len(night)), 1 + rng.normal(0, wobble, NIGHTS)[night]
        noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        scores.append(strength * night_of_its_own * y + noise + moved)
    return night, y, *scores


@cache
def mean_precision(strength, shared, wobble):
    rng = np.random.default_rng(99)
    blocks = (scored(rng, strength, shared=shared, wobble=wobble) for _ in range(300))
    return float(np.mean([average_precision_score(y, new) for _night, y, new, _old in blocks if y.any()]))


def strength_of(gain, shared, wobble):
    """Strength of the score whose average precision is by this share above that of `OLD`."""
    if gain == 0:
        return OLD
    wanted, low, high = (1 + gain) * mean_precision(OLD, shared, wobble), 0.5, 3.0
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_precision(middle, shared, wobble) < wanted else (low, middle)
    return (low + high) / 2


def blocks_of(names, strength, seed, shared, wobble, blocks=4):
    rng, rows = np.random.default_rng([5, seed]), []
    for block in range(1, blocks + 1):
        night, y, new, old = scored(rng, strength, shared=shared, wobble=wobble)
        facts = pd.DataFrame({"block": block, "unit_id": np.arange(len(y)), "night": night, "outcome": y})
        rows += [facts.assign(contestant=name, score=score) for name, score in zip(names, (new, old), strict=True)]
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


def share(decide, gain, shared, wobble):
    strength = strength_of(gain, shared, wobble)
    return float(np.mean([decide(seed, strength, shared=shared, wobble=wobble) for seed in range(SEEDS)]))


def report(capsys, *lines):
    """Show the figures whatever becomes of the test."""
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines]))


def at_most(rate):
    """The largest share of `SEEDS` that is not too many, once in a thousand, if each has this chance."""
    return binom.ppf(0.999, SEEDS, rate) / SEEDS


ALIKE, UNLIKE = {"shared": 0.97, "wobble": 0.0}, {"shared": 0.7, "wobble": 0.25}
"""Two fits of one recipe, which are wrong together, and two recipes, each of which has nights of its own."""


@pytest.mark.parametrize("how", [ALIKE, UNLIKE])
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


@pytest.mark.parametrize("how", [ALIKE, UNLIKE])
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


@pytest.fixture
def plant(tmp_path):
    """The dataset of a plant, with the line's product, route and readings."""
    loaded = pd.Timestamp("2026-02-01", tz="UTC")
    write_plant(simulate(days=110, units_per_day=300, seed=5), tmp_path / "data")
    line = load_line(DEMO, {"QMA_DATA": str(tmp_path / "data")})
    lake = Lake(open_home(tmp_path / "home").lake(line.name))
    assert ingest(line, lake, as_of=loaded, now=loaded).problems == ()
    return make_dataset(lake.at(loaded), line)


def backtested(dataset, X):
    """A recipe on features, and the ladder, fitted at every block's start."""
    known, capacity = dataset.y.dropna(), dataset.line.list.capacity
    units = dataset.points.loc[known.index]
    facts = {
        "labels_at": dataset.labels_at,
        "outcome": known,
        "night": units["night"],
        "splitter": RollingOriginSplit(4, test="14D", gap=dataset.line.gate.maturity),
        "capacity": capacity,
    }
    contestants = {"logistic": make_recipe("logistic", random_state=0)}
    contestants |= {name: make_baseline(name) for name in BASELINES}
    return backtest(contestants, X.loc[known.index], units["cutoff"], **facts)


def judged(new, old):
    """The recipe on some features as the challenger of the same on others."""
    pairs = pd.concat(
        one.predictions[one.predictions["contestant"] == "logistic"].assign(contestant=name)
        for name, one in ((CHALLENGER, new), (CHAMPION, old))
    )
    return judge_challenger(Backtest(new.table.iloc[:0], pairs, new.capacity), MARGIN, verdict(new, "logistic"))


def test_on_a_plant_a_family_that_helps_is_promoted_and_noise_or_a_loss_is_not(plant, capsys):
    X, rng = plant.X, np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(len(X), 10)), index=X.index).astype("float32").add_prefix("press.noise.")
    bare = X.select_dtypes("str")  # product and route, without what was measured
    full, noisy, poor = (backtested(plant, features) for features in (X, X.join(noise), bare))
    helps, idle, loses = judged(full, poor), judged(noisy, full), judged(poor, full)
    report(capsys, *(one.sentence for one in (helps, idle, loses)))
    assert helps.promote
    assert not idle.promote
    assert not loses.promote
