"""What a recipe is given to learn from or to follow, checked before anything is made of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, column_or_1d

from qma_predict.errors import NotEnoughData


@dataclass(frozen=True)
class Given:
    """Rows that count, with what is known of them.

    Attributes
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
    labels : numpy.ndarray of int, shape (n_rows,)
        1 defect, 0 good.
    weight : numpy.ndarray or None, shape (n_rows,)
        Above 0, with a mean of 1; None where all rows count the same.
    groups : pandas.Series or None, shape (n_rows,)
    classes : numpy.ndarray, shape (2,)
        What good and defect are called in the labels that were given.
    """

    frame: pd.DataFrame
    labels: np.ndarray
    weight: np.ndarray | None
    groups: pd.Series | None
    classes: np.ndarray


def to_learn_from(who: str, frame: pd.DataFrame, y: object, groups: object, sample_weight: object) -> Given:
    """Return what `fit` is given, without the rows of weight 0.

    Parameters
    ----------
    who : str
        Of whom messages speak.
    frame, y, groups, sample_weight
        See `CalibratedBlend.fit`.

    Raises
    ------
    NotEnoughData
        Fewer than two classes.
    ValueError
        No labels, more than two classes, labels that are missing, weights below 0, lengths that differ.
    """
    if y is None:
        raise ValueError(f"{who}: requires y to be passed, but the target y is None")
    target = column_or_1d(y, warn=True)
    _check_length(who, "labels", target, len(frame))
    if pd.isna(target).any():
        raise ValueError(f"{who}: {int(pd.isna(target).sum())} labels are missing (NaN); expected 1 or 0 for each")
    if len(target):
        check_classification_targets(target)
    together = None if groups is None else pd.Series(groups).reset_index(drop=True)
    if together is not None:
        _check_length(who, "groups", together, len(frame))
    weight = None
    if sample_weight is not None and len(target):
        weight = _check_sample_weight(sample_weight, frame, dtype=float, ensure_non_negative=True)
        counts = weight > 0
        frame, target, weight = frame[counts], target[counts], _relative(weight[counts])
        together = None if together is None else together[counts]
    classes = np.unique(target)
    if len(classes) > 2:
        raise ValueError(
            f"{who}: Only binary classification is supported. The type of the target is {type_of_target(target)}."
        )
    if len(classes) < 2:
        defects = int(np.sum(target == 1))
        raise NotEnoughData(
            f"{who}: found {defects} defects and {len(target) - defects} good units to learn from, "
            "need at least one of each. Wait for more known labels, or take a longer history."
        )
    return Given(frame, (target == classes[1]).astype(int), weight, together, classes)


def to_follow(
    who: str, rows: int, y: object, sample_weight: object, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return which rows have a label, and of those the label (1 defect) and the weight (mean 1, or None).

    Parameters
    ----------
    who : str
        Of whom messages speak.
    rows : int
        How many there are to follow.
    y, sample_weight
        See `CalibratedBlend.follow`.
    classes : numpy.ndarray, shape (2,)
        What good and defect are called.

    Raises
    ------
    ValueError
        Labels that are neither, lengths that differ.

    Examples
    --------
    >>> to_follow("us", 3, ["ok", None, "scrap"], None, np.array(["ok", "scrap"]))
    (array([ True, False,  True]), array([0., 1.]), None)
    """
    labels = pd.Series(y).reset_index(drop=True)
    _check_length(who, "labels", labels, rows)
    known = labels.notna().to_numpy()
    found = labels[known].to_numpy()
    good, defect = classes.tolist()
    if strange := sorted({str(label) for label in found.tolist() if label not in (good, defect)}):
        raise ValueError(
            f"{who}: found the labels {', '.join(strange[:5])}; expected {good} or {defect} as in training, or a "
            "missing value where a label is not known yet"
        )
    weight = None
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=float)
        _check_length(who, "weights", weight, rows)
        weight = _relative(weight[known])
    return known, (found == classes[1]).astype(float), weight


def _check_length(who: str, what: str, of_each: np.ndarray | pd.Series, rows: int) -> None:
    if len(of_each) != rows:
        raise ValueError(f"{who}: found {rows} rows but {len(of_each)} {what}; expected one for each row")


def _relative(weight: np.ndarray) -> np.ndarray:
    """Return weights whose mean is 1: what they are counted in tells nothing."""
    return weight / weight.mean() if weight.any() else weight
