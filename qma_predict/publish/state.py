"""Whether a list may be used as it is: OK, DEGRADED or BASELINE, with the reasons in words."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pandas as pd
from scipy.stats import binom

from qma_predict.data.freshness import late
from qma_predict.data.lake import History
from qma_predict.features.units import feature_tags
from qma_predict.line import Line
from qma_predict.publish.models.model import Model
from qma_predict.publish.reaction import NOTHING, Reaction

STALE = timedelta(hours=24)
"""What could not be read so long before the night is told with it."""

MISSING = 0.5
"""A feature is missing tonight if so much more of it is missing than among the good units of the training.

Of the candidates, if more than this share is not scored, the list is DEGRADED.
"""

MANY = 0.5
"""A unit's data is incomplete if it lacks so many of the sensors that nearly all good units have."""

CHANCE = 0.01
"""Promises are called broken too often where right ones would be it by chance on fewer than so many nights."""

_NEARLY_ALL = 0.9
_BROKEN_BY_CHANCE = 0.1
_NAMED = 4


def state_of(
    history: History,
    line: Line,
    model: Model,
    *,
    fresh: Mapping[str, datetime | None],
    X: pd.DataFrame,
    siblings: pd.DataFrame,
    promises: pd.DataFrame,
    reaction: Reaction = NOTHING,
    not_scored: int = 0,
) -> tuple[str, tuple[str, ...]]:
    """Return the state of a night's list and why it is not OK.

    Parameters
    ----------
    history : History
        As of the night.
    line : Line
    model : Model
    fresh : mapping of str to datetime or None
        When something was last recorded in each table of the line.
    X : DataFrame, shape (n_scored, n_features)
        Features of the scored candidates.
    siblings : DataFrame, shape (n_siblings, n_features)
        Those of good units of the training.
    promises : DataFrame, one row an earlier list, newest first
        ``model``, as `Model.identity`, and ``verdict``: "kept", "broken" or "not enough yet".
    reaction : Reaction
        What is done tonight because of them.
    not_scored : int
        Candidates of which no reading was known.

    Returns
    -------
    state : str
        "BASELINE" if a baseline is used instead of the recipe, "DEGRADED" if there is another reason, else "OK".
    reasons : tuple of str

    Notes
    -----
    Only promises of this very model count. What another one promised says nothing of tonight's risks: it was fitted on
    other data, and often replaced because of that. A new model has a clean record until enough of its own promises can
    be judged; the monitoring counts those of all models together.
    """
    reasons = []
    if not model.is_recipe:
        alone = "" if reaction.without_model else "no model in use was shown to be better than the simple rule: "
        reasons.append(f"{alone}{model.finding}")
    reasons += [*_defined_otherwise(line, model), *_not_scored(not_scored, len(X))]
    reasons += [*late(history, line, fresh), *_problems(history), *_missing(X, siblings, line)]
    reasons += reaction.reasons
    if not (reaction.ranking or reaction.moved):
        reasons += _broken(promises, model)
    return "BASELINE" if not model.is_recipe else "DEGRADED" if reasons else "OK", tuple(reasons)


def cautions(X: pd.DataFrame, siblings: pd.DataFrame, line: Line) -> pd.Series:
    """Return why a unit's risk is less certain than others', missing where it is not.

    Parameters
    ----------
    X, siblings, line
        As `state_of` takes them.

    Returns
    -------
    Series of str, shape (n_scored,), indexed by unit_id
    """
    known = siblings.notna().mean()
    numbers = [name for name in siblings.select_dtypes("number") if known[name] >= _NEARLY_ALL]
    tags = feature_tags(line, numbers)
    sensor = pd.Index(list(tags.values()), dtype="str")
    silent = X.reindex(columns=list(tags)).isna().T.groupby(sensor).all().T  # one may have many features
    lacks, count = silent.sum(axis=1).reindex(X.index, fill_value=0), sensor.nunique()
    said = lacks.map(lambda n: f"{n} of {count} sensors are silent" if n else "").astype("str")
    said = said.where(lacks >= MANY * max(count, 1), "")
    for name in _categories(siblings):
        if name in X:
            new = X[name].notna() & ~X[name].isin(siblings[name].unique())
            also = said.where(said == "", said + "; ") + X[name].astype("str") + " is new"
            said = said.mask(new, also)
    return said.astype("str").where(said != "")


