import math

import pandas as pd
import pytest

from qma_predict.features.table import feature_table

NOON = pd.Timestamp("2026-03-02 12:00", tz="UTC")


def reading(at, value, *, recorded=None, unit="u", tag="force"):
    row = {"unit_id": unit, "station": "press", "tag": tag, "occurred_at": f"2026-03-02 {at}", "value": value}
    return row if recorded is None else row | {"recorded_at": f"2026-03-02 {recorded}"}


def set_point(value, *, since="2026-03-01 00:00", product="", **more):
    return {"station": "press", "tag": "force", "product": product, "valid_from": since, "set_point": value} | more


def points(**cutoffs):
    return pd.DataFrame({"unit_id": list(cutoffs), "cutoff": pd.to_datetime(list(cutoffs.values()), utc=True)})


def features_of(history, line, unit="u", cutoff=NOON):
    row = feature_table(history, points(**{unit: cutoff}), line).loc[unit]
    return {name.removeprefix("press."): value for name, value in row.items()}


def test_statistics_of_three_readings(make_history, tiny_line):
    readings = [reading("10:00", 14.0), reading("11:00", 12.0), reading("09:00", 10.0)]
    history = make_history({"readings": readings, "tags": [set_point(11.5)]})
    assert features_of(history, tiny_line) == {
        "force.last": 12.0,
        "force.mean": 12.0,
        "force.spread": 2.0,  # sqrt((4 + 4 + 0) / 2)
        "force.slope": 1.0,  # hours -1, 0, 1 and values -2, 2, 0 around their means: 2 / 2
        "force.count": 3.0,
        "force.deviation": 0.5,
    }


def test_one_reading_has_no_mean_spread_or_slope(make_history, tiny_line):
    found = features_of(make_history({"readings": [reading("10:00", 14.0)]}), tiny_line)
    assert found == {"force.last": 14.0, "force.count": 1.0}


def test_equal_values_have_no_spread_and_no_slope(make_history, tiny_line):
    readings = [reading(f"10:0{n}", 0.1) for n in range(7)]
    found = features_of(make_history({"readings": readings}), tiny_line)
    assert found["force.spread"] == pytest.approx(0, abs=1e-15)
    assert found["force.slope"] == pytest.approx(0, abs=1e-12)


def test_a_small_spread_of_large_values_is_not_lost(make_history, tiny_line):
    readings = [reading("10:00", 1e8), reading("10:00:00.010", 1e8 + 0.002)]
    found = features_of(make_history({"readings": readings}), tiny_line)
    assert found["force.spread"] == pytest.approx(0.002 / math.sqrt(2), rel=1e-4)
    assert found["force.slope"] == pytest.approx(0.002 / (0.010 / 3600), rel=1e-4)  # per hour, over 10 ms


def test_a_value_beyond_single_precision_is_infinite_and_no_error(make_history, tiny_line):
    readings = [reading("10:00", 1e300), reading("10:01", -1e300)]
    assert features_of(make_history({"readings": readings}), tiny_line)["force.last"] == -math.inf


def test_a_reading_exactly_at_the_cutoff_counts_and_one_after_it_does_not(make_history, tiny_line):
    readings = [reading("12:00", 1.0), reading("12:00:00.000001", 2.0)]
    assert features_of(make_history({"readings": readings}), tiny_line) == {"force.last": 1.0, "force.count": 1.0}


def test_a_reading_that_claims_to_have_been_recorded_before_it_happened_is_not_used(make_history, tiny_line):
    readings = [reading("10:00", 1.0), reading("12:30", 2.0, recorded="11:00")]
    assert features_of(make_history({"readings": readings}), tiny_line)["force.last"] == 1.0


@pytest.mark.parametrize(("recorded", "last"), [("12:00", 2.0), ("12:00:00.000001", 1.0)])
def test_a_late_reading_counts_only_if_recorded_by_the_cutoff(make_history, tiny_line, recorded, last):
    history = make_history({"readings": [reading("10:00", 1.0), reading("11:00", 2.0, recorded=recorded)]})
    assert features_of(history, tiny_line)["force.last"] == last


