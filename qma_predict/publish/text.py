"""Text of the plant made harmless for what people open: pages and spreadsheets."""

import re
import unicodedata

# What starts a formula, at the start of a cell or after a semicolon: where the semicolon is the list
# separator, a spreadsheet splits our lines there. Full-width forms act too. Source: OWASP, CSV injection.
_FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@'\uff1d\uff0b\uff0d\uff20])")


def visible(text: str) -> str:
    r"""Return the text with control, format and direction characters written out, so that none of them acts.

    Texts that differ only in such characters can be told apart, and no text has a line break.

    Examples
    --------
    >>> print(visible("7047\u202e81300\n"))
    7047\u202e81300\n
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text
    )


def shortened(text: str, *, longest: int) -> str:
    """Return `visible` text of at most ``longest`` characters, cut in the middle: ids differ at both ends.

    Examples
    --------
    >>> shortened("7047-00318-0000000001", longest=12)
    '7047-00…0001'
    """
    text = visible(text)
    if len(text) <= longest:
        return text
    tail = (longest - 1) * 2 // 5
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"


def spreadsheet_text(text: str) -> str:
    r"""Return the text so that no spreadsheet takes it, or a part of it, for a formula.

    The rule: hidden characters are written out (`visible`); then an apostrophe is put before ``=``, ``+``,
    ``-``, ``@`` (also full-width) and the apostrophe itself, where it is the first of the cell or follows a
    semicolon, with or without spaces between. To undo it, drop one apostrophe at each of these places.

    Examples
    --------
    >>> print(spreadsheet_text("=1+1"), spreadsheet_text("A-55"), spreadsheet_text("x; @SUM(A1)"))
    '=1+1 A-55 x;' @SUM(A1)
    """
    return _FORMULA.sub(r"\1'", visible(text))
