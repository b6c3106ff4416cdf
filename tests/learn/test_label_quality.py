import logging
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from qma_predict.features.points import prediction_points
from qma_predict.learn import training
from qma_predict.learn.at_capacity import precision_at_capacity
from qma_predict.learn.backtest import Backtest, backtest
from qma_predict.learn.block_metrics import METRICS
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.label_quality import label_quality
from qma_predict.learn.labels import labels
from qma_predict.learn.metrics import average_precision
from qma_predict.learn.over_all import over_all_units
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.weights import LARGEST
from qma_predict.line import Costs

START = pd.Timestamp("2026-03-01 12:00", tz="UTC")
END = START + pd.Timedelta("60D")


@pytest.fixture
def make(make_history, tiny_line):
    """Return a function that makes a dataset of forty units, one a day, of which every fourth is defect.

    It is given how probable the inspection of a defect and of a good unit was, after how many days good results are
    recorded, and further tables.
    """

    def make(defect=None, good=None, days=1, **more):
        visits, inspections = [], []
        for n in range(40):
            unit, ended, bad = f"u{n:02}", START + pd.Timedelta(f"{n}D"), n % 4 == 0
            stay = {"station": "oven", "machine": "O1", "started_at": ended - pd.Timedelta("1h"), "ended_at": ended}
            visits.append({"unit_id": unit} | stay)
            row = {"unit_id": unit, "gate": "final", "passed": not bad, "probability": defect if bad else good}
            row |= {"probability": row["probability"](n) if callable(row["probability"]) else row["probability"]}
            row |= {"occurred_at": ended + pd.Timedelta("1D")}
            row |= {"recorded_at": ended + pd.Timedelta("1D") * (1 if bad else days)}
            inspections += [row | {"characteristic": name} for name in ("leak", "size")]
        history = make_history({"visits": visits, "inspections": inspections} | more, as_of=END)
        points = prediction_points(history, tiny_line)
        y = labels(history, points, tiny_line)
        X = pd.DataFrame({"oven.heat.last": np.where(y == 1, 2.0, 1.0)}, index=y.index)
        return Dataset(history, tiny_line, points.set_index("unit_id"), X, y, {}, {})

    return make


def test_of_a_line_that_says_no_probabilities_nothing_is_said_and_nothing_weighs(make, caplog):
    with caplog.at_level(logging.INFO):
        found = label_quality(make())
    assert (found.weight, found.agreement, found.notices) == (None, None, ())
    assert found.rate.value == 0.25
    assert found.delays["units"].tolist() == [8, 22]  # watched for half of the sixty days
    assert caplog.text == ""


def test_equal_probabilities_weigh_nothing(make):
    assert label_quality(make(0.2, 0.2)).weight is None


def test_units_sought_out_are_told_with_the_rate_over_all(make, caplog):
    with caplog.at_level(logging.INFO):
        found = label_quality(make(defect=0.8, good=0.2))
    # 10 defects stand for 1.25 units each, 30 good ones for 5: 12.5 of 162.5, worth 162.5^2 / (10 * 1.5625 + 30 * 25)
    assert found.rate.value == pytest.approx(12.5 / 162.5)
    [notice] = found.notices
    assert notice == (
        "units were selected for inspection with unequal probabilities: of the inspected 25.0 % are defect, of all "
        "7.7 % (2.5 to 21.4 %); 40 labels are worth 34"
    )
    assert notice in caplog.text


def test_the_rate_over_all_is_told_from_weights_that_are_not_cut(make):
    """39 units were certain to be inspected, and one good one stands for a thousand: 10 defects in 1039 units."""
    found = label_quality(make(1.0, lambda n: 0.001 if n == 1 else 1.0))
    assert found.rate.value == pytest.approx(10 / 1039)
    assert found.weight.max() == LARGEST  # it would be 1000 / (1039 / 40)
    [notice] = found.notices
    assert "of the inspected 25.0 % are defect, of all 1.0 % (" in notice
    assert notice.endswith("40 labels are worth 1; for learning, weights were cut to 20 times the mean: 1")


def test_a_maturity_that_is_too_short_is_among_the_notices(make):
    [notice] = label_quality(make(days=9)).notices
    assert "100.0 % of 22 good units" in notice
    assert '"9 d" would wait' in notice


