import numpy as np

from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.feature_list import feature_list


def test_every_feature_with_family_place_unit_and_what_was_observed(make_history, tiny_line):
    visits = [
        {"unit_id": unit, "station": "oven", "machine": machine, "started_at": "2026-03-02", "ended_at": "2026-03-03"}
        for unit, machine in (("a", "O1"), ("b", "O2"), ("c", "O2"), ("d", None))
    ]
    readings = [
        {"unit_id": unit, "station": "oven", "tag": "heat", "occurred_at": "2026-03-02 08:30", "value": value}
        for unit, value in (("a", 1.0), ("b", 3.5), ("c", np.inf))
    ]
    tags = [{"station": "oven", "tag": "heat", "unit": "degC", "valid_from": "2026-03-01"}]
    history = make_history({"visits": visits, "readings": readings, "tags": tags})
    found = feature_list(make_dataset(history, tiny_line)).set_index("feature")
    assert found.loc["oven.heat.last"].drop("values").tolist() == ["readings", "oven", "degC", 0.75, 1.0, 3.5]
    assert found.loc["oven.machine", ["family", "place", "unit", "known", "values"]].tolist() == [
        *("route", "oven", "", 0.75, 2)
    ]
    assert found["lowest"].isna().to_dict() == {"oven.heat.count": False, "oven.heat.last": False, "oven.machine": True}


def test_a_history_without_units_has_an_empty_list(make_history, tiny_line):
    assert feature_list(make_dataset(make_history({}), tiny_line)).empty
