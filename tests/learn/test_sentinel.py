"""The sentinel finds leaks of many kinds planted into the simulated plant, and leaves its honest features alone."""

import json
import logging
import sys
from datetime import date, timedelta
from pkgutil import iter_modules

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines import report
from qma_predict.data.contract import TABLES
from qma_predict.data.lake import SCHEMAS, Lake
from qma_predict.data.simulate import simulate
from qma_predict.errors import LineError
from qma_predict.features import families
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.sentinel import AFTERWARDS, IDENTIFIER, MISSINGNESS, PREDICTS, find_leaks
from qma_predict.learn.training import looked_for_leaks, train
from qma_predict.publish.models import kept_models, registry
from qma_predict.publish.scoring import score_candidates

LONG_AFTER = pd.Timestamp("2026-02-01", tz="UTC")
ALL_FAMILIES = tuple(sorted(module.name for module in iter_modules(families.__path__)))


def with_learning(line, **changed):
    return line.model_copy(update={"learning": line.learning.model_copy(update=changed)})


def lake_of(plant, folder):
    """The plant's tables in a lake, as an ingest without mistakes would have put them there."""
    lake = Lake(folder)
    tables = {name: getattr(plant, name, None) for name in TABLES} | {
        "readings": pd.concat([rows for _, rows in plant.readings()], ignore_index=True)
    }
    for name, rows in tables.items():
        if rows is None:
            continue
        rows = rows.copy()
        happened = next(column for column in (*TABLES[name].happened, "started_at") if column in rows)
        rows["occurred_at"] = rows[happened].fillna(rows.get("started_at", rows[happened]))
        if "recorded_at" not in rows:
            rows["recorded_at"] = rows["occurred_at"]
        key = [*TABLES[name].key, "recorded_at"]
        rows = rows.reindex(columns=SCHEMAS[name].names)
        texts = [column for column in key if pa.types.is_string(SCHEMAS[name].field(column).type)]
        rows[texts] = rows[texts].astype("str").fillna("")
        rows["ingested_at"] = LONG_AFTER
        lake.append(name, rows.drop_duplicates(key))
    return lake


def planted_leaks(dataset, inspections, seed):
    """Leaks as plants have them, one a feature, by name; in the simulated plant about 2 % of the units are defect."""
    X, y, cutoff = dataset.X, dataset.y, dataset.points["cutoff"]
    rng, ids, size = np.random.default_rng(seed), X.index, len(X)
    defect, good, inspected = y == 1, y == 0, y.notna()
    last = inspections.sort_values("recorded_at").drop_duplicates(["unit_id", "characteristic"], keep="last")
    leak, bore = (last[last["characteristic"] == name].set_index("unit_id") for name in ("leak", "dimension"))
    code = last[~last["passed"]].drop_duplicates("unit_id").set_index("unit_id")["code"].reindex(ids)
    tested = leak["occurred_at"].reindex(ids)
    serial = pd.Series(np.argsort(np.argsort(ids)), ids)
    numbered = pd.Series(np.nan, ids)
    numbered[cutoff[defect].sort_values().index] = 4000.0 + np.arange(defect.sum())

    def chosen(share):
        return pd.Series(rng.random(size) < share, ids)

    def noise(spread):
        return pd.Series(rng.normal(0, spread, size), ids)

    return {
        # the result under another name
        "state.word": y.map({1.0: "NOK", 0.0: "OK"}),
        "state.number": 7 - 2 * y,
        "state.good_by_default": y.fillna(0),
        "state.mixed_up": y.where(~chosen(0.02), 1 - y),
        # the result with noise, or what comes of it
        "result.blurred": y + noise(0.35),
        "result.blurred_for_all": y.fillna(0) + noise(0.35),
        "press.cycle_time": 60 + noise(3) + 15 * defect,
        "press.handling": 20 + noise(2) - 9 * (defect & chosen(0.97)),
        # what only defects get
        "defect.code": code,
        "defect.code_or_none": code.fillna("00"),
        "defect.code_of_some": code.where(chosen(0.6)),
        "rework.flag": (defect & chosen(0.8)).astype(float),
        "rework.done": pd.Series("yes", ids).where(defect & chosen(0.8)),
        "rework.tag_number": numbered,
        "press.strange_value": pd.Series(rng.integers(0, 9, size), ids).mask(defect & chosen(0.7), 4.5),
        # known later, on a clock set back
        "gate.leak_rate": leak["measured"].reindex(ids),
        "gate.bore": bore["measured"].reindex(ids),
        "gate.minutes": (tested - cutoff) / pd.Timedelta("1min"),
        "gate.tested": (tested - LONG_AFTER) / pd.Timedelta("1s"),
        "gate.operator": pd.Series(rng.choice(["A", "B", "C"], size), ids).where(inspected),
        "gate.remark": pd.Series("see report", ids).where(inspected & chosen(0.4)),
        "gate.was_there": inspected.astype(float),
        # gaps
        "wash.missing_for_good": noise(1).mask(good & chosen(0.97)),
        "wash.missing_for_defects": noise(1).mask(defect),
        # names and counters
        "unit.serial": pd.Series(ids, ids),
        "unit.number": serial,
        "export.row": cutoff.rank(method="first"),
        "export.time": (cutoff - LONG_AFTER) / pd.Timedelta("1s"),
    }


