"""What a search may change of a recipe: few parameters, around the values that the recipe has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class Range:
    """Values that a search may try, evenly by their logarithm: what matters is how many times more or less.

    Attributes
    ----------
    low, high : float
        Both included.
    whole : bool
        Only whole numbers.
    """

    low: float
    high: float
    whole: bool = False

    def including(self, value: float) -> "Range":
        """The range, widened so that `value` is in it; as it is if that has no logarithm."""
        return replace(self, low=min(self.low, value), high=max(self.high, value)) if value > 0 else self

    def __contains__(self, value: object) -> bool:
        """Whether a search may try `value`."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class _Around:
    """How many times less or more than the recipe's own value, within what makes sense."""

    times: float
    at_least: float
    at_most: float
    whole: bool = False

    def of(self, value: float) -> Range:
        low, high = max(value / self.times, self.at_least), min(value * self.times, self.at_most)
        return Range(round(low), round(high), whole=True) if self.whole else Range(low, high)


# Each says how much a model may bend to its rows, which is what defects by the dozen and columns by the hundred decide.
# The number of trees is left alone: more are better or slower, and for boosting the learning rate says the same.
_LEAF = _Around(4, 1, 500, whole=True)
_RATE = _Around(4, 0.001, 1.0)  # times the number of trees: how far boosting goes
_LEAVES = _Around(4, 2, 255, whole=True)  # how many features act together
_BOOSTED = {"learning_rate": _RATE, "num_leaves": _LEAVES, "min_child_samples": _LEAF}
_FOREST = {"min_samples_leaf": _Around(16, 1, 500, whole=True)}

_KNOWN: Mapping[tuple[str, str], Mapping[str, _Around]] = {
    ("qma_predict", "CalibratedBlend"): {"strength": _Around(4, 1.0, 1000.0)},  # how far calibration is trusted
    ("qma_predict", "RidgeInTime"): {},  # chooses its penalty itself, in time order, at each fit
    ("qma_predict", "BoostedTrees"): _BOOSTED,
    ("lightgbm", "LGBMClassifier"): _BOOSTED,
    ("sklearn", "ExtraTreesClassifier"): _FOREST,
    ("sklearn", "RandomForestClassifier"): _FOREST,
    ("sklearn", "HistGradientBoostingClassifier"): {
        "learning_rate": _RATE,
        "max_leaf_nodes": _LEAVES,
        "min_samples_leaf": _LEAF,
    },
    ("sklearn", "LogisticRegression"): {"C": _Around(1000, 1e-9, 1e9)},  # inverse of the penalty
}


def search_space(recipe: BaseEstimator) -> dict[str, Range]:
    """What a search may change of a recipe, by the names of its ``get_params``.

    Parameters
    ----------
    recipe : scikit-learn classifier
        With its own values: they are the middle of the ranges. Members whose class is not known keep theirs.

    Returns
    -------
    dict of str to Range

    Examples
    --------
    >>> from qma_predict.learn.recipes import make_recipe
    >>> space = search_space(make_recipe("boosted_trees"))
    >>> list(space)
    ['boosted_trees__learning_rate', 'boosted_trees__min_child_samples', 'boosted_trees__num_leaves', 'strength']
    >>> space["boosted_trees__num_leaves"]
    Range(low=2, high=16, whole=True)
    """
    values = recipe.get_params()
    parts = {"": recipe} | {f"{name}__": part for name, part in values.items() if isinstance(part, BaseEstimator)}
    space: dict[str, Range] = {}
    for prefix, part in parts.items():
        kinds = [(kind.__module__.split(".")[0], kind.__name__) for kind in type(part).__mro__]
        known = next((_KNOWN[kind] for kind in kinds if kind in _KNOWN), {})
        for name, around in known.items():
            if isinstance(values[prefix + name], int | float):
                space[prefix + name] = around.of(values[prefix + name])
    return dict(sorted(space.items()))
