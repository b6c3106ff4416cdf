import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from example_lists import promises, ranked

from qma_predict.learn.promise import PromiseSpread
from qma_predict.publish.pages.pictures import MOST_POINTS, capacity_curve, course, nights

TIMES = pd.Series(pd.date_range("2026-11-20", periods=5, freq="D", tz="UTC"))
COLOURS = re.compile(r"#[0-9a-f]{6}")


def label(svg: str) -> str:
    return ElementTree.fromstring(svg).attrib["aria-label"]


def test_nights_tell_how_many_promises_were_kept():
    svg = nights(promises({}, {"verdict": "broken"}, {"verdict": "not enough yet"}))
    assert (
        label(svg)
        == "Defects promised and found, 3 nights up to Mon 23 Nov: promise kept 1 of 2, 1 not enough known yet."
    )


def test_where_nothing_was_checked_nothing_is_drawn_as_found():
    unknown = {"checked": 0, "found": 0, "verdict": "not enough yet"}
    points = [svg.count("<use ") for svg in map(nights, (promises({}, unknown), promises({}, {})))]
    assert points[0] < points[1]


def test_nights_without_a_promised_number_show_what_was_found():
    rows = promises({"promised": np.nan, "low": np.nan, "high": np.nan, "found": 0})
    assert "1 night up to Mon 23 Nov" in label(nights(rows))


def test_the_capacity_curve_tells_what_tonight_and_more_would_find():
    svg = capacity_curve(ranked([0.9] * 4 + [0.5] * 6, listed=2))
    assert (
        label(svg)
        == "Expected defects against units checked: tonight's 2 checks find about 1.8; 10 would find about 7."
    )


def test_the_capacity_curve_counts_as_the_promise_does():
    halved = PromiseSpread((-float(np.log(2)),), (1.0,))  # odds of 9 and 1
    svg = capacity_curve(ranked([0.9] * 4 + [0.5] * 6, listed=2), halved)
    assert "tonight's 2 checks find about 1.6; 10 would find about 5." in label(svg)


def test_the_capacity_curve_counts_audits_with_the_list():
    rows = ranked([0.5, 0.5, 0.2], listed=1)
    rows.loc[2, "listed"] = True
    assert "tonight's 2 checks find about 0.7; 3 would find about 1.2." in label(capacity_curve(rows))


def test_a_course_is_told_with_its_range_and_limits_in_order_of_time():
    svg = course(TIMES.iloc[::-1], pd.Series([5.0, 4, np.nan, 9, 1]), timezone="UTC", good=(2, 3), limits=(None, 8))
    assert label(svg) == "Course of the value from 1 to 5, lowest 1, highest 9, good parts 2 to 3, limits 8."
    assert "20 Nov 00:00" in svg


def test_times_are_those_of_the_line():
    assert "20 Nov 01:00" in course(TIMES, pd.Series(range(5)), timezone="Europe/Berlin")


def test_one_value_is_a_course_too():
    assert "from 3 to 3" in label(course(TIMES.head(1), pd.Series([3.0]), timezone="UTC"))


def test_a_peak_in_a_long_course_is_kept():
    values = np.zeros(10_000)
    values[7_777] = 1.0
    times = pd.Series(pd.date_range("2026-11-01", periods=10_000, freq="min", tz="UTC"))
    flat, peak = (course(times, pd.Series(v), timezone="UTC") for v in (np.zeros(10_000), values))
    assert flat != peak
    points = max(len(re.findall("[ML] ", path)) for path in re.findall(r'd="([^"]+)"', peak))
    assert 3 <= points <= MOST_POINTS


@pytest.mark.parametrize(
    "svg",
    [
        nights(promises()),
        capacity_curve(ranked([0.2], listed=0)),
        course(TIMES.head(0), pd.Series([], dtype=float), timezone="UTC"),
        course(TIMES.head(2), pd.Series([np.nan, np.inf]), timezone="UTC"),
    ],
)
def test_where_nothing_is_known_nothing_is_drawn(svg):
    assert svg == ""


def test_times_without_values_are_refused():
    with pytest.raises(ValueError, match="found 5 times and 1 values, expected as many of each"):
        course(TIMES, pd.Series([1.0]), timezone="UTC")


def pictures() -> list[str]:
    times = pd.Series(pd.date_range("2026-11-01", periods=5_000, freq="5min", tz="UTC"))
    noise = pd.Series(np.sin(np.arange(5_000.0) ** 2) * 1e5)
    return [
        nights(promises(*[{}] * 30)),
        capacity_curve(ranked(list(np.linspace(0.9, 0.001, 200_000)), listed=5_000)),
        course(times, noise, timezone="Europe/Berlin", good=(-1, 1), limits=(-5, 5)),
    ]


def test_pictures_are_small_grey_and_need_nothing_from_elsewhere():
    for svg in pictures():
        assert len(svg.encode()) < 40_000
        assert {colour for colour in COLOURS.findall(svg) if len(set(re.findall("..", colour[1:]))) > 1} == set()
        assert not re.search(r"https?:|url\(|<style|<script|<metadata|clip-path=", svg)
        assert ElementTree.fromstring(svg).attrib["role"] == "img"


def test_the_same_picture_has_the_same_bytes():
    assert pictures() == pictures()


def test_settings_of_the_machine_or_of_a_notebook_change_no_byte():
    rows = pd.DataFrame({"score": np.linspace(0.5, 0.01, 50), "listed": [True] * 10 + [False] * 40})
    before = capacity_curve(rows)
    with matplotlib.rc_context({"axes.grid": True, "figure.constrained_layout.use": True, "lines.linewidth": 9}):
        assert capacity_curve(rows) == before


def test_the_name_of_the_last_day_ends_within_the_picture():
    texts = ElementTree.fromstring(nights(promises({}, {}, {}))).iter("text")
    days = [node.attrib["style"] for node in texts if re.fullmatch(r"\d+ Nov", "".join(node.itertext()))]
    assert ["anchor: end" in style for style in days] == [False, False, True]
