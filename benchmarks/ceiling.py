"""How near the default recipe comes to what could be learnt: simulated plants, true state of all units, later blocks.

    .venv/bin/python benchmarks/ceiling.py [--seeds 1 2 3 4 5] [--defects 300 2000]

Beside the oracle, the true probability, stands a ceiling learner: it knows the form of every mechanism, fits its
parameters (thresholds, widths, strengths, sensitivities of the products) by penalised maximum likelihood on the very
labels that the recipe gets, and sees nothing but the drivers:

``ceiling``   the true hidden states, which no sensor shows;
``history``   their best estimate when the unit is judged: from readings that feel them, of the unit and of those
              before it on its machine or of its lot, tool changes and maintenance;
``readings``  their best estimate from the unit's own readings and their set points: what the recipe's columns hold.

Estimates are regressions on the true states of older units, inspected or not. Training rows are the newest units
whose label is known and mature at the origin and that hold so many defects, of a plant that makes half as many units a
day. Beside the default recipe, which gets a line's columns, stands the same recipe on the six states and the product
alone, true ones and those that the unit's own readings tell: what it loses by not knowing the form of the mechanisms,
and, from there to all columns, by having to find them. The last 56 days are two blocks. A second,
smaller plant has its base rate jump at the start of the first block; at the start of the second one the recipe is
fitted again on all labels known by then, or the old model follows them.

What probabilities promise is P(recorded as defect if inspected). "recorded" holds them against the records of inspected
units, "true" against the true state of all units, as the gate with its known error rates would record them.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from accuracy_data import digest, plant_features
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import t as student

from qma_predict.data.simulate import Plant, mechanisms, quality, records, simulate, upkeep
from qma_predict.data.simulate import lots as ingots
from qma_predict.data.simulate.catalogue import TAGS, set_points_of
from qma_predict.data.simulate.flow import day_edges
from qma_predict.data.simulate.plant import STATIONS, machines_before
from qma_predict.data.simulate.randomness import DAY, HOUR
from qma_predict.learn.metrics import average_precision
from qma_predict.learn.recipes import make_recipe

CACHE = Path(__file__).parent.parent / ".accuracy" / "ceiling"
MATURITY, BLOCK = 5 * DAY, 28 * DAY
DAYS, JUMP_DAYS, JUMP_DAILY = 240, 150, 250
DRIVERS = {"hydrogen": "melt", "heat": "melt", "badness": "melt"}
DRIVERS |= {"pressure_loss": "cast", "imbalance": "cast", "wear": "mill"}
"""Each hidden state, and the station whose tags feel it."""

LEARNERS = ("ceiling", "history", "readings")
ON_STATES = {"default on true states": "ceiling", "default on states read": "readings"}
JUMPS = {"unexplained + 2 %": (1.0, 0.02), "all causes halved": (0.5, 0.0)}
"""Factor of every mechanism's chance and what is added to the unexplained one, from the jump on."""

_HALF_LIVES = (2, 6, 20)
_PRIOR = {  # mean and standard deviation of each parameter, in `chances`; weak: the labels decide
    "porosity": ([-0.5, 3.0, 3.0, 1.5, 1.1, 1.5], [1.0, 2.0, 2.0, 0.7, 1.0, 0.7]),
    "tool_wear": ([-0.5, 2.1, 1.5], [1.0, 1.0, 0.4]),
    "bad_lot": ([-1.5] * 4, [1.5] * 4),
    "die_drift": ([-0.5, 2.1, 1.4, 0.0, 0.0, 0.0], [1.0, 1.0, 0.4, 0.2, 0.2, 0.2]),
    "unexplained": ([-5.5], [2.0]),
}
_MEAN, _SPREAD = (np.concatenate([prior[which] for prior in _PRIOR.values()]) for which in (0, 1))
_EDGES = np.cumsum([len(mean) for mean, _ in _PRIOR.values()])[:-1]

