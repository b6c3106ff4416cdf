import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_lists import put_list
from scipy.special import expit, logit

from qma_predict.errors import ModelError
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.trust import RiskRanges
from qma_predict.publish.models.model import Model
from qma_predict.publish.reaction import NOTHING, Reaction, Scorers, acting, read_shadow, shadow_bytes
from qma_predict.review.earlier import lists_before
from qma_predict.review.promises import COLUMNS
from qma_predict.review.reaction import level, reaction

FIRST = date(2026, 3, 2)
NO_PROMISES = pd.DataFrame(columns=list(COLUMNS))
QUIET = {"moved": 0.0, "why_moved": "", "ranking": "", "rule": "", "invalid": ""}


def model_of(version="3", **said):
    known = {
        "contestant": "boosted_trees",
        "is_recipe": True,
        "base_rate": 0.1,
        "finding": "",
        "baseline": "recent_rate",
    }
    as_of = datetime(2026, 3, 1, tzinfo=UTC)
    return Model(line="tiny", version=version, run_id="abc", as_of=as_of, **(known | said))


def units_of(night):
    return [f"{night}-{n}" for n in range(20)]


def defects_of(night, count):
    return units_of(night)[:count]


@pytest.fixture
def nights(tmp_path, make_history, tiny_line):
    """Return a function that publishes nights of twenty units and gives the reaction of the night after the last one.

    Each night has its number of defects, which are its first units; `model` and `rule` score the units by their place.
    """

    def make(defects, *, model, rule=None, version="3", said=(), now=None, promises=NO_PROMISES):
        folder, inspections = Path(tempfile.mkdtemp(dir=tmp_path)), []
        for n, count in enumerate(defects):
            day, units = FIRST + timedelta(days=n), units_of(n)
            X = pd.DataFrame({"place": np.arange(20.0)}, index=pd.Index(units, name="unit_id"))
            scorers = Scorers(lambda X: model(X["place"]), rule and (lambda X: rule(X["place"])))
            scores = dict(zip(units, model(X["place"]), strict=True))
            reacted = QUIET | (dict(said[n]) if n < len(said) else {})
            by = version[n] if isinstance(version, list) else version
            facts = {"reaction": reacted, "model": {"version": by}}
            more = {"shadow.parquet": shadow_bytes(X, scorers)}
            put_list(folder, tiny_line, day, scores, facts=facts, more=more)
            inspections += [
                {"unit_id": unit, "gate": "final", "characteristic": one, "occurred_at": f"{day} 12:00",
                 "passed": not (unit in defects_of(n, count) and one == "leak")}
                for unit in units
                for one in ("leak", "size")
            ]  # fmt: skip
        after = FIRST + timedelta(days=len(defects) + 6)  # all labels are mature
        history = make_history({"inspections": inspections}, as_of=pd.Timestamp(tiny_line.as_of(after)))
        lists = lists_before(folder, tiny_line, history.as_of.to_pydatetime())
        newest = version[-1] if isinstance(version, list) else version
        return reaction(lists, history, tiny_line, now or model_of(newest), promises)

    return make


def even(chance):
    return lambda place: np.full(len(place), chance)


def test_a_night_after_lists_that_were_as_they_said_does_nothing(nights):
    assert nights([2] * 12, model=even(0.1)) == NOTHING


def test_without_earlier_lists_nothing_is_done(nights):
    assert nights([], model=even(0.1)) == NOTHING


def test_risks_are_moved_to_the_level_that_came(nights):
    found = nights([6] * 12, model=even(0.1))  # 72 defects where 24 were promised
    assert found.moved == pytest.approx(np.log(0.266 / 0.734) - np.log(0.1 / 0.9), abs=0.01)  # 24 (72+5) / (24+5) / 240
    assert found.why_moved.startswith("The defect rate has moved: 72 defects where 24.0 were expected")
    assert (found.ranking, found.rule) == ("", "")
    assert found.reasons == (found.why_moved,)


def test_what_is_promised_follows_what_the_own_lists_found(nights):
    # the backtest said: as promised, give or take; ten uneven nights found nearly twice as much
    spread = PromiseSpread((-0.5, 0.0, 0.5), (0.25, 0.5, 0.25), level=(0.0, 0.3), between=(0.2, 0.1))
    found = nights([8, 0, 6, 1, 4, 0, 7, 1, 6, 2], model=even(0.1), now=model_of(spread=spread))
    assert (found.moved, found.ranking, found.rule) == (0.0, "", "")
    assert (found.spread.nights, found.spread.checked, found.spread.found) == (10, 200, 35)
    assert 0.2 < found.spread.level[0] < 0.7  # log(35 / 20) is 0.56
    scores = [0.1] * 20
    assert found.spread.interval(scores).expected > 1.2 * spread.interval(scores).expected
    listed, _ = acting(found, model_of(spread=spread), Scorers(even(0.1)))
    assert listed.spread == found.spread
    assert nights([8, 0] * 5, model=even(0.1), version="2", now=model_of(spread=spread)).spread is None


