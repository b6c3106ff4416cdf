import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, kstest
from sklearn.ensemble import HistGradientBoostingClassifier

from qma_predict.data.simulate import Plant, simulate
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.night_shifts import promise_spread

CAPACITY = 20
DAYS, FIRST, BLOCK, JUDGED = 112, 28, 14, 40


def features(plant: Plant) -> pd.DataFrame:
    """Mean and last reading of every tag, less the product's median on the first days."""
    columns = {}
    for place, signals in enumerate(plant.signals):
        for tag in sorted(set(signals.tags)):
            seen = pd.DataFrame(signals.values[:, np.array(signals.tags) == tag])
            columns |= {f"{place}.{tag}.mean": seen.mean(axis=1), f"{place}.{tag}.last": seen.iloc[:, -1]}
    X, product = pd.DataFrame(columns), plant.flow.product
    early = days(plant) < FIRST
    return X - X[early].groupby(product[early]).median().loc[product].to_numpy()


def days(plant: Plant) -> np.ndarray:
    """Day on which each unit left its last station."""
    end = plant.flow.ended[:, -1]  # [s]
    return (end - end.min()) // 86_400


def predictions(plant: Plant) -> pd.DataFrame:
    """Scores of units that were unknown when their block's model was fitted, and what the gate found."""
    found = plant.inspections.sort_values("recorded_at", kind="stable")
    found = found.drop_duplicates(["unit_id", "characteristic"], keep="last")
    ids = plant.truth["unit_id"]
    outcome = 1.0 - found.groupby("unit_id")["passed"].min().astype(float).reindex(ids).to_numpy()
    X, day, blocks = features(plant), days(plant), []
    for block, start in enumerate(range(FIRST, DAYS, BLOCK)):
        known = ~np.isnan(outcome)
        learn, judge = known & (day < start - 5), known & (day >= start) & (day < start + BLOCK)
        trees = HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.06, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=20, random_state=0
        )
        score = trees.fit(X[learn], outcome[learn]).predict_proba(X[judge])[:, 1]
        rows = {"unit_id": ids[judge], "night": day[judge], "score": score, "outcome": outcome[judge]}
        blocks.append(pd.DataFrame(rows).assign(block=block, contestant="trees"))
    return pd.concat(blocks, ignore_index=True)


@pytest.mark.proof
def test_promises_of_forty_nights_on_five_plants_are_kept_as_often_as_they_say():
    held, pits, rng = [], [], np.random.default_rng(0)
    for seed in range(5):
        rows = predictions(simulate(days=DAYS, units_per_day=200, seed=300 + seed))
        later = rows["night"] >= DAYS - JUDGED
        promise = promise_spread(Backtest(pd.DataFrame(), rows[~later], CAPACITY), "trees", CAPACITY)
        for _, night in rows[later].groupby("night"):
            checked = night.nlargest(CAPACITY, "score")
            found = int(checked["outcome"].sum())
            interval = promise.interval(checked["score"])
            held.append(interval.low <= found <= interval.high)
            pits.append(promise.pit(checked["score"], found, rng.random()))
    assert len(held) == 5 * JUDGED
    assert binomtest(sum(held), len(held), 0.9).pvalue > 0.001
    assert kstest(pits, "uniform").pvalue > 0.001
