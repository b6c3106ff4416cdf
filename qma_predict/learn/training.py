"""Training: recipe and ladder backtested in time order, then fitted on everything that is known."""

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
from sklearn.base import BaseEstimator

from qma_predict.errors import LineError, NotEnoughData
from qma_predict.learn.backtest import Backtest, backtest
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.recipes import RECIPES, make_recipe
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.sentinel import find_leaks
from qma_predict.learn.splits import RollingOriginSplit
from qma_predict.learn.verdict import Verdict, verdict

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
    """

    backtest: Backtest
    verdict: Verdict
    models: Mapping[str, RiskModel]
    winner: str
    leaks: pd.DataFrame

    @property
    def left_out(self) -> list[str]:
        """Features that look like leaks and that the line does not keep."""
        return list(dict.fromkeys(self.leaks.loc[~self.leaks["kept"], "feature"]))


def train(dataset: Dataset) -> Training:
    """Backtest the line's recipe against the ladder, and fit them all, without the features that look like leaks.

    Raises
    ------
    LineError
        If the line names a recipe that there is not, or keeps a feature that there is not.
    NotEnoughData
        If the history is too short for the backtest, or holds no defect or no good unit.
    """
    line, recipe = dataset.line, dataset.line.learning.recipe
    if recipe not in RECIPES:
        raise LineError(f"{line.file}: learning.recipe: no recipe {recipe!r}. Expected one of {', '.join(RECIPES)}.")
    contestants = {recipe: make_recipe(recipe, random_state=line.learning.seed)}
    contestants |= {name: make_baseline(name) for name in BASELINES}
    known = dataset.y.dropna()
    if known.nunique() < 2:
        raise NotEnoughData(
            f"line {line.name}: {len(known)} units with a known label, {int(known.sum())} of them defects. "
            "Expected some defects and some good units; wait for results, or check the gate in line.toml."
        )
    leaks = looked_for_leaks(dataset)
    dataset = replace(dataset, X=dataset.X.drop(columns=leaks.loc[~leaks["kept"], "feature"].unique()))
    units = dataset.points.loc[known.index]
    found = backtest(
        contestants,
        dataset.X.loc[known.index],
        units["cutoff"],
        labels_at=dataset.labels_at,
        outcome=known,
        night=units["night"],
        splitter=RollingOriginSplit(line.learning.blocks, test=line.learning.block, gap=line.gate.maturity),
        capacity=line.list.capacity,
    )
    judged = verdict(found, recipe)
    log.info("%s", judged.sentence)
    models = {name: RiskModel.of(fit(estimator, dataset), dataset.X) for name, estimator in contestants.items()}
    return Training(found, judged, models, recipe if judged.better else judged.baseline or BASELINES[0], leaks)


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
    mature = dataset.points["cutoff"] + pd.Timedelta(line.gate.maturity) <= dataset.history.as_of
    leaks = find_leaks(dataset.X[mature], dataset.y[mature], dataset.points["cutoff"][mature])
    leaks["kept"] = leaks["feature"].isin(line.learning.keep)
    for row in leaks.itertuples():
        log.warning("%s %s: %s: %s", "kept" if row.kept else "left out", row.feature, row.kind, row.evidence)
    return leaks


def fit(estimator: BaseEstimator, dataset: Dataset) -> BaseEstimator:
    """Fit an estimator on every unit with a known label, in time order."""
    order = dataset.points.reset_index().sort_values(["cutoff", "unit_id"])["unit_id"]
    known = dataset.y.reindex(order).dropna()
    return estimator.fit(dataset.X.loc[known.index], known.astype(int))
