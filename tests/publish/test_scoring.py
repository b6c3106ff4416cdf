from datetime import date

import numpy as np
import pandas as pd
import pytest

from qma_predict.publish.risk_list import CANDIDATE_COLUMNS
from qma_predict.publish.scoring import score_candidates

AS_OF = pd.Timestamp("2026-03-03 04:00", tz="UTC")


def tables(*units):
    visits = [
        {"unit_id": unit, "station": "oven", "machine": "O1", "started_at": "2026-03-02 08:00",
         "ended_at": "2026-03-02 09:00"}
        for unit in units
    ]  # fmt: skip
    readings = [
        {"unit_id": unit, "station": "oven", "tag": "heat", "occurred_at": "2026-03-02 08:30", "value": number / 10}
        for number, unit in enumerate(units, start=1)
        if unit != "silent"
    ]
    products = [{"unit_id": unit, "product": "A", "occurred_at": "2026-03-02 06:00"} for unit in units]
    return {"visits": visits, "readings": readings, "units": products}


def heat(X):
    return X["oven.heat.last"].to_numpy(dtype=float)


def never(X):
    raise AssertionError("there is nothing to predict")


def test_each_candidate_with_readings_gets_its_own_score(make_history, tiny_line):
    found, _ = score_candidates(make_history(tables("b", "a"), as_of=AS_OF), tiny_line, heat)
    assert list(found) == list(CANDIDATE_COLUMNS)
    assert found.set_index("unit_id")["score"].round(6).to_dict() == {"a": 0.2, "b": 0.1}
    assert found["reason"].isna().all()
    expected = {
        "unit_id": "a",
        "product": "A",
        "cutoff": pd.Timestamp("2026-03-02 09:15", tz="UTC"),
        "first_night": date(2026, 3, 3),
        "station": "oven",
        "machine": "O1",
        "since": pd.Timestamp("2026-03-02 08:00", tz="UTC"),
    }
    assert found.iloc[0][list(expected)].to_dict() == expected


def test_a_unit_without_readings_is_not_scored_and_says_why(make_history, tiny_line):
    found, X = score_candidates(make_history(tables("a", "silent"), as_of=AS_OF), tiny_line, heat)
    found = found.set_index("unit_id")
    assert list(X.index) == ["a"]
    assert np.isnan(found.loc["silent", "score"])
    assert found.loc["silent", "reason"] == "no reading was known at its cutoff"
    assert found.loc["a", "score"] > 0


def test_with_no_reading_at_all_nothing_is_scored(make_history, tiny_line):
    found, _ = score_candidates(make_history(tables("silent"), as_of=AS_OF), tiny_line, never)
    assert found["score"].isna().all()
    assert len(found) == 1


@pytest.mark.parametrize("units", [("silent",), ("a", "silent")])
def test_what_else_is_known_of_a_unit_does_not_stand_in_for_its_readings(make_history, tiny_line, units):
    families = ("product", "route", "readings", "times", "previous", "recent", "calendar")
    line = tiny_line.model_copy(update={"learning": tiny_line.learning.model_copy(update={"families": families})})
    found, X = score_candidates(make_history(tables(*units), as_of=AS_OF), line, lambda X: np.full(len(X), 0.01))
    found = found.set_index("unit_id")
    assert found["score"].dropna().index.tolist() == X.index.tolist() == [one for one in units if one != "silent"]
    assert found.loc["silent", "reason"] == "no reading was known at its cutoff"


def test_a_line_that_has_no_readings_is_scored_by_what_it_has(make_history, tiny_line):
    sources = tuple(source for source in tiny_line.sources if source.table != "readings")
    line = tiny_line.model_copy(update={"sources": sources})
    found, _ = score_candidates(make_history(tables("silent"), as_of=AS_OF), line, lambda X: np.full(len(X), 0.5))
    assert found["score"].tolist() == [0.5]


def test_a_line_that_does_not_learn_from_readings_scores_without_them(make_history, tiny_line):
    learning = tiny_line.learning.model_copy(update={"families": ("route",)})
    line = tiny_line.model_copy(update={"learning": learning})
    found, _ = score_candidates(make_history(tables("silent"), as_of=AS_OF), line, lambda X: np.full(len(X), 0.5))
    assert found["score"].tolist() == [0.5]


def test_without_candidates_there_is_an_empty_table(make_history, tiny_line):
    for history in (make_history(tables("a"), as_of="2026-03-09"), make_history({}, as_of=AS_OF)):
        found, _ = score_candidates(history, tiny_line, never)
        assert list(found) == list(CANDIDATE_COLUMNS)
        assert found.empty


def test_a_unit_listed_before_keeps_its_first_night(make_history, tiny_line):
    found, _ = score_candidates(make_history(tables("a"), as_of="2026-03-05 04:00"), tiny_line, heat)
    assert found["first_night"].tolist() == [date(2026, 3, 3)]


@pytest.mark.parametrize("unit", ["<script>", "=1+1"])
def test_units_with_odd_names_are_scored_under_them(make_history, tiny_line, unit):
    found, _ = score_candidates(make_history(tables("a", unit), as_of=AS_OF), tiny_line, heat)
    assert found.set_index("unit_id")["score"].round(6)[unit] == 0.2
