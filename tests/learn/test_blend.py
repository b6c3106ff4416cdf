import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from qma_predict.errors import NotEnoughData
from qma_predict.learn.blend import CalibratedBlend
from qma_predict.learn.later import later_blocks, passing_texts
from qma_predict.learn.prepare import FilledAndScaled, PlantColumns
from qma_predict.learn.recipes import make_recipe


class FirstColumn(ClassifierMixin, BaseEstimator):
    """Gives its first column as the probability; remembers what it was fitted on."""

    def __init__(self, power=1.0):
        self.power = power

    def fit(self, X, y, sample_weight=None):
        self.seen_, self.weight_ = np.asarray(X).copy(), sample_weight
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        defect = X[:, 0] ** self.power
        return np.column_stack([1 - defect, defect])


def plant(n=1200, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.5, 1.0, n)
    return pd.DataFrame({"press.risk.last": expit(z).astype("float32")}), (rng.random(n) < expit(z)).astype(int)


def test_a_text_whose_categories_do_not_come_again_is_left_out_and_one_that_does_is_kept():
    X, y = plant()
    lots = pd.Series([f"L{i // 40}" for i in range(1200)], dtype="str")
    X = X.assign(**{"melt.lot": lots, "mill.machine": ["M1", "M2"] * 600})
    assert passing_texts(X, later_blocks(y)) == ["melt.lot"]
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    assert model.prepare_.get_feature_names_out().tolist() == ["press.risk.last", "mill.machine=M1", "mill.machine=M2"]


def test_members_are_fitted_on_all_rows_in_the_end():
    X, y = plant()
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    assert model.members_[0].seen_.tolist() == X.to_numpy().tolist()
    assert len(model.later_) == 600
    assert (model.later_[:, 1] == y[600:]).all()


def test_the_probabilities_of_the_members_are_averaged_by_their_weights():
    X, y = plant()
    model = CalibratedBlend([("as it is", FirstColumn()), ("squared", FirstColumn(power=2.0))]).fit(X, y)
    p = X["press.risk.last"].to_numpy().astype(float)
    a, b = model.weights_
    assert a > 0.6 > 0.4 > b  # the first is the true probability
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], model.calibration_.apply(a * p + b * p**2), rtol=1e-6)


def test_weights_reach_members_and_calibration():
    X, y = plant()
    y[-100:] = 0
    weight = np.where(np.arange(1200) < 1100, 1.0, 1e-9)
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.members_[0].weight_ * weight.mean(), weight)
    assert model.calibration_.offset_ > CalibratedBlend([("first", FirstColumn())]).fit(X, y).calibration_.offset_


def test_too_few_later_defects_make_a_ranking_near_the_base_rate():
    X, _ = plant(200)
    y = np.zeros(200, dtype=int)
    y[::20] = 1
    model = CalibratedBlend([("tree", DecisionTreeClassifier(random_state=0))]).fit(X, y)
    assert model.is_ranking_
    assert model.predict_proba(X)[:, 1].mean() < 0.15
    assert not CalibratedBlend([("first", FirstColumn())]).fit(*plant()).is_ranking_


def test_the_intercept_follows_newer_labels_and_says_so():
    X, y = plant(3000)
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    new, _ = plant(1500, seed=1)
    often = (np.random.default_rng(2).random(1500) < np.minimum(3 * new["press.risk.last"], 1)).astype(int)
    before = model.predict_proba(new)[:, 1]
    shift = model.follow(new, often)
    after = model.predict_proba(new)[:, 1]
    assert often.sum() / before.sum() > 2
    assert often.sum() / after.sum() == pytest.approx(1.0, abs=0.05)
    assert (np.argsort(after) == np.argsort(before)).all()
    assert shift.is_significant
    assert shift.notice.startswith("The defect rate has moved: ")
    assert model.shift_ is shift


def test_following_the_same_base_rate_says_nothing_and_a_second_time_starts_anew():
    X, y = plant(3000)
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    new, found = plant(1500, seed=1)
    first = model.follow(new, found)
    assert first.notice == ""
    assert model.follow(new, found) == first


