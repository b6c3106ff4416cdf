"""How well the default recipe predicts, beside what else could be had in an afternoon: one table, on the same folds.

    QMA_DATA=... .venv/bin/python benchmarks/accuracy.py

The newest half of each data set is four test blocks, each predicted from all rows before it (rolling origin). The
peers run in an environment of their own, ``.venv-peers``, made by uv from ``benchmarks/peers.txt``: LightGBM,
histogram gradient boosting, CatBoost, logistic regression and extra trees at their defaults, the plain average of
their probabilities, and FLAML with the wall time that the default recipe took. Metrics are means over the blocks;
their intervals, and those of differences, come from leaving out runs of successive rows, since defects come in runs.
Predictions are kept in ``--folder`` with what they were made from, data and program: a second run goes on where the
first was stopped, and makes anew what would come out otherwise.
"""

import argparse
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy_data import data_sets, digest
from sklearn.metrics import log_loss

from qma_predict.learn import runs
from qma_predict.learn.at_capacity import recall_at_capacity
from qma_predict.learn.metrics import average_precision, brier_skill
from qma_predict.learn.recipes import make_recipe

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers"
LEARN = ROOT / "qma_predict/learn"
BLOCKS = 4
OURS = "qma default"
SINGLE = ("lightgbm", "hist_gradient_boosting", "catboost", "logistic", "extra_trees")
AVERAGE = "average of peers"

Metric = Callable[[np.ndarray, np.ndarray, float], float]
METRICS: dict[str, tuple[Metric, int]] = {
    "average precision": (lambda y, p, _: average_precision(y, p), -1),
    "recall at 5 %": (lambda y, p, _: recall_at_capacity(y, p, capacity=max(1, round(0.05 * len(y)))), -1),
    "log loss": (lambda y, p, _: log_loss(y, np.clip(p, 1e-6, 1 - 1e-6), labels=[0, 1]), 1),
    "Brier skill": (lambda y, p, rate: brier_skill(y, p, prevalence=rate), -1),
}
"""Each metric of labels, scores and the rate of the training rows, and the sign that makes the better rank first."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, default=ROOT / ".accuracy", help="where predictions are kept")
    options.add_argument("--data", action="append", help="only this data set; may be given several times")
    options.add_argument("--jobs", type=int, default=2, help="threads for each contestant")
    chosen = options.parse_args()
    folds = list(write_folds(chosen.folder.resolve(), set(chosen.data) if chosen.data else None))
    for fold in folds:
        run_ours(fold, chosen.jobs)
    run_peers(folds, chosen.jobs)
    report(folds)


def write_folds(folder: Path, names: set[str] | None) -> Iterator[Path]:
    """Write each fold of each data set as a folder, and yield it."""
    for name, found in data_sets(names):
        if isinstance(found, str):
            print(f"{name}: left out, {found}")
            continue
        X, y = found
        half = len(y) // 2
        edges = [half + number * (len(y) - half) // BLOCKS for number in range(BLOCKS + 1)]
        print(f"{name}: {X.shape[0]} x {X.shape[1]}, {y.sum()} defects, {y[half:].sum()} of them in the test blocks")
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            fold = folder / f"{name}.{number}"
            fold.mkdir(parents=True, exist_ok=True)
            X.iloc[:start].to_parquet(fold / "train.parquet")
            X.iloc[start:end].to_parquet(fold / "test.parquet")
            np.save(fold / "train.npy", y[:start])
            np.save(fold / "test.npy", y[start:end])
            parts = [fold / f"{part}.{kind}" for part in ("train", "test") for kind in ("parquet", "npy")]
            (fold / "digest").write_text(digest(parts))
            yield fold


def run_ours(fold: Path, jobs: int) -> None:
    kept, made_from = fold / f"{OURS}.json", digest([fold / "digest", *sorted(LEARN.rglob("*.py"))])
    if kept.exists() and json.loads(kept.read_text()).get("made_from") == made_from:
        return
    X, y = pd.read_parquet(fold / "train.parquet"), np.load(fold / "train.npy")
    began = time.perf_counter()
    model = make_recipe("default").set_params(n_jobs=jobs).fit(X, y)
    seconds = time.perf_counter() - began
    score = model.predict_proba(pd.read_parquet(fold / "test.parquet"))[:, 1]
    kept.write_text(json.dumps({"made_from": made_from, "seconds": seconds, "score": score.tolist()}))


def run_peers(folds: list[Path], jobs: int) -> None:
    """Run the peers in their environment, which is made where it is missing."""
    python = PEERS / "bin/python"
    if not python.exists():
        uv = ROOT / ".venv/bin/uv"
        subprocess.run([uv, "venv", "--quiet", "--python", ROOT / ".venv/bin/python", PEERS], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "-r", ROOT / "benchmarks/peers.txt"]
        subprocess.run(install, check=True)
    script = ROOT / "benchmarks/accuracy_peers.py"
    subprocess.run([python, script, "--jobs", str(jobs), *folds], check=True, cwd=folds[0].parent)  # some leave files


def read(fold: Path) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, float]]:
    """Labels of a fold, each contestant's scores, and its seconds."""
    found = {file.stem: json.loads(file.read_text()) for file in fold.glob("*.json")}
    scores = {name: np.array(each["score"]) for name, each in found.items()}
    scores[AVERAGE] = np.mean([scores[name] for name in SINGLE if name in scores], axis=0)
    return np.load(fold / "test.npy"), scores, {name: each["seconds"] for name, each in found.items()}


