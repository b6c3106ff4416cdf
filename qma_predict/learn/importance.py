"""What a recipe relies on, and whether it does so in every block of time."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qma_predict.learn.explanations import Predict, log_odds
from qma_predict.learn.metrics import average_precision

_ROWS_AT_ONCE = 50_000
_LOOKED_AT, _OF_A_CLASS = 100_000, (20, 60)  # by the first look: in all, and of a class of a block


class Block(NamedTuple):
    """Units of a span of time, and a model that was fitted before it.

    Attributes
    ----------
    predict : callable
        The model's P(defect), of a frame as `X`.
    X : DataFrame, shape (n_units, n_features)
        Features of later units, which it has not seen.
    outcome : array-like, shape (n_units,)
        What became of them: 1 defect, 0 good.
    weight : array-like of float, shape (n_units,), optional
        How many units of the span each stands for, where only some were drawn; 1 each by default.
    """

    predict: Predict
    X: pd.DataFrame
    outcome: npt.ArrayLike
    weight: npt.ArrayLike | None = None


def importance(
    blocks: Sequence[Block], groups: Mapping[str, str] | pd.Series, *, repeats: int = 3, random_state: int = 0
) -> pd.DataFrame:
    """How much worse later units are ranked when the values of a group of features are dealt out anew among them.

    Parameters
    ----------
    blocks : sequence of Block
        A recipe fitted at successive origins, each with units of the time after it; at least one defect and one good
        unit each. The features are the same in all.
    groups : mapping of str to str
        Group of each feature, see `feature_groups`: what moves together is dealt out together.
    repeats : int, default 3
        How often each group is dealt out anew.
    random_state : int, default 0

    Returns
    -------
    DataFrame, shape (n_groups, 5), the largest mean first
        ``group``; ``loss``, the mean over the blocks of the average precision lost
        (`qma_predict.learn.metrics.average_precision`, by the weights); ``lowest`` and ``highest`` block; ``blocks``,
        in how many it was lost. A group that is relied on in some blocks only is not stable.

    Raises
    ------
    ValueError
        If a block has only one class, or a feature has no group.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45: permutation importance; here on later units.

    Examples
    --------
    >>> X = pd.DataFrame({"heat": np.arange(40.0), "noise": np.tile([0.0, 1.0], 20)})
    >>> block = Block(lambda rows: rows["heat"].to_numpy() / 40, X, X["heat"] >= 30)
    >>> importance([block, block], {"heat": "heat", "noise": "noise"})["group"].tolist()
    ['heat', 'noise']
    """
    rng = np.random.default_rng(random_state)
    members = _members(blocks[0].X, groups)
    losses = pd.DataFrame([_losses(block, members, repeats, rng) for block in blocks])
    found = pd.DataFrame(
        {
            "loss": losses.mean(),
            "lowest": losses.min(),
            "highest": losses.max(),
            "blocks": (losses > 0).sum(),
        }
    ).rename_axis("group")
    return found.reset_index().sort_values("loss", ascending=False, kind="stable", ignore_index=True)


def most_moving(
    blocks: Sequence[Block], groups: Mapping[str, str] | pd.Series, most: int, *, random_state: int = 0
) -> list[str]:
    """Groups of features that move the log-odds most when their values are dealt out anew: a cheaper first look.

    Parameters
    ----------
    blocks, groups
        As for `importance`. Of a block at most 60 defects and 60 good units are looked at, fewer (20 at least) where
        there are so many groups and blocks that it would cost more than 100,000 predictions; weights do not matter.
    most : int
        How many groups at most.
    random_state : int, default 0

    Returns
    -------
    list of str
        By the mean absolute move in the block in which it is largest, the largest first; groups that move nothing are
        left out. Defects count as much as good units: what is behind a few defects only would not be seen else.

    Raises
    ------
    ValueError
        As `importance`.

    Examples
    --------
    >>> X = pd.DataFrame({"heat": np.arange(40.0), "noise": np.tile([0.0, 1.0], 20)})
    >>> block = Block(lambda rows: rows["heat"].to_numpy() / 40, X, X["heat"] >= 30)
    >>> most_moving([block], {"heat": "heat", "noise": "noise"}, 2)
    ['heat']
    """
    rng = np.random.default_rng(random_state)
    members = _members(blocks[0].X, groups)
    rows = int(np.clip(_LOOKED_AT // (2 * len(members) * len(blocks)), *_OF_A_CLASS))
    moved = np.max([_moves(block, members, rows, rng) for block in blocks], axis=0)
    order = np.argsort(-moved, kind="stable")[:most]
    return [list(members)[place] for place in order if moved[place] > 0]


def _moves(block: Block, members: Mapping[str, list[str]], rows: int, rng: np.random.Generator) -> np.ndarray:
    """By how much each group moves the log-odds of so many defects and good units of a block, on average."""
    X, y, risk = block.X, _both_classes(block.outcome), partial(log_odds, block.predict)
    drawn = np.sort(np.concatenate([rng.permutation(np.flatnonzero(y == one))[:rows] for one in (0, 1)]))
    X, y = X.iloc[drawn], y[drawn]
    moved = np.abs(_dealt_out(risk, X, members, list(members), rng) - risk(X))
    return np.asarray((moved[:, y == 0].mean(axis=1) + moved[:, y == 1].mean(axis=1)) / 2)


def _members(X: pd.DataFrame, groups: Mapping[str, str] | pd.Series) -> dict[str, list[str]]:
    """The features of each group."""
    if ungrouped := [name for name in X if name not in groups]:
        raise ValueError(f"features without a group: {', '.join(ungrouped[:5])}; expected one for each feature")
    members: dict[str, list[str]] = {}
    for name in X:
        members.setdefault(str(groups[name]), []).append(name)
    return members


def _losses(block: Block, members: Mapping[str, list[str]], repeats: int, rng: np.random.Generator) -> dict[str, float]:
    X, y, weight = block.X, _both_classes(block.outcome), block.weight
    before = average_precision(y, block.predict(X), sample_weight=weight)
    asked = [group for group in members for _ in range(repeats)]
    dealt = _dealt_out(block.predict, X, members, asked, rng)
    after = [average_precision(y, score, sample_weight=weight) for score in dealt]
    return dict(zip(members, (before - np.reshape(after, (-1, repeats))).mean(axis=1).tolist(), strict=True))


def _both_classes(outcome: npt.ArrayLike) -> np.ndarray:
    y = np.asarray(outcome, dtype=int)
    if len(np.unique(y)) < 2:
        raise ValueError("a block has only defects or only good units; expected both in each")
    return y


def _dealt_out(
    predict: Predict, X: pd.DataFrame, members: Mapping[str, list[str]], asked: list[str], rng: np.random.Generator
) -> np.ndarray:
    """Of each group that is asked for, what is predicted with its values in another order, shape (n_asked, n_units).

    Many at once: a call of a model costs far more than its rows.
    """
    own, found = np.arange(len(X)), []
    at_once = max(1, _ROWS_AT_ONCE // len(X))
    for some in (asked[at : at + at_once] for at in range(0, len(asked), at_once)):
        rows = dict.fromkeys(X, np.tile(own, len(some)))
        for number, group in enumerate(some):
            order = rng.permutation(len(X))
            for name in members[group]:
                rows[name] = rows[name].copy()
                rows[name][number * len(X) :][: len(X)] = order
        dealt = pd.DataFrame({name: X[name].array.take(taken) for name, taken in rows.items()})
        found.append(np.asarray(predict(dealt)).reshape(len(some), len(X)))
    return np.concatenate(found)
