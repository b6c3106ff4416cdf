import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from qma_predict.data import ingest as module
from qma_predict.data.contract import check
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.raw import RawFile, cells_of

NOW = pd.Timestamp("2025-07-01", tz="UTC")
WIDE = pd.DataFrame(
    {
        "wafer": ["w1", "w2", "w3"],
        "at": ["2025-05-01 08:00", "2025-05-01 09:00", "2025-05-01 10:00"],
        "s1": [1.5, None, 3.0],
        "s2": [10.0, 20.0, None],
        "operator": ["Ada", None, "Ada"],
    }
)
LONG = pd.DataFrame(
    {
        "wafer": ["w1", "w1", "w2", "w3"],
        "at": ["2025-05-01 08:00", "2025-05-01 08:00", "2025-05-01 09:00", "2025-05-01 10:00"],
        "tag": ["s1", "s2", "s2", "s1"],
        "value": [1.5, 10.0, 20.0, 3.0],
    }
)
MAPPED = {"columns": {"unit_id": "wafer", "occurred_at": "at"}, "constants": {"station": "line"}, "delay": "0 s"}
ROWS = ["unit_id", "station", "tag", "occurred_at", "value", "recorded_at"]


def write(rows: pd.DataFrame, file: Path) -> None:
    if file.suffix == ".parquet":
        rows.to_parquet(file)
    elif file.suffix == ".xlsx":
        rows.to_excel(file, index=False, engine="xlsxwriter")
    else:
        rows.to_csv(file, index=False)


@pytest.fixture
def take(material_line, tmp_path):
    """Return a function that ingests `r-*` as readings into a lake of that name."""

    def take(name: str = "lake", **rules):
        readings = {"table": "readings", "path": str(tmp_path / "r-*")} | MAPPED | {"tags": "s*"} | rules
        line = material_line(tmp_path)
        line = line.model_copy(update={"sources": (type(line.sources[0]).model_validate(readings),)})
        lake = Lake(tmp_path / name)
        return ingest(line, lake, as_of=NOW, now=NOW), lake

    return take


def held(lake: Lake) -> list[tuple]:
    rows = lake.read("readings")[ROWS]
    return sorted(rows.itertuples(index=False, name=None))


def counted(done) -> list[tuple[int, int, int, int]]:
    return [(one.rows, one.accepted, one.duplicates, one.quarantined) for one in done.files]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "xlsx"])
def test_a_column_a_tag_gives_the_same_readings_as_a_row_a_reading(take, tmp_path, ending):
    write(WIDE, tmp_path / f"r-1.{ending}")
    done, lake = take("wide")
    assert counted(done) == [(4, 4, 0, 0)]
    (tmp_path / f"r-1.{ending}").unlink()
    write(LONG, tmp_path / f"r-1.{ending}")
    done, long = take("long", tags=None)
    assert counted(done) == [(4, 4, 0, 0)]
    assert held(lake) == held(long)
    assert held(lake)[0] == ("w1", "line", "s1", *[pd.Timestamp("2025-05-01 08:00Z"), 1.5, *held(lake)[0][5:]])


def test_a_text_in_one_cell_refuses_that_cell_and_names_row_and_column(take, tmp_path):
    write(WIDE.astype({"s1": object}).replace({"s1": {3.0: "high"}}), tmp_path / "r-1.csv")
    done, lake = take()
    assert counted(done) == [(4, 3, 0, 1)]
    [refused] = lake.read("quarantine").to_dict("records")
    assert (refused["row"], refused["column"]) == (3, "s1")
    assert refused["reason"] == "value: not a finite number (decimal sign '.'): 'high'"
    assert '"operator":"Ada","tag":"s1","value":"high"' in refused["content"]


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("ending", ["parquet", "xlsx"])
def test_numbers_stay_numbers_beside_a_text_whatever_the_decimal_sign(take, tmp_path, ending, decimal):
    texts = WIDE.assign(s2=["10", f"20{decimal}5", "high"])
    write(texts, tmp_path / f"r-1.{ending}")
    done, lake = take(decimal=decimal)
    assert counted(done) == [(5, 4, 0, 1)]
    assert sorted(row[4] for row in held(lake)) == [1.5, 3.0, 10.0, 20.5]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"at": [None, *WIDE["at"][1:]]}, "occurred_at: missing"),
        ({"at": ["31.04.2025", *WIDE["at"][1:]]}, "occurred_at: not a time"),
        ({"at": ["1970-01-01", *WIDE["at"][1:]]}, "occurred_at: impossible time, before 1990-01-01"),
    ],
)
def test_a_broken_key_or_time_refuses_every_cell_of_its_row(take, tmp_path, broken, reason):
    write(WIDE.assign(**broken), tmp_path / "r-1.csv")
    done, lake = take()
    assert counted(done) == [(4, 2, 0, 2)]
    refused = lake.read("quarantine").sort_values("column")
    assert refused[["row", "column"]].to_numpy().tolist() == [[1, "s1"], [1, "s2"]]
    assert refused["reason"].str.startswith(reason).all()


