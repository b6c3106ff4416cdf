"""The search, on a line of 110 days whose defects depend on two tags, and whose rows all can be changed."""

import itertools
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dask.distributed import Client, LocalCluster
from joblib import Parallel, parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from pipelines import report
from qma_predict.data.contract import TABLES
from qma_predict.data.lake import SCHEMAS, Lake
from qma_predict.errors import LineError, NotEnoughData
from qma_predict.learn import trials
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.search import _batches, _batches_in, _should_take, _too_short, before_backtest, search
from qma_predict.learn.training import recipe_of, train
from qma_predict.learn.trials import Fold, Trial, _losses, judge, prune, rows_and_folds, rungs
from qma_predict.line import load_line

FIRST = pd.Timestamp("2026-01-05 06:00", tz="UTC")
DAYS, A_DAY = 110, 12
NOW = FIRST + pd.Timedelta(days=DAYS)
LOGISTIC = "sklearn.linear_model.LogisticRegression"
C = "LogisticRegression__classify__C"


def tables(spoilt_after=None):
    """Twelve units a day, inspected a day later; what was recorded after a moment can be spoilt."""
    rng = np.random.default_rng(4)
    units = [f"u{number:04d}" for number in range(DAYS * A_DAY)]
    done = pd.Series([FIRST + pd.Timedelta(hours=2 * number) for number in range(len(units))])
    heat, force = rng.normal(size=(2, len(units)))
    defect = rng.random(len(units)) < 1 / (1 + np.exp(2.2 - 1.5 * heat - force))
    inspected = done + pd.Timedelta(days=1)
    if spoilt_after is not None:
        heat = np.where(done > spoilt_after, 99.0, heat)
        defect = np.where(inspected > spoilt_after, ~defect, defect)
    visits = {"unit_id": units, "station": "oven", "machine": "O1", "started_at": done, "ended_at": done}
    reading = {"unit_id": units, "station": "oven", "occurred_at": done}
    result = {"unit_id": units, "gate": "final", "occurred_at": inspected, "passed": ~defect}
    return {
        "visits": pd.DataFrame(visits),
        "readings": pd.concat(
            [pd.DataFrame(reading | {"tag": tag, "value": value}) for tag, value in (("heat", heat), ("force", force))]
        ),
        "inspections": pd.concat([pd.DataFrame(result | {"characteristic": name}) for name in ("leak", "size")]),
    }


def history(tables, folder):
    """The rows as known now, each recorded when it happened."""
    lake = Lake(folder)
    for name, rows in tables.items():
        rows = rows.rename(columns={"ended_at": "occurred_at"}) if name == "visits" else rows
        rows = rows.assign(recorded_at=rows["occurred_at"], ingested_at=NOW, ended_at=rows["occurred_at"])
        rows = rows.reindex(columns=SCHEMAS[name].names)
        texts = [column for column in TABLES[name].key if pa.types.is_string(SCHEMAS[name].field(column).type)]
        lake.append(name, rows.assign(**{column: rows[column].astype("str").fillna("") for column in texts}))
    return lake.at(NOW)


def with_learning(line, **changed):
    return line.model_copy(update={"learning": line.learning.model_copy(update={"recipe": LOGISTIC, **changed})})


@pytest.fixture(scope="module")
def line(tiny_line):
    return with_learning(tiny_line)


@pytest.fixture(scope="module")
def whole(line, tmp_path_factory):
    return make_dataset(history(tables(), tmp_path_factory.mktemp("lake")), line)


@pytest.fixture(scope="module")
def earlier(whole):
    return before_backtest(whole)


@pytest.fixture(scope="module")
def done(earlier):
    return search(earlier, trials=10, n_jobs=1)


def found(dataset, trials=10, **changed):
    return search(replace(dataset, line=with_learning(dataset.line, **changed)), trials=trials, n_jobs=1)


def without_seconds(search):
    return search.trials.drop(columns="seconds")