def test_too_few_nights_move_nothing(nights):
    assert nights([6] * 4, model=even(0.1)) == NOTHING


def test_what_a_single_bad_night_did_moves_no_level():
    units = pd.DataFrame({"night": np.repeat(range(10), 100), "model": 0.02, "label": 0.0, "weight": 1.0})
    units.loc[units["night"] == 3, "label"] = 1.0  # 100 defects where 20 were promised
    assert level(units) is None
    units["label"] = np.tile([1.0] * 10 + [0.0] * 90, 10)  # as many, ten a night
    assert level(units).ratio == pytest.approx(5.0)


def test_a_model_of_all_units_is_judged_by_weighted_ones():
    # of a hundred units a night ten are suspicious, all inspected and two of them defect, and one in nine of the others
    night = pd.DataFrame({"label": [1.0] * 2 + [0.0] * 8 + [0.0] * 10, "weight": [1.0] * 10 + [9.0] * 10})
    units = pd.concat([night.assign(night=n, model=0.02) for n in range(30)])
    assert level(units) is None
    assert level(units.assign(weight=1.0)).ratio > 3


def test_lists_of_another_version_move_nothing(nights):
    assert nights([6] * 12, model=even(0.1), version="2", now=model_of("3")) == NOTHING


def promised(verdicts):
    rows = [{"business_date": FIRST + timedelta(days=n), "verdict": verdict} for n, verdict in enumerate(verdicts)]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def test_promises_that_stay_broken_after_the_level_was_moved_leave_a_ranking(nights):
    moved = [{"moved": 1.2}] * 12
    told = nights([2] * 12, model=even(0.1), said=moved, promises=promised(["broken"] * 4 + ["kept"] * 8))
    assert told.ranking == ""  # 4 of 12 are broken by chance in 26 of 1000 cases
    told = nights([2] * 12, model=even(0.1), said=moved, promises=promised(["broken"] * 5 + ["kept"] * 7))
    assert told.ranking == "5 of 12 promises were broken after the level of the risks had been moved"


def test_promises_that_stay_broken_though_the_level_is_right_leave_a_ranking(nights):
    broken = promised(["broken"] * 5 + ["kept"] * 7)
    assert nights([2] * 12, model=even(0.1), promises=broken).ranking.startswith("5 of 12 promises were broken though")
    assert nights([6] * 12, model=even(0.1), promises=broken).ranking == ""  # the level is moved first


def test_promises_that_were_broken_before_the_level_was_moved_do_not_count(nights):
    said = [{}] * 6 + [{"moved": 1.2}] * 6
    assert nights([2] * 12, model=even(0.1), said=said, promises=promised(["broken"] * 6 + ["kept"] * 6)).ranking == ""


def test_a_ranking_stays_one_until_a_newer_version_takes_over(nights):
    said = [{"ranking": "5 of 12 promises were broken"}] * 12
    assert nights([2] * 12, model=even(0.1), said=said).ranking == "5 of 12 promises were broken"
    assert nights([2] * 12, model=even(0.1), said=said, now=model_of("4")).ranking == ""


def down(place):
    """Puts the defects last."""
    return 0.05 + np.asarray(place) / 200


def up(place):
    """Puts the defects first."""
    return 0.15 - np.asarray(place) / 200


def second_first(place):
    """Puts the second unit first."""
    return np.where(np.asarray(place) == 1.0, 0.3, up(place))


def test_a_model_shown_to_be_worse_than_the_rule_gives_its_place_to_it(nights):
    found = nights([2] * 12, model=down, rule=up)
    assert found.rule.startswith("shown to be worse than the simple rule. boosted_trees: average precision")
    assert found.reasons == ()


def test_one_look_of_many_that_shows_a_model_worse_does_not_cost_it_its_place(nights):
    # on five nights of 24 the only defect is the rule's first and the model's second: at 95 % that is worse
    alone = {5, 13, 14, 17, 22}
    seldom = nights([1 if night in alone else 2 for night in range(24)], model=second_first, rule=up)
    assert seldom.rule == ""
    often = nights([1, 1, 2] * 5, model=second_first, rule=up)
    assert often.rule.startswith("shown to be worse than the simple rule.")


