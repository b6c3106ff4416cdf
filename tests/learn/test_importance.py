from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from qma_predict.learn.importance import Block, importance, most_moving


def block(seed, relied_on="a"):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400), "c": pd.array(["x"] * 400, dtype="str")})
    X["a_again"] = X["a"] * 2 + 1
    y = X[relied_on] > 1

    def predict(rows):
        return 1 / (1 + np.exp(-(rows[relied_on] + 0.0 * rows["b"]).to_numpy()))

    return Block(predict, X, y)


GROUPS = {"a": "a", "a_again": "a", "b": "b", "c": "c"}


def test_what_a_model_relies_on_loses_and_what_it_ignores_does_not():
    found = importance([block(1), block(2)], GROUPS).set_index("group")
    assert found.index[0] == "a"
    assert found.loc[["b", "c"], ["loss", "lowest", "highest"]].eq(0).all(axis=None)
    assert found["blocks"].to_dict() == {"a": 2, "b": 0, "c": 0}
    # a perfect ranking dealt out anew is one by chance: from 1 to about the share of defects
    share = np.mean([block(seed).outcome.mean() for seed in (1, 2)])
    assert found.loc["a", "loss"] == pytest.approx(1 - share, abs=0.08)


def test_a_group_that_is_relied_on_in_one_block_only_is_seen_as_unstable():
    found = importance([block(1), block(2, relied_on="b")], GROUPS).set_index("group")
    assert found.loc["a", "blocks"] == found.loc["b", "blocks"] == 1
    assert found.loc["a", "lowest"] == 0 < found.loc["a", "highest"]
    assert found.loc["a", "loss"] == pytest.approx(found.loc["a", "highest"] / 2)


def test_what_moves_together_is_dealt_out_together():
    predict, X, y, _ = block(3)

    def either(rows):
        return predict(rows.assign(a=np.maximum(rows["a"], (rows["a_again"] - 1) / 2)))

    together = importance([Block(either, X, y)], GROUPS).set_index("group").loc["a", "loss"]
    apart = importance([Block(either, X, y)], {name: name for name in X}).set_index("group").loc["a", "loss"]
    assert together > 1.5 * apart
    assert average_precision_score(y, either(X)) == pytest.approx(1)


def test_units_that_were_drawn_lose_what_those_that_they_stand_for_would():
    """20 defects and 100 good units, each of which stands for 20, beside the 2,020 units themselves."""
    rng = np.random.default_rng(1)
    y = np.repeat([1, 0], [20, 100])
    drawn = pd.DataFrame({"heat": rng.normal(size=120) + y})
    rows = np.repeat(np.arange(120), np.where(y == 1, 1, 20))

    def loss(*block):
        return importance([Block(lambda X: X["heat"].to_numpy(), *block)], {"heat": "heat"}, repeats=40)["loss"].item()

    all_units = loss(drawn.iloc[rows].reset_index(drop=True), y[rows])
    assert loss(drawn, y, np.where(y == 1, 1.0, 20.0)) == pytest.approx(all_units, abs=0.03)
    assert loss(drawn, y) > 2 * all_units


def test_ties_are_broken_at_random():
    """One of four scores high, dealt out anew 400 times: the defect is first, or second to fourth."""
    X = pd.DataFrame({"alarm": [1.0, 0.0, 0.0, 0.0]})
    alarms = Block(lambda rows: rows["alarm"].to_numpy(), X, [1, 0, 0, 0])
    found = importance([alarms], {"alarm": "alarm"}, repeats=400)
    expected = 1 - (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4  # with ties taken whole it is 0.56
    assert found["loss"].item() == pytest.approx(expected, abs=0.045)  # three standard deviations


def test_one_class_or_a_feature_without_a_group_is_said():
    made = block(4)
    with pytest.raises(ValueError, match="only defects or only good units"):
        importance([made._replace(outcome=np.zeros(400))], GROUPS)
    with pytest.raises(ValueError, match="features without a group: c"):
        importance([made], {"a": "a", "a_again": "a", "b": "b"})


def test_a_block_is_a_block_and_no_plain_tuple():
    for ask in (importance, partial(most_moving, most=1)):
        with pytest.raises(AttributeError, match="'tuple' object has no attribute 'X'"):
            ask([tuple(block(4))], GROUPS)
