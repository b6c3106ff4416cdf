"""Why units are listed: the few things in which each is unlike good units, as far as they raise its risk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.learn.explanations import Predict
from qma_predict.learn.reference import Reference
from qma_predict.line import Line
from qma_predict.publish.pages.words import SENTENCES, Moments
from qma_predict.publish.reasons.contributors import contributors
from qma_predict.publish.reasons.courses import implausible, last_run, stuck_for
from qma_predict.publish.reasons.drivers import (
    LEVELS,
    UNLIMITED,
    Driver,
    Limits,
    Name,
    ambiguous,
    limit_in_words,
    limits_at,
    name_of,
    numbers_in_words,
    plain,
    sentence,
    words_of,
)
from qma_predict.publish.reasons.unlike import RARE, Usual, usual_of, without_infinite
from qma_predict.publish.text import visible

MOST = 2
"""Drivers told of a unit."""

STABLE = 0.75
"""Share of the refits in which a driver has to raise the risk, too."""

_OF_THE_FIRST = 0.25


def because(
    predict: Predict,
    reference: Reference,
    X: pd.DataFrame,
    listed: Sequence[str],
    candidates: pd.DataFrame,
    *,
    tags: pd.DataFrame,
    units: Mapping[str, str],
    line: Line,
    moments: Moments,
    simple_rule: bool = False,
) -> pd.DataFrame:
    """Why each listed unit is unlike good units, in a sentence.

    Parameters
    ----------
    predict : callable
        The model: P(defect) of features, shape (n_units,).
    reference : Reference
        Of the same model.
    X : DataFrame, shape (n_candidates, n_features), indexed by unit_id
        Features of the night's scored candidates; those that the model does not have are ignored.
    listed : sequence of str
        Unit ids, all in `X`; each takes about 50 ms.
    candidates : DataFrame
        With ``unit_id``, ``product`` and ``cutoff`` [UTC] of every unit of `X`.
    tags : DataFrame
        Every version of the table `tags` that is known.
    units : mapping of str to str
        Unit of measure of features: `feature_units`.
    line : Line
        Its route and seed are used.
    moments : Moments
        Says times.
    simple_rule : bool, default False
        Whether the model is a baseline.

    Returns
    -------
    DataFrame, shape (n_listed, 4), indexed by unit_id in the order of `listed`
        ``because``, the text; ``told``, a tuple of the sentences that it is made of, one a driver; ``action``,
        "check sensor {tag}" or empty; ``drivers``, a tuple of `Driver`, sensors to check first, then the largest
        contribution.

    Notes
    -----
    A driver is a group of features that raises the risk by `explain`, beyond its sampling error and by `SMALLEST` at
    least, and in most refits (`STABLE`); of it the feature is told in which the unit is farthest outside the 10th to
    90th percentile of good units of its product, and each tag once. A value outside its plausible range, or that does
    not change from unit to unit, is told first, however stable: it says nothing of the unit before the sensor is known
    to be right. That a unit differs is not that it fails because of it.
    """
    columns = reference.siblings.columns
    of_tags = {f"{station}.{tag}": rows for (station, tag), rows in tags.groupby(["station", "tag"])}
    facts = candidates.sort_values(["cutoff", "unit_id"]).set_index("unit_id")[["product", "cutoff"]]
    facts = facts[facts.index.isin(X.index)]
    night = _Night(
        X=without_infinite(X.reindex(columns=columns).astype(reference.siblings.dtypes)),
        facts=facts.assign(product=facts["product"].astype("str").fillna("")),
        reference=reference,
        names={name: name_of(name, line.route, of_tags) for name in columns},
        tags=of_tags,
        units=units,
        moments=moments,
    )
    wanted = night.facts.loc[list(listed), "product"]
    usual = {product: night.usual(product) for product in wanted.unique()}
    own_X = night.X.loc[list(listed)]
    steps = contributors(predict, reference, own_X, wanted, usual, night.names, seed=line.learning.seed)
    rows: list[tuple[str, str, tuple[str, ...], str, tuple[Driver, ...]]] = []
    for unit_id in listed:
        own = steps[steps["unit_id"] == unit_id]
        said, action, drivers = _told(night, unit_id, own[own["clear"].astype(bool)])
        told = tuple(said) or ("by the simple rule" if simple_rule else _no_single_reason(night, own, line),)
        rows.append((unit_id, SENTENCES.join(told), told, action, drivers))
    return pd.DataFrame(rows, columns=["unit_id", "because", "told", "action", "drivers"]).set_index("unit_id")


@dataclass(frozen=True)
class _Night:
    """What is known of the candidates and of how to speak of them.

    `facts` are ``product`` and ``cutoff``, indexed by unit_id, in order of time; `tags` the rows of the table by
    `{station}.{tag}`.
    """

    X: pd.DataFrame
    facts: pd.DataFrame
    reference: Reference
    names: Mapping[str, Name]
    tags: Mapping[str, pd.DataFrame]
    units: Mapping[str, str]
    moments: Moments
    _usual: dict[str, Usual] = field(default_factory=dict)
    _stuck: dict[str, pd.Series] = field(default_factory=dict)

    def usual(self, product: str) -> Usual:
        """Good units of a product."""
        if product not in self._usual:
            self._usual[product] = usual_of(self.reference, product)
        return self._usual[product]

    def machines(self, feature: str) -> pd.Series:
        """Machine of each candidate at the feature's station, in order of time; missing where none is known."""
        column = f"{self.names[feature].station}.machine"
        found = self.X[column] if column in self.X else pd.Series(pd.NA, index=self.X.index, dtype="str")
        return found.reindex(self.facts.index)

    def stuck(self, feature: str) -> pd.Series:
        """How many units in a row have had the same value, where that is suspicious."""
        if feature not in self._stuck:
            self._stuck[feature] = stuck_for(self.X[feature].reindex(self.facts.index), self.machines(feature))
        return self._stuck[feature]

    def limits(self, unit_id: str, feature: str) -> Limits:
        """What holds for the tag of a feature and the unit's product at its cutoff; not for parts of the unit."""
        rows = self.tags.get(feature.rpartition(".")[0])
        fact = self.facts.loc[unit_id]
        return UNLIMITED if rows is None else limits_at(rows, fact["product"], fact["cutoff"])

    @cached_property
    def twice(self) -> set[str]:
        """Tags that several stations have."""
        return ambiguous(self.names)

    def words(self, feature: str) -> str:
        """What a feature is, in words."""
        name = self.names[feature]
        return words_of(name, at_station=name.tag in self.twice)