def test_any_two_classes_will_do_the_later_one_is_the_defect():
    X, y = plant()
    model = CalibratedBlend([("logistic", LogisticRegression())]).fit(X, np.array(["good", "worse"])[y])
    assert model.classes_.tolist() == ["good", "worse"]
    expected = CalibratedBlend([("logistic", LogisticRegression())]).fit(X, y)
    assert (model.predict_proba(X) == expected.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2] * 4, "Only binary classification is supported"),
        ([0, 1, np.nan] * 4, r"first: 4 labels are missing \(NaN\)"),
        ([0, 1] * 3, "first: found 12 rows but 6 labels"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        CalibratedBlend([("first", FirstColumn())]).fit(np.ones((12, 1)), y)


def test_one_class_is_not_enough():
    with pytest.raises(NotEnoughData, match="first: found 12 defects and 0 good units to learn from"):
        CalibratedBlend([("first", FirstColumn())]).fit(np.ones((12, 1)), [1] * 12)


def test_the_parameters_of_a_member_have_its_name():
    model = CalibratedBlend([("logistic", LogisticRegression())]).set_params(logistic__C=0.5, strength=5.0)
    assert model.members[0][1].C == 0.5
    assert model.get_params()["logistic__C"] == 0.5


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["bare", "in a pipeline", "in a pipeline of a pipeline"])
def test_a_member_that_takes_no_weights_is_fitted_without_and_calibrated_with_them(steps):
    X, y = plant()
    weight = np.where(y == 1, 3.0, 1.0)
    member = KNeighborsClassifier(200)
    for _ in range(steps):
        member = make_pipeline(FilledAndScaled(), member)
    model = CalibratedBlend([("neighbours", member)]).fit(X, y, sample_weight=weight)
    promised = np.average(model.predict_proba(X)[:, 1], weights=weight)
    assert promised == pytest.approx(np.average(y, weights=weight), rel=0.15)


