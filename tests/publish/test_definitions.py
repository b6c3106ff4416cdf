import hashlib

import pytest

from qma_predict.errors import LineError
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.publish.lists import definitions


@pytest.fixture
def home(tmp_path):
    return open_home(tmp_path / "home")


@pytest.fixture
def plant(tmp_path, tiny_line):
    """A folder with a line.toml of its own that may be changed."""
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "line.toml").write_bytes(tiny_line.text)
    return tmp_path / "line"


def changed(plant, before, after):
    file = plant / "line.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    return load_line(plant)


def test_a_line_is_had_again_as_it_was_defined(home, plant):
    first = load_line(plant)
    definitions.keep(home, first)
    now = changed(plant, "capacity = 2", "capacity = 7")
    then = definitions.as_defined(home, now, first.digest)
    assert (then, then.digest, then.file) == (first, first.digest, first.file)
    assert definitions.as_defined(home, now, now.digest) is now
    definitions.keep(home, now)
    kept = {file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in home.definitions("tiny").iterdir()}
    assert kept == {digest: digest for digest in (first.digest, now.digest)}


def test_what_was_changed_by_hand_is_not_taken_for_it_and_is_mended_by_the_next_list(home, plant):
    first = load_line(plant)
    definitions.keep(home, first)
    file = home.definitions("tiny") / f"{first.digest}.toml"
    file.write_text(file.read_text().replace("capacity = 2", "capacity = 1"))
    now = changed(plant, "capacity = 2", "capacity = 7")
    with pytest.raises(LineError, match="is not what was kept"):
        definitions.as_defined(home, now, first.digest)
    definitions.keep(home, changed(plant, "capacity = 7", "capacity = 2"))
    assert definitions.as_defined(home, now, first.digest).list.capacity == 2


def test_one_that_is_not_kept_or_not_understood_is_told(home, plant):
    line = load_line(plant)
    with pytest.raises(LineError, match="cannot be read: No such file"):
        definitions.as_defined(home, line, "0" * 64)
    text = b"name = 'tiny'"
    digest = hashlib.sha256(text).hexdigest()
    home.definitions("tiny").mkdir(parents=True)
    (home.definitions("tiny") / f"{digest}.toml").write_bytes(text)
    with pytest.raises(LineError, match="route: missing"):
        definitions.as_defined(home, line, digest)


def test_variables_are_kept_as_they_are_written(home, plant, monkeypatch):
    file = plant / "line.toml"
    file.write_text(file.read_text().replace('"units.csv"', '"${SECRET}/units.csv"').replace(
        'plant = "Test plant"', 'plant = "Test plant"\nvariables = ["SECRET"]'
    ))  # fmt: skip
    monkeypatch.setenv("SECRET", "hunter2")
    definitions.keep(home, load_line(plant))
    (kept,) = home.definitions("tiny").iterdir()
    assert b"hunter2" not in kept.read_bytes()


def test_that_it_cannot_be_kept_is_logged_and_keeps_nobody_from_a_list(home, plant, caplog):
    home.definitions("tiny").parent.write_text("in the way")
    definitions.keep(home, load_line(plant))
    assert "once line.toml is changed, what was made by it cannot be made again" in caplog.text
