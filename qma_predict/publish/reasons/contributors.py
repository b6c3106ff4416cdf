"""What raises the risk of listed units beyond that of good units: groups of features, clear of chance and stable."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qma_predict.learn.explanations import REST, Predict, explain, moves
from qma_predict.learn.reference import Reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish.reasons.drivers import LEVELS, Name
from qma_predict.publish.reasons.unlike import Usual, how_far

SMALLEST = 0.2
"""What contributes less to the log-odds is not told."""

_CLEAR = 2.0
"""In standard errors of the sampling."""

_TOLD_APART, _WALKS, _CHECKED = 10, 32, 8
_FLOOR = 0.0005  # a hundredth of the share of defects that refits learn from


def contributors(
    predict: Predict,
    reference: Reference,
    X: pd.DataFrame,
    product: pd.Series,
    usual: Mapping[str, Usual],
    names: Mapping[str, Name],
    *,
    seed: int,
) -> pd.DataFrame:
    """Groups of features in which units are unlike good units and that raise their risks.

    Parameters
    ----------
    predict : callable
        P(defect) of features.
    reference : Reference
    X : DataFrame, shape (n_units, n_features), indexed by unit_id
        Of the units to explain, with the columns of the reference.
    product : Series of str, shape (n_units,), indexed by unit_id
    usual : mapping of str to Usual
        Good units by product.
    names : mapping of str to Name
        Features taken apart.
    seed : int

    Returns
    -------
    DataFrame
        ``unit_id``, ``group``, ``feature`` of the group in which the unit is farthest from good units,
        ``contribution`` [log-odds], ``clear`` (at least `SMALLEST`, and twice its sampling error, of a unit whose
        contributions add up to its score) and ``stability``, the share of the refits in which the group alone raises
        the risk, too, by half of `SMALLEST` at least; missing where not clear. By unit, the largest contribution first.
    """
    found = []
    for name in sorted(product.unique()):
        units, good = X.loc[product.index[product == name]], usual[name]
        if good.siblings.empty or units.columns.empty:
            continue
        distance = how_far(units, good)
        groups = reference.groups[units.columns]
        among = {unit_id: set(groups[row.to_numpy() > 0]) for unit_id, row in distance.iterrows()}
        options = {"most": _TOLD_APART, "samples": _WALKS, "random_state": seed}
        told = explain(predict, units, good.siblings, groups, among=among, **options)
        steps = told.contributions.assign(sure=told.contributions["unit_id"].map(told.totals["adds_up"]))
        steps = steps[(steps["group"] != REST) & (steps["contribution"] > 0)]
        feature = [_told_of(distance.loc[row.unit_id], groups, row.group, names) for row in steps.itertuples()]
        found.append(steps.assign(feature=pd.Series(feature, steps.index, dtype="str")))
    if not found:
        return pd.DataFrame(columns=["unit_id", "group", "feature", "contribution", "clear", "stability"])
    steps = pd.concat(found, ignore_index=True)
    large = (steps["contribution"] >= SMALLEST) & (steps["contribution"] > _CLEAR * steps["error"])
    steps["clear"] = large & steps["sure"]
    steps["stability"] = _stability(reference, X, product, steps[steps["clear"]], seed)
    return steps.drop(columns=["error", "sure"])


def _told_of(distance: pd.Series, groups: pd.Series, group: str, names: Mapping[str, Name]) -> str:
    """The tag of a group in which a unit is farthest from good units, by its value rather than by another statistic."""
    own = distance[(groups == group).to_numpy()]
    farthest = names[str(own.idxmax())]
    same = {names[str(one)].statistic: str(one) for one in own.index[own > 0] if names[str(one)][:2] == farthest[:2]}
    return next((same[level] for level in LEVELS if level in same), str(own.idxmax()))


def _stability(reference: Reference, X: pd.DataFrame, product: pd.Series, clear: pd.DataFrame, seed: int) -> pd.Series:
    """Share of the refits in which each group alone raises the unit's risk, too, against some of its siblings."""
    rng = np.random.default_rng(seed)
    position = pd.Series(np.arange(len(reference.siblings)), index=reference.siblings.index)
    drawn = {}
    for name in sorted(product.unique()):
        rows = position[reference.siblings_of(name)[0].index].to_numpy()
        drawn[name] = rng.choice(rows, _CHECKED, replace=len(rows) < _CHECKED) if len(rows) else rows
    asked = [(row.unit_id, row.group, drawn[product[row.unit_id]]) for row in clear.itertuples()]
    if not asked or not reference.refits:
        return pd.Series(0.0, index=clear.index)
    agree = [
        moves(_floored(one), X, reference.siblings, reference.groups, asked) >= SMALLEST / 2 for one in reference.refits
    ]
    return pd.Series(np.mean(agree, axis=0), index=clear.index)


def _floored(model: RiskModel) -> Predict:
    """Scores that no forest takes for sure: the log-odds of a 0 would outweigh all others."""
    return lambda X: model.predict(X) + _FLOOR
