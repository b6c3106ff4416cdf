"""Walks from one unit's values to another's, group of features by group, by which `explanations` shares out a risk."""

from collections.abc import Callable, Sequence

import numpy as np

Mixture = tuple[int, int, Sequence[int] | np.ndarray]
"""Numbers of a unit and a sibling, and the columns in which the sibling gets the unit's values."""

Mixed = Callable[[Sequence[Mixture]], np.ndarray]
"""Log-odds of mixtures, shape (n_mixtures,)."""


def walks(
    mixed: Mixed, siblings: int, groups: Sequence[Sequence[list[int]]], pairs: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Walk from dealt siblings to units, by groups in random orders and in the reverse of each.

    Parameters
    ----------
    mixed : callable
    siblings : int
        How many there are. They are dealt like cards, each as often as the others.
    groups : sequence of (sequence of list of int)
        Of each unit the columns of each of its groups.
    pairs : int
        Siblings that are dealt a unit.
    rng : Generator

    Returns
    -------
    list of (ndarray, ndarray)
        Of each unit the numbers of its siblings, shape (n_pairs,), and the steps of its groups [log-odds], the mean of
        the two opposite walks, shape (n_pairs, n_groups).
    """
    plan: list[Mixture] = []
    orders, dealt = [], []
    for unit, own in enumerate(groups):
        cards = np.concatenate([rng.permutation(siblings) for _ in range(-(-pairs // siblings))])[:pairs]
        dealt.append(cards)
        for card in cards:
            order = rng.permutation(len(own))
            for direction in (order, order[::-1]):
                taken: list[int] = []
                plan.append((unit, card, taken))
                for group in direction:
                    taken = taken + own[group]
                    plan.append((unit, card, taken))
                orders.append(direction)
    values, at = mixed(plan), 0
    walked = []
    for number, own in enumerate(groups):
        steps = np.empty((2 * pairs, len(own)))
        for row, direction in enumerate(orders[2 * pairs * number : 2 * pairs * (number + 1)]):
            steps[row, direction] = np.diff(values[at : at + len(own) + 1])
            at += len(own) + 1
        walked.append((dealt[number], steps.reshape(pairs, 2, len(own)).mean(axis=1)))
    return walked


def error_of_dealing(values: np.ndarray, dealt: int) -> float:
    """Standard error of the mean of values that are dealt like cards, over and over, against the mean of them all.

    Whole rounds have no error; the last one, of r of N values, is a sample without replacement (Cochran 1977).

    References
    ----------
    Cochran, W. G. (1977). Sampling Techniques, 3rd edition, theorem 2.2.

    Examples
    --------
    >>> [round(error_of_dealing(np.array([0.0, 0.0, 0.0, 4.0]), dealt), 3) for dealt in (1, 2, 4, 6, 8)]
    [1.732, 1.0, 0.0, 0.333, 0.0]
    """
    rest = dealt % len(values)
    if not rest:
        return 0.0
    return float(values.std(ddof=1) * np.sqrt(rest * (1 - rest / len(values))) / dealt)
