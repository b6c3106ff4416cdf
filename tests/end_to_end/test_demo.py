"""The demo, as `make demo` runs it but smaller; the full one is a proof."""

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipelines import demo, report
from qma_predict.data.simulate.catalogue import TAGS
from qma_predict.errors import HomeError
from qma_predict.learn.baselines import BASELINES
from qma_predict.publish.lists import bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_the_clone(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("QMA_DATA", "set again by the demo")


def checked(done: demo.Demo, folder: Path, *, nights: int) -> None:
    """What must hold for a demo of any size."""
    assert all(file.rows == file.accepted + file.duplicates + file.quarantined for file in done.ingested.files)
    assert done.ingested.problems == ()
    assert done.nights == [done.nights[0] + timedelta(days=n) for n in range(nights)]
    lists = folder / "published" / "demo"
    assert bundle.published_dates(lists) == done.nights
    for night in done.nights:
        facts = bundle.read(lists, night)["facts"]
        table = pd.read_csv(lists / night.isoformat() / "risk_list.csv", dtype={"issues": "str"})
        issues_follow_from_rows(facts["issues"], table)
        assert table["listed"].sum() == min(done.capacity, len(table)) == facts["listed"]
        assert facts["state"] == ("OK" if done.model.is_recipe else "BASELINE")
    assert json.loads((lists / "latest" / "manifest.json").read_text())["business_date"] == str(done.nights[-1])
    told = report.of_demo(done)
    assert str(done.newest) in told
    assert done.newest.exists()
    assert done.monitoring.exists()
    assert set(done.performance.index) == {"boosted_trees", "oracle", *BASELINES}
    oracle = done.performance.loc["oracle", "average_precision"]
    assert (done.performance["average_precision"] <= oracle).all()


def issues_follow_from_rows(issues: list[dict], table: pd.DataFrame) -> None:
    """Units, risk and range of each issue are those of the rows that name it."""
    for issue in issues:
        rows = table[table["issues"] == str(issue["number"])]
        assert sorted(rows["unit_id"]) == issue["unit_ids"]
        said = [issue[name] for name in ("units", "risk", "low", "high")]
        assert said == pytest.approx([len(rows), *rows[["score", "risk_low", "risk_high"]].mean()], abs=1e-6)


def test_a_small_demo_does_the_whole_journey_and_starts_clean_the_second_time(line_folder, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "demo").symlink_to(line_folder)
    monkeypatch.chdir(tmp_path)
    done = demo.demo(str(tmp_path / "home"), days=74, units_per_day=50, nights=3)
    checked(done, tmp_path / "home", nights=3)
    (tmp_path / "home" / "left over").touch()
    place = demo._clean_home(str(tmp_path / "home"))
    assert {path.name for path in place.folder.iterdir()} == {"home.json", demo.MARK}


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(HomeError, match="not made by a demo, so it is left alone"):
        demo.demo(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.proof
def test_the_full_demo_beats_every_baseline_clearly(tmp_path):
    done = demo.demo(str(tmp_path / "home"))
    checked(done, tmp_path / "home", nights=14)
    assert done.model.is_recipe
    average_precision = done.performance["average_precision"]
    best_baseline = average_precision.drop([done.model.contestant, "oracle"]).max()
    assert average_precision[done.model.contestant] > 3 * best_baseline
    precision = done.performance["precision"]
    assert precision[done.model.contestant] > 2 * precision.drop([done.model.contestant, "oracle"]).max()
    lists = tmp_path / "home" / "published" / "demo"
    truth = pd.read_parquet(tmp_path / "home" / "plant" / "truth" / "units.parquet").set_index("unit_id")
    assert any(bundle.read(lists, night)["facts"]["issues"] for night in done.nights)
    named = [told for night in done.nights for told in names_its_mechanism(lists / night.isoformat(), truth)]
    assert len(named) > 20
    assert sum(named) > 0.5 * len(named)


FEELS = {
    "porosity": {"hydrogen", "heat", "pressure_loss"},
    "tool_wear": {"wear"},
    "bad_lot": {"badness"},
    "die_drift": {"imbalance"},
}
"""The hidden states that bring each mechanism about; a tag whose level, slope or spread they move feels them."""


def names_its_mechanism(list_folder: Path, truth: pd.DataFrame) -> list[bool]:
    """For each listed unit that is defect by a mechanism: whether a driver is a tag that feels it."""
    rows = pd.read_csv(list_folder / "risk_list.csv").query("listed").set_index("unit_id")
    mechanism = truth.loc[truth["defect"], "mechanism"].reindex(rows.index)
    told = []
    for unit, cause in mechanism[mechanism.isin(list(FEELS))].items():
        tags = [tag for of in TAGS.values() for tag in of if FEELS[cause] & {*tag.level, *tag.slope, *tag.spread}]
        because = str(rows.loc[unit, "because"])
        told.append(any(tag.name.replace("_", " ") in because for tag in tags))
    return told