def _told(night: _Night, unit_id: str, clear: pd.DataFrame) -> tuple[list[str], str, tuple[Driver, ...]]:
    """Sentences, action and drivers of a unit: sensors to check first, then stable drivers, each tag once."""
    sensors: list[tuple[str, Driver]] = []
    others: list[tuple[str, Driver]] = []
    action, about, since_told = "", set(), set()
    for row in clear.itertuples():
        if row.contribution < _OF_THE_FIRST * clear["contribution"].iloc[0]:
            break
        name = night.names[row.feature]
        # of a station that recorded nothing it is said once
        key = (name.station, "" if pd.isna(night.X.at[unit_id, row.feature]) else name.tag or name.statistic)
        if key in about:
            continue
        doubt = _doubt(night, unit_id, row.feature)
        if not doubt and (row.stability < STABLE or len(others) == MOST):
            continue
        about.add(key)
        driver, since = _driver(night, unit_id, row)
        if doubt:
            action = action or f"check sensor {plain(driver.tag)}"
            sensors.append((f"check sensor {plain(driver.tag)} first: {doubt}", driver))
            continue
        compared = night.usual(night.facts.at[unit_id, "product"]).compared
        # since when a machine's units are unlike good ones is said once
        words = sentence(
            driver, night.words(row.feature), compared=compared, since="" if name.station in since_told else since
        )
        since_told |= {name.station} if since else set()
        others.append((words, driver))
    told = [*sensors, *others][:MOST]
    return [words for words, _ in told], action, tuple(driver for _, driver in told)