def _categories(siblings: pd.DataFrame) -> list[str]:
    """Texts whose values come again, such as machines and products; not those that are new with each lot or unit."""
    texts = siblings.columns.difference(siblings.select_dtypes("number").columns)
    return [name for name in texts if 0 < siblings[name].nunique() <= max(len(siblings) / 10, 1)]


def _defined_otherwise(line: Line, model: Model) -> list[str]:
    """Whether a defect is something else by line.toml than it was to the model, where that says what it was."""
    gate = line.gate
    if not model.gate or (model.gate, {*model.characteristics}) == (gate.name, {*gate.characteristics}):
        return []
    then, now = (
        f"{', '.join(model.characteristics)} at {model.gate}",
        f"{', '.join(gate.characteristics)} at {gate.name}",
    )
    return [
        f"the model was trained for {then}, line.toml says {now}: the risks are of {then} until it is trained again "
        f"(qma train {line.name})"
    ]


def _not_scored(not_scored: int, scored: int) -> list[str]:
    """Whether nothing can be said of most candidates."""
    if not_scored <= MISSING * (not_scored + scored):
        return []
    return [f"{not_scored:,} of {not_scored + scored:,} candidates are not scored: no reading of them was known"]


def _problems(history: History) -> list[str]:
    """Sources and files that the night's own ingest could not read."""
    problems = history.tables["problems"]
    recent = problems.filter(
        problems.ingested_at <= history.as_of.to_pydatetime(),
        problems.ingested_at > (history.as_of - STALE).to_pydatetime(),
    )
    return sorted(set(recent.to_pandas()["problem"]))


def _missing(X: pd.DataFrame, siblings: pd.DataFrame, line: Line) -> list[str]:
    """Sensors, and features that tell of none, of which most units lack tonight what good units had."""
    if X.empty:
        return []
    names = siblings.select_dtypes("number").columns
    more = X.reindex(columns=names).isna().mean() - siblings[names].isna().mean()
    missing, tags = more.index[more > MISSING], feature_tags(line, names)
    sensors = {tags[name] for name in missing if name in tags}
    others = {name for name in missing if name not in tags}
    told = (
        (sorted(sensors), len({*tags.values()}), "sensors"),
        (sorted(others), len(names) - len(tags), "features other than readings"),
    )
    return [
        f"{len(lacking)} of {count} {what} are missing for most units: {_some(lacking)}"
        for lacking, count, what in told
        if lacking
    ]


def _some(names: list[str]) -> str:
    """The first of them, and how many more."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def broken_beyond_chance(verdicts: pd.Series) -> bool:
    """Whether more promises were broken than right ones are by chance, of which nine in ten are kept.

    Parameters
    ----------
    verdicts : Series of str
        "kept", "broken" or "not enough yet".

    Examples
    --------
    >>> broken_beyond_chance(pd.Series(["kept"] * 7 + ["broken"] * 5)), broken_beyond_chance(pd.Series(["broken"]))
    (True, False)
    """
    broken, told = int((verdicts == "broken").sum()), int(verdicts.isin(["kept", "broken"]).sum())
    return bool(binom.sf(broken - 1, told, _BROKEN_BY_CHANCE) <= CHANCE)


def _broken(promises: pd.DataFrame, model: Model) -> list[str]:
    """Whether the model broke its promises more often than chance allows."""
    if promises.empty:
        return []
    verdicts = promises.loc[promises["model"] == model.identity, "verdict"]
    if not broken_beyond_chance(verdicts):
        return []
    broken, told = int((verdicts == "broken").sum()), int(verdicts.isin(["kept", "broken"]).sum())
    return [
        f"{broken} of the last {told} promises of this model that can be judged were broken: take the risks as a "
        "ranking"
    ]
