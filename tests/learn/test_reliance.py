from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from qma_predict.learn import reliance_plots
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.explanations import REST
from qma_predict.learn.importance import Block, importance, most_moving
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.reliance import NOTHING, Reliance, reliance
from qma_predict.learn.risk_model import RiskModel

SIZE = 900
ALWAYS, LATE, ON = "press.force.last", "oven.heat.last", "oven.on.last"


@pytest.fixture(scope="module")
def X():
    """Force always matters, heat from the second block on; a second name of force, noise, and a machine."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({ALWAYS: rng.normal(size=SIZE), LATE: rng.normal(size=SIZE)})
    frame = frame.assign(**{"press.force.max": frame[ALWAYS] * 2, "cast.noise.last": rng.normal(size=SIZE)})
    frame = frame.astype("float32").assign(**{"press.machine": pd.array(["P$1$", "P2", "P3"] * 300, dtype="str")})
    return frame.set_axis(pd.Index([f"u{n:03}" for n in range(SIZE)], name="unit_id"))


@pytest.fixture(scope="module")
def y(X):
    late = np.arange(SIZE) >= 450
    z = 2.5 * X[ALWAYS] + np.where(late, 3.0, 0.0) * X[LATE] - 2.5
    return (np.random.default_rng(2).random(SIZE) < 1 / (1 + np.exp(-z))).astype(float)


@pytest.fixture
def groups(X):
    return pd.Series(X.columns, X.columns).replace({"press.force.max": ALWAYS})


class Known(Dataset):
    """A dataset whose labels were known when their units were old enough, and what they are today."""

    def labels_at(self, moment):
        return self.y.where(self.points["cutoff"].reindex(self.y.index) + self.line.gate.maturity <= moment)


@pytest.fixture
def trained(X, y, make_history, tiny_line):
    """A dataset, and what `reliance` reads of a training: two blocks of 225 units, from the middle on."""
    cutoff = pd.date_range("2026-01-01", periods=SIZE, freq="3h", tz="UTC")
    points = pd.DataFrame({"cutoff": cutoff}, index=X.index).sample(frac=1, random_state=1)
    dataset = Known(make_history({}), tiny_line, points, X, y, {}, dict.fromkeys(X, ""))

    def make(classifier, outcome=y):
        model = RiskModel.of(classifier.fit(X, y.astype(int)), X)
        rows = pd.DataFrame({"block": np.arange(SIZE) // 225 - 1, "contestant": "ours", "unit_id": X.index})
        rows = rows.assign(outcome=outcome.to_numpy())[rows["block"] > 0]
        table = pd.DataFrame({"block": [1, 2], "origin": cutoff[[450, 675]]})
        backtest = SimpleNamespace(predictions=rows, table=table)
        return dataset, SimpleNamespace(models={"ours": model}, winner="ours", backtest=backtest)

    return make


def logistic():
    return make_recipe("sklearn.linear_model.LogisticRegression")


def test_what_matters_in_every_block_is_told_from_what_matters_in_one(trained, groups):
    found = reliance(*trained(logistic()), groups)
    rows = found.groups.set_index("group")
    assert (found.blocks, rows.index[0]) == (2, ALWAYS)
    assert rows.loc[ALWAYS, ["blocks", "features"]].tolist() == [2, 2]
    assert rows.loc[ALWAYS, "lowest"] > 0.1
    # what learnt before the first block knew nothing of heat
    assert rows.loc[LATE, "lowest"] < 0.05 < 0.15 < rows.loc[LATE, "highest"]
    assert found.stable[0] == ALWAYS


def test_what_became_known_of_a_unit_after_a_block_began_does_not_help_to_rank_the_block(trained, groups, y):
    """Before the second block results were recorded the wrong way round, which was corrected when it was over."""
    dataset, training = trained(logistic())
    asked, origins = [], training.backtest.table["origin"]

    class Corrected(Known):
        def labels_at(self, moment):
            asked.append(moment)
            known = super().labels_at(moment)
            return 1 - known if moment == origins[1] else known

    changed = Corrected(**{field.name: getattr(dataset, field.name) for field in fields(dataset)})
    told, both = (reliance(one, training, groups).groups.set_index("group") for one in (dataset, changed))
    assert asked == origins.tolist()
    assert both.loc[ALWAYS, "lowest"] < 0 < 0.1 < told.loc[ALWAYS, "lowest"]
    assert both.loc[ALWAYS, "highest"] > 0.1  # in the first block


def test_what_is_lost_no_more_than_gained_elsewhere_is_chance():
    rows = [("a", 0.3, 0.2, 0.4), ("b", 0.05, 0.02, 0.09), ("c", 0.01, 0.01, 0.02), ("d", -0.01, -0.03, 0.01)]
    rows += [(REST, 0.0, -0.5, 0.5)]
    found = Reliance(pd.DataFrame(rows, columns=["group", "loss", "lowest", "highest"]), 2, {})
    assert (found.chance, found.stable, found.unstable) == (0.03, ["a"], ["b"])


def test_the_risk_by_a_feature_is_that_of_the_winner_within_the_newest_block(trained, groups, X):
    dataset, training = trained(logistic())
    found = reliance(dataset, training, groups)
    curve = found.curves[ALWAYS]
    assert curve["risk"].is_monotonic_increasing
    assert curve["risk"].iloc[-1] > curve["risk"].iloc[0] + 0.2
    newest = X[ALWAYS].iloc[675:]
    assert newest.min() < curve["value"].min() < curve["value"].max() < newest.max()


def test_the_risk_is_that_of_all_units_of_the_block_and_not_of_those_drawn_to_be_ranked(trained, groups, monkeypatch):
    monkeypatch.setattr("qma_predict.learn.reliance._JUDGED", (5, 5))
    curve = reliance(*trained(logistic()), groups).curves[ALWAYS]
    assert curve["share"].iloc[0] < 0.05  # of 225 units; of 10 it would be a tenth at least


def test_units_drawn_to_be_ranked_count_as_the_units_of_their_block(trained, groups, y, monkeypatch):
    """Else average precision is told of a block with far more defects than there are, and comes out far too high."""
    seen = []
    monkeypatch.setattr("qma_predict.learn.reliance._JUDGED", (5, 7))
    monkeypatch.setattr(
        "qma_predict.learn.reliance.importance",
        lambda blocks, *told, **more: seen.extend(blocks) or importance(blocks, *told, **more),
    )
    reliance(*trained(logistic()), groups)
    for block, whole in zip(seen, (y.iloc[450:675], y.iloc[675:]), strict=True):
        assert (len(block.X), block.outcome.sum()) == (12, 5)
        stood_for = pd.Series(block.weight).groupby(block.outcome).agg(["nunique", "sum"])
        assert stood_for["nunique"].tolist() == [1, 1]
        assert stood_for["sum"].tolist() == pytest.approx([(whole == 0).sum(), whole.sum()])


def test_what_mattered_in_an_older_block_only_is_told_apart(trained, groups, X, monkeypatch):
    monkeypatch.setattr("qma_predict.learn.reliance.GROUPS", 1)
    early = np.arange(SIZE) < 450
    z = 3 * X[LATE] + np.where(early, 6.0, -6.0) * X["cast.noise.last"] - 2
    outcome = (np.random.default_rng(3).random(SIZE) < 1 / (1 + np.exp(-z))).astype(float)
    dataset, training = trained(logistic(), outcome=outcome)
    found = reliance(replace(dataset, y=outcome), training, groups)
    # what learnt before the newest block relies on heat more: the noise had turned round
    assert set(found.groups["group"]) == {"cast.noise.last", REST}
    assert found.members == {"cast.noise.last": ["cast.noise.last"]}


def test_the_same_training_relies_on_the_same_and_groups_beyond_the_first_are_one(trained, groups, monkeypatch):
    monkeypatch.setattr("qma_predict.learn.reliance.GROUPS", 2)
    one, other = (reliance(*trained(logistic()), groups) for _ in range(2))
    pd.testing.assert_frame_equal(one.groups, other.groups)
    assert set(one.groups["group"]) == {ALWAYS, LATE, REST}
    assert REST not in one.curves


def test_a_rule_that_ranks_nothing_relies_on_nothing(trained, groups):
    found = reliance(*trained(make_baseline("prevalence")), groups)
    assert (found.blocks, found.stable, found.unstable, found.curves) == (2, [], [], {})
    assert set(reliance_plots.figures(found, line="Line", units={})) == {"importance"}


def test_without_a_block_of_both_classes_nothing_is_known(trained, groups, y):
    found = reliance(*trained(logistic(), outcome=y * 0), groups)
    assert found is NOTHING
    assert reliance_plots.figures(found, line="Line", units={}) == {}


def test_pictures_show_every_group_and_names_with_dollar_signs(trained, groups, tmp_path):
    dataset, training = trained(logistic())
    found = reliance(dataset, training, groups)
    machine = pd.DataFrame({"value": ["P$1$", "x" * 99], "risk": [0.1, 0.2], "share": [0.5, 0.5]})
    found.curves["press.$machine$"] = machine
    found.curves["press.gone.last"] = machine.head(0)
    drawn = reliance_plots.figures(found, line="Line", units={ALWAYS: "kN"})
    shown = [text.get_text().split("\n")[0] for text in drawn["importance"].axes[0].get_yticklabels()]
    assert shown == list(found.groups["group"].replace({REST: "all others"})[::-1])
    highest = max(curve["risk"].max() for curve in found.curves.values())
    assert all(axes.get_ylim()[1] > highest for axes in drawn["partial_dependence"].axes if axes.axison)
    labels = [axes.get_xlabel() for axes in drawn["partial_dependence"].axes]
    assert f"{ALWAYS} [kN]" in labels
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=40)


def risk_of(log_odds):
    return lambda rows: 1 / (1 + np.exp(-np.asarray(log_odds(rows), dtype=float)))


def test_the_first_look_finds_what_moves_in_any_block_and_asks_for_each_group(X, y):
    block = Block(risk_of(lambda rows: rows[ALWAYS] + 0.1 * rows[LATE]), X, y)
    before = Block(risk_of(lambda rows: 0.1 * rows[LATE] + 3 * rows["cast.noise.last"]), X, y)
    groups = {name: name for name in X}
    assert most_moving([block], groups, 5) == [ALWAYS, LATE]
    assert most_moving([block], groups, 1) == [ALWAYS]
    assert most_moving([before, block], groups, 2) == ["cast.noise.last", ALWAYS]
    with pytest.raises(ValueError, match="features without a group"):
        most_moving([block], {ALWAYS: ALWAYS}, 1)
    with pytest.raises(ValueError, match="only defects or only good units"):
        most_moving([block._replace(outcome=y * 0)], groups, 1)


def test_what_is_rare_but_behind_many_defects_is_found_among_much_that_moves_a_little():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(500, 12)), columns=[f"press.t{n}.last" for n in range(12)])
    X["press.alarm.count"] = (np.arange(500) < 5).astype(float)  # behind five of ten defects
    risk = risk_of(lambda rows: 8 * rows["press.alarm.count"] + 0.2 * rows.iloc[:, :12].sum(axis=1) - 5)
    block = Block(risk, X, np.arange(500) < 10)
    groups = {name: name for name in X}
    first = [most_moving([block], groups, 1, random_state=seed) for seed in range(20)]
    assert first == [["press.alarm.count"]] * 20


def test_many_at_once_are_as_few_at_once(X, y, monkeypatch):
    block = Block(lambda rows: rows[ALWAYS].rank(pct=True).to_numpy() * 0 + rows[ALWAYS].to_numpy(), X, y)
    groups = {name: name for name in X}
    whole = importance([block], groups)
    monkeypatch.setattr("qma_predict.learn.importance._ROWS_AT_ONCE", 1)
    pd.testing.assert_frame_equal(importance([block], groups), whole)
