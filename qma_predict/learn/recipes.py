"""Recipes: unfitted classifiers that turn a table of features into probabilities of a defect."""

import difflib
import importlib
from collections.abc import Mapping

from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline

from qma_predict.learn.blend import CalibratedBlend
from qma_predict.learn.logistic import RidgeInTime
from qma_predict.learn.prepare import FilledAndScaled, PlantColumns
from qma_predict.learn.trees import BoostedTrees, RandomTrees, SampledTrees
from qma_predict.line.kinds import IMPORT_PATH

RECIPES = ("default", "boosted_trees", "extra_trees", "logistic")

Parameter = bool | int | float | str


def make_recipe(name: str = "default", *, random_state: int = 0, **parameters: Parameter) -> BaseEstimator:
    """Return an unfitted recipe.

    Its ``fit(X, y)`` takes a frame of features with the rows in time order, oldest first, and labels
    (1 defect, 0 good); its ``predict_proba(X)[:, 1]`` is P(recorded as defect if inspected), row by row.
    Every recipe is a `CalibratedBlend` of one or several classifiers: it finds columns by name, takes missing and
    infinite values, categories never seen, columns that are constant, repeated or all missing, and is calibrated on
    rows later than those that it learnt from. It fits in as many threads as there are cores (`n_jobs`); the same data
    give the same model, however many there are.

    ``default``
        The mean of one model of each kind: boosted trees that are larger, fewer and freer than those of
        ``boosted_trees``, ``extra_trees``, ``sampled_trees``, which grow on a sample of the goods and look at all
        columns, and ``logistic``. None is best everywhere, and they err differently: boosted trees find interactions
        and are too sure with few defects, extra trees are hard to lead astray, sampled ones find what takes several
        columns together once there are some hundred defects, a logistic regression sees effects that add up. Their
        mean is near the best everywhere; its weights are moved from equal ones as far as later defects show that one
        of them knows more.
    ``boosted_trees``
        Many small, slow, strongly regularised trees (LightGBM): made for some hundred defects among
        some hundred columns.
    ``extra_trees``
        Trees split at random (extremely randomised), a third of the columns at a time but five at least, so that the
        few that tell something are found among many that do not: hard to lead astray by noise or few rows.
    ``logistic``
        Logistic regression, with an L2 penalty and a form that are chosen in time order: few defects, wide tables,
        effects that add up, of how large a number is or of how far off it is to either side.
    an import path, such as ``sklearn.ensemble.RandomForestClassifier``
        Any classifier that can be made without arguments, or a function that returns one. What a bare one gets has
        gaps filled and columns scaled; a pipeline prepares its rows itself. Both are calibrated. They are given an
        array of float32 as `PlantColumns` makes it, with texts as indicators or rates: no names, so that a
        `ColumnTransformer` by names cannot be fitted. A model is kept only if it consists of scikit-learn's
        estimators, LightGBM's or ours, whose files run no code when they are read, and of classes that `learning.trust`
        in line.toml names; a training says so at its begin.
        A row's score does not depend on the other rows of the call; of a classifier whose sums run over all rows at
        once (a neural network, a Gaussian process) it may by rounding, some 1e-13.

    Parameters
    ----------
    name : str, default "default"
        One of `RECIPES`, or an import path.
    random_state : int, default 0
        Seed of what is drawn at random while fitting.
    **parameters : bool, int, float or str
        Other values than the recipe's own, by the names that its ``get_params`` gives them.

    Raises
    ------
    ValueError
        `name` is not in `RECIPES` and no import path of a classifier, or the recipe has no such parameter.
    NotEnoughData
        Raised by ``fit`` when there are no defects or no goods.

    Examples
    --------
    >>> [member for member, _ in make_recipe().members]
    ['larger_trees', 'extra_trees', 'sampled_trees', 'logistic']
    >>> [member for member, _ in make_recipe("sklearn.ensemble.RandomForestClassifier").members]
    ['RandomForestClassifier']
    >>> make_recipe("boosted_trees", boosted_trees__num_leaves=8).get_params()["boosted_trees__num_leaves"]
    8
    """
    recipe = _with_own_values(name, random_state)
    _check_parameters(name, recipe, parameters)
    return recipe.set_params(**parameters)