def test_the_search_ends_where_the_first_judged_block_begins(whole, earlier):
    blocks = train(whole).backtest.table
    assert earlier.history.as_of == blocks["origin"].min()
    assert earlier.points["cutoff"].max() <= blocks["origin"].min()
    known = earlier.points["cutoff"][earlier.y.notna()]
    assert known.max() <= blocks["origin"].min() - pd.Timedelta("5D")  # the gate's maturity
    assert len(known) > 400


def test_no_row_and_no_label_from_after_the_first_judged_block_begins_reaches_the_search(
    whole, earlier, line, tmp_path
):
    spoilt = make_dataset(history(tables(earlier.history.as_of), tmp_path), line)
    assert spoilt.identity["digest"] != whole.identity["digest"]
    again = before_backtest(spoilt)
    assert again.identity == earlier.identity
    pd.testing.assert_frame_equal(without_seconds(found(again, 2)), without_seconds(found(earlier, 2)))


def test_candidates_learn_only_from_what_was_known_when_a_fold_began(earlier):
    X, folds = rows_and_folds(earlier)
    cutoff = earlier.points["cutoff"][X.index]
    assert [fold.number for fold in folds] == [4, 3, 2, 1]
    assert cutoff.is_monotonic_increasing
    for newer, older in itertools.pairwise(folds):
        assert cutoff.iloc[older.judged].max() < cutoff.iloc[newer.judged].min()
    for fold in folds:
        assert cutoff.iloc[fold.train].max() <= cutoff.iloc[fold.judged].min() - pd.Timedelta("5D")
        assert np.array_equal(fold.outcome, earlier.y[X.index[fold.judged]])
    middle = cutoff.min() + (cutoff.max() - cutoff.min()) / 2
    assert cutoff.iloc[folds[-1].judged].min() - middle <= pd.Timedelta("2h")


def test_what_is_known_only_after_the_inspection_is_left_out_though_all_labelled_units_have_it(earlier):
    rng = np.random.default_rng(0)
    y = earlier.y.where(rng.random(len(earlier.y)) < 0.5)
    bench = pd.Series(rng.normal(size=len(y)), index=y.index).where(y.notna())
    leaking = replace(earlier, y=y, X=earlier.X.assign(**{"gate.bench.last": bench.astype("float32")}))
    assert set(rows_and_folds(leaking)[0].columns) == set(earlier.X.columns)
    not_yet = with_learning(earlier.line, keep=("gate.bench.last", "a feature of later units"))
    kept = rows_and_folds(replace(leaking, line=not_yet))[0]
    assert set(kept.columns) == {*earlier.X.columns, "gate.bench.last"}


def test_units_that_stand_for_many_count_as_many_if_the_recipe_learns_with_that():
    rows = np.arange(4)
    y, weight = np.array([1, 0, 0, 1]), np.array([1.0, 3.0, 1.0, 3.0])
    fold = Fold(1, rows, y, weight, rows, y.astype(float), rows, weight)
    X, told = pd.DataFrame({"x": rows}), []
    for recipe in (DummyClassifier(), OneThread()):
        trial = Trial({})
        judge(Parallel(n_jobs=1), recipe, X, [fold], [trial])
        told.append(trial.losses[0])
    # learnt with weights: 4 of 8 are defect; each loses log 2, times 1 or 3 divided by their mean of 2
    assert told[0] == pytest.approx(np.log(2) * weight / 2)
    assert told[1].tolist() == [told[1][0], told[1][1], told[1][1], told[1][0]]  # takes no weights


def test_a_value_of_nothing_that_the_line_has_is_judged_and_others_are_tried(earlier):
    done = found(earlier, 2, parameters={"strength": 0.0})
    assert done.trials["strength"].tolist()[0] == 0.0
    assert (done.trials["strength"].iloc[1:] >= 1.0).all()


def test_the_same_seed_and_number_of_trials_give_the_same_result_and_another_seed_another(earlier, done):
    first, second, other = done, found(earlier), found(earlier, 2, seed=1)
    pd.testing.assert_frame_equal(without_seconds(first), without_seconds(second))
    assert (first.sentence, first.best, first.parameters) == (second.sentence, second.best, second.parameters)
    assert first.trials[C].tolist()[1:3] != other.trials[C].tolist()[1:3]
    assert first.trials["trial"].tolist() == list(range(11))


