"""An adversary: another history after a moment, within valid ranges, with the same past."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qma_predict.data.contract import TABLES
from qma_predict.data.values import TIME

CHANGED = 0.7
"""Share of the rows recorded after the moment that come with other values; the others never come."""

LATE = 0.2
"""Share of all rows, old and new, of which one more is recorded after the moment: a correction, or a late row."""

LATEST = pd.Timedelta("5D")
"""How long after the moment, or after the row, such a row is recorded at most."""

_ELSEWHERE = pd.Timedelta("7min")


def scramble(frames: Mapping[str, pd.DataFrame], moment: pd.Timestamp, seed: int) -> dict[str, pd.DataFrame]:
    """Tables with another history after a moment.

    Rows recorded by the moment stay as they are. Of those recorded later some are deleted and the others changed;
    rows are added, all recorded later: corrections of rows, and rows that had happened before. The order of all
    rows is drawn anew.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        Rows of tables of the lake by the table's name.
    moment : Timestamp, UTC
    seed : int
        The same seed gives the same tables.

    Returns
    -------
    dict of str to DataFrame, of the same tables and columns
    """
    rng = np.random.default_rng(seed)
    return {name: _scrambled(name, rows, moment, rng) for name, rows in frames.items()}


def _scrambled(name: str, rows: pd.DataFrame, moment: pd.Timestamp, rng: np.random.Generator) -> pd.DataFrame:
    if rows.empty:
        return rows
    before, after = rows[rows["recorded_at"] <= moment], rows[rows["recorded_at"] > moment]
    changed = _other_values(name, after[rng.random(len(after)) < CHANGED], rng)
    late = rows.sample(int(np.ceil(LATE * len(rows))), random_state=rng)
    delay = pd.to_timedelta(rng.integers(1, LATEST // pd.Timedelta("1us"), len(late)), unit="us")
    late = _other_values(name, late, rng).assign(recorded_at=np.maximum(late["recorded_at"], moment) + delay)
    late = _of_another_key(name, late, rng.random(len(late)) < 0.5, rng)
    both = pd.concat([before, changed, late], ignore_index=True).astype(rows.dtypes)
    return both.drop_duplicates([*TABLES[name].key, "recorded_at"]).sample(frac=1, random_state=rng)


def _other_values(name: str, rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows with the values of others, numbers stretched and results turned; keys stay."""
    rows, order = rows.copy(), rng.permutation(len(rows))
    for column in set(TABLES[name].values) - {"ended_at", "occurred_at"}:
        rows[column] = rows[column].iloc[order].to_numpy()
    for column in ("value", "measured", "set_point"):
        if column in rows:
            rows[column] = rows[column] * rng.uniform(0.5, 2, len(rows))
    if name == "inspections":
        rows["passed"] = rng.random(len(rows)) < 0.5
    if name == "visits":  # ended at any moment between start and record, or not at all
        share = rng.uniform(0, 1, len(rows))
        rows["ended_at"] = (rows["started_at"] + share * (rows["recorded_at"] - rows["started_at"])).dt.as_unit("us")
        rows.loc[share < 0.1, "ended_at"] = pd.NaT
        rows["occurred_at"] = rows["ended_at"].fillna(rows["started_at"])
    return rows


def _of_another_key(name: str, rows: pd.DataFrame, which: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Make some rows facts of their own rather than corrections: they happened earlier, or with another lot."""
    rows = rows.copy()
    happened = {"occurred_at", *TABLES[name].happened, *TABLES[name].key}
    for column in sorted(column for column in happened if rows[column].dtype == TIME):
        rows.loc[which, column] -= _ELSEWHERE
    if name == "materials":
        rows.loc[which, "lot_id"] = rng.permutation(rows.loc[which, "lot_id"].to_numpy(dtype=object))
    return rows
