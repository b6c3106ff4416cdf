import numpy as np
import pytest

from qma_predict.learn.mixture import mixture_weights, weighted_mean


def plant(n, seed=0):
    """True probabilities, those of a model that is too sure, and labels."""
    rng = np.random.default_rng(seed)
    true = rng.beta(1.0, 9.0, n)
    return np.stack([true, np.where(true > 0.1, 0.9, 0.01)]), (rng.random(n) < true).astype(float)


def test_a_model_that_knows_more_gains_with_the_rows_that_show_it():
    gained = [mixture_weights(*plant(n))[0] for n in (10, 100, 1000, 10_000)]
    assert gained == sorted(gained)
    assert gained[0] < 0.75
    assert gained[-1] > 0.95


def test_equal_models_keep_equal_weights_and_no_rows_change_nothing():
    scores, y = plant(500)
    assert mixture_weights(np.stack([scores[0]] * 3), y) == pytest.approx([1 / 3] * 3)
    assert mixture_weights(np.empty((3, 0)), np.empty(0)).tolist() == [1 / 3] * 3


def test_a_weight_of_two_counts_as_the_row_twice():
    scores, y = plant(300)
    twice = mixture_weights(np.tile(scores, 2), np.tile(y, 2))
    assert mixture_weights(scores, y, np.full(300, 2.0)) == pytest.approx(twice)


def test_a_model_that_was_sure_and_wrong_once_still_counts():
    weights = mixture_weights(np.array([[0.0, 0.1, 0.1], [0.1, 0.1, 0.1]]), np.array([1.0, 0.0, 0.0]))
    assert 0.4 < weights[0] < 0.5


def test_the_mean_is_by_the_weights():
    assert weighted_mean(np.array([0.25, 0.75]), [np.array([1.0, 0.0]), np.array([0.0, 1.0])]).tolist() == [0.25, 0.75]
