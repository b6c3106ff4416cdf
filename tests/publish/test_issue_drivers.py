"""How the quantity that an issue's units have otherwise is told: true of the course that is drawn beside it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from qma_predict.publish.issues.driver import came, driver_of
from qma_predict.publish.pages.words import Moments

START = pd.Timestamp("2026-03-10 00:00", tz="UTC")
MOMENTS = Moments("UTC", date(2026, 3, 12), START)
GOOD = pd.DataFrame({"press.heat.last": np.linspace(200, 210, 201)})  # most have 201 to 209
HIGH, USUAL = 215.0, 205.0


def driver(line, values, *, units=None, **more):
    """The driver of an issue of candidates an hour apart, all of them or the `units` of these numbers."""
    names = [f"u{n:03d}" for n in range(len(values))]
    features = pd.DataFrame({"press.heat.last": values}, index=pd.Index(names, name="unit_id"))
    at = pd.Series(START + pd.to_timedelta(np.arange(len(values)), unit="h"), index=features.index)
    own = names if units is None else [names[n] for n in units]
    return driver_of(features, GOOD, own, at.sample(frac=1, random_state=0), line, MOMENTS, {}, **more)


@pytest.mark.parametrize(
    ("values", "course"),
    [
        ([HIGH] * 20, "high since Tue 10 Mar 00:00"),
        ([USUAL] * 8 + [HIGH] * 12, "high since Tue 10 Mar 08:00"),
        ([HIGH] * 8 + [USUAL] + [HIGH] * 12, "high since Tue 10 Mar 00:00"),  # one is no end
        ([HIGH] * 10 + [USUAL] * 5 + [HIGH] * 9, "high again since Tue 10 Mar 15:00"),
        ([HIGH] * 16 + [USUAL] * 5, "high from Tue 10 Mar 00:00 to Tue 10 Mar 15:00"),
        ([USUAL] * 2 + [HIGH] + [USUAL] * 4 + [HIGH] * 12, "high since Tue 10 Mar 07:00"),  # nor a beginning
        ([HIGH] * 16 + [USUAL] * 6 + [HIGH] + [USUAL] * 2, "high from Tue 10 Mar 00:00 to Tue 10 Mar 15:00"),
        (list(np.linspace(210, 240, 20)), "rising since Tue 10 Mar 00:00"),
        (list(np.linspace(240, 210, 20)), "high since Tue 10 Mar 00:00"),
        (list(np.linspace(200, 170, 20)), "falling since Tue 10 Mar 00:00"),
        ([USUAL, *([HIGH] + [USUAL] * 5) * 4], "high in 4 of 24 units since Tue 10 Mar 01:00"),
    ],
)
def test_the_course_is_that_of_the_last_run_beyond_the_good_range(tiny_line, values, course):
    beyond = [n for n, value in enumerate(values) if not 201 <= value <= 209]
    assert driver(tiny_line, values, units=beyond).sentence.endswith(f"good parts 201-209, {course}")


def test_a_course_that_falls_back_and_jumps_is_not_called_rising_since_its_first_unit(tiny_line):
    values = [230.0] * 12 + list(np.linspace(209, 203, 30)) + [231.0] * 8
    told = driver(tiny_line, values, units=[*range(6), *range(42, 50)]).sentence
    assert told == "press heat 231, good parts 201-209, high again since Wed 11 Mar 18:00"


def tags(product, upper, station="press"):
    row = {"station": station, "tag": "heat", "product": product, "lower": 190.0, "upper": upper}
    return row | {"plausible_low": np.nan, "plausible_high": np.nan, "valid_from": START, "recorded_at": START}


def test_the_limit_on_the_side_of_the_value_is_told(tiny_line):
    rows = pd.DataFrame([tags("", 212.5), tags("", 220.0, "oven")])
    told = driver(tiny_line, [HIGH] * 20, tags=rows).sentence
    assert told == "press heat 215, good parts 201-209, limit 212.5, high since Tue 10 Mar 00:00"
    assert "limit" not in driver(tiny_line, [HIGH] * 20, tags=rows.tail(1)).sentence
    assert "limit" not in driver(tiny_line, [HIGH] * 20, tags=rows.head(0)).sentence


def test_units_that_came_under_all_conditions_are_of_the_course():
    rows = [("a", "press machine", "P1", 1), ("a", "resin lot", "R-1", 3), ("b", "press machine", "P1", 2)]
    known = pd.DataFrame(rows, columns=["unit_id", "attribute", "value", "occurred_at"])
    assert came((("press machine", "P1"),), known).to_dict() == {"a": 1, "b": 2}
    assert came((("press machine", "P1"), ("resin lot", "R-1")), known).to_dict() == {"a": 3}
    assert came((), known).to_dict() == {"a": 3, "b": 2}
