"""What a model card says of the features: how many the model looks at, of what kind, and what was observed of some."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.dummy import DummyClassifier

from qma_predict.learn.baselines import RecentRateClassifier, SpcRuleClassifier
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.feature_list import feature_list
from qma_predict.learn.reliance import Reliance
from qma_predict.learn.training import Training
from qma_predict.publish.models.kept_models import FEATURES
from qma_predict.publish.models.markdown import escaped, more, shortened, table
from qma_predict.publish.models.model import Model

LONGEST = 60
"""Features that are told singly at most."""

OF_A_GROUP = 5
"""Features of a group that is relied on that are told singly at most."""

_RULES = {
    "prevalence": "every unit has the share of defects among the labels",
    "recent_rate": "the share of defects among the newest labels of each product and machine",
    "spc_rule": "how many of them are outside the limits that good units give, and how far",
}
"""What of its features a simple rule looks at."""


def used(training: Training) -> list[str]:
    """Features that the winner's scores depend on: all that a recipe was fitted on, of a simple rule its own."""
    model = training.models[training.winner]
    match model.classifier:
        case DummyClassifier():
            return []
        case RecentRateClassifier(odds_ratios_=by_column):
            return list(by_column)
        case SpcRuleClassifier(columns_=with_limits):
            return list(with_limits)
    return list(model.features)


def features_file(dataset: Dataset, training: Training) -> str:
    """Every feature as `feature_list` has it, and ``used``, whether the winner's scores depend on it: CSV."""
    every = feature_list(dataset)
    return str(every.assign(used=every["feature"].isin(used(training))).to_csv(index=False))


def features(dataset: Dataset, training: Training, model: Model, relied: Reliance) -> str:
    """Features by family and place, and singly those of the groups relied on and one of each tag.

    Parameters
    ----------
    dataset : Dataset
    training : Training
    model : Model
        As it is kept: the text says where the file of all features is.
    relied : Reliance
    """
    every, own = feature_list(dataset), used(training)
    told = every[every["feature"].isin(own)]
    file = f"`models/{model.line}/v{model.version}/{FEATURES}` of the home"
    whole = f"{file} has every feature with its unit of measure and range."
    rule = _RULES.get(model.contestant, "")
    does = f"{model.contestant} looks at {len(told)} features of {len(every)}: {rule}"
    head = f"{does if rule else f'{len(told)} features of {len(every)} are used'}. {whole}"
    if told.empty:
        return head
    places = [
        [escaped(family or "not said"), escaped(place), str(len(rows)), escaped(_units(rows)) or "none known"]
        for (family, place), rows in told.groupby(["family", "place"])
    ]
    some = told.set_index("feature", drop=False).loc[_some(told, relied)]
    rows = [
        [escaped(row["feature"]), escaped(row["unit"]), f"{row['known']:.4f}", _observed(row)]
        for row in some.to_dict("records")
    ]
    leading = "Those of the groups under What it relies on, then one" if relied.members else "One"
    parts = [
        f"{head} Ranges are what was observed, not limits of the process.",
        shortened(["family", "station or material", "features", "units of measure"], places),
    ]
    if rows:
        singly = table(["feature", "unit", "share of units that have it", "observed"], rows)
        parts.append(f"{leading} of each tag of which more than one value was observed:\n\n{singly}")
    return "\n\n".join(parts) + more(len(told) - len(rows), " in that file")


def _some(told: pd.DataFrame, relied: Reliance) -> list[str]:
    """Features that are told singly: of the groups relied on, then one of each tag, the same number at each place."""
    known, first = set(told["feature"]), []
    for group in relied.groups["group"]:
        members = sorted(relied.members.get(group, []), key=lambda name: name != group)
        first += [name for name in members if name in known][:OF_A_GROUP]
    tag = told["feature"].map(_tag)
    varies = (told["lowest"] < told["highest"]) | (told["values"].fillna(0) > 1)
    rest = told.assign(tag=tag, last=told["feature"].str.endswith(".last"))[varies & ~tag.isin(map(_tag, first))]
    rest = rest.sort_values("last", ascending=False, kind="stable").drop_duplicates("tag").sort_index()
    turn = rest.groupby("place").cumcount().sort_values(kind="stable").index[: max(0, LONGEST - len(first))]
    return first[:LONGEST] + list(rest.loc[turn.sort_values(), "feature"])


def _tag(feature: str) -> str:
    """The feature without its statistic.

    Examples
    --------
    >>> [_tag(name) for name in ("press.force.last", "press.machine", "unit.product")]
    ['press.force', 'press.machine', 'unit.product']
    """
    return feature.rpartition(".")[0] if feature.count(".") > 1 else feature


def _units(features: pd.DataFrame) -> str:
    return ", ".join(sorted(set(features["unit"]) - {""}))


def _observed(feature: Mapping[Any, Any]) -> str:
    if pd.notna(feature["values"]):
        return f"{feature['values']} different texts"
    if math.isnan(feature["lowest"]):
        return "not defined: no finite value"
    return f"{feature['lowest']:.6g} to {feature['highest']:.6g}"
