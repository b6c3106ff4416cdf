from datetime import date

import numpy as np
import pandas as pd

from qma_predict.learn.reference import Reference
from qma_predict.operate.monitor.tags import key_features, tag_charts

DAY = date(2026, 3, 30)


class Refit:
    """Risk by one feature, and a little by another."""

    def predict(self, X):
        return 1 / (1 + np.exp(3 - X["press.force.last"].to_numpy(float) - 0.1 * X["oven.heat.last"].to_numpy(float)))


def reference(**more):
    rng = np.random.default_rng(0)
    names = ["press.force.last", "press.force.maximum", "oven.heat.last", "oven.time.last"]
    X = pd.DataFrame(rng.normal(size=(60, 4)).astype("float32"), columns=names)
    X["press.machine"] = pd.array(["M1", "M2"] * 30, "str")
    X.index = pd.Index([f"r{n}" for n in range(60)], name="unit_id")
    products = pd.Series(["A"] * 30 + ["B"] * 30, X.index, dtype="str")
    groups = pd.Series({name: name for name in X} | more, dtype="str")
    return Reference(X, products, groups, (Refit(), Refit()), pd.DataFrame())


def test_the_features_that_move_the_risk_most_come_first_and_others_not_at_all():
    assert key_features(reference(), seed=0) == ["press.force.last", "oven.heat.last"]
    assert key_features(reference(), seed=0, most=1) == ["press.force.last"]


def test_features_that_move_together_are_dealt_out_together():
    of = reference(**{"press.force.last": "oven.time.last"})
    assert key_features(of, seed=0) == ["oven.time.last", "oven.heat.last"]


def test_without_refits_no_feature_is_known_to_matter():
    of = reference()
    assert key_features(Reference(of.siblings, of.products, of.groups, (), of.past), seed=0) == []


def test_a_tag_is_charted_as_its_distance_from_the_products_good_units():
    of = reference()
    of.siblings.loc[of.products == "B", "oven.heat.last"] += 100.0
    days = [pd.Timestamp(DAY) - pd.Timedelta(days=n // 10) for n in range(840)]
    index = pd.Index([f"u{n}" for n in range(840)], name="unit_id")
    product = pd.Series(["A", "B"] * 420, index, dtype="str")
    heat = np.random.default_rng(1).normal(size=840) + np.where(product == "B", 100.0, 0.0)
    heat[:30] += 4.0  # the last three days
    X = pd.DataFrame({"oven.heat.last": heat}, index)
    found = tag_charts(X, product, pd.Series(days, index), ["oven.heat.last", "not there"], of, DAY)
    assert found["feature"].unique().tolist() == ["oven.heat.last"]
    assert found["units"].unique().tolist() == [10]
    assert (found["baseline"].sum(), len(found)) == (55, 84)  # 28 days judged and today
    assert found["value"].iloc[:-3].abs().max() < 2.0
    assert found["signal"].tail(3).all()
    assert found["average_signal"].tail(2).all()
    assert found["signal"].iloc[:-3].sum() <= 1


def test_days_with_few_units_are_left_out():
    of = reference()
    index = pd.Index([f"u{n}" for n in range(9)], name="unit_id")
    days = pd.Series([pd.Timestamp("2026-03-29")] * 5 + [pd.Timestamp("2026-03-30")] * 4, index)
    X = pd.DataFrame({"oven.heat.last": 1.0}, index)
    found = tag_charts(X, pd.Series("A", index, dtype="str"), days, ["oven.heat.last"], of, DAY)
    assert found["day"].tolist() == [pd.Timestamp("2026-03-29")]
    assert found["high"].isna().all()
