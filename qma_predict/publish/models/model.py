"""What is known of a model that is registered."""

from dataclasses import dataclass
from datetime import datetime

from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.learn.trust import NO_RANGES, RiskRanges


@dataclass(frozen=True)
class Model:
    """A registered version of a line's model.

    Attributes
    ----------
    line, version, run_id : str
    contestant : str
        Name of the recipe or baseline that it is a fit of.
    is_recipe : bool
        False for a baseline, which is used because no recipe was shown to be better.
    as_of : datetime, UTC
        Nothing recorded later was used for it.
    base_rate : float
        Share of defects among the labels it was fitted on.
    finding : str
        What its backtest said, in a sentence.
    leaks : str
        Features that looked like leaks: which it was fitted without, and which were kept; empty if none did.
    also : tuple of str
        What else its backtest said, a sentence each: the plant's practice, the shuffled split, and how often the
        blocks were looked at before.
    ranking : str
        Why its scores are a ranking and not probabilities; empty if they may be read as such.
    ranges : RiskRanges
        Range of the risk by score; without points where scores are a ranking.
    spread : PromiseSpread
        How far a night's probabilities are off together.
    """

    line: str
    version: str
    run_id: str
    contestant: str
    is_recipe: bool
    as_of: datetime
    base_rate: float
    finding: str
    leaks: str = ""
    also: tuple[str, ...] = ()
    ranking: str = ""
    ranges: RiskRanges = NO_RANGES
    spread: PromiseSpread = CHANCE_ALONE
