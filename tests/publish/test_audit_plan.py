from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from policies import night, with_policy

from qma_predict.publish.policy.audit_plan import audit_plan, words
from qma_predict.publish.policy.audits import draw
from qma_predict.publish.policy.select import select

NIGHT = night({f"u{n:02}": risk for n, risk in enumerate(np.linspace(0.0, 0.3, 60))})


def test_a_plan_of_equal_risks_by_hand(tiny_line):
    # 10 places, 2 of them audits: 8 units by rank, 12 left with 0.1 each, pi = 1 / 6.
    line = with_policy(tiny_line, capacity=10)
    even = night({f"u{n:02}": 0.1 for n in range(20)})
    [row] = audit_plan([even], line, shares=[0.2], weeks=[1], lists_a_week=5).itertuples()
    assert (row.share, row.weeks) == (0.2, 1)
    assert (row.audits, row.escapes, row.found) == pytest.approx((10.0, 6.0, 1.0))
    # Of a list: 2 of 12 drawn evenly, 6 * the defects among them, expected finite-population variance
    # 12^2 * (1 - 1/6) / 2 * 0.1 * 0.9
    assert row.standard_error**2 == pytest.approx(5 * 144 * (5 / 6) / 2 * 0.09)


def test_the_standard_error_is_that_of_simulated_weeks(tiny_line):
    line = with_policy(tiny_line, capacity=10, audits=0.4)
    plan = audit_plan([NIGHT], line, shares=[0.4], weeks=[1], lists_a_week=1).iloc[0]
    rest = select(NIGHT, line, list_id="1").query("selected_by != 'rank'")
    pi = rest["selection_probability"].to_numpy()
    rng = np.random.default_rng(2)
    errors, found = [], []
    for n in range(4000):
        defect = rng.random(len(rest)) < rest["score"]
        audited = defect & draw(rest["unit_id"], pi, str(n))
        errors.append((audited / pi).sum() - defect.sum())
        found.append(audited.sum())
    assert np.mean(found) == pytest.approx(plan["found"], rel=0.08)
    assert abs(np.mean(errors)) < 4 * plan["standard_error"] / np.sqrt(4000)
    assert np.std(errors) == pytest.approx(plan["standard_error"], rel=0.08)


def test_more_weeks_and_more_audits_tell_more(tiny_line):
    plan = audit_plan([NIGHT], with_policy(tiny_line, capacity=20))
    assert plan[["share", "weeks"]].to_numpy().tolist() == [[s, w] for s in (0.05, 0.1, 0.2) for w in (4, 13, 26)]
    relative = plan.pivot(index="share", columns="weeks", values="relative")
    assert (relative.diff(axis=0).iloc[1:] < 0).all(axis=None)
    assert (relative.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    assert (plan["low"] < plan["escapes"]).all()
    assert (plan["escapes"] < plan["high"]).all()


def test_nights_count_alike(tiny_line):
    line = with_policy(tiny_line, capacity=10)
    none = night({f"u{n:02}": 0.0 for n in range(60)})
    both, one = (audit_plan(nights, line)["escapes"] for nights in ([NIGHT, none], [NIGHT]))
    assert both.tolist() == pytest.approx((one / 2).tolist())


def test_where_all_are_checked_nothing_escapes_the_audits(tiny_line):
    plan = audit_plan([NIGHT.head(5)], with_policy(tiny_line, capacity=5), shares=[1.0], weeks=[1])
    assert plan["found"].tolist() == plan["escapes"].tolist()
    assert plan[["standard_error", "relative"]].to_numpy().tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("scores", [{}, {"a": np.nan}, {"a": 0.0, "b": 0.0, "c": 0.0}])
def test_without_risk_there_is_nothing_to_know(tiny_line, scores):
    plan = audit_plan([night(scores)], tiny_line)
    assert plan[["escapes", "found", "standard_error"]].to_numpy().tolist() == [[0.0] * 3] * 9
    assert plan["relative"].isna().all()
    assert "escapes" in words(plan, tiny_line, nights=1)


def test_a_unit_that_waits_counts_on_its_first_night(tiny_line):
    line = with_policy(tiny_line, capacity=5)
    before = NIGHT.assign(unit_id="old-" + NIGHT["unit_id"], first_night=NIGHT["first_night"].max() - timedelta(days=1))
    alone, both = (audit_plan([rows], line, weeks=[4]) for rows in (NIGHT, pd.concat([NIGHT, before])))
    new = NIGHT["score"].sum() * 28
    assert (alone["escapes"] < new).all()
    assert both["escapes"].between(alone["escapes"], new).all()  # the old take places by rank, and no more


def test_without_a_night_there_is_no_plan(tiny_line):
    with pytest.raises(ValueError, match="no night is given"):
        audit_plan([], tiny_line)


def test_a_plan_in_words(tiny_line):
    rows = {"share": [0.1], "weeks": [13], "audits": [364.0], "escapes": [914.0], "found": [7.94]}
    plan = pd.DataFrame({**rows, "standard_error": [360.0], "low": [407.0], "high": [1586.0], "relative": [0.645]})
    assert words(plan, with_policy(tiny_line, capacity=40, audits=0.1), nights=2).splitlines() == [
        "Tiny line: how well escapes would be known, from the candidates of 2 nights",
        "(line.toml keeps 10% of the capacity for audits: list.audits)",
        "",
        " share  weeks   audits  escapes  found by audits   nine of ten estimates",
        "   10%     13      364    914.0              7.9   407 to 1,586 (within 64%)",
    ]
