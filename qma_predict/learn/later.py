"""Blocks of later rows: what models that knew only older rows are held against."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qma_predict.learn.columns import category_names, is_number, is_time

ENOUGH_LATER = 100
"""So many later defects (or goods, if rarer) calibrate; more blocks are not set apart for it."""

_MIN_TO_LEARN = 5
_RECURRING = 0.5


def later_blocks(labels: np.ndarray, groups: object = None, parts: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (rows to learn from, rows of the block) of the later blocks that calibrate, oldest first.

    They are small, so that the models that score them know nearly as much as the one in use, which is fitted on all
    rows: what this one learns of a burst by its causes would else be taken for a base rate that moved.

    Parameters
    ----------
    labels : numpy.ndarray of 0 and 1, shape (n_rows,)
        In time order.
    groups : array-like, shape (n_rows,), optional
        See `CalibratedBlend.fit`.
    parts : int, default 12
        Parts of the rows, each of which may be a block; of half of them at most.

    Returns
    -------
    list of (numpy.ndarray of int, numpy.ndarray of int)
        Empty where the rows before the newest block do not hold five of each class.

    Examples
    --------
    >>> [(len(train), block.tolist()) for train, block in later_blocks(np.array([0, 1] * 6))]
    [(10, [10]), (11, [11])]
    """
    code = group_codes(groups)
    if code is not None and len(code) != len(labels):
        raise ValueError(f"groups: found {len(code)} for {len(labels)} rows")
    blocks: list[tuple[np.ndarray, np.ndarray]] = []
    found = np.zeros(2)
    edges = np.round(np.arange(parts + 1) / parts * len(labels)).astype(int)
    for part in range(parts, parts - parts // 2, -1):
        first, last = edges[part - 1 : part + 1]
        block = np.arange(first, last)
        train = apart(np.arange(first), block, code)
        if np.bincount(labels[train], minlength=2).min() < _MIN_TO_LEARN or not len(block):
            break
        blocks.insert(0, (train, block))
        found += np.bincount(labels[block], minlength=2)
        if found.min() >= ENOUGH_LATER:
            break
    return blocks


def apart(train: np.ndarray, block: np.ndarray, code: np.ndarray | None) -> np.ndarray:
    """Return the rows to learn from whose group does not go on in the block.

    Parameters
    ----------
    train, block : numpy.ndarray of int
        Positions of rows.
    code : numpy.ndarray of int, shape (n_rows,), or None
        The rows' groups, as `group_codes` gives them; by None, each row is a group of its own.

    Examples
    --------
    >>> apart(np.arange(4), np.arange(4, 6), np.array([0, 0, 1, 2, 1, 3])).tolist()
    [0, 1, 3]
    """
    return train if code is None else train[~np.isin(code[train], code[block])]


def group_codes(groups: object) -> np.ndarray | None:
    """Return a number for each group, and one for each row whose group is missing: it belongs with no other.

    Examples
    --------
    >>> group_codes(["a", None, "a", None]).tolist()
    [0, 2, 0, 4]
    """
    if groups is None:
        return None
    code, found = pd.factorize(pd.Series(groups))
    return np.where(code < 0, len(found) + np.arange(len(code)), code)


def passing_texts(frame: pd.DataFrame, origins: Sequence[tuple[np.ndarray, np.ndarray]]) -> list:
    """Return the text columns of which, in every later block, most rows have a category not seen before it.

    Times are no texts, though they never come again: `PlantColumns` refuses them.

    Examples
    --------
    >>> X = pd.DataFrame({"unit.lot": ["A", "A", "B", "B", "C", "C"], "unit.product": ["x", "y"] * 3})
    >>> passing_texts(X, [(np.arange(4), np.arange(4, 6))])
    ['unit.lot']
    """
    passing = []
    for name in frame.columns:
        if origins and not is_number(frame[name]) and not is_time(frame[name]):
            texts = category_names(frame[name])
            again = [texts[block].isin(texts[train].unique()).mean() for train, block in origins]
            if max(again) < _RECURRING:
                passing.append(name)
    return passing
