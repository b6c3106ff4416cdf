"""Promotion decides rightly on simulated plants, whose drifts, lots and dies last for nights as they do.

Forty small plants, each with three challengers: one with a family of features that helps, one with a family of noise,
and one whose readings belong to other units. And three refreshes: as good, better, and worse because of what they
learnt from. Gauges show the true state of the simulation, with an error, so that no plant needs a lake.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qma_predict.data.simulate import simulate
from qma_predict.learn.backtest import backtest
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.promotion import judge_challenger, judge_refresh
from qma_predict.learn.rehearsal import rehearse, side_by_side
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.verdict import verdict

pytestmark = pytest.mark.proof

PLANTS, DAYS, A_DAY, WORSE = 32, 98, 60, 6.0
MARGIN = 0.05
MATURITY = pd.Timedelta("2D")
LOGISTIC = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
OLDER = pd.Timedelta("7D")
"""By so much the champion is older than the training."""


def plant(seed):
    """What is known of a plant's units, in the order of cutoffs: product and machines, two gauges, and defects."""
    made = simulate(days=DAYS, units_per_day=A_DAY, seed=seed)
    flow, rng = made.flow, np.random.default_rng([2, seed])
    order = np.argsort(flow.ended[:, -1], kind="stable")
    ids = pd.Index([f"u{n:05}" for n in range(len(order))], name="unit_id")
    route = pd.get_dummies(pd.DataFrame(np.column_stack([flow.product, flow.machine])[order]).astype(str), dtype=float)
    cutoff = pd.Series(pd.to_datetime(flow.ended[order, -1], unit="s", utc=True), index=ids)
    risk = np.clip(WORSE * made.truth["probability"].to_numpy()[order], 0, 1)  # a plant of this size has few defects
    y = pd.Series((rng.random(len(ids)) < risk).astype(float), index=ids)
    gauges = logit(np.clip(risk, 1e-4, 0.99))[:, None] + rng.normal(
        0, 2, size=(len(ids), 2)
    )  # what they show of the state
    readings = pd.DataFrame(gauges, index=ids).add_prefix("gauge")
    return SimpleNamespace(route=route.set_index(ids), readings=readings, cutoff=cutoff, y=y)


def dataset_of(known, X, labels_at):
    """What a rehearsal reads of a dataset."""
    learning = SimpleNamespace(keep=[])
    return SimpleNamespace(
        X=X,
        points=pd.DataFrame({"cutoff": known.cutoff, "night": known.cutoff.dt.date}),
        line=SimpleNamespace(gate=SimpleNamespace(maturity=MATURITY), learning=learning),
        history=SimpleNamespace(as_of=known.cutoff.max() + MATURITY, at=lambda moment: moment),
        labels_at=labels_at,
        groups_of=lambda units: None,
        apart=lambda units, judged: units,
    )


def trained(known, X, labels_at, *, ladder=True):
    splitter = RollingOriginSplit(4, test="14D", gap=MATURITY)
    facts = {"labels_at": labels_at, "outcome": known.y, "night": known.cutoff.dt.date, "splitter": splitter}
    contestants = {"logistic": LOGISTIC} | ({"prevalence": make_baseline("prevalence")} if ladder else {})
    found = backtest(contestants, X, known.cutoff, **facts, capacity=10)
    return SimpleNamespace(backtest=found, labels=SimpleNamespace(weight=None), left_out=[])


def challenger(new, old):
    ladder = verdict(new.backtest, "logistic", against=["prevalence"])
    return judge_challenger(side_by_side(new, "logistic", old, "logistic"), MARGIN, ladder).promote


def refresh(known, X, training, labels_at):
    """Held against a champion that learnt from the labels that `labels_at` gives."""
    dataset = dataset_of(known, X, labels_at)
    found = rehearse(dataset, training, "logistic", dataset.history.as_of - OLDER, None, MARGIN)
    return judge_refresh(found.result, MARGIN).promote


def decisions(seed):
    """What becomes of each challenger and each refresh on a plant."""
    known, rng = plant(seed), np.random.default_rng([3, seed])
    route, readings = known.route, known.readings
    low = readings["gauge0"] < readings["gauge0"].quantile(0.2)
    spoilt = known.y.where(~low, (rng.random(len(known.y)) < 0.5).astype(float))  # wrong results where a gauge is low

    def labels(of):
        return lambda moment: of.where(known.cutoff + MATURITY <= moment)

    full = route.join(readings)
    noise = pd.DataFrame(rng.normal(size=(len(full), 10)), index=full.index).add_prefix("noise")
    others = route.join(pd.DataFrame(np.roll(readings, A_DAY, axis=0), index=readings.index, columns=readings.columns))
    bare, whole, noisy, wrong = (trained(known, X, labels(known.y)) for X in (route, full, full.join(noise), others))
    misled = trained(known, full, labels(spoilt), ladder=False)
    return {
        "a challenger that helps": challenger(whole, bare),
        "a challenger of noise": challenger(noisy, whole),
        "a challenger that harms": challenger(wrong, whole),
        "a refresh as good": refresh(known, full, whole, labels(known.y)),
        "a refresh that helps": refresh(known, full, whole, labels(spoilt)),
        "a refresh that harms": refresh(known, full, misled, labels(known.y)),
    }


def too_many(rate):
    """More than this come once in a hundred if each plant has this chance."""
    return binom.ppf(0.99, PLANTS, rate)


def test_on_many_plants_what_helps_is_promoted_and_what_does_not_or_harms_is_not(monkeypatch, capsys):
    monkeypatch.setattr("qma_predict.learn.rehearsal.recipe_of", lambda line: LOGISTIC)
    monkeypatch.setattr("qma_predict.learn.rehearsal._left_out_at", lambda moment, dataset: set())
    alike = lambda history, points, line: pd.Series(1.0, index=points["unit_id"])  # noqa: E731
    monkeypatch.setattr("qma_predict.learn.rehearsal.inspection_weights", alike)
    told = pd.DataFrame([decisions(seed) for seed in range(PLANTS)]).sum()
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"{name}: {count} of {PLANTS} promoted\n" for name, count in told.items()))
    assert told["a challenger that helps"] >= 0.7 * PLANTS
    assert told["a challenger of noise"] <= too_many(0.025)
    assert told["a challenger that harms"] <= too_many(0.025)
    assert told["a refresh that harms"] <= too_many(0.05)
    assert told["a refresh that helps"] >= 0.7 * PLANTS
    assert told["a refresh as good"] >= 0.7 * PLANTS
