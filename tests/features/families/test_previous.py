import pandas as pd
import pytest

from qma_predict.errors import LineError
from qma_predict.features.table import feature_table


@pytest.fixture
def line(tiny_line):
    return with_previous(tiny_line)


def with_previous(line, **settings):
    learning = line.learning.model_copy(update={"families": ("previous",), "family": {"previous": settings}})
    return line.model_copy(update={"learning": learning})


def world(*units, readings=(), visits=(), products=()):
    """Units as (name, value, minute of the first reading, machine, product); more rows as given."""
    rows = {"units": list(products), "visits": list(visits), "readings": list(readings)}
    for name, value, minute, machine, product in units:
        rows["units"].append({"unit_id": name, "product": product, "occurred_at": "2026-03-01"})
        rows["visits"].append(stay(name, machine))
        rows["readings"].append(reading(name, value, minute))
    return rows


def stay(unit, machine, **more):
    return {"unit_id": unit, "station": "press", "machine": machine, "started_at": "2026-03-02 06:00"} | more


def reading(unit, value, minute, **more):
    at = pd.Timestamp("2026-03-02 10:00", tz="UTC") + pd.Timedelta(minutes=minute)
    return {"unit_id": unit, "station": "press", "tag": "force", "value": value, "occurred_at": at} | more


def features_of(history, line, unit="u", cutoff="2026-03-02 12:00"):
    points = pd.DataFrame({"unit_id": [unit], "cutoff": pd.to_datetime([cutoff], utc=True)})
    row = feature_table(history, points, line).loc[unit]
    return {name.removeprefix("press."): value for name, value in row.items()}


SEVEN = [("abcdefu"[n], value, n, "P1", "A") for n, value in enumerate([100.0, 1.0, 2.0, 3.0, 4.0, 10.0, 20.0])]


def test_change_to_the_unit_before_and_shift_from_the_mean_of_five(make_history, line):
    found = features_of(make_history(world(*SEVEN)), line)
    assert found == {"force.change": 10.0, "force.shift": 16.0}  # (1 + 2 + 3 + 4 + 10) / 5 = 4


def test_fewer_before_are_the_mean_and_none_before_is_missing(make_history, line):
    history = make_history(world(*SEVEN))
    assert features_of(history, line, "c") == {"force.change": 1.0, "force.shift": 2.0 - 101 / 2}
    assert features_of(history, line, "a") == {}


def test_how_many_units_and_how_long_before_is_set_in_the_line(make_history, tiny_line):
    history = make_history(world(*SEVEN))
    two = features_of(history, with_previous(tiny_line, units=2))
    assert two == {"force.change": 10.0, "force.shift": 13.0}
    near = features_of(history, with_previous(tiny_line, within="3 min"))  # with the one 3 minutes before
    assert near["force.shift"] == pytest.approx(20 - 17 / 3)
    with pytest.raises(LineError, match=r"learning\.family\.previous: units.*Known are units, within"):
        features_of(history, with_previous(tiny_line, units=0))


def test_other_machines_and_products_do_not_come_before(make_history, line):
    units = [("a", 1.0, 0, "P1", "A"), ("b", 2.0, 1, "P2", "A"), ("c", 3.0, 2, "P1", "B"), ("u", 7.0, 3, "P1", "A")]
    assert features_of(make_history(world(*units)), line)["force.change"] == 6.0


def test_without_machines_and_products_the_station_alone_has_an_order(make_history, line):
    units = [("a", 1.0, 0, None, None), ("b", 2.0, 1, "P2", None), ("u", 7.0, 3, None, None)]
    assert features_of(make_history(world(*units)), line)["force.change"] == 6.0
    rows = world(*units)
    sources = tuple(source for source in line.sources if source.table != "units")
    del rows["units"]
    history = make_history(rows)
    assert features_of(history, line) == {}
    assert features_of(history, line.model_copy(update={"sources": sources}))["force.change"] == 6.0


def test_the_machine_of_a_reading_comes_before_the_one_of_the_stay(make_history, line):
    rows = world(("a", 1.0, 0, "P1", "A"), ("b", 2.0, 1, "P1", "A"), ("u", 7.0, 3, "P1", "A"))
    rows["readings"][1]["machine"] = "P2"
    assert features_of(make_history(rows), line)["force.change"] == 6.0


