"""Training: recipe and ladder backtested in time order, then fitted on everything that is known."""

import difflib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import has_fit_parameter

from qma_predict.errors import LineError, NotEnoughData
from qma_predict.learn.backtest import Backtest, backtest
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.kept_apart import check_groups
from qma_predict.learn.label_quality import LabelQuality, label_quality
from qma_predict.learn.night_shifts import promise_spread
from qma_predict.learn.over_all import over_all_units
from qma_predict.learn.practice import Practice, compare_with_practice, reasons
from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.sentinel import find_leaks
from qma_predict.learn.shuffled import Shuffled, shuffled_split
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.trust import NO_RANGES, RiskRanges, ranking_because, risk_ranges
from qma_predict.learn.verdict import Verdict, differences, verdict
from qma_predict.learn.weights import fit_weighted
from qma_predict.line import Line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a training found.

    Attributes
    ----------
    backtest : Backtest
    verdict : Verdict
        The recipe against the best baseline.
    models : mapping of str to RiskModel
        The contestants, fitted on every label known at the dataset's `as_of`.
    winner : str
        The recipe if it was shown to be better than every baseline, else the best baseline.
    leaks : DataFrame, shape (n_findings, 4)
        What the sentinel found: ``feature``, ``kind``, ``evidence`` (see `find_leaks`), and ``kept``, whether the
        line keeps the feature; the others were left out of everything above.
    differences : DataFrame
        The recipe against every baseline by every metric: see `qma_predict.learn.verdict.differences`.
    practice : Practice
        The recipe against the plant's own suspicion, where that is recorded.
    shuffled : Shuffled
        The recipe on a random split, beside the time-ordered one.
    labels : LabelQuality
        How the labels came about: reporting delays, weights, and the inspectors' errors.
    over_all : DataFrame or None
        The backtest's metrics over all units, where they were selected for inspection with unequal probabilities
        that are known: see `over_all_units`.
    """

    backtest: Backtest
    verdict: Verdict
    models: Mapping[str, RiskModel]
    winner: str
    leaks: pd.DataFrame
    differences: pd.DataFrame
    practice: Practice
    shuffled: Shuffled
    labels: LabelQuality
    over_all: pd.DataFrame | None

    @property
    def left_out(self) -> list[str]:
        """Features that look like leaks and that the line does not keep."""
        return list(dict.fromkeys(self.leaks.loc[~self.leaks["kept"], "feature"]))

    @property
    def ranking(self) -> str:
        """Why the winner's scores are a ranking and not probabilities; empty if they may be read as such."""
        if getattr(self.models[self.winner].classifier, "is_ranking_", False):
            return "too few defects were left to calibrate it on"
        return ranking_because(self.backtest, self.winner, self.weight_of(self.winner))

    @property
    def ranges(self) -> RiskRanges:
        """Range of the risk by the winner's score; without points where scores are a ranking."""
        return NO_RANGES if self.ranking else risk_ranges(self.backtest, self.winner, self.weight_of(self.winner))

    @property
    def spread(self) -> PromiseSpread:
        """How far the winner's probabilities are off together in a night; chance alone where they are a ranking."""
        if self.ranking:
            return CHANCE_ALONE
        return promise_spread(self.backtest, self.winner, self.backtest.capacity, self.weight_of(self.winner))

    def weight_of(self, contestant: str) -> pd.Series | None:
        """Weights of the units that a contestant was fitted with; None if with equal ones."""
        takes_it = has_fit_parameter(self.models[contestant].classifier, "sample_weight")
        return self.labels.weight if takes_it else None

    @property
    def compared(self) -> dict[str, float]:
        """Figures of `shuffled` and `practice`, as far as there are any."""
        found = {
            "shuffled_average_precision": self.shuffled.average_precision,
            "shuffled_roc_auc": self.shuffled.roc_auc,
            "shuffled_gap_average_precision": self.shuffled.average_precision
            - self.shuffled.average_precision_in_order,
            "shuffled_gap_roc_auc": self.shuffled.roc_auc - self.shuffled.roc_auc_in_order,
            "practice_found": float(self.practice.found) if self.practice.checks else math.nan,
            "practice_found_by_score": self.practice.by_score,
        }
        return {name: value for name, value in found.items() if not math.isnan(value)}


