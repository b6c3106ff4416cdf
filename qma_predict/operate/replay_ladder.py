"""The ladder on replayed nights: the simple rules, fitted when the model was, scoring the same units."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.label_quality import label_quality
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import fit, looked_for_leaks
from qma_predict.line import Line
from qma_predict.publish.scoring import score_candidates


def fit_ladder(dataset: Dataset) -> dict[str, RiskModel]:
    """Fit every simple rule as `qma_predict.learn.training.train` does, by name.

    Raises
    ------
    NotEnoughData
        If there is no defect or no good unit to learn from.
    """
    leaks = looked_for_leaks(dataset)
    without = replace(dataset, X=dataset.X.drop(columns=leaks.loc[~leaks["kept"], "feature"].unique()))
    weight = label_quality(dataset).weight
    return {name: RiskModel.of(fit(make_baseline(name), without, weight), without.X) for name in BASELINES}


def new_units_scored(history: History, line: Line, ladder: Mapping[str, RiskModel], first_night: date) -> pd.DataFrame:
    """Scores of a night's new candidates by every simple rule.

    Parameters
    ----------
    history : History
        As of the night.
    line : Line
    ladder : mapping of str to RiskModel
    first_night : date
        The night.

    Returns
    -------
    DataFrame
        ``unit_id``, ``cutoff`` [UTC] and a column a rule; of candidates that can be scored, by ``unit_id``.
    """
    candidates, X = score_candidates(history, line, next(iter(ladder.values())).predict)
    new = candidates[candidates["first_night"] == first_night].set_index("unit_id")
    new = new.loc[new.index.intersection(X.index).sort_values(), ["cutoff"]]
    for name, model in ladder.items():
        new[name] = model.predict(X.loc[new.index]) if len(new) else np.empty(0)
    return new.rename_axis("unit_id").reset_index()
