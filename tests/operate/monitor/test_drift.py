import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.reference import Reference
from qma_predict.operate.monitor.drift import drift, drift_of_scores
from qma_predict.operate.monitor.envelope import envelope

DAY = pd.Timestamp("2026-03-30")


def population(units, *, days, until=DAY, seed=0, name="n", **columns):
    """Units of so many days up to one, with their days; columns are functions of the generator and the day's place."""
    rng = np.random.default_rng(seed)
    place = np.arange(units) % days
    index = pd.Index([f"{name}{n}" for n in range(units)], name="unit_id")
    X = pd.DataFrame({name: make(rng, place) for name, make in columns.items()}, index=index)
    return X, pd.Series(until - pd.to_timedelta(place, unit="D"), index=index)


def normal(shift=0.0, scale=1.0, missing=0.0):
    def make(rng, place):
        x = rng.normal(shift, scale, len(place)).astype("float32")
        return np.where(rng.random(len(place)) < missing, np.nan, x)

    return make


def machine(*shares):
    return lambda rng, place: pd.array(rng.choice([f"M{n}" for n in range(len(shares))], len(place), p=shares), "str")


def compared(before, now, *, products=("A", "A"), seed=1):
    X, days = population(600, days=28, until=DAY - pd.Timedelta("9D"), name="r", **before)
    newest, of_newest = population(400, days=7, seed=seed, **now)
    of = pd.Series(products[0], X.index, dtype="str")
    reference = Reference(X, of, pd.Series({name: name for name in X}, dtype="str"), (), pd.DataFrame())
    other = pd.Series(products[1], newest.index, dtype="str")
    return drift(newest, other, of_newest, reference, days, seed=0).set_index("feature")


def test_a_shifted_feature_drifts_and_the_others_do_not():
    features = {f"f{n}": normal() for n in range(30)}
    found = compared(features, features | {"f7": normal(shift=1.0)})
    assert found.index[found["drifted"]].tolist() == ["f7"]
    told = found.loc["f7"]
    assert told["effect"] == pytest.approx(told["moved"] - told["chance"])
    # half the total variation of N(0, 1) and N(1, 1) is 0.38
    assert 0.25 < told["effect"] < 0.42
    assert told["p"] == pytest.approx(1 / 10_000)


@pytest.mark.parametrize("change", [normal(scale=3.0), normal(missing=0.4)])
def test_another_spread_or_missing_values_are_drift_too(change):
    assert compared({"f": normal()}, {"f": change}).loc["f", "drifted"]


def test_a_small_shift_of_many_units_is_no_drift():
    found = compared({"f": normal()}, {"f": normal(shift=0.1)})
    assert not found.loc["f", "drifted"]


def test_a_machine_that_takes_over_is_drift_and_an_identifier_is_left_out():
    before = {"a": machine(0.5, 0.5), "lot": machine(*[1 / 300] * 300), "one": machine(1.0)}
    found = compared(before, before | {"a": machine(0.1, 0.9)})
    assert found.index.tolist() == ["a"]
    assert found.loc["a", "drifted"]


def test_a_machine_that_is_new_is_drift():
    assert compared({"a": machine(0.5, 0.5)}, {"a": machine(0.3, 0.3, 0.4)}).loc["a", "drifted"]


def test_another_mix_of_products_is_no_drift():
    rng = np.random.default_rng(5)
    X, days = population(800, days=28, until=DAY - pd.Timedelta("9D"), name="r", f=normal(), m=machine(0.5, 0.5))
    of = pd.Series(rng.choice(["A", "B"], 800, p=[0.5, 0.5]), X.index, dtype="str")
    newest, of_newest = population(400, days=7, seed=6, f=normal(), m=machine(0.5, 0.5))
    other = pd.Series(rng.choice(["A", "B"], 400, p=[0.95, 0.05]), newest.index, dtype="str")
    for frame, product in ((X, of), (newest, other)):
        frame["f"] += np.where(product == "A", 10.0, 0.0)
        frame["m"] = frame["m"].mask(product == "A", "M0")  # A is made on one machine only
    reference = Reference(X, of, pd.Series({"f": "f", "m": "m"}), (), pd.DataFrame())
    found = drift(newest, other, of_newest, reference, days, seed=0)
    assert found["effect"].max() < 0.1


