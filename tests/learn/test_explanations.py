import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from qma_predict.learn.explanations import REST, explain, feature_groups, partial_dependence


def additive(X):
    """Log-odds 2 a - b + 3 [c is x] - 4, d does nothing."""
    return expit(2 * X["a"] - X["b"] + 3 * (X["c"] == "x") - 4).to_numpy()


@pytest.fixture
def siblings():
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "a": rng.normal(size=200),
            "b": rng.normal(size=200),
            "c": pd.array(rng.choice(["x", "y"], size=200, p=[0.25, 0.75]), dtype="str"),
            "d": rng.normal(size=200),
        }
    )


@pytest.fixture
def units(siblings):
    return pd.DataFrame(
        {"a": [1.0, 0.0], "b": [-1.0, np.nan], "c": pd.array(["x", "y"], dtype="str"), "d": [5.0, 0.0]},
        index=pd.Index(["u1", "u2"], name="unit_id"),
    ).fillna({"b": 0.5})


def each_alone(X):
    return {name: name for name in X}


def test_of_an_additive_model_each_contribution_is_its_term_against_the_siblings_mean(units, siblings):
    found = explain(additive, units, siblings, each_alone(units), samples=800)
    table = found.contributions.pivot(index="unit_id", columns="group", values="contribution")
    share = (siblings["c"] == "x").mean()
    means = siblings[["a", "b"]].mean()
    assert table.loc["u1", "a"] == pytest.approx(2 * (1 - means["a"]), abs=0.02)
    assert table.loc["u1", "b"] == pytest.approx(-(-1 - means["b"]), abs=0.02)
    assert table.loc["u1", "c"] == pytest.approx(3 * (1 - share), abs=0.02)
    assert table.loc["u2", "c"] == pytest.approx(3 * (0 - share), abs=0.02)
    assert table["d"].abs().max() < 1e-9


def test_the_sum_is_score_minus_baseline_within_the_stated_error(units, siblings):
    def crossed(X):
        return expit(X["a"] * X["b"] + X["a"] - 2).to_numpy()

    misses = []
    for seed in range(100):
        found = explain(crossed, units.head(1), siblings, each_alone(units), samples=60, random_state=seed)
        wanted = found.totals["score"] - found.totals["baseline"]
        misses.append((found.contributions["contribution"].sum() - wanted.item()) / found.totals["error"].item())
    assert (np.abs(misses) < 2).sum() >= 88  # nominally 95 of 100; fewer than 88 come less often than once in 300
    assert found.totals["baseline"].nunique() == 1
    assert found.totals["baseline"].iloc[0] == pytest.approx(logit(crossed(siblings)).mean())


def test_the_error_of_the_sum_knows_siblings_that_were_not_dealt():
    siblings = pd.DataFrame({"a": [1.0] * 6 + [0.0] * 194, "b": 0.0})  # six of them are at risk
    units = pd.DataFrame({"a": [1.0], "b": [1.0]}, index=["u"])

    def predict(X):
        return expit(6 * X["a"] + X["b"] - 5).to_numpy()

    misses, errors = [], set()
    for seed in range(200):
        found = explain(predict, units, siblings, each_alone(units), samples=32, random_state=seed)
        total = found.totals.iloc[0]
        misses.append(found.contributions["contribution"].sum() - (total["score"] - total["baseline"]))
        errors.add(round(total["error"], 9))
    # of 200 log-odds 6 are 1 and 194 are -5: their variance is 36 * 6 * 194 / (200 * 199); 16 of them are dealt
    wanted = np.sqrt(36 * 6 * 194 / (200 * 199) * (1 - 16 / 200) / 16)
    assert errors == {round(wanted, 9)}
    # the mean square of 200 misses is that of the error: 1 by a standard error of about 0.15
    assert np.mean(np.square(misses)) / wanted**2 == pytest.approx(1, abs=0.45)
    assert (np.abs(misses) > 2 * wanted).mean() < 0.15


def test_a_model_that_scores_units_by_those_beside_them_is_found_out(units, siblings, caplog):
    def beside(X):
        return expit(2 * (X["a"] - X["a"].mean()) - 2).to_numpy()

    assert explain(additive, units, siblings, each_alone(units)).totals["adds_up"].all()
    assert caplog.text == ""
    found = explain(beside, units, siblings, each_alone(units))
    assert not found.totals["adds_up"].any()
    assert "contributions of 2 of 2 units, u1 the first, do not add up to their scores" in caplog.text


def test_when_every_sibling_is_dealt_equally_often_nothing_is_missed(units, siblings):
    found = explain(additive, units, siblings, each_alone(units), samples=2 * len(siblings))
    sums = found.contributions.groupby("unit_id")["contribution"].sum()
    pd.testing.assert_series_equal(sums, found.totals["score"] - found.totals["baseline"], check_names=False)
    assert found.totals["error"].tolist() == [0, 0]


def test_features_of_a_group_are_told_as_one(units, siblings):
    found = explain(additive, units, siblings, {"a": "a", "b": "a", "c": "c", "d": "d"}, samples=400)
    assert set(found.contributions["group"]) == {"a", "c", "d"}
    assert found.contributions.iloc[0]["group"] == "a"


