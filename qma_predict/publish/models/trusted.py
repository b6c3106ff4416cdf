"""What a stored model may consist of: types none of which runs code when it is loaded."""

import importlib
import io
import json
import logging
import re
import sys
import warnings
import zipfile
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import pandas as pd

from qma_predict.errors import LineError, ModelError, NotEnoughData
from qma_predict.line import Line

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from qma_predict.learn.dataset import Dataset

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

_EXPECTED = (
    "Expected estimators of scikit-learn, LightGBM or qma_predict.learn, what those consist of, and classes that "
    "learning.trust in line.toml names"
)

_OF_A_CLASS = 100
"""Units of each class on which a recipe is tried."""


def dumped(model: "BaseEstimator", trust: Collection[str] = ()) -> tuple[bytes, list[str]]:
    """Return a model in skops' form, and the types in it that skops does not trust by itself.

    The same model gives the same bytes, in any process at any time; one with a class of the plant's own, if that gives
    its state in the same order each time.

    Parameters
    ----------
    model : fitted estimator
    trust : collection of str
        Classes that the line trusts; see `check`.

    Raises
    ------
    ModelError
        If one of them is not trusted by us either, or skops cannot store it.
    """
    data, types = _stored(model)
    check(types, trust)
    return data, types


def _stored(model: "BaseEstimator") -> tuple[bytes, list[str]]:
    """What `dumped` returns, of types that nobody has looked at."""
    import skops.io  # half a second

    try:
        data = _canonical(skops.io.dumps(model))
    except Exception as error:  # what skops does not support, and whatever a class of the plant's raises
        raise ModelError(
            f"a model that cannot be stored: {error} {_EXPECTED}: name another recipe in line.toml."
        ) from error
    return data, list(skops.io.get_untrusted_types(data=data))


