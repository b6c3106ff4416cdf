"""Markdown of text that the plant wrote: shown as it is, whatever signs it has."""

import re
from collections.abc import Iterable, Sequence

from qma_predict.publish.text import visible

LONGEST = 60
"""Rows of a table at most; the rest is counted."""

# What acts within a line of CommonMark or of GitHub's extensions (tables, links of bare addresses). An underscore
# between two letters or digits does not. Backslashes would not do: inside tables they are read twice.
_ACTS = re.compile(r"[\\`*\[\]<>|~&#$!^{}]|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.|:(?=//)|@", re.IGNORECASE)


def escaped(text: str) -> str:
    r"""Return the text for a place within a line of Markdown, a table's cell too: nothing of it acts there.

    Hidden characters are written out (`visible`), so that it has no line break; what has a meaning in Markdown or
    HTML becomes a character reference, which every reader shows as the character.

    Examples
    --------
    >>> print(escaped("cast.die_temperature.last: 5 < 7"), escaped("a|b"))
    cast.die_temperature.last: 5 &#60; 7 a&#124;b
    """
    return _ACTS.sub(lambda found: f"&#{ord(found[0])};", visible(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts that are Markdown already; empty without rows.

    Examples
    --------
    >>> print(table(["unit", "n"], [["a", "1"]]))
    | unit | n |
    |---|---|
    | a | 1 |
    """
    lines = [_row(row) for row in rows]
    return "\n".join([_row(head), "|" + "---|" * len(head), *lines]) if lines else ""


def shortened(head: Sequence[str], rows: Sequence[Sequence[str]], where: str = "") -> str:
    """Return a table of the first rows, with a sentence on the others: how many there are, and where."""
    return table(head, rows[:LONGEST]) + more(len(rows) - LONGEST, where)


def more(rows: int, where: str) -> str:
    r"""Return the sentence on what is left out, as a paragraph of its own; empty if nothing is.

    Examples
    --------
    >>> more(3, "; all are in `leaks.csv`"), more(0, "")
    ('\n\n3 more; all are in `leaks.csv`.', '')
    """
    return f"\n\n{rows} more{where}." if rows > 0 else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