def test_weights_count_up_to_a_factor():
    X, y = plant()
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    some = [CalibratedBlend([("first", FirstColumn())]).fit(X, y, sample_weight=weight * by) for by in (1e-3, 1.0, 1e3)]
    for one in some[1:]:
        np.testing.assert_allclose(one.predict_proba(X), some[0].predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("nothing", [slice(0, 600), slice(600, 1200)], ids=["older half", "newer half"])
def test_a_row_of_weight_zero_counts_as_if_it_were_not_there(nothing):
    X, y = plant()
    weight, counts = np.ones(len(y)), np.ones(len(y), dtype=bool)
    weight[nothing], counts[nothing] = 0.0, False
    groups = np.arange(len(y)) // 2
    whole = CalibratedBlend([("first", FirstColumn())]).fit(X, y, groups=groups, sample_weight=weight)
    part = CalibratedBlend([("first", FirstColumn())]).fit(X[counts], y[counts], groups=groups[counts])
    np.testing.assert_allclose(whole.predict_proba(X), part.predict_proba(X))


def test_weights_that_leave_one_class_or_are_negative_are_refused():
    X, y = plant()
    with pytest.raises(NotEnoughData, match="found 0 defects"):
        CalibratedBlend([("first", FirstColumn())]).fit(X, y, sample_weight=(y == 0).astype(float))
    with pytest.raises(ValueError, match="[Nn]egative"):
        CalibratedBlend([("first", FirstColumn())]).fit(X, y, sample_weight=np.where(y == 1, -1.0, 1.0))


def test_labels_that_are_not_known_yet_do_not_count_when_following():
    X, y = plant()
    known = np.arange(len(y)) % 2 == 0
    labels = pd.Series(y).where(known).astype("Int64")
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    expected = model.follow(X[known], y[known])
    assert model.follow(X, labels) == expected


def test_a_burst_that_ended_is_no_jump_and_a_jump_is_one():
    rng = np.random.default_rng(1)
    risk = expit(rng.normal(-3.5, 1.0, 4000))
    row = np.arange(4000)
    chances = {
        "burst": np.where((row >= 3600) & (row < 3700), 0.7, risk),
        "jump": np.where(row >= 3400, np.minimum(3.0 * risk, 1.0), risk),
    }
    X, models = pd.DataFrame({"press.risk.last": risk}), {}
    for name, chance in chances.items():
        models[name] = CalibratedBlend([("first", FirstColumn())]).fit(X, (rng.random(4000) < chance).astype(int))
    promised = {name: float(model.predict_proba(X)[:, 1].sum() / risk.sum()) for name, model in models.items()}
    assert not models["burst"].shift_.is_significant
    assert promised["burst"] < 1.6  # where 100 defects came beside the usual 30
    assert models["jump"].shift_.is_significant
    assert promised["jump"] > 1.6


def test_members_are_asked_as_they_were_made_whatever_a_user_sets_for_scikit_learn():
    X, y = plant()
    weight = np.where(y == 1, 3.0, 1.0)
    model = make_recipe("logistic").set_params(n_jobs=1)
    expected = model.fit(X, y, sample_weight=weight).predict_proba(X)
    with config_context(transform_output="pandas", enable_metadata_routing=True):
        assert (model.predict_proba(X) == expected).all()
        assert (clone(model).fit(X, y, sample_weight=weight).predict_proba(X) == expected).all()


def test_arrays_of_numbers_and_texts_are_read_as_frames_are():
    X, y = plant()
    X = X.assign(**{"press.machine": np.where(np.arange(len(y)) % 3 == 0, "P1", "P2")})
    by_frame = make_recipe("logistic").fit(X, y)
    by_array = make_recipe("logistic").fit(X.to_numpy(dtype=object), y)
    np.testing.assert_allclose(by_array.predict_proba(X.to_numpy(dtype=object)), by_frame.predict_proba(X))
    with pytest.warns(UserWarning, match="feature names"):
        by_position = by_array.predict_proba(X)
    np.testing.assert_allclose(by_position, by_frame.predict_proba(X))


def test_weights_reach_the_last_step_of_pipelines_and_what_passes_them_on():
    X, y = plant()
    weight = np.where(y == 1, 3.0, 1.0)
    nested = make_pipeline("passthrough", make_pipeline("passthrough", FirstColumn()))
    passing = VotingClassifier([("first", FirstColumn())], voting="soft")
    model = CalibratedBlend([("nested", nested), ("passing", passing)]).fit(X, y, sample_weight=weight)
    for one in (model.members_[0][-1][-1], model.members_[1].estimators_[0]):
        np.testing.assert_allclose(one.weight_ * weight.mean(), weight)


def test_rows_whose_group_is_missing_calibrate_as_rows_without_groups():
    X, y = plant()
    plain = CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    missing = CalibratedBlend([("first", FirstColumn())]).fit(X, y, groups=np.array([None] * 1200))
    assert (missing.later_ == plain.later_).all()


def test_a_jump_within_the_newest_sixth_is_noticed_where_it_calibrates_alone():
    rng = np.random.default_rng(0)
    risk = expit(rng.normal(-3.5, 1.0, 6000))
    y = (rng.random(6000) < np.minimum(np.where(np.arange(6000) < 5000, 1.0, 3.0) * risk, 1.0)).astype(int)
    model = CalibratedBlend([("first", FirstColumn())]).fit(pd.DataFrame({"press.risk.last": risk}), y)
    assert len(model.later_) == 1000
    assert model.shift_.notice.startswith("The defect rate has moved: ")


def two_columns():
    """Two numbers, of which the first tells the defects."""
    X, y = plant()
    return X.assign(noise=np.random.default_rng(5).normal(size=len(y))), y


@pytest.mark.parametrize(
    "names",
    [[1, 0], [2024, 2025], pd.MultiIndex.from_tuples([("press", "risk"), ("press", "noise")])],
    ids=["positions swapped", "years", "two levels"],
)
def test_names_that_are_no_texts_find_columns_as_texts_do(names):
    X, y = two_columns()
    expected = CalibratedBlend([("logistic", LogisticRegression())]).fit(X, y).predict_proba(X)
    named = X.set_axis(names, axis=1)
    model = CalibratedBlend([("logistic", LogisticRegression())]).fit(named, y)
    for asked in (named, named[named.columns[::-1]], X.to_numpy()):
        assert (model.predict_proba(asked) == expected).all()
    by_array = CalibratedBlend([("logistic", LogisticRegression())]).fit(X.to_numpy(), y)
    assert (by_array.predict_proba(named) == expected).all()


def test_tables_of_other_libraries_have_their_names():
    X, y = two_columns()
    X = X.assign(machine=np.where(np.arange(len(y)) % 3, "P1", "P2"))
    table = pa.Table.from_pandas(X, preserve_index=False)
    expected = CalibratedBlend([("logistic", LogisticRegression())]).fit(X, y).predict_proba(X)
    model = CalibratedBlend([("logistic", LogisticRegression())]).fit(table, y)
    for asked in (table, table.select(X.columns[::-1].tolist()), X):
        np.testing.assert_allclose(model.predict_proba(asked), expected)


@pytest.mark.parametrize("names", ["aa", [7, 7]])
def test_a_name_found_twice_is_refused(names):
    X, y = two_columns()
    with pytest.raises(ValueError, match=f"names found twice: {names[0]}. Expected each once"):
        CalibratedBlend([("logistic", LogisticRegression())]).fit(X.set_axis(list(names), axis=1), y)


@pytest.mark.parametrize("defects", [4, 400])
@pytest.mark.parametrize(
    "made", [lambda at: at, lambda at: at - at[0], lambda at: at.dt.date], ids=["times", "durations", "dates"]
)
def test_times_are_refused_however_many_defects_there_are_unless_they_are_ignored(defects, made):
    X, _ = plant()
    y = (np.arange(1200) % (1200 // defects) == 0).astype(int)
    X = X.assign(at=made(pd.Series(pd.date_range("2026-01-05", periods=1200, freq="D"))))
    with pytest.raises(
        ValueError, match="columns at hold times. Expected numbers or texts. Make them numbers, such as"
    ):
        CalibratedBlend([("first", FirstColumn())]).fit(X, y)
    ignoring = CalibratedBlend([("first", FirstColumn())], prepare=PlantColumns(ignore=("at",))).fit(X, y)
    assert list(ignoring.prepare_.numbers_) == ["press.risk.last"]
    assert ignoring.ignored_ == []


@pytest.mark.parametrize(
    "written", [lambda x: x.map("{:.4f}".format), lambda x: x.round(4).astype("category")], ids=["texts", "categories"]
)
def test_measurements_that_are_written_as_texts_are_named(written):
    X, y = two_columns()
    texts = X.assign(noise=written(X["noise"]), lot=[f"{1000 + i // 40}" for i in range(1200)])
    with pytest.warns(UserWarning, match="first: columns noise hold decimal numbers as texts or categories: nothing"):
        model = CalibratedBlend([("first", FirstColumn())]).fit(texts, y)
    assert model.ignored_ == ["noise", "lot"]


def test_no_rows_have_no_probabilities_and_are_not_enough_to_learn_from():
    X, y = two_columns()
    model = make_recipe("boosted_trees").set_params(n_jobs=1).fit(X, y)
    assert model.predict_proba(X[:0]).shape == (0, 2)
    assert model.predict_proba(pa.Table.from_pandas(X[:0], preserve_index=False)).shape == (0, 2)
    assert model.predict(X[:0]).tolist() == []
    assert model.follow(X[:0], y[:0]).notice == ""
    with pytest.raises(ValueError, match="columns are missing: "):
        model.predict_proba(X[:0][["noise"]])
    with pytest.raises(NotEnoughData, match="found 0 defects and 0 good units"):
        clone(model).fit(X[:0], y[:0], sample_weight=y[:0], groups=y[:0])


def test_groups_of_another_length_are_refused_with_weights_and_without():
    X, y = plant()
    for weight in (None, np.ones(1200)):
        with pytest.raises(ValueError, match="first: found 1200 rows but 1199 groups; expected one for each row"):
            CalibratedBlend([("first", FirstColumn())]).fit(X, y, groups=np.zeros(1199), sample_weight=weight)


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        ([0, 1, 0], None, "first: found 4 rows but 3 labels"),
        ([0, 1, 0, 1], [1.0], "first: found 4 rows but 1 weights"),
        (["nok", "ok", 1, None], None, "found the labels nok, ok; expected 0 or 1 as in training, or a missing value"),
    ],
)
def test_labels_that_cannot_be_followed_are_refused(y, weight, message):
    X, labels = plant()
    model = CalibratedBlend([("first", FirstColumn())]).fit(X, labels)
    with pytest.raises(ValueError, match=message):
        model.follow(X[:4], y, sample_weight=weight)
    assert model.follow(X[:4], [True, False, 1.0, None]) == model.follow(X[:4], [1, 0, 1, np.nan])
