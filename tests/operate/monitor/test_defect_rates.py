from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from qma_predict.operate.monitor.rates import charted, defect_rates, persistent

AS_OF = pd.Timestamp("2026-03-30 03:00", tz="UTC")  # 05:00 in Berlin; labels are mature until 25 March


def produced(per_day, *, days=40, defects=lambda ago: 0, probability=None):
    """Points of the days before `AS_OF`, at noon, and what the gate found of them, two hours later."""
    points, results = [], []
    for ago in range(days):
        for n in range(per_day):
            unit, cutoff = f"u{ago}-{n}", AS_OF - timedelta(days=ago, hours=15)
            points.append({"unit_id": unit, "cutoff": cutoff})
            for one in ("leak", "size"):
                found = {
                    "passed": not (one == "leak" and n < defects(ago)),
                    "probability": probability and probability(n),
                }
                at = cutoff + timedelta(hours=2)
                results.append({"unit_id": unit, "gate": "final", "characteristic": one, "occurred_at": at} | found)
    return pd.DataFrame(points), results


def days(defects, units=100, *, judged=28):
    """Days with so many defects, the last ones judged."""
    day = pd.date_range("2026-01-01", periods=len(defects))
    frame = pd.DataFrame({"day": day, "units": units, "defects": np.array(defects, dtype=float), "worth": float(units)})
    return charted(frame.assign(rate=frame["defects"] / units), day[len(day) - judged])


def usual(count, seed=0):
    return np.random.default_rng(seed).binomial(100, 0.05, count).tolist()


def test_a_day_is_told_once_all_its_labels_are_mature(make_history, tiny_line):
    points, results = produced(3, defects=lambda ago: ago % 2)
    found = defect_rates(make_history({"inspections": results}, as_of=AS_OF), points, tiny_line)
    assert found["day"].iloc[-1] == pd.Timestamp("2026-03-24")  # the 25th, 14:00, has units younger than 5 days
    assert found["day"].iloc[0] == pd.Timestamp("2026-02-18")
    assert found.loc[found["day"] == "2026-03-24", ["units", "defects"]].to_numpy().tolist() == [[3, 1]]
    assert found["rate"].round(3).unique().tolist() == [0.333, 0.0]


def test_units_without_a_result_do_not_count(make_history, tiny_line):
    points, results = produced(3, defects=lambda ago: 1)
    some = [row for row in results if not row["unit_id"].endswith("-2")]
    found = defect_rates(make_history({"inspections": some}, as_of=AS_OF), points, tiny_line)
    assert found["units"].unique().tolist() == [2]


def test_units_that_were_looked_for_do_not_raise_the_rate(make_history, tiny_line):
    """Four units a day: a defect that a list named for certain, and three drawn with a chance of a tenth."""
    points, results = produced(4, defects=lambda ago: 1, probability=lambda n: 1.0 if n == 0 else 0.1)
    found = defect_rates(make_history({"inspections": results}, as_of=AS_OF), points, tiny_line)
    assert found["rate"].round(4).unique().tolist() == [round(1 / 31, 4)]
    assert found["defects"].unique().tolist() == [1]


def test_nothing_is_told_of_no_production(make_history, tiny_line):
    points = pd.DataFrame({"unit_id": pd.Series(dtype="str"), "cutoff": pd.Series(dtype="datetime64[us, UTC]")})
    found = defect_rates(make_history({}, as_of=AS_OF), points, tiny_line)
    assert len(found) == 0
    assert persistent(found) == ""


def test_limits_need_days_and_defects():
    assert days([5] * 47)["high"].isna().all()  # 19 days
    assert days([5, 4] * 24)["high"].notna().all()
    assert days([0, 0, 0, 0, 0, 1] * 9)["high"].isna().all()  # 4 defects
    assert persistent(days([0] * 26 + [9] * 28)) == ""


def test_a_rate_that_stays_high_for_three_days_alarms():
    rates = days([*usual(81), 15, 15, 15])
    assert rates["average_signal"].tail(3).tolist() == [True] * 3
    words = persistent(rates)
    assert words.startswith("the defect rate is above what it was: 3 days of production in a row beyond the limits")
    assert "since Mon 23 Mar; 15.0 % of 300 inspected units in these, 5.1 % in the 56 days before" in words


@pytest.mark.parametrize("newest", [[15, 15], [30], [40, 5, 5, 5, 5, 5, 5, 5]])
def test_what_does_not_stay_alarms_nobody(newest):
    rates = days([*usual(84 - len(newest)), *newest])
    assert rates["signal"].iloc[-len(newest) :].any() or rates["average_signal"].iloc[-1]
    assert persistent(rates) == ""


def test_a_rate_that_stays_low_alarms_too():
    words = persistent(days([*usual(72), *[0] * 12]))
    assert words.startswith("the defect rate is below what it was")


@pytest.mark.proof
def test_chance_alone_alarms_in_a_month_of_nights_once_in_ten_at_most():
    alarms = 0
    for seed in range(100):
        defects, before = usual(84 + 30, seed), False
        for night in range(30):
            now = bool(persistent(days(defects[night : night + 84])))
            alarms += now and not before
            before = now
    assert alarms <= 100 * 0.1 + 2 * np.sqrt(100 * 0.1)


def test_a_rate_that_doubles_is_found_within_a_week():
    waited = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        after = rng.binomial(100, 0.10, 10).tolist()
        defects = usual(84, seed) + after
        waited.append(next((n for n in range(1, 11) if persistent(days(defects[n : n + 84]))), 99))
    assert np.median(waited) <= 6
