"""Lists of many nights against the true state of the units: simulated plants, end to end.

    .venv/bin/python benchmarks/lists.py [--plants 5] [--nights 40] [--units-per-day 250] [--first-seed 101]

Each plant is ingested once and trained once, with what its first night could know; then every night is published in
turn, so that each has the lists before it. Settings are those of the demo's line, but for the capacity, which is in
proportion to the smaller plant; and the recipe is used whether or not it was shown to be better than the simple rules,
for which so small a plant has few defects. Printed are

``expected``    how often the 90 % interval of what a list says it will find held what the gate would find among the
                listed units (their true state, with the gate's known errors), and the Kolmogorov-Smirnov test of the
                randomised PIT;
``reasons``     of listed units that are defect by a known mechanism, how many have a reason that names a tag which the
                mechanism moves: each unit once, on its first list;
``incidents``   bad lots and drifting machines, and how many nights passed from being detectable (`DETECTABLE` expected
                defects among the candidates so far) to an issue of their units; beside the truth, how many defects the
                scores expect of them: an incident that the model does not see makes no issue;
``issues``      the share of nights with an issue whose units are not truly at risk more than is usual;
``quiet``       the same plants, their readings as they were, but without causes: all defects are unexplained, about as
                many as otherwise. The share of nights with an issue.

Nights of a plant share units and incidents, so that intervals by nights are somewhat too narrow.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.stats import binomtest, kstest

from pipelines.nightly import publish_night
from pipelines.tonight import Champion
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.simulate import Plant, mechanisms, quality, records, simulate, upkeep, write_plant
from qma_predict.data.simulate.catalogue import TAGS
from qma_predict.data.simulate.flow import day_edges
from qma_predict.features.conditions import conditions
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.dataset import Dataset, make_dataset
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.reference import make_reference
from qma_predict.learn.training import Training, train
from qma_predict.line import Line, load_line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import rows_of
from qma_predict.publish.models.model import Model, made_by
from qma_predict.publish.night import NOT_RECORDED

DEMO = Path(__file__).parents[1] / "models" / "demo"
START, BEFORE = date(2025, 9, 1), 80
"""First day of production, and days before the first night: the backtest takes ten weeks."""

LISTED = 15
"""One of so many units is listed, as of the demo's plant."""

DETECTABLE, SOON = 5.0, 3
SHARED = {"bad_lot": "AlSi9Cu3 lot", "die_drift": "cast machine"}
"""What the units of an incident share, by its mechanism."""

FEELS = {
    "porosity": {"hydrogen", "heat", "pressure_loss"},
    "tool_wear": {"wear"},
    "bad_lot": {"badness"},
    "die_drift": {"imbalance"},
}
"""The hidden states that bring each mechanism about; a tag whose level, slope or spread they move feels them."""

_UNEXPLAINED = 0.02  # of quiet plants: about all defects of the others
_AT_RISK = 0.05  # by a mechanism, from which on it is the unit's
_APART = pd.Timedelta("4D")  # between two incidents of a machine
_ITS = 0.8  # least share of an issue's units that are the incident's


@dataclass(frozen=True)
class Lists:
    """Published nights of a plant, and what only a simulation knows of its units."""

    folder: Path
    lake: Lake
    line: Line
    nights: list[date]
    truth: pd.DataFrame


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--plants", type=int, default=5)
    options.add_argument("--nights", type=int, default=40)
    options.add_argument("--units-per-day", type=int, default=250)
    options.add_argument("--first-seed", type=int, default=101)
    chosen = options.parse_args()
    began = time.perf_counter()
    found: dict[str, list[pd.DataFrame]] = {}
    for quiet in (False, True):
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.plants):
            days = BEFORE + chosen.nights
            plant = simulate(days=days, units_per_day=chosen.units_per_day, seed=seed, start=START.isoformat())
            with TemporaryDirectory() as folder:
                tables = of_plant(without_causes(plant) if quiet else plant, Path(folder), chosen, quiet=quiet)
            print(f"seed {seed}{', quiet' if quiet else ''}: {time.perf_counter() - began:.0f} s", flush=True)
            for name, table in tables.items():
                found.setdefault(name, []).append(table.assign(seed=seed))
                report({name: table.assign(seed=seed)})
    print("\n# all plants")
    report({name: pd.concat(tables, ignore_index=True) for name, tables in found.items()})
    print(f"\n{time.perf_counter() - began:.0f} s; load average at the end {os.getloadavg()}, {os.cpu_count()} cores")