def test_a_cluster_of_dask_carries_the_fits_and_gives_the_same_result(earlier, done):
    cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None)
    with cluster, Client(cluster), parallel_config("dask"):
        spread = search(earlier, trials=10)
        fits = int(spread.trials["folds"].sum())
        assert cluster.scheduler.transition_counter >= fits
    pd.testing.assert_frame_equal(without_seconds(spread), without_seconds(done))
    pd.testing.assert_frame_equal(spread.folds, done.folds)
    assert spread.sentence == done.sentence


def test_what_the_line_has_is_trial_0_and_stays_unless_another_is_better_by_more_than_chance(done):
    assert done.trials.loc[0, ["state", C, "strength"]].tolist() == ["in use", 1.0, 20.0]
    assert not done.better
    assert done.parameters == {}
    assert done.sentence.endswith("keep what the line has")
    assert "line.toml" not in report.of_search(done)


def test_parameters_that_are_better_than_those_of_the_line_can_be_written_into_it(earlier, tmp_path):
    better = found(earlier, parameters={C: 1e-6, "strength": 30})
    assert better.trials.loc[0, [C, "strength"]].tolist() == [1e-6, 30.0]
    assert better.better
    assert better.parameters == better.best
    assert better.parameters[C] > 1e-4
    assert "better (lower by" in better.sentence
    said = report.of_search(better).splitlines()
    assert said[0].startswith("10 trials, ")
    assert said[-2] == "For line.toml, under [learning]:"
    learning = f"learning = {{ recipe = '{LOGISTIC}', {said[-1]}, "
    text = Path(earlier.line.file).read_text().replace("learning = { ", learning)
    (tmp_path / "line.toml").write_text(text)
    recipe = recipe_of(load_line(tmp_path))
    assert {name: recipe.get_params()[name] for name in better.best} == better.best


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"LogisticRegression__classify__D": 1.0}, f"has no parameter 'LogisticRegression__classify__D'.* {C}"),
        ({C: "much"}, "found 'much'; expected a number, such as 1.0"),
        ({"random_state": 1}, "found random_state, expected learning.recipe and .seed"),
    ],
)
def test_parameters_that_the_recipe_does_not_have_are_named(line, parameters, message):
    with pytest.raises(LineError, match=f"line.toml: learning.*{message}"):
        recipe_of(with_learning(line, parameters=parameters))


def test_trials_are_pruned_by_fold_and_the_table_says_on_how_many_they_were_judged(done):
    pruned = done.trials[done.trials["state"] == "pruned"]
    assert 0 < len(pruned) < 10
    assert set(pruned["folds"]) <= {1, 2}
    assert set(done.trials.loc[done.trials["state"] != "pruned", "folds"]) == {4}
    judged = done.folds.groupby("trial")["fold"].agg(list)
    assert judged[0] == [1, 2, 3, 4]
    assert all(judged[trial] in ([4], [3, 4]) for trial in pruned["trial"])
    # the loss of a trial is the mean over its units
    of_best = done.folds[done.folds["trial"] == 0]
    assert np.average(of_best["log_loss"], weights=of_best["units"]) == pytest.approx(done.trials["log_loss"][0])


def test_who_is_worse_than_the_median_on_the_same_folds_is_pruned():
    def trial(*losses):
        return Trial({}, losses=[np.array([loss]) for loss in losses])

    finished, dropped = trial(0.2, 0.9, 0.9), trial(0.8)
    batch = [trial(0.1), trial(0.3), trial(0.4)]
    prune(batch, [finished, dropped, *batch], 1)  # of 0.2, 0.8, 0.1, 0.3, 0.4 the median is 0.3
    assert [one.state for one in batch] == ["complete", "complete", "pruned"]


