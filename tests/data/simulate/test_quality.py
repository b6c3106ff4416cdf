import numpy as np
import pandas as pd
import pytest

from qma_predict.data.simulate.plant import PRODUCTS, SUSPICION
from qma_predict.data.simulate.quality import MISSED

KEY = ["unit_id", "gate", "characteristic", "occurred_at"]


@pytest.fixture(scope="module")
def last_results(plant):
    """The last result of every inspection, beside the true state of the unit."""
    results = plant.inspections.sort_values("recorded_at", kind="stable").drop_duplicates(KEY, keep="last")
    return results.merge(plant.truth, on="unit_id")


def test_units_are_selected_with_the_recorded_probability(plant):
    inspected = plant.truth["unit_id"].isin(plant.inspections["unit_id"]).to_numpy()
    assert 0.5 < inspected.mean() < 0.62
    reason = plant.inspections.drop_duplicates("unit_id").set_index("unit_id")[["reason", "probability"]]
    sampled = reason[reason["reason"] == "sampling"]
    names = np.array([item.name for item in PRODUCTS])[plant.flow.product]
    product = pd.Series(names, index=plant.truth["unit_id"])[sampled.index]
    expected = product.map({item.name: item.inspected for item in PRODUCTS})
    assert (sampled["probability"] == expected).all()
    for number, item in enumerate(PRODUCTS):
        share = inspected[plant.flow.product == number].mean()
        assert item.inspected - 0.03 < share < item.inspected + 0.04  # suspicion adds a little
    suspected = reason[reason["reason"] == "suspicion"]
    assert (suspected["probability"] == SUSPICION).all()
    assert 0.005 < len(suspected) / len(reason) < 0.12


def test_both_characteristics_are_inspected_each_time(plant):
    counts = plant.inspections.drop_duplicates(KEY).groupby("unit_id")["characteristic"].agg(["size", "nunique"])
    assert (counts == 2).all().all()


def test_inspection_errs_at_the_stated_rates(last_results):
    for name in ("leak", "dimension"):
        rows = last_results[last_results["characteristic"] == name]
        bad = rows[name]
        assert (~rows.loc[~bad, "passed"]).mean() == pytest.approx(0.002, abs=0.0015)
        most = MISSED + 4 * np.sqrt(MISSED * (1 - MISSED) / bad.sum())
        assert rows.loc[bad, "passed"].mean() < most


def test_a_measured_value_is_outside_its_limits_exactly_when_it_failed(plant):
    found = plant.inspections
    inside = found["measured"].between(found["lower"].fillna(-np.inf), found["upper"])
    assert (inside == found["passed"]).all()
    assert (found["code"].isna() == found["passed"]).all()


def test_some_results_are_corrected_later_and_some_rows_are_exported_twice(plant):
    found = plant.inspections
    assert 0.002 < found.duplicated().mean() < 0.01
    versions = found.drop_duplicates().sort_values("recorded_at").groupby(KEY)
    sizes = versions.size()
    assert sizes.max() == 2
    assert 0.0008 < (sizes == 2).mean() < 0.006
    corrected = versions.filter(lambda rows: len(rows) == 2).groupby(KEY)
    assert (corrected["passed"].nunique() == 2).all()
    assert (corrected["recorded_at"].nunique() == 2).all()


def test_inspection_takes_hours_to_days(plant):
    ended = pd.Series(plant.flow.ended[:, -1], index=plant.truth["unit_id"])
    tested = plant.inspections.drop_duplicates("unit_id").set_index("unit_id")["occurred_at"]
    since = tested - pd.to_datetime(ended[tested.index], unit="s", utc=True)
    hours = since.dt.total_seconds() / 3600
    assert 18 < hours.median() < 22
    assert (hours < 72).mean() > 0.95
    assert hours.min() > 1


def test_failed_units_are_scrapped_and_all_others_shipped(plant, last_results):
    failed = set(last_results.loc[~last_results["passed"], "unit_id"])
    assert set(plant.visits.loc[plant.visits["station"] == "scrap", "unit_id"]) == failed
    shipped = set(plant.visits.loc[plant.visits["station"] == "shipping", "unit_id"])
    assert shipped == set(plant.truth["unit_id"]) - failed


def test_inspected_units_leave_after_their_last_result_and_others_after_days(plant):
    gone = plant.visits[plant.visits["station"].isin(["shipping", "scrap"])].set_index("unit_id")["started_at"]
    last = plant.inspections.groupby("unit_id")["recorded_at"].max()
    assert (gone[last.index] > last).all()
    washed = plant.visits[plant.visits["station"] == "wash"].set_index("unit_id")["ended_at"]
    others = gone.index.difference(last.index)
    days = (gone[others] - washed[others]) / pd.Timedelta(days=1)
    assert 1.5 <= days.min() < 1.6
    assert 2.9 < days.max() <= 3.0


def test_alarms_raise_suspicion_only_near_the_machine(plant):
    reason = plant.inspections.drop_duplicates("unit_id").set_index("unit_id")["reason"]
    alarms = plant.events[plant.events["kind"] == "alarm"]
    stays = plant.visits[plant.visits["station"].isin(["cast", "mill"])]
    pairs = stays.merge(alarms, on="machine", suffixes=("", "_alarm"))
    margin = pd.Timedelta(minutes=15)
    near = pairs["occurred_at"].between(pairs["started_at"] - margin, pairs["ended_at"] + margin)
    suspicious = set(pairs.loc[near, "unit_id"])
    assert set(reason.index[reason == "suspicion"]) == suspicious & set(reason.index)
