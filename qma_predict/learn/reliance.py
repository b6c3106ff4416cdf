"""What the winner of a training relies on: which groups of features its ranking needs, in which blocks, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from threadpoolctl import threadpool_limits

from qma_predict.errors import NotEnoughData
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.explanations import REST, partial_dependence
from qma_predict.learn.importance import Block, importance, most_moving
from qma_predict.learn.reference import unfitted
from qma_predict.learn.training import Training

BLOCKS = 4
"""The newest blocks of the backtest at most."""

GROUPS = 8
"""Groups that are told apart; the others are one, `explanations.REST`."""

CURVES = 6
"""Groups whose dependence is computed at most."""

FEW = 5
"""With fewer defects a block says nothing."""

_LEARNT, _JUDGED = (300, 3_000), (100, 2_000)  # defects and good units
_REPEATS = 2
_POINTS, _ROWS = 10, 100


@dataclass(frozen=True)
class Reliance:
    """What the winner of a training relies on.

    Attributes
    ----------
    groups : DataFrame
        As `importance` gives it, for those that move the risk most in any block and `REST` for all others, and
        ``features``, how many each has.
    blocks : int
        How many blocks of the backtest it is over, the newest of those with `FEW` defects and good units.
    curves : mapping of str to DataFrame
        For the groups that lost most the `partial_dependence` of the feature that the group is named after: of the
        winner, over units of the newest of the blocks.
    members : mapping of str to list of str
        Features of each group that is told apart.
    """

    groups: pd.DataFrame
    blocks: int
    curves: Mapping[str, pd.DataFrame]
    members: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def chance(self) -> float:
        """What a block may lose by chance: as much as the block gains by which most is gained.

        References
        ----------
        Janitza, S. et al. (2018). A computationally fast variable importance test for random forests for
        high-dimensional data. Advances in Data Analysis and Classification 12: losses below zero show how far those
        of groups that do not matter reach.
        """
        return float(max(0.0, -self._told["lowest"].min())) if len(self._told) else 0.0

    @property
    def stable(self) -> list[str]:
        """Groups that the ranking loses by, beyond `chance`, in every block."""
        return list(self._told.loc[self._told["lowest"] > self.chance, "group"])

    @property
    def unstable(self) -> list[str]:
        """Groups that it loses by, beyond `chance`, in some blocks only."""
        beyond = (self._told["highest"] > self.chance) & (self._told["lowest"] <= self.chance)
        return list(self._told.loc[beyond, "group"])

    @property
    def _told(self) -> pd.DataFrame:
        return self.groups[self.groups["group"] != REST]


NOTHING = Reliance(
    pd.DataFrame(columns=["group", "loss", "lowest", "highest", "blocks", "features"]), blocks=0, curves={}
)


def reliance(dataset: Dataset, training: Training, groups: pd.Series) -> Reliance:
    """Return what the winner of a training relies on, at the cost of a few small fits.

    The backtest keeps no models. So the winner's recipe is fitted again before each block, uncalibrated and on at
    most 300 defects and 3,000 good units by their labels as known then, and ranks units of the block against what
    became of them, as known at the dataset's `as_of`. Its features, their groups and what its members weigh are the
    winner's own, of today: this tells in which blocks such a model relies on what, and not how well one did that was
    made then, which is the backtest's to say.

    Of a block at most 100 defects and 2,000 good units are drawn to be ranked, and each counts as often as the block
    has units of its class for one that was drawn: average precision depends on how many good units there are to a
    defect. Where few of many were drawn it is somewhat high, since good units that rank beside the first defects are
    mostly not among them: in simulated blocks of 20,000 units with 158 defects 0.068 on average, for 0.057.

    Parameters
    ----------
    dataset : Dataset
    training : Training
        On `dataset`.
    groups : Series of str, indexed by feature
        See `feature_groups`.

    Returns
    -------
    Reliance
        Without blocks where none has `FEW` defects and good units, or nothing could be learnt before them.
    """
    model, seed = training.models[training.winner], dataset.line.learning.seed
    rng = np.random.default_rng(seed)
    spans = _blocks(dataset, training)
    learnt = [_some(before, *_LEARNT, rng) for before, _outcome in spans]
    X = dataset.X[model.features]
    with threadpool_limits(1):
        fits = Parallel(n_jobs=-1, prefer="threads")(
            delayed(_fitted)(unfitted(model.classifier), X.loc[y.index], y) for y in learnt
        )
    judged = [(fit, outcome) for fit, (_before, outcome) in zip(fits, spans, strict=True) if fit is not None]
    if not judged:
        return NOTHING
    blocks = [_drawn(fit, X, outcome, rng) for fit, outcome in judged]
    told = most_moving(blocks, groups, GROUPS, random_state=seed)
    of = groups.reindex(X.columns).where(lambda name: name.isin(told), REST)
    found = importance(blocks, of, repeats=_REPEATS, random_state=seed)
    found["features"] = found["group"].map(of.value_counts())
    lost = [name for name in found.loc[found["loss"] > 0, "group"] if name != REST]
    newest = X.loc[judged[-1][1].index]  # not those drawn, of which more are defects than in the plant
    curves = {
        name: partial_dependence(model.predict, newest, name, points=_POINTS, rows=_ROWS, random_state=seed)
        for name in lost[:CURVES]
    }
    members = {name: list(of.index[of == name]) for name in told}
    return Reliance(found, len(blocks), curves, members)


def _blocks(dataset: Dataset, training: Training) -> list[tuple[pd.Series, pd.Series]]:
    """Of each block, oldest first: labels in time order of what was old enough before it, as known then; outcomes."""
    rows = training.backtest.predictions
    rows = rows[(rows["contestant"] == training.winner) & rows["outcome"].notna()]
    origins = training.backtest.table.groupby("block")["origin"].first()
    order = pd.Index(dataset.points.reset_index().sort_values(["cutoff", "unit_id"])["unit_id"])
    mature = dataset.points["cutoff"].reindex(order) + pd.Timedelta(dataset.line.gate.maturity)
    found = []
    for block, judged in rows.groupby("block"):
        outcome = judged.set_index("unit_id")["outcome"].astype(int)
        old = dataset.apart(order[(mature <= origins[block]).to_numpy()], outcome.index)
        before = dataset.labels_at(origins[block]).reindex(old).dropna().astype(int)
        if min((outcome == one).sum() for one in (0, 1)) >= FEW and before.nunique() == 2:
            found.append((before, outcome))
    return found[-BLOCKS:]


def _drawn(model: BaseEstimator, X: pd.DataFrame, outcome: pd.Series, rng: np.random.Generator) -> Block:
    y = _some(outcome, *_JUDGED, rng)
    stands_for = outcome.value_counts() / y.value_counts()
    return Block(partial(_defect, model), X.loc[y.index], y, y.map(stands_for))


def _some(y: pd.Series, defects: int, goods: int, rng: np.random.Generator) -> pd.Series:
    """At most so many of each class, drawn at random, in their order."""
    of_class = [np.flatnonzero(y.to_numpy() == one) for one in (1, 0)]
    drawn = [rng.permutation(rows)[:most] for rows, most in zip(of_class, (defects, goods), strict=True)]
    return y.iloc[np.sort(np.concatenate(drawn))]


def _defect(model: BaseEstimator, rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(model.predict_proba(rows)[:, 1])


def _fitted(estimator: BaseEstimator, X: pd.DataFrame, y: pd.Series) -> BaseEstimator | None:
    try:
        return clone(estimator).fit(X, y)
    except NotEnoughData:
        return None
