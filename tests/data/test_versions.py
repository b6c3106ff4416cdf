from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qma_predict.data.contract import TABLES
from qma_predict.data.versions import reconcile

TABLE = TABLES["materials"]
HAPPENED = pd.Timestamp("2025-05-01", tz="UTC")
COLUMNS = ["unit_id", "material", "recorded_at"]


def rows(*versions: tuple[str, str | None, int]) -> pd.DataFrame:
    """Rows of materials from (unit, material, hour at which it was recorded)."""
    frame = pd.DataFrame(versions, columns=["unit_id", "material", "hour"])
    recorded = HAPPENED + pd.to_timedelta(frame.pop("hour"), unit="h")
    frame = frame.assign(lot_id="L1", supplier=None, occurred_at=HAPPENED, recorded_at=recorded)
    return frame.astype(dict.fromkeys(("unit_id", "lot_id", "material", "supplier"), "str"))


def verdicts(incoming: pd.DataFrame, existing: pd.DataFrame | None = None) -> list[str]:
    return reconcile(incoming, rows() if existing is None else existing, TABLE).tolist()


A, B, C = "aluminium", "brass", "copper"
CASES = {
    "new units": ([], [("u1", A, 1), ("u2", A, 1)], ["accepted", "accepted"]),
    "the same row twice": ([], [("u1", A, 1), ("u1", A, 1)], ["accepted", "duplicate"]),
    "the same row again": ([("u1", A, 1)], [("u1", A, 1)], ["duplicate"]),
    "the same values recorded again": ([("u1", A, 1)], [("u1", A, 2)], ["duplicate"]),
    "a correction": ([("u1", A, 1)], [("u1", B, 2)], ["accepted"]),
    "a correction in the same file": ([], [("u1", A, 1), ("u1", B, 2)], ["accepted", "accepted"]),
    "a correction before its original": ([], [("u1", B, 2), ("u1", A, 1)], ["accepted", "accepted"]),
    "a correction that is repeated": ([("u1", A, 1)], [("u1", B, 2), ("u1", B, 3)], ["accepted", "duplicate"]),
    "corrected and corrected back": ([], [("u1", A, 1), ("u1", B, 2), ("u1", A, 3)], ["accepted"] * 3),
    "corrected back later": ([("u1", A, 1), ("u1", B, 2)], [("u1", A, 3)], ["accepted"]),
    "an earlier version that comes late": ([("u1", B, 2)], [("u1", A, 1)], ["accepted"]),
    "an earlier version with the same values": ([("u1", A, 2)], [("u1", A, 1)], ["accepted"]),
    "a version in between": ([("u1", A, 1), ("u1", C, 3)], [("u1", B, 2)], ["accepted"]),
    "a version in between with the values before": ([("u1", A, 1), ("u1", C, 3)], [("u1", A, 2)], ["duplicate"]),
    "two contradict each other": ([], [("u1", A, 1), ("u1", B, 1)], ["conflict", "conflict"]),
    "two contradict each other, one twice": (
        [],
        [("u1", A, 1), ("u1", B, 1), ("u1", A, 1)],
        ["conflict", "conflict", "duplicate"],
    ),
    "one contradicts the lake": ([("u1", A, 1)], [("u1", B, 1)], ["conflict"]),
    "one contradicts the lake and one repeats it": (
        [("u1", A, 1)],
        [("u1", B, 1), ("u1", A, 1)],
        ["conflict", "duplicate"],
    ),
    "what the lake holds stays the version before, whatever contradicts it": (
        [("u1", A, 1)],
        [("u1", B, 1), ("u1", A, 2)],
        ["conflict", "duplicate"],
    ),
    "what contradicts itself is no version before": (
        [("u1", A, 1)],
        [("u1", B, 2), ("u1", C, 2), ("u1", A, 3)],
        ["conflict", "conflict", "duplicate"],
    ),
    "missing values are equal": ([("u1", None, 1)], [("u1", None, 1), ("u1", None, 2)], ["duplicate", "duplicate"]),
    "missing is another value": ([("u1", None, 1)], [("u1", A, 1), ("u1", A, 2)], ["conflict", "accepted"]),
    "other units do not matter": ([("u2", B, 1)], [("u1", A, 1), ("u3", B, 2)], ["accepted", "accepted"]),
    "nothing comes": ([("u1", A, 1)], [], []),
}