def test_a_record_with_too_many_values_is_one_refused_row(take, tmp_path):
    (tmp_path / "r-1.csv").write_text("wafer,at,s1,s2\nw1,2025-05-01,1,2,3\nw2,2025-05-01,,4\n")
    done, lake = take()
    assert counted(done) == [(2, 1, 0, 1)]
    assert lake.read("quarantine")[["row", "column"]].to_numpy().tolist() == [[1, ""]]


def test_repeated_and_contradictory_cells_are_told_apart_one_by_one(take, tmp_path):
    (tmp_path / "r-1.csv").write_text("wafer,at,s1,s2\nw1,2025-05-01,1,2\nw1,2025-05-01,1,3\n")
    done, lake = take()
    assert counted(done) == [(4, 1, 1, 2)]
    refused = lake.read("quarantine").sort_values("row")
    assert refused[["row", "column"]].to_numpy().tolist() == [[1, "s2"], [2, "s2"]]
    assert refused["reason"].str.startswith("conflict").all()


def test_a_pattern_that_fits_no_column_is_a_problem_that_names_the_columns(take, tmp_path):
    write(WIDE, tmp_path / "r-1.csv")
    done, _ = take(tags="x*")
    assert done.files == ()
    [problem] = done.problems
    assert problem == (f"{tmp_path / 'r-1.csv'}: no column fits tags = 'x*'. Found: wafer, at, s1, s2, operator.")


def test_a_pattern_for_all_takes_no_column_that_is_ours_whether_renamed_or_not(source):
    rows = pd.DataFrame({"unit_id": ["u1"], "at": ["2025-05-01"], "station": ["s"], "value": ["3"], "s2": ["4"]}, [7])
    readings = source(table="readings", columns={"occurred_at": "at"}, delay="0 s", tags="*")
    cells, place = cells_of(RawFile(rows, pd.DataFrame()), readings)
    assert cells.to_dict("records") == [
        {"unit_id": "u1", "at": "2025-05-01", "station": "s", "tag": "value", "value": "3"},
        {"unit_id": "u1", "at": "2025-05-01", "station": "s", "tag": "s2", "value": "4"},
    ]
    assert place.to_dict("records") == [{"row": 7, "column": "value"}, {"row": 7, "column": "s2"}]


def test_without_tags_the_rows_are_those_of_the_file(source):
    raw = RawFile(LONG.rename(index=lambda n: 2 * n + 1), pd.DataFrame())
    cells, place = cells_of(raw, source(table="readings", **MAPPED))
    pd.testing.assert_frame_equal(cells, LONG)
    assert place["row"].tolist() == [1, 3, 5, 7]
    assert place["column"].tolist() == [""] * 4


class Stopped(BaseException):
    """Stands for a process that ends."""


