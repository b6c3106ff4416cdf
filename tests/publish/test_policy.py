import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import night, with_policy

from qma_predict.errors import PublicationError
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.trust import RiskRanges
from qma_predict.publish.policy.select import Extra, one_more_hour, select, ten_more_checks
from qma_predict.publish.risk_list import CANDIDATE_COLUMNS

COSTS = {"escape": 100.0, "inspection": 2.0, "false_alarm": 1.0}


def of(frame: pd.DataFrame, name: str) -> dict:
    return dict(zip(frame["unit_id"], frame[name], strict=True))


def listed(frame: pd.DataFrame) -> list[str]:
    return frame.loc[frame["listed"], "unit_id"].tolist()


def test_without_costs_the_highest_scores_are_listed_up_to_the_capacity(tiny_line):
    ranked = select(night({"a": 0.1, "b": 0.3, "c": 0.2}), tiny_line, list_id="1")
    assert ranked["unit_id"].tolist() == ["b", "c", "a"]
    assert ranked["rank"].tolist() == [1, 2, 3]
    assert ranked["listed"].tolist() == [True, True, False]
    assert ranked["selected_by"].isna().tolist() == [False, False, True]
    assert ranked["selection_probability"].tolist() == [1.0, 1.0, 0.0]
    assert ranked[["minutes", "value"]].isna().all(axis=None)  # the line says neither


def test_a_check_is_worth_the_escape_it_may_prevent_less_what_it_costs(tiny_line):
    # 0.3 * 100 - 2 - 0.7 * 1 = 27.3; 0.02 * 100 - 2 - 0.98 = -0.98
    ranked = select(night({"a": 0.3, "b": 0.02}), with_policy(tiny_line, COSTS, capacity=2), list_id="1")
    assert of(ranked, "value") == {"a": 27.3, "b": -0.98}
    assert listed(ranked) == ["a"]


def test_a_check_that_is_worth_nothing_may_still_be_audited(tiny_line):
    line = with_policy(tiny_line, COSTS, capacity=2, audits=0.5)
    ranked = select(night({"a": 0.3, "b": 0.02}), line, list_id="1")
    assert of(ranked, "selected_by") == {"a": "rank", "b": "audit"}


def test_what_a_check_is_worth_is_not_known_from_a_ranking(tiny_line):
    line = with_policy(tiny_line, COSTS, capacity=2)
    ranked = select(night({"a": 0.003, "b": 0.002, "c": 0.001}), line, list_id="1", ranking=True)
    assert ranked["value"].isna().all()
    assert listed(ranked) == ["a", "b"]


def test_products_have_costs_and_minutes_of_their_own_and_the_order_is_by_value_of_a_minute(tiny_line):
    costs = COSTS | {"false_alarm": 0.0, "product": {"P": {"escape": 1000.0}}}
    candidates = night({"a": 0.30, "b": 0.05, "c": 0.30}, product=["A", "P", None])
    line = with_policy(tiny_line, costs, capacity=3, check_minutes=4.0, check_minutes_of={"P": 12.0, "A": 2.0})
    ranked = select(candidates, line, list_id="1")
    assert of(ranked, "value") == {"a": 28.0, "b": 48.0, "c": 28.0}
    assert of(ranked, "minutes") == {"a": 2.0, "b": 12.0, "c": 4.0}
    assert ranked["unit_id"].tolist() == ["a", "c", "b"]  # 14, 7 and 4 a minute


def test_where_no_minutes_are_said_the_order_is_by_value_of_a_check(tiny_line):
    costs = COSTS | {"false_alarm": 0.0, "product": {"P": {"escape": 1000.0}}}
    candidates = night({"a": 0.30, "b": 0.05, "c": 0.20}, product=["A", "P", None])
    ranked = select(candidates, with_policy(tiny_line, costs, capacity=2), list_id="1")
    assert ranked["minutes"].isna().all()
    assert of(ranked, "value") == {"a": 28.0, "b": 48.0, "c": 18.0}
    assert listed(ranked) == ["b", "a"]


def test_without_costs_the_order_is_by_score_of_a_minute(tiny_line):
    line = with_policy(tiny_line, capacity=1, check_minutes_of={"P": 10.0})
    ranked = select(night({"a": 0.3, "b": 0.2}, product=["P", "Q"]), line, list_id="1")
    assert ranked["unit_id"].tolist() == ["b", "a"]


def test_minutes_are_filled_in_order_and_a_check_that_no_longer_fits_is_passed_over(tiny_line):
    line = with_policy(tiny_line, minutes=15, check_minutes=5.0, check_minutes_of={"L": 11.0})
    candidates = night({"a": 0.9, "b": 0.95, "c": 0.1, "d": 0.05}, product=["S", "L", "S", "S"])
    ranked = select(candidates, line, list_id="1")
    assert ranked["unit_id"].tolist() == ["a", "b", "c", "d"]  # 0.18, 0.086, 0.02 and 0.01 a minute
    assert listed(ranked) == ["a", "c", "d"]


