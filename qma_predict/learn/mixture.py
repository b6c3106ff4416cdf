"""How much each of several models counts in the mean of their probabilities."""

from collections.abc import Sequence

import numpy as np

from qma_predict.learn.base_rate import weights_of

PRIOR = 3.0
"""Rows, for each model, that are taken to have been foretold best by it before any is seen."""

_SMALLEST = 1e-6
_STEPS = 500
_CONVERGED = 1e-7


def mixture_weights(scores: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Return the weights of a mean of probabilities, near equal unless rows show that one model knows more.

    They maximise the likelihood of the labels under the mean, times ``prod(weight ** PRIOR)``, a Dirichlet prior: a
    concave problem, solved by expectation maximisation. With few defects nothing moves; only models that foretell
    many rows clearly better gain weight, and none loses all.

    Parameters
    ----------
    scores : numpy.ndarray, shape (n_models, n_rows)
        P(defect) by models that have not seen the rows.
    y : numpy.ndarray of 0 and 1, shape (n_rows,)
    sample_weight : numpy.ndarray, shape (n_rows,), optional

    Returns
    -------
    numpy.ndarray, shape (n_models,)
        Their sum is 1.

    References
    ----------
    Wolpert, D. (1992). Stacked generalization. Neural Networks 5; the mixture and its prior are the addition.

    Examples
    --------
    A model that knows beside one that knows nothing, by few rows and by many:

    >>> knows, guesses, y = np.tile([0.9, 0.1], 5), np.full(10, 0.5), np.tile([1, 0], 5)
    >>> mixture_weights(np.stack([knows, guesses]), y).round(2)
    array([0.69, 0.31])
    >>> mixture_weights(np.stack([np.tile(knows, 100), np.tile(guesses, 100)]), np.tile(y, 100)).round(2)
    array([0.99, 0.01])
    """
    weight = weights_of(sample_weight, len(y))
    likelihood = np.maximum(np.where(np.asarray(y) == 1, scores, 1.0 - scores), _SMALLEST)
    shares = np.full(len(scores), 1.0 / len(scores))
    for _ in range(_STEPS):
        told = likelihood * shares[:, None]
        gained = (told / told.sum(axis=0) * weight).sum(axis=1) + PRIOR
        before, shares = shares, gained / gained.sum()
        if np.abs(shares - before).max() < _CONVERGED:
            break
    return shares


def weighted_mean(weights: np.ndarray, scores: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return the mean of the models' scores, shape (n_rows,); a row's does not depend on the others, to the bit."""
    return np.sum([weight * score for weight, score in zip(weights, scores, strict=True)], axis=0)
