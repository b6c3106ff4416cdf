import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import PROCESSES

from qma_predict.errors import HomeError
from qma_predict.home import FORMAT, Home, open_home


def test_a_new_folder_becomes_a_home(tmp_path):
    home = open_home(tmp_path / "a" / "b")
    assert home == Home(tmp_path / "a" / "b")
    assert json.loads((home.folder / "home.json").read_text()) == {"format": FORMAT}
    assert [path.name for path in home.folder.iterdir()] == ["home.json"]


def test_a_home_opened_again_is_left_as_it_is(tmp_path):
    home = open_home(tmp_path)
    home.lake("demo").mkdir(parents=True)
    before = (tmp_path / "home.json").stat()
    assert open_home(str(tmp_path)) == home
    assert (tmp_path / "home.json").stat() == before


def test_a_relative_home_stays_where_it_is_when_the_process_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_home("home").folder == tmp_path / "home"


def test_each_line_has_its_own_place(tmp_path):
    home = open_home(tmp_path)
    assert home.lake("a") == tmp_path / "lake" / "a"
    assert home.published("a") == tmp_path / "published" / "a"
    assert home.mlflow == tmp_path / "mlflow"


def test_a_home_of_a_newer_format_is_refused(tmp_path):
    (tmp_path / "home.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(HomeError) as error:
        open_home(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: the home has format {FORMAT + 1}, this version of the program reads format {FORMAT}. "
        "Upgrade the program, or name another home."
    )


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(HomeError, match=r"not empty, and not a home \(no home.json\)\. Name an empty"):
        open_home(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_home_whose_making_was_interrupted_is_made_whole(tmp_path):
    (tmp_path / "home.json.1234").write_text("{")
    assert open_home(tmp_path).folder == tmp_path
    assert (tmp_path / "home.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}"])
def test_an_unreadable_mark_is_told(tmp_path, text):
    (tmp_path / "home.json").write_text(text)
    with pytest.raises(HomeError, match=r"cannot be used as home: .*\. Check its permissions and home\.json\."):
        open_home(tmp_path)


@pytest.mark.parametrize("name", ["lines [1]", "a|b", "a^b", "a%20b"])
def test_a_folder_below_which_no_delta_table_can_lie_is_refused(tmp_path, name):
    with pytest.raises(HomeError, match="cannot be used as home: Delta tables cannot lie below a name with "):
        open_home(tmp_path / name / "home")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_home(tmp_path):
    (tmp_path / "home").write_text("")
    for folder in (tmp_path / "home", tmp_path / "home" / "below"):
        with pytest.raises(HomeError, match="cannot be used as home"):
            open_home(folder)


def open_and_use(folder):
    with open_home(folder).writing("demo"):
        return True


def test_processes_may_open_a_new_home_at_once(tmp_path):
    folders = [tmp_path / str(number) for number in range(10)]
    with PROCESSES.Pool(4) as pool:
        for folder in folders:
            assert all(pool.map(open_and_use, [folder] * 16, chunksize=1))
    assert {path.name for folder in folders for path in folder.iterdir()} == {"home.json", "locks"}


def test_threads_may_open_a_new_home_at_once(tmp_path):
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            for number in range(100):
                assert all(threads.map(open_and_use, [tmp_path / str(number)] * 4))
    finally:
        sys.setswitchinterval(usual)


def add_one(folder):
    with open_home(folder).writing("demo"):
        count = int((folder / "count").read_text())
        (folder / "count").write_text(str(count + 1))


def test_one_writer_at_a_time(tmp_path):
    open_home(tmp_path)
    (tmp_path / "count").write_text("0")
    with PROCESSES.Pool(4) as pool:
        pool.map(add_one, [tmp_path] * 100, chunksize=1)
    assert (tmp_path / "count").read_text() == "100"