def test_the_groups_that_matter_least_are_told_together():
    rng = np.random.default_rng(2)
    siblings = pd.DataFrame(rng.normal(size=(100, 30)), columns=[f"f{n}" for n in range(30)])
    units = pd.DataFrame(3.0, index=["u"], columns=siblings.columns)

    def two_matter(X):
        return expit(X["f7"] + 2 * X["f21"] + 0.01 * X.sum(axis=1) - 3).to_numpy()

    found = explain(two_matter, units, siblings, each_alone(siblings), most=2, samples=100)
    assert found.contributions["group"].tolist()[:2] == ["f21", "f7"]
    assert set(found.contributions["group"]) == {"f7", "f21", REST}
    rest = found.contributions.set_index("group").loc[REST, "contribution"]
    assert rest == pytest.approx(0.01 * 3 * 28, abs=0.1)


def test_the_same_seed_gives_the_same_contributions(units, siblings):
    one, other = (explain(additive, units, siblings, each_alone(units), samples=10).contributions for _ in range(2))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_what_moves_together_is_one_group_whatever_its_direction_and_form():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 300))
    X = pd.DataFrame(
        {
            "a": a,
            "a_exp": np.exp(a),
            "minus_a": -a + 0.05 * rng.normal(size=300),
            "b": b,
            "flat": 1.0,
            "gone": np.nan,
            "word": ["x"] * 300,
        }
    )
    X.loc[::7, "a"] = np.nan
    groups = feature_groups(X)
    assert groups[["a", "a_exp", "minus_a"]].nunique() == 1
    assert groups[["b", "flat", "gone", "word"]].tolist() == ["b", "flat", "gone", "word"]


def test_without_siblings_or_without_a_group_it_says_so(units, siblings):
    with pytest.raises(ValueError, match="no good siblings"):
        explain(additive, units, siblings.head(0), each_alone(units))
    with pytest.raises(ValueError, match="features without a group: d"):
        explain(additive, units, siblings, {"a": "a", "b": "b", "c": "c"})


def test_partial_dependence_stays_within_what_was_observed(siblings):
    curve = partial_dependence(additive, siblings, "a", points=5)
    low, high = siblings["a"].quantile([0.02, 0.98])
    assert curve["value"].iloc[[0, -1]].tolist() == pytest.approx([low, high])
    assert curve["risk"].is_monotonic_increasing
    assert curve["share"].iloc[2] == pytest.approx(0.5, abs=0.01)
    at_median = siblings.assign(a=siblings["a"].median())
    assert curve["risk"].iloc[2] == pytest.approx(additive(at_median).mean())
    words = partial_dependence(additive, siblings, "c")
    assert words["value"].tolist() == ["y", "x"]
    assert words["risk"].iloc[1] > words["risk"].iloc[0]
    assert words["share"].sum() == pytest.approx(1)


def test_partial_dependence_leaves_out_infinities_and_knows_truth_values_and_counts():
    X = pd.DataFrame({"a": [np.inf, -np.inf, np.nan, *range(97)], "gone": np.nan, "on": np.arange(100) % 4 == 0})
    X["count"] = np.arange(100) % 3

    def predict(rows):
        return 0.01 * rows["a"].clip(0, 97).fillna(0).to_numpy() * (1 + rows["on"] + rows["count"]).to_numpy() / 4

    curve = partial_dependence(predict, X, "a", points=3)
    assert curve["value"].tolist() == pytest.approx([0.02 * 96, 48, 0.98 * 96])
    assert curve["risk"].notna().all()
    on = partial_dependence(predict, X, "on")
    assert (on["value"].tolist(), on["share"].tolist()) == ([0, 1], [0.75, 1])
    assert on["risk"].iloc[1] == pytest.approx(predict(X.assign(on=True)).mean())
    assert partial_dependence(predict, X, "count")["value"].tolist() == [0, 1, 2]
    assert partial_dependence(predict, X, "gone").empty


def test_partial_dependence_shows_values_that_are_rare():
    rng = np.random.default_rng(4)
    X = pd.DataFrame({"alarm": (np.arange(1000) < 12).astype(float), "seconds": 0.0, "step": np.arange(1000) % 7 / 2})
    X.loc[:14, "seconds"] = rng.exponential(size=15)
    X.loc[0, "step"] = np.inf

    def predict(rows):
        return expit(6 * rows["alarm"] + rows["seconds"] - 5).to_numpy()

    alarm = partial_dependence(predict, X, "alarm")
    assert (alarm["value"].tolist(), alarm["share"].tolist()) == ([0, 1], [0.988, 1])
    assert alarm["risk"].iloc[1] > 0.7
    assert partial_dependence(predict, X, "step")["value"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    # 16 different values, of which all but 1.5 % of units have the first: ten of the different ones are shown
    seconds = partial_dependence(predict, X, "seconds", points=10)["value"]
    assert set(seconds) <= set(X["seconds"])
    assert (len(seconds), seconds.iloc[0]) == (10, 0)
