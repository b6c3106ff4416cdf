import ibis
import numpy as np
import pandas as pd
import pytest

from qma_predict.features.families import family
from qma_predict.features.matching import readings_of_units, unmatched_readings


def at(time):
    return None if time is None else f"2026-03-02 {time}"


def visit(unit, started, ended=None, *, machine="P1", station="press", recorded=None):
    row = {"unit_id": unit, "station": station, "machine": machine, "started_at": at(started), "ended_at": at(ended)}
    return row if recorded is None else row | {"recorded_at": at(recorded)}


def reading(time, value=1.0, *, machine="P1", recorded=None, **more):
    row = {"machine": machine, "tag": "force", "occurred_at": at(time), "value": value} | more
    return row if recorded is None else row | {"recorded_at": at(recorded)}


def points(**cutoffs):
    moments = pd.DatetimeIndex([at(time) for time in cutoffs.values()], tz="UTC").as_unit("us")
    return ibis.memtable(pd.DataFrame({"point": range(len(cutoffs)), "unit_id": list(cutoffs), "cutoff": moments}))


@pytest.fixture
def matched(make_history, tiny_line):
    """Return a function: values by unit and station, in order of the values."""

    def matched(visits, readings, **cutoffs):
        history = make_history({"visits": visits, "readings": readings})
        rows = readings_of_units(history, points(**(cutoffs or {"u": "12:00"})), tiny_line).to_pandas()
        assert rows.columns.tolist() == [
            *("point", "unit_id", "cutoff", "station", "tag", "occurred_at", "recorded_at", "value")
        ]
        rows = rows.sort_values(["unit_id", "station", "value"])
        return {
            f"{unit} {station}": some.tolist() for (unit, station), some in rows.groupby(["unit_id", "station"]).value
        }

    return matched


def test_a_stay_takes_the_readings_from_its_start_up_to_but_without_its_end(matched):
    readings = [reading(time, n) for n, time in enumerate(["08:59:59.999999", "09:00", "09:59:59.999999", "10:00"])]
    assert matched([visit("u", "09:00", "10:00")], readings) == {"u press": [1.0, 2.0]}


def test_a_reading_that_names_its_unit_is_its_own_wherever_the_unit_was(matched):
    readings = [reading("11:00", 1.0, unit_id="u", station="oven", machine=""), reading("09:30", 2.0, unit_id="v")]
    assert matched([visit("u", "09:00", "10:00")], [*readings, reading("09:40", 3.0)]) == {
        "u oven": [1.0],
        "u press": [3.0],
    }


def test_readings_of_another_machine_or_of_none_do_not_belong(matched):
    readings = [reading("09:30", 1.0, machine="P2"), reading("09:30", 2.0, machine="", station="press")]
    assert matched([visit("u", "09:00", "10:00"), visit("w", "09:00", "10:00", machine=None)], readings) == {}


def test_parallel_machines_keep_their_units_apart(matched):
    visits = [visit("u", "09:00", "10:00"), visit("v", "09:00", "10:00", machine="P2")]
    found = matched(visits, [reading("09:30", 1.0), reading("09:30", 2.0, machine="P2")], u="12:00", v="12:00")
    assert found == {"u press": [1.0], "v press": [2.0]}


def test_each_unit_in_a_furnace_has_its_readings(matched):
    visits = [visit("u", "09:00", "10:00"), visit("v", "09:30", "10:30")]
    readings = [reading("09:15", 1.0), reading("09:45", 2.0), reading("10:15", 3.0)]
    assert matched(visits, readings, u="12:00", v="12:00") == {"u press": [1.0, 2.0], "v press": [2.0, 3.0]}


def test_a_unit_twice_on_a_machine_has_the_readings_of_both_stays_at_their_stations(matched):
    visits = [visit("u", "08:00", "09:00"), visit("u", "10:00", "11:00", station="oven")]
    readings = [reading("08:30", 1.0), reading("09:30", 2.0), reading("10:30", 3.0)]
    assert matched(visits, readings) == {"u press": [1.0], "u oven": [3.0]}


def test_a_stay_that_ended_as_it_began_takes_the_readings_of_its_moment(matched):
    readings = [reading("09:00", 1.0), reading("09:00:00.000001", 2.0)]
    assert matched([visit("u", "09:00", "09:00")], readings) == {"u press": [1.0]}


def test_a_stay_without_a_known_end_is_open_up_to_the_cutoff(matched):
    visits = [visit("u", "09:00"), visit("u", "09:00", "10:00", recorded="12:00:00.000001")]
    readings = [reading("11:00", 1.0), reading("12:00", 2.0), reading("12:00:00.000001", 3.0)]
    assert matched(visits, readings, u="12:00") == {"u press": [1.0, 2.0]}
    assert matched(visits, readings, u="12:01") == {}


@pytest.mark.parametrize(("recorded", "values"), [("12:00", [2.0]), ("12:00:00.000001", [1.0])])
def test_a_corrected_machine_counts_only_if_recorded_by_the_cutoff(matched, recorded, values):
    visits = [visit("u", "09:00", "10:00"), visit("u", "09:00", "10:00", machine="P2", recorded=recorded)]
    assert matched(visits, [reading("09:30", 1.0), reading("09:30", 2.0, machine="P2")]) == {"u press": values}