def train(dataset: Dataset) -> Training:
    """Backtest the line's recipe against the ladder, and fit them all, without the features that look like leaks.

    Raises
    ------
    LineError
        If the line names a recipe or a parameter that there is not, or keeps a feature that there is not.
    NotEnoughData
        If the history is too short for the backtest, holds no good unit, or the line's group leaves nothing to learn
        from (`check_groups`). Where it holds no defect, nothing is learnt but the prevalence, which makes lists that
        say so.
    """
    line, recipe = dataset.line, dataset.line.learning.recipe
    contestants = {recipe: recipe_of(line)}
    contestants |= {name: make_baseline(name) for name in BASELINES}
    known = dataset.y.dropna()
    if known.empty or known.all():
        raise NotEnoughData(
            f"line {line.name}: {len(known)} units with a known label, {int(known.sum())} of them defects. "
            "Expected good units, and some defects; wait for results, or check the gate in line.toml."
        )
    quality = label_quality(dataset)
    leaks = looked_for_leaks(dataset)
    dataset = replace(dataset, X=dataset.X.drop(columns=leaks.loc[~leaks["kept"], "feature"].unique()))
    rows, splitter = (dataset.X, dataset.points["cutoff"]), judged_blocks(line)
    found = backtest(
        contestants,
        *rows,
        labels_at=dataset.labels_at,
        outcome=dataset.y,
        night=dataset.points["night"],
        splitter=splitter,
        capacity=line.list.capacity,
        costs=line.costs,
        weight=quality.weight,
        groups=dataset.groups,
    )
    check_groups(dataset, found)
    judged = verdict(found, recipe)
    practice = compare_with_practice(found, recipe, reasons(dataset), line.learning.practice)
    shuffled = shuffled_split(
        found, recipe, contestants[recipe], *rows, dataset.y, splitter=splitter, weight=quality.weight
    )
    for finding in (judged, practice, shuffled):
        log.info("%s", finding.sentence)
    learnt = contestants if known.any() else {BASELINES[0]: contestants[BASELINES[0]]}  # of goods alone no more
    models = {
        name: RiskModel.of(fit(estimator, dataset, quality.weight), dataset.X) for name, estimator in learnt.items()
    }
    winner = recipe if judged.better else judged.baseline or BASELINES[0]
    compared = differences(found, recipe)
    over_all = None if quality.uncut is None else over_all_units(found, quality.uncut)
    return Training(found, judged, models, winner, leaks, compared, practice, shuffled, quality, over_all)


def recipe_of(line: Line) -> BaseEstimator:
    """The line's recipe, unfitted, with the line's seed and parameters.

    Raises
    ------
    LineError
        If there is no such recipe, or it has no such parameter.
    """
    learning = line.learning
    if strange := sorted({"name", "random_state"} & learning.parameters.keys()):
        raise LineError(f"{line.file}: learning.parameters: found {strange[0]}, expected learning.recipe and .seed.")
    try:
        return make_recipe(learning.recipe, random_state=learning.seed, **learning.parameters)
    except ValueError as error:
        raise LineError(f"{line.file}: learning: {error}.") from error


def judged_blocks(line: Line) -> RollingOriginSplit:
    """Where the blocks are on which a training is judged."""
    return RollingOriginSplit(line.learning.blocks, test=line.learning.block, gap=line.gate.maturity)


def looked_for_leaks(dataset: Dataset) -> pd.DataFrame:
    """What the sentinel finds in a dataset, and whether the line keeps it all the same; see `Training.leaks`.

    Raises
    ------
    LineError
        If the line keeps a feature that there is not.
    """
    line, columns = dataset.line, list(dataset.X.columns)
    if strange := [name for name in line.learning.keep if name not in columns]:
        near = difflib.get_close_matches(strange[0], columns, n=1, cutoff=0.0)
        raise LineError(
            f"{line.file}: learning.keep: no feature {', '.join(map(repr, strange))} among the {len(columns)} of this "
            f"history. Expected names of features{f'; the nearest is {near[0]!r}' if near else ''}."
        )
    return leaks_of(dataset)


def leaks_of(dataset: Dataset) -> pd.DataFrame:
    """Do as `looked_for_leaks` does, where features that the line keeps may not be known yet."""
    line = dataset.line
    mature = dataset.points["cutoff"] + pd.Timedelta(line.gate.maturity) <= dataset.history.as_of
    leaks = find_leaks(dataset.X[mature], dataset.y[mature], dataset.points["cutoff"][mature])
    leaks["kept"] = leaks["feature"].isin(line.learning.keep)
    for row in leaks.itertuples():
        log.warning("%s %s: %s: %s", "kept" if row.kept else "left out", row.feature, row.kind, row.evidence)
    return leaks


def fit(estimator: BaseEstimator, dataset: Dataset, weight: pd.Series | None = None) -> BaseEstimator:
    """Fit an estimator on every unit with a known label, in time order, by weights and groups if it takes them."""
    order = dataset.points.reset_index().sort_values(["cutoff", "unit_id"])["unit_id"]
    known = dataset.y.reindex(order).dropna()
    weights = None if weight is None else weight.loc[known.index].to_numpy()
    return fit_weighted(
        estimator, dataset.X.loc[known.index], known.astype(int), weights, dataset.groups_of(known.index)
    )