@pytest.mark.parametrize(("existing", "incoming", "expected"), CASES.values(), ids=CASES.keys())
def test_what_an_incoming_row_is(existing, incoming, expected):
    assert verdicts(rows(*incoming), rows(*existing)) == expected


def test_the_verdicts_are_indexed_as_the_rows():
    incoming = rows(("u1", A, 1), ("u1", A, 1))
    incoming.index = pd.Index([7, 3])
    assert reconcile(incoming, rows(), TABLE).to_dict() == {7: "accepted", 3: "duplicate"}


def test_every_kind_of_value_counts():
    """A result, a number, a text or a time that differs makes another version."""
    first = {
        "unit_id": "u1", "gate": "final", "characteristic": "leak", "occurred_at": HAPPENED, "recorded_at": HAPPENED,
        "passed": True, "measured": 0.1 + 0.2, "lower": float("nan"), "upper": 1.0,
        "code": None, "reason": "plan", "probability": 1.0,
    }  # fmt: skip
    for name, value in {"passed": False, "measured": 0.3, "lower": 0.0, "code": "E1", "reason": None}.items():
        both = pd.DataFrame([first, first | {name: value}]).astype({"passed": "boolean"})
        assert reconcile(both, both.iloc[:0], TABLES["inspections"]).tolist() == ["conflict"] * 2, name
    same = pd.DataFrame([first, first]).astype({"passed": "boolean"})
    assert reconcile(same, same.iloc[:0], TABLES["inspections"]).tolist() == ["accepted", "duplicate"]


versions = st.tuples(st.sampled_from(["u1", "u2"]), st.sampled_from([A, B, None]), st.integers(0, 3))


def taken(incoming: pd.DataFrame, existing: pd.DataFrame) -> set[tuple]:
    accepted = incoming[reconcile(incoming, existing, TABLE) == "accepted"]
    return {tuple(row) for row in accepted[COLUMNS].astype("object").fillna("").to_numpy()}


@settings(deadline=None)
@given(
    st.lists(versions, max_size=12),
    st.permutations(range(12)),
    st.lists(versions, max_size=3, unique_by=lambda v: v[::2]),
)
def test_the_order_of_incoming_rows_does_not_matter(incoming, order, existing):
    frame, lake = rows(*incoming), rows(*existing)
    shuffled = frame.iloc[[position for position in order if position < len(frame)]]
    assert taken(frame, lake) == taken(shuffled, lake)


@settings(deadline=None)
@given(st.lists(versions, max_size=10), st.lists(versions, max_size=4, unique_by=lambda v: v[::2]))
def test_what_is_taken_says_at_every_moment_what_the_plant_said(incoming, existing):
    """Worked row by row: the newest version at each hour, where the plant does not contradict itself."""
    verdict = verdicts(rows(*incoming), rows(*existing))
    lake = [*existing, *(row for row, what in zip(incoming, verdict, strict=True) if what == "accepted")]
    for unit in ("u1", "u2"):
        said = {}
        for hour in range(4):
            held = {value for name, value, at in existing if (name, at) == (unit, hour)}
            new = {value for name, value, at in incoming if (name, at) == (unit, hour)}
            if held or len(new) == 1:
                said[hour] = next(iter(held or new))
        holds = {at: value for name, value, at in lake if name == unit}
        assert len(holds) == sum(name == unit for name, _, _ in lake)
        for hour in range(4):
            newest_said = [value for at, value in said.items() if at <= hour][-1:]
            assert [value for at, value in sorted(holds.items()) if at <= hour][-1:] == newest_said
        times = sorted(holds)
        in_lake = {at for name, _, at in existing if name == unit}
        repeats = [b for a, b in pairwise(times) if holds[a] == holds[b]]
        assert set(repeats) <= in_lake, "accepted what only repeats the version before"
