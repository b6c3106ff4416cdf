import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.watch import watch
from qma_predict.errors import LineError, NoList
from qma_predict.home import Home, open_home
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle
from qma_predict.publish.messages.watch import look, notice

DAY, DAY_BEFORE = date(2026, 11, 24), date(2026, 11, 23)
BEFORE = datetime(2026, 11, 24, 4, 59, 59, tzinfo=UTC)  # made as of 04:00 UTC, promised by 05:00 UTC
DUE = datetime(2026, 11, 24, 5, tzinfo=UTC)

TOML = """
name = "tiny"
title = "Tiny line"
plant = "Test plant"
timezone = "Europe/Berlin"
route = ["press"]
variables = ["QMA_DATA", "QMA_HOOK"]
prediction = { after = "press", grace = "0 s" }
gate = { name = "final", characteristics = ["leak"], maturity = "5 d" }
candidates = { max_age = "3 d" }
list = { as_of = "05:00", capacity = 2, by = "06:00" }
messages = { to = ["${QMA_HOOK}"] }
sources = [{ table = "visits", path = "${QMA_DATA}/visits.csv", delay = "0 s" }]
"""


@pytest.fixture
def place(tmp_path):
    return open_home(tmp_path / "home")


@pytest.fixture
def folder(tmp_path, monkeypatch, webhook):
    """Folder of a line that is told about by the webhook."""
    monkeypatch.setenv("QMA_DATA", "/nowhere")
    monkeypatch.setenv("QMA_HOOK", webhook.url)
    folder = tmp_path / "line"
    folder.mkdir()
    (folder / "line.toml").write_text(TOML)
    return folder


def publish(place, *days):
    for day in days:
        contents = {"risk_list.html": b"<p>list</p>", "risk_list.csv": b"unit_id\n"}
        bundle.publish(place.published("tiny"), day, contents, facts={"state": "OK"}, receipt={})


def test_before_the_promised_time_there_is_nothing_to_say(place, folder, webhook):
    assert watch(str(folder), place.folder, BEFORE) == (
        "line tiny, Tue 24 Nov: the list is promised by Tue 24 Nov 06:00 (Europe/Berlin); it is not due yet"
    )
    assert webhook.posts == []


def test_a_whole_list_is_there_and_nobody_is_told(place, folder, webhook):
    publish(place, DAY)
    assert watch(str(folder), place.folder, DUE) == (
        "line tiny, Tue 24 Nov: the list is there and whole (revision 1, state OK)"
    )
    assert webhook.posts == []


def test_without_a_list_by_the_promised_time_people_are_told(place, folder, webhook):
    publish(place, DAY_BEFORE)
    with pytest.raises(NoList, match="1 of 1 addresses were told") as caught:
        watch(str(folder), place.folder, DUE)
    assert caught.value.exit_code == 11
    (post,) = webhook.posts
    assert post["type"] == "failure"
    assert post["title"] == "NO RISK LIST Test plant · Tiny line, Tue 24 Nov 2026: use the control plan"
    assert post["message"].split("\n\n") == [
        "State: NONE: there is no risk list for Test plant · Tiny line, Tue 24 Nov 2026. Use the control plan.",
        "It was promised by Tue 24 Nov 06:00 (Europe/Berlin).",
        f"Cause, as far as known: the newest list is that of 2026-11-23 (looked in {place.published('tiny')})",
        "To make it: qma nightly tiny --date 2026-11-24",
    ]


def test_the_list_of_a_night_stays_due_until_the_next_one_can_be_made(place, tiny_line):
    late = datetime(2026, 11, 25, 3, 59, 59, tzinfo=UTC)
    assert look(place, tiny_line, late).business_date == DAY
    assert look(place, tiny_line, late).missing
    assert not look(place, tiny_line, datetime(2026, 11, 25, 4, tzinfo=UTC)).missing


@pytest.mark.parametrize("file", ["risk_list.csv", "manifest.json", "receipt.json"])
def test_a_list_with_a_file_that_is_gone_is_no_list(place, folder, webhook, file):
    publish(place, DAY_BEFORE, DAY)
    (place.published("tiny") / "2026-11-24" / file).unlink()
    with pytest.raises(NoList, match="the published list is damaged"):
        watch(str(folder), place.folder, DUE)
    assert file in webhook.posts[0]["message"]


def test_a_list_that_was_changed_is_no_list(place, tiny_line):
    publish(place, DAY)
    (place.published("tiny") / "2026-11-24" / "risk_list.html").write_bytes(b"<p>other</p>")
    assert "risk_list.html has SHA-256" in look(place, tiny_line, DUE).missing


def test_a_list_that_was_not_finished_is_no_list(place, tiny_line):
    class Stopped(Exception):
        pass

    def stop(step):
        if step == "staging flushed":
            raise Stopped

    with pytest.raises(Stopped):
        bundle.publish(place.published("tiny"), DAY, {"a": b""}, facts={}, receipt={}, step=stop)
    assert look(place, tiny_line, DUE).missing.startswith("no list was ever published")


