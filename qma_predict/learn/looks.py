"""How often the blocks of a backtest were looked at before.

Whoever looks at the same weeks again and again, and keeps what did best on them, is misled by luck at last.
"""

from collections.abc import Sequence

import pandas as pd


def spans(table: pd.DataFrame) -> list[list[str]]:
    """Start and end of each block [UTC], oldest first, as texts whose order is that of time.

    Parameters
    ----------
    table : DataFrame
        `Backtest.table`.

    Examples
    --------
    >>> origin = pd.to_datetime(["2026-01-05"], utc=True)
    >>> spans(pd.DataFrame({"block": 1, "origin": origin, "end": origin + pd.Timedelta("14D")}))
    [['2026-01-05T00:00:00.000000Z', '2026-01-19T00:00:00.000000Z']]
    """
    blocks = table.drop_duplicates("block")
    moments = [blocks[name].dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for name in ("origin", "end")]
    return [list(span) for span in zip(*moments, strict=True)]


def looks(blocks: Sequence[Sequence[str]], earlier: Sequence[Sequence[Sequence[str]]]) -> list[int]:
    """How many earlier trainings looked at each block: those with a block of their own that shares time with it.

    Parameters
    ----------
    blocks : sequence of (start, end)
        As `spans` gives them.
    earlier : sequence of such sequences
        One an earlier training.

    Returns
    -------
    list of int, shape (n_blocks,)

    Examples
    --------
    >>> looks([("01", "03"), ("03", "05")], [[("02", "03")], [("02", "04")], [("05", "07")]])
    [2, 1]
    """
    return [
        sum(any(start < other_end and other_start < end for other_start, other_end in one) for one in earlier)
        for start, end in blocks
    ]


def in_words(looked: Sequence[int]) -> str:
    """Say how often blocks were looked at.

    Examples
    --------
    >>> in_words([0, 0]), in_words([3, 3])
    ('its blocks were never looked at before', 'its blocks were looked at 3 times before')
    >>> in_words([2, 1, 0])
    'its blocks were looked at 2, 1, 0 times before, oldest first'
    """
    if not any(looked):
        return "its blocks were never looked at before"
    if len(set(looked)) == 1:
        return f"its blocks were looked at {looked[0]} time{'s' if looked[0] > 1 else ''} before"
    return f"its blocks were looked at {', '.join(map(str, looked))} times before, oldest first"