def test_a_model_that_is_better_than_the_rule_or_alike_stays(nights):
    assert nights([2] * 12, model=up, rule=down).rule == ""
    assert nights([2] * 12, model=up, rule=up).rule == ""


def test_a_model_that_fell_comes_back_when_it_was_better_on_the_nights_since(nights):
    said = [{}] * 2 + [{"rule": "shown to be worse"}] * 12
    assert nights([2] * 14, model=up, rule=down, said=said).rule == ""
    still = "since 2026-03-04 the model has not been shown to be better than the simple rule again"
    assert nights([2] * 14, model=up, rule=up, said=said).rule == still


def test_a_newer_version_is_not_judged_by_the_nights_of_another(nights):
    said = [{"rule": "shown to be worse"}] * 12
    assert nights([2] * 12, model=down, rule=up, said=said, now=model_of("4")).rule == ""
    assert nights([2] * 12, model=down, rule=up, now=model_of("4")).rule == ""


def test_a_model_that_fell_does_not_come_back_by_a_night_of_another(nights):
    said = [{"rule": "shown to be worse"}] * 12 + [{"instead": "damaged"}]
    found = nights([2] * 13, model=up, rule=up, said=said, version=["3"] * 12 + ["2"], now=model_of("3"))
    assert found.rule.startswith("since 2026-03-02 the model has not been shown to be better")


def test_the_model_makes_the_list_at_the_level_that_it_was_moved_to():
    model, predict = acting(Reaction(moved=np.log(2.0)), model_of(), Scorers(even(0.5)))
    assert predict([1.0]) == pytest.approx([2 / 3])
    # twice the odds: 1 in 10 defects becomes 2 in 11, and so do the ends of a risk's range
    assert model == replace(model_of(), base_rate=pytest.approx(2 / 11))
    ranges = RiskRanges((0.5,), (0.25,), (0.75,))
    told, _ = acting(Reaction(moved=np.log(2.0)), model_of(ranges=ranges), Scorers(even(0.5)))
    assert np.concatenate(told.ranges.at([2 / 3])) == pytest.approx([0.4, 6 / 7])


def test_a_level_that_the_backtest_taught_and_the_lists_confirm_counts_once(nights):
    # all probabilities are twice too high, as the backtest said: the level is moved, and less than that is promised
    spread = PromiseSpread((-0.8,), (1.0,), level=(-0.8, 0.2), between=(0.1, 0.1))
    found = nights([2] * 30, model=even(0.2), now=model_of(spread=spread))
    assert found.moved == pytest.approx(np.log(1 / 9) - np.log(1 / 4), abs=0.1)
    model, predict = acting(found, model_of(spread=spread), Scorers(even(0.2)))
    assert model.spread.interval(predict([1.0] * 20)).expected == pytest.approx(2.0, abs=0.2)
    # right after the move nothing is known yet of lists of this level
    first = spread.without_level()
    assert first.interval(expit(logit([0.2] * 20) - 0.8)).expected == spread.interval([0.2] * 20).expected


def test_the_rule_that_stands_in_promises_nothing():
    model, predict = acting(Reaction(rule="worse"), model_of(), Scorers(even(0.5), even(0.1)))
    assert predict([1.0]) == pytest.approx([0.1])
    assert (model.contestant, model.is_recipe, model.finding) == ("recent_rate", False, "worse")
    assert model.ranking == "the simple rule stands in for the model"


def test_without_a_rule_that_could_stand_in_there_is_no_list():
    with pytest.raises(ModelError, match=r"v3 has no simple rule that could stand in \(damaged\)"):
        acting(Reaction(invalid="damaged"), model_of(), Scorers(None))


def test_a_list_keeps_what_everybody_would_have_scored(tmp_path):
    X = pd.DataFrame({"place": [0.0, 1.0]}, index=pd.Index(["a", "b"], name="unit_id"))
    (tmp_path / "shadow.parquet").write_bytes(shadow_bytes(X, Scorers(even(0.25), None, even(0.5))))
    rows = read_shadow(tmp_path)
    assert rows.to_dict("list") | {"rule": rows["rule"].isna().tolist()} == {
        "unit_id": ["a", "b"], "model": [0.25, 0.25], "rule": [True, True], "challenger": [0.5, 0.5]
    }  # fmt: skip