@pytest.mark.parametrize(("recorded", "value"), [("12:00", 5.0), ("12:00:00.000001", 1.0)])
def test_a_correction_counts_only_if_recorded_by_the_cutoff(make_history, tiny_line, recorded, value):
    readings = [reading("10:00", 5.0, recorded=recorded), reading("10:00", 1.0), reading("09:00", 3.0)]
    found = features_of(make_history({"readings": readings}), tiny_line)
    assert (found["force.last"], found["force.mean"], found["force.count"]) == (value, (value + 3) / 2, 2.0)


def test_of_several_corrections_the_one_recorded_last_counts_in_any_order_of_values(make_history, tiny_line):
    readings = [reading("10:00", value, recorded=at) for value, at in ((9.0, "10:01"), (1.0, "10:03"), (5.0, "10:02"))]
    found = features_of(make_history({"readings": [*readings, reading("10:05", 2.0)]}), tiny_line)
    assert (found["force.mean"], found["force.count"], found["force.last"]) == (1.5, 2.0, 2.0)


def test_tags_and_units_do_not_mix(make_history, tiny_line):
    readings = [reading("10:00", 1.0), reading("10:00", 2.0, tag="heat"), reading("10:00", 3.0, unit="v")]
    history = make_history({"readings": readings})
    table = feature_table(history, points(u=NOON, v=NOON), tiny_line)
    assert table["press.force.last"].to_dict() == {"u": 1.0, "v": 3.0}
    assert table.loc["u", "press.heat.last"] == 2.0
    assert math.isnan(table.loc["v", "press.heat.last"])


UNIT_A = {"unit_id": "u", "product": "A", "occurred_at": "2026-03-01"}


@pytest.mark.parametrize(
    ("what", "tags", "deviation"),
    [
        ("general", [set_point(4.0)], 6.0),
        ("own product before general", [set_point(4.0), set_point(7.0, product="A")], 3.0),
        ("an older one of the product before a newer general one",
         [set_point(7.0, product="A"), set_point(4.0, since="2026-03-02")], 3.0),
        ("another product's", [set_point(7.0, product="B")], None),
        ("changed before the cutoff", [set_point(4.0), set_point(5.0, since="2026-03-02 12:00")], 5.0),
        ("changed after the cutoff", [set_point(4.0), set_point(5.0, since="2026-03-02 12:00:00.000001")], 6.0),
        ("a change recorded after the cutoff",
         [set_point(4.0), set_point(5.0, since="2026-03-02", recorded_at="2026-03-02 12:00:00.000001")], 6.0),
        ("a change recorded late, but by the cutoff",
         [set_point(4.0), set_point(5.0, since="2026-03-01 12:00", recorded_at="2026-03-02 12:00")], 5.0),
        ("corrected by the cutoff", [set_point(4.0), set_point(3.0, recorded_at="2026-03-02 12:00")], 7.0),
        ("an old one corrected late, a newer one holds",
         [set_point(4.0), set_point(5.0, since="2026-03-02"), set_point(3.0, recorded_at="2026-03-02 01:00")], 5.0),
        ("withdrawn", [set_point(4.0), set_point(None, since="2026-03-02")], None),
        ("of another tag", [set_point(4.0, tag="heat")], None),
        ("none before the cutoff", [set_point(4.0, since="2026-03-03")], None),
    ],
)  # fmt: skip
def test_deviation_from_the_set_point_that_holds(make_history, tiny_line, what, tags, deviation):
    history = make_history({"readings": [reading("10:00", 10.0)], "tags": tags, "units": [UNIT_A]})
    assert features_of(history, tiny_line).get("force.deviation") == deviation


def test_each_unit_has_the_set_points_of_its_own_product_and_moment(make_history, tiny_line):
    units = [{"unit_id": name, "product": name[0], "occurred_at": "2026-03-01"} for name in ("a1", "a2", "b1")]
    tags = [
        set_point(1.0, product="a"),
        set_point(2.0, product="a", since="2026-03-02 11:00"),
        set_point(3.0, product="b"),
        set_point(4.0),
    ]
    readings = [reading("10:00", 10.0, unit=unit) for unit in ("a1", "a2", "b1", "c1")]
    cutoffs = {"a1": "2026-03-02 10:30", "a2": "2026-03-02 11:00", "b1": "2026-03-02 12:00", "c1": "2026-03-02 12:00"}
    history = make_history({"readings": readings, "tags": tags, "units": units})
    found = feature_table(history, points(**cutoffs), tiny_line)["press.force.deviation"].to_dict()
    assert found == {"a1": 9.0, "a2": 8.0, "b1": 7.0, "c1": 6.0}
