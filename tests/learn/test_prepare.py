from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from qma_predict.learn.columns import as_frame
from qma_predict.learn.prepare import FilledAndScaled, PlantColumns, stratified_folds
from qma_predict.learn.recipes import make_recipe


def table(n=60, **columns):
    return pd.DataFrame({"press.force.last": np.arange(n, dtype="float32")} | columns)


def labels(n=60):
    return np.arange(n) % 10 == 0


def names(X, y=None):
    return PlantColumns().fit(X, labels(len(X)) if y is None else y).get_feature_names_out().tolist()


def some(n, value, known):
    return np.where(np.arange(n) < known, value, np.nan)


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        (np.full(60, 3.0), False),
        (np.full(60, np.nan), False),
        (np.full(60, np.inf), False),
        (np.where(np.arange(60) < 9, np.arange(60.0), np.nan), False),
        (np.where(np.arange(60) < 10, np.arange(60.0), np.nan), True),
        (some(60, 1.0, known=10), True),
        (some(60, 1.0, known=50), True),
        (some(60, 1.0, known=51), False),
        (np.arange(60.0), False),
        (np.arange(60.0) + 1, True),
        (np.where(np.arange(60) == 7, 1e30, 0.0), True),
    ],
    ids=[
        "constant",
        "missing",
        "infinite",
        "known in nine rows",
        "known in ten rows",
        "a flag, set in ten rows",
        "a flag, absent in ten rows",
        "constant but for nine gaps",
        "a repetition",
        "a shifted repetition",
        "one glitch",
    ],
)
def test_a_number_is_kept_if_it_says_something_new(column, kept):
    assert ("press.t.last" in names(table(**{"press.t.last": column}))) == kept


def test_minus_zero_and_another_width_make_no_new_column():
    a = np.where(np.arange(60) % 2 == 0, 0.0, 5.0)
    X = table(**{"a": a, "b": np.where(a == 0, -0.0, a), "c": a.astype(int), "d": a > 0})
    assert names(X) == ["press.force.last", "a", "d"]


def test_values_keep_their_size_and_their_gaps_and_infinite_is_a_gap():
    X = table(**{"press.t.last": np.arange(60.0)[::-1]})
    X.loc[:2, "press.t.last"] = [1e30, np.nan, np.inf]
    out = PlantColumns().fit_transform(X, labels())
    assert out.dtype == np.float32
    assert out[0, 1] == np.float32(1e30)
    assert np.isnan(out[1:3, 1]).all()


def test_a_text_of_few_categories_becomes_an_indicator_of_each_that_is_frequent():
    X = table(**{"mill.machine": pd.Series(["M1"] * 40 + ["M2"] * 9 + [None] * 11, dtype="str")})
    columns = PlantColumns().fit(X, labels())
    assert columns.get_feature_names_out().tolist() == ["press.force.last", "mill.machine=", "mill.machine=M1"]
    new = pd.DataFrame({"mill.machine": ["M1", "M2", "M9", None], "press.force.last": 0.0})
    assert columns.transform(new)[:, 1:].tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]


def many(n=1000):
    code = np.arange(n) % 50
    return table(n, **{"melt.lot": pd.Series([f"L{c}" for c in code], dtype="str")}), code


def test_a_text_of_many_categories_becomes_their_rate_shrunk_by_the_weight_of_two_defects():
    X, code = many()
    y = ((code == 3) & (np.arange(1000) < 500)).astype(int)  # 10 defects in lot 3 of 20 units: base rate 1 / 100
    columns = PlantColumns().fit(X, y)
    out = columns.transform(pd.DataFrame({"press.force.last": 0.0, "melt.lot": ["L3", "L4", "L99", None]}))[:, 1]
    prior = 2 / (1 / 100)
    expected = [(10 + 2) / (20 + prior), (0 + 2) / (20 + prior), 1 / 100, 1 / 100]
    np.testing.assert_allclose(out, logit(expected), rtol=1e-5)


def test_the_rate_of_a_row_comes_from_the_other_folds():
    X, code = many()
    y = ((code == 3) & (np.arange(1000) < 500)).astype(int)
    rate = PlantColumns().fit_transform(X, y)[:, 1]
    fold = stratified_folds(y, 0)
    for row in (3, 53, 4):
        others = (code == code[row]) & (fold != fold[row])
        expected = logit((y[others].sum() + 2) / (others.sum() + 2 * 100))
        assert rate[row] == pytest.approx(expected, rel=1e-5)


