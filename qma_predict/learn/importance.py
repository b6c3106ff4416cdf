"""What a recipe relies on, and whether it does so in every block of time."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score

from qma_predict.learn.explanations import Predict

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
    features = list(blocks[0][1].columns)
    if ungrouped := [name for name in features if name not in groups]:
        raise ValueError(f"features without a group: {', '.join(ungrouped[:5])}; expected one for each feature")
    members: dict[str, list[str]] = {}
    for name in features:
        members.setdefault(str(groups[name]), []).append(name)
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


def _losses(block: Block, members: Mapping[str, list[str]], repeats: int, rng: np.random.Generator) -> dict[str, float]:
    predict, X, outcome = block
    y = np.asarray(outcome, dtype=int)
    if len(np.unique(y)) < 2:
        raise ValueError("a block has only defects or only good units; expected both in each")
    before = average_precision_score(y, predict(X))
    return {
        group: float(
            np.mean([before - average_precision_score(y, predict(_dealt(X, names, rng))) for _ in range(repeats)])
        )
        for group, names in members.items()
    }


def _dealt(X: pd.DataFrame, names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """The frame with the rows of these columns in another order."""
    order = rng.permutation(len(X))
    return X.assign(**{name: X[name].array[order] for name in names})
