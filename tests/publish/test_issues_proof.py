"""On simulated plants, night after night as a night asks, with the scores of an oracle that errs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from qma_predict.data.simulate import simulate
from qma_predict.features.conditions import conditions
from qma_predict.features.points import candidates, prediction_points
from qma_predict.features.table import feature_table
from qma_predict.features.units import feature_units
from qma_predict.learn.reference import RECENT, SIBLINGS
from qma_predict.line import load_line
from qma_predict.publish.issues.find import find_issues, recent

PLANTS = (3, 4, 5)
DAYS, FIRST, LAST = 48, 14, 46
"""Nights from the third week on are judged; on the last, units only leave."""

KNOWN = pd.Timedelta("7D")
"""How old the newest labels are by which a champion that is trained each week knows good units."""

NOISE = 0.7
"""Standard deviation of the log-odds about the true ones."""

DETECTABLE = 5.0
"""Expected defects by one lot or machine among a night's candidates from which it can be seen."""

SHARED = {"p_bad_lot": "AlSi9Cu3 lot", "p_die_drift": "cast machine"}


class World:
    """A simulated plant: its points, the conditions of all units, and the truth by unit."""

    def __init__(self, make_lake, line, seed):
        plant = simulate(days=DAYS, units_per_day=150, seed=seed)
        names = ("units", "visits", "tags", "materials", "events", "inspections")
        recorded = {name: getattr(plant, name) for name in names}
        recorded["readings"] = pd.concat([rows for _, rows in plant.readings()])
        lake = make_lake({name: rows.drop_duplicates() for name, rows in recorded.items()})
        history = lake.at(pd.Timestamp("2027-01-01", tz="UTC"))
        self.line, self.truth = line, plant.truth.set_index("unit_id")
        self.points = prediction_points(history, line)
        self.conditions = conditions(history, self.points["unit_id"], line)
        self.X = feature_table(history, self.points, line)
        self.measures = feature_units(history, line, list(self.X))
        self.good = self.points[self.points["unit_id"].map(~self.truth["defect"].astype(bool))]
        self.nights = sorted(self.points["night"].dropna().unique())[FIRST:LAST]

    def tonight(self, scores, night):
        scored = candidates(self.points.assign(score=scores), self.line.as_of(night))
        return scored.rename(columns={"night": "first_night"})

    def issues(self, scores, night):
        past = recent(self.points.assign(score=scores).dropna(subset="night"), night)
        scored = self.tonight(scores, night)
        measured = {"features": self.X.loc[scored["unit_id"]], "siblings": self.X.loc[self.siblings(night)]}
        return find_issues(scored, self.conditions, past, self.line, night, **measured, units_of_measure=self.measures)

    def siblings(self, night):
        """Good units as the reference of a champion has them."""
        newest = pd.Timestamp(self.line.as_of(night)) - KNOWN
        good = self.good[self.good["cutoff"].between(newest - RECENT, newest)]
        drawn = good["unit_id"].sample(frac=1.0, random_state=0)
        return drawn[drawn.groupby(self.X["unit.product"][drawn].to_numpy()).cumcount() < SIBLINGS]

    def seen(self, probability, rng):
        true = probability[self.points["unit_id"]].to_numpy()
        return expit(logit(true) + NOISE * rng.normal(size=len(true)))

    def share(self, name, units):
        """The value that most of the units have of an attribute, and the share that has it."""
        known = self.conditions[(self.conditions["attribute"] == name) & self.conditions["unit_id"].isin(units)]
        return known["value"].mode()[0], known["value"].value_counts(normalize=True).iloc[0]


@pytest.fixture
def worlds(make_lake):
    line = load_line(Path(__file__).parents[2] / "models" / "demo", {"QMA_DATA": "not read"})
    return [World(make_lake, line, seed) for seed in PLANTS]


def episodes(world, mechanism):
    """Lots or machines by which a mechanism can be seen, each with the number of the first of such nights in a row."""
    values = world.conditions[world.conditions["attribute"] == SHARED[mechanism]].set_index("unit_id")["value"]
    found, before = [], None
    for number, night in enumerate(world.nights):
        units = world.tonight(0.0, night)["unit_id"]
        risk = world.truth[mechanism].reindex(units).groupby(values.reindex(units).to_numpy()).sum()
        value = risk.idxmax() if risk.max() >= DETECTABLE else None
        if value is not None and value != before:
            found.append((value, number))
        before = value
    return found


def tells(world, issue, mechanism, value):
    """Whether the units of an issue are those of the lot or machine, and are at risk by the mechanism."""
    units = list(issue.unit_ids)
    most, share = world.share(SHARED[mechanism], units)
    return most == value and share >= 0.8 and world.truth[mechanism][units].mean() > 0.05


@pytest.mark.proof
def test_a_bad_lot_and_a_drifting_machine_become_an_issue_within_three_nights_and_nothing_else_does(worlds):
    rng = np.random.default_rng(0)
    told, missed, chance, alone, measured = [], [], [], [], []
    for world in worlds:
        scores = world.seen(world.truth["probability"], rng)
        for mechanism in SHARED:
            for value, first in episodes(world, mechanism):
                issues = [issue for night in world.nights[first : first + 3] for issue in world.issues(scores, night)]
                found = any(tells(world, issue, mechanism, value) for issue in issues)
                (told if found else missed).append((mechanism, value, world.nights[first]))
        issues = [issue for one in world.nights[::2] for issue in world.issues(scores, one) if issue.side]
        measured += [world.truth.loc[list(issue.unit_ids), "probability"].mean() for issue in issues]
        # the same scores dealt out among all units: those at risk share nothing, not even the night
        dealt = rng.permutation(scores)
        chance += [len(world.issues(dealt, one)) > 0 for one in world.nights[::2]]
        quiet = world.seen(world.truth["p_unexplained"], rng)
        alone += [len(world.issues(quiet, one)) > 0 for one in world.nights[::10]]
    assert missed == []
    assert len(told) >= 5
    assert len(measured) >= 2
    assert min(measured) > 0.05
    assert len(chance) == 48
    assert np.mean(chance) <= 0.1
    assert sum(alone) == 0
