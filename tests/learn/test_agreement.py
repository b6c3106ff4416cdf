import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.agreement import ALL, agreement, ceiling_on_recall, kappa
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


def test_sensitivity_and_specificity_with_intervals_that_count_units(make_history):
    found = agreement(make_history(study()), wilson(0.05, 2000), 2000).inspectors
    assert found.index.tolist() == ["A", "B", ALL]
    assert found["units"].tolist() == [30, 30, 30]
    # A failed 19 of 20 times a defect, B 18; A passed 39 of 40 times a good unit, B 40
    assert found["sensitivity"].tolist() == pytest.approx([19 / 20, 18 / 20, 37 / 40])
    assert found["specificity"].tolist() == pytest.approx([39 / 40, 1.0, 79 / 80])
    assert found.loc[ALL, ["sensitivity_low", "sensitivity_high"]].tolist() == pytest.approx(wilson(37 / 40, 10)[1:])
    assert found.loc["B", ["specificity_low", "specificity_high"]].tolist() == pytest.approx(wilson(1.0, 20)[1:])


def test_kappa_within_and_between(make_history):
    found = agreement(make_history(study()), wilson(0.05, 2000), 2000)
    # A: 30 units twice, 20 failures of 60, two units judged differently: 1 - (2 * 1 / 2) / (30 * 1/3 * 2/3)
    assert found.inspectors.loc["A", "within"] == pytest.approx(1 - 1 / (30 * 2 / 9))
    assert found.inspectors.loc["B", "within"] == 1.0
    # both together: 60 pairs, 38 failures of 120, two pairs differ
    p = 38 / 120
    assert found.inspectors.loc[ALL, "within"] == pytest.approx(1 - 1 / (60 * p * (1 - p)))
    # first trials: A fails d0..d9 and g0, B d1..d9: 20 failures of 60, on d0 and g0 they differ
    assert found.between == pytest.approx(1 - 1 / (30 * 2 / 9))


def test_the_defect_rate_is_corrected_and_the_ceiling_follows(make_history):
    found = agreement(make_history(study()), wilson(0.05, 2000), 2000)
    assert (found.defects, found.goods) == (10, 20)
    assert found.corrected == corrected_rate(0.05, 2000, 37 / 40, 10, 79 / 80, 20)
    true = (0.05 - 1 / 80) / (37 / 40 - 1 / 80)
    assert found.corrected.value == pytest.approx(true)
    assert found.precision == pytest.approx(37 / 40)
    assert found.recall == pytest.approx(true * 37 / 40 / 0.05)
    assert found.sentence == (
        "agreement study of 2 inspectors on 30 units: they fail 92.5 % (62.5 to 98.9 %) of the defects and pass 98.8 % "
        "(81.9 to 99.9 %) of the good units; kappa 0.92 with themselves, 0.85 with each other; behind 5.0 % recorded "
        "defects are 4.1 % (0.0 to 9.6 %) true ones, and a model that knows them all would be measured with a "
        "precision of 0.93 and a recall of 0.76"
    )


def test_a_perfect_model_on_the_simulated_truth_stops_at_the_ceiling():
    rng, size, rate, se, sp = np.random.default_rng(0), 400_000, 0.03, 0.9, 0.985
    defect = rng.random(size) < rate
    recorded = np.where(defect, rng.random(size) < se, rng.random(size) >= sp)
    assert recorded[defect].mean() == pytest.approx(se, abs=0.01)
    assert defect[recorded].mean() == pytest.approx(ceiling_on_recall(rate, se, sp), abs=0.01)


def test_a_unit_fails_if_any_of_its_characteristics_does(make_history):
    rows = [
        judged("u", "A", 1, True, True, "leak"),
        judged("u", "A", 1, False, False, "size"),
        judged("v", "A", 1, False, True, "leak"),
        judged("v", "A", 1, True, True, "size"),
    ]
    found = agreement(make_history({"agreement": rows}), wilson(0.05, 100), 100)
    assert (found.defects, found.goods) == (1, 1)
    assert found.inspectors.loc["A", ["sensitivity", "specificity"]].tolist() == [1.0, 0.0]


def test_without_a_reference_there_is_kappa_and_no_correction(make_history):
    rows = [row | {"reference": None} for row in study()["agreement"]]
    found = agreement(make_history({"agreement": rows}), wilson(0.05, 2000), 2000)
    assert found.inspectors.loc["B", "within"] == 1.0
    assert np.isnan(found.corrected.value)
    assert found.sentence.endswith("that is too little to correct the defect rate by")


def test_a_corrected_verdict_counts_once_and_what_is_recorded_later_not_yet(make_history):
    rows = study()["agreement"]
    wrong = rows[0] | {"passed": True, "recorded_at": "2026-03-02 07:00"}
    later = judged("d0", "C", 1, True, False) | {"recorded_at": "2026-03-05"}
    history = make_history({"agreement": [*rows, wrong, later]}, as_of="2026-03-04")
    found = agreement(history, wilson(0.05, 2000), 2000)
    pd.testing.assert_frame_equal(
        found.inspectors, agreement(make_history(study()), wilson(0.05, 2000), 2000).inspectors
    )


def test_a_line_without_a_study_has_no_agreement(make_history):
    assert agreement(make_history({}), wilson(0.05, 2000), 2000) is None


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