def test_a_study_of_the_inspectors_is_among_the_notices(make):
    row = {"unit_id": "m1", "inspector": "A", "trial": "1", "passed": False, "reference": False}
    study = [row | {"occurred_at": START}, row | {"unit_id": "m2", "passed": True, "reference": True}]
    found = label_quality(make(agreement=[one | {"occurred_at": START} for one in study]))
    assert found.agreement.recorded == found.rate
    assert found.notices == (found.agreement.sentence,)
    files = found.files()
    assert files["notices.txt"] == found.agreement.sentence
    assert files["rate.json"].startswith('{"value": 0.25, "low": ')
    assert files["delays.csv"].startswith("label,units,median,q99,longest,in_time\ndefect,8,")
    assert files["inspectors.csv"].startswith("inspector,units,sensitivity,sensitivity_low,")


def test_a_study_of_other_characteristics_is_told_to_be_left_out(make, caplog):
    row = {"unit_id": "m1", "inspector": "A", "trial": "1", "passed": False, "characteristic": "colour"}
    with caplog.at_level(logging.INFO):
        found = label_quality(make(agreement=[row | {"occurred_at": START}]))
    [notice] = found.notices
    assert found.agreement is None
    assert notice.startswith("the agreement study's verdicts on colour are left out")
    assert notice in caplog.text


def test_a_fit_takes_the_weights(make):
    dataset = make(defect=0.8, good=0.2)
    weighted = training.fit(DummyClassifier(), dataset, label_quality(dataset).weight)
    assert weighted.predict_proba(dataset.X)[0, 1] == pytest.approx(12.5 / 162.5)
    assert training.fit(DummyClassifier(), dataset).predict_proba(dataset.X)[0, 1] == pytest.approx(0.25)


def judged_blocks(nights, *blocks):
    """A backtest of which each block has the same units on each of its nights: score, outcome and weight of each."""
    costs = Costs(escape=100.0, inspection=1.0, false_alarm=2.0)
    units, facts = pd.DataFrame(columns=["score", "outcome", "weight"]), []
    for number, rows in enumerate(blocks, 1):
        one = pd.DataFrame(rows, columns=["score", "outcome", "weight"])
        many = pd.concat([one.assign(block=number, night=100 * number + night) for night in range(nights)])
        units = many if number == 1 else pd.concat([units, many])
        known = {"units": int(many["outcome"].count()), "defects": int(many["outcome"].sum())}
        facts.append({"block": number, "train_units": 4, "train_defects": 2, "train_rate": 0.2} | known)
    units = units.assign(contestant="trees", unit_id=np.arange(len(units)).astype(str))
    result = Backtest(pd.DataFrame(facts), units.drop(columns="weight"), 2, costs)
    return result, units.dropna().set_index("unit_id")["weight"]


def test_metrics_over_all_units_count_each_as_what_it_stands_for():
    first, second = [(0.9, 1.0, 1.0), (0.8, 0.0, 4.0), (0.1, 0.0, 4.0)], [(0.7, 0.0, 4.0), (0.2, np.nan, 1.0)]
    result, weight = judged_blocks(40, first, second)
    found = over_all_units(result, weight)
    value = found.set_index("metric")["value"]
    assert value["precision_at_capacity"] == pytest.approx(1 / 9)  # the fifth's outcome is not known
    assert value["recall_at_capacity"] == 1.0
    assert value["observed_over_expected"] == pytest.approx(1 / (0.9 + 4 * 0.8 + 4 * 0.1 + 4 * 0.7))
    assert value["average_precision"] == value["roc_auc"] == 1.0
    # 13 units are known: errors 0.1^2 + 4 (0.8^2 + 0.1^2 + 0.7^2), against 0.8^2 + 12 * 0.2^2 of the rate over all
    assert value["brier_skill"] == pytest.approx(1 - 4.57 / 1.12)
    assert value["log_loss"] == pytest.approx(-(np.log(0.9) + 4 * np.log(0.2 * 0.9 * 0.3)) / 13)
    assert value["expected_cost"] == pytest.approx((9 * 1 + 8 * 2) / 13)  # 9 checks, of which 8 find nothing
    assert set(value.index) == set(METRICS)
    assert set(found["contestant"]) == {"trees"}
    assert set(found["blocks"]) == {2}


