"""Twins: a left and a right part of every shot, of the same readings and the same quality, made four weeks apart."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier

from qma_predict.learn.backtest import backtest
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.rehearsal import _as_known_at
from qma_predict.learn.training import fit, judged_blocks, recipe_of, train
from qma_predict.learn.trials import rows_and_folds
from qma_predict.learn.weights import fit_weighted
from qma_predict.publish.models.card import _data
from qma_predict.publish.models.model import line_of, made_by, same_recipe

START = pd.Timestamp("2026-01-05 06:00", tz="UTC")
DAYS, A_DAY, APART = 112, 10, 28
TREE = "sklearn.tree.DecisionTreeClassifier"
BASE = 0.2


def tables():
    """The right parts wait four weeks for the oven; three forces of a shot tell nothing, but tell shots apart."""
    rng = np.random.default_rng(5)
    made = np.repeat(np.arange(DAYS), A_DAY)
    shots = [f"S{number:04}" for number in range(len(made))]
    forces, bad = rng.normal(size=(len(shots), 3)).round(3), rng.random(len(shots)) < BASE
    frames = {"visits": [], "readings": [], "materials": [], "inspections": []}
    for side, later in (("L", 0), ("R", APART)):
        units = [f"{shot}{side}" for shot in shots]
        hours = pd.to_timedelta(np.tile(np.arange(A_DAY), DAYS), unit="h")
        done = START + pd.to_timedelta(made + later, unit="D") + hours
        stay = {"unit_id": units, "station": "oven", "machine": "O1", "started_at": done, "ended_at": done}
        frames["visits"].append(pd.DataFrame(stay))
        for n in range(3):
            reading = {"unit_id": units, "station": "oven", "occurred_at": done, "tag": f"f{n}", "value": forces[:, n]}
            frames["readings"].append(pd.DataFrame(reading))
        lot = {"unit_id": units, "lot_id": shots, "material": "shot", "occurred_at": done}
        frames["materials"].append(pd.DataFrame(lot))
        for one in ("leak", "size"):
            result = {"unit_id": units, "gate": "final", "characteristic": one, "passed": ~bad}
            frames["inspections"].append(pd.DataFrame(result | {"occurred_at": done + pd.Timedelta("1D")}))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()}


def with_group(line, group):
    block = pd.Timedelta("14D").to_pytimedelta()
    given = {"recipe": TREE, "families": ("readings",), "group": group, "blocks": 2, "block": block}
    return line.model_copy(update={"learning": line.learning.model_copy(update=given)})


@pytest.fixture(scope="module")
def _made():
    return {}


@pytest.fixture
def made(_made, make_history, tiny_line):
    """Datasets of the same plant with twins as a group, and without."""
    if not _made:
        history = make_history(tables(), as_of=START + pd.Timedelta(f"{DAYS + APART}D"))
        _made.update({name: make_dataset(history, with_group(tiny_line, name)) for name in ("shot lot", None)})
    return _made


def test_a_dataset_has_the_groups_and_they_are_part_of_what_it_is(made):
    grouped, plain = made["shot lot"], made[None]
    assert grouped.groups.loc[["S0000L", "S0000R"]].tolist() == ["S0000", "S0000"]
    assert (grouped.identity["group"], grouped.identity["groups"]) == ("shot lot", DAYS * A_DAY)
    assert "units of one shot lot" in _data(grouped)
    assert "kept together" not in _data(plain)
    assert plain.groups is None
    assert "group" not in plain.identity
    assert grouped.identity["digest"] != plain.identity["digest"]
    assert grouped.groups_of(pd.Index(["S0000L", "no such"]))[0] == "S0000"
    assert pd.isna(grouped.groups_of(pd.Index(["no such"]))[0])
    units = pd.Index(["S0000L", "S0001L", "no such"])
    assert list(grouped.apart(units, pd.Index(["S0000R", "another"]))) == ["S0001L", "no such"]
    assert plain.apart(units, units) is units


def test_calibration_by_groups_is_honest_of_new_shots_where_it_is_overconfident_without(made):
    forces = np.random.default_rng(6).normal(size=(2000, 3)).astype("float32")
    new = pd.DataFrame({f"oven.f{n}.last": forces[:, n] for n in range(3)} | {f"oven.f{n}.count": 1 for n in range(3)})
    new = new[made[None].X.columns].astype("float32")
    bad = np.random.default_rng(7).random(2000) < BASE
    loss, promised, found = {}, {}, {}
    for name, dataset in made.items():
        risk = fit(recipe_of(dataset.line), dataset).predict_proba(new)[:, 1]
        highest = np.argsort(-risk, kind="stable")[:400]
        loss[name], promised[name], found[name] = log_loss(bad, risk), risk[highest].mean(), bad[highest].mean()
    honest = log_loss(bad, np.full(2000, BASE))
    assert loss["shot lot"] < honest + 0.02
    assert promised["shot lot"] < found["shot lot"] + 0.15
    assert loss[None] > honest + 0.15
    assert promised[None] > found[None] + 0.4


def same_groups(one, other):
    return (pd.factorize(np.asarray(one))[0] == pd.factorize(np.asarray(other))[0]).all()


class Seen(ClassifierMixin, BaseEstimator):
    """Notes which units it learnt from, and with which groups."""

    fits: list = []  # noqa: RUF012

    def fit(self, X, y, groups=None):
        self.classes_ = np.array([0, 1])
        self.fits.append((X.index, groups))
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.setattr(Seen, "fits", [])
    return Seen.fits


@pytest.mark.parametrize("group", ["shot lot", None])
def test_no_block_of_a_backtest_is_judged_on_twins_of_what_was_learnt(made, fits, group):
    dataset = made[group]
    facts = {"labels_at": dataset.labels_at, "outcome": dataset.y, "night": dataset.points["night"]}
    rest = {"splitter": judged_blocks(dataset.line), "capacity": 2, "groups": dataset.groups}
    found = backtest({"seen": Seen()}, dataset.X, dataset.points["cutoff"], **facts, **rest)
    shared = []
    for (learnt, groups), (_block, rows) in zip(fits, found.predictions.groupby("block"), strict=True):
        judged = set(rows["unit_id"].str[:-1])
        shared.append(len(judged & set(learnt.str[:-1])))
        assert (groups is None) == (group is None)
        assert groups is None or same_groups(groups, learnt.str[:-1])
    assert len(shared) == 2
    assert (max(shared) == 0) if group else (min(shared) > 50)


def test_a_missing_group_is_a_group_of_its_own(made, fits):
    dataset = made["shot lot"]
    facts = {"labels_at": dataset.labels_at, "outcome": dataset.y, "night": dataset.points["night"]}
    rest = {"splitter": judged_blocks(dataset.line), "capacity": 2}
    nowhere = pd.Series(pd.NA, dataset.X.index, dtype="str")
    backtest({"seen": Seen()}, dataset.X, dataset.points["cutoff"], **facts, **rest, groups=nowhere)
    backtest({"seen": Seen()}, dataset.X, dataset.points["cutoff"], **facts, **rest)
    for (one, _), (other, _) in zip(fits[:2], fits[2:], strict=True):
        assert list(one) == list(other)


def test_a_search_and_a_rehearsal_learn_from_no_twin_of_what_they_judge(made, fits, monkeypatch):
    dataset = made["shot lot"]
    X, folds = rows_and_folds(dataset)
    shots = X.index.str[:-1]
    for fold in folds:
        assert not set(shots[fold.train]) & set(shots[fold.judged])
        assert len(fold.groups) == len(fold.train)
    plain = rows_and_folds(made[None])[1]
    assert any(set(shots[fold.train]) & set(shots[fold.judged]) for fold in plain)
    monkeypatch.setattr("qma_predict.learn.rehearsal.recipe_of", lambda line: Seen())
    moment = pd.Timestamp(START + pd.Timedelta("100D"))
    judged = dataset.X[(dataset.points["cutoff"] > moment).to_numpy()]
    _as_known_at(moment, dataset, TREE, judged, set())
    ((learnt, groups),) = fits
    assert not set(learnt.str[:-1]) & set(judged.index.str[:-1])
    assert same_groups(groups, learnt.str[:-1])


def test_a_recipe_whose_fit_takes_no_groups_goes_on_working(made):
    dataset = made["shot lot"]
    y = dataset.y.dropna().astype(int)
    model = fit_weighted(DecisionTreeClassifier(), dataset.X.loc[y.index], y, None, dataset.groups_of(y.index))
    assert model.predict_proba(dataset.X).shape == (len(dataset.X), 2)


def test_a_training_by_groups_takes_the_tree_for_no_better_than_a_simple_rule(made):
    assert train(made[None]).winner == TREE
    assert train(made["shot lot"]).winner != TREE


def test_the_group_is_part_of_the_recipe(tiny_line):
    line = with_group(tiny_line, "shot lot")
    model = SimpleNamespace(learning=made_by(line))
    assert same_recipe(model, line)
    assert not same_recipe(model, with_group(tiny_line, None))
    assert line_of(with_group(tiny_line, None), model).learning.group == "shot lot"
    before = SimpleNamespace(learning={name: one for name, one in model.learning.items() if name != "group"})
    assert same_recipe(before, with_group(tiny_line, None))
    assert line_of(line, before).learning.group is None
