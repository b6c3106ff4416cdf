import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.agreement import ALL, agreement, ceiling_on_recall, kappa, left_out
from qma_predict.learn.rates import corrected_rate, wilson

AT = "2026-03-02 08:00"


def judged(unit, inspector, trial, passed, reference, characteristic=""):
    return {
        **{"unit_id": unit, "inspector": inspector, "trial": str(trial), "characteristic": characteristic},
        **{"passed": passed, "reference": reference, "occurred_at": AT},
    }


def study():
    """Ten defects and twenty good units, two inspectors, two trials: A errs at random, B always passes unit d0."""
    rows = []
    for n in range(10):
        for trial in (1, 2):
            rows.append(judged(f"d{n}", "A", trial, n == 1 and trial == 2, False))
            rows.append(judged(f"d{n}", "B", trial, n == 0, False))
    for n in range(20):
        for trial in (1, 2):
            rows.append(judged(f"g{n}", "A", trial, not (n == 0 and trial == 1), True))
            rows.append(judged(f"g{n}", "B", trial, True, True))
    return {"agreement": rows}


def test_sensitivity_and_specificity_with_intervals_that_count_units(make_history, tiny_line):
    found = agreement(make_history(study()), tiny_line, wilson(0.05, 2000), 2000).inspectors
    assert found.index.tolist() == ["A", "B", ALL]
    assert found["units"].tolist() == [30, 30, 30]
    # A failed 19 of 20 times a defect, B 18; A passed 39 of 40 times a good unit, B 40
    assert found["sensitivity"].tolist() == pytest.approx([19 / 20, 18 / 20, 37 / 40])
    assert found["specificity"].tolist() == pytest.approx([39 / 40, 1.0, 79 / 80])
    assert found.loc[ALL, ["sensitivity_low", "sensitivity_high"]].tolist() == pytest.approx(wilson(37 / 40, 10)[1:])
    assert found.loc["B", ["specificity_low", "specificity_high"]].tolist() == pytest.approx(wilson(1.0, 20)[1:])


def test_kappa_within_and_between(make_history, tiny_line):
    found = agreement(make_history(study()), tiny_line, wilson(0.05, 2000), 2000)
    # A: 30 units twice, 20 failures of 60, two units judged differently: 1 - (2 * 1 / 2) / (30 * 1/3 * 2/3)
    assert found.inspectors.loc["A", "within"] == pytest.approx(1 - 1 / (30 * 2 / 9))
    assert found.inspectors.loc["B", "within"] == 1.0
    # both together: 60 pairs, 38 failures of 120, two pairs differ
    p = 38 / 120
    assert found.inspectors.loc[ALL, "within"] == pytest.approx(1 - 1 / (60 * p * (1 - p)))
    # first trials: A fails d0..d9 and g0, B d1..d9: 20 failures of 60, on d0 and g0 they differ
    assert found.between == pytest.approx(1 - 1 / (30 * 2 / 9))


def test_the_defect_rate_is_corrected_and_the_ceiling_follows(make_history, tiny_line):
    found = agreement(make_history(study()), tiny_line, wilson(0.05, 2000), 2000)
    assert (found.defects, found.goods) == (10, 20)
    assert found.corrected == corrected_rate(0.05, 2000, 37 / 40, 10, 79 / 80, 20)
    true = (0.05 - 1 / 80) / (37 / 40 - 1 / 80)
    assert found.corrected.value == pytest.approx(true)
    assert found.precision == pytest.approx(wilson(37 / 40, 10))
    assert found.recall.value == pytest.approx(true * 37 / 40 / 0.05)
    assert found.recall.low == 0.0  # where no recorded defect is a true one
    most, se, sp = found.corrected.high, wilson(37 / 40, 10).high, wilson(79 / 80, 20).high
    assert found.recall.high == pytest.approx(most * se / (most * se + (1 - most) * (1 - sp)))
    assert found.sentence == (
        "agreement study of 2 inspectors on 30 units: they fail 92.5 % (62.5 to 98.9 %) of the defects and pass 98.8 % "
        "(81.9 to 99.9 %) of the good units; kappa 0.92 with themselves, 0.85 with each other; behind 5.0 % recorded "
        "defects are 4.1 % (0.0 to 9.6 %) true ones, and a model that knows them all would be measured with a "
        "precision of 0.93 (from 0.62 to 0.99) and a recall of 0.76 (from 0.00 to 0.99)"
    )


def few_judged(inspectors="A", trials=1, defects=5, goods=45, wrong=(0, 0)):
    """Verdicts on defects and good units, of which so many are judged wrongly, by all and each time."""
    units = [
        (f"{kind}{n}", good, n < wrong[good])
        for kind, good, of in (("d", False, defects), ("g", True, goods))
        for n in range(of)
    ]
    return {
        "agreement": [
            judged(unit, inspector, trial, good != errs, good)
            for unit, good, errs in units
            for inspector in inspectors
            for trial in range(1, trials + 1)
        ]
    }


