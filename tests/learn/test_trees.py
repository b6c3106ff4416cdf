import numpy as np
import pytest
from sklearn.base import clone

from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.trees import BoostedTrees, RandomTrees


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