def _check_parameters(name: str, recipe: BaseEstimator, parameters: Mapping[str, Parameter]) -> None:
    own = {key: value for key, value in recipe.get_params().items() if isinstance(value, Parameter | None)}
    for key, value in parameters.items():
        if key not in own:
            near = difflib.get_close_matches(key, own, n=3, cutoff=0.0)
            raise ValueError(f"recipe {name!r} has no parameter {key!r}; the nearest are {', '.join(near)}")
        numbers = [isinstance(one, int | float) and not isinstance(one, bool) for one in (own[key], value)]
        if numbers[0] and not numbers[1]:
            raise ValueError(f"recipe {name!r}: {key}: found {value!r}; expected a number, such as {own[key]}")


def _with_own_values(name: str, random_state: int) -> BaseEstimator:
    prepare = PlantColumns(random_state=random_state)
    if name == "default":
        members = [
            ("larger_trees", _larger_trees(random_state)),
            ("extra_trees", _extra_trees(random_state)),
            ("sampled_trees", _sampled_trees(random_state)),
            ("logistic", _logistic()),
        ]
        return CalibratedBlend(members, prepare, n_jobs=-1)
    if name == "boosted_trees":
        return CalibratedBlend([(name, BoostedTrees(random_state=random_state))], prepare, n_jobs=-1)
    if name == "extra_trees":
        return CalibratedBlend([(name, _extra_trees(random_state))], prepare, n_jobs=-1)
    if name == "logistic":
        return CalibratedBlend([(name, _logistic())], prepare, n_jobs=-1)
    return _of_classifier(import_classifier(name), prepare, random_state)


def import_classifier(path: str) -> BaseEstimator:
    """Return the classifier that an import path names, made without arguments.

    Parameters
    ----------
    path : str
        ``package.module.Name`` of a classifier class, or of a function that returns a classifier.

    Raises
    ------
    ValueError
        If `path` is none, cannot be imported, needs arguments, or gives no classifier with probabilities.

    Examples
    --------
    >>> import_classifier("sklearn.naive_bayes.GaussianNB")
    GaussianNB()
    """
    expected = f"expected one of {', '.join(RECIPES)}, or the import path of a classifier"
    if not IMPORT_PATH.fullmatch(path):
        raise ValueError(f"unknown recipe {path!r}; {expected}")
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ValueError(f"recipe {path!r}: {module} cannot be imported: {error}; {expected}") from error
    except AttributeError as error:
        raise ValueError(f"recipe {path!r}: {module} has no {attribute}; {expected}") from error
    if not callable(found):
        raise ValueError(f"recipe {path!r}: found a {type(found).__name__}; expected a class or a function")
    try:
        classifier = found()
    except TypeError as error:
        raise ValueError(f"recipe {path!r}: cannot be made without arguments: {error}") from error
    if not isinstance(classifier, BaseEstimator) or not is_classifier(classifier):
        raise ValueError(
            f"recipe {path!r}: found a {type(classifier).__name__}; expected a scikit-learn classifier: one of yours "
            "that inherits ClassifierMixin and BaseEstimator can hold it."
        )
    if not hasattr(classifier, "predict_proba"):
        raise ValueError(f"recipe {path!r}: {type(classifier).__name__} gives no probabilities (predict_proba)")
    return classifier


def _of_classifier(classifier: BaseEstimator, prepare: PlantColumns, random_state: int) -> CalibratedBlend:
    seeds = {name: random_state for name in classifier.get_params() if name.split("__")[-1] == "random_state"}
    classifier.set_params(**seeds)
    name = type(classifier).__name__
    if not isinstance(classifier, Pipeline):
        classifier = Pipeline([("scale", FilledAndScaled()), ("classify", classifier)])
    return CalibratedBlend([(name, classifier)], prepare, n_jobs=-1)


def _larger_trees(random_state: int) -> BaseEstimator:
    return BoostedTrees(
        n_estimators=200,
        learning_rate=0.05,
        num_leaves=16,
        min_child_samples=10,
        min_child_weight=0.001,
        reg_lambda=3.0,
        random_state=random_state,
    )


def _extra_trees(random_state: int) -> BaseEstimator:
    # one thread: more add up the trees in the order in which they finish, and round differently each time
    trees = RandomTrees(100, min_samples_leaf=2, max_features=0.3, n_jobs=1, random_state=random_state)
    return Pipeline([("fill", FilledAndScaled()), ("classify", trees)])


def _sampled_trees(random_state: int) -> BaseEstimator:
    return Pipeline([("fill", FilledAndScaled()), ("classify", SampledTrees(random_state=random_state))])


def _logistic() -> BaseEstimator:
    # what is far out pulls a line more than it does a split
    return Pipeline([("scale", FilledAndScaled(usual=5.0)), ("classify", RidgeInTime())])
