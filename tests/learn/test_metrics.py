import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from qma_predict.learn.at_capacity import precision_at_capacity, recall_at_capacity
from qma_predict.learn.metrics import average_precision, brier_skill, observed_over_expected, roc_auc

NAN = np.nan
calmly = settings(deadline=None, max_examples=50)  # a busy machine is no error
# label (or missing), score from few values so that ties are common, night
UNITS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=12
)
RANKINGS = {
    "precision": lambda y, s, n: precision_at_capacity(y, s, capacity=2, nights=n),
    "recall": lambda y, s, n: recall_at_capacity(y, s, capacity=2, nights=n),
    "average_precision": lambda y, s, n: average_precision(y, s),
    "roc_auc": lambda y, s, n: roc_auc(y, s),
}


def columns(units):
    y, score, night = np.array(units, dtype=float).T
    return y, score, night


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (recall_at_capacity([0, NAN], [2, 1], capacity=1), "no known defect"),
        (precision_at_capacity([NAN, 1], [2, 1], capacity=1), "no listed label is known"),
        (precision_at_capacity([], [], capacity=1), "no units"),
        (average_precision([0, NAN], [2, 1]), "no known defect"),
        (roc_auc([1, NAN], [2, 1]), "no known good unit"),
        (roc_auc([0, NAN], [2, 1]), "no known defect"),
        (brier_skill([NAN], [0.5], prevalence=0.1), "no known label"),
        (brier_skill([0], [0.5], prevalence=0.0), "the reference makes no error"),
        (observed_over_expected([NAN, 0], [0.5, 0.0]), "nothing promised"),
    ],
)
def test_what_is_not_defined_is_missing(value, reason):
    assert np.isnan(value), reason


@pytest.mark.parametrize("ranking", RANKINGS)
@calmly
@given(units=UNITS, random=st.randoms(use_true_random=False))
def test_row_order_never_matters(ranking, units, random):
    before = RANKINGS[ranking](*columns(units))
    random.shuffle(units)
    np.testing.assert_allclose(RANKINGS[ranking](*columns(units)), before, rtol=1e-12)


@pytest.mark.parametrize("ranking", RANKINGS)
@calmly
@given(units=UNITS)
def test_only_the_order_of_the_scores_matters(ranking, units):
    y, score, night = columns(units)
    np.testing.assert_allclose(RANKINGS[ranking](y, np.exp(score) - 7, night), RANKINGS[ranking](y, score, night))


def broken_ties(score):
    """Yield every order of the units in which a higher score comes first."""
    for order in itertools.permutations(range(len(score))):
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order)):
            yield list(order)


@calmly
@given(
    y=st.lists(st.integers(0, 1), min_size=1, max_size=6),
    score=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    capacity=st.integers(1, 6),
)
def test_ties_count_as_the_mean_over_all_ways_to_break_them(y, score, capacity):
    score = score[: len(y)]
    lists = [np.array(y)[order] for order in broken_ties(score)]
    expected = np.mean([ranked[:capacity].mean() for ranked in lists])
    assert precision_at_capacity(y, score, capacity=capacity) == pytest.approx(expected)
    if sum(y):
        expected = np.mean([ranked[:capacity].sum() / sum(y) for ranked in lists])
        assert recall_at_capacity(y, score, capacity=capacity) == pytest.approx(expected)
        expected = np.mean([average_precision_score(ranked, -np.arange(len(y))) for ranked in lists])
        assert average_precision(y, score) == pytest.approx(expected)


def test_average_precision_without_ties_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 500), rng.random(500)
    assert average_precision(y, score) == pytest.approx(average_precision_score(y, score))


def test_a_ranking_by_chance_is_on_average_worth_the_same_as_none():
    rng = np.random.default_rng(0)
    y = np.repeat([1, 0], [14, 1386])
    by_chance = [average_precision(y, rng.random(1400)) for _ in range(2000)]
    standard_error = np.std(by_chance) / np.sqrt(2000)
    assert abs(np.mean(by_chance) - average_precision(y, np.zeros(1400))) < 4 * standard_error
    assert abs(np.mean(by_chance) - 0.010) > 10 * standard_error


def test_roc_auc_counts_pairs():
    # defects 3 and 1 against goods 2 and 1: 3>2, 3>1, 1<2, 1=1 -> (1 + 1 + 0 + 0.5) / 4
    assert roc_auc([1, 1, 0, 0, NAN], [3, 1, 2, 1, 9]) == 2.5 / 4


def test_brier_skill_compares_with_the_prevalence_given():
    # errors 0.2^2 + 0.1^2 = 0.05 against 0.8^2 + 0.2^2 = 0.68
    assert brier_skill([1, 0, NAN], [0.8, 0.1, 0.5], prevalence=0.2) == pytest.approx(1 - 0.05 / 0.68)


def test_always_saying_the_prevalence_has_no_skill_and_less_is_negative():
    assert brier_skill([1, 0, 0], [0.3] * 3, prevalence=0.3) == 0.0
    assert brier_skill([1, 0, 0], [0.0, 1.0, 1.0], prevalence=0.3) < 0


def test_observed_over_expected_leaves_out_what_is_not_known():
    assert observed_over_expected([1, 0, NAN], [0.3, 0.2, 0.5]) == pytest.approx(1 / 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision([1, 0], [1.0]), r"shape \(2,\), score \(1,\)"),
        (lambda: roc_auc([1, 2], [1.0, 2.0]), "y_true must hold"),
        (lambda: average_precision([1, 0], [1.0, NAN]), "1 of 2 scores are missing"),
        (lambda: brier_skill([1], [1.5], prevalence=0.1), "scores must be probabilities"),
        (lambda: brier_skill([1], [0.5], prevalence=1.1), "prevalence is 1.1"),
        (lambda: observed_over_expected([1], [-0.5]), "scores must be probabilities"),
    ],
)
def test_input_that_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