def test_only_versions_recorded_by_the_cutoff_are_known(matched):
    readings = [reading("09:30", 1.0), reading("09:30", 2.0, recorded="12:00")]
    late = [reading("09:30", 3.0, recorded="12:00:00.000001"), reading("09:40", 4.0, recorded="13:00")]
    assert matched([visit("u", "09:00", "10:00")], [*readings, *late]) == {"u press": [1.0, 2.0]}


def test_each_point_of_a_unit_has_what_was_known_at_it(make_history, tiny_line):
    history = make_history({"visits": [visit("u", "09:00")], "readings": [reading("09:30"), reading("11:30")]})
    moments = pd.DatetimeIndex([at("10:00"), at("12:00")], tz="UTC").as_unit("us")
    both = ibis.memtable(pd.DataFrame({"point": [4, 7], "unit_id": "u", "cutoff": moments}))
    assert readings_of_units(history, both, tiny_line).point.value_counts().to_pandas().set_index("point").squeeze(
        axis=1
    ).to_dict() == {4: 1, 7: 2}


def test_stays_of_one_unit_that_overlap_count_no_reading_twice_in_the_features(make_history, tiny_line):
    visits = [visit("u", "09:00", "10:00"), visit("u", "09:20", "10:20")]
    history = make_history({"visits": visits, "readings": [reading("09:30", 2.0), reading("09:40", 4.0)]})
    found = family("readings").compute(history, points(u="12:00"), tiny_line).to_pandas()
    assert found[["of", "count", "mean"]].to_dict("records") == [{"of": "press.force", "count": 2.0, "mean": 3.0}]


def test_readings_keyed_by_machine_give_the_features_that_readings_keyed_by_unit_give(lake, line, make_lake):
    """A plant whose machines treat one unit at a time: nothing changes when the historian forgets the unit."""
    tables = {name: lake.read(name) for name in ("units", "visits", "readings", "tags")}
    chosen = tables["units"]["unit_id"].sort_values().iloc[1000:1200]
    visits, readings = (
        rows[rows["station"].isin(["cast", "trim", "mill"]) & rows["unit_id"].isin(chosen)]
        for rows in (tables["visits"], tables["readings"].drop(columns="machine"))
    )
    visits = visits.sort_values("recorded_at").drop_duplicates(["unit_id", "station", "started_at"], keep="last")
    stays = visits[["unit_id", "station", "machine", "started_at", "ended_at"]]
    both = readings.merge(stays, on=["unit_id", "station"])
    both = both[(both["started_at"] <= both["occurred_at"]) & (both["occurred_at"] < both["ended_at"])]
    columns = [name for name in tables["readings"] if name in both]
    own = make_lake({"visits": visits, "readings": both[columns].assign(machine="")})
    forgotten = make_lake({"visits": visits, "readings": both[columns].assign(unit_id="", station="")})
    moments = pd.DataFrame({"unit_id": chosen.to_numpy(), "point": np.arange(len(chosen))})
    moments["cutoff"] = pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")
    first, second = (
        family("readings")
        .compute(one.at(pd.Timestamp("2026-02-01", tz="UTC")), ibis.memtable(moments), line)
        .drop("deviation")
        .to_pandas()
        .sort_values(["point", "of"], ignore_index=True)
        for one in (own, forgotten)
    )
    assert len(first) > 5000
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_readings_of_machines_that_match_no_stay_are_counted(make_history):
    visits = [
        visit("u", "09:00", "10:00"),
        visit("v", "09:30", "10:30"),
        visit("w", "11:00", "11:00"),
        visit("x", "13:00"),
    ]
    visits.append(visit("y", "08:00", machine=None))
    times = ["08:59", "09:00", "09:45", "10:29", "10:30", "11:00", "12:00", "14:00"]
    readings = [reading(time) for time in times]
    readings += [reading("09:45", 2.0, recorded="10:00"), reading("09:45", tag="heat"), reading("09:45", machine="P2")]
    readings += [reading("09:45", unit_id="u", station="press"), reading("09:45", machine="", station="press")]
    counts = unmatched_readings(make_history({"visits": visits, "readings": readings}))
    assert counts.to_dict("split", index=False) == {
        "columns": ["machine", "tag", "readings", "matched"],
        "data": [["", "force", 1, 0], ["P1", "force", 8, 5], ["P1", "heat", 1, 1], ["P2", "force", 1, 0]],
    }


def test_counts_are_as_known_at_the_moment_asked_about(make_history):
    visits = [visit("u", "09:00"), visit("u", "09:00", "09:30", recorded="11:00")]
    history = make_history({"visits": visits, "readings": [reading("09:15"), reading("09:45"), reading("12:00")]})
    early, late = (
        unmatched_readings(history.at(pd.Timestamp(f"2026-03-02 {time}", tz="UTC"))) for time in ("10:00", "13:00")
    )
    assert early[["readings", "matched"]].iloc[0].tolist() == [2, 2]
    assert late[["readings", "matched"]].iloc[0].tolist() == [3, 1]


def test_nothing_is_counted_where_every_reading_names_its_unit(lake):
    counts = unmatched_readings(lake.at(pd.Timestamp("2026-02-01", tz="UTC")))
    assert counts.columns.tolist() == ["machine", "tag", "readings", "matched"]
    assert counts.empty
