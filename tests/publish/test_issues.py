from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.publish.issues.blast_radius import blast_radius, with_places
from qma_predict.publish.issues.excess import likelihood_ratio
from qma_predict.publish.issues.find import action_of, find_issues, recent, why_none
from qma_predict.publish.issues.groups import judged, laid_out

NIGHT = date(2026, 3, 12)
NIGHTS = 10
MORNING = pd.Timestamp("2026-03-12 00:00", tz="UTC")


def utc(text):
    return pd.Timestamp(text, tz="UTC")


def plant(tonight, units=40):
    """Ten nights and tonight, of `units` units on P1 and P2 in turn, a unit each 30 min; scores of past nights 0.01.

    `tonight` gives the score of a unit from its machine and its number.
    """
    rows = []
    for back in range(NIGHTS, -1, -1):
        for number in range(units):
            at = MORNING - timedelta(days=back) - timedelta(minutes=30 * (units - number))
            machine = f"P{number % 2 + 1}"
            score = 0.01 if back else tonight(machine, number)
            rows.append((f"n{back:02d}-{number:02d}", NIGHT - timedelta(days=back), score, machine, at, back))
    return pd.DataFrame(rows, columns=["unit_id", "night", "score", "machine", "at", "back"])


def frames(units, **more):
    """Candidates of tonight, conditions and past scores; `more` is further attributes: values by row."""
    values = {"press machine": units["machine"], "product": "A"} | more
    tidy = [
        pd.DataFrame({"unit_id": units["unit_id"], "attribute": name, "value": value, "occurred_at": units["at"]})
        for name, value in values.items()
    ]
    conditions = pd.concat(tidy, ignore_index=True).dropna(subset="value")
    scored = units[units["back"] == 0].rename(columns={"night": "first_night"})[["unit_id", "score", "first_night"]]
    return scored, conditions, units[units["back"] > 0][["unit_id", "night", "score"]]


def raised(machine, number):
    """From the 11th unit on, those of P2 have 0.3; the others are alike but for a little."""
    return 0.3 if machine == "P2" and number >= 10 else 0.01 + number / 10_000


def found(units, line, **more):
    features = {name: more.pop(name) for name in ("features", "siblings", "units_of_measure") if name in more}
    return find_issues(*frames(units, **more), line, NIGHT, **features)


def test_a_machine_with_more_risk_than_its_own_normal_is_an_issue(tiny_line):
    units = plant(raised)
    [issue] = found(units, tiny_line)
    assert issue.number == 1
    assert issue.conditions == (("press machine", "P2"),)
    assert issue.title == "press P2"
    assert issue.units == 15
    assert issue.unit_ids == tuple(f"n00-{number}" for number in range(11, 40, 2))
    assert issue.risk == issue.low == issue.high == pytest.approx(0.3)
    assert issue.normal == pytest.approx(0.01)
    assert issue.since == units.set_index("unit_id").loc["n00-11", "at"]
    assert issue.nights == 1
    assert issue.action == "hold"
    assert (issue.driver, issue.places) == ("", ())


def test_a_machine_that_always_has_this_risk_is_none(tiny_line):
    units = plant(raised)
    units.loc[units["machine"] == "P2", "score"] = 0.3
    assert found(units, tiny_line) == ()


def test_a_machine_of_few_expected_defects_is_an_issue_though_its_nights_differ(tiny_line):
    units = plant(lambda machine, number: 0.35 if machine == "P1" else 0.01 + number / 10_000)
    risky = [3, 0, 4, 1, 2, 4, 1, 5, 3, 2]  # units of P1 with 0.6, by night, and of P2 a night later
    for back, some in enumerate(risky, start=1):
        for machine, number in (("P1", some), ("P2", risky[back % 10])):
            its = units.index[(units["back"] == back) & (units["machine"] == machine)]
            units.loc[its[:number], "score"] = 0.6
    [issue] = found(units, tiny_line)
    assert (issue.title, issue.units, issue.risk) == ("press P1", 20, pytest.approx(0.35))
    assert 20 * issue.normal == pytest.approx(1.2, abs=0.1)


def test_a_night_like_the_others_has_no_issue(tiny_line):
    assert found(plant(lambda machine, number: 0.01), tiny_line) == ()


def test_less_than_twice_the_normal_or_one_more_defect_is_none(tiny_line):
    assert found(plant(lambda machine, number: 0.05 if machine == "P2" else 0.01), tiny_line) == ()  # 0.8 more
    units = plant(lambda machine, number: 0.39 if machine == "P2" else 0.2)
    units.loc[units["back"] > 0, "score"] = 0.2
    assert found(units, tiny_line) == ()  # 3.8 more, but 1.95 times