def test_a_line_of_progress_a_trial(earlier, caplog):
    with caplog.at_level(logging.INFO, logger="qma_predict.learn.search"):
        search(earlier, trials=2, n_jobs=1)
    lines = [record.getMessage() for record in caplog.records if record.name == "qma_predict.learn.search"]
    assert [line.split(":")[0] for line in lines] == ["trial 0", "trial 1", "trial 2"]
    assert "on 4 of 4 folds (in use)" in lines[0]


def test_without_time_what_the_line_has_is_judged_alone_and_how_long_it_takes_is_told(earlier):
    done = search(earlier, minutes=0, n_jobs=1)
    assert done.trials["state"].tolist() == ["in use"]
    assert not done.better
    told = done.sentence.split(" with the parameters that the line has; ")[1]
    assert re.fullmatch(
        r"no candidate could be tried in 0 minutes: judging these took [\d.]+ minutes?, and one takes about [\d.]+ "
        r"minutes?\. Search for \d+ minutes? or more \(--minutes\), enough for 8; until then, keep what the line has",
        told,
    )
    first, loss, _, _, last = report.of_search(done).splitlines()
    assert first == "No candidate was tried. What the line has:"
    assert loss.startswith("  log loss ")
    assert last == done.sentence


def test_a_search_says_what_time_would_do_where_there_was_too_little():
    said = _too_short(10, 480, _should_take([120.0] * 4, 2))
    assert said.startswith("no candidate could be tried in 10 minutes: judging these took 8 minutes, and one takes")
    # 1 + 1 + 1 rounds of 2 minutes for one; 4 + 4 + 8 for 8, which with the first 8 minutes and a tenth more are 44
    assert "one takes about 6 minutes. Search for 44 minutes or more (--minutes), enough for 8;" in said


def test_no_number_of_trials_below_one_is_searched(earlier):
    with pytest.raises(ValueError, match="trials: found 0, expected 1 or more"):
        search(earlier, trials=0, n_jobs=1)


def test_a_batch_is_begun_only_if_it_should_end_in_time():
    assert _should_take([2.0] * 4, 2)[3] == 14.0  # 2, 2 and 3 rounds of 2 s: of 3, 3 and 6 fits by two workers
    assert _should_take([2.0] * 4, 1)[3] == 24.0
    assert _should_take([3.0, 2.0, 1.0, 0.5], 32)[8] == 6.0  # all at once, but a step after the other: 3, 2 and 1 s
    assert _should_take([2.0], 32)[8] == 2.0
    assert list(_batches_in(11.0, {1: 4.0, 2: 8.0, 8: 32.0})) == [2]
    assert list(_batches_in(3.0, {1: 4.0, 8: 32.0})) == []
    assert next(_batches_in(33.0, {1: 4.0, 8: 32.0})) == 8
    assert list(_batches(20)) == [8, 8, 4]


@pytest.mark.parametrize("workers", [1, 3, 32])
def test_what_a_batch_should_take_is_what_its_steps_take_that_wait_for_each_other(workers):
    fits, size, took = [4.0, 3.0, 2.0, 1.0], 8, 0.0
    for first, last in rungs(len(fits)):
        free = [0.0] * workers
        for fit in [fits[fold] for _ in range(size) for fold in range(first, last)]:
            free[free.index(min(free))] += fit
        took += max(free)
    assert took <= _should_take(fits, workers)[size] <= 1.4 * took


@pytest.fixture
def fit_fails(monkeypatch):
    """Makes fits raise at values of a parameter; what each fit would find is found else."""

    def fails(when, error):
        def fitted(recipe, X, fold):
            if when(recipe.get_params()[C]):
                raise error
            return losses(recipe, X, fold)

        losses = trials._losses
        monkeypatch.setattr(trials, "_losses", fitted)

    return fails