def test_what_is_random_about_rates_does_not_predict_the_label():
    rng = np.random.default_rng(0)
    X = table(4000, **{"melt.lot": pd.Series(rng.integers(0, 1000, 4000).astype(str), dtype="str")})
    y = (rng.random(4000) < 0.1).astype(int)
    rate = PlantColumns().fit_transform(X, y)[:, 1]
    assert abs(np.corrcoef(rate, y)[0, 1]) < 0.06
    assert np.corrcoef(PlantColumns().fit(X, y).transform(X)[:, 1], y)[0, 1] > 0.3  # without cross-fitting it does


def test_folds_hold_equal_shares_of_each_class():
    y = np.array([1] * 23 + [0] * 100)
    fold = stratified_folds(y, 0)
    assert np.bincount(fold[y == 1]).tolist() == [5, 5, 5, 4, 4]
    assert np.bincount(fold[y == 0]).tolist() == [20] * 5


def test_columns_are_found_by_name_and_those_unused_may_be_missing():
    X = table(**{"oven.on.last": 1.0, "mill.machine": ["M1", "M2"] * 30})
    columns = PlantColumns().fit(X, labels())
    expected = columns.transform(X)
    assert (columns.transform(X[["mill.machine", "press.force.last"]].assign(extra=2.0)) == expected).all()
    with pytest.raises(ValueError, match=r"columns are missing: press\.force\.last, mill\.machine"):
        columns.transform(X[["oven.on.last"]])


def test_columns_to_ignore_are_left_out():
    X = table(**{"mill.machine": ["M1", "M2"] * 30})
    columns = PlantColumns(ignore=("mill.machine", "of another table")).fit(X, labels())
    assert columns.get_feature_names_out().tolist() == ["press.force.last"]


def test_a_table_that_says_nothing_gives_a_column_of_zeros():
    X = pd.DataFrame({"press.force.last": [1.0] * 60})
    assert PlantColumns().fit_transform(X, labels()).tolist() == [[0.0]] * 60


def test_a_name_found_twice_is_refused():
    X = pd.concat([table(), table()], axis=1)
    with pytest.raises(ValueError, match=r"names found twice: press\.force\.last. Expected each once"):
        PlantColumns().fit(X, labels())


def test_a_text_where_a_number_was_is_refused():
    columns = PlantColumns().fit(table(), labels())
    with pytest.raises(ValueError, match=r"column press\.force\.last held numbers in training, now: .*'hot'"):
        columns.transform(pd.DataFrame({"press.force.last": ["hot"]}))


def test_an_array_has_its_positions_as_names():
    assert as_frame(np.zeros((2, 3))).columns.tolist() == [0, 1, 2]


def test_filling_and_scaling_keep_the_order_of_outliers_and_the_differences_of_all_others():
    normal = np.random.default_rng(0).normal(50.0, 2.0, 2000)
    values = np.concatenate([normal, [65535.0, 1e9, np.nan, -40.0, -900.0]])[:, None]
    out = FilledAndScaled().fit_transform(values)[:, 0]
    assert out.mean() == pytest.approx(0.0, abs=1e-9)
    assert out.std() == pytest.approx(1.0, abs=1e-4)
    assert out[2004] < out[2003] < out[:2000].min() < out[2002] < out[:2000].max() < out[2000] < out[2001]
    assert np.corrcoef(out[:2000], normal)[0, 1] == pytest.approx(1.0)
    assert out[:2000].std() > 0.7  # by standard deviations 1e-7
    assert FilledAndScaled(usual=5.0).fit_transform(values)[:2000].std() > 0.9


def test_rare_codes_leave_a_logistic_regression_what_it_knew():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(6000, 8))).add_prefix("press.t")
    y = (rng.random(6000) < 1 / (1 + np.exp(4 - X @ np.linspace(0.2, 0.9, 8)))).astype(int)
    coded = X.mask(rng.random(X.shape) < 0.002, 65535.0)
    losses = [
        log_loss(y[4000:], make_recipe("logistic").fit(table[:4000], y[:4000]).predict_proba(table[4000:]))
        for table in (X, coded)
    ]
    assert losses[1] < losses[0] + 0.02  # with standard deviations alone it was 0.044


