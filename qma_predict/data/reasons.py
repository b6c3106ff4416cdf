"""Why rows break the contract."""

import numpy as np
import pandas as pd


class Reasons:
    """Collects why rows are refused; costs nothing where none is."""

    def __init__(self, size: int) -> None:
        self.text = np.full(size, "", dtype=object)

    def add(self, wrong: pd.Series, name: str, what: str, given: pd.Series | None = None) -> None:
        """Say of the rows that are wrong what is, in which column, and what was found there."""
        for position in np.flatnonzero(wrong.to_numpy(dtype=bool)).tolist():
            shown = "" if given is None else f": {str(given.iloc[position])[:80]!r}"
            self._append(position, f"{name}: {what}{shown}")

    def add_each(self, name: str, whats: np.ndarray) -> None:
        """Say of each row what is wrong with it; empty where nothing is."""
        for position in np.flatnonzero(whats != "").tolist():
            self._append(position, f"{name}: {whats[position]}")

    def _append(self, position: int, what: str) -> None:
        before = f"{self.text[position]}; " if self.text[position] else ""
        self.text[position] = before + what

    def series(self, index: pd.Index) -> pd.Series:
        """All reasons of each row; empty where there is none."""
        return pd.Series(self.text, index=index, dtype="str")