def test_a_candidate_that_cannot_be_fitted_has_failed_with_its_reason_and_the_search_goes_on(
    earlier, fit_fails, caplog
):
    fit_fails(lambda value: value > 1, ValueError("too far\nfrom here"))
    done = search(earlier, trials=10, n_jobs=1)
    failed = done.trials["state"] == "failed"
    assert (failed == (done.trials[C] > 1)).all()
    assert 0 < failed.sum() < 10
    assert (done.trials["reason"] == np.where(failed, "ValueError: too far\nfrom here", "")).all()
    assert done.trials.loc[failed, "folds"].eq(0).all()
    assert done.trials.loc[failed, "log_loss"].isna().all()
    said = f"{failed.sum()} of 10 could not be fitted, the first since ValueError: too far"
    assert done.sentence.endswith(said)
    assert re.match(rf"10 trials, \d+ of them pruned and {failed.sum()} failed; the best:", report.of_search(done))
    assert "nan" not in report.of_search(done)
    assert sum(" has failed, " in record.getMessage() for record in caplog.records) == failed.sum()


def test_a_search_ends_if_all_that_were_tried_have_failed(earlier, fit_fails):
    fit_fails(lambda value: value != 1, MemoryError("no room"))
    done = search(earlier, trials=20, n_jobs=1)
    assert done.trials["state"].tolist() == ["in use"] + ["failed"] * 8
    assert not done.better
    assert done.parameters == {}
    assert "; none of 8 others could be fitted: keep what the line has. 8 of 8 could" in done.sentence
    assert done.sentence.endswith("the first since MemoryError: no room")


def test_what_the_line_has_must_be_fitted(earlier, fit_fails):
    fit_fails(lambda value: value == 1, ValueError("too near"))
    with pytest.raises(ValueError, match="too near"):
        search(earlier, trials=10, n_jobs=1)


def test_an_interrupt_ends_the_search_with_the_batches_that_were_finished(earlier, done, monkeypatch):
    def interrupted(going_on, all_trials, folds):
        prune(going_on, all_trials, folds)
        if len(all_trials) > batches * 8 + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("qma_predict.learn.search.prune", interrupted)
    batches = 1
    ended = search(earlier, trials=10, n_jobs=1)
    pd.testing.assert_frame_equal(without_seconds(ended), without_seconds(done)[:9])
    pd.testing.assert_frame_equal(ended.folds, done.folds[done.folds["trial"] < 9])
    assert "8 others" in ended.sentence
    assert report.of_search(ended).endswith(". Interrupted: what was not finished is not counted")
    batches = 0
    with pytest.raises(KeyboardInterrupt):
        search(earlier, trials=10, n_jobs=1)


class OneThread(ClassifierMixin, BaseEstimator):
    """Says a sure defect if it was fitted with more than one thread."""

    def fit(self, X, y):
        np.ones((50, 50)) @ np.ones((50, 50))
        self.threads_ = max(pool["num_threads"] for pool in threadpool_info())
        return self

    def predict_proba(self, X):
        return np.tile([0.0, 1.0] if self.threads_ > 1 else [1.0, 0.0], (len(X), 1))


def test_a_fit_has_one_thread_however_many_run():
    rows = np.arange(4)
    X, fold = pd.DataFrame({"x": rows}), Fold(1, rows, rows % 2, None, rows, np.zeros(4), rows)
    trial = Trial({})
    with threadpool_limits(2):  # whatever the environment says
        judge(Parallel(n_jobs=2, backend="threading"), OneThread(), X, [fold, fold], [trial])
        alone, _ = _losses(OneThread(), X, fold)  # as in a process of its own
    assert all((losses < 0.01).all() for losses in [*trial.losses, alone])


def test_a_history_too_short_for_folds_says_so(line, tmp_path):
    with pytest.raises(NotEnoughData, match="line tiny: 0 units with a known label"):
        search(make_dataset(history({}, tmp_path / "empty"), line), trials=1, n_jobs=1)
    goods = tables()
    goods["inspections"]["passed"] = True
    with pytest.raises(NotEnoughData, match="none of 4 folds from .* has candidates, and defects and good units"):
        search(make_dataset(history(goods, tmp_path / "goods"), line), trials=1, n_jobs=1)