def as_features(leaks):
    return pd.DataFrame(
        {
            name: column.astype("float32" if pd.api.types.is_numeric_dtype(column.dtype) else "str")
            for name, column in leaks.items()
        }
    )


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.proof) for seed in (2, 3))])
def test_nearly_all_planted_leaks_are_found_and_no_honest_feature(line, tmp_path, seed):
    lake = lake_of(simulate(days=70, units_per_day=80, seed=seed), tmp_path / "lake")
    dataset = make_dataset(lake.at(LONG_AFTER), with_learning(line, families=ALL_FAMILIES))
    leaks = as_features(planted_leaks(dataset, lake.read("inspections"), seed))
    assert len(leaks.columns) == 28
    found = find_leaks(dataset.X.join(leaks), dataset.y, dataset.points["cutoff"])
    assert set(found["feature"]) & set(dataset.X) == set()
    assert len(dataset.X.columns) > 300
    assert found["feature"].nunique() / len(leaks.columns) >= 0.95
    assert set(found["kind"]) == {PREDICTS, MISSINGNESS, AFTERWARDS, IDENTIFIER}


# A world by hand: 4,000 units over ten weeks, every other one inspected, every 40th a defect.

N = 4000
UNITS = pd.Index([f"u{n}" for n in range(N)], name="unit_id")
CUTOFF = pd.Series(pd.date_range("2026-01-05", periods=N, freq="25min", tz="UTC"), UNITS)
DEFECT = np.arange(N) % 40 == 0
Y = pd.Series(np.where(DEFECT, 1.0, 0.0), UNITS).where(np.arange(N) % 2 == 0)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)


def found_in(y=Y, **features):
    X = pd.DataFrame({name: pd.Series(np.asarray(values), UNITS) for name, values in features.items()})
    return find_leaks(X.rename(columns={"product": "unit.product"}), y, CUTOFF)


def kinds(**features):
    return found_in(**features)["kind"].tolist()


def test_a_feature_half_as_good_as_a_result_is_honest_and_a_blurred_result_is_not():
    assert kinds(a=NOISE + 1.5 * DEFECT) == []  # area 0.86
    assert kinds(a=NOISE + 2.5 * DEFECT) == [PREDICTS]  # area 0.96
    assert kinds(a=NOISE - 2.5 * DEFECT) == [PREDICTS]
    assert kinds(a=NOISE * (1 + 9 * DEFECT) + 30 * DEFECT * np.sign(NOISE)) == [PREDICTS]  # at both ends


def test_a_value_of_which_two_of_three_units_are_defect_is_honest():
    """50 defects and 25 good units: a bad situation, and no leak; without the good ones it is one."""
    situation = np.where(DEFECT | (np.arange(N) % 80 == 2) & (np.arange(N) < 2000), "hot", "usual")
    some = situation.copy()
    some[DEFECT & (np.arange(N) >= 2000)] = "usual"
    assert kinds(a=some) == []
    only = np.where(DEFECT & (np.arange(N) < 2000), "hot", "usual")
    assert kinds(a=only) == [PREDICTS]


def test_ten_defects_show_nothing():
    y = Y.where(~(DEFECT & (np.arange(N) >= 400)), 0.0)
    assert (y == 1).sum() == 10
    assert found_in(y=y, a=(y == 1).astype(float)).empty