States = dict[str, np.ndarray]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options.add_argument("--defects", type=int, nargs="+", default=[300, 2000], help="labelled defects to learn from")
    options.add_argument("--jobs", type=int, default=2, help="threads of the recipe")
    chosen = options.parse_args()
    began = time.perf_counter()
    precision, days, recall = [], [], []
    for seed in chosen.seeds:
        for size in sorted(chosen.defects):
            values, sums, found = of_plant(seed, size, chosen.jobs)
            precision.append(values)
            days.append(sums)
            recall.append(found)
            print(", ".join(f"{name} {value:.3g}" for name, value in values.items()), flush=True)
    print_precision(pd.DataFrame(precision), pd.concat(recall))
    print_calibration(pd.concat(days))
    print_calibration(pd.concat([of_jump(seed, chosen.jobs) for seed in chosen.seeds]))
    print(f"\n{time.perf_counter() - began:.0f} s; load average at the end {os.getloadavg()}, {os.cpu_count()} cores")


def of_plant(seed: int, size: int, jobs: int) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Average precisions with so many labelled defects, sums of each later day, recall by mechanism."""
    plant = simulate(days=DAYS, units_per_day=size // 2, seed=seed)
    X, end, product = plant_features(plant), plant.flow.ended[:, -1], plant.flow.product
    origin = int(end.max()) - 2 * BLOCK
    test = np.flatnonzero(end > origin)
    truth = plant.truth.iloc[test]
    labels, final = labels_at(plant, origin), labels_at(plant, int(end.max()) + 60 * DAY)
    known = np.argsort(end, kind="stable")
    known = known[~np.isnan(labels[known])]
    newest = known[np.cumsum(labels[known][::-1])[::-1] <= size]
    y = labels[newest].astype(int)
    kept = CACHE / f"{seed}.{size}.{digest_of_plants()}.npz"
    if not kept.exists():
        drivers = all_drivers(plant, np.flatnonzero(end <= origin))
        risks = {}
        for name, states in drivers.items():
            theta = fit_ceiling(some(states, newest), product[newest], y)
            risks[name] = 1.0 - good(theta, some(states, test), product[test])
        tables = {f"{name} states": np.column_stack(list(drivers[name].values())) for name in ON_STATES.values()}
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **risks, **tables)

    def recipe(rows: pd.DataFrame) -> np.ndarray:
        model = make_recipe("default").set_params(n_jobs=jobs).fit(rows.iloc[newest], y)
        return model.predict_proba(rows.iloc[test])[:, 1]

    with np.load(kept) as found:
        scores = {"oracle": truth["probability"].to_numpy()} | {name: found[name] for name in LEARNERS}
        scores["default"] = recipe(X)
        for name, of in ON_STATES.items():
            states = pd.DataFrame(found[f"{of} states"]).add_prefix("state.")
            scores[name] = recipe(states.assign(product=X["unit.product"].to_numpy()))
    values = {name: average_precision(truth["defect"].to_numpy(), score) for name, score in scores.items()}
    days = sums_by_day(plant, test, scores["default"], final, y.mean()).assign(what=f"{size} defects")
    found_by = recalls(truth, scores).assign(size=size)
    return {"seed": seed, "size": size, "defects": y.sum()} | values, days.assign(seed=seed), found_by


def digest_of_plants() -> str:
    """What the ceiling learners' scores depend on beside seed and size: this file and the simulation."""
    files = [Path(__file__), *sorted(Path(mechanisms.__file__).parent.glob("*.py"))]
    return digest(files)[:16]


def labels_at(plant: Plant, moment: int) -> np.ndarray:
    """What is known of each unit at a moment [UTC s]: 1 defect, 0 good, NaN not known or not mature."""
    found = plant.inspections
    found = found[found["recorded_at"] <= pd.Timestamp(moment, unit="s", tz="UTC")]
    found = found.sort_values("recorded_at", kind="stable").drop_duplicates(["unit_id", "characteristic"], keep="last")
    units = found.groupby("unit_id")["passed"].agg(["size", "min"]).reindex(plant.truth["unit_id"])
    passed = units["min"].astype(float)
    decided = (passed == 0.0) | (units["size"] == len(quality.CODES))
    mature = plant.flow.ended[:, -1] + MATURITY <= moment
    return np.where(decided & mature, 1.0 - passed, np.nan)


