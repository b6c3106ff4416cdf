import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import average_precision_score

from qma_predict.learn import trees as forests
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.trees import BoostedTrees, RandomTrees, SampledTrees


def parity(n=1500, columns=3, seed=0):
    """A defect takes two columns together; the third says nothing."""
    X = np.random.default_rng(seed).normal(size=(n, columns))
    return X, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int)


@pytest.mark.parametrize(
    ("trees", "share"),
    [
        (
            BoostedTrees(n_estimators=20, num_leaves=4, colsample_bytree=0.34),
            "colsample_bytree",
        ),
        (RandomTrees(50, max_depth=4, max_features=0.34, random_state=0), "max_features"),
    ],
)
def test_a_narrow_table_is_seen_whole_and_the_parameter_stays_as_it_was(trees, share):
    X, y = parity()
    model = clone(trees).fit(X[:1000], y[:1000])
    assert model.score(X[1000:], y[1000:]) > 0.8
    assert model.get_params()[share] == 0.34


def test_a_wide_table_is_seen_by_the_share():
    X = np.random.default_rng(0).normal(size=(300, 40))
    y = (X[:, 0] > 0).astype(int)
    model = RandomTrees(5, max_features=0.3, random_state=0).fit(X, y)
    assert {tree.max_features_ for tree in model.estimators_} == {12}
    assert BoostedTrees(colsample_bytree=0.5).fit(X, y).model_.colsample_bytree == 0.5


def test_the_default_recipe_finds_what_takes_two_of_six_columns():
    X, y = parity(3000, columns=6)
    model = make_recipe("default").fit(X[:2000], y[:2000])
    found = (model.predict(X[2000:]) == y[2000:]).mean()
    assert found > 0.9


def rare(n=4000, seed=0):
    """Defects where three of thirty columns are high together, two of a hundred rows."""
    X = np.random.default_rng(seed).normal(size=(n, 30)).astype(np.float32)
    return X, (X[:, :3] > 0.6).all(axis=1).astype(int)


def test_sampled_trees_find_what_takes_three_columns_where_a_share_of_the_columns_does_not():
    X, y = rare()
    found = {}
    for name, trees in (("share", RandomTrees(30, max_features=0.3, random_state=0)), ("sample", SampledTrees(30))):
        score = trees.fit(X[:2000], y[:2000]).predict_proba(X[2000:])[:, 1]
        found[name] = average_precision_score(y[2000:], score)
    assert found["sample"] > found["share"] + 0.1


def test_sampled_trees_promise_the_rate_of_all_rows_not_of_the_sample():
    X, y = rare()
    y = np.random.default_rng(1).permutation(y)  # nothing to learn
    model = SampledTrees(30, ratio=1.0, min_samples_leaf=20).fit(X[:2000], y[:2000])
    assert model.predict_proba(X[2000:])[:, 1].mean() == pytest.approx(y.mean(), rel=0.25)


def test_a_leaf_of_a_sampled_tree_holds_the_weighted_share_of_all_rows_in_it():
    X = np.repeat([0.0, 1.0], 50)[:, None]
    y = np.zeros(100, dtype=int)
    y[50:60] = 1
    weight = np.where(y == 1, 2.0, 1.0)
    model = SampledTrees(3, ratio=1.0).fit(X, y, sample_weight=weight)
    assert model.predict_proba(np.array([[0.0], [1.0]]))[:, 1] == pytest.approx([0.0, 20 / 60])


def test_a_sampled_tree_grows_on_no_more_rows_than_allowed():
    X, y = rare()
    model = SampledTrees(2, ratio=10.0, max_rows=330).fit(X, y)
    assert [tree.tree_.n_node_samples[0] for tree in model.trees_] == [330, 330]
    assert [tree.tree_.n_node_samples[0] for tree in SampledTrees(1, ratio=2.0).fit(X, y).trees_] == [3 * y.sum()]


def test_sampled_trees_draw_other_rows_for_each_tree_and_the_same_for_the_same_seed():
    X, y = rare(1000)
    first, again, other = (SampledTrees(5, random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_sampled_trees_are_stored_with_what_was_counted_in_their_leaves():
    X, y = rare(1000)
    model = SampledTrees(5).fit(X, y)
    assert (pickle.loads(pickle.dumps(model)).predict_proba(X) == model.predict_proba(X)).all()


def test_a_forest_does_not_grow_with_a_table_of_many_rows(monkeypatch):
    monkeypatch.setattr(forests, "MOST_ROWS", 500)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 6))
    y = (rng.random(8000) < 1 / (1 + np.exp(2 - X[:, 0]))).astype(int)
    forest, nodes = RandomTrees(5, max_features=0.3, random_state=0), {}
    for rows in (1000, 8000):
        nodes[rows] = sum(tree.tree_.node_count for tree in clone(forest).fit(X[:rows], y[:rows]))
    assert nodes[8000] < 1.5 * nodes[1000]  # 4 where each tree gets an eighth of all rows
    assert forest.fit(X, y).get_params() == clone(forest).get_params()