def test_the_ceiling_of_a_small_study_is_told_as_the_wide_one_it_is(make_history, tiny_line):
    found = agreement(make_history(few_judged()), tiny_line, wilson(0.05, 1000), 1000)
    assert (found.recall.value, found.recall.low, found.recall.high) == (1.0, 0.0, 1.0)
    assert found.sentence.endswith("a precision of 1.00 (from 0.57 to 1.00) and a recall of 1.00 (from 0.00 to 1.00)")


def test_the_ceiling_lies_within_its_limits_and_holds_the_true_one():
    """Studies of 60 defects and 150 good units and 4000 units at the gate, drawn 300 times."""
    rng, true, se, sp = np.random.default_rng(0), 0.05, 0.85, 0.97
    held = 0
    for _ in range(300):
        recorded = rng.binomial(4000, true * se + (1 - true) * (1 - sp)) / 4000
        seen = wilson(rng.binomial(60, se) / 60, 60), wilson(rng.binomial(150, sp) / 150, 150)
        rate = corrected_rate(recorded, 4000, seen[0].value, 60, seen[1].value, 150)
        low, value, high = (
            ceiling_on_recall(*(one._asdict()[name] for one in (rate, *seen))) for name in ("low", "value", "high")
        )
        assert np.isnan(value) or low <= value <= high
        held += np.isnan(value) or low <= ceiling_on_recall(true, se, sp) <= high
    assert held >= 285


FEWER = (
    "; the gate records 1.0 % defects, fewer than such inspectors would on good units alone (5.0 %), so that the study "
    "does not hold for the gate: its units may be harder to judge than the gate's. What is behind the records is not "
    "known; repeat the study with good units as they come to the gate"
)
MORE = (
    "; the gate records 90.0 % defects, more than such inspectors would on defect units alone (60.0 %), so that the "
    "study does not hold for the gate: its units may be harder to judge than the gate's. What is behind the records is "
    "not known; repeat the study with defect units as they come to the gate"
)


@pytest.mark.parametrize(
    ("recorded", "size", "wrong", "expected"),
    [
        (0.01, 10_000, (5, 5), FEWER),
        (0.9, 10_000, (20, 5), MORE),
        # of 100 units one was recorded: at the gate it may be 5 % as well
        (0.01, 100, (5, 5), FEWER.replace("for the gate:", "for the gate or has too few units to say:")),
    ],
)
def test_a_study_that_cannot_hold_for_the_gate_corrects_nothing_and_says_so(
    make_history, tiny_line, recorded, size, wrong, expected
):
    study = few_judged("AB", defects=50, goods=100, wrong=wrong)
    found = agreement(make_history(study), tiny_line, wilson(recorded, size), size)
    assert np.isnan([*found.corrected, *found.precision, *found.recall]).all()
    assert found.sentence.endswith(expected)


def test_of_a_gate_that_records_no_defect_there_is_no_recall(make_history, tiny_line):
    found = agreement(make_history(few_judged("AB", trials=2)), tiny_line, wilson(0.0, 1000), 1000)
    assert found.corrected.value == 0.0
    assert found.sentence.endswith("would be measured with a precision of 1.00 (from 0.57 to 1.00)")


def test_before_any_unit_has_a_label_there_is_no_rate_to_correct(make_history, tiny_line):
    found = agreement(make_history(few_judged("AB", trials=2)), tiny_line, wilson(np.nan, 0), 0)
    assert found.sentence.endswith("1.00 with each other; no unit of the gate has a label yet")


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        (few_judged("A"), "agreement study of 1 inspector on 50 units, who fails 100.0 % (56.6 to 100.0 %) of the "
         "defects and passes 100.0 % (92.1 to 100.0 %) of the good units; no unit was judged twice by the same "
         "inspector; behind"),
        (few_judged("A", trials=2), "good units; kappa 1.00 with themselves; behind"),
        (few_judged("AB"), "agreement study of 2 inspectors on 50 units: they fail 100.0 % (56.6 to 100.0 %) of the "
         "defects and pass 100.0 % (92.1 to 100.0 %) of the good units; no unit was judged twice by the same "
         "inspector; kappa 1.00 with each other; behind"),
        (few_judged("AB", trials=2, defects=0), "no kappa with themselves, for all of these verdicts are the same; "
         "no kappa with each other, for all of these verdicts are the same; that is too little"),
        ({"agreement": few_judged("A")["agreement"] + [row | {"unit_id": "x" + row["unit_id"]}
          for row in few_judged("B")["agreement"]]},
         "no unit was judged twice by the same inspector; no unit was judged by two inspectors; behind"),
    ],
    ids=["one, once", "one, twice", "two, once", "all alike", "none shared"],
)  # fmt: skip
def test_where_there_is_no_kappa_it_says_why(make_history, tiny_line, study, expected):
    told = agreement(make_history(study), tiny_line, wilson(0.05, 1000), 1000).sentence
    assert expected in told
    assert "nan" not in told


