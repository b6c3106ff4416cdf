"""What `learning.group` takes from training, and the end of it: a group that goes on through the whole history."""

import logging

import pandas as pd

from qma_predict.errors import NotEnoughData
from qma_predict.features.groups import names
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.dataset import Dataset

log = logging.getLogger(__name__)

MUCH = 0.5
"""A part of what is known, so large that training says it when groups take it."""


def check_groups(dataset: Dataset, result: Backtest) -> None:
    """Refuse a group that leaves nothing to learn from before any block, and log one that takes `MUCH` of it.

    Parameters
    ----------
    dataset : Dataset
    result : Backtest
        On it.

    Raises
    ------
    NotEnoughData
        Before every block groups took what was known of defects or of good units.
    """
    blocks = result.table.drop_duplicates("block")
    units, defects = blocks["train_units"], blocks["train_defects"]
    left = _both(units, defects)
    before = _both(units + blocks["apart_units"], defects + blocks["apart_defects"])
    if before.any() and not left.any():
        others = [repr(name) for name in names(dataset.history) if name != dataset.line.learning.group]
        raise NotEnoughData(
            f"{dataset.line.file}: {in_words(dataset, result)}. Too little is left to learn from before any of the "
            f"{len(blocks)} blocks on which a training is judged. A group has to end after some days: name another in "
            f"learning.group (this history has {', '.join(others) or 'no other'}), or take it out. Lists go on by the "
            "champion, if there is one."
        )
    newest = blocks.iloc[-1]
    if newest["apart_units"] > MUCH * (newest["apart_units"] + newest["train_units"]):
        log.warning("%s: %s", dataset.line.name, in_words(dataset, result))


def in_words(dataset: Dataset, result: Backtest) -> str:
    """Say how many units groups took from training before the newest block where they did, and which took most.

    Returns
    -------
    str
        Empty where they took none.
    """
    blocks = result.table[result.table["apart_units"] > 0]
    if blocks.empty:
        return ""
    block, name, groups = blocks.iloc[-1], dataset.line.learning.group, pd.Series(dataset.groups)
    cutoff = dataset.points["cutoff"].reindex(groups.index)
    here = groups[(cutoff > block["origin"]) & (cutoff <= block["end"])].dropna()
    older = groups[cutoff <= block["origin"] - pd.Timedelta(dataset.line.gate.maturity)]
    sizes = older[older.isin(here)].value_counts()
    known = block["apart_units"] + block["train_units"]
    return (
        f"learning.group {name!r}: of {known:,} units with a known label before the block from "
        f"{block['origin']:%Y-%m-%d} {block['apart_units']:,} are not learnt from, since their {name} goes on in it; "
        f"of {sizes.index[0]!r} alone there are {sizes.iloc[0]:,} before it"
    )


def _both(units: pd.Series, defects: pd.Series) -> pd.Series:
    """Whether there are defects and good units."""
    return (defects > 0) & (defects < units)
