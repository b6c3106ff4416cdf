"""The proof that no feature sees the future: for anyone's line, families and history."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from qma_predict.data.lake import SCHEMAS, History, Lake, frame
from qma_predict.errors import Leakage, NotEnoughData
from qma_predict.features.adversary import LATEST, scramble
from qma_predict.features.points import prediction_points
from qma_predict.features.table import feature_table
from qma_predict.line import Line

FEWEST_POINTS = 20
"""Prediction points below which nothing is shown."""

_OF_UNITS = ("units", "visits", "materials", "inspections", "answers")
_AROUND = ibis.interval(hours=1)


@dataclass(frozen=True)
class Checked:
    """What `assert_no_leakage` looked at and found in order.

    Attributes
    ----------
    moments : tuple of Timestamp, UTC
        After each of them, everything was rewritten.
    points : int
        Prediction points with their cutoff by the last moment.
    comparisons : int
        Values compared: points by the moment times features, over all moments.
    rewritten : int
        Rows recorded after a moment that were rewritten, over all moments.
    features : tuple of str
        Names of the features that had a value. A family that found nothing in the sample is not among them.
    """

    moments: tuple[pd.Timestamp, ...]
    points: int
    comparisons: int
    rewritten: int
    features: tuple[str, ...]


def assert_no_leakage(line: Line, history: History, *, units: int = 300, moments: int = 4, seed: int = 0) -> Checked:
    """Check that nothing recorded after a unit's cutoff changes its features.

    Units are sampled: stretches of units that follow each other, so that they share machines, orders and lots, and
    as many from anywhere before. Their history is copied into a temporary lake, together with what they were made
    from, with what happened to their machines, and with the machines' readings while they were there. The features
    as known at a moment are then compared, bit for bit, with those that come out long after it if everything
    recorded after the moment had been different (see `adversary.scramble`): for every unit with its cutoff by then.
    The moments are cutoffs of units, the sharpest ones that there are.

    Parameters
    ----------
    line : Line
        Its `learning.families` are checked, modules of your own by their import path among them.
    history : History
        Of any line with these tables. Nothing is written to its lake.
    units : int
        How many units are sampled at most.
    moments : int
    seed : int
        The same seed checks the same; another one other units and moments.

    Returns
    -------
    Checked
        What was looked at: read it before you trust a check of your own families.

    Raises
    ------
    Leakage
        If a feature moved, or could not be computed any more; it names the first one. It is an `AssertionError`.
    NotEnoughData
        If there is too little to check: few prediction points, no features, or nothing recorded after them.

    Examples
    --------
    In a test of your own::

        def test_our_families_do_not_see_the_future():
            history = Lake("home/lake/press").at(datetime.now(UTC))
            checked = assert_no_leakage(load_line("models/press"), history)
            assert "press.spindle.age" in checked.features
    """
    rng = np.random.default_rng(seed)
    points = prediction_points(history, line)
    stretches = _stretches(points, units, moments, rng, line)
    frames = _sampled(history, points, stretches, units, rng)
    with tempfile.TemporaryDirectory(prefix="leakage-") as folder:
        lake = _lake(Path(folder) / "as it is", frames)
        sample = prediction_points(lake.at(history.as_of), line)
        compared, rewritten, seen, features = 0, 0, 0, set[str]()
        ends = [points["cutoff"].iloc[rng.choice(stretch[len(stretch) // 2 :])] for stretch in stretches]
        for number, moment in enumerate(ends):
            past = sample[sample["cutoff"] <= moment]
            before = feature_table(lake.at(moment), past, line)
            changed = scramble(frames, moment, seed + number)
            other = _lake(Path(folder) / f"other {number}", changed)
            after = _features_after(other.at(history.as_of + 2 * LATEST), past, line, moment)
            _compare(before, after, past, moment)
            rewritten += sum(int((rows["recorded_at"] > moment).sum()) for rows in frames.values())
            compared, seen, features = compared + before.size, max(seen, len(past)), features | set(before)
    if seen < FEWEST_POINTS or not features or not rewritten:
        raise _too_little(line, f"{seen} points, {len(features)} features, {rewritten} rows recorded after a moment")
    return Checked(tuple(ends), seen, compared, rewritten, tuple(sorted(features)))


def _too_little(line: Line, found: str) -> NotEnoughData:
    return NotEnoughData(
        f"line {line.name}: {found}. Expected at least {FEWEST_POINTS} points, one feature and rows recorded after "
        "them: less shows nothing. Give a longer history, or more units."
    )


def _stretches(
    points: pd.DataFrame, units: int, moments: int, rng: np.random.Generator, line: Line
) -> list[np.ndarray]:
    """Positions of points that follow each other, a stretch for each moment; none in the first tenth."""
    length, first = max(units // (2 * moments), 2), len(points) // 10
    if len(points) < FEWEST_POINTS:
        raise _too_little(line, f"{len(points)} points")
    starts = rng.integers(first, max(len(points) - length, first + 1), moments)
    return [np.arange(start, min(start + length, len(points))) for start in np.sort(starts)]


def _sampled(
    history: History, points: pd.DataFrame, stretches: list[np.ndarray], units: int, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """Everything recorded of the stretches' units, of some from anywhere, and of what is around them, as frames."""
    anywhere = rng.choice(len(points), min(units // 2, len(points)), replace=False)
    chosen = np.unique(np.concatenate([*stretches, anywhere]))
    ids = _with_parts(history, points["unit_id"].iloc[chosen])
    tables = {name: history.all_versions(name).semi_join(ids, "unit_id") for name in _OF_UNITS}
    visits = tables["visits"].filter(_.machine.notnull())
    tables["events"] = history.all_versions("events").semi_join(visits, "machine")
    tables["tags"] = history.all_versions("tags")
    readings = history.all_versions("readings")
    tables["readings"] = readings.semi_join(ids, "unit_id").union(_of_machines(readings, visits))
    return {name: _frame(name, table) for name, table in tables.items()}


def _with_parts(history: History, units: pd.Series) -> ir.Table:
    """The units and what they are made from, and that in turn, as a table of `unit_id`."""
    ids = set(units)
    while True:
        table = ibis.memtable(pd.DataFrame({"unit_id": pd.Series(sorted(ids), dtype="str")}))
        consumed = history.all_versions("materials").semi_join(table, "unit_id").select("lot_id").distinct()
        more = set(consumed.to_pandas()["lot_id"]) - ids
        if not more:
            return table
        ids |= more


def _of_machines(readings: ir.Table, visits: ir.Table) -> ir.Table:
    """Readings of machines, of no unit, during the visits and an hour around them."""
    stays = visits.select(
        "machine",
        start=_.started_at - _AROUND,
        end=ibis.coalesce(_.ended_at, _.started_at) + _AROUND,
    ).distinct()
    of_none = readings.filter(readings.unit_id == "")
    return of_none.semi_join(
        stays,
        [
            of_none.machine == stays.machine,
            of_none.occurred_at >= stays.start,
            of_none.occurred_at <= stays.end,
        ],
    )


def _frame(name: str, table: ir.Table) -> pd.DataFrame:
    """Rows in an order that does not depend on how they were stored, so that the same seed does the same."""
    rows = frame(table.select(SCHEMAS[name].names))
    return rows.sort_values(SCHEMAS[name].names, ignore_index=True)


def _lake(folder: Path, frames: dict[str, pd.DataFrame]) -> Lake:
    lake = Lake(folder)
    for name, rows in frames.items():
        lake.append(name, rows)
    return lake


def _features_after(history: History, past: pd.DataFrame, line: Line, moment: pd.Timestamp) -> pd.DataFrame:
    """Features of the other history; where they fail, they looked at what is other there.

    They are computed together with those of a unit of long after, as in training: for the last points of a history,
    `feature_table` leaves out by itself what was recorded after them.
    """
    long_after = pd.DataFrame({"unit_id": ["a unit of long after"], "cutoff": [history.as_of]})
    together = pd.concat([past[["unit_id", "cutoff"]], long_after.astype(past[["unit_id", "cutoff"]].dtypes)])
    try:
        return feature_table(history, together, line).iloc[:-1]
    except Exception as error:  # a family may be anyone's: whatever it raises is told, with its cause
        raise Leakage(
            f"line {line.name}: a family fails once what was recorded after {moment} is different, and worked before "
            f"for the same points, all with cutoffs by then: {type(error).__name__}: {error}. Expected it to look at "
            "nothing recorded after a point's cutoff."
        ) from error


def _compare(before: pd.DataFrame, after: pd.DataFrame, past: pd.DataFrame, moment: pd.Timestamp) -> None:
    """Raise `Leakage` for the first value, by feature and then by point, that is not the same to the bit."""
    moved = {name: rows for name in sorted({*before, *after}) if len(rows := _moved(before, after, name))}
    if not moved:
        return
    name, rows = next(iter(moved.items()))
    point = past.iloc[rows[0]]
    values = [_shown(table, name, rows[0]) for table in (before, after)]
    others = "no other feature" if len(moved) == 1 else f"{len(moved) - 1} other features"
    raise Leakage(
        f"feature {name!r} of unit {point['unit_id']!r} (cutoff {point['cutoff']}) saw what was recorded after "
        f"{moment}: it was {values[0]}, and is {values[1]} once that is different. Expected the same to the bit. "
        f"It moved for {len(rows)} of {len(past)} units, and so did {others}."
    )


def _moved(before: pd.DataFrame, after: pd.DataFrame, name: str) -> np.ndarray:
    """Positions of the points whose feature differs; one that a table lacks is missing for all."""
    missing = pd.Series(np.nan, index=before.index)
    old, new = before.get(name, missing), after.get(name, missing)
    return np.flatnonzero(_bits(old) != _bits(new))


def _bits(column: pd.Series) -> np.ndarray:
    """Values such that equal ones have the same bits: -0.0 is not 0.0, and missing is missing."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(object).where(column.notna(), None).to_numpy()
    values = column.to_numpy(dtype=np.float64)
    bits = values.view(np.int64).astype(object)
    bits[np.isnan(values)] = None
    return bits


def _shown(table: pd.DataFrame, name: str, position: int) -> str:
    if name not in table or pd.isna(table[name].iloc[position]):
        return "missing"
    return repr(table[name].astype(object).iloc[position])
