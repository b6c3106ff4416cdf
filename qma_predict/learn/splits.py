"""Training and test rows in time order: what was known at a moment, against what came after it."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator

from qma_predict.errors import NotEnoughData


class RollingOriginSplit(BaseCrossValidator):
    """Split rows into training rows and later test blocks, by their cutoffs.

    Windows of length `test` are counted back from the newest cutoff. The test blocks are the newest
    `n_splits` windows that hold at least one row (a plant that stood still for a window does not use up
    a block), oldest first. Where labels are given, only rows whose label is known place the windows, and the others
    lie in them: what nobody inspected can be listed, but judges nothing. A block is open at its start and closed at
    its end: ``start < cutoff <= end``. Its training rows have ``cutoff <= start - gap``: everything older, at least
    `gap` old at the start.

    .. warning::
        With a `gap` shorter than the line's label maturity the training rows nearest to the block
        have only their quickly found defects, which no night could have trained on correctly.

    Parameters
    ----------
    n_splits : int, default 4
        Number of test blocks, at least 1.
    test : str or timedelta, default "14D"
        Length of a test block.
    gap : str or timedelta, default "4D"
        Time between the newest training cutoff and the start of the block; the label maturity.

    Examples
    --------
    >>> cutoff = pd.date_range("2026-03-01", periods=10, freq="D", tz="UTC")
    >>> splitter = RollingOriginSplit(2, test="2D", gap="1D")
    >>> for origin, (train, test) in zip(splitter.origins(cutoff), splitter.split(cutoff, groups=cutoff)):
    ...     print(origin.date(), "train", train, "test", test)
    2026-03-06 train [0 1 2 3 4] test [6 7]
    2026-03-08 train [0 1 2 3 4 5 6] test [8 9]
    """

    def __init__(self, n_splits: int = 4, *, test: str | pd.Timedelta = "14D", gap: str | pd.Timedelta = "4D") -> None:
        self.n_splits = n_splits
        self.test = test
        self.gap = gap

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of test blocks; all arguments are ignored."""
        return self.n_splits

    def origins(self, groups: object, y: object = None) -> pd.DatetimeIndex:
        """Return the starts of the test blocks, oldest first.

        Parameters
        ----------
        groups : array-like of datetime, shape (n_rows,)
            The rows' cutoffs. Times without a zone are taken as UTC.
        y : array-like, shape (n_rows,), optional
            Labels; rows where they are missing place no window.

        Returns
        -------
        pandas.DatetimeIndex, UTC, shape (n_splits,)

        Raises
        ------
        NotEnoughData
            Fewer than `n_splits` windows hold rows, or a block has no training row.
        ValueError
            A cutoff is missing or not a time, or a parameter is out of range.
        """
        cutoff = _as_cutoffs(groups)
        cutoff = cutoff if y is None else cutoff[~pd.isna(np.asarray(y))]
        test, gap = self._lengths()
        if len(cutoff) == 0:
            raise NotEnoughData(f"RollingOriginSplit: found no rows, need {self.n_splits} blocks of {test}")
        newest, oldest = cutoff.max(), cutoff.min()
        starts = self._starts(cutoff, test)
        if len(starts) < self.n_splits or oldest > starts[0] - gap:
            raise NotEnoughData(
                f"RollingOriginSplit: found {len(cutoff)} rows with cutoffs from {oldest} to {newest} "
                f"({newest - oldest}), in {len(starts)} windows of {test}; {self.n_splits} test blocks of "
                f"{test} with rows older than a gap of {gap} before them need more than "
                f"{self.n_splits * test + gap}. Wait for more history, or ask for fewer or shorter blocks "
                f"(of a training: learning.blocks and learning.block in line.toml){self._fitting(cutoff, test, gap)}."
            )
        return starts

    def _starts(self, cutoff: pd.DatetimeIndex, test: pd.Timedelta) -> pd.DatetimeIndex:
        """Return the starts of the newest windows of a length that hold rows, oldest first; at most `n_splits`."""
        windows = np.unique((cutoff.max() - cutoff) // test)[: self.n_splits]
        return pd.DatetimeIndex(cutoff.max() - (windows[::-1] + 1) * test)

    def _fitting(self, cutoff: pd.DatetimeIndex, test: pd.Timedelta, gap: pd.Timedelta) -> str:
        """Return in words how many whole days a block could have, if any, with as many to learn from before them."""
        for days in range(test.days, 0, -1):
            length = pd.Timedelta(days=days)
            starts = self._starts(cutoff, length)
            if len(starts) == self.n_splits and cutoff.min() <= starts[0] - gap - length:
                return f'; {self.n_splits} blocks of "{days} d" would fit, with {days} d before them to learn from'
        return ""

    def split(self, X: object, y: object = None, groups: object = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training and the test rows of each block, oldest block first.

        Parameters
        ----------
        X : object
            Ignored; it is here so that scikit-learn can use the splitter.
        y : array-like, shape (n_rows,), optional
            As for `origins`. Rows without a label are yielded with the others.
        groups : array-like of datetime, shape (n_rows,)
            The rows' cutoffs, in any order. Times without a zone are taken as UTC.

        Yields
        ------
        train, test : numpy.ndarray of int
            Positions of the rows, both in time order (equal cutoffs in the order given).

        Raises
        ------
        NotEnoughData, ValueError
            As `origins`.
        """
        cutoff = _as_cutoffs(groups)
        test, gap = self._lengths()
        order = np.argsort(cutoff.asi8, kind="stable")
        in_order = cutoff[order]
        for start in self.origins(cutoff, y):
            train = order[in_order <= start - gap]
            block = order[(in_order > start) & (in_order <= start + test)]
            yield train, block

    def _lengths(self) -> tuple[pd.Timedelta, pd.Timedelta]:
        test, gap = pd.Timedelta(self.test), pd.Timedelta(self.gap)
        if self.n_splits < 1 or test <= pd.Timedelta(0) or gap < pd.Timedelta(0):
            raise ValueError(
                f"RollingOriginSplit: found n_splits={self.n_splits}, test={test}, gap={gap}; "
                "expected n_splits >= 1, test > 0 and gap >= 0"
            )
        return test, gap


def _as_cutoffs(groups: object) -> pd.DatetimeIndex:
    if groups is None:
        raise ValueError("RollingOriginSplit: groups is missing; pass the rows' cutoffs as groups=")
    values = pd.Index(groups)
    if len(values) and pd.api.types.is_numeric_dtype(values.dtype):
        raise ValueError(f"RollingOriginSplit: groups are {values.dtype}; expected the rows' cutoffs (times)")
    cutoff = pd.DatetimeIndex(pd.to_datetime(values, utc=True))
    if cutoff.hasnans:
        raise ValueError(f"RollingOriginSplit: {cutoff.isna().sum()} of {len(cutoff)} cutoffs are missing")
    return cutoff
