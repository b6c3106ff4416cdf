"""The journey on SECOM, data that nobody here made: counts, the verdict, and the words on the page."""

import html
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipelines.ingest import take_in
from pipelines.nightly import list_night
from pipelines.train import learn
from qma_predict.data.lake import Lake
from qma_predict.features.points import prediction_points
from qma_predict.home import Home
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.labels import labels
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QMA_DATA") or ROOT.parent / "shared" / "data")
SECOM = str(ROOT / "models" / "secom")
TRAINED = date(2008, 9, 15)
NIGHTS = [date(2008, 9, 15), date(2008, 9, 16), date(2008, 9, 17)]

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        not (DATA / "secom" / "process.csv.gz").exists(),
        reason=f"no SECOM data: {DATA}/secom/process.csv.gz is not there (QMA_DATA is the folder that holds secom/)",
    ),
]


@pytest.fixture(scope="module")
def secom(tmp_path_factory):
    """The line, its home, what the ingest did, the champion and its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QMA_DATA", str(DATA))
        home = tmp_path_factory.mktemp("secom") / "home"
        line = load_line(SECOM)
        ingested = take_in(SECOM, str(home), datetime.now(UTC))
        model, training = learn(SECOM, str(home), line.as_of(TRAINED))
        lists = {night: list_night(SECOM, str(home), night) for night in NIGHTS}
    return line, Home(home), ingested, model, training, lists


def test_every_wafer_and_every_reading_is_in(secom):
    ingested = secom[2]
    assert ingested.problems == ()
    assert {one.table: (one.rows, one.accepted, one.duplicates, one.quarantined) for one in ingested.files} == {
        "units": (1567, 1567, 0, 0),
        "visits": (1567, 1567, 0, 0),
        "readings": (881_806, 881_806, 0, 0),
        "inspections": (1567, 1567, 0, 0),
    }


def test_a_result_is_known_a_day_after_the_wafer_and_counts_as_label_after_the_maturity(secom):
    line, home = secom[:2]
    lake = Lake(home.lake("secom"))
    visits = lake.read("visits").set_index("unit_id")
    results = lake.read("inspections").set_index("unit_id")
    later = results["recorded_at"] - visits["ended_at"].reindex(results.index)
    assert set(later) == {pd.Timedelta("1D")}
    assert (results["occurred_at"] == results["recorded_at"]).all()
    assert int((~results["passed"]).sum()) == 104
    wafer = visits.index[visits["ended_at"] < pd.Timestamp("2008-09-01", tz="UTC")][-1]
    cutoff = visits.loc[wafer, "ended_at"]

    def known(moment: pd.Timestamp) -> tuple[bool, float]:
        history = lake.at(moment)
        points = prediction_points(history, line)
        return wafer in set(history.newest("inspections").unit_id.execute()), labels(history, points, line)[wafer]

    second = pd.Timedelta("1s")
    assert known(cutoff)[0] is False
    assert known(cutoff + timedelta(days=1) - second)[0] is False
    result, label = known(cutoff + timedelta(days=1))
    assert result is True
    assert pd.isna(label)  # until the maturity of two days
    assert known(cutoff + timedelta(days=2))[1] == float(not results.loc[wafer, "passed"])


def test_the_champion_is_a_baseline_unless_the_recipe_was_shown_to_be_better(secom):
    model, training = secom[3:5]
    verdict = training.verdict
    assert verdict.blocks == 4
    assert verdict.low < verdict.difference < verdict.high
    assert verdict.better == (verdict.low > 0)
    assert model.contestant == (verdict.model if verdict.better else verdict.baseline)
    assert model.is_recipe == verdict.better
    assert verdict.baseline in BASELINES


def test_the_pages_say_baseline_and_why_with_the_comparison(secom):
    line, _, _, model, training, lists = secom
    if training.verdict.better:
        pytest.fail(f"the recipe wins on SECOM now, so that these pages are not made: {training.verdict.sentence}")
    for night, folder in lists.items():
        facts = bundle.verify(folder)["facts"]
        page = html.unescape((folder / "risk_list.html").read_text())
        assert facts["state"] == "BASELINE"
        assert "BASELINE" in page
        assert "model not used tonight" in page
        assert f"no model in use was shown to be better than the simple rule: {training.verdict.sentence}" in page
        assert f"against {training.verdict.baseline_mean:.2f} of {model.contestant}" in page
        assert "95 % interval" in page
        table = pd.read_csv(folder / "risk_list.csv")
        assert table["listed"].sum() == min(line.list.capacity, len(table)) == facts["listed"], night


def test_a_night_lists_wafers_whose_result_was_not_known_yet(secom):
    line, home, _, _, _, lists = secom
    lake = Lake(home.lake("secom"))
    results = lake.read("inspections").set_index("unit_id")["recorded_at"]
    for night, folder in lists.items():
        candidates = pd.read_csv(folder / "risk_list.csv")["unit_id"]
        assert len(candidates) > 0
        assert (results.loc[candidates] > line.as_of(night)).all()
