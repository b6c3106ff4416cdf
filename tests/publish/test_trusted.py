"""Models as files."""

import io
import json
import sys
import types
import zipfile
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from qma_predict.errors import LineError, ModelError
from qma_predict.home import open_home
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish.models import trusted


def fitted(name: str) -> tuple[RiskModel, pd.DataFrame]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({f"press.tag_{n}.last": rng.normal(size=300) for n in range(3)}, [f"u{n}" for n in range(300)])
    X["unit.product"] = pd.Series(rng.choice(["A", "B"], 300), X.index, dtype="str")
    y = (X["press.tag_0.last"] + rng.normal(size=300) > 1).astype(int)
    estimator = make_baseline(name) if name in BASELINES else make_recipe(name)
    return RiskModel.of(estimator.fit(X, y), X), X


FOREIGN = [
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.gaussian_process.GaussianProcessClassifier",
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.neural_network.MLPClassifier",
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["logistic", "boosted_trees", *BASELINES, *FOREIGN])
def test_the_same_model_is_the_same_bytes_wherever_it_lies_in_memory(name):
    model, X = fitted(name)
    data, _ = trusted.dumped(model)
    again, _ = fitted(name)  # both are there, so that they lie at different addresses
    assert trusted.dumped(again)[0] == data
    assert np.array_equal(trusted.loaded(data).predict(X), model.predict(X))


def test_what_comes_back_from_the_file_is_dumped_and_loaded_again():
    model, X = fitted("logistic")
    again = trusted.loaded(trusted.dumped(deepcopy(model))[0])
    assert np.array_equal(trusted.loaded(trusted.dumped(again)[0]).predict(X), model.predict(X))


def made_by_hand(module, name, loader="ConstructorFromReduceNode"):
    """A file that, loaded with trust, calls what is found at a path, with a text."""
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"true"'}
    arguments = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [text]}
    if loader == "DictNode":  # keys are made by calling what is said to be their type
        kind = {"__class__": name, "__module__": module, "__loader__": "TypeNode"}
        kinds = arguments | {"content": [kind]}
        schema = {"__class__": "dict", "__module__": "builtins", "content": {"true": text}, "key_types": kinds}
    else:
        schema = {"__class__": name, "__module__": module, "content": arguments}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema | {"__loader__": loader, "protocol": 2}))
    return file.getvalue()


@pytest.mark.parametrize("loader", ["ConstructorFromReduceNode", "DictNode"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.utils._testing", "check_output"),  # of subprocess
        ("sklearn.datasets._base", "urlretrieve"),  # of urllib
        ("sklearn.base", "clone"),
        ("sklearn.no_such_module", "Anything"),
        ("sklearn.compose", "ColumnTransformer"),  # not where it is defined
        ("qma_predict.learn.recipes", "import_classifier"),  # imports what it is told
        ("qma_predict.learn.blend", "Parallel"),
        ("subprocess", "check_output"),
    ],
)
def test_a_file_cannot_call_what_a_trusted_package_imports_or_its_functions(module, name, loader):
    with pytest.raises(ModelError, match=rf"holds {module}.{name}: not trusted"):
        trusted.loaded(made_by_hand(module, name, loader))


def test_the_file_made_by_hand_would_call_what_it_names():
    import skops.io

    data = made_by_hand("sklearn.utils._testing", "check_output")
    assert skops.io.loads(data, trusted=["sklearn.utils._testing.check_output"]) == b""


class Stranger(DecisionTreeClassifier):
    """The plant's own class."""


def own_pipeline():
    return make_pipeline(ColumnTransformer([("all", "passthrough", [0, 1])]), LogisticRegression())


def named_columns():
    return make_pipeline(ColumnTransformer([("some", "passthrough", ["press.tag_0.last"])]), LogisticRegression())


def stranger():
    return Stranger()


def doubled(X):
    return 2 * X


def with_function():
    return make_pipeline(FunctionTransformer(doubled), LogisticRegression())


STRANGER = f"{__name__}.Stranger"


@pytest.fixture
def dataset(make_history, tiny_line, monkeypatch):
    """Of a line whose recipe is what a function of the plant's own module returns."""
    _model, X = fitted("prevalence")
    points = pd.DataFrame({"cutoff": pd.date_range("2026-01-01", periods=len(X), freq="h", tz="UTC")}, index=X.index)
    y = pd.Series(np.arange(len(X)) % 3 == 0, X.index).astype(float)
    own = types.ModuleType("own_module")
    for one in (own_pipeline, named_columns, stranger, with_function):
        setattr(own, one.__name__, one)
    monkeypatch.setitem(sys.modules, "own_module", own)

    def make(recipe, *trust):
        learning = tiny_line.learning.model_copy(update={"recipe": recipe, "trust": trust})
        line = tiny_line.model_copy(update={"learning": learning})
        return Dataset(make_history({}), line, points.rename_axis("unit_id"), X, y, {}, {})

    return make