def of_plant(plant: Plant, folder: Path, chosen: argparse.Namespace, *, quiet: bool) -> dict[str, pd.DataFrame]:
    """Publish a plant's nights; return what is to be reported of them, by name."""
    write_plant(plant, folder / "plant")
    line = load_line(DEMO, {"QMA_DATA": str(folder / "plant")})
    capacity = 2 if quiet else max(chosen.units_per_day // LISTED, 1)  # of quiet plants issues alone are judged
    line = line.model_copy(update={"list": line.list.model_copy(update={"capacity": capacity})})
    lake, now = Lake(folder / "lake"), datetime.now(UTC)
    ingest(line, lake, as_of=now, now=now)
    nights = [START + timedelta(days=BEFORE + number) for number in range(chosen.nights)]
    publish_nights(lake, line, nights, folder / "published")
    lists = Lists(folder / "published", lake, line, nights, plant.truth.set_index("unit_id"))
    issues = issues_of(lists)
    if quiet:
        return {"quiet": by_night(lists, issues)}
    return {
        "expected": expected(lists, plant.seed),
        "reasons": reasons(lists),
        "incidents": incidents(lists, issues),
        "issues": by_night(lists, issues[~issues["true"]]),
    }


def publish_nights(lake: Lake, line: Line, nights: list[date], folder: Path) -> None:
    """Train with what the first night could know, and publish every night as the nightly flow does."""
    dataset = make_dataset(lake.at(line.as_of(nights[0])), line)
    training = train(dataset)
    print(f"  {training.verdict.sentence}", flush=True)
    champion = recipe_of(dataset, replace(training, winner=line.learning.recipe))
    for night in nights:
        history = lake.at(line.as_of(night))
        publish_night(history, line, night, folder=folder, champion=champion, under=NOT_RECORDED)


def recipe_of(dataset: Dataset, training: Training) -> Champion:
    """The winner of a training as a night has it."""
    rule = training.verdict.baseline or BASELINES[0]
    model = Model(
        line=dataset.line.name,
        version="1",
        run_id="",
        contestant=training.winner,
        is_recipe=True,
        as_of=dataset.history.as_of.to_pydatetime(),
        base_rate=float(dataset.y.mean()),
        finding=training.verdict.sentence,
        ranking=training.ranking,
        ranges=training.ranges,
        spread=training.spread,
        learning=made_by(dataset.line),
        baseline=rule,
    )
    of_model, of_rule = (training.models[name].predict for name in (training.winner, rule))
    return Champion(model, of_model, of_rule, make_reference(dataset, training))


def without_causes(plant: Plant) -> Plant:
    """The plant with unexplained defects only, inspected anew; its readings are as they were."""
    chances = plant.truth.filter(regex="^p_").rename(columns=lambda name: name.removeprefix("p_"))
    chances.loc[:] = 0.0
    chances["unexplained"] = _UNEXPLAINED
    edges = day_edges(plant.start.isoformat(), int(plant.flow.day.max()) + 1)
    span = int(edges[0]), int(edges[-1])
    alarms = upkeep.raise_alarms(plant.seed, upkeep.plan_maintenance(plant.seed, *span), *span)
    truth = mechanisms.draw_truth(plant.seed, chances)
    outcome, results = quality.inspect(plant.seed, plant.flow, truth, alarms)
    ids = pd.Index(plant.truth["unit_id"])
    truth.insert(0, "unit_id", ids)
    visits = records.record_visits(plant.seed, ids, plant.flow, outcome)
    return replace(plant, truth=truth, visits=visits, inspections=records.record_inspections(ids, outcome, results))


def expected(lists: Lists, seed: int) -> pd.DataFrame:
    """Of each night what was promised, what the gate finds, and the randomised PIT."""
    rng = np.random.default_rng(seed)
    state = lists.truth[["leak", "dimension"]].to_numpy()
    draw = rng.random(state.shape)
    gate = np.where(state, draw >= quality.MISSED, draw < quality.FALSE_ALARM).any(axis=1)
    recorded, rows = pd.Series(gate, lists.truth.index), []
    for night in lists.nights:
        facts = bundle.read(lists.folder, night)["facts"]
        if facts["expected"] is None:
            continue
        listed = rows_of(lists.folder / night.isoformat(), listed=True, columns=["unit_id", "score"])
        found = int(recorded[listed["unit_id"]].sum())
        spread = PromiseSpread(tuple(facts["promise_spread"]["shift"]), tuple(facts["promise_spread"]["chance"]))
        pit = spread.pit(listed["score"], found, rng.random())
        held = facts["low"] <= found <= facts["high"]
        below, up_to = (spread.pit(listed["score"], facts[end], u) for end, u in (("low", 0.0), ("high", 1.0)))
        rows.append((night, len(listed), facts["expected"], found, up_to - below, held, pit))
    return pd.DataFrame(rows, columns=["night", "listed", "expected", "found", "promised", "held", "pit"])


def reasons(lists: Lists) -> pd.DataFrame:
    """Listed units that are defect by a known mechanism, and whether a reason names a tag that feels it."""
    columns = ["unit_id", "because", "listed", "selected_by"]
    rows = pd.concat(
        [rows_of(lists.folder / night.isoformat(), listed=True, columns=columns) for night in lists.nights]
    )
    rows = rows.drop_duplicates("unit_id").join(lists.truth[["defect", "mechanism"]], on="unit_id")
    rows = rows[rows["defect"] & rows["mechanism"].isin(list(FEELS))]
    named = [names_its_mechanism(row.because, row.mechanism) for row in rows.itertuples()]
    return rows[["unit_id", "mechanism", "selected_by", "because"]].assign(named=named)


def names_its_mechanism(because: str, mechanism: str) -> bool:
    tags = [tag for of in TAGS.values() for tag in of if FEELS[mechanism] & {*tag.level, *tag.slope, *tag.spread}]
    return any(tag.name.replace("_", " ") in because for tag in tags)


def issues_of(lists: Lists) -> pd.DataFrame:
    """Every issue of every night: its units, and whether these are truly at risk, twice as much as is usual."""
    rows = []
    usual = lists.truth["probability"].mean()
    for night in lists.nights:
        for issue in bundle.read(lists.folder, night)["facts"]["issues"]:
            risk = lists.truth["probability"][issue["unit_ids"]]
            true = risk.mean() >= 2 * usual and risk.sum() - usual * len(risk) >= 1
            facts = {name: issue[name] for name in ("title", "units", "risk", "normal", "driver", "action")}
            rows.append({"night": night, "true": true, "truly": risk.mean(), "unit_ids": issue["unit_ids"]} | facts)
    columns = ["night", "true", "truly", "unit_ids", "title", "units", "risk", "normal", "driver", "action"]
    return pd.DataFrame(rows, columns=columns).astype({"true": bool})


def by_night(lists: Lists, issues: pd.DataFrame) -> pd.DataFrame:
    """Of each night, whether it has any of the issues, and how they are told."""
    told = (issues["title"] + " (" + issues["driver"] + ")").groupby(issues["night"]).agg(" | ".join)
    titles = told.reindex(lists.nights)
    return pd.DataFrame({"night": lists.nights, "issue": titles.notna().to_numpy(), "titles": titles.to_numpy()})


def incidents(lists: Lists, issues: pd.DataFrame) -> pd.DataFrame:
    """Bad lots and drifting machines that became detectable, and after how many nights an issue was of their units."""
    units = candidates_of(lists)
    known = conditions(lists.lake.at(lists.line.as_of(lists.nights[-1])), units.index, lists.line)
    rows = []
    for mechanism, attribute in SHARED.items():
        shared = known[known["attribute"] == attribute].drop_duplicates("unit_id", keep="last")
        own = units.assign(value=shared.set_index("unit_id")["value"], risk=lists.truth[f"p_{mechanism}"])
        risky = own[own["risk"] > _AT_RISK].sort_values("cutoff")
        risky["run"] = (risky.groupby("value")["cutoff"].diff() > _APART).groupby(risky["value"]).cumsum()
        for (value, _run), some in risky.groupby(["value", "run"]):
            so_far = some.groupby("night")["risk"].sum().cumsum()
            if so_far.iloc[-1] < DETECTABLE:
                continue
            detectable = so_far.index[so_far >= DETECTABLE][0]
            its = own[(own["value"] == value) & own["cutoff"].between(some["cutoff"].min(), some["cutoff"].max())]
            told = issues[[tells(set(ids), its) for ids in issues["unit_ids"]]]
            first = told[["night", "title"]].iloc[0] if len(told) else {"night": pd.NaT, "title": ""}
            waited = np.nan if first["night"] is pd.NaT else (first["night"] - detectable).days
            rows.append((mechanism, value, detectable, so_far.iloc[-1], some["score"].sum(), waited, first["title"]))
    return pd.DataFrame(rows, columns=["mechanism", "value", "detectable", "true", "scored", "waited", "title"])


def candidates_of(lists: Lists) -> pd.DataFrame:
    """First night of every candidate, and its cutoff and score then."""
    columns = ["unit_id", "cutoff", "score"]
    rows = [rows_of(lists.folder / night.isoformat(), columns=columns).assign(night=night) for night in lists.nights]
    return pd.concat(rows).drop_duplicates("unit_id").set_index("unit_id")[["night", "cutoff", "score"]]


def tells(unit_ids: set[str], its: pd.DataFrame) -> bool:
    """Whether the units of an issue are those of an incident, and are at risk by it."""
    same = its[its.index.isin(unit_ids)]
    return len(same) >= _ITS * len(unit_ids) and bool(same["risk"].mean() > _AT_RISK)


def report(tables: dict[str, pd.DataFrame]) -> None:
    words = {"expected": of_expected, "reasons": of_reasons, "incidents": of_incidents}
    for name, table in tables.items():
        print(f"\n## {name}", *words.get(name, of_nights)(table), sep="\n", flush=True)


def of_expected(table: pd.DataFrame) -> Iterator[str]:
    held = binomtest(int(table["held"].sum()), len(table)).proportion_ci()
    yield (
        f"interval held on {table['held'].mean():.3f} of {len(table)} nights ({held.low:.3f} to {held.high:.3f}); "
        f"its ends are whole defects, so that it promises {table['promised'].mean():.3f}"
    )
    yield f"PIT uniform: p {kstest(table['pit'], 'uniform').pvalue:.3f}, mean {table['pit'].mean():.2f}"
    listed, found = table["listed"].sum(), table["found"].sum()
    yield f"expected {table['expected'].sum():.0f}, found {found} of {listed} listed"


def of_reasons(table: pd.DataFrame) -> Iterator[str]:
    yield f"{int(table['named'].sum())} of {len(table)} name a tag of their mechanism"
    yield table.groupby("mechanism")["named"].agg(["sum", "size"]).to_string()


def of_incidents(table: pd.DataFrame) -> Iterator[str]:
    soon, seen = table["waited"] < SOON, table["scored"] >= DETECTABLE
    yield f"{soon.sum()} of {len(table)} told within {SOON} nights of being detectable"
    yield f"{(soon & seen).sum()} of {seen.sum()} of which the scores expect {DETECTABLE:.0f} defects, too"
    yield table.round(1).to_string(index=False)


def of_nights(table: pd.DataFrame) -> Iterator[str]:
    told = table[table["issue"]]
    yield f"{len(told)} of {len(table)} nights with an issue"
    yield told[["seed", "night", "titles"]].to_string(index=False) if len(told) else ""


if __name__ == "__main__":
    main()
