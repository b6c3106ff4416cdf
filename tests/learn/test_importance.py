import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from qma_predict.learn.importance import importance


def block(seed, relied_on="a"):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400), "c": pd.array(["x"] * 400, dtype="str")})
    X["a_again"] = X["a"] * 2 + 1
    y = X[relied_on] > 1

    def predict(rows):
        return 1 / (1 + np.exp(-(rows[relied_on] + 0.0 * rows["b"]).to_numpy()))

    return predict, X, y


GROUPS = {"a": "a", "a_again": "a", "b": "b", "c": "c"}


def test_what_a_model_relies_on_loses_and_what_it_ignores_does_not():
    found = importance([block(1), block(2)], GROUPS).set_index("group")
    assert found.index[0] == "a"
    assert found.loc[["b", "c"], ["loss", "lowest", "highest"]].eq(0).all(axis=None)
    assert found["blocks"].to_dict() == {"a": 2, "b": 0, "c": 0}
    # a perfect ranking dealt out anew is one by chance: from 1 to about the share of defects
    share = np.mean([block(seed)[2].mean() for seed in (1, 2)])
    assert found.loc["a", "loss"] == pytest.approx(1 - share, abs=0.08)


def test_a_group_that_is_relied_on_in_one_block_only_is_seen_as_unstable():
    found = importance([block(1), block(2, relied_on="b")], GROUPS).set_index("group")
    assert found.loc["a", "blocks"] == found.loc["b", "blocks"] == 1
    assert found.loc["a", "lowest"] == 0 < found.loc["a", "highest"]
    assert found.loc["a", "loss"] == pytest.approx(found.loc["a", "highest"] / 2)


def test_what_moves_together_is_dealt_out_together():
    predict, X, y = block(3)

    def either(rows):
        return predict(rows.assign(a=np.maximum(rows["a"], (rows["a_again"] - 1) / 2)))

    together = importance([(either, X, y)], GROUPS).set_index("group").loc["a", "loss"]
    apart = importance([(either, X, y)], {name: name for name in X}).set_index("group").loc["a", "loss"]
    assert together > 1.5 * apart
    assert average_precision_score(y, either(X)) == pytest.approx(1)


def test_one_class_or_a_feature_without_a_group_is_said():
    predict, X, _ = block(4)
    with pytest.raises(ValueError, match="only defects or only good units"):
        importance([(predict, X, np.zeros(400))], GROUPS)
    with pytest.raises(ValueError, match="features without a group: c"):
        importance([block(4)], {"a": "a", "a_again": "a", "b": "b"})