def test_the_list_of_another_date_in_its_place_is_no_list(place, tiny_line):
    publish(place, DAY_BEFORE)
    (place.published("tiny") / "2026-11-24").symlink_to("2026-11-23", target_is_directory=True)
    assert look(place, tiny_line, DUE).missing.endswith("/2026-11-24: is the list of 2026-11-23")


def test_a_link_that_leads_nowhere_is_no_list(place, tiny_line):
    publish(place, DAY_BEFORE)
    (place.published("tiny") / "2026-11-24").symlink_to("revisions/2026-11-24.r1", target_is_directory=True)
    assert look(place, tiny_line, DUE).missing.startswith("the newest list is that of 2026-11-23")


def test_a_home_that_is_not_there_is_told_and_not_made(tmp_path, folder, webhook):
    home = tmp_path / "unmounted" / "home"
    with pytest.raises(NoList, match="there is no folder .*unmounted/home"):
        watch(str(folder), home, DUE)
    assert len(webhook.posts) == 1
    assert not home.parent.exists()


def test_a_home_that_cannot_be_read_is_told(tmp_path, tiny_line):
    home = open_home(tmp_path / "home")
    home.published("tiny").parent.mkdir()
    home.published("tiny").symlink_to("tiny")  # leads to itself
    assert "tiny" in look(home, tiny_line, DUE).missing


def test_nothing_is_written_by_a_look(place, tiny_line):
    publish(place, DAY)
    before = sorted(place.folder.rglob("*"))
    assert not look(place, tiny_line, DUE).missing
    assert sorted(place.folder.rglob("*")) == before


def test_who_cannot_be_told_is_said(place, folder, webhook):
    webhook.answer = 500
    with pytest.raises(NoList, match="0 of 1 addresses were told") as caught:
        watch(str(folder), place.folder, DUE)
    assert "messages.to[0] (json): not sent: the service did not take it" in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_an_address_whose_variable_is_not_set_does_not_keep_the_watch_from_speaking(place, folder, monkeypatch):
    monkeypatch.delenv("QMA_HOOK")
    with pytest.raises(NoList, match="the environment variable QMA_HOOK is not set"):
        watch(str(folder), place.folder, DUE)


def test_without_addresses_the_error_says_that_nobody_was_told(place, folder):
    (folder / "line.toml").write_text(TOML.replace('["${QMA_HOOK}"]', "[]"))
    with pytest.raises(NoList, match="nobody was told, messages.to names no address"):
        watch(str(folder), place.folder, DUE)


def test_a_line_that_cannot_be_read_is_an_error_of_the_line(place, folder):
    (folder / "line.toml").write_text("name =")
    with pytest.raises(LineError):
        watch(str(folder), place.folder, DUE)


@pytest.mark.parametrize(
    ("by", "day", "due"),
    [
        ("02:30", date(2026, 3, 29), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),  # skipped: when the clock changes
        ("02:30", date(2026, 10, 25), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # comes twice: the first one
        ("06:00", date(2026, 3, 29), datetime(2026, 3, 29, 4, 0, tzinfo=UTC)),
        ("06:00", date(2026, 10, 25), datetime(2026, 10, 25, 5, 0, tzinfo=UTC)),
        ("00:30", date(2026, 12, 31), datetime(2026, 12, 31, 23, 30, tzinfo=UTC)),  # of the next day, and year
    ],
)
def test_the_promise_holds_on_nights_of_the_clock_change_and_of_the_year(place, folder, by, day, due):
    (folder / "line.toml").write_text(TOML.replace('"05:00"', '"01:00"').replace('"06:00"', f'"{by}"'))
    line = load_line(folder)
    too_early = look(place, line, due - timedelta(seconds=1))
    assert (too_early.business_date, too_early.missing) == (day, "")
    assert look(place, line, due).business_date == day
    assert look(place, line, due).missing
    publish(place, day)
    assert look(place, line, due).missing == ""


def test_the_hour_that_comes_twice_is_told_with_its_offset(place, folder):
    (folder / "line.toml").write_text(TOML.replace('"05:00"', '"01:00"').replace('"06:00"', '"02:30"'))
    line = load_line(folder)
    seen = look(place, line, datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert "It was promised by Sun 25 Oct 02:30 (UTC+02:00) (Europe/Berlin)." in notice(line, seen)[1]


def test_names_of_the_plant_stay_text_in_a_notice(tiny_line):
    line = tiny_line.model_copy(update={"plant": "A\r\nBcc: x@y.example", "title": "<!channel>"})
    title, body = notice(line, look(Home(Path("/<@nowhere>")), line, DUE))
    assert "\n" not in title
    assert not set(title + body) & set("<>@\r")


def test_a_watch_needs_neither_prefect_nor_mlflow_nor_the_lake(tmp_path, folder):
    code = f"""
import sys
for name in ("prefect", "mlflow", "deltalake", "duckdb", "ibis", "sklearn", "lightgbm"):
    sys.modules[name] = None  # its import fails
from datetime import UTC, datetime
from pipelines.watch import watch
from qma_predict.errors import NoList
try:
    watch({str(folder)!r}, {str(tmp_path / "none")!r}, datetime(2026, 11, 24, 5, tzinfo=UTC))
except NoList as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "1 of 1 addresses were told" in done.stdout
