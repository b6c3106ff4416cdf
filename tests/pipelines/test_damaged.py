"""A night after a list that is damaged."""

from datetime import UTC, date, datetime

import pandas as pd

from pipelines.nightly import make_list
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle
from qma_predict.review.earlier import lists_before

FIRST, SECOND = date(2025, 11, 11), date(2025, 11, 12)


def make(trained, home, day, replace=None):
    now = datetime(2025, 11, day.day, 4, tzinfo=UTC)
    return make_list(trained.line, str(home.folder), day, replace, clock=lambda: now)


def test_a_damaged_list_costs_the_next_night_what_it_told_and_nothing_else(trained, with_one_list):
    place = with_one_list
    folder = place.published("demo")
    file = folder / f"revisions/{FIRST}.r1/scores.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    facts = bundle.verify(make(trained, place, SECOND))["facts"]
    assert facts["state"] == "DEGRADED"
    (reason,) = facts["reaction"]["left_out"]
    assert reason in facts["state_reasons"]
    assert reason.startswith("the list of Tue 11 Nov 2025 is damaged")
    assert facts["promises"] == []
    page = (folder / str(SECOND) / "risk_list.html").read_text()
    assert f"published/demo/revisions/{FIRST}.r1 of the home" in page
    assert f"Restore it from a backup, or run qma nightly demo --date {FIRST} --replace WHY" in page
    assert (file.read_bytes(), bundle.published_dates(folder)) == (whole[:-10], [FIRST, SECOND])
    make(trained, place, FIRST, "damaged files")
    before = lists_before(folder, load_line(trained.line), datetime.now(UTC))
    assert ([one.path.name for one in before.whole.values()], before.damaged) == ([f"{FIRST}.r2", f"{SECOND}.r1"], {})
    listed = pd.read_csv(folder / str(SECOND) / "risk_list.csv").query("listed")
    assert len(listed) == facts["listed"] > 0