def test_what_drifts_with_the_share_of_defects_is_honest():
    """All defects are in the last weeks, and so is the heat: nothing tells them apart within a week."""
    y = pd.Series(np.where((np.arange(N) > 3000) & (np.arange(N) % 5 == 0), 1.0, 0.0), UNITS)
    assert found_in(y=y, a=np.arange(N) // 800 + NOISE).empty


def test_gaps_that_the_product_explains_are_honest():
    """Only product A is inspected, and only A has the tag: both are known before."""
    product = np.where(np.arange(N) % 2 == 0, "A", "B")
    tag = np.where(product == "A", NOISE, np.nan)
    assert kinds(product=product, a=tag) == []
    assert kinds(a=tag) == [AFTERWARDS]


def test_units_chosen_for_the_gate_by_an_alarm_leave_its_feature_honest():
    y = pd.Series(0.0, UNITS).where(RNG.random(N) < 0.55)
    alarm = RNG.random(N) < 0.1
    y[alarm & (RNG.random(N) < 0.8)] = 0.0
    y.iloc[::40] = 1.0
    assert found_in(y=y, a=np.where(alarm, NOISE, np.nan)).empty


def test_hours_since_a_tool_change_and_weekdays_are_no_counters():
    assert kinds(a=np.arange(N) % 300, b=CUTOFF.dt.day_of_week, c=CUTOFF.dt.isocalendar().week) == []
    assert kinds(a=np.arange(N) + 0.5 * NOISE) == [IDENTIFIER]
    assert kinds(a=-np.arange(N)) == [IDENTIFIER]


def test_lots_are_no_names_of_units_and_serials_are():
    assert kinds(a=[f"L{n // 40}" for n in range(N)]) == []
    assert kinds(a=[f"S{n // 1.5}" for n in range(N)]) == [IDENTIFIER]


def test_the_evidence_is_in_words_with_numbers():
    found = found_in(a=np.where(DEFECT & (np.arange(N) < 2000), 9.0, np.nan))
    assert found["evidence"].tolist()[0] == (
        "there or not: of 50 units with 1 or more 50 are defects (at least 85%), of all 5.0%"
    )


def test_a_history_without_labels_or_units_has_no_leak():
    assert found_in(y=pd.Series(np.nan, UNITS), a=NOISE).empty
    assert find_leaks(pd.DataFrame({"a": []}, dtype="float32"), Y.iloc[:0], CUTOFF.iloc[:0]).empty


# Training

FAMILY = """
import ibis
from ibis import _

def compute(history, points, line):
    results = history.newest("inspections").filter(_.characteristic == "leak").select("unit_id", "measured")
    return results.inner_join(points, "unit_id").select("point", "measured", of=ibis.literal("press.pressure"))
"""
DAY = date(2025, 10, 30)
FAST = {"recipe": "sklearn.linear_model.LogisticRegression", "parameters": {}}


@pytest.fixture
def leaking(line, tmp_path, monkeypatch):
    """The line with a family of the plant's own that reads the gate's results, and a backtest that is soon done."""
    (tmp_path / "leaky").mkdir()
    (tmp_path / "leaky" / "pressure.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(tmp_path)
    own = (*line.learning.families, "leaky.pressure")
    yield with_learning(line, families=own, blocks=1, block=timedelta(days=7), **FAST)
    for name in [name for name in sys.modules if name.split(".")[0] == "leaky"]:
        del sys.modules[name]


def test_a_leak_is_left_out_of_the_backtest_the_model_and_the_nights(lake, line, leaking, home_copy, caplog):
    honest = with_learning(leaking, families=line.learning.families)
    history = lake.at(line.as_of(DAY))
    with caplog.at_level(logging.WARNING):
        trainings = [train(make_dataset(history, one)) for one in (leaking, honest)]
    assert trainings[0].left_out == ["press.pressure.measured"]
    assert "left out press.pressure.measured: known only after the inspection: 0 units that were not" in caplog.text
    assert trainings[1].leaks.empty
    pd.testing.assert_frame_equal(trainings[0].backtest.predictions, trainings[1].backtest.predictions)
    dataset = make_dataset(history, leaking)
    model = registry.log_training(home_copy, dataset, trainings[0])
    assert model.leaks.startswith("left out: 'press.pressure.measured' (")
    assert f"look like leaks: {model.leaks}; the evidence is in leaks.csv of the run" in report.of_model(model)
    run = mlflow.MlflowClient(f"sqlite:///{home_copy.mlflow / 'mlflow.db'}").get_run(model.run_id)
    assert json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/dataset.json"))["left_out"] == (
        ["press.pressure.measured"]
    )
    assert "press.pressure.measured,known only after" in mlflow.artifacts.load_text(
        f"{run.info.artifact_uri}/leaks.csv"
    )
    predict = kept_models.load(home_copy, model)
    lists = [score_candidates(history, one, predict)[0] for one in (leaking, honest)]
    pd.testing.assert_frame_equal(*lists)
    assert lists[0]["score"].notna().sum() > 20


def test_a_leak_that_the_line_keeps_is_told_and_stays(lake, line, leaking):
    kept = with_learning(leaking, keep=("press.pressure.measured",))
    found = looked_for_leaks(make_dataset(lake.at(line.as_of(DAY)), kept))
    assert set(found["feature"]) == {"press.pressure.measured"}
    assert found["kept"].all()


def test_a_feature_to_keep_that_there_is_not_names_the_nearest(lake, line, leaking):
    dataset = make_dataset(lake.at(line.as_of(DAY)), with_learning(leaking, keep=("press.pressure.measure",)))
    with pytest.raises(LineError, match=r"learning.keep: no feature 'press.pressure.measure' .* 'press.pressure.meas"):
        train(dataset)
