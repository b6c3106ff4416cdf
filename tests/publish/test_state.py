from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qma_predict.publish.models.model import Model
from qma_predict.publish.state import cautions, state_of

AS_OF = pd.Timestamp("2026-03-03 04:00", tz="UTC")
FRESH = {"visits": AS_OF.to_pydatetime(), "readings": AS_OF.to_pydatetime()}
READINGS = ["press.force.last", "press.force.mean", "press.speed.last", "oven.heat.last"]


@pytest.fixture
def model():
    return Model("tiny", "3", "abc", "boosted_trees", True, AS_OF.to_pydatetime(), 0.02, "boosted_trees: better")


@pytest.fixture
def siblings():
    """Ten good units of product A that three sensors told four numbers of."""
    return pd.DataFrame({name: [1.0] * 10 for name in READINGS} | {"unit.product": ["A"] * 10})


@pytest.fixture
def state(make_history, tiny_line, model, siblings):
    """Return a function that gives state and reasons of features and verdicts of earlier lists, newest first."""
    history = make_history({}, as_of=AS_OF)

    def make(X=None, verdicts=(), *, good=siblings, by="v3", line=tiny_line, model=model, **more):
        told = {"fresh": FRESH, "X": good if X is None else X, "siblings": good} | more
        promises = pd.DataFrame({"verdict": [*verdicts], "model": by}, dtype="str")
        return state_of(history, line, model, promises=promises, **told)

    return make


def units(count, **columns):
    """Units of product A of which everything is known but what the columns say otherwise."""
    known = dict.fromkeys(READINGS, 1.0) | {"unit.product": "A"} | columns
    return pd.DataFrame(known, index=pd.Index([f"u{n}" for n in range(count)], name="unit_id"))


def test_with_every_sensor_and_every_promise_kept_a_list_is_ok(state):
    assert state(units(4), ["kept"] * 30) == ("OK", ())


def test_sensors_that_most_units_lack_are_counted_and_named_once_each(state):
    some = [None, None, None, 1.0]  # 3 of 4 units lack it
    missing = units(4, **{"press.force.last": some, "press.force.mean": None, "oven.heat.last": [None, None, 1.0, 1.0]})
    reason = "1 of 3 sensors are missing for most units: press.force"  # of the heat no more than half are missing
    assert state(missing) == ("DEGRADED", (reason,))


def test_a_sensor_that_is_no_column_tonight_is_missing(state):
    reason = "2 of 3 sensors are missing for most units: oven.heat, press.speed"
    assert state(units(4).drop(columns=["press.speed.last", "oven.heat.last"])) == ("DEGRADED", (reason,))


def test_of_many_missing_sensors_four_are_named(state):
    good = pd.DataFrame({f"oven.t{n}.last": [1.0] * 10 for n in range(6)})
    reason = "6 of 6 sensors are missing for most units: oven.t0, oven.t1, oven.t2, oven.t3 and 2 more"
    assert state(units(4)[["unit.product"]], good=good) == ("DEGRADED", (reason,))


@pytest.mark.parametrize(("known", "expected"), [(4, "OK"), (6, "DEGRADED")])
def test_what_good_units_lack_as_well_is_not_missed(state, siblings, known, expected):
    # tonight nobody has it: of 10 good units 6 lack it (0.4 more than they), or 4 (0.6 more)
    good = siblings.assign(**{"oven.heat.last": [1.0] * known + [None] * (10 - known)})
    assert state(units(4, **{"oven.heat.last": float("nan")}), good=good)[0] == expected


def test_without_scored_units_no_sensor_is_missed(state):
    assert state(units(4).head(0)) == ("OK", ())


@pytest.mark.parametrize(
    ("broken", "told", "enough"),
    [
        # right promises of nine in ten break 3 or more of 5 with probability 0.0086, 2 or more with 0.081
        (3, 5, True),
        (2, 5, False),
        # of 30, 8 or more with 0.0078, 7 or more with 0.026
        (8, 30, True),
        (7, 30, False),
        (1, 1, False),
    ],
)
def test_promises_broken_more_often_than_chance_makes_them_degrade_the_list(state, broken, told, enough):
    verdicts = ["broken"] * broken + ["kept"] * (told - broken) + ["not enough yet"] * 9
    reason = (
        f"{broken} of the last {told} promises of this model that can be judged were broken: take the risks as a "
        "ranking"
    )
    assert state(verdicts=verdicts) == (("DEGRADED", (reason,)) if enough else ("OK", ()))


def test_promises_that_another_model_broke_do_not_degrade_the_list(state):
    assert state(verdicts=["broken"] * 30, by="v2") == ("OK", ())
    assert state(verdicts=["broken"] * 30, by="v3 of another home") == ("OK", ())
    newer = ["v3"] * 12 + ["v2"] * 12
    assert state(verdicts=["kept"] * 12 + ["broken"] * 12, by=newer) == ("OK", ())
    assert state(verdicts=["broken"] * 12 + ["kept"] * 12, by=newer)[0] == "DEGRADED"