def test_what_units_of_a_day_have_in_common_is_no_drift():
    """A shift a day, drawn anew: 400 units are seven observations."""

    def by_day(rng, place):
        return (rng.normal(0, 2.0, place.max() + 1)[place] + rng.normal(0, 0.3, len(place))).astype("float32")

    p = [compared({"f": by_day}, {"f": by_day}, seed=seed).loc["f", "p"] for seed in range(1, 13)]
    assert np.mean(p) > 0.2  # by units, each would be far below 0.001
    assert np.mean(np.array(p) <= 0.05) < 0.4


def test_features_that_move_together_are_told_once():
    X, days = population(300, days=28, until=DAY - pd.Timedelta("9D"), name="r", a=normal(), b=normal())
    newest, of_newest = population(200, days=7, a=normal(shift=2), b=normal(shift=2))
    same = Reference(X, pd.Series("A", X.index, dtype="str"), pd.Series({"a": "a", "b": "a"}), (), pd.DataFrame())
    found = drift(newest, pd.Series("A", newest.index, dtype="str"), of_newest, same, days, seed=0)
    assert found["feature"].tolist() == ["a"]


def test_too_few_days_tell_nothing():
    X, days = population(300, days=28, until=DAY - pd.Timedelta("9D"), name="r", a=normal())
    newest, of_newest = population(90, days=2, a=normal(shift=3))
    reference = Reference(X, pd.Series("A", X.index, dtype="str"), pd.Series({"a": "a"}), (), pd.DataFrame())
    found = drift(newest, pd.Series("A", newest.index, dtype="str"), of_newest, reference, days, seed=0)
    assert found[["moved", "p", "q"]].isna().all(axis=None)
    assert not found["drifted"].any()


def test_false_discoveries_are_as_rare_as_they_should():
    """Of 40 features without drift, twice."""
    features = {f"f{n}": normal() for n in range(40)}
    told = [int(compared(features, features, seed=seed)["drifted"].sum()) for seed in range(1, 3)]
    assert sum(told) <= 1


def test_scores_drift():
    def nights(count, mean, first):
        rng = np.random.default_rng(count)
        night = [DAY.date() - pd.Timedelta(days=first + n % count) for n in range(count * 60)]
        return pd.DataFrame({"night": night, "score": rng.beta(2, 2 / mean - 2, count * 60)})

    past = nights(28, 0.05, 10)
    assert drift_of_scores(nights(7, 0.05, 0), past, seed=0)["effect"] < 0.05
    moved = drift_of_scores(nights(7, 0.2, 0), past, seed=0)
    assert (moved["effect"] > 0.4, moved["p"] < 0.001) == (True, True)
    assert np.isnan(drift_of_scores(nights(7, 0.05, 0).head(0), past, seed=0)["effect"])


def test_the_envelope_is_the_range_of_the_products_good_units():
    siblings = pd.DataFrame({"f": np.linspace(0, 10, 30), "g": [1.0] * 29 + [np.nan]}, [f"r{n}" for n in range(30)])
    products = pd.Series("A", siblings.index, dtype="str")
    reference = Reference(siblings, products, pd.Series({"f": "f", "g": "g"}), (), pd.DataFrame())
    X = pd.DataFrame({"f": [-0.9, 11.1, 5.0, np.nan], "g": [1.0, 1.0, np.nan, np.nan]}, ["u1", "u2", "u3", "u4"])
    found, outside = envelope(X, pd.Series(["A", "A", None, "A"], X.index, dtype="str"), reference)
    told = found.set_index("feature")
    assert told.loc["f", ["low", "high", "outside", "missing", "units"]].round(3).tolist() == [0, 10, 0.333, 0.25, 3]
    assert told.loc["g", ["outside", "missing", "missing_before"]].round(3).tolist() == [0, 0.5, 0.033]
    # a tenth of the range is allowed for: 11.1 is outside of -1 to 11, in one of the unit's two features
    assert outside.to_dict() == {"u1": False, "u2": True, "u3": False, "u4": False}
