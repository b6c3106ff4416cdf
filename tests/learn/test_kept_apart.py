"""Groups that go on: the order of a plant that never ends, or that ends too seldom."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qma_predict.errors import NotEnoughData
from qma_predict.learn import kept_apart
from qma_predict.learn.backtest import Backtest, backtest
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.rehearsal import _as_known_at
from qma_predict.learn.training import judged_blocks, train
from qma_predict.learn.trials import rows_and_folds
from qma_predict.publish.models.card import _backtest

DAYS, A_DAY = 40, 4
HOUR = pd.Timedelta("1h")
START = pd.Timestamp("2026-01-05 12:00", tz="UTC")
SAID = (
    "learning.group 'order': of 100 units with a known label before the block from 2026-02-03 {n} are not learnt from, "
    "since their order goes on in it; of 'A' alone there are {n} before it"
)


@pytest.fixture
def dataset(make_history, tiny_line):
    """Four units a day, of which every fourth is a defect, a day after its label; two blocks of ten days."""
    given = {"recipe": "sklearn.tree.DecisionTreeClassifier", "blocks": 2, "group": "order"}
    block = pd.Timedelta("10D").to_pytimedelta()
    line = tiny_line.model_copy(update={"learning": tiny_line.learning.model_copy(update=given | {"block": block})})
    units = pd.Index([f"{n:03}" for n in range(DAYS * A_DAY)], name="unit_id", dtype="str")
    cutoff = START + pd.to_timedelta(np.arange(len(units)) // A_DAY, unit="D")
    results = [
        {"unit_id": unit, "gate": "final", "characteristic": one, "passed": n % 4 > 0, "occurred_at": cutoff[n] + HOUR}
        for n, unit in enumerate(units)
        for one in ("leak", "size")
    ]
    lots = [{"unit_id": unit, "lot_id": "L1", "material": "casting", "occurred_at": START} for unit in units[:5]]
    points = pd.DataFrame({"cutoff": cutoff, "night": cutoff.date}, index=units)
    tables = {"inspections": results, "materials": lots}
    history = make_history(tables, as_of=START + pd.Timedelta(f"{DAYS + 9}D"))
    y = pd.Series(np.where(np.arange(len(units)) % 4 == 0, 1.0, 0.0), units)
    X = pd.DataFrame({"oven.heat.last": np.arange(len(units), dtype="float32") % 7}, index=units)

    def make(orders):
        groups = pd.Series(orders, units, dtype="str", name="group")
        return Dataset(history, line, points, X, y, {}, {"oven.heat.last": ""}, groups)

    return make


def orders(going_on):
    """An order of its own for each unit, but for those that are of one order that never ends."""
    return [f"B{n}" if n % 4 not in going_on else "A" for n in range(DAYS * A_DAY)]


@pytest.mark.parametrize(("going_on", "n"), [((0, 1, 2, 3), 100), ((0,), 25), ((1, 2, 3), 75)])
def test_a_group_that_leaves_no_defects_or_no_good_units_to_learn_from_is_refused_by_its_name(dataset, going_on, n):
    # 25 days of four units are five days old when the newest block begins; the first of each day is a defect
    with pytest.raises(NotEnoughData) as refused:
        train(dataset(orders(going_on)))
    said = str(refused.value)
    assert f"line.toml: {SAID.format(n=n)}. Too little is left to learn from before any of the 2 blocks" in said
    assert "name another in learning.group (this history has 'casting lot'), or take it out" in said
    assert "Lists go on by the champion, if there is one." in said


@pytest.mark.parametrize(("going_on", "n"), [((1,), 25), ((1, 2), 50), ((), 0)])
def test_a_group_that_takes_half_at_most_is_told_and_not_warned_of(dataset, going_on, n, caplog):
    made = dataset(orders(going_on))
    training = train(made)
    assert training.backtest.table.drop_duplicates("block")["apart_units"].tolist() == [n * 3 // 5, n]
    assert kept_apart.in_words(made, training.backtest) == (SAID.format(n=n) if n else "")
    assert "learning.group" not in caplog.text


def test_a_group_that_takes_more_than_half_is_warned_of(dataset, caplog):
    mostly = [order if n % 12 else f"C{n}" for n, order in enumerate(orders((0, 1, 2)))]  # every third defect is not
    training = train(made := dataset(mostly))
    said = SAID.format(n=66)
    assert [record.getMessage() for record in caplog.records if "learning.group" in record.getMessage()] == [
        f"tiny: {said}"
    ]
    assert f"* {said}" in _backtest(made, training, [0, 0]).replace("\\", "")


def test_where_no_defect_is_known_at_all_the_group_is_not_blamed(dataset):
    facts = {"train_units": 0, "train_defects": 0, "apart_units": 9, "apart_defects": 0}
    block = {"block": 1, "origin": START + pd.Timedelta("30D"), "end": START + pd.Timedelta("40D")}
    found = Backtest(pd.DataFrame([block | facts]), pd.DataFrame(), 1)
    made, with_defect = dataset(orders((0, 1, 2, 3))), found.table.assign(apart_defects=1)
    kept_apart.check_groups(made, found)
    with pytest.raises(NotEnoughData):
        kept_apart.check_groups(made, replace(found, table=with_defect))


def test_a_contestant_a_search_and_a_rehearsal_say_that_groups_left_nothing(dataset):
    made = dataset(orders((0, 1, 2, 3)))
    facts = {"labels_at": made.labels_at, "outcome": made.y, "night": made.points["night"]}
    rest = {"splitter": judged_blocks(made.line), "capacity": 2, "groups": made.groups}
    found = backtest({"rule": make_baseline("prevalence")}, made.X, made.points["cutoff"], **facts, **rest)
    why = "0 defects and 0 good units to learn from; 100 others are of groups that go on in the block"
    assert found.table["reason"].iloc[-1] == why
    with pytest.raises(NotEnoughData, match="defects and good units known before it that share no order with"):
        rows_and_folds(made)
    moment = START + pd.Timedelta("30D")
    with pytest.raises(NotEnoughData, match="0 defects among 0 units that share no order with those to be judged were"):
        _as_known_at(moment, made, "prevalence", made.X[made.points["cutoff"] > moment], set())
