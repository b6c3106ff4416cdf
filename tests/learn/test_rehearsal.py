from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

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


@pytest.fixture(autouse=True)
def all_weigh_alike(monkeypatch):
    """No table of inspections is behind these datasets."""
    monkeypatch.setattr(
        "qma_predict.learn.rehearsal.inspection_weights",
        lambda history, points, line: pd.Series(1.0, index=points["unit_id"]),
    )


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
    line = SimpleNamespace(gate=SimpleNamespace(maturity=MATURITY), learning=SimpleNamespace(keep=["test.stop_late"]))
    points = pd.DataFrame({"cutoff": cutoff, "night": night})
    dataset = SimpleNamespace(
        X=X, y=y, points=points, line=line, labels_at=known_at(y, cutoff),
        history=SimpleNamespace(as_of=AS_OF, at=lambda moment: moment),
        groups=None,
        groups_of=lambda units: None, apart=lambda units, judged: units,
    )  # fmt: skip
    splitter = RollingOriginSplit(2, test="14D", gap=MATURITY)
    contestants = {NAME: make_baseline(NAME), "prevalence": make_baseline("prevalence")}
    facts = {"labels_at": dataset.labels_at, "outcome": y, "night": night, "splitter": splitter, "capacity": 5}
    found = backtest(contestants, X, cutoff, **facts)
    training = SimpleNamespace(backtest=found, labels=SimpleNamespace(weight=None), left_out=[])
    return dataset, training


def scores(found, contestant):
    rows = getattr(found, "result", found).predictions
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
    assert result.sides == "for the refresh stood its recipe, fitted when each block began, and the champion for itself"


def test_a_champion_that_has_seen_some_of_the_block_is_rehearsed_as_long_before_it(made):
    dataset, training = made
    step = pd.Timedelta("7D")  # the champion is of a week ago, in the newest block
    result = rehearse(dataset, training, NAME, AS_OF - step, lambda X: pytest.fail("it has seen the block"), 1.0)
    units = scores(result, CHAMPION).loc[2].index
    before = fitted_at(dataset, NEWEST - step).predict_proba(dataset.X.loc[units])[:, 1]
    assert scores(result, CHAMPION).loc[2].tolist() == before.tolist()
    assert scores(result, REFRESH).loc[2].tolist() != before.tolist()
    assert result.sides.endswith(", and for the champion, too, fitted as much earlier as it is older")


def test_a_champion_that_cannot_be_loaded_is_fitted_again_with_what_it_knew(made):
    dataset, training = made
    knew = NEWEST - pd.Timedelta("10D")
    result = rehearse(dataset, training, NAME, knew, None, 1.0)
    again = fitted_at(dataset, knew).predict_proba(dataset.X.loc[scores(result, CHAMPION).loc[2].index])[:, 1]
    assert scores(result, CHAMPION).loc[2].tolist() == again.tolist()


def test_where_the_newest_block_cannot_tell_the_margin_all_blocks_are_taken_each_in_this_way(made):
    dataset, training = made
    step = pd.Timedelta("7D")
    result = rehearse(dataset, training, NAME, AS_OF - step, lambda X: pytest.fail("it has seen the blocks"), 0.001)
    assert set(result.result.predictions["block"]) == {1, 2}
    first = scores(result, CHAMPION).loc[[1]]
    before = fitted_at(dataset, NEWEST - pd.Timedelta("14D") - step)
    assert first.tolist() == before.predict_proba(dataset.X.loc[first.loc[1].index])[:, 1].tolist()


def test_where_the_champion_knew_some_of_one_block_only_it_stands_for_itself_in_the_other(made):
    dataset, training = made
    result = rehearse(dataset, training, NAME, NEWEST - pd.Timedelta("1D"), lambda X: np.arange(len(X)) / 1e4, 0.001)
    assert scores(result, CHAMPION).loc[2].iloc[1] == 1e-4
    assert ", and for the champion, too, in 1 of 2 blocks, fitted as much " in result.sides


class Columns(BaseEstimator, ClassifierMixin):
    """Learns which features and weights it was given, and nothing else."""

    seen: ClassVar[list] = []

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array([0, 1])
        self.seen.append((len(X), list(X.columns), sample_weight))
        return self

    def predict_proba(self, X):
        return np.tile([0.9, 0.1], (len(X), 1))


@pytest.fixture
def fits(monkeypatch):
    Columns.seen.clear()
    monkeypatch.setattr("qma_predict.learn.rehearsal.recipe_of", lambda line: Columns())
    return Columns.seen


def recipe(made, left_out, weight=None):
    """The training of a recipe, which was backtested as the simple rule was."""
    dataset, training = made
    rows = training.backtest.predictions
    found = replace(training.backtest, predictions=rows.assign(contestant=rows["contestant"].replace(NAME, "columns")))
    return dataset, SimpleNamespace(backtest=found, labels=SimpleNamespace(weight=weight), left_out=left_out)


def test_what_only_the_judged_block_gives_away_as_a_leak_was_still_learnt_from_before_it(made, fits):
    dataset, training = recipe(made, ["test.stop_code"])
    newest = dataset.points["cutoff"] > NEWEST
    X = dataset.X.assign(**{"test.stop_code": dataset.y.where((dataset.y == 1) & newest)})
    later = SimpleNamespace(**vars(dataset) | {"X": X})
    result = rehearse(later, training, "columns", NEWEST - pd.Timedelta("3D"), lambda X: X.index.str[1:].astype(int), 1)
    assert [columns for _rows, columns, _weight in fits] == [list(X.columns)]  # the refresh, fitted again
    assert set(scores(result, REFRESH)) == {0.1}


def test_what_was_known_to_be_a_leak_is_left_out_on_both_sides_but_for_what_the_line_keeps(made, fits):
    dataset, training = recipe(made, ["test.stop_code"])
    leaks = {f"test.stop_{name}": dataset.y.where(dataset.y == 1) for name in ("code", "late")}
    known = SimpleNamespace(**vars(dataset) | {"X": dataset.X.assign(**leaks)})
    rehearse(known, training, "columns", AS_OF - pd.Timedelta("7D"), None, 1.0)
    kept = [*dataset.X.columns, "test.stop_late"]
    assert all(columns == kept for _rows, columns, _weight in fits)
    assert len(fits) <= 2  # for the champion alone: the backtest did as was known


def test_rows_weigh_on_both_sides_as_was_known_when_each_was_fitted(made, fits, monkeypatch):
    asked = []

    def weights(moment, points, line):
        asked.append(moment)
        return pd.Series(np.arange(len(points)) % 3 + 1.0, index=points["unit_id"])

    monkeypatch.setattr("qma_predict.learn.rehearsal.inspection_weights", weights)
    dataset, training = recipe(made, [], weight=pd.Series(1.0, index=made[0].X.index))
    rehearse(dataset, training, "columns", AS_OF - pd.Timedelta("7D"), None, 1.0)
    assert asked[:2] == [NEWEST - pd.Timedelta("7D"), NEWEST]
    assert [len(weight) for _rows, _columns, weight in fits] == [rows for rows, _columns, _weight in fits]


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
