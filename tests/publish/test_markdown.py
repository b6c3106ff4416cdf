import html
import string

import pytest

from qma_predict.publish.models.markdown import escaped, table


@pytest.mark.parametrize("text", ["cast.die_temperature.last", "PH-100", "95.0 % (78.6 to 95.7 %)", "Gehäuse Größe 2"])
def test_ordinary_text_stays_as_it_is(text):
    assert escaped(text) == text


@pytest.mark.parametrize(
    "text", [string.punctuation, "_a_", "a__b", "http://x.y", "www.x.y", "[a](b)", "&lt;", "a\\|b"]
)
def test_every_reader_shows_the_text_itself(text):
    assert html.unescape(escaped(text)) == text


@pytest.mark.parametrize(
    "text", ["|", "\\", "`", "*", "[", "]", "<", ">", "~", "_a", "a_", "://", "&amp;", "\n", "\r", "\x0b"]
)
def test_what_acts_in_markdown_or_html_is_not_left(text):
    assert text not in escaped(f"1 {text} 2")


def test_a_cell_of_the_plant_makes_no_cell_or_row_of_its_own():
    rows = [[escaped("a|b\\|c\n| d | e |"), "1"]]
    lines = table(["unit", "n"], rows).split("\n")
    assert [line.count("|") for line in lines] == [3, 3, 3]


def test_a_table_without_rows_is_empty():
    assert table(["unit"], []) == ""
