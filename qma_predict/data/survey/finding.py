"""What a survey finds, and the survey as a whole."""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

Weight = Literal["blocks", "look", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know.

    Attributes
    ----------
    weight : {"blocks", "look", "note"}
        Nothing useful can come of the line until it is mended; it is suspicious; it is only told.
    kind : str
        What sort of trouble, the same words each time.
    what : str
        What was found, where.
    count : int
        Of rows, units or keys that have it.
    do : str
        What to do about it.
    """

    weight: Weight
    kind: str
    what: str
    count: int
    do: str


@dataclass(frozen=True)
class Survey:
    """What an ingest of a line's sources would do, and what is strange about the data. Nothing was written.

    Attributes
    ----------
    line : str
    tables : DataFrame
        ``table``, ``files``, ``rows``, ``accepted``, ``duplicates``, ``quarantined``.
    reasons : DataFrame
        ``table``, ``reason``, ``rows`` quarantined for it, and an ``example``: file and row.
    coverage : DataFrame
        ``what`` is joined, ``of`` how many, how many ``matched``.
    clocks : DataFrame
        By ``table``: how long after it happened a row was recorded (``median``, ``p95``, ``longest``), and how many
        rows of how many judged units were ``late``: happened by the cutoff and recorded after it.
    labels : DataFrame
        One row: units with a prediction point (``units``), ``defects``, ``good``, ``missing``.
    findings : tuple of Finding
        Those that block first.
    problems : tuple of str
        Sources and files that could not be read.
    """

    line: str
    tables: pd.DataFrame
    reasons: pd.DataFrame
    coverage: pd.DataFrame
    clocks: pd.DataFrame
    labels: pd.DataFrame
    findings: tuple[Finding, ...] = field(default=())
    problems: tuple[str, ...] = field(default=())

    @property
    def useful(self) -> bool:
        """Whether any row would be accepted."""
        return bool(self.tables["accepted"].sum() > 0)

    def of(self, weight: Weight) -> tuple[Finding, ...]:
        """Findings of a weight."""
        return tuple(one for one in self.findings if one.weight == weight)
