"""Numbers by hand, and false alarms as often as the charts say."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from qma_predict.operate.monitor.charts import ewma, ewma_of_rate, individuals, laney_p
from qma_predict.publish.pages.pictures import control_chart

KNOWN = [-0.564, 0.564]
"""A baseline with mean 0 and a moving range of 1.128: a standard deviation of 1."""


def charted(chart, values, *, before=KNOWN):
    return chart([*before, *values], [True] * len(before) + [False] * len(values))


def test_individuals_have_limits_by_the_mean_moving_range():
    rows = charted(individuals, [15.9, 16.0, 7.0], before=[10, 12, 11, 13])
    # ranges 2, 1, 2: sigma = (5 / 3) / 1.128 = 1.4775; 11.5 +- 4.4326
    assert rows[["centre", "low", "high"]].iloc[0].round(4).tolist() == [11.5, 7.0674, 15.9326]
    assert rows["signal"].tolist() == [False] * 5 + [True, True]


def test_an_ewma_remembers_a_fifth_of_each_value():
    rows = charted(ewma, [14], before=[10, 12, 11, 13])
    assert rows["value"].round(4).tolist() == [11.2, 11.36, 11.288, 11.6304, 12.1043]
    # after five values: 2.962 * 1.4775 * sqrt(0.2 / 1.8 * (1 - 0.8 ** 10)) = 1.3783
    assert rows[["low", "high"]].iloc[-1].round(4).tolist() == [10.1217, 12.8783]


def test_the_ewma_sees_a_small_change_that_stays_and_the_individuals_do_not():
    values = [1.5] * 12
    assert charted(individuals, values)["signal"].sum() == 0
    assert charted(ewma, values)["signal"].iloc[-1]


def test_laneys_limits_by_hand():
    rows = laney_p([2, 4, 3, 1, 16, 16], [100, 100, 100, 100, 100, 1600], [True] * 4 + [False] * 2)
    # p = 10 / 400; s = sqrt(0.025 * 0.975 / 100) = 0.015612; z = -0.32, 0.96, 0.32, -0.96;
    # sigma_z = (1.2811 + 0.6405 + 1.2811) / 3 / 1.128 = 0.9464
    assert rows["z"].round(4).tolist()[:2] == [-0.3203, 0.9608]
    assert rows["sigma_z"].round(4).unique().tolist() == [0.9464]
    assert rows["high"].round(4).tolist()[4:] == [0.0693, 0.0361]  # 0.025 + 3 * s * sigma_z; a fourth of s
    assert rows["low"].round(4).tolist()[4:] == [0.0, 0.0139]
    assert rows["signal"].tolist()[4:] == [True, True]


def test_rates_that_differ_by_chance_alone_have_the_limits_of_a_p_chart():
    rng = np.random.default_rng(1)
    rows = laney_p(rng.binomial(400, 0.1, 4000), [400] * 4000, [True] * 4000)
    assert rows["sigma_z"].iloc[0] == pytest.approx(1.0, abs=0.03)


def test_a_missing_value_has_no_signal_and_is_passed_over():
    rows = charted(individuals, [np.nan, 9.0])
    assert rows["signal"].tolist() == [False, False, False, True]
    average = charted(ewma, [9.0, np.nan])
    assert average["value"].iloc[-1] == average["value"].iloc[-2]
    assert average["signal"].tolist() == [False, False, True, False]
    gap = individuals([10, np.nan, 12], [True] * 3)
    assert gap["high"].round(3).tolist() == [16.319] * 3  # one range of 2: 11 + 3 * 2 / 1.128


def test_a_day_without_inspected_units_has_no_rate():
    rows = laney_p([1, 0, 2, 1], [50, 0, 50, 50], [True] * 3 + [False])
    assert rows["value"].isna().tolist() == [False, True, False, False]
    assert np.isfinite(rows["sigma_z"]).all()


@pytest.mark.parametrize("baseline", [[False] * 3, [True, False, False]])
def test_without_a_baseline_there_are_no_limits_and_no_signals(baseline):
    rows = individuals([1.0, 2.0, 300.0], baseline)
    assert rows[["centre", "low", "high"]].isna().all(axis=None)
    assert not rows["signal"].any()
    assert not ewma([1.0, 2.0, 300.0], baseline)["signal"].any()
    assert not ewma_of_rate(laney_p([0, 1, 9], [10] * 3, baseline))["signal"].any()


def test_a_baseline_without_a_defect_has_no_signals_of_limits():
    rows = laney_p([0, 0, 0, 5], [50] * 4, [True] * 3 + [False])
    assert not rows["signal"].any()


def test_as_many_values_as_flags():
    with pytest.raises(ValueError, match=r"chart: found \(2,\) values and \(3,\) flags"):
        individuals([1.0, 2.0], [True] * 3)


def test_individuals_signal_once_in_370():
    noise = np.random.default_rng(2).normal(size=100_000)
    share = charted(individuals, noise)["signal"].mean()
    assert share == pytest.approx(2 * norm.sf(3), rel=0.15)  # 270 are expected, +- 16


def test_an_ewma_signals_once_in_500():
    rng = np.random.default_rng(3)
    runs = [int(charted(ewma, rng.normal(size=3000))["signal"].argmax()) for _ in range(150)]
    assert np.mean(runs) == pytest.approx(500, abs=120)  # standard error 41


def test_laneys_limits_hold_where_days_differ_by_more_than_chance():
    rng = np.random.default_rng(4)
    rates = rng.normal(0.1, 0.03, 20_000).clip(0.001)
    rows = laney_p(rng.binomial(1000, rates), [1000] * 20_000, [True] * 20_000)
    assert rows["signal"].mean() < 0.004
    p_chart = np.abs(rows["z"]) > 3
    assert p_chart.mean() > 0.3


def drawn(rows, **how):
    svg = control_chart(rows.assign(day=pd.date_range("2026-03-01", periods=len(rows))), what="heat", **how)
    return ElementTree.fromstring(svg).attrib["aria-label"]


def test_a_drawn_chart_says_how_many_judged_days_are_beyond():
    rows = charted(individuals, [15.9, 16.0, 7.0], before=[10, 12, 11, 13])
    assert drawn(rows) == "Control chart of heat up to Sat 7 Mar: 2 of 3 judged days beyond the limits."
    assert drawn(rows, percent=True) == drawn(rows)


def test_a_drawn_chart_without_limits_says_so_and_without_values_there_is_none():
    rows = individuals([1.0, 2.0], [False, False])
    assert drawn(rows) == "Control chart of heat up to Mon 2 Mar: not enough days for limits yet."
    assert control_chart(rows.head(0).assign(day=pd.to_datetime([])), what="heat") == ""