def all_drivers(plant: Plant, older: np.ndarray) -> dict[str, States]:
    """The hidden states of all units for each of `LEARNERS`: as they are, and as estimated."""
    flow, seed, maintenance = plant.flow, plant.seed, upkeep.plan_maintenance(plant.seed, *span(plant))
    lots = ingots.charge_lots(seed, flow.machine[:, 0], flow.started[:, 0])
    wear, changes = upkeep.use_tools(seed, flow.machine[:, 3], flow.started[:, 3])
    true = mechanisms.hidden_states(seed, flow, maintenance, lots, wear)
    chances = mechanisms.defect_probabilities(true, flow.product).add_prefix("p_")
    assert np.allclose(chances, plant.truth[chances.columns]), "these are not the states of this plant"
    marks = {"wear": (changes["machine"].to_numpy(), changes["at"].to_numpy())}
    marks["imbalance"] = (maintenance.machine - machines_before("cast"), maintenance.ended)
    drivers: dict[str, States] = {"ceiling": true, "history": {}, "readings": {}}
    some_older = older[:: max(1, len(older) // 60_000)]
    for state in DRIVERS:
        own = driver_readings(plant, state)
        past = with_history(plant, state, own, lots.of_unit, marks.get(state))
        for name, table in (("readings", own), ("history", past)):
            model = lightgbm.LGBMRegressor(n_estimators=150, learning_rate=0.08, n_jobs=1, verbosity=-1)
            model.fit(table.iloc[some_older], true[state][some_older])
            drivers[name][state] = model.predict(table)
    return drivers


def driver_readings(plant: Plant, state: str) -> pd.DataFrame:
    """Readings that feel a state: mean deviation from the set point, and change over the visit; and the machine."""
    place = [station.name for station in STATIONS].index(DRIVERS[state])
    signals, at, product = plant.signals[place], plant.flow.started[:, place], plant.flow.product
    tags = plant.tags.assign(valid_from=plant.tags["valid_from"].astype("int64") // 1_000_000)
    columns: dict[str, object] = {}
    for tag in TAGS[DRIVERS[state]]:
        if state in tag.level or state in tag.slope:
            seen = pd.DataFrame(signals.values[:, np.array(signals.tags) == tag.name])
            target = set_points_of(tags, DRIVERS[state], tag.name, product, at)
            columns[tag.name] = seen.mean(axis=1) - target
            if state in tag.slope:
                columns[f"{tag.name}.slope"] = seen.iloc[:, -1] - seen.iloc[:, 0]
    return pd.DataFrame(columns).assign(machine=plant.flow.machine[:, place])


def with_history(plant: Plant, state: str, own: pd.DataFrame, lot: np.ndarray, marks: tuple | None) -> pd.DataFrame:
    """The readings, smoothed over the units before on the machine and in the lot, and the time since the last mark."""
    at = plant.flow.started[:, [station.name for station in STATIONS].index(DRIVERS[state])]
    machine = own["machine"].to_numpy()
    order = np.argsort(at, kind="stable")
    ordered = own.drop(columns="machine").iloc[order]
    groups = ordered.groupby(machine[order])
    usual = groups.transform(lambda column: column.ewm(halflife=1000).mean())
    parts = [own.iloc[order], (ordered - usual).add_suffix(".change")]
    for units in _HALF_LIVES:
        smooth = groups.transform(lambda column, units=units: column.ewm(halflife=units).mean())
        parts.append((smooth - usual).add_suffix(f".{units}"))
    if state == "badness":
        parts.append(ordered.groupby(lot[order]).expanding().mean().droplevel(0).add_suffix(".lot"))
    table = pd.concat(parts, axis=1).sort_index()
    if marks:
        table["hours"], table["units"] = since_mark(machine, at, *marks)
    return table


def since_mark(machine: np.ndarray, at: np.ndarray, marked: np.ndarray, moments: np.ndarray) -> list[np.ndarray]:
    """Hours and units since the last mark, a moment of a marked machine, on each unit's machine."""
    hours, units = np.full(at.size, np.nan), np.full(at.size, np.nan)
    for number in np.unique(machine):
        rows = np.flatnonzero(machine == number)
        rows = rows[np.argsort(at[rows], kind="stable")]
        edges = np.sort(moments[marked == number])
        which = np.searchsorted(edges, at[rows], side="right")
        after = which > 0
        hours[rows[after]] = (at[rows[after]] - edges[which[after] - 1]) / HOUR
        units[rows] = pd.Series(which).groupby(which).cumcount()
    return [hours, units]


def good(theta: np.ndarray, states: States, product: np.ndarray) -> np.ndarray:
    """P(no mechanism strikes) by parameters in the order of `_PRIOR`; the form of `mechanisms.defect_probabilities`."""
    porosity, wear, lot, die, rest = np.split(theta, _EDGES)
    gas = porosity[1] * states["hydrogen"] + porosity[2] * states["heat"]
    gas = expit(gas - np.abs(porosity[1:3]).sum() / 1.4 * porosity[3])
    weak = expit(np.exp(porosity[4]) * (states["pressure_loss"] - porosity[5]))
    worn = expit(np.exp(wear[1]) * (states["wear"] - wear[2]))
    bad = np.minimum(np.exp(lot)[product] * np.maximum(states["badness"], 0.0), 0.9)
    felt = states["imbalance"] * np.concatenate([[1.0], 1.0 + die[3:]])[product]
    off = expit(np.exp(die[1]) * (felt - die[2]))
    none = (1 - expit(porosity[0]) * gas * weak) * (1 - expit(wear[0]) * worn) * (1 - bad) * (1 - expit(die[0]) * off)
    return np.clip(none * (1 - expit(rest[0])), 1e-9, 1 - 1e-9)


def fit_ceiling(states: States, product: np.ndarray, y: np.ndarray) -> np.ndarray:
    def loss(theta: np.ndarray) -> float:
        sound = good(theta, states, product)
        likelihood = np.log1p(-sound[y == 1]).sum() + np.log(sound[y == 0]).sum()
        return float((((theta - _MEAN) / _SPREAD) ** 2).sum() / 2 - likelihood)

    return minimize(loss, _MEAN, method="L-BFGS-B", options={"maxiter": 150}).x


def some(states: States, rows: np.ndarray) -> States:
    return {name: np.asarray(state, dtype=float)[rows] for name, state in states.items()}


def recalls(truth: pd.DataFrame, scores: dict[str, np.ndarray]) -> pd.DataFrame:
    """Share of the defects of each mechanism among as many units at the top as there are defects."""
    capacity = int(truth["defect"].sum())
    defect, columns = truth["defect"].to_numpy(), {}
    for name, score in scores.items():
        place = np.argsort(np.argsort(-score, kind="stable"))
        columns[name] = pd.Series(place[defect] < capacity).groupby(truth["mechanism"].to_numpy()[defect]).mean()
    return pd.DataFrame(columns).rename_axis("mechanism").reset_index()


def sums_by_day(plant: Plant, rows: np.ndarray, score: np.ndarray, final: np.ndarray, rate: float) -> pd.DataFrame:
    """Observed and expected defects and squared errors of each production day."""
    y, inspected = final[rows], ~np.isnan(final[rows])
    defect = plant.truth["defect"].to_numpy()[rows]
    found, false = 1 - quality.MISSED, 1 - (1 - quality.FALSE_ALARM) ** len(quality.CODES)
    columns = {
        "observed": np.where(inspected, y, 0.0),
        "expected": np.where(inspected, score, 0.0),
        "true": np.where(defect, found, false),
        "expected of all": score,
        "error": np.where(inspected, (score - y) ** 2, 0.0),
        "error of rate": np.where(inspected, (rate - y) ** 2, 0.0),
    }
    return pd.DataFrame(columns).groupby(plant.flow.day[rows]).sum()


def jumped(plant: Plant, at: int, factor: float, added: float) -> Plant:
    """The plant with other chances for units that leave the last station after `at`, inspected anew."""
    chances = plant.truth.filter(regex="^p_").rename(columns=lambda name: name.removeprefix("p_"))
    after = plant.flow.ended[:, -1] > at
    chances.loc[after] *= factor
    chances.loc[after, "unexplained"] += added
    alarms = upkeep.raise_alarms(plant.seed, upkeep.plan_maintenance(plant.seed, *span(plant)), *span(plant))
    truth = mechanisms.draw_truth(plant.seed, chances)
    outcome, results = quality.inspect(plant.seed, plant.flow, truth, alarms)
    ids = pd.Index(plant.truth["unit_id"])
    truth.insert(0, "unit_id", ids)
    return replace(plant, truth=truth, inspections=records.record_inspections(ids, outcome, results))


def span(plant: Plant) -> tuple[int, int]:
    """First and last moment of production [UTC s]."""
    edges = day_edges(str(plant.start), int(plant.flow.day.max()) + 1)
    return int(edges[0]), int(edges[-1])


def of_jump(seed: int, jobs: int) -> pd.DataFrame:
    """Sums of each day of the first block, and of the second after each jump, with the models of its start."""
    plant = simulate(days=JUMP_DAYS, units_per_day=JUMP_DAILY, seed=seed)
    X, end = plant_features(plant), plant.flow.ended[:, -1]
    second = int(end.max()) - BLOCK
    first, later = second - BLOCK, int(end.max()) + 60 * DAY
    order = np.argsort(end, kind="stable")
    block = order[end[order] > second]

    def fit(y: np.ndarray) -> tuple[object, float]:
        rows = order[~np.isnan(y[order])]
        model = make_recipe("default").set_params(n_jobs=jobs).fit(X.iloc[rows], y[rows].astype(int))
        return model, float(np.mean(y[rows]))

    old, rate = fit(labels_at(plant, first))
    final, before = labels_at(plant, later), order[(end[order] > first) & (end[order] <= second)]
    tables = [sums_by_day(plant, before, old.predict_proba(X.iloc[before])[:, 1], final, rate).assign(what="no jump")]
    for name, (factor, added) in JUMPS.items():
        other = jumped(plant, first, factor, added)
        y, final = labels_at(other, second), labels_at(other, later)
        new = order[(end[order] > first) & ~np.isnan(y[order])]
        model, rate = fit(y)
        scores = {"old": old.predict_proba(X.iloc[block])[:, 1], "refitted": model.predict_proba(X.iloc[block])[:, 1]}
        old.follow(X.iloc[new], y[new])
        scores["followed"] = old.predict_proba(X.iloc[block])[:, 1]
        old.calibration_.shift_ = 0.0  # as it was fitted, for the next jump
        for how, score in scores.items():
            tables.append(sums_by_day(other, block, score, final, rate).assign(what=f"{name}, {how}"))
    return pd.concat(tables).assign(seed=seed)


def print_precision(precision: pd.DataFrame, recall: pd.DataFrame) -> None:
    for size, rows in precision.groupby("size"):
        pairs = [("default", name) for name in ("oracle", *LEARNERS)] + list(ON_STATES.items())
        ratios = pd.DataFrame({f"{one} / {other}": rows[one] / rows[other] for one, other in pairs})
        print(f"\n## average precision with {size} labelled defects: true state of all units of the later blocks\n")
        print(rows.join(ratios).round(3).to_string(index=False))
        for name in ratios:
            print(f"{name}: {mean_and_interval(ratios[name])}")
    print("\n## share of each mechanism's defects among as many units at the top as there are defects\n")
    print(recall.groupby(["size", "mechanism"]).mean(numeric_only=True).round(2).to_string())


def mean_and_interval(values: pd.Series) -> str:
    half = student.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.3f} (95 % interval {values.mean() - half:.3f} to {values.mean() + half:.3f})"


def print_calibration(days: pd.DataFrame) -> None:
    """Ratios and skill, pooled and of each plant; 95 % intervals from a bootstrap of the days."""
    print("\n## observed / expected defects, pooled over the plants; Brier skill of each plant\n")
    for what, pooled in days.groupby("what", sort=False):
        recorded = interval(pooled, lambda sums: sums["observed"] / sums["expected"])
        true = interval(pooled, lambda sums: sums["true"] / sums["expected of all"])
        print(f"{what}: recorded {recorded}, true {true}")
        plants = [one for _, one in pooled.groupby("seed")]
        skills = [interval(one, lambda sums: 1 - sums["error"] / sums["error of rate"]) for one in plants]
        print(f"    Brier skill {', '.join(skills)}")


def interval(days: pd.DataFrame, value: Callable) -> str:
    sums = days.select_dtypes("number").drop(columns="seed")
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=1000)
    low, high = np.quantile(value(pd.DataFrame(draws @ sums.to_numpy(), columns=sums.columns)), [0.025, 0.975])
    return f"{value(sums.sum()):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
