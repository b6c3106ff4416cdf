import pandas as pd
import pytest

from qma_predict.features.points import prediction_points


def result(at, measured=None, passed=True, *, gate="weigh", what="mass", limits=(9.0, 11.0), recorded=None, unit="u"):
    row = {"unit_id": unit, "gate": gate, "characteristic": what, "passed": passed, "measured": measured}
    row |= {"lower": limits[0], "upper": limits[1], "occurred_at": f"2026-03-02 {at}"}
    return row if recorded is None else row | {"recorded_at": f"2026-03-02 {recorded}"}


def test_a_measured_value_its_result_and_its_margin(make_history, features_of):
    found = features_of("inspections", make_history({"inspections": [result("09:00", 10.5)]}))
    assert found == {"weigh.mass.measured": 10.5, "weigh.mass.failed": 0.0, "weigh.mass.margin": 0.25}


@pytest.mark.parametrize(
    ("measured", "limits", "margin"),
    [
        (10.0, (9.0, 11.0), 0.5),
        (9.5, (9.0, 11.0), 0.25),
        (11.0, (9.0, 11.0), 0.0),
        (11.5, (9.0, 11.0), -0.25),
        (8.0, (9.0, 11.0), -0.5),
        (10.0, (None, 11.0), None),
        (10.0, (9.0, None), None),
        (10.0, (10.0, 10.0), None),
        (None, (9.0, 11.0), None),
    ],
)
def test_margin_to_the_nearer_limit(make_history, features_of, measured, limits, margin):
    found = features_of("inspections", make_history({"inspections": [result("09:00", measured, limits=limits)]}))
    assert found.get("weigh.mass.margin") == margin


def test_the_last_inspection_counts(make_history, features_of):
    rows = [result("10:00", 10.5), result("09:00", 12.0, passed=False, recorded="11:00")]
    assert features_of("inspections", make_history({"inspections": rows}))["weigh.mass.failed"] == 0.0


@pytest.mark.parametrize(("recorded", "failed"), [("12:00", 1.0), ("12:00:00.000001", 0.0)])
def test_a_correction_counts_only_if_recorded_by_the_cutoff(make_history, features_of, recorded, failed):
    rows = [result("09:00", passed=False, recorded=recorded), result("09:00", recorded="09:05")]
    assert features_of("inspections", make_history({"inspections": rows})) == {"weigh.mass.failed": failed}


def test_an_inspection_recorded_after_the_cutoff_is_not_known(make_history, features_of):
    rows = [result("09:00", 10.0, recorded="12:00:00.000001")]
    assert features_of("inspections", make_history({"inspections": rows})) == {}


def test_gates_and_characteristics_do_not_mix(make_history, features_of):
    rows = [result("09:00"), result("09:00", passed=False, what="size"), result("09:00", passed=False, gate="leak")]
    found = features_of("inspections", make_history({"inspections": [*rows, result("09:00", 1.0, unit="v")]}))
    assert found == {"weigh.mass.failed": 0.0, "weigh.size.failed": 1.0, "leak.mass.failed": 1.0}


def test_results_at_the_gate_that_decides_are_those_of_parts_for_a_unit_with_one_has_no_point(
    make_history, features_of, tiny_line
):
    stay = {"station": "oven", "started_at": "2026-03-02 11:00", "ended_at": "2026-03-02 11:45"}
    history = make_history({
        "visits": [{"unit_id": "u", **stay}, {"unit_id": "part", **stay}],
        "inspections": [result("09:00", gate="final", what="leak", passed=False, unit="part")],
    })  # fmt: skip
    assert prediction_points(history, tiny_line)["unit_id"].tolist() == ["u"]
    assert features_of("inspections", history, unit="part") == {"final.leak.failed": 1.0}
    assert features_of("inspections", history, unit="u") == {}


def test_no_prediction_point_of_a_line_knows_a_counted_result(lake, line):
    points = prediction_points(lake.at(pd.Timestamp("2026-02-01", tz="UTC")), line)
    results = lake.read("inspections").merge(points, on="unit_id")
    assert len(results) > 1000
    assert (results["recorded_at"] > results["cutoff"]).all()
