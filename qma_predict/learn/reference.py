"""What a night needs of the training to explain its list: good units to compare with, and fits to check against."""

from collections.abc import Iterator
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from qma_predict.data.contract import TABLES
from qma_predict.data.lake import History, newest
from qma_predict.learn.blend import CalibratedBlend
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.explanations import feature_groups
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import Training

SIBLINGS = 200
"""Good units of a product at most."""

RECENT = pd.Timedelta("28D")
"""Good units are of so long before the newest one: older set points and tools would be no comparison."""

FEW = 20
"""With fewer good units in `RECENT` all count; with fewer of a product, those of all products are compared with."""

PAIRS = 2
"""Pairs of refits, each on one half of the units."""

_OF_THE_OTHER = 20


@dataclass(frozen=True)
class Reference:
    """Units of the training that tonight's are compared with, and further fits of the model's recipe.

    Nothing in it was recorded after the `as_of` of the training.

    Attributes
    ----------
    siblings : DataFrame, shape (n_siblings, n_features), indexed by unit_id
        Features of units that turned out good, of the last weeks of the training.
    products : Series of str, shape (n_siblings,), indexed by unit_id
        Their products; missing where none is known.
    groups : Series of str, shape (n_features,), indexed by feature
        Group of each feature: those that move together (`feature_groups`).
    refits : tuple of RiskModel
        The recipe fitted on halves of the units; their scores rank, but are no probabilities.
    past : DataFrame, shape (n_scored, 3)
        ``unit_id``, ``night`` (business date) and ``score``: out-of-sample scores of earlier units, by the backtest.
    """

    siblings: pd.DataFrame
    products: pd.Series
    groups: pd.Series
    refits: tuple[RiskModel, ...]
    past: pd.DataFrame

    def siblings_of(self, product: object) -> tuple[pd.DataFrame, bool]:
        """Good units to compare a unit of a product with, and whether they are of this product alone.

        They are of all products where fewer than `FEW` are of this one.

        Examples
        --------
        >>> X = pd.DataFrame({"press.force.last": np.arange(30.0)}, index=[f"u{n}" for n in range(30)])
        >>> products = pd.Series(["A"] * 25 + ["B"] * 5, index=X.index)
        >>> reference = Reference(X, products, pd.Series({"press.force.last": "press.force.last"}), (), pd.DataFrame())
        >>> [(len(rows), alone) for rows, alone in map(reference.siblings_of, ["A", "B"])]
        [(25, True), (30, False)]
        """
        same = (self.products == product).fillna(False).to_numpy(dtype=bool)
        return (self.siblings[same], True) if same.sum() >= FEW else (self.siblings, False)


def make_reference(dataset: Dataset, training: Training) -> Reference:
    """What tonight's units are to be compared with, of a dataset and the training on it.

    Parameters
    ----------
    dataset : Dataset
        On which the training was.
    training : Training

    Returns
    -------
    Reference
        Of the training's winner. The same dataset and training give the same.

    Notes
    -----
    The refits show whether a reason depends on a few units. Each is fitted on one half of the defects and of the
    good units, `PAIRS` times two that share none (complementary pairs, Shah and Samworth 2013); of the larger class
    at most 20 for each of the smaller, which leaves the log-odds' dependence on the features as it is (Prentice and
    Pyke 1979) and costs a fraction of a training. Members are not calibrated, and weights of units are left out.

    References
    ----------
    Shah, R. and Samworth, R. (2013). Variable selection with error control: another look at stability selection.
    Journal of the Royal Statistical Society B 75, 55-80.
    Prentice, R. and Pyke, R. (1979). Logistic disease incidence models and case-control studies. Biometrika 66.
    """
    model, seed = training.models[training.winner], dataset.line.learning.seed
    order = dataset.points.reset_index().sort_values(["cutoff", "unit_id"])["unit_id"]
    y = dataset.y.reindex(order).dropna().astype(int)
    X = dataset.X.loc[y.index, model.features]
    siblings, products = _siblings(dataset, y, seed)
    estimator = unfitted(model.classifier)
    with threadpool_limits(1):
        fits = Parallel(n_jobs=-1, prefer="threads")(
            delayed(clone(estimator).fit)(X.iloc[rows], y.iloc[rows]) for rows in _halves(y.to_numpy(), seed)
        )
    rows = training.backtest.predictions
    past = rows.loc[rows["contestant"] == training.winner, ["unit_id", "night", "score"]].reset_index(drop=True)
    refits = tuple(RiskModel(fitted, model.features, model.texts) for fitted in fits)
    return Reference(X.loc[siblings], products, feature_groups(X, random_state=seed), refits, past)


def unfitted(classifier: BaseEstimator) -> BaseEstimator:
    """Return an unfitted classifier that ranks as the recipe of a fitted one: members and preparation, uncalibrated."""
    if not isinstance(classifier, CalibratedBlend):
        return clone(classifier)
    mean = VotingClassifier(classifier.members, voting="soft", weights=classifier.weights_.tolist())
    return Pipeline([("prepare", clone(classifier.prepare_)), ("mean", mean)])


def _siblings(dataset: Dataset, y: pd.Series, seed: int) -> tuple[pd.Index, pd.Series]:
    """Units that turned out good in the last weeks, at most `SIBLINGS` a product, and their products."""
    good = y.index[(y == 0).to_numpy()]
    cutoff = dataset.points.loc[good, "cutoff"]
    recent = good[(cutoff >= cutoff.max() - RECENT).to_numpy()]
    good = recent if len(recent) >= FEW else good
    products = _products(dataset.history, good)
    drawn = products.sample(frac=1.0, random_state=seed)
    chosen = drawn.index[(drawn.groupby(drawn.fillna("")).cumcount() < SIBLINGS).to_numpy()]
    return chosen, products.loc[chosen]


def _products(history: History, units: pd.Index) -> pd.Series:
    """Product of each unit as known at the history's `as_of`, shape (n_units,), indexed by unit_id."""
    wanted = ibis.memtable(pd.DataFrame({"unit_id": pd.array(units, dtype="str")}))
    known = newest(history.all_versions("units").semi_join(wanted, "unit_id"), TABLES["units"].key)
    found = known.select(_.unit_id, _["product"]).to_pandas().set_index("unit_id")["product"]
    return found.reindex(units).astype("str")


def _halves(labels: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Rows of each half, in their order: `PAIRS` times two that share none, as far as a class has two rows."""
    rng = np.random.default_rng(seed)
    most = _OF_THE_OTHER * -(-min((labels == one).sum() for one in (0, 1)) // 2)
    for _pair in range(PAIRS):
        shuffled = [rng.permutation(np.flatnonzero(labels == one)) for one in (0, 1)]
        for half in (0, 1):
            rows = [some[half::2] if len(some) > 1 else some for some in shuffled]
            yield np.sort(np.concatenate([some[:most] for some in rows]))
