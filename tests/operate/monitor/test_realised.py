from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from published_lists import put_list

from qma_predict.operate.monitor.realised import first_scores, judged, level, realised

MONDAY = date(2026, 3, 2)


def rows(outcome, score, *, night=MONDAY, weight=1.0, probability=True):
    frame = pd.DataFrame({"outcome": outcome, "score": score, "weight": weight}, dtype=float)
    frame["night"] = night if isinstance(night, date) else list(night)
    frame["unit_id"] = [f"u{n}" for n in range(len(frame))]
    return frame.assign(probability=frame["score"] if probability else np.nan)


def test_a_week_by_hand():
    # one list of two places: units with 0.8 and 0.4 are on it; the fifth unit's outcome is not known
    told = realised(rows([1, 0, 1, 0, np.nan], [0.8, 0.4, 0.2, 0.1, 0.3]), capacity=2).iloc[0]
    assert told[["week", "nights", "units", "known", "defects"]].tolist() == [MONDAY, 1, 5, 4, 2]
    assert told["expected"] == pytest.approx(1.5)
    assert told["ratio"] == pytest.approx(2 / 1.5)
    assert told["low"] < told["ratio"] < told["high"]
    assert (told["precision"], told["recall"]) == (0.5, 0.5)
    assert told["expected_precision"] == pytest.approx((0.8 + 0.4) / 2)
    assert told["expected_recall"] == pytest.approx(1.2 / 1.5)
    assert told["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    # by place: the chance to be a defect, times the defects expected down to it, by the place
    by_place = 0.8 * 1 + 0.4 * (1 + 0.8) / 2 + 0.2 * (1 + 1.2) / 3 + 0.1 * (1 + 1.4) / 4
    assert told["expected_average_precision"] == pytest.approx(by_place / 1.5)


def test_scores_that_tie_share_the_last_place():
    told = realised(rows([1, 0, 0], [0.4, 0.4, 0.1]), capacity=1).iloc[0]
    assert told["precision"] == 0.5
    assert told["expected_precision"] == pytest.approx(0.4)


def test_weeks_begin_on_mondays_and_need_a_known_outcome():
    nights = [MONDAY - timedelta(days=1), MONDAY, MONDAY + timedelta(days=6), MONDAY + timedelta(days=7)]
    told = realised(rows([1, 0, 1, np.nan], [0.5] * 4, night=nights), capacity=1)
    assert told["week"].tolist() == [MONDAY - timedelta(days=7), MONDAY]
    assert told["nights"].tolist() == [1, 2]


def test_a_ranking_expects_nothing():
    told = realised(rows([1, 0], [0.5, 0.2], probability=False), capacity=1).iloc[0]
    assert told["precision"] == 1.0
    assert told[["expected", "ratio", "expected_precision", "expected_recall"]].isna().all()
    assert level(rows([1, 0], [0.5, 0.2], probability=False)).expected == 0.0


def test_units_stand_for_as_many_as_they_weigh():
    # fourteen times the listed defect was checked for certain; each of the others stands for ten
    nights = [MONDAY + timedelta(days=n % 7) for n in range(14) for _ in range(3)]
    of = rows([1, 0, 1] * 14, [0.9, 0.2, 0.1] * 14, weight=[1, 10, 10] * 14, night=nights)
    told = realised(of, capacity=2).iloc[0]
    assert told["recall"] == pytest.approx(1 / 11)
    assert told["expected_recall"] == pytest.approx(0.9 / (0.9 + 2 + 1))
    assert told["ratio"] == pytest.approx(11 / 3.9)
    found = level(of)
    assert (found.defects, found.expected, found.weighted) == (28, pytest.approx(14 * 1.2), True)
    assert found.shift.ratio == pytest.approx(11 / 3.9)


def test_a_week_whose_labels_are_worth_little_tells_no_recall_and_an_interval_that_knows_it():
    """Twelve weeks of true scores; two audits a night stand for 140 units each, and mostly none of them is defect."""
    rng = np.random.default_rng(0)
    nights = [MONDAY + timedelta(days=n) for n in range(84) for _ in range(22)]
    score = np.concatenate([[*rng.beta(2, 23, size=20), *rng.beta(1, 80, size=2)] for _ in range(84)])
    of = rows(rng.random(84 * 22) < score, score, weight=([1] * 20 + [140] * 2) * 84, night=nights)
    told = realised(of, capacity=20)
    assert len(told) == 12
    assert told[["recall", "average_precision"]].isna().all(axis=None)
    assert told[["precision", "expected_recall", "expected_average_precision"]].notna().all(axis=None)
    beyond = (told["low"] > 1) | (told["high"] < 1)
    assert beyond.sum() <= 3  # nominal 0.6 of 12 at most, of which chance makes 3 once in 50


def test_the_expectation_holds_when_scores_are_right_and_inputs_shift():
    rng = np.random.default_rng(0)
    for low in (0.01, 0.05):  # another mix of units, scored as what they are
        score = rng.beta(1, 1 / low, 40_000)
        of = rows(rng.random(40_000) < score, score, night=[MONDAY + timedelta(days=n % 7) for n in range(40_000)])
        told = realised(of, capacity=300).iloc[0]
        assert told["ratio"] == pytest.approx(1.0, abs=0.1)
        assert told["precision"] == pytest.approx(told["expected_precision"], rel=0.1)
        assert told["recall"] == pytest.approx(told["expected_recall"], rel=0.1)
        assert told["average_precision"] == pytest.approx(told["expected_average_precision"], rel=0.1)


def test_nothing_published_tells_nothing(tmp_path, make_history, tiny_line):
    history = make_history({}, as_of="2026-03-30")
    none = first_scores(tmp_path, history, tiny_line, MONDAY)
    assert none.columns.tolist() == ["unit_id", "night", "score", "probability"]
    points = pd.DataFrame({"unit_id": pd.Series(dtype="str"), "cutoff": pd.Series(dtype="datetime64[us, UTC]")})
    of = judged(none, points, history, tiny_line)
    assert len(realised(of, capacity=2)) == 0
    assert level(of).expected == 0.0


def test_units_count_on_their_first_night_with_what_the_gate_found_once_it_is_mature(tmp_path, make_history, tiny_line):
    first, second = MONDAY, MONDAY + timedelta(days=1)
    put_list(tmp_path, tiny_line, first, {"u1": 0.5, "u2": 0.2})
    put_list(tmp_path, tiny_line, second, {"u1": {"score": 0.9, "first_night": first}, "u3": 0.3})
    put_list(tmp_path, tiny_line, MONDAY + timedelta(days=9), {"u9": 0.3})
    results = [
        {"unit_id": unit, "gate": "final", "characteristic": one, "occurred_at": "2026-03-04", "passed": unit != "u1"}
        for unit in ("u1", "u2", "u3")
        for one in ("leak", "size")
    ]
    history = make_history({"inspections": results}, as_of="2026-03-07 12:00")
    scores = first_scores(tmp_path, history, tiny_line, second)
    assert scores[["unit_id", "score"]].to_numpy().tolist() == [["u1", 0.5], ["u2", 0.2], ["u3", 0.3]]
    cutoffs = pd.to_datetime(["2026-03-02", "2026-03-02", "2026-03-03"], utc=True)
    points = pd.DataFrame({"unit_id": ["u1", "u2", "u3"], "cutoff": cutoffs})
    of = judged(scores, points, history, tiny_line)
    assert of["unit_id"].tolist() == ["u1", "u2"]  # the third has its cutoff on the 3rd, and five days to wait
    assert of["outcome"].tolist() == [1.0, 0.0]
