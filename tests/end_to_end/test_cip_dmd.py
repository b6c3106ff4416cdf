"""CiP-DMD as published: files with other habits each, and cylinders that inherit from their bottoms and rods."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.features.leakage import assert_no_leakage
from qma_predict.learn.dataset import make_dataset
from qma_predict.line import load_line

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QMA_DATA") or ROOT.parent / "shared" / "data")
AFTERWARDS = date(2023, 2, 20)

pytestmark = pytest.mark.skipif(
    not (DATA / "cip_dmd" / "sawing_qc_data.csv").exists(),
    reason=f"no CiP-DMD data: {DATA}/cip_dmd is not there (set QMA_DATA to the folder that holds cip_dmd/)",
)


@pytest.fixture(scope="module")
def line():
    return load_line(ROOT / "models" / "cip_dmd", {"QMA_DATA": str(DATA)})


@pytest.fixture(scope="module")
def ingested(line, tmp_path_factory):
    lake, now = Lake(tmp_path_factory.mktemp("cip_dmd") / "lake"), datetime.now(UTC)
    return lake, ingest(line, lake, as_of=now, now=now)


@pytest.fixture(scope="module")
def history(line, ingested):
    return ingested[0].at(line.as_of(AFTERWARDS))


@pytest.fixture(scope="module")
def dataset(line, history):
    return make_dataset(history, line)


def test_every_row_is_taken_repeated_or_refused_with_the_reason(ingested):
    lake, done = ingested
    assert done.problems == ()
    for file in done.files:
        assert file.rows == file.accepted + file.duplicates + file.quarantined
    assert [(file.table, file.rows, file.accepted) for file in done.files] == [
        ("visits", 985, 985),
        ("readings", 985, 985),
        ("inspections", 3384, 3377),  # 846 bottoms, four results each
        ("visits", 950, 950),
        ("inspections", 1608, 1608),  # 536 of 583 rods were scanned, three results each
        ("events", 3, 3),
        ("events", 6, 5),
        ("materials", 1604, 1604),
        ("visits", 802, 802),
        ("readings", 802, 802),
        ("inspections", 802, 802),
    ]
    refused = lake.read("quarantine")
    assert refused["reason"].str.contains("conflict").sum() == 6  # one bottom was measured twice; one result agrees
    times = refused.loc[refused["table"] == "events", "reason"].item()
    assert times == "occurred_at: not a time of Europe/Berlin (format ISO8601): '2022-09-09 15:42-16:20'"


def test_results_follow_from_limits(ingested):
    inspections = ingested[0].read("inspections")
    failed = 1 - inspections.groupby(["gate", "characteristic"])["passed"].mean()
    assert failed["turning", "coaxiality"] == pytest.approx(0.12, abs=0.01)
    assert failed["pressure test", "pressure"] * 802 == pytest.approx(19)
    milled = inspections[inspections["gate"] == "milling"].groupby("unit_id")["passed"].all()
    assert 1 - milled.mean() == pytest.approx(0.28, abs=0.01)


def test_a_cylinder_inherits_from_its_bottom_and_its_rod(dataset, history):
    X = dataset.X
    assert len(X) == 802
    assert dataset.y.sum() == 19
    # the first row of the file of cylinders: bottom 103504 and rod 200102
    inspections, saw = history.tables["inspections"].to_pandas(), history.tables["readings"].to_pandas()
    rod = inspections[(inspections["unit_id"] == "200102") & (inspections["characteristic"] == "coaxiality")]
    weight = saw[(saw["unit_id"] == "103504") & (saw["tag"] == "weight")]
    cylinder = X.loc["C103504"]
    assert cylinder["rod.turning.coaxiality.measured"] == pytest.approx(rod["measured"].item())
    assert cylinder["bottom.saw.weight.last"] == pytest.approx(weight["value"].item())
    assert X["bottom.milling.surface_roughness.failed"].notna().mean() > 0.99
    assert X["rod.turning.coaxiality.measured"].notna().mean() == pytest.approx(0.63, abs=0.01)
    assert not any(name.startswith(("pressure test", "bottom.pressure", "rod.pressure")) for name in X)


def test_hours_since_the_last_entry_of_the_machines_log(dataset, history):
    scans = history.tables["visits"].to_pandas().set_index("unit_id")["started_at"]
    entries = history.tables["events"].to_pandas().query("machine == 'lathe'")["occurred_at"]
    materials = history.tables["materials"].to_pandas().query("material == 'rod'").set_index("unit_id")["lot_id"]
    since = dataset.X["rod.turning.log.hours_since"].dropna()
    for cylinder in since.index[::97]:
        scan = scans[materials[cylinder]]
        expected = (scan - entries[entries <= scan].max()) / pd.Timedelta("1h")
        assert since[cylinder] == pytest.approx(expected, rel=1e-5)


def test_nothing_leaks(line, history):
    checked = assert_no_leakage(line, history, units=200, moments=2)
    assert checked.points > 50
    assert {name.split(".")[0] for name in checked.features} >= {"bottom", "rod", "assembly"}
