"""A classifier of the plant's own as the recipe: trained, kept, and scoring a night; and what happens without trust."""

import shutil
import sys
from datetime import UTC, date, datetime, timedelta

import pytest
from oven_plant import Place, rows

from pipelines.nightly import list_night
from pipelines.replay import _as_it_was, _Replay
from qma_predict.errors import LineError, ModelError
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.operate.doctor import doctor
from qma_predict.operate.replay_folder import Begun
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log, kept_models

FIRST = date(2026, 2, 24)
LATER, NOW = date(2026, 3, 31), datetime(2026, 4, 2, tzinfo=UTC)
NIGHTS = [FIRST + timedelta(days=n) for n in range(3)]
OWN, HELD = "my_plant.models.OneColumn", "my_plant.models.Moments"

CODE = '''
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Moments:
    """What is no estimator, and gives its state as bytes."""

    def __init__(self, values):
        self.values = values

    def __getstate__(self):
        return {"raw": self.values.tobytes()}

    def __setstate__(self, state):
        self.values = np.frombuffer(state["raw"])


class OneColumn(ClassifierMixin, BaseEstimator):
    """The discriminant of the column that goes with defects most."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.column_ = int(np.argmax(np.abs(np.corrcoef(X.T, y)[-1, :-1])))
        good, bad = (X[y == one, self.column_] for one in (0, 1))
        self.moments_ = Moments(np.array([good.mean(), bad.mean(), np.log(y.mean() / (1 - y.mean()))]))
        return self

    def predict_proba(self, X):
        good, bad, odds = self.moments_.values
        defect = 1 / (1 + np.exp(-odds - (bad - good) * (X[:, self.column_] - (good + bad) / 2)))
        return np.column_stack([1 - defect, defect])
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The plant's package, importable."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "my_plant").mkdir()
    (folder / "my_plant" / "__init__.py").write_text("from my_plant.models import OneColumn\n")
    (folder / "my_plant" / "models.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    yield folder / "my_plant"
    sys.path.remove(str(folder))
    for name in ("my_plant", "my_plant.models"):
        sys.modules.pop(name, None)


def says(place, trust):
    """Let line.toml name the plant's class as the recipe, and trust these."""
    place.says("readings")
    file = place.folder / "tiny" / "line.toml"
    text = file.read_text().replace('recipe = "logistic"', f'recipe = "{OWN}", trust = {list(trust)}')
    file.write_text(text.replace("'", '"'))
    return place


@pytest.fixture(scope="module")
def _trained(installed, tmp_path_factory):
    """Filled by the first test that asks for it."""
    return tmp_path_factory.mktemp("own"), []


@pytest.fixture
def place(_trained, make_lake, tmp_path):
    """The plant with a champion by its own class."""
    folder, done = _trained
    if not done:
        first = Place(folder)
        shutil.copytree(make_lake(rows()).folder, first.home.lake("tiny"))
        with pytest.raises(LineError, match="not trusted yet") as refused:
            says(first, []).train(FIRST)
        assert f'set learning.trust = ["{HELD}", "{OWN}"];' in str(refused.value)
        done += says(first, [OWN, HELD]).train(FIRST)
    shutil.copytree(folder, tmp_path / "copy")
    assert [(one.version, one.event) for one in done] == [("1", "promoted")]
    return Place(tmp_path / "copy")


def facts(place, day):
    list_night(place.line, str(place.home.folder), day)
    return bundle.read(place.home.published("tiny"), day)["facts"]


def test_a_trusted_class_scores_a_night_and_without_the_trust_the_simple_rule_does_and_says_why(place):
    told = facts(place, NIGHTS[0])
    assert told["model"]["contestant"] == OWN
    says(place, [HELD])
    told = facts(place, NIGHTS[1])
    assert told["state"] == "BASELINE"
    assert told["state_reasons"][0].startswith("the model cannot be used tonight: ")
    assert f"a model that holds {OWN}: not trusted, since loading it" in told["state_reasons"][0]
    assert kept_models.load_reference(place.home, place.champion, [HELD]).refits == ()
    says(place, [OWN, HELD])
    assert facts(place, NIGHTS[2])["state"] != "BASELINE"
    assert len(kept_models.load_reference(place.home, place.champion, [OWN, HELD]).refits) == 4


@pytest.mark.parametrize(
    ("method", "words"),
    [("predict_proba", "scores no unit: AttributeError"), ("__setstate__", "cannot be made from its file again")],
)
def test_a_class_that_changed_since_its_model_was_kept_costs_a_night_no_list(
    place, installed, monkeypatch, method, words
):
    from my_plant.models import Moments, OneColumn

    def changed(self, _given):
        return self.no_such

    monkeypatch.setattr(OneColumn if method == "predict_proba" else Moments, method, changed)
    told = facts(place, NIGHTS[0])
    assert told["state"] == "BASELINE"
    assert words in told["state_reasons"][0]


def test_a_package_that_is_not_installed_any_more_costs_a_night_no_list(place, monkeypatch):
    for name in ("my_plant", "my_plant.models"):
        monkeypatch.setitem(sys.modules, name, None)
    reason = facts(place, NIGHTS[0])["state_reasons"][0]
    assert f"{OWN} (which learning.trust names, but my_plant.models cannot be imported: " in reason


def test_nobody_makes_champion_what_no_night_would_load_and_the_doctor_tells(place):
    champion = place.champion
    again = champion_log.append(
        place.home, "tiny", "promoted", champion.version, role="refresh", by="training", why="twice", at=NOW
    )
    with pytest.raises(ModelError, match=rf"v1/model.skops: .* holds {OWN}: not trusted"):
        champion_log.rollback(place.home, "tiny", by="M. Roth", why="slow", now=NOW, trust=[HELD])
    assert champion_log.entries(place.home, "tiny")[-1] == again
    assert "not trusted" in place.run("rollback", says(place, []).line, "--by", "M. Roth", "--why", "slow").output
    by_name = {one.name: one for one in doctor(place.line, place.home, NOW, environment={}, server=None)}
    assert by_name["champion"].state == "failed"
    assert "not trusted" in by_name["champion"].found
    by_name = {
        one.name: one for one in doctor(says(place, [OWN, HELD]).line, place.home, NOW, environment={}, server=None)
    }
    assert (by_name["champion"].state, by_name["trust"].state) == ("ok", "ok")
    says(place, ["my_plant.OneColumn"])
    found = {one.name: one for one in doctor(place.line, place.home, NOW, environment={}, server=None)}["trust"]
    assert (
        "learning.trust[0]: found 'my_plant.OneColumn', but it is defined as my_plant.models.OneColumn" in found.found
    )


def test_a_night_by_a_class_that_is_not_trusted_any_more_is_not_replayed_as_it_was(place, tmp_path):
    told = facts(place, NIGHTS[0])

    def replayed(trust):
        line = load_line(says(place, trust).line)
        begun = Begun("tiny", line.digest, NIGHTS[0], NIGHTS[0], told["lake_versions"], NOW)
        return _as_it_was(_Replay(line, place.home, open_home(tmp_path / "replay"), begun), NIGHTS[0])

    assert replayed([HELD]) is None
    assert replayed([OWN, HELD]).champion.predict is not None


def test_the_registry_has_the_model_for_those_who_trust_its_classes(place):
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(f"sqlite:///{place.home.mlflow / 'mlflow.db'}")
    loaded = mlflow.sklearn.load_model("models:/tiny/1")
    X = pd.DataFrame({name: [0.5, 2.0] for name in loaded.features})
    assert kept_models.load(place.home, place.champion, [OWN, HELD])(X).tolist() == loaded.predict(X).tolist()


@pytest.mark.proof
def test_a_training_by_another_recipe_leaves_the_decision_to_a_person_where_the_class_is_not_trusted_any_more(place):
    (entry,) = place.says("readings").train(LATER)
    assert (entry.role, entry.event) == ("challenger", "awaiting approval")
    assert "the champion's recipe cannot be fitted any more" in entry.why
    assert "not trusted yet" in entry.why
