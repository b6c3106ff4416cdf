import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qma_predict.publish.policy.audits import FLOOR, draw, inclusion_probabilities

SCORES = np.array([0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.0, 0.0])
IDS = np.array([f"u{n}" for n in range(8)], dtype=object)
LISTS = 20_000


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    """Draws of three units for many lists, shape (n_lists, n_units)."""
    probabilities = inclusion_probabilities(SCORES, 3)
    return np.array([draw(IDS, probabilities, f"list-{n}") for n in range(LISTS)])


def test_half_of_the_places_are_even_and_half_by_score():
    # 3 * (0.5 / 8 + 0.5 * score / 0.9)
    found = inclusion_probabilities(SCORES, 3)
    assert found == pytest.approx(3 * (1 / 16 + SCORES / 1.8))
    assert found.sum() == pytest.approx(3)


def test_what_would_be_drawn_more_than_once_is_certain_and_leaves_the_rest_to_the_others():
    # 2 * (0.5 / 4 + 0.5 * 0.9 / 1.2) = 1.0 exactly for the first; with three places it and the rest follow in turn
    assert inclusion_probabilities([0.9, 0.1, 0.1, 0.1], 2) == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
    assert inclusion_probabilities([0.9, 0.3, 0.0, 0.0], 3) == pytest.approx([1, 1, 0.5, 0.5])


@pytest.mark.parametrize(
    ("scores", "places", "found"),
    [([0.1, 0.2], 2, [1, 1]), ([0.1], 5, [1]), ([], 2, []), ([0.0, 0.0], 1, [0.5, 0.5]), ([0.3, 0.1], 0, [0, 0])],
    ids=["as many as units", "more than units", "no units", "no risk", "no place"],
)
def test_probabilities_at_their_edges(scores, places, found):
    assert inclusion_probabilities(scores, places) == pytest.approx(found)


@settings(deadline=None)
@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 1)), min_size=1, max_size=30), st.integers(0, 35), st.text())
def test_a_draw_has_its_number_and_nobody_is_left_out_of_it(scores, places, seed):
    probabilities = inclusion_probabilities(scores, places)
    n = len(scores)
    assert probabilities.sum() == pytest.approx(min(places, n))
    assert (probabilities <= 1).all()
    assert (probabilities >= min(1, FLOOR * min(places, 1) / n) - 1e-12).all()
    drawn = draw([str(unit) for unit in range(n)], probabilities, seed)
    assert drawn.sum() == min(places, n)
    assert drawn[probabilities == 1].all()


def test_over_many_lists_each_unit_is_drawn_as_often_as_its_probability_says(draws):
    probabilities = inclusion_probabilities(SCORES, 3)
    error = np.sqrt(probabilities * (1 - probabilities) / LISTS)
    assert (np.abs(draws.mean(axis=0) - probabilities) < 4 * error).all()
    assert (draws.sum(axis=1) == 3).all()


def test_every_two_units_are_drawn_together_on_some_list(draws):
    together = draws.T.astype(int) @ draws.astype(int)
    assert (together > 0).all()


def test_the_audited_stand_for_all_so_that_their_sum_is_the_number_of_defects(draws):
    defect = np.array([1, 0, 1, 0, 0, 1, 1, 0])
    estimates = draws @ (defect / inclusion_probabilities(SCORES, 3))
    assert abs(estimates.mean() - 4) < 4 * estimates.std() / np.sqrt(LISTS)


def test_a_draw_depends_on_the_list_and_on_no_order_of_rows():
    probabilities = inclusion_probabilities(SCORES, 3)
    turned = np.arange(8)[::-1]
    assert set(IDS[turned][draw(IDS[turned], probabilities[turned], "a")]) == set(IDS[draw(IDS, probabilities, "a")])
    assert len({tuple(draw(IDS, probabilities, f"list-{n}")) for n in range(50)}) > 10