def _driver(night: _Night, unit_id: str, row: Any) -> tuple[Driver, str]:
    """A driver, and since when in words."""
    feature, name = row.feature, night.names[row.feature]
    value, usual = night.X.at[unit_id, feature], night.usual(night.facts.at[unit_id, "product"])
    shared: dict[str, Any] = {
        "feature": feature,
        "tag": name.tag or name.statistic,
        "station": name.station,
        "unit": night.units.get(feature, ""),
        "contribution": float(row.contribution),
        "stability": float(row.stability),
    }
    known = float(usual.known[feature])
    nothing: dict[str, Any] = {"low": None, "high": None, "limit": "", "since": None}
    if pd.isna(value):
        since, words = _since(night, unit_id, feature, lambda value, _low, _high: bool(pd.isna(value)))
        return Driver(**shared | nothing | {"value": None, "since": since, "share": known}), words
    if isinstance(value, str):
        same = float((usual.siblings[feature] == value).mean())
        return Driver(**shared | nothing | {"value": value, "share": same}), ""
    value = float(value)
    if known <= RARE:
        return Driver(**shared | nothing | {"value": value, "share": known}), ""
    low, high = float(usual.low[feature]), float(usual.high[feature])
    above = value > high
    since, words = _since(night, unit_id, feature, lambda one, low, high: one > high if above else one < low)
    limit = limit_in_words(value, low, high, night.limits(unit_id, feature)) if name.statistic in LEVELS else ""
    return Driver(**shared, value=value, low=low, high=high, limit=limit, since=since), words


def _since(night: _Night, unit_id: str, feature: str, unlike: Callable[..., bool]) -> tuple[datetime | None, str]:
    """Since when the machine's units, in a row, have been unlike good ones of their products; also in words."""
    machines = night.machines(feature)
    machine = machines[unit_id]
    if pd.isna(machine) and machines.notna().any():
        return None, ""
    same = machines.isna() if pd.isna(machine) else machines == machine
    values = night.X[feature].reindex(night.facts.index[same.to_numpy(dtype=bool)]).loc[:unit_id]
    flags = []
    for other, value in values[::-1].items():
        usual = night.usual(night.facts.at[other, "product"])
        flag = unlike(value, usual.low.get(feature, np.nan), usual.high.get(feature, np.nan))
        if flag or not pd.isna(value):
            flags.append((other, flag))
            if not flag:
                break
    run = last_run(pd.Series(dict(reversed(flags))))
    if run is None:
        return None, ""
    since = night.facts.at[run.first, "cutoff"].to_pydatetime()
    where = "" if pd.isna(machine) else f"on {plain(machine)} "
    return since, f"{where}since {night.moments.words(since)}{' or before' if run.from_the_start else ''}"


def _doubt(night: _Night, unit_id: str, feature: str) -> str:
    """Why the sensor behind a feature is to be checked first, in words; empty if nothing speaks for it."""
    level = f"{feature.rpartition('.')[0]}.last"
    level = level if level in night.X else feature
    value, name = night.X.at[unit_id, level], night.names[level]
    if name.statistic not in LEVELS or not name.tag or pd.isna(value):
        return ""
    unit = f" {visible(night.units[level])}" if night.units.get(level) else ""
    told = f"{night.words(level)} {numbers_in_words(float(value))[0]}{unit}"
    if why := implausible(float(value), night.limits(unit_id, level)):
        return f"{told}, {why}"
    if length := night.stuck(level)[unit_id]:
        return f"{told} without a change in {length} units"
    return ""


def _no_single_reason(night: _Night, steps: pd.DataFrame, line: Line) -> str:
    """What is said where no driver is: the station that contributes most, though no value of it by itself does."""
    station = steps["feature"].map(lambda feature: night.names[feature].station)
    known = station.map(lambda one: one.split(".")[-1] in line.route).astype(bool)
    totals = steps["contribution"][known].groupby(station[known]).sum()
    where = f" at {plain(str(totals.idxmax()))}" if len(totals) else ""
    return f"no single reason; unusual combination{where}"
