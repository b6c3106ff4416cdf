import logging
from datetime import date, timedelta

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib._parallel_backends import ThreadingBackend
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from qma_predict.errors import NotEnoughData
from qma_predict.learn.backtest import backtest, summarise
from qma_predict.learn.block_metrics import METRICS
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.line import Costs

START = pd.Timestamp("2026-01-01", tz="UTC")
SPLITTER = RollingOriginSplit(2, test="4D", gap="2D")


class Oracle(ClassifierMixin, BaseEstimator):
    """Gives the column `chance` as P(defect)."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X["chance"], X["chance"]])


class Diary(Oracle):
    """Writes down what it was fitted on."""

    pages: list = []  # noqa: RUF012 the clones share it

    def fit(self, X, y):
        self.pages.append((list(X.index), list(y)))
        return super().fit(X, y)


class NeedsThreeDefects(Oracle):
    def fit(self, X, y):
        if sum(y) < 3:
            raise NotEnoughData(f"found {sum(y)} defects, need 3")
        return super().fit(X, y)


def line():
    """Two units a day for 20 days, A good, B defect on even days; blocks are days 12-15 and 16-19."""
    days = np.repeat(np.arange(20), 2)
    ids = pd.Index([f"{'AB'[i % 2]}{day:02d}" for i, day in enumerate(days)])
    cutoff = pd.Series(START + pd.to_timedelta(days, unit="D"), index=ids)
    outcome = pd.Series([float(i % 2 and day % 2 == 0) for i, day in enumerate(days)], index=ids)
    night = pd.Series([date(2026, 1, 1) + timedelta(int(day)) for day in days], index=ids, dtype=object)
    X = pd.DataFrame({"chance": 0.1 + 0.6 * outcome}, index=ids)
    return X, cutoff, outcome, night


def run(contestants, *, labels_at=None, changes=None, capacity=1, **settings):
    X, cutoff, outcome, night = line()
    labels = outcome.copy()
    for series, unit, value in changes or []:
        {"outcome": outcome, "night": night, "labels": labels}[series][unit] = value
    return backtest(
        contestants,
        X,
        cutoff,
        labels_at=labels_at or (lambda origin: labels),
        outcome=outcome,
        night=night,
        splitter=SPLITTER,
        capacity=capacity,
        **settings,
    )


def value(result, block, contestant, metric):
    table = result.table.set_index(["block", "contestant", "metric"])
    return table.loc[(block, contestant, metric), "value"]


def test_the_table_has_a_row_per_block_contestant_and_metric_and_the_blocks_facts():
    result = run({"oracle": Oracle(), "prevalence": DummyClassifier()})
    assert list(result.table.columns) == [
        *("block", "origin", "end", "train_units", "train_defects", "train_rate", "units", "defects"),
        *("apart_units", "apart_defects"),
        *("contestant", "metric", "value", "low", "high", "reason"),
    ]
    assert len(result.table) == 2 * 2 * len(METRICS)
    facts = result.table.drop_duplicates("block").iloc[:, :8]
    # training: days 0-9 and 0-13 (gap of 2 days, closed), 2 units a day; a defect every second day
    assert facts.to_numpy().tolist() == [
        [1, START + pd.Timedelta(days=11), START + pd.Timedelta(days=15), 20, 5, 0.25, 8, 2],
        [2, START + pd.Timedelta(days=15), START + pd.Timedelta(days=19), 28, 7, 0.25, 8, 2],
    ]
    assert result.table.loc[result.table["reason"].notna(), "metric"].unique().tolist() == ["expected_cost"]


def test_the_metrics_are_those_of_the_blocks_candidates():
    result = run({"oracle": Oracle(), "prevalence": DummyClassifier()})
    assert value(result, 1, "oracle", "average_precision") == pytest.approx(1.0)
    assert value(result, 1, "oracle", "roc_auc") == 1.0
    # one place a night, defects on two of four nights
    assert value(result, 1, "oracle", "precision_at_capacity") == pytest.approx(2 / 4)
    assert value(result, 1, "oracle", "recall_at_capacity") == 1.0
    assert value(result, 1, "prevalence", "precision_at_capacity") == pytest.approx(1 / 4)
    assert value(result, 1, "prevalence", "recall_at_capacity") == pytest.approx(1 / 2)
    assert value(result, 1, "prevalence", "brier_skill") == pytest.approx(0.0)
    # errors 6 * 0.1^2 + 2 * 0.3^2 = 0.24 against the training rate 1/4: 6 / 16 + 2 * 9 / 16 = 1.5
    assert value(result, 1, "oracle", "brier_skill") == pytest.approx(1 - 0.24 / 1.5)
    assert value(result, 1, "oracle", "observed_over_expected") == pytest.approx(2 / 2.0)
    assert value(result, 1, "oracle", "log_loss") == pytest.approx(-(2 * np.log(0.7) + 6 * np.log(0.9)) / 8)


def test_observed_over_expected_has_its_interval_and_no_other_metric_has_one():
    rows = run({"oracle": Oracle()}).table.query("block == 1").set_index("metric")
    # 2 defects where 2 were expected: 0.2422 and 7.2247 are the limits of a Poisson mean after 2 events
    assert rows.loc["observed_over_expected", ["low", "high"]].tolist() == pytest.approx([0.1211, 3.6123], abs=1e-4)
    assert rows.drop("observed_over_expected")[["low", "high"]].isna().all(axis=None)


def test_the_cost_is_that_of_the_nights_lists_or_missing_because_the_line_names_none():
    costs = Costs(escape=80.0, inspection=4.0, false_alarm=2.0)
    result = run({"oracle": Oracle(), "prevalence": DummyClassifier()}, costs=costs)
    # four checks that find both defects and stop two good units; by chance one escapes and three are good
    assert value(result, 1, "oracle", "expected_cost") == pytest.approx((4 * 4 + 2 * 2) / 8)
    assert value(result, 1, "prevalence", "expected_cost") == pytest.approx((4 * 4 + 3 * 2 + 80) / 8)
    none = run({"oracle": Oracle()}).table.query("metric == 'expected_cost'")
    assert none["value"].isna().all()
    assert set(none["reason"]) == {"the line names no costs"}


def test_two_processes_give_the_same_result_bit_for_bit():
    contestants = {"logistic": LogisticRegression(), "prevalence": DummyClassifier()}
    alone, shared = run(contestants), run(contestants, n_jobs=2)
    pd.testing.assert_frame_equal(alone.table, shared.table, check_exact=True)
    pd.testing.assert_frame_equal(alone.predictions, shared.predictions, check_exact=True)


def test_a_registered_backend_carries_every_fit_without_a_change_of_code():
    carried = []

    class Cluster(ThreadingBackend):
        def submit(self, func, callback=None):
            carried.append(func)
            return super().submit(func, callback)

    joblib.register_parallel_backend("cluster", Cluster)
    contestants = {"logistic": LogisticRegression(), "prevalence": DummyClassifier()}
    with joblib.parallel_config("cluster", n_jobs=2):
        there = run(contestants)
    assert len(carried) == 2 * 2
    pd.testing.assert_frame_equal(there.predictions, run(contestants).predictions, check_exact=True)


def test_training_uses_the_labels_known_at_the_origin_in_time_order_and_nothing_later():
    Diary.pages.clear()
    asked = []
    _, cutoff, outcome, _ = line()

    def labels_at(origin):
        asked.append(origin)
        return outcome[cutoff <= origin - pd.Timedelta(days=4)].drop("A03").sample(frac=1, random_state=0)

    run({"diary": Diary()}, labels_at=labels_at)
    assert asked == [START + pd.Timedelta(days=11), START + pd.Timedelta(days=15)]
    units, labels = Diary.pages[0]
    expected = [f"{letter}{day:02d}" for day in range(8) for letter in "AB"]  # known for days 0 to 7
    expected.remove("A03")
    assert units == expected
    assert labels == [int(outcome[unit]) for unit in units]


def test_a_label_that_was_different_then_is_what_training_sees():
    Diary.pages.clear()
    run({"diary": Diary()}, changes=[("labels", "A00", 1.0)])
    units, labels = Diary.pages[0]
    assert labels[units.index("A00")] == 1


def test_units_that_were_never_candidates_are_not_judged_but_teach():
    result = run({"oracle": Oracle()}, changes=[("night", "B12", None), ("night", "A00", pd.NaT)])
    judged = result.predictions[result.predictions["block"] == 1]
    assert "B12" not in set(judged["unit_id"])
    assert result.table["units"].iloc[0] == 7
    assert result.table["train_units"].iloc[0] == 20


def test_a_candidate_whose_outcome_is_not_known_takes_a_place():
    result = run({"oracle": Oracle()}, changes=[("outcome", "B12", np.nan)])
    assert result.table["units"].iloc[0] == 7
    assert result.predictions["outcome"].isna().sum() == 1
    # the lists are B12 (not known), A13 or B13, B14, A15 or B15: one found among three known
    assert value(result, 1, "oracle", "precision_at_capacity") == pytest.approx(1 / 3)


def test_who_cannot_be_fitted_is_missing_with_the_reason_and_the_rest_goes_on():
    def labels_at(origin):
        _, cutoff, outcome, _ = line()
        first_block = origin == START + pd.Timedelta(days=11)
        return outcome[cutoff <= START + pd.Timedelta(days=2 if first_block else 9)]

    result = run({"choosy": NeedsThreeDefects(), "oracle": Oracle()}, labels_at=labels_at)
    first = result.table[(result.table["block"] == 1) & (result.table["contestant"] == "choosy")]
    assert first["value"].isna().all()
    assert (first["reason"] == "found 2 defects, need 3").all()
    assert value(result, 2, "choosy", "roc_auc") == 1.0
    assert value(result, 1, "oracle", "roc_auc") == 1.0
    present = result.predictions.groupby("block")["contestant"].unique().map(list)
    assert present.tolist() == [["oracle"], ["choosy", "oracle"]]


def test_one_class_to_learn_from_gives_no_value_to_anyone():
    result = run({"prevalence": DummyClassifier()}, labels_at=lambda origin: line()[2] * 0)
    assert result.table["value"].isna().all()
    assert result.table["reason"].unique().tolist() == [
        "0 defects and 20 good units to learn from",
        "0 defects and 28 good units to learn from",
    ]
    assert list(result.predictions.columns) == [*("block", "contestant", "unit_id", "night", "score", "outcome")]


def test_a_block_without_defects_has_no_recall_and_says_so():
    result = run({"oracle": Oracle()}, changes=[("outcome", "B12", 0.0), ("outcome", "B14", 0.0)])
    rows = result.table[result.table["block"] == 1].set_index("metric")
    undefined = ["average_precision", "roc_auc", "recall_at_capacity"]
    assert rows.index[rows["value"].isna()].tolist() == [*undefined, "expected_cost"]
    assert set(rows.loc[undefined, "reason"]) == {"0 defects among 8 candidates with a known outcome"}
    assert rows["reason"].drop([*undefined, "expected_cost"]).isna().all()


def test_a_block_whose_outcomes_are_not_known_says_so():
    unknown = [("outcome", f"{letter}{day}", np.nan) for letter in "AB" for day in (12, 13, 14, 15)]
    known = [("outcome", "A12", 0.0), ("night", "A12", None)]  # which was no candidate
    result = run({"oracle": Oracle()}, changes=unknown + known)
    reasons = result.table[result.table["block"] == 1]["reason"]
    assert (reasons == "no candidate of the block has a known outcome").all()


def test_a_time_in_which_nobody_inspected_is_no_block_and_does_not_end_one():
    unknown = [("outcome", f"{letter}{day}", np.nan) for letter in "AB" for day in range(14, 20)]
    result = run({"oracle": Oracle()}, changes=unknown)
    assert result.table["end"].unique().tolist() == [START + pd.Timedelta(days=9), START + pd.Timedelta(days=13)]
    assert result.predictions["outcome"].notna().all()


def test_a_block_without_candidates_says_so():
    none = [("night", f"{letter}{day}", None) for letter in "AB" for day in (12, 13, 14, 15)]
    result = run({"oracle": Oracle()}, changes=none)
    assert (result.table[result.table["block"] == 1]["reason"] == "no candidates in the block").all()


def test_the_order_of_rows_never_matters():
    X, cutoff, outcome, night = line()
    contestants = {"oracle": Oracle(), "prevalence": DummyClassifier()}

    def shuffled(seed):
        frames = [frame.sample(frac=1, random_state=seed + i) for i, frame in enumerate((X, cutoff, night))]
        return backtest(
            contestants,
            *frames[:2],
            labels_at=lambda origin: outcome.sample(frac=1, random_state=seed),
            outcome=outcome.sample(frac=1, random_state=seed + 9),
            night=frames[2],
            splitter=SPLITTER,
            capacity=1,
        )

    first, second = shuffled(1), shuffled(2)
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.predictions, second.predictions)
    assert first.predictions["unit_id"].head(3).tolist() == ["A12", "B12", "A13"]


def test_a_unit_twice_and_a_missing_cutoff_are_refused():
    X, cutoff, outcome, night = line()
    rest = {"labels_at": lambda o: outcome, "outcome": outcome, "night": night, "splitter": SPLITTER}
    with pytest.raises(ValueError, match="unit_id 'A00' is twice"):
        backtest({}, pd.concat([X, X.loc[["A00"]]]), cutoff, capacity=1, **rest)
    with pytest.raises(ValueError, match="1 of 40 units have no cutoff"):
        backtest({}, X, cutoff.drop("A00"), capacity=1, **rest)


def test_a_line_is_logged_per_block_and_contestant(caplog):
    with caplog.at_level(logging.INFO, logger="qma_predict.learn.backtest"):
        run({"oracle": Oracle(), "prevalence": DummyClassifier()})
    assert len(caplog.messages) == 4
    assert caplog.messages[0].startswith("block 1 from 2026-01-12 00:00:00+00:00: ")
    assert "oracle on 20 units with 5 defects" in caplog.messages[0]
    assert caplog.messages[0].endswith("average precision 1.000")


def test_the_summary_is_the_mean_over_blocks_with_a_value():
    table = pd.DataFrame({"contestant": ["a", "a", "b", "b"], "metric": "roc_auc", "value": [0.5, 0.7, np.nan, np.nan]})
    summary = summarise(table)
    assert summary["mean"].tolist() == pytest.approx([0.6, np.nan], nan_ok=True)
    assert summary["blocks"].tolist() == [2, 0]
