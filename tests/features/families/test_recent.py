import pandas as pd
import pytest

from qma_predict.errors import LineError
from qma_predict.features.table import feature_table

NOON = pd.Timestamp("2026-03-20 12:00", tz="UTC")


@pytest.fixture
def line(tiny_line):
    return with_recent(tiny_line)


def with_recent(line, **settings):
    learning = line.learning.model_copy(update={"families": ("recent",), "family": {"recent": settings}})
    return line.model_copy(update={"learning": learning})


def stay(unit, machine="P1", at="2026-03-10 08:00", **more):
    return {"unit_id": unit, "station": "press", "machine": machine, "started_at": at} | more


def result(unit, passed, characteristic="leak", at="2026-03-15", **more):
    row = {"unit_id": unit, "gate": "final", "characteristic": characteristic, "occurred_at": at, "passed": passed}
    return row | more


def good(unit, at="2026-03-15"):
    return [result(unit, True, "leak", at), result(unit, True, "size", at)]


def features_of(history, line, cutoff=NOON, unit="u"):
    row = feature_table(history, pd.DataFrame({"unit_id": [unit], "cutoff": [cutoff]}), line).loc[unit]
    return row.to_dict()


def of_press(results, line, make_history, *, stays=(), cutoff=NOON):
    """Defect rate and count of machine P1, on which the unit `u` and all others were."""
    units = sorted({one["unit_id"] for one in results} | {"u"} - {one["unit_id"] for one in stays})
    visits = [stay(unit) for unit in units if unit not in {one["unit_id"] for one in stays}] + list(stays)
    found = features_of(make_history({"visits": visits, "inspections": results}), line, cutoff)
    return found.get("press.machine.defect_rate"), found["press.machine.inspected"]


def test_rates_of_machines_are_shrunk_towards_the_line(make_history, line):
    visits = [stay("u"), stay("a"), stay("b"), stay("c", "P2"), stay("d", "P2")]
    results = [result("a", False), *good("b"), *good("c"), *good("d")]
    found = features_of(make_history({"visits": visits, "inspections": results}), line)
    assert found == {  # the line has 1 of 4; the machine 1 of 2
        "press.machine.defect_rate": pytest.approx((1 + 20 * 0.25) / (2 + 20)),
        "press.machine.inspected": 2.0,
    }


def test_rates_of_product_lot_and_supplier(make_history, line):
    def lot(unit, lot_id, supplier):
        return {
            "unit_id": unit,
            "lot_id": lot_id,
            "material": "steel",
            "supplier": supplier,
            "occurred_at": "2026-03-09",
        }

    def unit(name, product):
        return {"unit_id": name, "product": product, "occurred_at": "2026-03-09"}

    tables = {
        "units": [unit("u", "A"), unit("a", "A"), unit("b", "B"), unit("c", "A")],
        "materials": [lot("u", "L1", "X"), lot("a", "L1", "X"), lot("b", "L2", "X"), lot("c", "L3", "Y")],
        "inspections": [result("a", False), result("b", False), *good("c")],
    }
    found = features_of(make_history(tables), line)
    rate = 20 * 2 / 3
    assert found == {
        "unit.product.defect_rate": pytest.approx((1 + rate) / 22),
        "unit.product.inspected": 2.0,
        "steel.lot.defect_rate": pytest.approx((1 + rate) / 21),
        "steel.lot.inspected": 1.0,
        "steel.supplier.defect_rate": pytest.approx((2 + rate) / 22),
        "steel.supplier.inspected": 2.0,
    }


def test_the_lots_of_a_unit_are_added_up_and_a_material_without_name_is_a_part(make_history, line):
    lots = [("u", "L1"), ("u", "L2"), ("a", "L1"), ("b", "L2"), ("c", "L3")]
    materials = [{"unit_id": unit, "lot_id": lot, "occurred_at": "2026-03-09"} for unit, lot in lots]
    history = make_history({"materials": materials, "inspections": [result("a", False), *good("b"), *good("c")]})
    assert features_of(history, line) == {
        "part.lot.defect_rate": pytest.approx((1 + 20 / 3) / 22),
        "part.lot.inspected": 2.0,
    }


