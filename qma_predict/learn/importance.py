"""What a recipe relies on, and whether it does so in every block of time."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score

from qma_predict.learn.explanations import Predict, log_odds

_ROWS_AT_ONCE = 50_000

Block = tuple[Predict, pd.DataFrame, npt.ArrayLike]
"""A model's P(defect), features of later units that it has not seen, and what became of them (1 defect, 0 good)."""


def importance(
    blocks: Sequence[Block], groups: Mapping[str, str] | pd.Series, *, repeats: int = 3, random_state: int = 0
) -> pd.DataFrame:
    """How much worse later units are ranked when the values of a group of features are dealt out anew among them.

    Parameters
    ----------
    blocks : sequence of (predict, X, y)
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
        ``group``; ``loss``, the mean over the blocks of the average precision lost; ``lowest`` and ``highest`` block;
        ``blocks``, in how many it was lost. A group that is relied on in some blocks only is not stable.

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
    >>> block = (lambda rows: rows["heat"].to_numpy() / 40, X, X["heat"] >= 30)
    >>> importance([block, block], {"heat": "heat", "noise": "noise"})["group"].tolist()
    ['heat', 'noise']
    """
    rng = np.random.default_rng(random_state)
    members = _members(blocks[0][1], groups)
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
    predict: Predict,
    X: pd.DataFrame,
    groups: Mapping[str, str] | pd.Series,
    most: int,
    *,
    rows: int = 40,
    random_state: int = 0,
) -> list[str]:
    """Groups of features that move the log-odds most when their values are dealt out anew: a cheap first look.

    Parameters
    ----------
    predict : callable
    X : DataFrame, shape (n_units, n_features)
    groups : mapping of str to str
        As for `importance`.
    most : int
        How many groups at most.
    rows : int, default 40
        At most so many units, drawn at random.
    random_state : int, default 0

    Returns
    -------
    list of str
        By the mean absolute move, the largest first; groups that move nothing are left out.

    Raises
    ------
    ValueError
        If a feature has no group.

    Examples
    --------
    >>> X = pd.DataFrame({"heat": np.arange(40.0), "noise": np.tile([0.0, 1.0], 20)})
    >>> most_moving(lambda rows: rows["heat"].to_numpy() / 40, X, {"heat": "heat", "noise": "noise"}, 2)
    ['heat']
    """
    rng = np.random.default_rng(random_state)
    sample = X if len(X) <= rows else X.sample(rows, random_state=random_state)
    members, risk = _members(sample, groups), partial(log_odds, predict)
    moved = np.abs(_dealt_out(risk, sample, members, list(members), rng) - risk(sample)).mean(axis=1)
    order = np.argsort(-moved, kind="stable")[:most]
    return [list(members)[place] for place in order if moved[place] > 0]


def _members(X: pd.DataFrame, groups: Mapping[str, str] | pd.Series) -> dict[str, list[str]]:
    """The features of each group."""
    if ungrouped := [name for name in X if name not in groups]:
        raise ValueError(f"features without a group: {', '.join(ungrouped[:5])}; expected one for each feature")
    members: dict[str, list[str]] = {}
    for name in X:
        members.setdefault(str(groups[name]), []).append(name)
    return members


def _losses(block: Block, members: Mapping[str, list[str]], repeats: int, rng: np.random.Generator) -> dict[str, float]:
    predict, X, outcome = block
    y = np.asarray(outcome, dtype=int)
    if len(np.unique(y)) < 2:
        raise ValueError("a block has only defects or only good units; expected both in each")
    before = average_precision_score(y, predict(X))
    asked = [group for group in members for _ in range(repeats)]
    after = [average_precision_score(y, score) for score in _dealt_out(predict, X, members, asked, rng)]
    return dict(zip(members, (before - np.reshape(after, (-1, repeats))).mean(axis=1).tolist(), strict=True))


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