def test_a_column_without_values_is_zero():
    assert FilledAndScaled().fit_transform(np.array([[np.nan, 1.0], [np.nan, 2.0]]))[:, 0].tolist() == [0.0, 0.0]


def test_later_values_beyond_those_that_were_learnt_from_count_as_the_furthest():
    scale = FilledAndScaled().fit(np.array([[0.0], [2e-3]]))  # mean and deviation 0.001
    largest = float(np.finfo(np.float32).max)
    out = scale.transform([[largest], [-largest], [1e-3], [np.nan]])
    assert out[:, 0].tolist() == pytest.approx([1.0, -1.0, 0.0, 0.0])


def test_a_set_point_that_moves_far_beyond_its_noise_does_not_outweigh_what_was_learnt():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(1200, 6))).add_prefix("press.t").assign(oven=rng.normal(180.0, 0.05, 1200))
    y = (rng.random(1200) < 1 / (1 + np.exp(3 - 1.5 * X["press.t0"]))).astype(int)
    model = make_recipe("logistic").fit(X[:800], y[:800])
    moved = log_loss(y[800:], model.predict_proba(X[800:].assign(oven=185.0)))
    assert moved < log_loss(y[800:], model.predict_proba(X[800:])) + 0.03


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda x: x.astype(object), lambda x: x),
        (
            lambda x: x.astype(object).where(np.arange(len(x)) % 20 > 0, "n/a"),
            lambda x: x.where(np.arange(len(x)) % 20 > 0),
        ),
        (lambda x: x.map(Decimal), lambda x: x),
    ],
    ids=["objects", "with n/a", "decimal"],
)
def test_numbers_among_python_objects_are_numbers(values, expected):
    x = pd.Series(np.round(np.random.default_rng(0).normal(size=60), 3))
    columns = PlantColumns().fit(pd.DataFrame({"press.t.last": values(x)}), labels())
    out = columns.transform(pd.DataFrame({"press.t.last": values(x)}))
    np.testing.assert_allclose(out[:, 0], expected(x).astype("float32"))


def test_whole_numbers_have_one_name_as_categories_whether_one_is_missing_or_not():
    codes = pd.Series(np.arange(60) % 3).astype("category")
    columns = PlantColumns().fit(pd.DataFrame({"press.code": codes}), labels())
    night = pd.DataFrame({"press.code": [0.0, 2.0, np.nan]})
    assert columns.transform(night).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_neighbours_far_from_zero_stay_apart():
    seconds = 1.7e9 + 60.0 * np.arange(60)
    out = PlantColumns().fit(pd.DataFrame({"at": seconds}), labels()).transform(pd.DataFrame({"at": seconds}))
    assert np.diff(out[:, 0]).tolist() == [60.0] * 59


def test_times_are_refused_in_training_and_in_columns_in_use():
    X = table()
    with pytest.raises(ValueError, match=r"columns at hold times\. Expected numbers or texts"):
        PlantColumns().fit(X.assign(at=pd.Timestamp("2026-01-01")), labels())
    columns = PlantColumns().fit(X, labels())
    expected = columns.transform(X)
    assert (columns.transform(X.assign(at=pd.Timestamp("2026-01-01"))) == expected).all()
    assert np.isnan(columns.transform(X.assign(**{"press.force.last": pd.NaT}))[:, 0]).all()
    with pytest.raises(ValueError, match=r"press\.force\.last held numbers in training, now: Timestamp"):
        columns.transform(X.assign(**{"press.force.last": pd.Timestamp("2026-01-01")}))


@pytest.mark.parametrize("glitch", [3.4028235e38, -3.4028235e38, 1e37])
def test_a_glitch_stops_no_forest_and_leaves_the_scores_of_the_others(glitch):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(5.0, 0.01, 200), rng.normal(size=200)]).astype("float32")
    forest = make_pipeline(FilledAndScaled(), ExtraTreesClassifier(5, random_state=0)).fit(X, X[:, 1] > 1)
    night = X[:10].copy()
    night[3, 0] = np.float32(glitch)
    score, others = forest.predict_proba(night), np.arange(10) != 3
    assert np.isfinite(score[3]).all()
    assert (score[others] == forest.predict_proba(X[:10])[others]).all()
