import pandas as pd
import pytest

from qma_predict.features.table import feature_table

POINTS = pd.DataFrame({"unit_id": ["u", "v"], "cutoff": [pd.Timestamp("2026-03-02 12:00", tz="UTC")] * 2})


def unit(product, recorded, unit_id="u"):
    return {"unit_id": unit_id, "product": product, "occurred_at": "2026-03-02 06:00", "recorded_at": recorded}


@pytest.fixture
def line(tiny_line):
    return tiny_line.model_copy(update={"learning": tiny_line.learning.model_copy(update={"families": ("product",)})})


@pytest.mark.parametrize(("recorded", "product"), [("2026-03-02 12:00", "B"), ("2026-03-02 12:00:00.000001", "A")])
def test_the_product_as_recorded_last_by_the_cutoff(make_history, line, recorded, product):
    history = make_history({"units": [unit("B", recorded), unit("A", "2026-03-02 06:00")]})
    assert feature_table(history, POINTS, line)["unit.product"].fillna("-").to_dict() == {"u": product, "v": "-"}


def test_a_product_first_recorded_after_the_cutoff_is_not_known(make_history, line):
    assert feature_table(make_history({"units": [unit("A", "2026-03-03")]}), POINTS, line).columns.empty