def report(folds: list[Path]) -> None:
    sets: dict[str, list[Path]] = {}
    for fold in folds:
        sets.setdefault(fold.name.rpartition(".")[0], []).append(fold)
    values, seconds, promised = {}, {}, {}
    for name, blocks in sets.items():
        some = [read(fold) for fold in blocks]
        rates = [float(np.load(fold / "train.npy").mean()) for fold in blocks]
        known = [(y, scores, rate) for (y, scores, _), rate in zip(some, rates, strict=True) if 0 < y.sum() < len(y)]
        values[name] = {metric: leaving_out_runs(known, value) for metric, (value, _) in METRICS.items()}
        seconds[name] = pd.DataFrame([spent for *_, spent in some]).mean()
        found = sum(y.sum() for y, *_ in some)
        promised[name] = found / pd.Series(pd.DataFrame([{k: s.sum() for k, s in r.items()} for _, r, _ in some]).sum())
    for metric, (_, sign) in METRICS.items():
        print(f"\n## {metric}: mean over blocks (95 % interval)\n")
        print_metric({name: value[metric] for name, value in values.items()}, sign)
    print("\n## observed / expected defects\n")
    print(pd.DataFrame(promised).round(2).to_string())
    print("\n## seconds per fit\n")
    print(pd.DataFrame(seconds).round(1).to_string())
    print(f"\nload average over 1, 5 and 15 minutes at the end: {os.getloadavg()}, {os.cpu_count()} cores")


def leaving_out_runs(
    blocks: list[tuple[np.ndarray, dict[str, np.ndarray], float]], value: Metric
) -> list[pd.DataFrame]:
    """Of each block a frame, a column a contestant: the value of all its rows, and below with each run left out."""
    names = sorted(set.intersection(*(set(scores) for _, scores, _ in blocks)))
    tables = []
    for y, scores, rate in blocks:
        left = runs.leaving_out(np.arange(len(y)), runs.run_length(len(y)))
        rows = [
            {name: value(y[some], scores[name][some], rate) if y[some].any() else np.nan for name in names}
            for some in left
        ]
        tables.append(pd.DataFrame(rows))
    return tables


def interval(blocks: list[pd.Series]) -> tuple[float, float, float]:
    """The mean over blocks and its 95 % interval."""
    spread = runs.spread_of([block.to_numpy() for block in blocks])
    return spread.value, spread.low(0.975), spread.high(0.975)


def print_metric(values: dict[str, list[pd.DataFrame]], sign: int) -> None:
    cells, ranks = {}, {}
    for name, blocks in values.items():
        found = {c: interval([block[c] for block in blocks]) for c in blocks[0]}
        cells[name] = {c: f"{value:.3f} ({low:.3f} to {high:.3f})" for c, (value, low, high) in found.items()}
        ranks[name] = pd.Series({c: sign * value for c, (value, *_) in found.items()}).rank()
    shown = pd.DataFrame(cells)
    shown.insert(0, "mean rank", pd.DataFrame(ranks).mean(axis=1).round(2))
    print(shown.sort_values("mean rank").to_string())
    print()
    for name, blocks in values.items():
        best = min((c for c in SINGLE if c in blocks[0]), key=lambda c: ranks[name][c])
        value, low, high = interval([-sign * (block[OURS] - block[best]) for block in blocks])
        verdict = "WORSE" if high < 0 else "better" if low > 0 else "not distinguishable"
        print(f"{name}: {value:+.3f} ({low:+.3f} to {high:+.3f}) against {best}, the best single one: {verdict}")


if __name__ == "__main__":
    main()
