"""Ensembles whose trees look at a share of the columns each, but at no fewer than some where a table is narrow.

In a wide table a share of a third keeps the few columns that tell something from being hidden by those that do not.
In a table of six columns it leaves two, and nothing that takes three of them together is ever found.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier


class BoostedTrees(LGBMClassifier):
    """LightGBM's trees; `colsample_bytree` of the columns each, or ten if that is fewer."""

    def fit(self, X: Any, y: Any, *args: Any, **options: Any) -> "BoostedTrees":
        """Fit as `LGBMClassifier` does."""
        with _at_least(self, "colsample_bytree", columns=10, of=X.shape[1]):
            return super().fit(X, y, *args, **options)


class RandomTrees(ExtraTreesClassifier):
    """Extremely randomised trees; `max_features` of the columns at each split, or five if that is fewer."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "RandomTrees":
        """Fit as `ExtraTreesClassifier` does."""
        with _at_least(self, "max_features", columns=5, of=X.shape[1]):
            return super().fit(X, y, sample_weight)


@contextmanager
def _at_least(trees: BaseEstimator, share: str, *, columns: int, of: int) -> Iterator[None]:
    """Raise a share of the columns, while trees are fitted, to so many of them."""
    own = getattr(trees, share)
    setattr(trees, share, max(own, min(1.0, columns / of)))
    try:
        yield
    finally:
        setattr(trees, share, own)
