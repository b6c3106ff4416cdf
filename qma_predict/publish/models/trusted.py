"""What a stored model may consist of: types none of which runs code when it is loaded."""

import importlib
import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterable

import pandas as pd
from sklearn.base import BaseEstimator

from qma_predict.errors import LineError, ModelError, NotEnoughData
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.recipes import RECIPES
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import recipe_of

log = logging.getLogger(__name__)

_KERNELS = (
    *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern", "Product", "RBF"),
    *("RationalQuadratic", "Sum", "WhiteKernel"),
)
_METRICS = ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")

TRUSTED_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "numpy.dtype",
        "numpy.number",
        "qma_predict.learn.base_rate.BaseRateShift",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
        *(f"sklearn.metrics._dist_metrics.{name}Distance64" for name in _METRICS),
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)
"""Types, beyond estimators of scikit-learn and ours and what skops trusts by itself, that a stored model may hold."""

_ESTIMATORS_OF = ("qma_predict.learn.", "sklearn.")

_EXPECTED = "Expected estimators of scikit-learn, LightGBM or qma_predict.learn, and what those consist of"

_OF_A_CLASS = 100
"""Units of each class on which a recipe is tried."""


def dumped(model: BaseEstimator) -> tuple[bytes, list[str]]:
    """Return a model in skops' form, and the types in it that skops does not trust by itself.

    The same model gives the same bytes, in any process at any time.

    Raises
    ------
    ModelError
        If one of them is not trusted by us either, or skops cannot store it.
    """
    import skops.io  # half a second
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data = _canonical(skops.io.dumps(model))
    except UnsupportedTypeException as error:
        raise ModelError(
            f"a model that cannot be stored: {error} {_EXPECTED}: name another recipe in line.toml."
        ) from error
    types = skops.io.get_untrusted_types(data=data)
    check(types)
    return data, list(types)


def _canonical(data: bytes) -> bytes:
    """A dump that is numbered by the order of its parts, where skops takes their addresses in memory, and undated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts.pop("schema.json").decode()
    numbers = {address: str(n) for n, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}

    def renamed(name: str) -> str:
        address, dot, kind = name.partition(".")
        return numbers.get(address, address) + dot + kind

    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {numbers[found[1]]}', schema)
    schema = re.sub(r'"(\d+\.\w+)"', lambda found: f'"{renamed(found[1])}"', schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted({renamed(name): content for name, content in parts.items()}.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
    return buffer.getvalue()


def loaded(data: bytes) -> BaseEstimator:
    """Return the model of `dumped`.

    Raises
    ------
    ModelError
        If it holds types that are not trusted.
    """
    import skops.io

    types = skops.io.get_untrusted_types(data=data)
    check(types)
    return skops.io.loads(data, trusted=list(types))


def check(types: Iterable[str]) -> None:
    """Refuse types that are not trusted.

    Parameters
    ----------
    types : iterable of str
        Import paths.

    Raises
    ------
    ModelError
        If there are any.

    Notes
    -----
    skops looks a name up in a module and may call what it finds with arguments of the file. So a package is never
    trusted as a whole: ``sklearn.utils._testing.check_output`` is the standard library's, and starts programs. A type
    is trusted by its name in `TRUSTED_TYPES`, or if it is a class of estimators that is defined, not imported, where
    the name says, in scikit-learn or in our `learn`. To make one only sets its attributes, and these are in turn of
    trusted types: no function of Python is, and no code is fetched or started before somebody fits the estimator,
    which nobody does with a loaded one.

    What this does not keep off is a crash: ``Tree``, ``TreePredictor``, ``KDTree`` and ``BallTree`` follow numbers of
    the file without a look, and may read beyond their memory where somebody made it for that. Against this, and
    against models that answer wrongly, stand the hashes: nothing kept is opened whose hash is not the one noted.
    """
    if strange := [name for name in types if name not in TRUSTED_TYPES and not _is_estimator(name)]:
        raise ModelError(
            f"a model that holds {', '.join(strange)}: not trusted, since loading it from a file might run code. "
            f"{_EXPECTED}: name another recipe in line.toml, or remove the file if no training wrote it."
        )


def _is_estimator(path: str) -> bool:
    """Whether an import path names a class of estimators of scikit-learn or ours, where it is defined."""
    module, _, name = path.rpartition(".")
    if not module.startswith(_ESTIMATORS_OF):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    if not isinstance(found, type) or not issubclass(found, BaseEstimator):
        return False
    return (found.__module__, found.__qualname__) == (module, name)


def check_recipe(dataset: Dataset) -> None:
    """Refuse a recipe that could not be kept, before hours are spent on its backtest.

    A recipe by import path is fitted on a few units and dumped; our own ones are known to be kept.

    Parameters
    ----------
    dataset : Dataset
        What is to be trained on.

    Raises
    ------
    LineError
        If the line's recipe consists of types that are not trusted, or there is no such recipe.
    """
    line = dataset.line
    recipe, y = recipe_of(line), _few(dataset)
    if line.learning.recipe in RECIPES or y.nunique() < 2:
        return
    try:
        with warnings.catch_warnings(action="ignore"):  # so few units may not converge
            model = RiskModel.of(recipe.fit(dataset.X.loc[y.index], y), dataset.X)
    except (ArithmeticError, NotEnoughData, TypeError, ValueError) as error:
        log.warning(
            "%s: recipe %s could not be tried on %d units (%s): whether it can be kept shows only after its backtest",
            *(line.name, line.learning.recipe, len(y), error),
        )
        return
    try:
        dumped(model)
    except ModelError as error:
        raise LineError(
            f"{line.file}: learning.recipe {line.learning.recipe!r}: fitted on {len(y)} units it is {error} A function "
            "of the plant's own module can be named, too, if it returns a classifier made of such estimators."
        ) from error


def _few(dataset: Dataset) -> pd.Series:
    """Labels of the newest units of each class, in time order."""
    order = dataset.points.reset_index().sort_values(["cutoff", "unit_id"])["unit_id"]
    y = dataset.y.reindex(order).dropna().astype(int)
    return y[(y.groupby(y).cumcount(ascending=False) < _OF_A_CLASS).to_numpy()]