def test_a_list_that_most_candidates_are_missing_from_is_degraded(state):
    assert state(units(4), not_scored=4) == ("OK", ())
    reason = "1,000 of 1,004 candidates are not scored: no reading of them was known"
    assert state(units(4), not_scored=1000) == ("DEGRADED", (reason,))
    assert state(units(1).head(0), not_scored=1)[1] == (
        "1 of 1 candidates are not scored: no reading of them was known",
    )


def test_features_that_tell_of_no_sensor_are_named_as_what_they_are(state, learning):
    line = learning("readings", "recent", "times")
    rates = {f"{of}.defect_rate": 0.1 for of in ("press.machine", "unit.product")} | {"oven.stay": 5.0}
    good = pd.DataFrame(dict.fromkeys(READINGS, 1.0) | rates | {"unit.product": "A"}, index=range(10))
    X = units(4, **(rates | dict.fromkeys(["press.machine.defect_rate", "unit.product.defect_rate"])))
    reason = (
        "2 of 3 features other than readings are missing for most units: press.machine.defect_rate, "
        "unit.product.defect_rate"
    )
    assert state(X, good=good, line=line) == ("DEGRADED", (reason,))
    both = state(X.drop(columns="oven.heat.last"), good=good, line=line)
    assert both[1] == ("1 of 3 sensors are missing for most units: oven.heat", reason)


def test_a_model_of_another_gate_or_of_other_characteristics_degrades_the_list(state, model, tiny_line):
    same = replace(model, gate="final", characteristics=("size", "leak"))
    assert state(model=same) == ("OK", ())
    reason = (
        "the model was trained for {then}, line.toml says leak, size at final: the risks are of {then} until it is "
        "trained again (qma train tiny)"
    )
    for other, then in (
        (replace(same, gate="final 2"), "size, leak at final 2"),
        (replace(same, characteristics=("leak",)), "leak at final"),
        (replace(same, characteristics=("leak", "size", "colour")), "leak, size, colour at final"),
    ):
        assert state(model=other) == ("DEGRADED", (reason.format(then=then),))


@pytest.fixture
def learning(tiny_line):
    """Return a function that gives the tiny line with these families."""
    return lambda *families: tiny_line.model_copy(
        update={"learning": tiny_line.learning.model_copy(update={"families": families})}
    )


SENSORS = [f"press.force.{name}" for name in ("last", "mean", "spread", "slope")] + [
    f"oven.heat{n}.last" for n in "123"
]


def test_a_unit_of_which_half_of_the_sensors_are_silent_is_marked(tiny_line):
    good = pd.DataFrame(1.0, range(10), SENSORS)
    X = pd.DataFrame(1.0, ["u0", "u1", "u2", "u3"], SENSORS)
    X.loc["u1", SENSORS[4:6]] = None
    X.loc["u2", SENSORS[:4]] = None  # one of four sensors, four of seven features
    X.loc["u3", [*SENSORS[:3], *SENSORS[4:6]]] = None
    assert cautions(X, good, tiny_line).dropna().to_dict() == dict.fromkeys(["u1", "u3"], "2 of 4 sensors are silent")


def test_what_is_no_sensor_does_not_make_the_silent_ones_fewer(learning):
    rest = dict.fromkeys(["oven.stay", "press.machine.defect_rate", "unit.product.inspected", "calendar.hour"], 1.0)
    good = pd.DataFrame({"press.force.last": 1.0, "oven.heat.last": 1.0, "unit.product": "A"} | rest, range(10))
    X = good.head(2).assign(**{"oven.heat.last": [1.0, None], "unit.product": ["A", "B"]})
    told = cautions(X, good, learning("readings", "times", "recent", "calendar"))
    assert told.dropna().tolist() == ["1 of 2 sensors are silent; B is new"]


def test_without_scored_units_there_is_no_caution(siblings, tiny_line):
    assert cautions(units(1).head(0), siblings, tiny_line).empty


def test_sensors_that_one_good_unit_in_five_lacks_do_not_count(tiny_line):
    good = pd.DataFrame(1.0, range(10), SENSORS).assign(**{SENSORS[6]: [1.0] * 8 + [None] * 2})
    X = pd.DataFrame(1.0, ["u0"], SENSORS).assign(**dict.fromkeys(SENSORS[5:], np.nan))  # one of the three that count
    assert cautions(X, good, tiny_line).isna().all()
    X[SENSORS[4]] = np.nan
    assert cautions(X, good, tiny_line).tolist() == ["2 of 3 sensors are silent"]


def test_a_machine_that_good_units_never_saw_is_new_and_a_missing_one_is_not(siblings, tiny_line):
    good = siblings.assign(**{"press.machine": "P1"})
    X = units(3, **{"press.machine": ["P1", "P2", None]})
    assert cautions(X, good, tiny_line).dropna().to_dict() == {"u1": "P2 is new"}


def test_a_text_that_is_new_with_each_lot_is_no_caution(siblings, tiny_line):
    good = siblings.assign(**{"press.lot": [f"L{n}" for n in range(10)]})
    assert cautions(units(1, **{"press.lot": "L99"}), good, tiny_line).isna().all()
