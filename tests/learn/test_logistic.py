import numpy as np
import pytest
from scipy.special import expit, logit

from qma_predict.learn.logistic import RidgeInTime


def rows(n, columns, effect, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    return X, (rng.random(n) < expit(-2.0 + effect * X[:, 0])).astype(int)


def test_noise_gets_the_strongest_penalty_and_an_effect_a_weaker_one():
    assert RidgeInTime().fit(*rows(2000, 50, effect=0.0)).C_ == 0.01
    assert RidgeInTime().fit(*rows(2000, 5, effect=2.0)).C_ >= 1.0


def test_too_few_defects_to_choose_get_the_strongest_penalty():
    X, _ = rows(100, 5, effect=2.0)
    y = np.zeros(100, dtype=int)
    y[:60:10] = 1
    y[-4:] = 1
    assert RidgeInTime().fit(X, y).C_ == 0.01


def test_effects_are_found():
    X, y = rows(20_000, 3, effect=1.5)
    model = RidgeInTime().fit(X, y)
    assert model.coef_ == pytest.approx([1.5, 0.0, 0.0], abs=0.1)
    assert model.intercept_ == pytest.approx(-2.0, abs=0.1)


def test_what_is_off_target_to_either_side_bends_the_log_odds():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 8))
    y = (rng.random(4000) < expit(-4.5 + 0.9 * (X[:, :4] ** 2).sum(axis=1))).astype(int)
    model = RidgeInTime().fit(X, y)
    bends = model.coef_[8:] / np.sqrt(2.0)
    assert bends[:4] == pytest.approx([0.9] * 4, abs=0.2)
    assert np.abs([*model.coef_[:8], *bends[4:]]).max() < 0.2
    later = rng.normal(size=(4000, 8))
    true = -4.5 + 0.9 * (np.minimum(later[:, :4] ** 2, 9.0)).sum(axis=1)
    assert np.corrcoef(logit(model.predict_proba(later)[:, 1]), true)[0, 1] > 0.97


def test_log_odds_stay_straight_where_nothing_shows_that_they_bend():
    shapes = [RidgeInTime().fit(*rows(3000, 10, effect=1.0, seed=seed)).coef_.size for seed in range(10)]
    assert shapes == [10] * 10


def test_a_bend_of_which_the_newer_half_knows_nothing_is_left_out():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(4000, 8))
    bent = 2.0 * (X[:, 0] ** 2) * (np.arange(4000) < 2000)
    y = (rng.random(4000) < expit(-3.0 + bent)).astype(int)
    assert RidgeInTime().fit(X, y).coef_.shape == (8,)


def test_few_defects_keep_the_log_odds_straight():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 40))
    y = np.tile([1] + [0] * 9, 20)
    assert RidgeInTime().fit(X, y).coef_.shape == (40,)


def test_a_row_has_the_same_score_to_the_bit_alone_or_among_others():
    X, y = rows(1500, 301, effect=1.0)
    y = y | (np.abs(X[:, 1]) > 1.3)
    model = RidgeInTime().fit(X, y)
    assert model.coef_.size == 602
    whole = model.predict_proba(X)
    assert (np.vstack([model.predict_proba(X[[i]]) for i in range(100)]) == whole[:100]).all()
    assert (model.predict_proba(np.asfortranarray(X)[::-1])[::-1] == whole).all()


def test_weights_count_as_rows():
    X, y = rows(400, 3, effect=1.0)
    weight = np.where(np.arange(400) % 2 == 0, 2.0, 0.0)
    model = RidgeInTime(spreads=(1.0,)).fit(X, y, sample_weight=weight)
    twice = np.repeat(np.arange(0, 400, 2), 2)
    expected = RidgeInTime(spreads=(1.0,)).fit(X[twice], y[twice])
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-3)
