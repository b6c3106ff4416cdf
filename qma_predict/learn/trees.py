"""Ensembles whose trees look at a share of the columns each, but at no fewer than some where a table is narrow.

In a wide table a share of a third keeps the few columns that tell something from being hidden by those that do not.
In a table of six columns it leaves two, and nothing that takes three of them together is ever found.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.validation import check_is_fitted


class BoostedTrees(ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees by LightGBM; `colsample_bytree` of the columns each, or ten if that is fewer.

    The parameters are LightGBM's of the same names. A tree sees `subsample` of the rows; the same data give the same
    trees. Without a `min_child_weight` of about one, a leaf of sure goods, however many, is split on noise.

    Attributes
    ----------
    classes_ : numpy.ndarray
    model_ : lightgbm.LGBMClassifier
    """

    def __init__(
        self,
        n_estimators: int = 400,
        learning_rate: float = 0.02,
        num_leaves: int = 4,
        colsample_bytree: float = 0.3,
        min_child_samples: int = 20,
        min_child_weight: float = 1.0,
        subsample: float = 0.8,
        reg_lambda: float = 10.0,
        max_bin: int = 127,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.colsample_bytree = colsample_bytree
        self.min_child_samples = min_child_samples
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "BoostedTrees":
        """Fit on rows of numbers, of which some may be NaN."""
        from lightgbm import LGBMClassifier  # 1.6 s to import

        share = max(self.colsample_bytree, min(1.0, 10 / X.shape[1]))
        self.model_ = LGBMClassifier(
            **self.get_params() | {"colsample_bytree": share},
            subsample_freq=1,
            deterministic=True,
            force_row_wise=True,  # else the choice of layout, and so the rounding, depends on timing
            n_jobs=1,  # two threads halve the time on an idle machine, and take 50 times as long on a busy one
            verbosity=-1,
        ).fit(X, y, sample_weight=sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        return np.asarray(self.model_.predict_proba(X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class RandomTrees(ExtraTreesClassifier):
    """Extremely randomised trees; `max_features` of the columns at each split, or five if that is fewer."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "RandomTrees":
        """Fit as `ExtraTreesClassifier` does."""
        own = self.get_params()["max_features"]
        self.max_features = max(own, min(1.0, 5 / X.shape[1]))
        try:
            return super().fit(X, y, sample_weight)
        finally:
            self.max_features = own