def test_only_first_readings_as_recorded_first_are_compared(make_history, line):
    rows = world(("a", 1.0, 0, "P1", "A"), ("u", 7.0, 3, "P1", "A"))
    late = "2026-03-02 10:30"
    rows["readings"] += [
        reading("a", 50.0, 1),
        reading("a", 60.0, 0, recorded_at=late),
        reading("u", 70.0, 4),
        reading("u", 80.0, 3, recorded_at=late),
    ]
    assert features_of(make_history(rows), line) == {"force.change": 6.0, "force.shift": 6.0}


def test_a_correction_of_machine_or_product_changes_nothing(make_history, line):
    product = {"unit_id": "a", "product": "B", "occurred_at": "2026-03-01", "recorded_at": "2026-03-02 09:00"}
    moved = stay("a", "P2", recorded_at="2026-03-02 09:00")
    rows = world(("a", 1.0, 0, "P1", "A"), ("u", 7.0, 3, "P1", "A"), visits=[moved], products=[product])
    assert features_of(make_history(rows), line)["force.change"] == 6.0


def test_of_units_recorded_together_the_order_is_that_of_what_happened(make_history, line):
    rows = world(*SEVEN)
    for row in rows["readings"]:
        row["recorded_at"] = "2026-03-02 11:00"
    assert features_of(make_history(rows), line) == {"force.change": 10.0, "force.shift": 16.0}
    assert features_of(make_history(rows), line, "c") == {"force.change": 1.0, "force.shift": 2.0 - 101 / 2}


def test_a_unit_recorded_late_has_none_before_it_that_came_after_it(make_history, line):
    rows = world(("u", 7.0, 0, "P1", "A"), ("a", 1.0, 1, "P1", "A"))
    rows["readings"][0]["recorded_at"] = "2026-03-02 10:30"
    assert features_of(make_history(rows), line) == {}


@pytest.mark.parametrize(("known", "change"), [("10:02:59.999999", 6.0), ("10:03:00.000001", None)])
def test_a_unit_before_counts_once_its_machine_is_known(make_history, line, known, change):
    rows = world(("a", 1.0, 0, "P1", "A"), ("u", 7.0, 3, "P1", "A"))
    rows["visits"][0]["recorded_at"] = f"2026-03-02 {known}"
    assert features_of(make_history(rows), line).get("force.change") == change


@pytest.mark.parametrize(("cutoff", "known"), [("2026-03-02 11:00", 1), ("2026-03-02 10:59:59.999999", 0)])
@pytest.mark.parametrize("table", ["readings", "visits", "units"])
def test_the_own_reading_machine_and_product_must_be_known_at_the_cutoff(make_history, line, table, cutoff, known):
    rows = world(("a", 1.0, 0, "P1", "A"), ("u", 7.0, 3, "P1", "A"))
    rows[table][1]["recorded_at"] = "2026-03-02 11:00"
    assert len(features_of(make_history(rows), line, cutoff=cutoff)) == 2 * known


def test_who_comes_back_later_than_a_week_counts_again(make_history, line):
    day = 24 * 60
    units = [("a", 1.0, 0, "P1", "A"), ("b", 2.0, 1, "P1", "A"), ("u", 7.0, 9 * day, "P1", "A")]
    again = [reading("a", 50.0, 6 * day), reading("a", 3.0, 8 * day), reading("b", 4.0, 8 * day + 1)]
    found = features_of(make_history(world(*units, readings=again)), line, cutoff="2026-03-20")
    assert found["force.change"] == 3.0  # b was away for 8 days and is there again, a came back after 6 and 2


def test_chunks_of_points_change_nothing(make_history, line, monkeypatch):
    from qma_predict.features import table

    units = [(f"u{n}", float(n * n % 17), n * 700, "P1", "A") for n in range(60)]
    again = [reading(f"u{n}", 99.0, (n + 8) * 700 + 1) for n in range(0, 60, 3)]
    history = make_history(world(*units, readings=again))
    cutoffs = pd.Timestamp("2026-03-02 11:00", tz="UTC") + pd.to_timedelta([700 * n for n in range(60)], unit="min")
    points = pd.DataFrame({"unit_id": [one[0] for one in units], "cutoff": cutoffs})
    whole = feature_table(history, points, line)
    monkeypatch.setattr(table, "POINTS_AT_ONCE", 7)
    pd.testing.assert_frame_equal(feature_table(history, points, line), whole, check_exact=True)
    assert whole["press.force.change"].notna().sum() == 59