def test_two_risky_units_of_the_same_machine_are_chance(tiny_line):
    assert found(plant(lambda machine, number: 0.9 if number in (11, 21) else 0.01), tiny_line) == ()


def test_a_fresh_lot_is_compared_with_other_units_of_the_product(tiny_line):
    lots = [f"R-{back}" for back in range(NIGHTS, 0, -1) for _ in range(40)] + ["R-0"] * 20 + ["R-00"] * 20
    units = plant(lambda machine, number: 0.01 if number < 20 else 0.25)
    [issue] = found(units, tiny_line, **{"resin lot": lots})
    assert issue.conditions == (("resin lot", "R-00"),)
    assert issue.units == 20
    assert issue.normal == pytest.approx(0.01)


def test_of_a_machine_and_a_lot_the_pair_is_told_if_neither_is_raised_without_the_other(tiny_line):
    lots = [["R-1", "R-2"][number // 2 % 2] for _ in range(NIGHTS + 1) for number in range(80)]
    units = plant(lambda machine, number: 0.3 if machine == "P2" and number // 2 % 2 else 0.01, units=80)
    [issue] = found(units, tiny_line, **{"resin lot": lots})
    assert issue.conditions == (("press machine", "P2"), ("resin lot", "R-2"))
    assert issue.title == "press P2 · resin lot R-2"
    assert issue.units == 20


def test_of_groups_with_the_same_units_the_one_that_is_new_is_told(tiny_line):
    tools = [f"T{back > 0}" if number % 2 else None for back in range(NIGHTS, -1, -1) for number in range(40)]
    units = plant(lambda machine, number: 0.3 if machine == "P2" else 0.01)
    [issue] = found(units, tiny_line, **{"press tool": tools})
    assert issue.conditions == (("press tool", "TFalse"),)


def test_two_causes_are_two_issues_the_larger_first(tiny_line):
    lots = [f"R-{number // 4 % 2}" for _ in range(NIGHTS + 1) for number in range(80)]

    def both(machine, number):
        return 0.5 if machine == "P2" else 0.2 if number // 4 % 2 else 0.01

    units = plant(both, units=80)
    first, second = found(units, tiny_line, **{"resin lot": lots})
    at = units.set_index("unit_id")["at"]
    assert (first.number, first.conditions) == (1, (("press machine", "P2"),))
    assert second.number == 2
    assert ("resin lot", "R-1") in second.conditions
    assert not set(first.unit_ids) & set(second.unit_ids)
    of_p2 = [unit for unit in first.unit_ids if int(unit[-2:]) // 4 % 2 and at[unit] >= second.since]
    assert (first.beside, second.beside) == ((), ((1, len(of_p2)),))
    assert of_p2


def test_nights_in_a_row_are_counted_from_past_scores(tiny_line):
    units = plant(raised)
    earlier = units["back"].isin([1, 2, 4]) & (units["machine"] == "P2")
    units.loc[earlier, "score"] = 0.3
    [issue] = found(units, tiny_line)
    assert issue.nights == 3
    assert issue.normal == pytest.approx(0.01, abs=3e-4)  # its highest three nights of ten are no part of it


def test_units_that_wait_since_an_earlier_night_belong_to_the_issue(tiny_line):
    units = plant(lambda machine, number: 0.3 if machine == "P2" else 0.01)
    scored, conditions, past = frames(units)
    scored.loc[scored["unit_id"] < "n00-20", "first_night"] = NIGHT - timedelta(days=1)
    scored.loc[scored["unit_id"] < "n00-10", "first_night"] = NIGHT - timedelta(days=30)
    [issue] = find_issues(scored, conditions, past, tiny_line, NIGHT)
    assert issue.units == 20


def test_when_all_units_share_the_same_the_product_is_compared_with_its_nights(tiny_line):
    units = plant(lambda machine, number: 0.2)
    units["machine"] = "P1"
    assert found(units, tiny_line) == ()  # ten nights are no reference
    more = [units.assign(unit_id=f"{n}" + units["unit_id"], night=units["night"] - timedelta(days=11 * n),
                         at=units["at"] - timedelta(days=11 * n), back=units["back"] + 11 * n, score=0.01)
            for n in (1, 2)]  # fmt: skip
    units = pd.concat([*more, units], ignore_index=True)
    lots = np.where(units["back"] == 0, "R-new", "R-old")
    [issue] = found(units, tiny_line, **{"resin lot": lots})
    assert issue.conditions == (("resin lot", "R-new"),)
    assert issue.units == 40


def test_too_few_nights_say_so_and_make_no_issue(tiny_line):
    scored, conditions, past = frames(plant(raised))
    few = past[past["night"] >= NIGHT - timedelta(days=6)]
    assert why_none(few, NIGHT) == "not enough nights to know what is normal: 6 of 7"
    assert find_issues(scored, conditions, few, tiny_line, NIGHT) == ()
    enough = past[past["night"] >= NIGHT - timedelta(days=7)]
    assert why_none(enough, NIGHT) == ""
    assert len(find_issues(scored, conditions, enough, tiny_line, NIGHT)) == 1


def test_scores_of_tonight_or_later_and_of_long_ago_are_not_past(tiny_line):
    nights = [NIGHT + timedelta(days=days) for days in (-43, -42, -1, 0, 1)]
    past = pd.DataFrame({"unit_id": list("abcde"), "night": nights, "score": 0.1})
    assert recent(past, NIGHT)["unit_id"].tolist() == ["b", "c"]
    assert recent(past.assign(score=np.nan), NIGHT).empty


def test_without_candidates_scores_or_conditions_there_is_no_issue(tiny_line):
    scored, conditions, past = frames(plant(raised))
    assert find_issues(scored.head(0), conditions, past, tiny_line, NIGHT) == ()
    assert find_issues(scored.assign(score=np.nan), conditions, past, tiny_line, NIGHT) == ()
    assert find_issues(scored, conditions.head(0), past, tiny_line, NIGHT) == ()


def test_the_order_of_rows_changes_nothing(tiny_line):
    scored, conditions, past = frames(plant(raised))
    mixed = [frame.sample(frac=1, random_state=3) for frame in (scored, conditions, past)]
    assert find_issues(*mixed, tiny_line, NIGHT) == find_issues(scored, conditions, past, tiny_line, NIGHT)


def test_the_range_of_the_risk_is_that_of_its_units(tiny_line):
    scored, conditions, past = frames(plant(raised))
    [issue] = find_issues(scored.assign(risk_low=0.2, risk_high=0.4), conditions, past, tiny_line, NIGHT)
    assert (issue.low, issue.high) == (pytest.approx(0.2), pytest.approx(0.4))


def test_the_normal_of_a_group_leaves_its_highest_nights_out():
    units = plant(raised)
    units.loc[units["back"].isin([1, 2]), "score"] = 0.5
    scored, conditions, past = frames(units)
    rows = laid_out(scored, past, NIGHT)
    kinds, usual = judged(rows, conditions)
    assert [kind.attributes for kind, _ in kinds][:2] == [("product",), ("press machine",)]
    assert usual == pytest.approx(0.01)
    assert kinds[1][1].expected == pytest.approx(0.01)
    assert kinds[1][1].large.sum(axis=0).tolist() == [0] * 8 + [2, 2]


def test_a_units_first_past_night_counts_once():
    scored, _, past = frames(plant(raised))
    again = past[past["night"] == NIGHT - timedelta(days=2)].assign(night=NIGHT - timedelta(days=1), score=0.9)
    rows = laid_out(scored, pd.concat([again, past]), NIGHT)
    assert rows.attrs["tonight"] == NIGHTS
    assert rows.loc[rows["night"] < NIGHTS, "score"].max() == 0.01
    assert (rows["night"] >= NIGHTS).sum() == 40


def test_the_likelihood_ratio_prefers_more_extra_defects_at_the_same_ratio():
    low, high = likelihood_ratio(np.array([2.0, 20.0]), np.array([1.0, 10.0]))
    assert (low, high) == (pytest.approx(2 * np.log(2) - 1), pytest.approx(20 * np.log(2) - 10))


def sensors(units, line, heat):
    """Features of tonight's units and of 200 good ones: `press.heat.last` as given, `press.noise.last` the same."""
    tonight = units[units["back"] == 0]
    rng = np.random.default_rng(0)
    features = pd.DataFrame(
        {"press.heat.last": heat, "press.noise.last": rng.normal(size=len(tonight))},
        index=pd.Index(tonight["unit_id"], name="unit_id"),
    )
    good = pd.DataFrame({"press.heat.last": np.linspace(200, 210, 201), "press.noise.last": rng.normal(size=201)})
    [issue] = found(units, line, features=features, siblings=good, units_of_measure={"press.heat.last": "degC"})
    return issue


def test_the_driver_is_what_differs_most_from_good_units(tiny_line):
    issue = sensors(plant(raised), tiny_line, 205 + np.arange(40) * 0.4)
    # units 11, 13 .. 39 of P2: the median is of unit 25; in Berlin, an hour after UTC; unit 11 came 14.5 h before
    assert issue.driver == "press heat 215 degC, good parts 201-209, rising since Wed 11 Mar 10:30"
    assert issue.action == "hold"


def test_a_driver_far_beyond_what_good_units_ever_had_asks_for_the_sensor_first(tiny_line):
    issue = sensors(plant(raised), tiny_line, np.full(40, 190.0))
    # all of P2 tonight, also those before the issue began
    assert issue.driver == "press heat 190 degC, good parts 201-209, low since Wed 11 Mar 05:30"
    assert issue.action == "hold"  # one width of the good range away is at its edge, not beyond
    issue = sensors(plant(raised), tiny_line, np.full(40, 189.0))
    assert issue.action == "check sensor"


def test_no_driver_is_told_where_none_stands_out(tiny_line):
    issue = sensors(plant(raised), tiny_line, 200 + np.arange(40) % 10 * 1.0)
    assert issue.driver == ""


@pytest.mark.parametrize(
    ("risk", "normal", "nights", "action"),
    [
        (0.2, 0.19, 1, "hold"),
        (0.19, 0.038, 1, "check 100 %"),
        (0.19, 0.05, 2, "reinforced sampling"),
        (0.19, 0.05, 1, "watch"),
    ],
)
def test_the_action_follows_from_risk_ratio_and_nights(risk, normal, nights, action):
    assert action_of(risk, normal, nights) == action
    assert action_of(risk, normal, nights, sensor=True) == "check sensor"


def stay(unit, station, machine, started):
    return {"unit_id": unit, "station": station, "machine": machine, "started_at": started, "ended_at": started}


VISITS = [
    stay("before", "press", "P2", "2026-03-02 07:59"),
    stay("a", "press", "P2", "2026-03-02 08:00"),
    stay("b", "press", "P2", "2026-03-02 09:00"),
    stay("b", "shipping", "D1", "2026-03-02 12:00"),
    stay("c", "press", "P2", "2026-03-02 10:00"),
    stay("c", "scrap", None, "2026-03-02 11:00"),
    stay("d", "press", "P2", "2026-03-02 10:30"),
    stay("d", "shipping", "D1", "2026-03-02 13:00"),
    stay("other", "press", "P1", "2026-03-02 10:00"),
]


def test_the_blast_radius_is_every_unit_under_the_same_conditions_by_where_it_is_now(make_history, tiny_line):
    history = make_history({"visits": VISITS})
    places = blast_radius(history, tiny_line, [("press machine", "P2")], utc("2026-03-02 08:00"))
    assert places == (("shipping", 2), ("press", 1), ("scrap", 1))
    earlier = history.at(utc("2026-03-02 12:30"))
    places = blast_radius(earlier, tiny_line, [("press machine", "P2")], utc("2026-03-02 08:00"))
    assert places == (("press", 2), ("scrap", 1), ("shipping", 1))


def test_units_of_the_blast_radius_share_all_conditions(make_history, tiny_line):
    lots = [{"unit_id": unit, "lot_id": lot, "material": "resin", "occurred_at": "2026-03-02 07:00"}
            for unit, lot in (("before", "R-1"), ("a", "R-1"), ("b", "R-2"), ("other", "R-1"))]  # fmt: skip
    history = make_history({"visits": VISITS, "materials": lots})
    shared = [("press machine", "P2"), ("resin lot", "R-1")]
    assert blast_radius(history, tiny_line, shared, utc("2026-03-02 08:00")) == (("press", 1),)
    assert blast_radius(history, tiny_line, shared, utc("2026-03-02 07:00")) == (("press", 2),)


def test_each_issue_gets_its_places(make_history, tiny_line):
    [issue] = found(plant(raised), tiny_line)
    visits = [stay(f"n{n}", "press", "P2", issue.since) for n in range(3)]
    [placed] = with_places([issue], make_history({"visits": visits}), tiny_line, pd.DataFrame())
    assert placed.places == (("press", 3),)
    assert with_places([], placed, tiny_line, pd.DataFrame()) == ()