def test_verdicts_on_what_the_gate_does_not_count_are_left_out_and_named(make_history, tiny_line):
    counted = [row | {"characteristic": "leak"} for row in study()["agreement"]]
    others = [row | {"characteristic": "colour", "passed": not row["passed"]} for row in counted]
    both, alone = make_history({"agreement": counted + others}), make_history({"agreement": others})
    expected = agreement(make_history(study()), tiny_line, wilson(0.05, 2000), 2000)
    found = agreement(both, tiny_line, wilson(0.05, 2000), 2000)
    pd.testing.assert_frame_equal(found.inspectors, expected.inspectors)
    assert found.sentence == expected.sentence
    assert agreement(alone, tiny_line, wilson(0.05, 2000), 2000) is None
    for history in (both, alone):
        assert left_out(history, tiny_line) == (
            "the agreement study's verdicts on colour are left out: gate.characteristics are leak, size"
        )
    assert left_out(make_history({"agreement": counted}), tiny_line) == ""


def test_a_perfect_model_on_the_simulated_truth_stops_at_the_ceiling():
    rng, size, rate, se, sp = np.random.default_rng(0), 400_000, 0.03, 0.9, 0.985
    defect = rng.random(size) < rate
    recorded = np.where(defect, rng.random(size) < se, rng.random(size) >= sp)
    assert recorded[defect].mean() == pytest.approx(se, abs=0.01)
    assert defect[recorded].mean() == pytest.approx(ceiling_on_recall(rate, se, sp), abs=0.01)


def test_a_unit_fails_if_any_of_its_characteristics_does(make_history, tiny_line):
    rows = [
        judged("u", "A", 1, True, True, "leak"),
        judged("u", "A", 1, False, False, "size"),
        judged("v", "A", 1, False, True, "leak"),
        judged("v", "A", 1, True, True, "size"),
    ]
    found = agreement(make_history({"agreement": rows}), tiny_line, wilson(0.05, 100), 100)
    assert (found.defects, found.goods) == (1, 1)
    assert found.inspectors.loc["A", ["sensitivity", "specificity"]].tolist() == [1.0, 0.0]


def test_without_a_reference_there_is_kappa_and_no_correction(make_history, tiny_line):
    rows = [row | {"reference": None} for row in study()["agreement"]]
    found = agreement(make_history({"agreement": rows}), tiny_line, wilson(0.05, 2000), 2000)
    assert found.inspectors.loc["B", "within"] == 1.0
    assert np.isnan(found.corrected.value)
    assert found.sentence.endswith("that is too little to correct the defect rate by")


def test_a_corrected_verdict_counts_once_and_what_is_recorded_later_not_yet(make_history, tiny_line):
    rows = study()["agreement"]
    wrong = rows[0] | {"passed": True, "recorded_at": "2026-03-02 07:00"}
    later = judged("d0", "C", 1, True, False) | {"recorded_at": "2026-03-05"}
    history = make_history({"agreement": [*rows, wrong, later]}, as_of="2026-03-04")
    found = agreement(history, tiny_line, wilson(0.05, 2000), 2000)
    pd.testing.assert_frame_equal(
        found.inspectors, agreement(make_history(study()), tiny_line, wilson(0.05, 2000), 2000).inspectors
    )


def test_a_line_without_a_study_has_no_agreement(make_history, tiny_line):
    assert agreement(make_history({}), tiny_line, wilson(0.05, 2000), 2000) is None


@pytest.mark.parametrize(
    ("failed", "judged", "expected"),
    [
        ([2, 0, 1, 1], [2, 2, 2, 2], 0.0),  # two agree, two differ: 1 - (2 / 2) / (4 * 1 / 4)
        ([3, 0, 1], [3, 3, 3], 1 - (2 / 3) / (3 * 2 * (4 / 9) * (5 / 9))),
        ([2, 0, 5], [2, 2, 1], 1.0),  # judged once: left out
        ([0, 0], [2, 2], np.nan),
        ([1], [1], np.nan),
    ],
)
def test_kappa_by_hand(failed, judged, expected):
    np.testing.assert_almost_equal(kappa(pd.DataFrame({"failed": failed, "judged": judged})), expected)
