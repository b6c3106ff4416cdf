"""A draft from a folder of files: what it says loads, reads the files, and tells what a person must look at."""

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from qma_predict.data.draft import draft_line, write_draft
from qma_predict.data.draft.columns import Column
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.simulate import simulate, write_plant
from qma_predict.data.survey import survey
from qma_predict.errors import SourceError
from qma_predict.features.points import prediction_points
from qma_predict.features.table import feature_table
from qma_predict.line import Line, load_line

NOW = pd.Timestamp("2026-01-05 12:00", tz="UTC")
DATA = Path(os.environ.get("QMA_DATA") or Path(__file__).parents[4] / "shared" / "data")

UNITS = "Seriennummer;Artikel;Auftrag;Datum;Gebucht\nA1;X;7;05.01.2025 06:00:00;05.01.2025 06:01:00\n"
VISITS = "SN,Arbeitsgang,Maschine,Beginn,Ende\n" + "".join(
    f"A{n},{step},{step[0].upper()}1,2025-01-0{n} 0{6 + at}:00:00,2025-01-0{n} 0{6 + at}:30:00\n"
    for n in range(1, 7)
    for at, step in enumerate(["saegen", "fraesen"])
)
TESTS = "SN;Merkmal;Ergebnis;Messwert;Zeitstempel\n" + "".join(
    f"A{n};Dichtheit;{'n.i.O.' if n == 3 else 'i.O.'};1,{n};0{n}.01.2025 13:00:00\n" for n in range(1, 7)
)


def loaded(folder: Path, to: Path) -> Line:
    return load_line(write_draft(folder, to, "drafted").parent)