def _canonical(data: bytes) -> bytes:
    """A dump that is numbered by the order of its parts, where skops takes their addresses in memory, and undated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts.pop("schema.json").decode()
    numbers = {address: str(n) for n, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}
    drawn = sorted((name for name in parts if not name.partition(".")[0].isdecimal()), key=schema.index)
    bytes_of = {name: f"bytes_{n}.bin" for n, name in enumerate(drawn)}  # skops draws their names

    def renamed(name: str) -> str:
        address, dot, kind = name.partition(".")
        return bytes_of.get(name, numbers.get(address, address) + dot + kind)

    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {numbers[found[1]]}', schema)
    schema = re.sub(r'"(\d+\.\w+)"', lambda found: f'"{renamed(found[1])}"', schema)
    for name, ordered in bytes_of.items():
        schema = schema.replace(f'"{name}"', f'"{ordered}"')
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted({renamed(name): content for name, content in parts.items()}.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
    return buffer.getvalue()


def loaded(data: bytes, trust: Collection[str] = ()) -> "BaseEstimator":
    """Return the model of `dumped`.

    Parameters
    ----------
    data : bytes
    trust : collection of str
        Classes that the line trusts now; see `check`.

    Raises
    ------
    ModelError
        If it holds types that are not trusted, or cannot be made of them, such as after a class has changed.
    """
    import skops.io

    types = types_of(data)
    check(types, trust)
    try:
        return skops.io.loads(data, trusted=types)
    except Exception as error:  # whatever a class of the plant's raises
        raise ModelError(
            f"a model that cannot be made from its file again: {error!r}. Undo what has changed of {', '.join(types)} "
            "since it was kept, or train again."
        ) from error


def types_of(data: bytes) -> list[str]:
    """Import paths of the types in a stored model that skops does not trust by itself; nothing is loaded."""
    import skops.io

    return list(skops.io.get_untrusted_types(data=data))


def check(types: Iterable[str], trust: Collection[str] = ()) -> None:
    """Refuse types that are not trusted.

    Parameters
    ----------
    types : iterable of str
        Import paths.
    trust : collection of str
        Import paths of further classes that are trusted: `learning.trust` of the line. One counts only while it is a
        class that is defined, not imported, there, and none of Python's own, which start programs or call functions.

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

    To trust a class of another package is to trust its code with whatever a file holds: while it is loaded,
    ``__setstate__`` may be called with any values, or its attributes set without any ``__init__``, or the class be
    called with any arguments; and a night calls its ``predict_proba``. Nothing else of its module is trusted with it,
    nor subclasses. What skops can store of it is what ``__getstate__`` or ``__dict__`` gives, if that consists of
    numbers, texts, bytes, arrays and trusted types. Tried were XGBoost 2.1, which gives its trees as bytes
    (``xgboost.sklearn.XGBClassifier`` and ``xgboost.core.Booster`` have to be named; the same data give the same
    file), and CatBoost 1.2, whose classes are no estimators of scikit-learn, held by a class of the plant's own: both
    are named, and that class empties ``train_finish_time`` and ``model_guid`` of ``get_metadata()``, or else each fit
    gives another file. An object whose state only ``__reduce__`` tells cannot be stored, unless that names its own
    class and no state.

    What this does not keep off is a crash: ``Tree``, ``TreePredictor``, ``KDTree`` and ``BallTree`` follow numbers of
    the file without a look, and may read beyond their memory where somebody made it for that. Against this, and
    against models that answer wrongly, stand the hashes: nothing kept is opened whose hash is not the one noted.
    """
    strange = {name: name for name in types if name not in TRUSTED_TYPES and not _is_estimator(name)}
    for name in strange.keys() & set(trust):
        try:
            _plants_class(name)
        except ValueError as error:
            strange[name] = f"{name} (which learning.trust names, but {error})"
        else:
            del strange[name]
    if strange:
        raise ModelError(
            f"a model that holds {', '.join(strange.values())}: not trusted, since loading it from a file might run "
            f"code. {_EXPECTED}: name another recipe in line.toml, trust the class if it is the plant's own, or remove "
            "the file if no training wrote it."
        )


def check_trust(line: Line) -> None:
    """Refuse a line that trusts what is no class, or none that is defined there.

    Raises
    ------
    LineError
    """
    for number, path in enumerate(line.learning.trust):
        try:
            _plants_class(path)
        except ValueError as error:
            raise LineError(
                f"{line.file}: learning.trust[{number}]: found {path!r}, but {error}. Expected the import path of a "
                'class by the module that defines it, such as "my_plant.models.SteppedTrees", in an installed module.'
            ) from error


def _plants_class(path: str) -> type:
    """A class by its import path that a line may trust; a ValueError that says why not."""
    if path.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError("it is Python's own, where classes start programs or call what they are given")
    return _defined(path)


def _defined(path: str) -> type:
    """The class that is defined, not imported, at a path; a ValueError that says why there is none."""
    module, _, name = path.rpartition(".")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # whatever a module of the plant's raises
        raise ValueError(f"{module} cannot be imported: {error}") from error
    found = getattr(imported, name, None)
    if found is None:
        raise ValueError(f"{module} has no {name}")
    if not isinstance(found, type):
        raise ValueError(f"it is a {type(found).__name__}, not a class")
    if (found.__module__, found.__qualname__) != (module, name):
        raise ValueError(f"it is defined as {found.__module__}.{found.__qualname__}")
    return found


def _is_estimator(path: str) -> bool:
    """Whether an import path names a class of estimators of scikit-learn or ours, where it is defined."""
    if not path.rpartition(".")[0].startswith(_ESTIMATORS_OF):
        return False
    from sklearn.base import BaseEstimator

    try:
        return issubclass(_defined(path), BaseEstimator)
    except ValueError:
        return False


def check_recipe(dataset: "Dataset") -> None:
    """Refuse a recipe that could not be kept, before hours are spent on its backtest.

    A recipe by import path is fitted on a few units and dumped; our own ones are known to be kept.

    Parameters
    ----------
    dataset : Dataset
        What is to be trained on.

    Raises
    ------
    LineError
        If the line's recipe consists of types that neither we nor `learning.trust` trust, with the line to add; if
        `learning.trust` names what is no class; or if there is no such recipe.
    """
    from qma_predict.learn.recipes import RECIPES  # these need what trains, which a look at types does not
    from qma_predict.learn.risk_model import RiskModel
    from qma_predict.learn.training import recipe_of

    line = dataset.line
    check_trust(line)
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
        _data, types = _stored(model)
        missing = sorted(name for name in types if name not in line.learning.trust and _could_be_trusted(name))
        check(types, (*line.learning.trust, *missing))
    except ModelError as error:
        raise LineError(
            f"{line.file}: learning.recipe {line.learning.recipe!r}: fitted on {len(y)} units it is {error} A function "
            "of the plant's own module can be named, too, if it returns a classifier made of such estimators."
        ) from error
    if missing:
        raise LineError(
            f"{line.file}: learning.recipe {line.learning.recipe!r}: fitted on {len(y)} units it is a model that holds "
            f"{', '.join(missing)}: not trusted yet. Loading such a model from its file may run code of these classes. "
            f"If you trust it, set learning.trust = {json.dumps([*line.learning.trust, *missing])}; if not, name "
            "another recipe."
        )


def _could_be_trusted(path: str) -> bool:
    """Whether a type is not trusted by us, and a class that a line may trust."""
    if path in TRUSTED_TYPES or _is_estimator(path):
        return False
    try:
        _plants_class(path)
    except ValueError:
        return False
    return True


def _few(dataset: "Dataset") -> pd.Series:
    """Labels of the newest units of each class, in time order."""
    order = dataset.points.reset_index().sort_values(["cutoff", "unit_id"])["unit_id"]
    y = dataset.y.reindex(order).dropna().astype(int)
    return y[(y.groupby(y).cumcount(ascending=False) < _OF_A_CLASS).to_numpy()]
