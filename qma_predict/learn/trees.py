"""Ensembles whose trees look at a share of the columns each, but at no fewer than some where a table is narrow.

In a wide table a share of a third keeps the few columns that tell something from being hidden by those that do not.
In a table of six columns it leaves two, and nothing that takes three of them together is ever found.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import ExtraTreeClassifier
from sklearn.utils.validation import check_is_fitted

MOST_ROWS = 50_000
"""What one of `RandomTrees` grows on."""


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
    """Extremely randomised trees; `max_features` of the columns at each split, or five if that is fewer.

    Of more than `MOST_ROWS` rows each tree gets so many, drawn at random: leaves of a few rows would else make a model
    that grows with the table, about 0.8 GB for a million rows.
    """

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "RandomTrees":
        """Fit as `ExtraTreesClassifier` does."""
        own = {name: self.get_params()[name] for name in ("max_features", "bootstrap", "max_samples")}
        self.set_params(max_features=max(own["max_features"], min(1.0, 5 / X.shape[1])))
        if len(X) > MOST_ROWS:
            self.set_params(bootstrap=True, max_samples=MOST_ROWS)
        try:
            return super().fit(X, y, sample_weight)
        finally:
            self.set_params(**own)


class SampledTrees(ClassifierMixin, BaseEstimator):
    """Extremely randomised trees that look at every column, each grown on a sample of the rows and filled with all.

    A tree grows on all rows of the rarer class and `ratio` times as many of the other, drawn anew for each tree, in
    proportion no more than `max_rows` together. So it can afford to look at every column at each split, which is
    what finds three columns that make defects only together, and it is not the thousands of goods far from any
    defect that say where it is cut. Then the share of defects in each leaf is counted among all rows, and so is that
    of the plant and not of the sample.

    Parameters
    ----------
    n_estimators : int, default 100
    ratio : float, default 10.0
        Rows of the commoner class for each of the rarer one.
    max_rows : int, default 10000
        What a tree grows on at most: the time of a fit is bounded whatever the length of the table.
    min_samples_leaf : int, default 2
        Of the sample.
    random_state : int, default 0

    Attributes
    ----------
    classes_ : numpy.ndarray
        ``[0, 1]``.
    trees_ : list of sklearn.tree.ExtraTreeClassifier
    """

    def __init__(
        self,
        n_estimators: int = 100,
        ratio: float = 10.0,
        max_rows: int = 10_000,
        min_samples_leaf: int = 2,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.ratio = ratio
        self.max_rows = max_rows
        self.min_samples_leaf = min_samples_leaf
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "SampledTrees":
        """Grow and fill the trees.

        Parameters
        ----------
        X : numpy.ndarray, shape (n_rows, n_columns)
            None missing.
        y : numpy.ndarray of 0 and 1, shape (n_rows,)
            Both are there.
        sample_weight : numpy.ndarray, shape (n_rows,), optional
        """
        values, labels = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=int)
        weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        rng = np.random.default_rng(self.random_state)
        self.classes_ = np.array([0, 1])
        self.trees_ = [self._tree(values, labels, weight, rng) for _ in range(self.n_estimators)]
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2)."""
        check_is_fitted(self)
        values, total = np.asarray(X, dtype=np.float32), np.zeros((len(X), 2))
        for tree in self.trees_:
            total += tree.predict_proba(values)  # in this order for each row: a mean over an axis rounds by its shape
        return total / len(self.trees_)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _tree(
        self, values: np.ndarray, labels: np.ndarray, weight: np.ndarray, rng: np.random.Generator
    ) -> ExtraTreeClassifier:
        rows = self._sample(labels, rng)
        tree = ExtraTreeClassifier(
            min_samples_leaf=self.min_samples_leaf, max_features=None, random_state=int(rng.integers(2**31))
        ).fit(values[rows], labels[rows], sample_weight=weight[rows])
        leaf, count = tree.tree_.apply(values), tree.tree_.node_count
        total = np.bincount(leaf, weight, count)
        filled = total > 0
        share = np.bincount(leaf, weight * labels, count)[filled] / total[filled]
        tree.tree_.value[filled, 0] = np.column_stack([1.0 - share, share])
        return tree

    def _sample(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = np.bincount(labels, minlength=2)
        wanted = np.minimum(counts, np.ceil(self.ratio * counts.min()))
        wanted = np.maximum(1, wanted * min(1.0, self.max_rows / wanted.sum())).astype(int)
        drawn = [rng.choice(np.flatnonzero(labels == label), wanted[label], replace=False) for label in (0, 1)]
        return np.sort(np.concatenate(drawn))