def test_sums_of_minutes_are_exact(tiny_line):
    line = with_policy(tiny_line, minutes=1.0, check_minutes=0.1)  # as floats 0.1 + 0.1 + ... passes over 1.0's end
    assert select(night({f"u{n:02}": 0.5 for n in range(20)}), line, list_id="1")["listed"].sum() == 10


def test_a_check_longer_than_all_minutes_is_never_listed(tiny_line):
    line = with_policy(tiny_line, minutes=10, check_minutes_of={"L": 11.0}, audits=0.5)
    ranked = select(night({"a": 0.9, "b": 0.1, "c": 0.1}, product=["L", "S", "S"]), line, list_id="1")
    assert of(ranked, "selection_probability") == {"a": 0.0, "b": 1.0, "c": 1.0}


@pytest.mark.parametrize(
    ("audits", "capacity", "places"), [(0.1, 40, 4), (0.1, 14, 1), (0.1, 15, 2), (0.01, 3, 1), (1.0, 7, 7), (0.0, 9, 0)]
)
def test_the_share_of_audits_is_rounded_to_places_one_at_least(tiny_line, audits, capacity, places):
    line = with_policy(tiny_line, capacity=capacity, audits=audits)
    ranked = select(night({f"u{n:03}": 0.001 * n for n in range(100)}), line, list_id="1")
    assert ranked["selected_by"].value_counts().get("audit", 0) == places
    assert ranked["listed"].sum() == capacity


def test_places_of_audits_in_minutes_have_room_for_the_longest_check(tiny_line):
    # 0.3 * 100 minutes hold two checks of 12; 76 are left to the ranking: fifteen checks of 5
    line = with_policy(tiny_line, minutes=100, audits=0.3, check_minutes_of={"L": 12.0})
    candidates = night({f"u{n:02}": 0.01 * n for n in range(60)}, product=["L"] * 6 + ["S"] * 54)
    ranked = select(candidates, line, list_id="1")
    assert ranked["selected_by"].value_counts().to_dict() == {"rank": 15, "audit": 2}
    assert ranked["selection_probability"].sum() == pytest.approx(17)


def test_every_scored_unit_has_a_probability_when_there_are_audits(tiny_line):
    line = with_policy(tiny_line, capacity=10, audits=0.2)
    ranked = select(night({f"u{n:02}": 0.01 * n for n in range(50)}), line, list_id="1")
    by_rank = ranked["selected_by"] == "rank"
    assert by_rank.sum() == 8
    assert (ranked.loc[by_rank, "selection_probability"] == 1).all()
    rest = ranked[~by_rank]
    # 2 * (0.5 / 42 + 0.5 * score / sum of 0.00 to 0.41)
    assert rest["selection_probability"].tolist() == pytest.approx((1 / 42 + rest["score"] / 8.61).tolist())


def test_over_many_lists_units_are_listed_as_often_as_their_probabilities_say_and_estimate_all_defects(tiny_line):
    line = with_policy(tiny_line, capacity=4, audits=0.5)
    candidates = night({"a": 0.9, "b": 0.8, "c": 0.3, "d": 0.1, "e": 0.1, "f": 0.0})
    lists = [select(candidates, line, list_id=str(n)).set_index("unit_id") for n in range(250)]
    often = np.array([chosen["listed"].sort_index() for chosen in lists])
    probability = lists[0]["selection_probability"].sort_index().to_numpy()
    assert all((chosen["selection_probability"].sort_index() == probability).all() for chosen in lists)
    error = np.sqrt(probability * (1 - probability) / len(lists))
    assert (np.abs(often.mean(axis=0) - probability) <= 4 * error).all()
    estimates = often @ (np.array([1, 1, 1, 0, 1, 1]) / probability)
    assert abs(estimates.mean() - 5) < 4 * estimates.std() / np.sqrt(len(lists))


def test_how_the_ranking_ends_depends_on_no_draw(tiny_line):
    line = with_policy(tiny_line, minutes=60, audits=0.3, check_minutes_of={"L": 9.0})
    candidates = night({f"u{n:02}": 0.01 * n for n in range(40)}, product=["L", "S"] * 20)
    chosen = [select(candidates, line, list_id=str(n)) for n in range(20)]
    assert len({tuple(one.loc[one["selected_by"] == "rank", "unit_id"]) for one in chosen}) == 1
    assert len({tuple(one.loc[one["selected_by"] == "audit", "unit_id"]) for one in chosen}) > 5