def test_nobody_was_judged_yet(make_history, line):
    assert of_press([result("a", True)], line, make_history) == (None, 0.0)  # the size is missing


def test_a_unit_is_judged_by_its_first_results_as_recorded_first(make_history, line):
    again = [result("a", True, at="2026-03-16"), result("a", True, at="2026-03-15", recorded_at="2026-03-17")]
    rate, inspected = of_press([result("a", False), *again, result("a", True, "size")], line, make_history)
    assert (rate, inspected) == (1.0, 1.0)


def test_other_gates_and_characteristics_do_not_count(make_history, line):
    results = [result("a", False, "colour"), result("a", False) | {"gate": "early"}, *good("a")]
    assert of_press(results, line, make_history) == (0.0, 1.0)


def test_own_results_do_not_count(make_history, line):
    results = [result("u", False), *good("a"), result("b", False)]
    assert of_press(results, line, make_history) == (pytest.approx(0.5), 2.0)


@pytest.mark.parametrize(
    ("recorded", "inspected"),
    [
        ("2026-03-20 12:00", 2.0),
        ("2026-03-20 12:00:00.000001", 1.0),
        ("2026-03-06 12:00:00.000001", 2.0),
        ("2026-03-06 12:00", 1.0),
    ],
)
def test_the_window_is_the_14_days_up_to_and_with_the_cutoff(make_history, line, recorded, inspected):
    stays = [stay(unit, at="2026-03-01") for unit in "uab"]
    results = [*good("b"), result("a", False, at="2026-03-05", recorded_at=recorded)]
    assert of_press(results, line, make_history, stays=stays)[1] == inspected


def test_the_window_is_set_in_the_line(make_history, tiny_line):
    results = [*good("a", "2026-03-18"), *good("b", "2026-03-15")]
    assert of_press(results, with_recent(tiny_line, window="3 d"), make_history)[1] == 1.0
    with pytest.raises(LineError, match=r"learning\.family\.recent: window.*expected more than 0"):
        of_press(results, with_recent(tiny_line, window="0 d"), make_history)


def test_a_good_unit_is_judged_when_its_last_characteristic_is(make_history, line):
    early, late = result("a", True, "leak", "2026-03-01"), result("a", True, "size", "2026-03-19")
    assert of_press([early, late], line, make_history)[1] == 1.0
    assert of_press([early, late], line, make_history, cutoff=pd.Timestamp("2026-03-18", tz="UTC"))[1] == 0.0


@pytest.mark.parametrize(("recorded", "inspected"), [("2026-03-20 12:00", 1.0), ("2026-03-20 12:00:00.000001", 0.0)])
def test_who_was_on_the_machine_counts_once_recorded(make_history, line, recorded, inspected):
    stays = [stay("a", recorded_at=recorded)]
    assert of_press([*good("a", "2026-02-01")], line, make_history, stays=stays)[1] == inspected


def test_machines_count_as_recorded_first(make_history, line):
    stays = [stay("a"), stay("a", "P2", recorded_at="2026-03-11"), stay("b", "P2"), stay("b", recorded_at="2026-03-11")]
    assert of_press([*good("a"), result("b", False)], line, make_history, stays=stays)[1] == 1.0


def test_a_unit_at_two_points_has_each_its_own_counts(make_history, line):
    import ibis

    from qma_predict.features.families import recent

    history = make_history({"visits": [stay("u"), stay("a")], "inspections": good("a", "2026-03-15")})
    cutoffs = pd.to_datetime(["2026-03-14", "2026-03-16"], utc=True)
    points = ibis.memtable(pd.DataFrame({"point": [0, 1], "unit_id": ["u", "u"], "cutoff": cutoffs}))
    found = recent.compute(history, points, line).to_pandas().set_index("point")
    assert found["inspected"].to_dict() == {0: 0.0, 1: 1.0}
