"""Names and keys of one system written as another writes them, by declared rules."""

import re
from collections.abc import Sequence

import pandas as pd


def normalised(values: pd.Series, rules: Sequence[str]) -> pd.Series:
    """Texts after the rules, in this order; missing where nothing is left.

    Parameters
    ----------
    values : Series of str
    rules : sequence of str
        ``upper``, ``lower``, ``remove blanks``, ``remove signs`` (all but letters and digits), ``remove leading
        zeros`` (one digit stays), ``remove prefix X``, ``remove suffix X``, ``add prefix X`` and ``pad N`` (zeros on
        the left up to N signs).

    Returns
    -------
    Series of str, indexed as `values`

    Notes
    -----
    Each different text is worked on once. Blanks that a rule leaves at the ends go, and where a rule leaves nothing,
    no later one makes something of it.

    Examples
    --------
    >>> import pandas as pd
    >>> names = pd.Series(["M 1", "m1 ", "SN-0042", "SN-"], dtype="str")
    >>> normalised(names, ["upper", "remove blanks", "remove prefix SN-", "remove leading zeros"]).tolist()
    ['M1', 'M1', '42', nan]
    """
    if not rules:
        return values
    codes, different = pd.factorize(values)
    written = pd.Series([_after(text, rules) for text in different], dtype="str").replace("", None)
    return pd.Series(written.astype("str").array.take(codes, allow_fill=True), index=values.index, dtype="str")


def _after(text: str, rules: Sequence[str]) -> str:
    for rule in rules:
        text = _ruled(text, rule).strip()
        if not text:
            break
    return text


def _ruled(text: str, rule: str) -> str:
    match rule.split(maxsplit=2):
        case ["upper"]:
            return text.upper()
        case ["lower"]:
            return text.lower()
        case ["remove", "blanks"]:
            return "".join(text.split())
        case ["remove", "signs"]:
            return "".join(sign for sign in text if sign.isalnum())
        case ["remove", "leading", "zeros"]:
            return re.sub(r"^0+(?=.)", "", text)
        case ["remove", "prefix", start]:
            return text.removeprefix(start)
        case ["remove", "suffix", end]:
            return text.removesuffix(end)
        case ["add", "prefix", start]:
            return start + text
        case ["pad", size]:
            return text.rjust(int(size), "0")
    raise ValueError(f"unknown rule {rule!r}")
