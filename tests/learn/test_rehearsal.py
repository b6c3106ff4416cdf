from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import NotEnoughData
from qma_predict.learn.backtest import backtest
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.promotion import CHALLENGER, CHAMPION, REFRESH
from qma_predict.learn.rehearsal import faults, overdue, rehearse, side_by_side
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.splits import RollingOriginSplit

MATURITY, DAYS, A_DAY = pd.Timedelta("2D"), 60, 20
END = pd.Timestamp("2026-03-01", tz="UTC")
AS_OF = END + MATURITY
NAME = "recent_rate"


def known_at(y, cutoff):
    """A unit's result is known two days after its cutoff."""
    return lambda moment: y.where(cutoff + MATURITY <= moment)


@pytest.fixture(scope="module")
def made():
    """A dataset of machines whose rates move with time, and its training, as far as a rehearsal reads them."""
    rng = np.random.default_rng(1)
    units = pd.Index([f"u{n:04}" for n in range(DAYS * A_DAY)], name="unit_id")
    cutoff = pd.Series(END - pd.to_timedelta(np.arange(len(units))[::-1] / A_DAY, unit="D"), index=units)
    machine = rng.integers(0, 4, len(units))
    rate = 0.05 + 0.25 * (machine == np.arange(len(units)) * 4 // len(units))  # each machine is bad for a while
    y = pd.Series((rng.random(len(units)) < rate).astype(float), index=units)
    X = pd.DataFrame({"press.machine": pd.Series([f"P{n}" for n in machine], index=units, dtype="str")})
    night = pd.Series(cutoff.dt.date, index=units)
    line = SimpleNamespace(gate=SimpleNamespace(maturity=MATURITY))
    points = pd.DataFrame({"cutoff": cutoff, "night": night})
    dataset = SimpleNamespace(
        X=X, y=y, points=points, line=line, history=SimpleNamespace(as_of=AS_OF), labels_at=known_at(y, cutoff),
        groups_of=lambda units: None, apart=lambda units, judged: units,
    )  # fmt: skip
    splitter = RollingOriginSplit(2, test="14D", gap=MATURITY)
    contestants = {NAME: make_baseline(NAME), "prevalence": make_baseline("prevalence")}
    facts = {"labels_at": dataset.labels_at, "outcome": y, "night": night, "splitter": splitter, "capacity": 5}
    found = backtest(contestants, X, cutoff, **facts)
    training = SimpleNamespace(backtest=found, labels=SimpleNamespace(weight=None), left_out=[])
    return dataset, training


def scores(result, contestant):
    rows = result.predictions
    return rows[rows["contestant"] == contestant].set_index(["block", "unit_id"])["score"]


def fitted_at(dataset, moment):
    y = dataset.labels_at(moment)[dataset.points["cutoff"] <= moment - MATURITY].dropna()
    return make_baseline(NAME).fit(dataset.X.loc[y.index], y.astype(int))


NEWEST = END - pd.Timedelta("14D")


def test_an_older_champion_is_held_against_its_recipe_as_the_backtest_fitted_it_for_the_newest_block(made):
    dataset, training = made
    asked = []

    def champion(X):
        asked.append(X.index)
        return np.linspace(0.1, 0.2, len(X))

    result = rehearse(dataset, training, NAME, NEWEST - pd.Timedelta("3D"), champion, 1.0)
    own = training.backtest.predictions
    own = own[(own["block"] == 2) & (own["contestant"] == NAME)]
    assert scores(result, REFRESH).tolist() == own["score"].tolist()
    assert [list(units) for units in asked] == [own["unit_id"].tolist()]
    assert scores(result, CHAMPION).tolist() == np.linspace(0.1, 0.2, len(own)).tolist()
    cutoffs = dataset.points.loc[own["unit_id"], "cutoff"]
    assert cutoffs.min() > NEWEST


def test_a_champion_that_has_seen_some_of_the_block_is_rehearsed_as_long_before_it(made):
    dataset, training = made
    step = pd.Timedelta("7D")  # the champion is of a week ago, in the newest block
    result = rehearse(dataset, training, NAME, AS_OF - step, lambda X: pytest.fail("it has seen the block"), 1.0)
    units = scores(result, CHAMPION).loc[2].index
    before = fitted_at(dataset, NEWEST - step).predict_proba(dataset.X.loc[units])[:, 1]
    assert scores(result, CHAMPION).tolist() == before.tolist()
    assert scores(result, REFRESH).tolist() != before.tolist()


def test_a_champion_that_cannot_be_loaded_is_fitted_again_with_what_it_knew(made):
    dataset, training = made
    knew = NEWEST - pd.Timedelta("10D")
    result = rehearse(dataset, training, NAME, knew, None, 1.0)
    again = fitted_at(dataset, knew).predict_proba(dataset.X.loc[scores(result, CHAMPION).loc[2].index])[:, 1]
    assert scores(result, CHAMPION).tolist() == again.tolist()


def test_where_the_newest_block_cannot_tell_the_margin_all_blocks_are_taken_each_in_this_way(made):
    dataset, training = made
    step = pd.Timedelta("7D")
    result = rehearse(dataset, training, NAME, AS_OF - step, lambda X: pytest.fail("it has seen the blocks"), 0.001)
    assert set(result.predictions["block"]) == {1, 2}
    first = scores(result, CHAMPION).loc[[1]]
    before = fitted_at(dataset, NEWEST - pd.Timedelta("14D") - step)
    assert first.tolist() == before.predict_proba(dataset.X.loc[first.loc[1].index])[:, 1].tolist()


def test_too_little_before_the_newest_block_is_not_enough(made):
    dataset, training = made
    with pytest.raises(NotEnoughData, match="0 defects among 0 units were known at 2026-01-01 00:00 UTC"):
        rehearse(dataset, training, NAME, AS_OF - pd.Timedelta("61D"), None, 1.0)
    table = training.backtest.table.assign(contestant="trees", reason="nothing to learn from")
    unfitted = SimpleNamespace(backtest=replace(training.backtest, table=table))
    with pytest.raises(NotEnoughData, match="trees could not be fitted for block 2: nothing to learn from"):
        rehearse(dataset, unfitted, "trees", AS_OF, None, 1.0)


def test_a_champion_is_overdue_if_it_knew_nothing_of_the_oldest_block(made):
    _dataset, training = made
    oldest = END - pd.Timedelta("28D")
    assert overdue(training, oldest - pd.Timedelta("1s"))
    assert not overdue(training, oldest)


def test_two_trainings_are_put_side_by_side(made):
    _dataset, training = made
    result = side_by_side(training, NAME, training, "prevalence")
    rows = training.backtest.predictions
    assert scores(result, CHALLENGER).tolist() == rows.loc[rows["contestant"] == NAME, "score"].tolist()
    assert scores(result, CHAMPION).tolist() == rows.loc[rows["contestant"] == "prevalence", "score"].tolist()


def test_faults_are_those_of_the_model_as_it_was_kept_and_a_simple_rule_has_none(made):
    dataset, training = made
    model = RiskModel.of(fitted_at(dataset, AS_OF), dataset.X)
    sound = SimpleNamespace(
        backtest=training.backtest, winner="trees", models={"trees": model}, ranking="", weight_of=lambda name: None
    )
    assert faults(dataset, sound, model.predict) == ""
    assert "same score" in faults(dataset, sound, lambda X: np.full(len(X), 0.1))
    sound.winner = "prevalence"
    assert faults(dataset, sound, lambda X: np.full(len(X), 0.1)) == ""
