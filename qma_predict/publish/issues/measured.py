"""Groups of units by what was measured on them: beyond the usual range of good units, in one direction.

Scores follow from what is measured, so that such units have more risk than others on any night: by itself that is no
issue. It is one that there are more of them than usual. So a group's normal is the risk it would have if as few units
were beyond the range as of the good units, or that of its units' products if that is more. Its own course over past
nights would say more, but takes the features of weeks of units, which no night has at hand.

Good units are what the others left: where half of those beyond a range become defect, twice as many as the good ones
are beyond it every night. So good is compared with good: of tonight's units each counts by its chance to be good. And
how many of the good units are beyond is known from some hundred, of which the range itself was drawn: the most that
they are consistent with counts as usual.

Units of one machine are compared with good units of this machine: one that always runs hotter is not unusual. Where
these are too few, or nothing tells of which machine they are, there is no group of the machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import beta

from qma_predict.line import Line
from qma_predict.publish.issues.driver import LEAST_SIBLINGS, measured
from qma_predict.publish.issues.groups import LEAST_EXTRA, LEAST_UNITS, Kind, Normal
from qma_predict.publish.reasons.drivers import name_of

SIDES = ("below", "above")

_OUTER = 0.01
"""Share of good units on each side of the usual range."""

_SURE = 0.95
"""Confidence that no larger share of all good units is beyond it."""


class _Side(NamedTuple):
    """Candidates on one side of a feature's usual range."""

    feature: str
    side: str
    known: np.ndarray  # candidates of which it was measured, shape (n_candidates,)
    beyond: np.ndarray
    share: float | np.ndarray  # of the good units, at most; or of those of each group, shape (n_groups,)


def measured_groups(
    rows: pd.DataFrame,
    conditions: pd.DataFrame,
    features: pd.DataFrame,
    siblings: pd.DataFrame,
    line: Line,
    usual: np.ndarray,
    limits: Mapping[str, float],
) -> list[tuple[Kind, Normal]]:
    """Tonight's groups by each measured quantity, of all units and of each machine of its station.

    Parameters
    ----------
    rows, conditions : DataFrame
        As `groups.judged` takes them.
    features, siblings : DataFrame
        Feature tables of tonight's candidates, indexed by unit_id, and of good units. A unit is compared with good
        units of its product, where `unit.product` tells them and they are `LEAST_SIBLINGS`, or else with all; as one
        of its machine with those that `compared_with` leaves.
    line : Line
    usual : ndarray, shape (n_rows,)
        Normal risk of each row's product.
    limits : mapping of str to float
        `Normal.limit` of the kinds of one attribute: a quantity is taken to move as the machines of its station do, or
        as what moves most.
    """
    tonight = np.flatnonzero(rows["night"].to_numpy() >= rows.attrs["tonight"])
    units = rows["unit_id"].iloc[tonight]
    conditions = conditions[conditions["unit_id"].isin(units)]
    scores = rows["score"].to_numpy()[tonight]
    machines: dict[str, pd.DataFrame] = {}
    found = []
    own = features.reindex(units)
    for side in _sides(own, siblings, line):
        if side.beyond.sum() < LEAST_UNITS or scores[side.beyond].sum() < LEAST_EXTRA:
            continue
        attribute = station_attribute(side.feature, line)
        if attribute not in machines:
            machines[attribute] = stays(conditions, attribute, units)
        limit = limits.get(attribute, max(limits.values()))
        of_all = machines[attribute].assign(value="")
        for attributes, each in (((), of_all), ((attribute,), machines[attribute])):
            group, names = pd.factorize(each["value"], sort=True)
            one = _by_machine(side, own, siblings, group, names, line) if attributes else side
            its = one.beyond & (group >= 0) & each["at"].notna().to_numpy()
            members = pd.DataFrame({"row": tonight[its], "group": group[its], "at": each["at"].array[its]})
            values = pd.DataFrame(dict.fromkeys(attributes, names), index=range(len(names)))
            as_few = _as_few(one, group, len(names), scores, usual[tonight])[group[its]]
            expected = np.maximum(usual[tonight[its]], scores[its] * as_few)
            none = np.empty((len(names), 0))
            normal = Normal(expected, limit, np.zeros(len(names)), none, none.astype(bool))
            found.append((Kind(attributes, values, members, side.feature, side.side), normal))
    return found


def station_attribute(feature: str, line: Line) -> str:
    """Attribute of conditions that names the machine on which a feature was measured."""
    return f"{name_of(feature, line.route, ()).station} machine"


def compared_with(
    siblings: pd.DataFrame, feature: str, conditions: Sequence[tuple[str, str]], line: Line
) -> pd.DataFrame:
    """Good units with which units of a group by a measured quantity are compared: of its machine, if it has one.

    Parameters
    ----------
    siblings : DataFrame
        Good units. `{station}.machine` tells of which machine they are.
    feature : str
    conditions : sequence of (attribute, value)
        What units of the group share.
    line : Line

    Returns
    -------
    DataFrame
        All of them for a group of all machines; none if nothing tells their machines.
    """
    machine = dict(conditions).get(station_attribute(feature, line))
    if machine is None:
        return siblings
    theirs = siblings.get(f"{name_of(feature, line.route, ()).station}.machine")
    return siblings.head(0) if theirs is None else siblings[theirs == machine]


