import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.tree import DecisionTreeClassifier

from qma_predict.learn.backtest import backtest
from qma_predict.learn.shuffled import shuffled_split
from qma_predict.learn.splits import RollingOriginSplit

SPLITTER = RollingOriginSplit(2, test="20D", gap="0D")


def line(days=100, per_day=10):
    """Units whose day alone says whether they are defects: known to neighbours, not to what came before."""
    day = np.repeat(np.arange(days), per_day)
    ids = pd.Index([f"u{i:04d}" for i in range(len(day))])
    cutoff = pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(day, unit="D"), index=ids)
    bad = np.random.default_rng(3).random(days) < 0.3
    outcome = pd.Series(bad[day].astype(float), index=ids)
    return pd.DataFrame({"day": day.astype(float)}, index=ids), cutoff, outcome


class Diary(ClassifierMixin, BaseEstimator):
    """Writes down what it was fitted on and has to judge."""

    pages: list = []  # noqa: RUF012 the clones share it

    def fit(self, X, y):
        self.pages.append(list(X.index))
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        self.pages.append(list(X.index))
        return np.column_stack([1 - X["day"] / 1000, X["day"] / 1000])


def run(estimator, *, outcome=None):
    frame, cutoff, y = line()
    y = y if outcome is None else outcome
    settings = {"night": cutoff.dt.date, "splitter": SPLITTER, "capacity": 5}
    found = backtest({"tree": estimator}, frame, cutoff, labels_at=lambda origin: y, outcome=y, **settings)
    return found, shuffled_split(found, "tree", estimator, frame, cutoff, y, splitter=SPLITTER)


def test_neighbours_of_the_judged_units_make_a_random_split_look_perfect():
    found, shuffled = run(DecisionTreeClassifier(random_state=0))
    assert shuffled.average_precision == pytest.approx(1.0)
    assert shuffled.roc_auc == pytest.approx(1.0)
    first = found.table.query("block == 1").set_index("metric")["value"]
    assert shuffled.average_precision_in_order == first["average_precision"] < 0.7
    assert shuffled.roc_auc_in_order == first["roc_auc"]
    gap = 1.0 - first["average_precision"]
    assert f"average precision 1.00 instead of {first['average_precision']:.2f} in time order (gap {gap:.2f})" in (
        shuffled.sentence
    )
    assert "one draw of 200 units with" in shuffled.sentence


def test_as_many_units_are_judged_as_in_the_oldest_block_and_the_others_before_its_end_train_in_time_order():
    Diary.pages.clear()
    run(Diary())
    assert len(Diary.pages) == 2 * 3
    train, held = Diary.pages[4:]
    assert (len(train), len(held)) == (600, 200)
    assert not set(train) & set(held)
    assert set(train) | set(held) == {f"u{i:04d}" for i in range(800)}
    assert train == sorted(train)
    assert Diary.pages[1] != held


def test_the_draw_is_the_same_each_time():
    assert run(DecisionTreeClassifier(random_state=0))[1] == run(DecisionTreeClassifier(random_state=0))[1]


def test_a_block_that_was_not_measured_is_passed_over():
    Diary.pages.clear()
    _, _, y = line()
    y.iloc[:600] = 0.0  # nothing to learn for the first block
    y.iloc[605] = 1.0
    _, shuffled = run(Diary(), outcome=y)
    train, held = Diary.pages[-2:]
    assert (len(train), len(held)) == (800, 200)
    assert not np.isnan(shuffled.roc_auc)


def test_what_cannot_be_compared_says_why():
    _, _, y = line()
    y[:] = 0.0
    y.iloc[0] = 1.0
    _, nothing = run(DecisionTreeClassifier(), outcome=y)
    assert np.isnan(nothing.average_precision)
    assert nothing.sentence.startswith("shuffled split: tree is not compared: it was measured in no block")