def taken(line: Line, folder: Path) -> dict[str, tuple[int, int]]:
    """Rows and accepted rows by table."""
    done = ingest(line, Lake(folder), as_of=NOW, now=NOW)
    assert done.problems == ()
    tables: dict[str, tuple[int, int]] = {}
    for one in done.files:
        rows, accepted = tables.get(one.table, (0, 0))
        tables[one.table] = rows + one.rows, accepted + one.accepted
    return tables


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Files of a simulated plant, the committed line for them, and a draft."""
    folder = tmp_path_factory.mktemp("drafted") / "plant"
    write_plant(simulate(days=24, units_per_day=30, seed=5), folder)
    committed = load_line(Path(__file__).parents[3] / "models" / "demo", {"QMA_DATA": str(folder)})
    return folder, committed, loaded(folder / "plant", folder.parent / "line")


def test_the_draft_of_a_simulated_plant_says_what_the_committed_line_says(simulated):
    _, committed, draft = simulated
    assert draft.route == committed.route
    assert draft.prediction.after == committed.prediction.after
    assert draft.gate.name == committed.gate.name
    assert sorted(draft.gate.characteristics) == sorted(committed.gate.characteristics)
    assert sorted(draft.candidates.leave_at) == sorted(committed.candidates.leave_at)
    assert draft.timezone == committed.timezone
    for theirs in committed.sources:
        [ours] = [one for one in draft.sources if one.table == theirs.table]
        for name in ("columns", "separator", "decimal", "time_format", "constants", "tags"):
            assert getattr(ours, name) == getattr(theirs, name) or (theirs.table, name) == ("tags", "columns")


def test_the_draft_of_a_simulated_plant_gives_the_rows_and_features_of_the_committed_line(simulated, tmp_path):
    _, committed, draft = simulated
    names = {}
    for name, line in (("draft", draft), ("committed", committed)):
        line = line.model_copy(update={"learning": committed.learning})
        rows = taken(line, tmp_path / name)
        assert sum(accepted for _, accepted in rows.values()) >= 0.99 * sum(count for count, _ in rows.values())
        history = Lake(tmp_path / name).at(NOW)
        names[name] = set(feature_table(history, prediction_points(history, line), line))
    assert len(names["committed"]) > 20
    assert names["draft"] == names["committed"]


def test_nothing_of_a_simulated_plant_is_suspicious_to_the_check_of_its_draft(simulated):
    found = survey(simulated[2], now=NOW)
    assert found.useful
    assert found.of("blocks") == found.of("look") == ()


def test_german_files_are_drafted_with_separator_decimal_sign_and_words(tmp_path):
    files = tmp_path / "Export [alt] 1"
    files.mkdir()
    (files / "Stammdaten.csv").write_text(UNITS)
    (files / "Buchungen.csv").write_text(VISITS)
    (files / "Prüfung 2025-01.csv").write_text(TESTS.replace("Dichtheit", "Öldichtheit"), encoding="latin-1")
    line = loaded(files, tmp_path / "line")
    assert taken(line, tmp_path / "lake") == {"units": (1, 1), "visits": (12, 12), "inspections": (6, 6)}
    assert line.route == ("saegen", "fraesen")
    assert line.timezone == "Europe/Berlin"
    assert line.gate.characteristics == ("Öldichtheit",)
    units, _, tests = line.sources
    assert units.columns == {
        **{"unit_id": "Seriennummer", "product": "Artikel", "order_no": "Auftrag"},
        **{"occurred_at": "Datum", "recorded_at": "Gebucht"},
    }
    assert (tests.separator, tests.decimal, tests.time_format) == (";", ",", "%d.%m.%Y %H:%M:%S")
    assert tests.columns["measured"] == "Messwert"


def test_files_that_belong_together_are_one_source_and_a_stranger_of_the_same_pattern_stays_out(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    for month in ("01", "02"):
        (files / f"units-2025-{month}.csv").write_text(UNITS)
        with gzip.open(files / f"visits-2025-{month}.csv.gz", "wt") as file:
            file.write(VISITS)
    (files / "units-old.csv").write_text("a;b\n1;2\n")
    line = loaded(files, tmp_path / "line")
    assert [Path(one.path).name for one in line.sources] == ["units-[0-9]*.csv", "visits-*.csv.gz"]


def test_a_wide_file_becomes_readings_and_visits(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    rows = "".join(f"W{n},2025-01-01 0{n}:00:00,{n}.5,{n * 7 % 5}.25,joe\n" for n in range(1, 9))
    (files / "coater.csv").write_text("wafer_id,timestamp,temp_1,temp_2,operator\n" + rows)
    line = loaded(files, tmp_path / "line")
    assert taken(line, tmp_path / "lake") == {"visits": (8, 8), "readings": (16, 16)}
    assert [one.tags for one in line.sources] == [None, "temp_*"]
    assert line.route == ("coater",)


def measured(folder: Path, **tags: list[str]) -> Path:
    """A file of readings with a column a tag, all as in a German export."""
    folder.mkdir()
    rows = zip(*tags.values(), strict=True)
    lines = [f"A{n};01.01.2025 06:{n:02}:00;{';'.join(cells)}" for n, cells in enumerate(rows, start=10)]
    (folder / "messwerte.csv").write_text("\n".join([f"Seriennummer;Zeit;{';'.join(tags)}", *lines]) + "\n")
    return folder


def read(folder: Path, place: Path) -> list[float]:
    """Values of the readings by the draft of a folder, in the order of the units and their tags."""
    lake = Lake(place / "lake")
    ingest(loaded(folder, place / "line"), lake, as_of=NOW, now=NOW)
    rows = lake.at(NOW).tables["readings"].order_by(["unit_id", "tag"])
    return rows.value.execute().tolist()


def test_points_for_thousands_beside_decimal_commas_are_read(tmp_path):
    """Found with a plant whose press writes 1.205,2: its column was in no pattern of tags."""
    files = measured(
        tmp_path / "files",
        druck=["1.205,2", "998,4", "1.098,7", "1.100,0"],
        drehzahl=["12.254", "12.021", "950", "11.890"],
        oel=["65,3", "64,5", "62,7", "63,0"],
    )
    text = draft_line(files, "x")
    assert 'tags = "*"' in text
    assert "#   a column a tag: druck, drehzahl, oel" in text
    assert "seems to be for thousands" not in text
    assert read(files, tmp_path) == [
        *(12254, 1205.2, 65.3, 12021, 998.4, 64.5),
        *(950, 1098.7, 62.7, 11890, 1100, 63),
    ]


def test_points_that_only_whole_numbers_below_a_thousand_tell_to_be_for_thousands_are_asked_about(tmp_path):
    files = measured(tmp_path / "files", drehzahl=["961", "1.023", "1.318", "870", "902"])
    text = draft_line(files, "x")
    assert 'decimal = ","' in text
    check = "the sign in 1.023 seems to be for thousands; by decimal = ',' it is read as 1023"
    assert text.count(f"# CHECK: drehzahl: beside whole numbers below 1000, {check}") == 1
    assert read(files, tmp_path) == [961, 1023, 1318, 870, 902]


@pytest.mark.parametrize(
    ("given", "thousands", "decimal"),
    [
        ("961 1.023 1.318 870 902", ".", ","),
        ("961 1,023 1,318 870 902", ",", "."),
        ("961 1.023.400 870 902 n.a.", ".", ","),
        ("961 1.023 0.870 902 903 904", None, "."),  # 0.870 is no thousand
        ("0 0 1.318 1.402 1.377", None, "."),  # a machine that was off
        ("961 1.023 870 902 1318", None, "."),
        ("1.036 1.205 1.318 12.254", None, "."),
        ("961 1.023,5 870 902 903", None, ","),
        ("961 1,023.5 870 902 903", None, "."),
        ("961 870 902 903 1318", None, None),
    ],
)
def test_which_sign_is_the_decimal_one(given, thousands, decimal):
    column = Column("x", pd.Series(given.split(), dtype="str"))
    assert (column.thousands, column.decimal) == (thousands, decimal)


def test_only_columns_that_a_pattern_fits_are_told_beside_it(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    rows = "".join(f"W{n},2025-01-01 0{n}:00:00,{n}.5,{n * 7 % 5}.25,joe\n" for n in range(1, 9))
    (files / "coater.csv").write_text("wafer_id,timestamp,temp_1,temp_2,operator\n" + rows)
    assert "#   a column a tag: temp_1, temp_2\n" in draft_line(files, "x")


def test_readings_of_a_machine_with_epoch_times_are_drafted(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    rows = "".join(f"P1,force,{1_735_689_600_000 + n},{n}.5\n" for n in range(5))
    (files / "historian.csv").write_text("machine,tag,ts,value\n" + rows)
    text = draft_line(files, "x")
    assert 'time_format = "epoch ms"' in text
    assert 'columns = { occurred_at = "ts" }' in text
    assert taken(loaded(files, tmp_path / "line"), tmp_path / "lake") == {"readings": (5, 5)}


def test_lines_above_a_header_and_a_header_that_does_not_fit_are_told(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "visits.csv").write_text(f"Export of line 3\n\n{VISITS}")
    (files / "scans.csv").write_text("id, timestamp\nA1,2025-01-01 06:00:00,0\nA2,2025-01-01 07:00:00,0\n")
    text = draft_line(files, "x")
    assert "skip = 2\n" in text
    assert 'header = ["id", "timestamp", "column_3"] # CHECK' in text
    rows = taken(loaded(files, tmp_path / "line"), tmp_path / "lake")
    assert rows["visits"] == (14, 14)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["31.12.2025 06:00:00", "01.02.2025 07:00:00"], "%d.%m.%Y %H:%M:%S"),
        (["12/31/2025 06:00", "01/02/2025 07:00"], "%m/%d/%Y %H:%M"),
        (["31/12/2025", "01/02/2025"], "%d/%m/%Y"),
        (["1/2/2025 6:00:00 AM", "1/3/2025 7:00:00 PM"], "%m/%d/%Y %I:%M:%S %p"),
        (["16-08-22 09:04:59"], "%d-%m-%y %H:%M:%S"),
        (["2025-01-02T03:04:05Z"], "ISO8601"),
        (["20250102030405.5"], None),
        (["red", "blue"], None),
    ],
)
def test_the_format_of_times_is_told_from_the_values(values, expected):
    assert Column("zeit", pd.Series(values, dtype="str")).time_format == expected


def test_a_day_that_could_be_a_month_is_marked(tmp_path):
    (tmp_path / "scans.csv").write_text("id,started,station\nA1,01/02/2025 06:00,s\nA2,03/04/2025 07:00,s\n")
    assert "# CHECK: started: day and month could be the other way round" in draft_line(tmp_path, "x")


ODD = {
    "nothing": {},
    "an empty file": {"a.csv": b""},
    "binary with the suffix of a text": {"a.csv": bytes(range(256)) * 9},
    "a Parquet file that is none": {"a.parquet": b"PAR1 no"},
    "a workbook that is none": {"a b [1].xlsx": b"PK\x03\x04 no"},
    "a cut gzip": {"a.csv.gz": gzip.compress(VISITS.encode() * 90)[:-30]},
    "no gzip": {"a.csv.gz": b"a,b\n1,2\n"},
    "a header alone": {"a.csv": b"unit_id,station,started_at\n"},
    "one value a line": {"a.csv": b"x\ny\nz\n"},
    "blank lines": {"a.csv": b"\n\n   \n"},
    "unclosed quotes": {"a.csv": b'a,b\n"1,2\n3,4\n'},
    "a column twice": {"a.csv": b"a,a\n1,2\n3,4\n"},
    "words": {"read me.txt": b"Hello, this is\na text, with commas, many\n"},
    "no suffix": {"data": b"a,b\n1,2\n"},
}


@pytest.mark.parametrize("files", ODD.values(), ids=ODD)
def test_an_odd_folder_is_refused_in_words_and_its_files_become_comments_beside_good_ones(tmp_path, files):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(SourceError, match="no file could be placed") as caught:
        draft_line(folder, "x")
    (folder / "visits.csv").write_text(VISITS)
    text = draft_line(folder, "x")
    for name in files:
        assert name in str(caught.value).replace("[[]", "[")
        assert f"#   {name}: " in text.replace("[[]", "[")
    assert taken(loaded(folder, tmp_path / "line"), tmp_path / "lake") == {"visits": (12, 12)}


def test_the_commands_draft_and_check_and_refuse_to_replace(tmp_path, monkeypatch):
    files = tmp_path / "my files"
    files.mkdir()
    (files / "visits.csv").write_text(VISITS)
    (files / "tests.csv").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", str(files), "--line", "Pumps 1"])
    assert done.exit_code == 0, done.output
    assert "models/pumps-1/line.toml: written" in done.output
    again = CliRunner().invoke(app, ["init", str(files), "--line", "Pumps 1"])
    assert again.exit_code == 4
    assert "exists already" in again.output
    checked = CliRunner().invoke(app, ["check", "pumps-1"])
    assert checked.exit_code == 0, checked.output
    assert "inspected units that left fraesen: 6 of 6" in checked.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "my files"]
    for path in files.iterdir():
        path.unlink()
    nothing = CliRunner().invoke(app, ["check", "pumps-1"])
    assert nothing.exit_code == 4
    assert nothing.output.startswith("Mend first:")
    assert "no file matches" in nothing.output
    assert CliRunner().invoke(app, ["init", str(files)]).exit_code == 4


@pytest.mark.skipif(not (DATA / "secom" / "process.csv.gz").exists(), reason=f"no SECOM data in {DATA} (set QMA_DATA)")
def test_the_draft_of_secom_reads_every_wafer_and_reading(tmp_path):
    line = loaded(DATA / "secom", tmp_path / "line")
    assert [one.table for one in line.sources] == ["visits", "readings", "inspections"]
    assert line.sources[1].tags == "*"
    assert line.sources[2].values == {"passed": {"0": "OK", "1": "NOK"}}
    rows = taken(line, tmp_path / "lake")
    assert rows == {"visits": (1567, 1567), "readings": (881_806, 881_806), "inspections": (1567, 1567)}


@pytest.mark.skipif(not (DATA / "cip_dmd").exists(), reason=f"no CiP-DMD data in {DATA} (set QMA_DATA)")
def test_the_draft_of_cip_dmd_places_scans_and_logs_and_says_what_the_others_lack(tmp_path):
    text = draft_line(DATA / "cip_dmd", "cip")
    line = loaded(DATA / "cip_dmd", tmp_path / "line")
    done = ingest(line, Lake(tmp_path / "lake"), as_of=datetime(2026, 1, 1, tzinfo=UTC), now=NOW)
    assert done.problems == ()
    accepted = {(one.table, Path(one.path).name): one.accepted for one in done.files}
    assert accepted["visits", "all_scan_timestamps.csv"] == 950
    assert accepted["inspections", "sawing_machine_scan_timestamps.csv"] > 980
    assert accepted["events", "production_log_turning.xlsx"] > 0
    assert "92% of the values of part_id are in id of all_scan_timestamps.csv" in text
    assert "production_log_milling.xlsx: the same content as maintenance_log_milling.xlsx" in text