def stays(conditions: pd.DataFrame, attribute: str, units: pd.Series) -> pd.DataFrame:
    """Each unit's machine (``value``) and when it came there (``at``); else when it came under its last condition."""
    last = conditions.sort_values("occurred_at", kind="stable")
    own = last[last["attribute"] == attribute].drop_duplicates("unit_id", keep="last").set_index("unit_id")
    own = own.reindex(units)
    anything = last.drop_duplicates("unit_id", keep="last").set_index("unit_id")["occurred_at"].reindex(units)
    return own[["value"]].assign(at=own["occurred_at"].fillna(anything))


def _by_machine(
    side: _Side, own: pd.DataFrame, siblings: pd.DataFrame, group: np.ndarray, names: pd.Index, line: Line
) -> _Side:
    """The same side of each machine's own usual range; nobody is beyond that of a machine with too few good units."""
    known, beyond, share = np.zeros(len(own), dtype=bool), np.zeros(len(own), dtype=bool), np.ones(len(names))
    for number, machine in enumerate(names):
        good = compared_with(siblings, side.feature, [(station_attribute(side.feature, line), machine)], line)
        its = group == number
        for one in _sides(own[its], good, line, (side.feature,)):
            if one.side == side.side:
                known[its], beyond[its], share[number] = one.known, one.beyond, one.share
    return _Side(side.feature, side.side, known, beyond, share)


def _as_few(side: _Side, group: np.ndarray, groups: int, scores: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Share of tonight's units beyond, by group, that there would be on a usual night: shape (n_groups,), 1 at most.

    So many that their good ones are the `share` of the good ones of all, but with no more risk than is normal for all.
    """

    def total(flag: np.ndarray, values: np.ndarray) -> np.ndarray:
        its = flag & (group >= 0)
        return np.bincount(group[its], values[its], groups)

    usually_and_now = (
        (side.share * total(side.known, 1 - scores), total(side.beyond, 1 - scores)),
        (total(side.known, usual), total(side.beyond, scores)),
    )
    shares = [np.divide(few, now, out=np.ones(groups), where=now > few) for few, now in usually_and_now]
    return np.min(shares, axis=0)


def beyond(features: pd.DataFrame, siblings: pd.DataFrame, name: str, side: str) -> pd.Series:
    """Which units are beyond the usual range of a feature.

    Parameters
    ----------
    features, siblings : DataFrame
        As `measured_groups` takes them; `features` of any units.
    name : str
        A feature of `siblings`.
    side : str
        One of `SIDES`.

    Returns
    -------
    Series of bool, shape (n_units,), indexed by unit_id
        False where it was not measured.
    """
    limits = _limits(features, _ranges(siblings, [name]))
    values = features.get(name, pd.Series(np.nan, features.index)).to_numpy(dtype=float)
    return pd.Series(_on(side, values[:, None], limits)[:, 0], features.index)


def _sides(features: pd.DataFrame, siblings: pd.DataFrame, line: Line, only: Sequence[str] = ()) -> Iterator[_Side]:
    names = only or measured(features, siblings, line)
    names = [name for name in names if siblings[name].notna().sum() >= LEAST_SIBLINGS]
    if not names:
        return
    ranges = _ranges(siblings, names)
    own, good = (table[names].to_numpy(dtype=float) for table in (features, siblings))
    limits = [_limits(table, ranges) for table in (features, siblings)]
    for side in SIDES:
        now, usually = _on(side, own, limits[0]), _on(side, good, limits[1])
        for number, name in enumerate(names):
            few, count = usually[:, number].sum(), (~np.isnan(good[:, number])).sum()
            share = float(beta.ppf(_SURE, few + 1, count - few)) if few < count else 1.0
            yield _Side(name, side, ~np.isnan(own[:, number]), now[:, number], share)


def _ranges(siblings: pd.DataFrame, names: list[str]) -> dict[str, np.ndarray]:
    """Usual range of good units of each product, and of all where these are too few (""); shape (2, n_names) each."""
    good, products = siblings[names].to_numpy(dtype=float), _products(siblings)
    outer = np.nanquantile(good, [_OUTER, 1 - _OUTER], axis=0)
    ranges = {"": outer}
    for product in sorted(set(products) - {""}):
        same = good[products == product]
        enough = (~np.isnan(same)).sum(axis=0) >= LEAST_SIBLINGS
        ranges[product] = outer.copy()
        ranges[product][:, enough] = np.nanquantile(same[:, enough], [_OUTER, 1 - _OUTER], axis=0)
    return ranges


def _limits(table: pd.DataFrame, ranges: Mapping[str, np.ndarray]) -> np.ndarray:
    """Lower and upper end of each unit's usual range, shape (n_units, 2, n_names)."""
    own = [ranges.get(product, ranges[""]) for product in _products(table)]
    return np.stack(own) if own else np.empty((0, *ranges[""].shape))


def _on(side: str, values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    return np.asarray(values < limits[:, 0] if side == "below" else values > limits[:, 1])


def _products(table: pd.DataFrame) -> np.ndarray:
    known = table.get("unit.product", pd.Series("", table.index))
    return known.astype("str").fillna("").to_numpy(dtype=object)
