"""What must be said of a dataset's labels before anything is learned from them."""

import json
import logging
from dataclasses import dataclass

import pandas as pd

from qma_predict.learn.agreement import Agreement, agreement, left_out
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.delays import reporting_delays, too_short
from qma_predict.learn.rates import Rate, percent, rate_size, weighted_rate
from qma_predict.learn.weights import LARGEST, uncut_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelQuality:
    """How a dataset's labels came about.

    Attributes
    ----------
    uncut : Series of float, indexed by unit_id, or None
        How many units each stands for (see `uncut_weights`); None where all stand for as many.
    rate : Rate
        Share of recorded defects among all units, by the weights as they are.
    delays : DataFrame
        As `reporting_delays` gives them.
    agreement : Agreement or None
        What a study of the inspectors says, where there is one.
    notices : tuple of str
        What people should know, in sentences.
    """

    uncut: pd.Series | None
    rate: Rate
    delays: pd.DataFrame
    agreement: Agreement | None
    notices: tuple[str, ...]

    @property
    def weight(self) -> pd.Series | None:
        """Weight of each unit in a fit, see `inspection_weights`; None where all are equal."""
        return None if self.uncut is None else self.uncut.clip(upper=LARGEST)

    def files(self) -> dict[str, str]:
        """The same as texts by the name of a file: what should be known of the labels, and the figures behind it."""
        files = {
            "notices.txt": "\n".join(self.notices),
            "rate.json": json.dumps(self.rate._asdict()),
            "delays.csv": self.delays.to_csv(),
        }
        return files if self.agreement is None else files | {"inspectors.csv": self.agreement.inspectors.to_csv()}


def label_quality(dataset: Dataset) -> LabelQuality:
    """Delays, weights and the inspectors' errors of a dataset's labels; what is noticed is logged."""
    history, line, points = dataset.history, dataset.line, dataset.points.reset_index()
    known = dataset.y.dropna()
    uncut = uncut_weights(history, points, line)
    used = uncut[known.index]
    y, w = known.to_numpy(), used.to_numpy()
    rate, size = weighted_rate(y, w), rate_size(y, w)
    delays = reporting_delays(history, points, line)
    study = agreement(history, line, rate, size)
    weighted = bool(used.nunique() > 1)
    said = [too_short(delays, line), _of_weights(known, used, rate, size) if weighted else ""]
    notices = tuple(one for one in [*said, study.sentence if study else "", left_out(history, line)] if one)
    for notice in notices:
        log.info("labels: %s", notice)
    return LabelQuality(uncut if weighted else None, rate, delays, study, notices)


def _of_weights(known: pd.Series, used: pd.Series, rate: Rate, size: float) -> str:
    cut = int((used > LARGEST).sum())
    inspected = percent(float(known.mean()))
    return (
        f"units were selected for inspection with unequal probabilities: of the inspected {inspected} are defect, of "
        f"all {rate}; {len(used):,} labels are worth {size:,.0f}"
        + (f"; for learning, weights were cut to {LARGEST:g} times the mean: {cut:,}" if cut else "")
    )