def test_over_all_units_blocks_are_taken_together():
    """Two defects a night on the lists of both blocks; a third, that stands for five, is not listed in the second."""
    first, second = [(0.9, 1.0, 1.0), (0.8, 1.0, 1.0), (0.1, 0.0, 5.0)], [(0.9, 1.0, 1.0), (0.8, 1.0, 1.0)]
    result, weight = judged_blocks(30, first, [*second, (0.1, 1.0, 5.0)])
    value = over_all_units(result, weight).set_index("metric")["value"]
    assert value["recall_at_capacity"] == pytest.approx(4 / 9)  # not the mean of 1 and 2 / 7


def test_over_all_units_nothing_but_what_has_an_interval_is_told_from_labels_that_are_worth_little():
    listed, audit = [(0.9, 1.0, 1.0), (0.8, 0.0, 1.0)], [(0.1, 0.0, 140.0)]
    found = over_all_units(*judged_blocks(20, listed + audit)).set_index("metric")
    told = found.dropna(subset="value")
    assert told.index.tolist() == ["observed_over_expected"]  # recall would be 1: of the audits none is defect
    assert told["low"].item() < told["value"].item() < told["high"].item()
    few = "over all units 20 known defects are worth 0.14, fewer than 10"
    assert set(found.loc[found["value"].isna(), "reason"]) == {few}
    plain = over_all_units(*judged_blocks(2, listed)).set_index("metric")  # as few, but each for itself
    assert plain.loc["recall_at_capacity", "value"] == 1.0


def test_a_training_tells_figures_over_all_units_by_weights_that_are_not_cut(make, monkeypatch):
    given = []
    monkeypatch.setattr(training, "over_all_units", lambda found, weight: given.append(weight))
    dataset = make(1.0, lambda n: 0.001 if n == 1 else 1.0)
    learning = dataset.line.learning.model_copy(update={"recipe": "logistic", "blocks": 1, "block": timedelta(days=10)})
    found = training.train(replace(dataset, line=dataset.line.model_copy(update={"learning": learning})))
    assert found.labels.weight.max() == LARGEST
    assert given[0].max() == pytest.approx(1000 / (1039 / 40))


def test_weighted_metrics_are_those_of_each_unit_repeated():
    rng = np.random.default_rng(0)
    y, score, times = rng.integers(0, 2, 40), rng.permutation(40) / 40, rng.integers(1, 4, 40)
    weighted = average_precision(y, score, sample_weight=times)
    # copies follow each other in the ranking, so that a defect's copies see one after the other; count the last alone
    order = np.argsort(-score)
    cumulated, found = np.cumsum(times[order]), np.cumsum((times * y)[order])
    by_hand = np.sum((times * y)[order] * found / cumulated) / np.sum(times * y)
    assert weighted == pytest.approx(by_hand)
    assert precision_at_capacity(y, score, capacity=10, sample_weight=times) == pytest.approx(
        (times * y)[order][:10].sum() / times[order][:10].sum()
    )


def test_units_that_tie_and_weigh_the_same_give_the_same_as_without_weights():
    y, score = [1, 0, 1, 0, 0, 1], [0.5, 0.5, 0.5, 0.2, 0.2, 0.2]
    assert average_precision(y, score, sample_weight=[7.0] * 6) == pytest.approx(average_precision(y, score))


@pytest.mark.parametrize("weight", [[1.0, 1.0], [1.0, 0.0, 1.0], [1.0, np.nan, 1.0]])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match=r"sample_weight has shape .*; expected \(3,\), all above 0"):
        average_precision([1, 0, 1], [0.1, 0.2, 0.3], sample_weight=weight)


class Diary(ClassifierMixin, BaseEstimator):
    """Writes down the weight of each unit it is fitted on."""

    pages: ClassVar[list[dict[str, float]]] = []

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array([0, 1])
        self.pages.append({} if sample_weight is None else dict(zip(X.index, sample_weight, strict=True)))
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_in_the_backtest_each_unit_is_learnt_from_with_its_own_weight(make):
    dataset = make(defect=0.8, good=0.2)
    weight = label_quality(dataset).weight.sample(frac=1, random_state=0)
    for given in (weight, None):
        backtest(
            {"diary": Diary()},
            dataset.X.sample(frac=1, random_state=1),
            dataset.points["cutoff"],
            labels_at=dataset.labels_at,
            outcome=dataset.y,
            night=dataset.points["night"],
            splitter=RollingOriginSplit(1, test=pd.Timedelta("10D"), gap=pd.Timedelta("5D")),
            capacity=2,
            weight=given,
        )
    weighted, without = Diary.pages
    assert len(weighted) > 20
    assert weighted == weight[list(weighted)].to_dict()
    assert without == {}
