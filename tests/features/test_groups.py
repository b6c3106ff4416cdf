import pandas as pd
import pytest

from qma_predict.errors import LineError
from qma_predict.features.groups import groups

DAY = "2026-03-0{} 08:00".format


@pytest.fixture
def of(make_history, tiny_line):
    """Groups of units a, b and c, whose cutoffs are on 1, 2 and 3 March, by what was recorded of them."""
    points = pd.DataFrame({"unit_id": ["a", "b", "c"], "cutoff": pd.to_datetime([DAY(n) for n in (1, 2, 3)], utc=True)})

    def of(name, *, materials=(), units=()):
        line = tiny_line.model_copy(update={"learning": tiny_line.learning.model_copy(update={"group": name})})
        found = groups(make_history({"materials": list(materials), "units": list(units)}), points, line)
        return None if found is None else {unit: None if pd.isna(one) else one for unit, one in found.items()}

    return of


def lot(unit, name, material, occurred, recorded=None):
    moments = {"occurred_at": f"2026-{occurred}", "recorded_at": f"2026-{recorded or occurred}"}
    return {"unit_id": unit, "lot_id": name, "material": material} | moments


def test_units_of_one_lot_or_order_are_a_group_and_others_have_none(of):
    shots = [lot("a", "S1", "shot", "02-20"), lot("b", "S1", "shot", "02-20"), lot("c", "X", "screw", "02-20")]
    assert of("shot lot", materials=shots) == {"a": "S1", "b": "S1", "c": None}
    assert of("screw lot", materials=shots) == {"a": None, "b": None, "c": "X"}
    orders = [
        {"unit_id": one, "order_no": order, "occurred_at": "2026-02-01", "recorded_at": "2026-02-01"}
        for one, order in (("a", "4711"), ("b", None), ("c", "4711"))
    ]
    assert of("order", units=orders) == {"a": "4711", "b": None, "c": "4711"}
    assert of(None, materials=shots) is None


def test_of_several_lots_the_one_that_was_used_first_counts_and_a_lot_without_a_material_has_its_name(of):
    lots = [lot("a", "S1", None, "02-21"), lot("a", "S2", None, "02-20"), lot("b", "S2", None, "02-25")]
    assert of("material lot", materials=lots) == {"a": "S2", "b": "S2", "c": None}


def test_only_what_was_known_by_the_cutoff_counts(of):
    lots = [
        lot("a", "S1", "shot", "02-20", "03-02"),  # recorded too late
        lot("b", "S1", "shot", "03-03"),  # happened later
        lot("c", "S1", "screw", "02-20", "02-21"),
        lot("c", "S1", "shot", "02-20", "02-28"),  # corrected in time
    ]
    assert of("shot lot", materials=lots) == {"a": None, "b": None, "c": "S1"}
    back = [*lots[:2], lots[3] | {"recorded_at": "2026-02-20"}, lots[2], lot("b", "S9", "shot", "02-20")]
    assert of("shot lot", materials=back) == {"a": None, "b": "S9", "c": None}  # corrected, and no shot any more


def test_a_group_that_no_unit_has_is_an_error_that_names_those_there_are(of):
    with pytest.raises(
        LineError, match=r"line.toml: learning.group: 'casting lot' is known of none of 3 units"
    ) as found:
        of("casting lot", materials=[lot("a", "S1", "shot", "02-20"), lot("a", "X", "screw", "02-20")])
    assert "Expected what units of this history share: 'screw lot', 'shot lot'." in str(found.value)
    with pytest.raises(LineError, match="share: it has no orders and lots"):
        of("order")