def test_a_recipe_that_could_not_be_kept_is_refused_before_its_backtest(dataset):
    with pytest.raises(LineError, match=r"learning.recipe 'own_module.stranger': fitted on 200 units") as refused:
        trusted.check_recipe(dataset("own_module.stranger"))
    assert "test_trusted.Stranger: not trusted yet" in str(refused.value)
    assert f'set learning.trust = ["{STRANGER}"]; if not, name another recipe' in str(refused.value)
    with pytest.raises(LineError, match="no_such"):
        trusted.check_recipe(dataset("own_module.no_such"))
    with pytest.raises(LineError, match="test_trusted.doubled: not trusted, since .* A function of the plant's own"):
        trusted.check_recipe(dataset("own_module.with_function"))


def test_a_recipe_of_a_class_that_the_line_trusts_is_not_refused(dataset):
    trusted.check_recipe(dataset("own_module.stranger", STRANGER))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("own_module", "own_module has no"),  # as a prefix of what is below it
        ("sklearn.tree", "it is a module, not a class"),
        (f"{__name__}.own_pipeline", "it is a function, not a class"),
        (f"{__name__}.LogisticRegression", "it is defined as sklearn.linear_model._logistic.LogisticRegression"),
        (f"{__name__}.NoSuch", f"{__name__} has no NoSuch"),
        (f"{__name__}.Stranger.fit", f"{__name__}.Stranger cannot be imported"),
        ("no_such_plant.models.Trees", "no_such_plant.models cannot be imported: No module named"),
        ("subprocess.Popen", "it is Python's own, where classes start programs"),
        ("builtins.type", "it is Python's own"),
    ],
)
def test_only_classes_where_they_are_defined_can_be_trusted(dataset, path, words):
    with pytest.raises(LineError, match=r"line.toml: learning.trust\[1\]: found ") as refused:
        trusted.check_recipe(dataset("default", STRANGER, path if "." in path else f"{path}.own"))
    assert words in str(refused.value)
    with pytest.raises(ModelError, match="which learning.trust names, but"):
        trusted.check([path], [path])


@pytest.mark.parametrize("loader", ["ConstructorFromReduceNode", "DictNode"])
def test_what_a_line_trusts_is_that_class_alone(loader):
    data = made_by_hand(__name__, "own_pipeline", loader)
    for trust in ([__name__], [f"{__name__}.*"], [STRANGER]):
        with pytest.raises(ModelError, match="own_pipeline: not trusted"):
            trusted.loaded(data, trust)
    model = RiskModel(Stranger(), [], [])
    data, types = trusted.dumped(model, [STRANGER])
    assert STRANGER in types
    assert isinstance(trusted.loaded(data, [STRANGER]).classifier, Stranger)
    with pytest.raises(ModelError, match=f"holds {STRANGER}: not trusted"):
        trusted.loaded(data)


def test_a_class_that_gives_its_state_as_bytes_gives_the_same_file_each_time():
    model = RiskModel(Stranger().set_params(max_depth=2), [], [])
    model.classifier.raw, model.classifier.more = b"\x00trees", bytearray(b"1.5")
    data, _types = trusted.dumped(model, [STRANGER])
    assert trusted.dumped(deepcopy(model), [STRANGER])[0] == data
    again = trusted.loaded(data, [STRANGER]).classifier
    assert (again.raw, again.more, again.max_depth) == (b"\x00trees", bytearray(b"1.5"), 2)


def test_what_cannot_be_stored_is_said():
    model = RiskModel(Stranger(), [], [])
    model.classifier.steps = (n for n in range(3))
    with pytest.raises(ModelError, match="a model that cannot be stored: "):
        trusted.dumped(model, [STRANGER])


@pytest.mark.parametrize("recipe", ["own_module.own_pipeline", FOREIGN[1]])
def test_a_recipe_of_trusted_types_is_not_refused(dataset, recipe, caplog):
    trusted.check_recipe(dataset(recipe))
    assert not caplog.records


def test_a_recipe_that_cannot_be_fitted_on_a_few_units_is_told_and_left_to_the_backtest(dataset, caplog):
    trusted.check_recipe(dataset("own_module.named_columns"))
    assert "recipe own_module.named_columns could not be tried on 200 units (Specifying the columns" in caplog.text


def test_of_our_own_recipes_and_without_defects_nothing_is_fitted(dataset, monkeypatch):
    monkeypatch.setattr(RiskModel, "of", None)
    trusted.check_recipe(dataset("default"))
    found = dataset("own_module.stranger")
    trusted.check_recipe(replace(found, y=found.y * 0.0))


def test_a_training_asks_before_its_backtest(dataset, tmp_path, monkeypatch):
    from pipelines import train

    monkeypatch.setattr(train, "train", None)
    with pytest.raises(LineError, match="not trusted"):
        train.decide(open_home(tmp_path / "home"), dataset("own_module.stranger"), datetime(2026, 3, 1, tzinfo=UTC))
