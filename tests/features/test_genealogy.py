import numpy as np
import pandas as pd
import pytest

from qma_predict.data.lake import Lake
from qma_predict.features import table
from qma_predict.features.adversary import scramble
from qma_predict.features.genealogy import ancestors, consumption
from qma_predict.features.table import feature_table

NOON = pd.Timestamp("2026-03-02 12:00", tz="UTC")


def made_of(unit, lot, material=None, at="2026-03-02 09:00", **more):
    return {"unit_id": unit, "lot_id": lot, "material": material, "occurred_at": at} | more


def weighed(unit, value, at="2026-03-02 08:00", **more):
    return {"unit_id": unit, "station": "saw", "tag": "weight", "value": value, "occurred_at": at} | more


def points(*units, cutoff=NOON):
    return pd.DataFrame({"unit_id": list(units), "cutoff": [cutoff] * len(units)})


def features_of(history, line, unit="u"):
    found = feature_table(history, points(unit), line).loc[unit]
    return {name: value for name, value in found.items() if name.endswith((".last", ".count", ".machine"))}


def test_a_unit_inherits_from_what_it_was_made_of_through_all_levels(make_history, tiny_line):
    history = make_history({
        "materials": [made_of("u", "B1", "bottom"), made_of("B1", "S1", "blank"), made_of("u", "O1", "oil")],
        "readings": [weighed("B1", 2.0), weighed("S1", 3.0), weighed("u", 1.0), weighed("other", 9.0)],
        "visits": [{"unit_id": "S1", "station": "press", "machine": "P1", "started_at": "2026-03-02 07:00"}],
    })  # fmt: skip
    assert features_of(history, tiny_line) == {
        "saw.weight.last": 1.0,
        "saw.weight.count": 1.0,
        "bottom.saw.weight.last": 2.0,
        "bottom.saw.weight.count": 1.0,
        "bottom.blank.saw.weight.last": 3.0,
        "bottom.blank.saw.weight.count": 1.0,
        "bottom.blank.press.machine": "P1",
    }


def test_a_lot_without_rows_of_its_own_is_passed_through_and_one_without_name_is_a_part(make_history, tiny_line):
    history = make_history({"materials": [made_of("u", "L"), made_of("L", "M")], "readings": [weighed("M", 3.0)]})
    assert features_of(history, tiny_line) == {"part.part.saw.weight.last": 3.0, "part.part.saw.weight.count": 1.0}


def test_of_several_parts_numbers_are_the_mean_and_texts_what_all_agree_on(make_history, tiny_line):
    def stay(unit, machine, station):
        return {"unit_id": unit, "station": station, "machine": machine, "started_at": "2026-03-02 07:00"}

    history = make_history({
        "materials": [made_of("u", name, "rod") for name in "abc"],
        "readings": [weighed("a", 1.0), weighed("b", 2.0), weighed("b", 4.0, "2026-03-02 08:30")],
        "visits": [stay("a", "P1", "press"), stay("b", "P2", "press"), *(stay(name, "O1", "oven") for name in "ac")],
    })  # fmt: skip
    found = features_of(history, tiny_line)
    assert found == {"rod.saw.weight.last": 2.5, "rod.saw.weight.count": 1.5, "rod.oven.machine": "O1"}


@pytest.mark.parametrize(("recorded", "known"), [("2026-03-02 12:00", True), ("2026-03-02 12:00:00.000001", False)])
@pytest.mark.parametrize("late", ["materials", "readings"])
def test_what_it_was_made_of_counts_as_known_at_its_own_cutoff(make_history, tiny_line, late, recorded, known):
    tables = {"materials": [made_of("u", "B", "bottom")], "readings": [weighed("B", 2.0)]}
    tables[late][0]["recorded_at"] = recorded
    assert ("bottom.saw.weight.last" in features_of(make_history(tables), tiny_line)) == known


def test_a_part_that_many_have_is_described_as_known_at_the_cutoff_of_each(make_history, tiny_line):
    history = make_history({
        "materials": [made_of("u", "B", "bottom"), made_of("v", "B", "bottom")],
        "readings": [weighed("B", 2.0), weighed("B", 5.0, recorded_at="2026-03-02 12:30")],
    })  # fmt: skip
    both = pd.concat([points("u"), points("v", cutoff=NOON + pd.Timedelta("1h"))])
    assert feature_table(history, both, tiny_line)["bottom.saw.weight.last"].to_dict() == {"u": 2.0, "v": 5.0}


def test_the_newest_known_version_of_a_row_names_the_material(make_history, tiny_line):
    versions = [
        made_of("u", "B", "bottom"),
        made_of("u", "B", "cap", recorded_at="2026-03-02 10:00"),
        made_of("u", "B", "lid", recorded_at="2026-03-02 13:00"),
    ]
    found = features_of(make_history({"materials": versions, "readings": [weighed("B", 2.0)]}), tiny_line)
    assert found == {"cap.saw.weight.last": 2.0, "cap.saw.weight.count": 1.0}


def test_a_way_that_leads_back_ends(make_history, tiny_line):
    rows = [made_of("u", "a", "x"), made_of("a", "b", "y"), made_of("b", "a", "z"), made_of("b", "u", "w")]
    history = make_history({"materials": rows, "readings": [weighed("a", 1.0), weighed("b", 2.0), weighed("u", 3.0)]})
    found = features_of(history, tiny_line)
    assert {name: value for name, value in found.items() if name.endswith("last")} == {
        "saw.weight.last": 3.0,
        "x.saw.weight.last": 1.0,
        "x.y.saw.weight.last": 2.0,
    }


