import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.dataset import make_dataset

MARCH = pd.Timestamp("2026-03-20", tz="UTC")


def tables(value=1.0, passed=True):
    visits = [
        {"unit_id": unit, "station": "oven", "machine": "O1", "started_at": "2026-03-02 08:00", "ended_at": ended}
        for unit, ended in (("late", "2026-03-02 10:00"), ("early", "2026-03-02 09:00"), ("known", "2026-03-02 09:00"))
    ]
    inspections = [
        {"unit_id": unit, "gate": "final", "characteristic": name, "passed": passed, "occurred_at": "2026-03-03"}
        for unit in ("late", "early")
        for name in ("leak", "size")
    ]
    inspections.append(inspections[0] | {"unit_id": "known", "occurred_at": "2026-03-02 09:10"})
    readings = [
        {"unit_id": unit, "station": "oven", "tag": "heat", "occurred_at": "2026-03-02 08:30", "value": value}
        for unit in ("early", "late")
    ]
    return {"visits": visits, "readings": readings, "inspections": inspections}


def test_points_features_and_labels_have_the_same_units_in_time_order(make_history, tiny_line):
    found = make_dataset(make_history(tables()), tiny_line)
    assert found.points.index.tolist() == found.X.index.tolist() == found.y.index.tolist() == ["early", "late"]
    assert found.X["oven.heat.last"].tolist() == [1.0, 1.0]
    assert found.y.tolist() == [0.0, 0.0]


def test_the_identity_says_what_is_needed_to_make_it_again(make_history, tiny_line):
    identity = make_dataset(make_history(tables(passed=False), as_of=MARCH), tiny_line).identity
    assert len(identity.pop("digest")) == 32
    assert identity == {
        "line": "tiny",
        "line_digest": tiny_line.digest,
        "as_of": "2026-03-20T00:00:00+00:00",
        "versions": {"visits": 0, "readings": 0, "inspections": 0},
        "units": 2,
        "already_known": 1,
        "features": 3,
        "labelled": 2,
        "defects": 2,
        "states": {"pending": 0, "good": 0, "defect": 2, "disputed": 0, "void": 0},
    }


def test_the_same_data_have_the_same_identity_whatever_their_order(make_history, tiny_line):
    backwards = {name: rows[::-1] for name, rows in tables().items()}
    first, second = (make_dataset(make_history(rows), tiny_line).identity for rows in (tables(), backwards))
    assert first == second


@pytest.mark.parametrize("changed", [tables(value=1.0000001), tables(passed=False)])
def test_changed_features_or_labels_have_another_digest(make_history, tiny_line, changed):
    first, second = (make_dataset(make_history(rows), tiny_line).identity for rows in (tables(), changed))
    assert first["digest"] != second["digest"]


def test_a_feature_by_another_name_has_another_digest(make_history, tiny_line):
    renamed = tables()
    renamed["readings"] = [row | {"tag": "warmth"} for row in renamed["readings"]]
    first, second = (make_dataset(make_history(rows), tiny_line).identity for rows in (tables(), renamed))
    assert first["digest"] != second["digest"]


def test_data_that_came_later_leave_an_earlier_dataset_the_same(make_lake, tiny_line):
    lake = make_lake(tables())
    before = make_dataset(lake.at(MARCH), tiny_line)
    later = make_lake({"readings": [tables()["readings"][0] | {"value": 9.0, "recorded_at": "2026-03-21"}]})
    lake.append("readings", later.read("readings"), [])
    after = make_dataset(lake.at(MARCH), tiny_line)
    assert after.identity["digest"] == before.identity["digest"]
    assert after.identity["versions"] != before.identity["versions"]
    again = make_dataset(lake.at(MARCH, before.identity["versions"]), tiny_line)
    assert again.identity == before.identity


def test_labels_as_known_earlier(make_history, tiny_line):
    found = make_dataset(make_history(tables(), as_of=MARCH), tiny_line)
    mature = found.points["cutoff"]["early"] + pd.Timedelta("5D")
    np.testing.assert_array_equal(found.labels_at(mature), [0.0, np.nan])
    assert found.labels_at(mature).index.tolist() == ["early", "late"]


def test_labels_from_after_the_moment_of_the_dataset_are_refused(make_history, tiny_line):
    found = make_dataset(make_history(tables(), as_of=MARCH), tiny_line)
    with pytest.raises(ValueError, match=r"expected at most 2026-03-20 00:00:00\+00:00"):
        found.labels_at(MARCH + pd.Timedelta("1us"))


def test_a_line_without_data_has_an_empty_dataset(make_history, tiny_line):
    found = make_dataset(make_history({}), tiny_line)
    assert found.X.shape == (0, 0)
    assert (found.identity["units"], found.identity["labelled"]) == (0, 0)


def test_every_feature_carries_its_unit(make_history, tiny_line):
    rows = tables() | {"tags": [{"station": "oven", "tag": "heat", "unit": "degC", "valid_from": "2026-03-01"}]}
    found = make_dataset(make_history(rows), tiny_line)
    assert found.units == {"oven.heat.count": "", "oven.heat.last": "degC", "oven.machine": ""}
    assert set(found.units) == set(found.X)
