import os
import subprocess
import sys
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import ModelError
from qma_predict.home import open_home
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.reference import Reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.trust import RiskRanges
from qma_predict.publish.models import kept_models
from qma_predict.publish.models.model import Model, line_of, made_by, same_recipe

X = pd.DataFrame(
    {
        "press.force.last": np.array([1.5, np.nan, 2.5, 9.0], dtype="float32"),
        "press.machine": pd.array(["P1", None, "P2", "P2"], dtype="str"),
    },
    index=pd.Index(["a", "b", "c", "d"], name="unit_id"),
)
FITTED, RULE = (RiskModel.of(make_baseline(name).fit(X, [0, 0, 1, 1]), X) for name in ("recent_rate", "prevalence"))
REFERENCE = Reference(
    siblings=X,
    products=pd.Series(["A", None, "B", "B"], index=X.index, dtype="str", name="product"),
    groups=pd.Series({name: name for name in X}, dtype="str"),
    refits=(FITTED,),
    past=pd.DataFrame({"unit_id": ["x"], "night": [date(2026, 3, 3)], "score": [0.25]}),
)
MODEL = Model(
    line="tiny",
    version="1",
    run_id="abc",
    contestant="recent_rate",
    is_recipe=False,
    as_of=datetime(2026, 3, 1, 4, tzinfo=UTC),
    base_rate=0.1,
    finding="recent_rate: not distinguishable (»ties«)",
    also=("one", "two"),
    ranges=RiskRanges((0.1, 0.2), (0.05, 0.1), (0.2, 0.3)),
    spread=PromiseSpread((-1.0, 0.0, 1.0), (0.25, 0.5, 0.25), nights=3, expected=1.5),
    learning={"recipe": "boosted_trees", "parameters": {"a": 1}, "families": ["readings"], "seed": 3},
    baseline="prevalence",
    dataset="0123",
)


def keep(home, model=MODEL, **more):
    return kept_models.keep(home, model, FITTED, RULE, REFERENCE, words, **more)


def words(model):
    return {kept_models.CARD: f"# Card of v{model.version}\n", kept_models.FEATURES: "feature\n"}


@pytest.fixture
def home(tmp_path):
    return open_home(tmp_path / "home")


def test_a_model_comes_back_as_it_was_kept(home):
    kept = keep(home)
    assert len(kept.sha256) == 64
    again = kept_models.read(home, "tiny", "1", kept.sha256)
    assert again == kept
    assert np.array_equal(kept_models.load(home, again)(X), FITTED.predict(X))
    assert np.array_equal(kept_models.load_baseline(home, again)(X), RULE.predict(X))
    reference = kept_models.load_reference(home, again)
    pd.testing.assert_frame_equal(reference.siblings, X)
    assert np.array_equal(reference.refits[0].predict(X), FITTED.predict(X))
    assert home.card("tiny", "1").read_text() == "# Card of v1\n"
    kept_models.verify(home, again)


def test_features_that_a_table_lacks_are_missing_values_and_others_are_ignored(home):
    predict = kept_models.load(home, keep(home))
    empty = X.assign(**{"press.machine": pd.array([None] * 4, dtype="str")})
    assert np.array_equal(predict(X.drop(columns="press.machine").assign(stranger="?")), predict(empty))


def test_versions_are_counted_on_and_never_given_twice(home):
    assert kept_models.versions(home, "tiny") == []
    assert [keep(home).version, keep(home).version] == ["1", "2"]
    assert keep(home, Model(**vars(MODEL) | {"version": "12"})).version == "12"  # as the registry counts
    assert keep(home).version == "13"
    assert home.card("tiny", "13").read_text() == "# Card of v13\n"
    assert kept_models.versions(home, "tiny") == ["1", "2", "12", "13"]


