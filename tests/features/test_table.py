import sys
from pkgutil import iter_modules

import ibis
import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import LineError
from qma_predict.features import families, table
from qma_predict.features.families import family
from qma_predict.features.points import prediction_points
from qma_predict.features.table import feature_table

LATE = pd.Timestamp("2026-02-01", tz="UTC")
FAMILIES = sorted(module.name for module in iter_modules(families.__path__))


def reading(unit, value, at="2026-03-02 10:00"):
    return {"unit_id": unit, "station": "press", "tag": "force", "value": value, "occurred_at": at}


def points(*units):
    return pd.DataFrame({"unit_id": list(units), "cutoff": [pd.Timestamp("2026-03-02 12:00", tz="UTC")] * len(units)})


def with_families(line, *names):
    return line.model_copy(update={"learning": line.learning.model_copy(update={"families": names})})


@pytest.fixture
def add_family(tmp_path, monkeypatch):
    """Return a function that drops a file into the folder of the families, so to say."""
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    added = []

    def add(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        added.append(name)

    yield add
    for name in added:
        sys.modules.pop(f"{families.__name__}.{name}", None)
        vars(families).pop(name, None)


def test_rows_follow_the_points_and_columns_the_alphabet(make_history, tiny_line):
    history = make_history({"readings": [reading("a", 1.0), reading("b", 2.0), reading("c", 3.0)]})
    found = feature_table(history, points("c", "a", "b"), tiny_line)
    assert found.index.tolist() == ["c", "a", "b"]
    assert found.index.name == "unit_id"
    assert found["press.force.last"].tolist() == [3.0, 1.0, 2.0]
    assert found.columns.tolist() == sorted(found.columns)


def test_numbers_are_float32_and_names_are_text(make_history, tiny_line):
    visit = {"unit_id": "a", "station": "press", "machine": "P1", "started_at": "2026-03-02 08:00"}
    found = feature_table(make_history({"readings": [reading("a", 0.1)], "visits": [visit]}), points("a"), tiny_line)
    assert found.dtypes.astype(str).to_dict() == {
        "press.force.count": "float32",
        "press.force.last": "float32",
        "press.machine": "str",
    }


def test_a_unit_without_any_row_is_all_missing(make_history, tiny_line):
    visit = {"unit_id": "a", "station": "press", "machine": "P1", "started_at": "2026-03-02 08:00"}
    history = make_history({"readings": [reading("a", 1.0)], "visits": [visit]})
    found = feature_table(history, points("a", "nothing"), tiny_line)
    assert found.loc["nothing"].isna().all()
    assert found.loc["a"].notna().all()


def test_no_points_make_an_empty_table(make_history, tiny_line):
    history = make_history({"readings": [reading("a", 1.0)]})
    found = feature_table(history, prediction_points(history, tiny_line), tiny_line)
    assert found.shape == (0, 0)
    assert found.index.name == "unit_id"


@pytest.mark.parametrize(
    "unit", ["<b>x</b>&amp;", "a'; drop table t; --", 'say "é"\u2028', " 7 ", "007", "NULL", "a.b"]
)
def test_units_may_be_called_anything(make_history, tiny_line, unit):
    history = make_history({"readings": [reading(unit, 1.0), reading("7", 2.0)]})
    assert feature_table(history, points(unit), tiny_line)["press.force.last"].to_dict() == {unit: 1.0}


def test_more_points_than_one_query_takes_are_the_same_points(lake, line, monkeypatch):
    history = lake.at(LATE)
    found = prediction_points(history, line).iloc[:250]
    whole = feature_table(history, found, line)
    monkeypatch.setattr(table, "POINTS_AT_ONCE", 100)
    pd.testing.assert_frame_equal(feature_table(history, found, line), whole, check_exact=True)


def test_the_number_of_threads_changes_no_bit(lake, line):
    history = lake.at(LATE)
    found = prediction_points(history, line).iloc[:400]
    tables = []
    for threads in (1, 2, 4):
        history.tables["readings"].get_backend().raw_sql(f"SET threads = {threads}")
        tables.append(feature_table(history, found, line))
    for other in tables[1:]:
        pd.testing.assert_frame_equal(other, tables[0], check_exact=True)


def test_the_order_of_rows_and_files_changes_no_bit(make_lake, tiny_line):
    rng = np.random.default_rng(3)
    n = 4000  # values of very different size, whose sums depend on the order of adding up
    rows = pd.DataFrame(
        {
            "unit_id": rng.choice(list("abcdefgh"), n),
            "station": "press",
            "tag": rng.choice(["force", "heat"], n),
            "occurred_at": pd.Timestamp("2026-03-01", tz="UTC")
            + pd.to_timedelta(rng.integers(0, 10**11, n), unit="us"),
            "value": rng.normal(0, 1, n) * 10.0 ** rng.integers(-6, 9, n),
        }
    )
    tables = []
    for seed in range(3):
        shuffled = rows.sample(frac=1, random_state=seed)
        lake = make_lake({"readings": shuffled.iloc[: seed * 1500]})
        other = make_lake({"readings": shuffled.iloc[seed * 1500 :]})
        lake.append("readings", other.read("readings"), [])
        history = lake.at(pd.Timestamp("2027-01-01", tz="UTC"))
        tables.append(feature_table(history, points(*"abcdefgh"), tiny_line))
    assert tables[0].shape == (8, 10)
    for other in tables[1:]:
        pd.testing.assert_frame_equal(other, tables[0], check_exact=True)


def test_features_of_the_small_plant(lake, line):
    history = lake.at(LATE)
    found = prediction_points(history, line)
    X = feature_table(history, found, line)
    assert X.index.tolist() == found["unit_id"].tolist()
    assert {name.rsplit(".", 1)[1] for name in X} == set().union(*(family(one).UNITS for one in line.learning.families))
    assert {f"{station}.machine" for station in line.route} <= set(X)
    assert X["wash.machine"].notna().mean() > 0.97  # the stay of some was recorded late
    assert not X.isna().all().any()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_gives_each_cell_once_and_only_known_points(lake, line, name):
    history = lake.at(LATE)
    some = prediction_points(history, line).iloc[::20][["unit_id", "cutoff"]]
    again = some.iloc[::4].assign(cutoff=some["cutoff"] - pd.Timedelta("20min"))  # a unit at two points
    some = pd.concat([some, again], ignore_index=True)
    numbered = ibis.memtable(some.assign(point=range(len(some))))
    rows = family(name).compute(history, numbered, line).to_pandas()
    assert set(rows) == {"point", "of", *family(name).UNITS}
    assert not rows.duplicated(["point", "of"]).any()
    assert rows["point"].isin(range(len(some))).all()
    assert rows["of"].notna().all()


def test_every_family_says_whether_it_is_inherited():
    assert all(isinstance(family(name).INHERITED, bool) for name in FAMILIES)


def test_a_new_file_is_a_new_family(make_history, tiny_line, add_family):
    add_family(
        "names",
        "import ibis\n"
        "from qma_predict.features.families import known\n"
        "def compute(history, points, line):\n"
        '    units = known(history.all_versions("units"), points)\n'
        '    return units.select("point", of=ibis.literal("unit"), name_length=units.unit_id.length())\n',
    )
    history = make_history({"units": [{"unit_id": "abc", "occurred_at": "2026-03-02 06:00"}]})
    found = feature_table(history, points("abc"), with_families(tiny_line, "names"))
    assert found["unit.name_length"].to_dict() == {"abc": 3.0}


def test_an_unknown_family_says_which_there_are(make_history, tiny_line):
    with pytest.raises(LineError, match=rf"no family 'reading'\. Expected some of {', '.join(FAMILIES)}"):
        feature_table(make_history({}), points("a"), with_families(tiny_line, "reading"))