@st.composite
def policies(draw: st.DrawFn) -> dict:
    minutes = st.floats(0.01, 60).map(lambda number: round(number, 2))
    policy: dict = {"check_minutes": draw(minutes), "check_minutes_of": draw(st.dictionaries(st.just("L"), minutes))}
    policy["audits"] = draw(st.sampled_from([0, 0.05, 0.3, 1.0]))
    if draw(st.booleans()):
        return policy | {"capacity": draw(st.integers(1, 12))}
    return policy | {"minutes": draw(st.floats(policy["check_minutes"], 300))}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["L", "S", None]), st.sampled_from([0.0, 0.01, 0.2, 1.0])), max_size=15),
    policies(),
    st.sampled_from([None, COSTS, {"escape": 0.0, "inspection": 0.0}]),
)
def test_a_list_is_never_over_the_capacity(tiny_line, units, policy, costs):
    scores = {f"u{n:02}": score for n, (_, score) in enumerate(units)}
    line = with_policy(tiny_line, costs, **policy)
    ranked = select(night(scores, product=[product for product, _ in units]), line, list_id="1")
    used = ranked["listed"].sum() if line.list.minutes is None else ranked.loc[ranked["listed"], "minutes"].sum()
    assert used <= (line.list.capacity if line.list.minutes is None else line.list.minutes + 1e-6)
    assert (ranked["selected_by"].notna() == ranked["listed"]).all()
    assert (ranked.loc[ranked["listed"], "selection_probability"] > 0).all()
    if policy["audits"]:
        could = ranked["minutes"] <= (line.list.minutes or np.inf)
        assert (ranked.loc[could, "selection_probability"] > 0).all()
    if costs:
        assert (ranked.loc[ranked["selected_by"] == "rank", "value"] > 0).all()


