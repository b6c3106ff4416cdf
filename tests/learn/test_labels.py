import numpy as np
import pandas as pd
import pytest

from qma_predict.learn.labels import labels

CUTOFF = pd.Timestamp("2026-03-02 12:00", tz="UTC")
MATURE = CUTOFF + pd.Timedelta("5D")  # the tiny line waits five days
POINTS = pd.DataFrame({"unit_id": ["u"], "cutoff": [CUTOFF]})


def found(characteristic, passed, at="2026-03-03 08:00", recorded=None, **more):
    row = {"unit_id": "u", "gate": "final", "characteristic": characteristic, "passed": passed, "occurred_at": at}
    return row | ({} if recorded is None else {"recorded_at": recorded}) | more


def label(history, line):
    return labels(history, POINTS, line).item()


GOOD = (found("leak", True), found("size", True))
LEAK = found("leak", False)
BEFORE, AFTER = "2026-03-02 12:00", "2026-03-02 12:00:00.000001"


@pytest.mark.parametrize(
    ("what", "inspections", "expected"),
    [
        ("both passed", GOOD, 0.0),
        ("one failed", [LEAK, found("size", True)], 1.0),
        ("one failed, the other never inspected", [LEAK], 1.0),
        ("only some were inspected", [found("leak", True)], np.nan),
        ("not inspected", [], np.nan),
        ("failed first, passed after rework", [LEAK, found("leak", True, "2026-03-04"), found("size", True)], 1.0),
        ("passed first, failed when asked again", [*GOOD, found("leak", False, "2026-03-04")], 0.0),
        ("fail corrected to pass", [LEAK, found("leak", True, recorded="2026-03-05"), found("size", True)], 0.0),
        ("pass corrected to fail", [*GOOD, found("leak", False, recorded="2026-03-05")], 1.0),
        ("of two corrections the last recorded",
         [*GOOD, found("leak", True, recorded="2026-03-06"), found("leak", False, recorded="2026-03-05")], 0.0),
        ("corrected after the re-inspection",
         [LEAK, found("leak", True, "2026-03-04"), found("leak", True, recorded="2026-03-05"), GOOD[1]], 0.0),
        ("a fail at or before the cutoff is ignored", [found("leak", False, BEFORE), GOOD[1]], np.nan),
        ("a fail just after the cutoff is not", [found("leak", False, AFTER), GOOD[1]], 1.0),
        ("a pass before the cutoff does not count as inspected", [found("leak", True, BEFORE), GOOD[1]], np.nan),
        ("another gate", [*GOOD, found("leak", False, gate="incoming")], 0.0),
        ("another characteristic", [*GOOD, found("colour", False)], 0.0),
        ("the same characteristic at another gate only", [found("leak", True, gate="incoming"), GOOD[1]], np.nan),
        ("another unit", [found("leak", False, unit_id="v"), GOOD[1]], np.nan),
        ("recorded after the moment", [GOOD[1], found("leak", False, recorded="2026-03-08")], np.nan),
        ("a correction recorded after the moment", [*GOOD, found("leak", False, recorded="2026-03-08")], 0.0),
    ],
)  # fmt: skip
def test_the_definition(make_history, tiny_line, what, inspections, expected):
    history = make_history({"inspections": inspections}, as_of=MATURE)
    np.testing.assert_equal(label(history, tiny_line), expected)


@pytest.mark.parametrize(("inspections", "expected"), [(GOOD, 0.0), ([LEAK], 1.0)])
def test_defects_wait_for_maturity_as_long_as_good_units_do(make_history, tiny_line, inspections, expected):
    history = make_history({"inspections": inspections})
    almost = history.at(MATURE - pd.Timedelta("1us"))
    assert np.isnan(label(almost, tiny_line))
    assert label(history.at(MATURE), tiny_line) == expected


def test_labels_follow_the_points(make_history, tiny_line):
    inspections = [found(name, unit != "c", unit_id=unit) for unit in "abc" for name in ("leak", "size")]
    points = pd.DataFrame({"unit_id": ["c", "nobody", "a"], "cutoff": [CUTOFF] * 3})
    series = labels(make_history({"inspections": inspections}), points, tiny_line)
    assert series.index.tolist() == ["c", "nobody", "a"]
    assert series.dtype == "float64"
    np.testing.assert_array_equal(series.to_numpy(), [1.0, np.nan, 0.0])


def test_each_unit_is_judged_after_its_own_cutoff(make_history, tiny_line):
    inspections = [found(name, name == "size", unit_id=unit) for unit in "ab" for name in ("leak", "size")]
    cutoffs = pd.to_datetime(["2026-03-03 08:00", "2026-03-03 07:59"], utc=True)
    points = pd.DataFrame({"unit_id": ["a", "b"], "cutoff": cutoffs})
    series = labels(make_history({"inspections": inspections}), points, tiny_line)
    np.testing.assert_array_equal(series.to_numpy(), [np.nan, 1.0])


def test_no_points_have_no_labels(make_history, tiny_line):
    assert labels(make_history({"inspections": GOOD}), POINTS.iloc[:0], tiny_line).empty


def test_of_inspected_mature_units_of_the_small_plant_labels_are_the_true_state(lake, line, plant_folder):
    from qma_predict.features.points import prediction_points

    history = lake.at(pd.Timestamp("2026-02-01", tz="UTC"))
    known = labels(history, prediction_points(history, line), line).dropna()
    truth = pd.read_parquet(plant_folder / "truth" / "units.parquet").set_index("unit_id").loc[known.index]
    assert len(known) > 1000
    assert known.sum() > 20
    # the gate itself errs now and then
    assert (known.eq(1) != truth["defect"].astype(bool)).mean() < 0.02