def test_a_part_on_two_ways_is_described_on_both_and_once_on_one(make_history):
    rows = [made_of("u", "a", "x"), made_of("u", "b", "x"), made_of("u", "c", "y")]
    rows += [made_of(way, "part", "z") for way in "abc"]
    history = make_history({"materials": rows, "readings": [weighed("part", 1.0)]})
    found = ancestors(points("u").assign(point=0), consumption(history))
    assert sorted(found["way"]) == ["x.z", "y.z"]


def test_lots_without_rows_of_their_own_cost_nothing(make_history, lake):
    assert consumption(lake.at(pd.Timestamp("2026-02-01", tz="UTC"))).empty
    assert consumption(make_history({})).empty


def test_families_that_are_not_inherited_stay_with_the_unit(make_history, tiny_line):
    learning = tiny_line.learning.model_copy(update={"families": ("previous", "recent")})
    history = make_history({"materials": [made_of("u", "B", "bottom")], "readings": [weighed("B", 2.0)]})
    found = feature_table(history, points("u"), tiny_line.model_copy(update={"learning": learning}))
    assert not any(name.startswith("bottom.saw") for name in found)


def test_slices_of_ancestors_and_chunks_of_points_change_no_bit(make_history, tiny_line, monkeypatch):
    rng = np.random.default_rng(1)
    units = [f"u{n}" for n in range(20)]
    materials = [made_of(unit, f"p{n * 3 + k}", "rod") for n, unit in enumerate(units) for k in range(n % 4)]
    readings = [weighed(f"p{n}", rng.normal() * 10.0 ** rng.integers(-6, 6)) for n in range(60)]
    history = make_history({"materials": materials, "readings": readings})
    whole = feature_table(history, points(*units), tiny_line)
    assert whole["rod.saw.weight.last"].notna().sum() == 15
    monkeypatch.setattr(table, "POINTS_AT_ONCE", 12)
    pd.testing.assert_frame_equal(feature_table(history, points(*units), tiny_line), whole, check_exact=True)


# Nothing recorded later changes a feature


@pytest.fixture
def frames(make_lake):
    """Units made of two rods and a bottom, and these of blanks, in tables of a lake."""
    rng = np.random.default_rng(4)
    rows = {name: [] for name in ("units", "visits", "readings", "materials", "inspections")}
    begin = pd.Timestamp("2026-03-02", tz="UTC")

    def make(unit, at, station, product):
        def late(hours):
            return at + pd.Timedelta(hours=rng.exponential(hours))

        rows["units"].append({"unit_id": unit, "product": product, "occurred_at": at, "recorded_at": late(0.1)})
        rows["visits"].append({
            "unit_id": unit, "station": station, "machine": f"{station}{rng.integers(2)}", "started_at": at,
            "ended_at": at + pd.Timedelta("10min"), "recorded_at": at + pd.Timedelta("10min") + (late(0.1) - at),
        })  # fmt: skip
        for tag in ("force", "heat"):
            value = rng.normal()
            rows["readings"].append(
                {
                    "unit_id": unit,
                    "station": station,
                    "tag": tag,
                    "value": value,
                    "occurred_at": at,
                    "recorded_at": late(0.05),
                }
            )

    for n in range(150):
        at = begin + pd.Timedelta(hours=n)
        make(f"u{n}", at, "oven", "AB"[n % 2])
        for name, material in (("r", "rod"), ("s", "rod"), ("b", "bottom")):
            before = at - pd.Timedelta(hours=rng.integers(1, 6))
            make(f"{name}{n}", before, "press", material)
            make(f"{name}{n}-blank", before - pd.Timedelta(hours=2), "press", "blank")
            booked = at + pd.Timedelta(minutes=int(rng.integers(0, 60)))
            rows["materials"].append(
                made_of(f"u{n}", f"{name}{n}", material, at, supplier="XY"[n % 2], recorded_at=booked)
            )
            rows["materials"].append(made_of(f"{name}{n}", f"{name}{n}-blank", "blank", before))
        for characteristic in ("leak", "size"):
            judged = at + pd.Timedelta(hours=20 * rng.random())
            rows["inspections"].append({
                "unit_id": f"u{n}", "gate": "final", "characteristic": characteristic, "occurred_at": judged,
                "passed": rng.random() < 0.8,
            })  # fmt: skip
    lake = make_lake(rows)
    return {name: lake.read(name) for name in rows}


@pytest.fixture
def every_family(tiny_line):
    learning = tiny_line.learning.model_copy(
        update={"families": ("product", "route", "readings", "previous", "recent")}
    )
    return tiny_line.model_copy(update={"learning": learning})


@pytest.mark.parametrize("seed", range(2))
def test_no_feature_of_ancestors_previous_units_or_recent_history_sees_past(frames, every_family, tmp_path, seed):
    moment = pd.Timestamp("2026-03-05 03:20", tz="UTC") + pd.Timedelta(hours=17 * seed)
    units = pd.DataFrame({"unit_id": [f"u{n}" for n in range(150)]})
    units["cutoff"] = pd.Timestamp("2026-03-02 00:20", tz="UTC") + pd.to_timedelta(np.arange(150), unit="h")
    past = units[units["cutoff"] <= moment]
    found = []
    for number, tables in enumerate((frames, scramble(frames, moment, seed))):
        lake = Lake(tmp_path / str(number))
        for name, rows in tables.items():
            lake.append(name, rows, [])
        found.append(feature_table(lake.at(pd.Timestamp("2027-01-01", tz="UTC")), past, every_family))
    same, other = found
    names = sorted(set(same) | set(other))
    pd.testing.assert_frame_equal(
        other.reindex(columns=names), same.reindex(columns=names), check_exact=True, check_dtype=False
    )
    assert {
        "rod.press.force.last",
        "bottom.blank.press.machine",
        "oven.force.change",
        "oven.machine.defect_rate",
        "rod.supplier.inspected",
    } <= set(same)