def test_the_same_candidates_in_any_order_give_the_same_list(tiny_line):
    line = with_policy(tiny_line, COSTS, capacity=10, audits=0.3)
    candidates = night({f"u{n:02}": 0.01 * (n // 2) for n in range(40)})
    chosen = [select(rows, line, list_id="1") for rows in (candidates, candidates.sample(frac=1, random_state=3))]
    pd.testing.assert_frame_equal(*chosen)


def test_scores_that_differ_after_the_sixth_decimal_are_a_tie_ordered_by_unit(tiny_line):
    ranked = select(night({"b": 0.1000004, "a": 0.1000001}), tiny_line, list_id="1")
    assert ranked["unit_id"].tolist() == ["a", "b"]
    assert ranked["score"].tolist() == [0.1, 0.1]


def test_a_unit_without_score_is_not_ranked(tiny_line):
    assert select(night({"a": np.nan, "b": 0.1}), tiny_line, list_id="1")["unit_id"].tolist() == ["b"]


@pytest.mark.parametrize("audits", [0.0, 0.5])
def test_a_night_without_candidates_has_an_empty_list(tiny_line, audits):
    line = with_policy(tiny_line, COSTS, capacity=3, audits=audits)
    ranked = select(pd.DataFrame(columns=CANDIDATE_COLUMNS), line, list_id="1")
    assert len(ranked) == 0
    assert one_more_hour(ranked) == Extra(0, 0.0)


@pytest.mark.parametrize(
    ("what_is_wrong", "candidates", "message"),
    [
        ("no score column", night({"a": 0.1}).drop(columns="score"), r"columns \['score'\] are missing"),
        ("unit twice", pd.concat([night({"a": 0.1})] * 2), "occur more than once, for example 'a'"),
        ("unit twice, not scored", pd.concat([night({"a": np.nan})] * 2), "occur more than once"),
        ("unit without id", night({"a": 0.1}, unit_id=[None]), "1 rows have no unit_id"),
        ("score above one", night({"a": 1.2}), "1 scores lie outside.*1.2 of unit 'a'"),
        ("score below zero", night({"a": -0.2}), "lie outside"),
        ("time without zone", night({"a": 0.1}, since=pd.Timestamp("2026-11-23")), "since is .*with a zone"),
    ],
)
def test_wrong_candidates_are_refused(tiny_line, what_is_wrong, candidates, message):
    with pytest.raises(PublicationError, match=message):
        select(candidates, tiny_line, list_id="1")


def test_the_range_of_a_risk_is_that_of_its_score(tiny_line):
    ranges = RiskRanges((0.1, 0.3), (0.05, 0.2), (0.2, 0.4))
    ranked = select(night({"a": 0.2000004, "b": np.nan, "c": 0.9}), tiny_line, list_id="1", ranges=ranges)
    assert ranked[["unit_id", "risk_low", "risk_high"]].to_numpy().tolist() == [
        ["c", 0.84, 0.933333],
        ["a", 0.125, 0.3],
    ]


def test_one_more_hour_checks_the_next_units_that_fit_into_it(tiny_line):
    # of those not listed: 25 minutes, then one of 40 does not fit, then 25, then 10
    line = with_policy(tiny_line, capacity=1, check_minutes=25.0, check_minutes_of={"L": 40.0, "S": 10.0})
    candidates = night(
        {"a": 0.9, "b": 0.5, "c": 0.6, "d": 0.3, "e": 0.01, "f": 0.009}, product=["P", "P", "L", "P", "S", "S"]
    )
    ranked = select(candidates, line, list_id="1")
    assert ranked["unit_id"].tolist() == ["a", "b", "c", "d", "e", "f"]
    assert one_more_hour(ranked) == Extra(3, pytest.approx(0.81))
    halved = PromiseSpread((-float(np.log(2)),), (1.0,))  # odds of 1, 3 / 7 and 1 / 99
    assert one_more_hour(ranked, halved) == Extra(3, pytest.approx(1 / 3 + 3 / 17 + 1 / 199))


def test_one_more_hour_is_not_spent_on_checks_that_are_worth_nothing(tiny_line):
    line = with_policy(tiny_line, COSTS, capacity=1, check_minutes=1.0)
    ranked = select(night({"a": 0.9, "b": 0.5, "c": 0.01}), line, list_id="1")
    assert one_more_hour(ranked) == Extra(1, 0.5)


def test_a_unit_is_in_one_draw_and_keeps_its_probability(tiny_line):
    line = with_policy(tiny_line, capacity=10, audits=0.5)
    scores = {f"u{at:02}": 0.3 - at / 200 for at in range(40)}
    first = select(night(scores), line, list_id="1").set_index("unit_id")
    left = first[~first["listed"]]
    new = {f"n{at:02}": 0.05 for at in range(20)}
    second = select(
        night({**left["score"], **new}), line, list_id="2", drawn_before=first["selection_probability"]
    ).set_index("unit_id")
    audits = second.index[second["selected_by"] == "audit"]
    assert len(audits) == 5
    assert set(audits) <= set(new)
    by_rank = second["selected_by"].eq("rank").fillna(False)
    assert second.loc[by_rank, "selection_probability"].eq(1.0).all()
    waits = left.index.difference(second.index[by_rank])
    assert second.loc[waits, "selection_probability"].tolist() == left.loc[waits, "selection_probability"].tolist()


def test_units_that_wait_for_several_nights_are_stood_for_by_the_audits(tiny_line):
    """200 new units a night, each a candidate on three; defects by the published risk."""
    line, rng = with_policy(tiny_line, capacity=40, audits=0.1), np.random.default_rng(0)
    waiting, drawn, found = pd.Series(dtype=float), pd.Series(dtype=float), []
    risks = []
    for day in range(60):
        new = pd.Series(rng.beta(0.15, 6, 200), [f"{day}-{at}" for at in range(200)])
        risks.append(new)
        waiting = pd.concat([waiting[[int(unit.split("-")[0]) > day - 3 for unit in waiting.index]], new])
        ranked = select(night(waiting.to_dict()), line, list_id=str(day), drawn_before=drawn).set_index("unit_id")
        drawn = pd.concat([drawn, ranked.loc[~ranked.index.isin(drawn.index), "selection_probability"]])
        found.append(ranked[ranked["listed"]])
        waiting = waiting.drop(found[-1].index)
    listed = pd.concat(found)
    weight = 1 / listed["selection_probability"]
    true = pd.concat(risks).mean()
    assert listed["score"].mean() > 3 * true
    assert np.average(listed["score"], weights=weight) == pytest.approx(true, rel=0.1)
    assert weight.sum() == pytest.approx(60 * 200, rel=0.1)


def test_ten_more_checks_are_the_next_ten_that_are_worth_it_and_nothing_is_told_of_fewer(tiny_line):
    scores = {f"u{n:02}": 0.01 * n for n in range(20)}  # by value u00 to u02 are worth nothing
    ranked = select(night(scores), with_policy(tiny_line, COSTS, capacity=6), list_id="1")
    assert ten_more_checks(ranked) == pytest.approx(sum(0.01 * n for n in range(4, 14)))
    halved = PromiseSpread((-float(np.log(2)),), (1.0,))
    expected = sum(0.005 * n / (0.005 * n + 1 - 0.01 * n) for n in range(4, 14))
    assert ten_more_checks(ranked, halved) == pytest.approx(expected)
    assert ten_more_checks(select(night(scores), with_policy(tiny_line, COSTS, capacity=8), list_id="1")) is None