def test_stopped_at_any_step_and_run_again_no_cell_is_lost_or_taken_twice(take, material_line, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    write(WIDE.astype({"s1": object}).replace({"s1": {3.0: "high"}}), tmp_path / "r-1.csv")
    write(WIDE.assign(wafer=["w1", "w5", "w9"], at=[*WIDE["at"][:2], None]), tmp_path / "r-2.csv")
    steps: list[str] = []
    readings = {"table": "readings", "path": str(tmp_path / "r-*"), "tags": "s*"} | MAPPED
    line = material_line(tmp_path)
    line = line.model_copy(update={"sources": (type(line.sources[0]).model_validate(readings),)})

    def content(lake: Path) -> dict[str, Counter]:
        tables = {name: Lake(lake).read(name).astype("str").fillna("") for name in ("readings", "quarantine", "files")}
        return {name: Counter(rows.itertuples(index=False, name=None)) for name, rows in tables.items()}

    ingest(line, Lake(tmp_path / "whole", steps.append), as_of=NOW, now=NOW)
    assert len(steps) == 12  # two files, each refused, taken and booked
    expected = content(tmp_path / "whole")
    for number in range(len(steps)):
        seen: list[str] = []

        def step(name: str, seen: list[str] = seen, number: int = number) -> None:
            if len(seen) == number:
                raise Stopped
            seen.append(name)

        lake = tmp_path / "stopped"
        with pytest.raises(Stopped):
            ingest(line, Lake(lake, step), as_of=NOW, now=NOW)
        ingest(line, Lake(lake), as_of=NOW, now=NOW)
        assert content(lake) == expected, f"stopped {steps[number]} (step {number})"
        shutil.rmtree(lake)


def test_the_plants_words_are_read_as_ours_all_at_once_and_others_as_they_are(source):
    inspections = source(
        table="inspections",
        columns={"passed": "fail", "code": "grade"},
        constants={"unit_id": "u", "gate": "g", "characteristic": "c", "occurred_at": "2025-05-01"},
        values={"passed": {"0": "OK", "1": "NOK"}, "code": {"a": "b", "b": "a"}},
        delay="0 s",
    )
    raw = pd.DataFrame({"fail": ["0", " 1 ", "NOK", None, "2"], "grade": ["a", "b", "c", None, "ab"]})
    rows, reasons = check(raw, inspections, NOW)
    assert rows["passed"].tolist() == [True, False, False, pd.NA, pd.NA]
    assert rows["code"].fillna("").tolist() == ["b", "a", "c", "", "ab"]
    assert reasons.tolist() == ["", "", "", "passed: missing", "passed: not a result such as OK or NOK: '2'"]
    typed, _ = check(raw.assign(fail=[0.0, 1.0, 1.0, None, 0.0]), inspections, NOW)
    assert typed["passed"].tolist() == [True, False, False, pd.NA, True]


def test_a_tag_may_have_our_name(take, tmp_path):
    write(WIDE, tmp_path / "r-1.csv")
    _, lake = take(values={"tag": {"s1": "pressure"}})
    assert {row[2] for row in held(lake)} == {"pressure", "s2"}


def test_a_shift_moves_when_it_happened_and_with_the_delay_when_it_could_be_read(source):
    raw = pd.DataFrame({"unit_id": ["u1"], "lot_id": ["L1"], "occurred_at": ["2025-05-01 08:00"]})
    rows, reasons = check(raw, source(shift="1 d", delay="2 h"), NOW)
    assert reasons.tolist() == [""]
    assert rows["occurred_at"].tolist() == [pd.Timestamp("2025-05-02 08:00Z")]
    assert rows["recorded_at"].tolist() == [pd.Timestamp("2025-05-02 10:00Z")]


def test_a_row_of_today_is_not_of_the_future_because_of_its_shift(source):
    raw = pd.DataFrame({"unit_id": "u1", "lot_id": "L1", "occurred_at": ["2025-07-01", "2025-07-03"]})
    _, reasons = check(raw, source(shift="5 d", delay="0 s"), NOW)
    assert reasons.tolist() == ["", "occurred_at: impossible time, in the future: '2025-07-03'"]


@pytest.mark.parametrize("given", [{"columns": {"value": "v"}}, {"constants": {"tag": "t"}}])
def test_tags_and_a_column_for_tag_or_value_contradict_each_other(source, given):
    with pytest.raises(ValueError, match="tags stands for tag and value"):
        source(table="readings", tags="s*", delay="0 s", **given)
