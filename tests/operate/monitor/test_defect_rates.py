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


def test_a_drawn_unit_counts_as_often_as_it_stands_for_others_however_many(make_history, tiny_line):
    """A defect among forty listed units, and a good one drawn with a chance of one in two thousand: weight 40."""
    points, results = produced(41, days=7, defects=lambda ago: 1, probability=lambda n: 1.0 if n < 40 else 1 / 2000)
    found = defect_rates(make_history({"inspections": results}, as_of=AS_OF), points, tiny_line)
    assert found["rate"].to_list() == pytest.approx([1 / 2040] * len(found))
    assert found["worth"].to_list() == pytest.approx([2040**2 / (40 + 2000**2)] * len(found))


def test_days_on_which_nobody_drew_anything_are_left_out_and_small_days_are_not(make_history, tiny_line):
    """A listed defect and three good units drawn for ten; on every third day only the list was checked."""
    points, results = produced(11, days=26, defects=lambda ago: 1, probability=lambda n: 0.3 if n else 1.0)
    ago, nth = points["unit_id"].str[1:].str.split("-", expand=True).astype(int).to_numpy().T
    made = (ago % 5 > 0) | (nth < 3)  # on every fifth day three units
    checked = points["unit_id"][made & ((nth == 0) | ((nth < 4) & (ago % 3 > 0)))]
    rows = [row for row in results if row["unit_id"] in set(checked)]
    found = defect_rates(make_history({"inspections": rows}, as_of=AS_OF), points[made], tiny_line)
    told = (AS_OF.tz_localize(None).normalize() - found["day"]).dt.days - 1
    assert told.tolist() == [days for days in range(25, 4, -1) if days % 3]
    assert found["rate"].to_list() == pytest.approx([1 / (1 + (3 if days % 5 else 2) / 0.3) for days in told])
    plain = [row | {"probability": None} for row in rows]  # every day counts where units count equally
    assert len(defect_rates(make_history({"inspections": plain}, as_of=AS_OF), points[made], tiny_line)) == 21


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


def listed_and_drawn(of_list, of_drawn, *, listed=100, drawn=5, produced=2000):
    """Days with so many defects among the listed units and among the drawn ones, which stand for all others."""
    each = (produced - listed) / drawn
    day, of_list, of_drawn = pd.date_range("2026-01-01", periods=len(of_list)), np.array(of_list), np.array(of_drawn)
    frame = pd.DataFrame({"day": day, "units": listed + drawn, "defects": (of_list + of_drawn).astype(float)})
    worth, rate = produced**2 / (listed + drawn * each**2), (of_list + each * of_drawn) / produced
    return frame.assign(worth=worth, rate=rate)


def test_defects_of_the_list_alone_give_no_limits_for_all_units():
    """Ten listed defects a day, and one drawn in ten days, by which the rate hangs: 560, and worth six."""
    found = charted(listed_and_drawn([10] * 84, ([0] * 9 + [1]) * 8 + [0] * 4), pd.Timestamp("2026-02-26"))
    assert found.loc[found["baseline"], "defects"].sum() > 500
    assert found["high"].isna().all()
    often = charted(listed_and_drawn([10] * 84, [1, 0] * 42), pd.Timestamp("2026-02-26"))
    assert often["high"].notna().all()


def test_lists_and_few_drawn_units_of_a_plant_that_does_not_change_alarm_less_than_once_in_thirty_nights():
    """Nominally 0.2 as `persistent` says, 4 of 20 plants at most; where limits counted the list's defects it was 10."""
    begun = 0
    for seed in range(20):
        rng, before = np.random.default_rng(seed), False
        days = listed_and_drawn(rng.binomial(100, 0.1, 114), rng.binomial(5, 30 / 1900, 114))
        for night in range(0, 30, 3):
            look = days.iloc[night : night + 84]
            now = bool(persistent(charted(look, look["day"].iloc[56])))
            begun += now and not before
            before = now
    assert begun <= 2  # none in 160 plants: what is drawn mostly is too little for limits


def test_what_is_told_of_all_units_is_not_the_share_of_the_inspected():
    """The list finds ten defects a day all the time; of drawn units three in two hundred fail, then one in ten."""
    rates = charted(listed_and_drawn([10] * 84, [2, 0, 1, 0] * 20 + [5] * 4, drawn=50), pd.Timestamp("2026-02-26"))
    words = persistent(rates)
    assert words.startswith("the defect rate is above what it was: 3 days")
    assert "10.0 % of all units in these, told from 45 defects in 450 inspected, 1.9 % in the 56 days before" in words


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
