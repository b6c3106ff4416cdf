import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.practice import compare_with_practice, reasons


def result(score, outcome, night, block=1):
    rows = pd.DataFrame({"score": score, "outcome": outcome, "night": night, "block": block, "contestant": "trees"})
    rows["unit_id"] = [f"u{i}" for i in range(len(rows))]
    return Backtest(pd.DataFrame(), rows, 10)


def why(*reason):
    return pd.Series(reason, index=[f"u{i}" for i in range(len(reason))], dtype="str")


def test_the_practice_and_the_scores_get_as_many_checks_of_each_nights_inspected_units():
    # night 1: one suspicion, good; its best score is a defect. night 2: two suspicions, one a defect; scores find none
    made = result([0.9, 0.1, 0.2, 0.8, 0.7, 0.1, 0.6], [1, 0, np.nan, 0, 0, 1, 0], [1, 1, 1, 2, 2, 2, 2])
    found = compare_with_practice(made, "trees", why("s", "x", "x", "s", "s", "x", "x"), ["x"])
    assert (found.checks, found.found) == (3, 1)
    assert found.by_score == 1.0
    assert found.at_random == pytest.approx(1 / 2 + 2 / 4)
    assert np.isnan(found.low)
    assert found.sentence == (
        "trees against the plant's practice (x): with the practice's 3 checks of inspected units 1 defects against 1, "
        "at random 1: not enough yet to tell (difference 0.0 in 100 checks)"
    )


def many(strength, practice_strength, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(6000) < 0.1).astype(float)
    night = np.repeat(np.arange(60), 100)
    picked = practice_strength * y + rng.normal(size=6000) > 1.5
    made = result(strength * y + rng.normal(size=6000), y, night, block=1 + night // 30)
    return made, why(*np.where(picked, "alarm", "sampling"))


@pytest.mark.parametrize(("ours", "theirs", "says"), [(2.0, 0.5, "better"), (0.5, 2.0, "worse")])
def test_who_knows_more_finds_more_with_as_many_checks(ours, theirs, says):
    made, reason = many(ours, theirs)
    found = compare_with_practice(made, "trees", reason, ["alarm"])
    difference = (found.by_score - found.found) / found.checks
    assert found.low < difference < found.high
    assert (found.low > 0) == (says == "better")
    assert f": {says} (difference " in found.sentence


def test_a_practice_as_good_as_chance_finds_as_many_as_chance():
    made, reason = many(0.0, 0.0)
    found = compare_with_practice(made, "trees", reason, ["alarm"])
    assert found.found == pytest.approx(found.at_random, rel=0.3)
    assert "not distinguishable" in found.sentence


def test_what_lasts_for_several_nights_is_less_sure_than_what_changes_from_night_to_night():
    """The same nights in another order: drawn one by one, they would give 0.25 each time."""
    wide = {}
    for lasts in (1, 8):
        night = np.repeat(np.arange(64), 4)
        knows = night // lasts % 2 == 0  # which of two units on suspicion and two others has the defect
        made = result(
            np.tile([0.1, 0.1, 0.9, 0.9], 64), np.where(knows, [0.0, 0, 1, 0] * 64, [1.0, 0, 0, 0] * 64), night
        )
        found = compare_with_practice(made, "trees", why(*["x", "x", "s", "s"] * 64), ["x"])
        assert (found.checks, found.found, found.by_score) == (128, 32, 32)
        assert found.low <= 0 <= found.high
        wide[lasts] = found.high - found.low
    assert wide[1] < 0.05 < 0.4 < wide[8]


def test_nights_without_a_check_on_suspicion_tell_nothing():
    made, reason = many(1.0, 0.5)
    more = made.predictions.assign(unit_id=lambda rows: "v" + rows["unit_id"], night=lambda rows: rows["night"] + 60)
    both = Backtest(made.table, pd.concat([made.predictions, more]), made.capacity)
    alone, with_more = (compare_with_practice(one, "trees", reason, ["alarm"]) for one in (made, both))
    assert with_more == alone


@pytest.mark.parametrize(
    ("reason", "practice", "says"),
    [
        (why("x", "x"), [], "the line names no reasons of inspections as its practice (learning.practice)"),
        (why(None, None), ["x"], "no inspection of the backtest's units has a reason recorded"),
        (why("s", "s"), ["x"], "no unit of the backtest was inspected for x; recorded reasons are s (2)"),
    ],
)
def test_where_nothing_is_recorded_the_reason_stands(reason, practice, says):
    found = compare_with_practice(result([0.5, 0.1], [1.0, 0.0], [1, 1]), "trees", reason, practice)
    assert found.checks == 0
    assert np.isnan(found.by_score)
    assert found.sentence == f"not compared with the plant's practice: {says}"


def test_the_reason_is_that_of_the_first_inspection_after_the_cutoff(make_history, tiny_line):
    visits = [
        {"unit_id": unit, "station": "oven", "started_at": "2026-03-02 08:00", "ended_at": "2026-03-02 09:00"}
        for unit in ("a", "b", "c")
    ]
    seen = [
        ("a", "size", "2026-03-02 10:05", "later"),
        ("a", "leak", "2026-03-02 10:00", "suspect"),
        ("b", "leak", "2026-03-02 10:00", None),
        ("c", "paint", "2026-03-02 10:00", "not counted"),
    ]
    inspections = [
        {"unit_id": unit, "gate": "final", "characteristic": what, "occurred_at": at, "passed": True, "reason": reason}
        for unit, what, at, reason in seen
    ]
    history = make_history({"visits": visits, "inspections": inspections})
    found = reasons(make_dataset(history, tiny_line))
    assert found.dropna().to_dict() == {"a": "suspect"}
    assert list(found.index) == ["a", "b"]