@pytest.mark.parametrize(
    "name",
    ["model.json", "model.skops", "baseline.skops", "siblings.parquet", "refit_1.skops", "card.md", "features.csv"],
)
def test_a_file_that_is_damaged_or_swapped_is_refused_by_its_hash_before_it_is_read(home, name):
    kept, _other = keep(home), keep(home, Model(**vars(MODEL) | {"base_rate": 0.2}))
    file = home.models("tiny") / "v1" / name
    whole = file.read_bytes()
    for damage in (whole[:-1], whole + b"\n", b"", whole.replace(b"a", b"b", 1)):
        file.write_bytes(damage)
        with pytest.raises(ModelError, match=rf"v1/{name}: .* not what was kept: found SHA-256 .*qma train tiny"):
            kept_models.verify(home, kept)
    file.unlink()
    with pytest.raises(ModelError, match=rf"v1/{name}: .*No such file"):
        kept_models.verify(home, kept)


def test_only_what_is_read_is_verified(home):
    kept = keep(home)
    (home.models("tiny") / "v1" / "model.skops").write_bytes(b"")
    with pytest.raises(ModelError, match="found SHA-256"):
        kept_models.load(home, kept)
    assert np.array_equal(kept_models.load_baseline(home, kept)(X), RULE.predict(X))  # what a night falls back to
    assert len(kept_models.load_reference(home, kept).siblings) == 4


def test_a_version_in_the_place_of_another_is_refused(home):
    first, second = keep(home), keep(home)
    folder = home.models("tiny")
    (folder / "v1").rename(folder / "away")
    (folder / "v2").rename(folder / "v1")
    with pytest.raises(ModelError, match=r"v1/model.json: .* found SHA-256"):
        kept_models.load(home, first)
    with pytest.raises(ModelError, match="it is that of tiny v2"):
        kept_models.read(home, "tiny", "1")
    with pytest.raises(ModelError, match="No such file"):
        kept_models.load(home, second)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"format": 99}', b'{"format": 1, "model": {}}'])
def test_facts_that_are_not_understood_are_told(home, text):
    keep(home)
    (home.models("tiny") / "v1" / "model.json").write_bytes(text)
    with pytest.raises(ModelError, match="v1/model.json: model tiny v1 is not what was kept: it "):
        kept_models.read(home, "tiny", "1")


@pytest.mark.parametrize("at", kept_models.STEPS)
def test_wherever_a_writer_is_stopped_a_version_is_whole_or_not_there(home, at):
    keep(home)
    child = os.fork()
    if child == 0:
        keep(home, step=lambda name: os._exit(77) if name == at else None)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
    found = kept_models.versions(home, "tiny")
    assert found == (["1"] if at == "written" else ["1", "2"])
    for one in found:
        kept_models.verify(home, kept_models.read(home, "tiny", one))
    assert keep(home).version == str(len(found) + 1)
    assert {path.name for path in home.models("tiny").iterdir()} == {f"v{n}" for n in range(1, len(found) + 2)}


def test_a_home_that_cannot_be_written_is_told(home):
    home.models("tiny").parent.write_text("in the way")
    with pytest.raises(ModelError, match="the model cannot be kept .*Earlier models are unchanged"):
        keep(home)


def test_nothing_of_a_night_needs_mlflow(home):
    keep(home)
    script = (
        "import sys; from qma_predict.home import open_home; from qma_predict.publish.models import kept_models as k;"
        f"h = open_home({str(home.folder)!r}); m = k.read(h, 'tiny', '1'); k.load(h, m); k.load_reference(h, m);"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_night_of_a_model_has_the_features_it_was_made_with(tiny_line):
    model = Model(**vars(MODEL) | {"learning": made_by(tiny_line)})
    assert same_recipe(model, tiny_line)
    learning = tiny_line.learning.model_copy(update={"families": ("readings", "times"), "blocks": 2})
    changed = tiny_line.model_copy(update={"learning": learning})
    assert not same_recipe(model, changed)
    again = line_of(changed, model)
    assert again.learning.families == tiny_line.learning.families
    assert again.learning.blocks == 2  # how it is judged is the line's
    assert (again.digest, again.file) == (tiny_line.digest, tiny_line.file) != ("", "line.toml")
    other_seed = tiny_line.learning.model_copy(update={"seed": 9, "block": tiny_line.learning.block * 2})
    assert same_recipe(model, tiny_line.model_copy(update={"learning": other_seed}))
