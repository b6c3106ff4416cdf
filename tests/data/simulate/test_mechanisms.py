import numpy as np
import pandas as pd
import pytest

from qma_predict.data.simulate.lots import charge_lots, lot_names
from qma_predict.data.simulate.mechanisms import LEAK_SHARE, UNEXPLAINED, defect_probabilities, draw_truth
from qma_predict.data.simulate.upkeep import TOOL_LIFE, use_tools

QUIET = {
    "hydrogen": 0.0,
    "heat": 0.0,
    "pressure_loss": 0.0,
    "wear": 0.5,
    "imbalance": 0.0,
    "badness": 0.0,
    "composition": 0.0,
}


def chances(product=2, **states):
    arrays = {name: np.array([value]) for name, value in {**QUIET, **states}.items()}
    return defect_probabilities(arrays, np.array([product])).iloc[0]


def test_a_plant_in_order_has_the_unexplained_rate_only():
    found = chances()
    assert found["unexplained"] == UNEXPLAINED
    assert found.drop("unexplained").max() < 1e-4


@pytest.mark.parametrize(
    ("states", "mechanism"),
    [
        ({"hydrogen": 2.0, "heat": 2.0, "pressure_loss": 2.5}, "porosity"),
        ({"wear": 1.9}, "tool_wear"),
        ({"badness": 1.0}, "bad_lot"),
        ({"imbalance": 1.6}, "die_drift"),
    ],
)
def test_each_mechanism_has_its_own_cause(states, mechanism):
    found = chances(**states)
    assert found[mechanism] > 0.2
    assert found.drop(["unexplained", mechanism]).max() < 1e-4


def test_a_gassy_melt_or_a_weak_pressure_alone_does_no_harm():
    assert chances(hydrogen=2.5, heat=2.5)["porosity"] < 1e-4
    assert chances(pressure_loss=3.0)["porosity"] < 1e-4


def test_a_bad_lot_harms_thin_walls_only():
    found = [chances(product, badness=1.0)["bad_lot"] for product in range(4)]
    assert found[0] == found[1] == 0.0
    assert found[2] > found[3] > 0.05


def test_the_probability_is_that_of_any_mechanism_and_the_largest_names_it():
    table = pd.DataFrame({name: [0.1] for name in LEAK_SHARE})
    table["bad_lot"] = 0.5
    truth = draw_truth(1, table)
    assert truth["probability"].iloc[0] == pytest.approx(1 - 0.5 * 0.9**4)
    assert truth["mechanism"].iloc[0] == "bad_lot"


def test_mechanisms_make_the_defects_they_are_said_to_make():
    def defects(name):
        table = pd.DataFrame({other: np.full(4000, float(other == name)) for other in LEAK_SHARE})
        return draw_truth(3, table)

    assert defects("porosity")["leak"].all()
    assert not defects("porosity")["dimension"].any()
    assert defects("tool_wear")["dimension"].all()
    assert not defects("tool_wear")["leak"].any()
    assert 0.45 < defects("die_drift")["leak"].mean() < 0.55


def test_wear_grows_unit_by_unit_and_begins_anew_with_each_recorded_change():
    machine, started = np.zeros(5000, dtype=int), np.arange(5000) * 100
    wear, changes = use_tools(4, machine, started)
    fresh = np.flatnonzero(np.diff(wear) < 0) + 1
    assert (wear[fresh] == 0).all()
    assert changes["at"].tolist() == (started[fresh] - 1).tolist()
    assert (np.diff(fresh) >= round(TOOL_LIFE * 0.85)).all()
    assert (np.diff(fresh) <= round(TOOL_LIFE * 1.15)).all()
    worn_at_change = wear[fresh - 1]
    assert worn_at_change.min() < 0.8
    assert worn_at_change.max() > 1.5


def test_a_furnace_is_charged_from_one_lot_until_it_is_used_up():
    furnace, started = np.tile([0, 1], 9000), np.arange(18_000)
    lots = charge_lots(5, furnace, started)
    assert np.intersect1d(lots.of_unit[furnace == 0], lots.of_unit[furnace == 1]).size == 0
    assert (np.diff(lots.of_unit[furnace == 0]) >= 0).all()
    assert np.bincount(lots.of_unit).max() < 550
    assert 0.03 < (lots.badness > 0).mean() < 0.08
    assert np.unique(lot_names(lots)).size == lots.supplier.size


def test_the_truth_is_calibrated(plant):
    order = np.argsort(plant.truth["probability"], kind="stable")
    for rows in np.array_split(order, 10):
        probability = plant.truth["probability"].iloc[rows]
        surplus = plant.truth["defect"].iloc[rows].sum() - probability.sum()
        assert abs(surplus) < 4 * np.sqrt((probability * (1 - probability)).sum())


def test_the_truth_has_a_row_a_unit_and_its_parts_agree(plant):
    truth = plant.truth
    parts = truth.filter(like="p_")
    assert list(parts) == [f"p_{name}" for name in LEAK_SHARE]
    assert (truth["defect"] == (truth["leak"] | truth["dimension"])).all()
    assert np.allclose(truth["probability"], 1 - (1 - parts).prod(axis=1))
    assert set(truth["unit_id"]) == set(plant.units["unit_id"])
