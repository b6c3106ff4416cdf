import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qma_predict.line.measures import converted, is_unit, unit_of


@pytest.mark.parametrize(
    ("number", "given_in", "kept_in", "expected"),
    [
        (212.0, "degF", "degC", 100.0),
        (-40.0, "°F", "°C", -40.0),
        (0.0, "degC", "K", 273.15),
        (1.0, "inch", "mm", 25.4),
        (100.0, "kPa", "bar", 1.0),
        (3000.0, "rpm", "1/min", 3000.0),
        (50.0, "1/s", "rpm", 3000.0),
        (50.0, "%", "1", 0.5),
    ],
)
def test_numbers_are_converted_without_an_error_of_rounding(number, given_in, kept_in, expected):
    assert converted(np.array([number, np.nan]), given_in, kept_in).tolist() == pytest.approx(
        [expected, np.nan], abs=0, rel=0, nan_ok=True
    )


def test_a_pound_a_square_inch_is_so_much_in_bar():
    assert converted(np.array([1.0]), "psi", "bar").tolist() == pytest.approx([0.0689475729], rel=1e-9)


@pytest.mark.parametrize(("one", "other"), [("bar", "degC"), ("C", "degC"), ("dBm", "mW"), ("apples", "mm")])
def test_units_that_contradict_are_not_converted(one, other):
    assert converted(np.array([1.0]), one, other) is None


@pytest.mark.parametrize("text", ["apples", "mm/", "9**9**9**9", "9⁹⁹", "m**9**9**9", "10 mm", "(" * 30, "m" * 41, "'"])
def test_what_is_no_unit_is_told_at_once(text):
    assert not is_unit(text)


@given(st.text(alphabet="mKbar°CF%/*^()0123456789²⁹⁻. -·_", max_size=45))
def test_no_text_breaks_the_library_of_units(text):
    assert is_unit(text) in (True, False)


def test_the_first_pattern_that_fits_says_the_unit():
    patterns = {"oven.temp_?": "degC", "*.temp_*": "degF", "mill.*": "bar"}
    assert unit_of("oven.temp_1", patterns) == "degC"
    assert unit_of("mill.temp_1", patterns) == "degF"
    assert unit_of("Mill.load", patterns) is None
