"""Which time of a file a draft takes for the moment when a row happened, and what it says of its guess."""

from pathlib import Path

import pandas as pd
import pytest

from qma_predict.data.draft import draft_line, write_draft
from qma_predict.data.survey import survey
from qma_predict.line import Source, load_line

NOW = pd.Timestamp("2026-01-05 12:00", tz="UTC")
START = pd.Timestamp("2025-08-04 06:00")


def table(**columns: object) -> str:
    """CSV of 40 units; a number is a time so many hours after the unit was begun."""
    begun = START + pd.to_timedelta(range(0, 400, 10), unit="h")
    cells = {
        name: (begun + pd.Timedelta(value, "h")).strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, int) else value
        for name, value in columns.items()
    }
    return pd.DataFrame({"serial": [f"A{n}" for n in range(40)]} | cells).to_csv(index=False)


def drafted(tmp_path: Path, **files: str) -> tuple[list[Source], str]:
    """Sources of a draft, and its text."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    file = write_draft(folder, tmp_path / "line", "x")
    return list(load_line(file.parent).sources), file.read_text(encoding="utf-8")


OK = ["OK", "NOK"] * 20


@pytest.mark.parametrize("name", ["geprueft_am", "checked", "inspection_ts", "qc_datetime", "PrüfungEnde", "wann"])
def test_inspections_are_placed_whatever_their_only_time_is_called(tmp_path, name):
    press = table(press_ts=0, force=[float(n) for n in range(0, 80, 2)])
    sources, text = drafted(tmp_path, press=press, qc=table(**{name: 3, "verdict": OK}))
    assert [one.table for one in sources] == ["visits", "readings", "inspections"]
    assert sources[-1].columns == {"unit_id": "serial", "occurred_at": name, "passed": "verdict"}
    assert sources[0].columns == {"unit_id": "serial", "started_at": "press_ts", "ended_at": "press_ts"}
    assert "# CHECK: started_at: press_ts is taken as no other time is left; its name is none that is known" in text
    guessed = f"# CHECK: occurred_at: {name} is taken as no other time is left; its name is none that is known" in text
    assert guessed == (name == "wann")  # the others say that something was checked
    found = survey(load_line(tmp_path / "line"), now=NOW)
    assert found.of("blocks") == ()
    assert found.tables.set_index("table")["accepted"].to_dict() == {"visits": 40, "readings": 40, "inspections": 40}


@pytest.mark.parametrize(
    ("times", "taken", "told"),
    [
        # a name about the inspection goes before one that is known
        ({"created": 5, "inspection_ts": 3}, "inspection_ts", "created (usually 2.0 h later)"),
        ({"prod_date": 1, "qc_datetime": 3}, "qc_datetime", "prod_date (usually 2.0 h earlier)"),
        # no name tells: the latest, so that nothing is known too early
        ({"wann": 3, "abnahme": 70}, "abnahme", "wann (usually 3 d earlier)"),
        ({"wann": 3, "exported": 5}, "wann", "exported (usually 2.0 h later)"),
        ({"wann": 3, "due": 90}, "wann", "due (usually 4 d later)"),
        ({"wann": 3, "auch": 3}, "auch", "wann (usually the same)"),
    ],
)
def test_of_several_times_one_is_taken_and_the_others_are_told(tmp_path, times, taken, told):
    [source], text = drafted(tmp_path, qc=table(**times, verdict=OK))
    assert source.columns["occurred_at"] == taken
    assert f"# CHECK: occurred_at is {taken}, and these times go nowhere: {told}\n" in text
    assert text.count("# CHECK: occurred_at") == 2


def test_a_known_name_is_no_guess_and_what_was_booked_stays_recorded(tmp_path):
    [source], text = drafted(tmp_path, qc=table(zeitstempel=3, gebucht_am=4, verdict=OK))
    assert (source.columns["occurred_at"], source.columns["recorded_at"]) == ("zeitstempel", "gebucht_am")
    assert "# CHECK: occurred_at" not in text


def test_the_only_time_is_when_it_was_booked(tmp_path):
    [source], text = drafted(tmp_path, qc=table(gebucht_am=4, verdict=OK))
    assert (source.columns["occurred_at"], source.columns["recorded_at"]) == ("gebucht_am", "gebucht_am")
    assert "# CHECK: occurred_at: the only time is gebucht_am, of which the name says when a row was" in text


def test_a_column_of_times_that_is_always_empty_is_no_time(tmp_path):
    (tmp_path / "visits.csv").write_text(table(started=1, station="s"))
    (tmp_path / "qc.csv").write_text(table(gebucht_am="", verdict=OK))
    assert "#   qc.csv: has no time. Columns: serial, gebucht_am, verdict." in draft_line(tmp_path, "x")


def test_a_stay_of_two_unknown_times_starts_at_the_earlier(tmp_path):
    [source], text = drafted(tmp_path, booking=table(raus_um=4, rein_um=3, maschine="M1"))
    assert (source.columns["started_at"], source.columns["ended_at"]) == ("rein_um", "raus_um")
    assert "# CHECK: started_at, ended_at: the names do not tell which is which; rein_um is taken for the start" in text


def test_a_stay_of_which_only_the_end_is_told_is_a_moment(tmp_path):
    [source], text = drafted(tmp_path, booking=table(fertig=4, station=["sawing"] * 40))
    assert (source.columns["started_at"], source.columns["ended_at"]) == ("fertig", "fertig")
    assert "# CHECK: the files say one time a unit: taken as start and end of its stay" in text


def test_orders_with_unknown_times_are_no_stays(tmp_path):
    [source], _ = drafted(tmp_path, orders=table(released=1, due=90, artikel=["a", "b"] * 20))
    assert (source.table, source.columns["occurred_at"]) == ("units", "released")


def test_what_lacks_beside_a_time_is_told(tmp_path):
    (tmp_path / "visits.csv").write_text(table(started=1, station="s"))
    (tmp_path / "lamps.csv").write_text("machine,ts,colour\nM1,2025-01-01 06:00:00,red\nM1,2025-01-01 07:00:00,blue\n")
    assert "lamps.csv: has a time and machine (machine), but nothing that goes with them" in draft_line(tmp_path, "x")
