import numpy as np
import pytest

from qma_predict.learn.costs import expected_cost
from qma_predict.line import Costs

COSTS = Costs(escape=100.0, inspection=2.0, false_alarm=5.0)


def test_checks_false_alarms_and_escapes_are_added_over_nights_and_divided_by_the_candidates():
    # night 1 lists its defect; night 2 lists a good unit and lets a defect go
    cost = expected_cost([1, 0, 0, 1], [0.9, 0.1, 0.8, 0.2], capacity=1, costs=COSTS, nights=[1, 1, 2, 2])
    assert cost == pytest.approx((2 * 2 + 5 + 100) / 4)


def test_without_a_check_every_defect_escapes():
    assert expected_cost([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], capacity=0, costs=COSTS) == 50.0


def test_a_tie_at_the_end_of_the_list_counts_in_expected_value():
    # one place for a defect and a good unit: half the time each
    assert expected_cost([1, 0], [0.5, 0.5], capacity=1, costs=COSTS) == pytest.approx((2 + 0.5 * 5 + 0.5 * 100) / 2)


def test_units_without_a_label_take_places_and_cost_nothing():
    assert expected_cost([np.nan, 1], [0.9, 0.1], capacity=1, costs=COSTS) == 100.0


def test_without_costs_or_labels_the_cost_is_missing():
    assert np.isnan(expected_cost([1, 0], [0.5, 0.1], capacity=1, costs=Costs()))
    assert np.isnan(expected_cost([np.nan], [0.5], capacity=1, costs=COSTS))
