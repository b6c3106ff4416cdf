"""Looks at the blocks of backtests, as they are kept in a home."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pandas as pd
import pytest

from qma_predict.errors import ModelError
from qma_predict.home import open_home
from qma_predict.operate.backup import backup, restore
from qma_predict.publish.models import kept_looks

NOW = datetime(2026, 4, 2, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    return open_home(tmp_path / "home")


@pytest.fixture
def note(home, tiny_line):
    """Note a training on two blocks of a fortnight each, the first of which begins on a day of 2026."""

    def call(day, *, digest="a", line=tiny_line, to=home):
        origin = pd.to_datetime([day, day], utc=True) + pd.to_timedelta([0, 14], unit="D")
        table = pd.DataFrame({"block": [1, 2], "origin": origin, "end": origin + pd.Timedelta("14D")})
        dataset = SimpleNamespace(line=line, identity={"as_of": "2026-03-01T00:00:00+00:00", "digest": digest})
        return kept_looks.note(to, dataset, SimpleNamespace(backtest=SimpleNamespace(table=table)))

    return call


def test_trainings_that_were_noted_before_count_by_the_time_that_their_blocks_share(note):
    assert note("2026-01-05") == [0, 0]
    assert note("2026-01-19", digest="b") == [1, 0]
    assert note("2026-01-12", digest="c") == [2, 2]
    assert note("2026-03-02", digest="d") == [0, 0]


def test_the_same_training_again_is_the_look_that_it_was(home, note, tiny_line):
    """As where a run was stopped, or where a model is kept after its backtest was noted."""
    note("2026-01-05")
    assert note("2026-01-05", digest="b") == [1, 1]
    assert note("2026-01-05") == [0, 0]
    assert note("2026-01-05", digest="b") == [1, 1]
    assert len(kept_looks.read(home, "tiny")) == 2
    other = tiny_line.model_copy(update={"learning": tiny_line.learning.model_copy(update={"seed": 7})})
    assert note("2026-01-05", line=other) == [2, 2]
    changed = tiny_line.model_copy()
    changed._digest = "of another line.toml"
    assert note("2026-01-05", line=changed) == [3, 3]


def test_looks_come_through_a_backup(home, note, tmp_path):
    note("2026-01-05")
    backup(home, tmp_path / "home.tar", NOW)
    restore(tmp_path / "home.tar", tmp_path / "restored")
    assert note("2026-01-12", digest="b", to=open_home(tmp_path / "restored")) == [1, 1]


def test_a_home_of_before_there_were_looks_begins_to_count(home):
    assert kept_looks.read(home, "tiny") == []


@pytest.mark.parametrize(
    "damage", [b"no json\n", b"{}\n", b"[1]\n", b'{"blocks": [["2026"]]}\n', b'{"blocks": [[1, 2]]}\n', b"\xff\n"]
)
def test_a_damaged_file_is_named_and_nothing_is_added_to_it(home, note, damage):
    note("2026-01-05")
    file = home.models("tiny") / "looks.jsonl"
    whole = file.read_bytes() + damage
    file.write_bytes(whole)
    with pytest.raises(
        ModelError, match=r"looks\.jsonl: it cannot be read how often .* Restore the file from a backup"
    ):
        note("2026-01-12", digest="b")
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_told(home, note):
    (home.folder / "models").write_text("no folder")
    with pytest.raises(ModelError, match="it cannot be (read|noted)"):
        note("2026-01-05")
