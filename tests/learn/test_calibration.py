import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from qma_predict.errors import NotEnoughData
from qma_predict.learn.calibration import CalibratedOnLater, apply_sigmoid, fit_shrunk_sigmoid


class FirstColumn(ClassifierMixin, BaseEstimator):
    """Gives its first column as the probability; remembers what it was fitted on."""

    def fit(self, X, y):
        self.seen_ = np.asarray(X).copy()
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def test_no_rows_leave_the_score_as_it_is():
    assert fit_shrunk_sigmoid([], []) == (1.0, 0.0)


def test_a_slope_and_an_offset_that_are_true_are_found_with_many_defects():
    rng = np.random.default_rng(0)
    z = rng.normal(-2.0, 1.5, 200_000)
    y = rng.random(z.size) < expit(0.6 * z + 0.5)
    slope, offset = fit_shrunk_sigmoid(expit(z), y)
    assert slope == pytest.approx(0.6, abs=0.02)
    assert offset == pytest.approx(0.5, abs=0.05)


def test_equal_scores_move_by_what_the_penalised_likelihood_says():
    # All z = 0, slope does not matter. Shift s solves 40 * (expit(s) - 1/4) + 20 * s = 0.
    slope, offset = fit_shrunk_sigmoid([0.5] * 40, [1] * 10 + [0] * 30, strength=20.0)
    assert slope == pytest.approx(1.0)
    assert 40 * (expit(offset) - 0.25) + 20 * offset == pytest.approx(0.0, abs=1e-4)
    assert logit(0.25) < offset < 0


def test_three_defects_hardly_move_it_and_three_hundred_do():
    def moved(times):
        slope, offset = fit_shrunk_sigmoid([0.02] * 100 * times, ([0] * 97 + [1] * 3) * times)
        return apply_sigmoid([0.02], slope, offset)[0]

    assert 0.02 < moved(1) < 0.021
    assert 0.0285 < moved(100) < 0.03


def test_scores_that_rank_backwards_keep_their_order():
    rng = np.random.default_rng(0)
    z = rng.normal(size=5000)
    y = rng.random(5000) < expit(-2.0 * z)
    slope, offset = fit_shrunk_sigmoid(expit(z), y)
    assert slope > 0
    assert (np.diff(apply_sigmoid(np.sort(expit(z)), slope, offset)) > 0).all()


@settings(deadline=None, max_examples=50)  # a busy machine is no error
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.floats(0.1, 1000))
def test_ranking_is_never_reversed(rows, strength):
    score, y = np.array(rows).T
    slope, offset = fit_shrunk_sigmoid(score, y, strength=strength)
    calibrated = apply_sigmoid(np.sort(score), slope, offset)
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


@pytest.mark.parametrize("score", [[-0.1, 0.5], [0.5, 1.1], [np.nan, 0.5]])
def test_scores_that_are_not_probabilities_are_refused(score):
    with pytest.raises(ValueError, match="probabilities within"):
        fit_shrunk_sigmoid(score, [0, 1])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 scores but 1 labels"):
        fit_shrunk_sigmoid([0.5, 0.5], [1])


def rows(n, later_defects, earlier_defects=5):
    X = np.column_stack([np.linspace(0.1, 0.9, n), np.arange(n)])
    y = np.zeros(n, dtype=int)
    y[:earlier_defects] = 1
    y[n - later_defects :] = 1
    return X, y


def test_the_estimator_sees_only_the_rows_before_those_that_calibrate():
    X, y = rows(100, later_defects=10)
    model = CalibratedOnLater(FirstColumn(), calibration_share=0.2).fit(X, y)
    assert model.estimator_.seen_[:, 1].tolist() == list(range(80))
    assert model.calibrated_on_ == {"rows": 20, "defects": 10}
    assert (model.slope_, model.offset_) == fit_shrunk_sigmoid(X[80:, 0], y[80:])
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], apply_sigmoid(X[:, 0], model.slope_, model.offset_))


@pytest.mark.parametrize(
    ("later_defects", "earlier_defects"), [(9, 5), (11, 5), (10, 0)], ids=["defects", "goods", "earlier"]
)
def test_too_few_of_a_class_fit_on_all_rows_and_leave_the_probabilities(later_defects, earlier_defects):
    X, y = rows(100, later_defects, earlier_defects)
    model = CalibratedOnLater(FirstColumn(), calibration_share=0.2).fit(X, y)
    assert len(model.estimator_.seen_) == 100
    assert model.calibrated_on_ == {"rows": 0, "defects": 0}
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], X[:, 0])


def test_rows_are_predicted_one_by_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = (rng.random(400) < expit(X[:, 0])).astype(int)
    model = CalibratedOnLater(LogisticRegression()).fit(X, y)
    whole = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose([model.predict_proba(row[None])[0, 1] for row in X[:20]], whole[:20])
    assert (model.predict(X) == (whole > 0.5)).all()


def test_one_class_is_not_enough():
    with pytest.raises(NotEnoughData, match="LogisticRegression: found 0 defects and 10 good units"):
        CalibratedOnLater(LogisticRegression()).fit(np.zeros((10, 1)), [0] * 10)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="expected between 0 and 1"):
        CalibratedOnLater(LogisticRegression(), calibration_share=share).fit(np.zeros((10, 1)), [0, 1] * 5)
