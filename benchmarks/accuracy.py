"""How well the default recipe predicts, beside what else could be had in an afternoon: one table, on the same folds.

    QMA_DATA=... .venv/bin/python benchmarks/accuracy.py

The newest half of each data set is four test blocks, each predicted from all rows before it (rolling origin). The
peers run in an environment of their own, ``.venv-peers``, made by uv from ``benchmarks/peers.txt``: LightGBM,
histogram gradient boosting, CatBoost, logistic regression and extra trees at their defaults, the plain average of
their probabilities, and FLAML with the wall time that the default recipe took. Metrics are means over the blocks;
their intervals, and those of differences, come from a paired bootstrap of the rows within each block. Predictions
are kept in ``--folder``: a second run goes on where the first was stopped.
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
from accuracy_data import data_sets
from sklearn.metrics import log_loss

from qma_predict.learn.metrics import average_precision, recall_at_capacity
from qma_predict.learn.recipes import make_recipe

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers"
BLOCKS = 4
REPLICATES = 300
OURS = "qma default"
SINGLE = ("lightgbm", "hist_gradient_boosting", "catboost", "logistic", "extra_trees")
AVERAGE = "average of peers"

Metric = Callable[[np.ndarray, np.ndarray], float]
METRICS: dict[str, tuple[Metric, int]] = {
    "average precision": (average_precision, -1),
    "recall at 5 %": (lambda y, p: recall_at_capacity(y, p, capacity=max(1, round(0.05 * len(y)))), -1),
    "log loss": (lambda y, p: log_loss(y, np.clip(p, 1e-6, 1 - 1e-6), labels=[0, 1]), 1),
}
"""Each metric, and the sign that makes the better of two rank first."""


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
            yield fold


def run_ours(fold: Path, jobs: int) -> None:
    if (fold / f"{OURS}.json").exists():
        return
    X, y = pd.read_parquet(fold / "train.parquet"), np.load(fold / "train.npy")
    began = time.perf_counter()
    model = make_recipe("default").set_params(n_jobs=jobs).fit(X, y)
    seconds = time.perf_counter() - began
    score = model.predict_proba(pd.read_parquet(fold / "test.parquet"))[:, 1]
    (fold / f"{OURS}.json").write_text(json.dumps({"seconds": seconds, "score": score.tolist()}))


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
        values[name] = bootstrap([(y, scores) for y, scores, _ in some if 0 < y.sum() < len(y)])
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


def bootstrap(blocks: list[tuple[np.ndarray, dict[str, np.ndarray]]]) -> dict[str, pd.DataFrame]:
    """Each metric as a frame: a column a contestant, the value as it is in the first row, replicates below."""
    names = sorted(set.intersection(*(set(scores) for _, scores in blocks)))
    rng = np.random.default_rng(0)
    rows: dict[str, list[pd.DataFrame]] = {metric: [] for metric in METRICS}
    for y, scores in blocks:
        draws = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=REPLICATES)
        draws[draws @ y == 0] = 1
        redrawn = {name: redraw(y, scores[name], draws) for name in names}
        for metric, (value, _) in METRICS.items():
            whole = pd.DataFrame({name: [value(y, scores[name])] for name in names})
            drawn = pd.DataFrame({name: redrawn[name][metric] for name in names})
            rows[metric].append(pd.concat([whole, drawn], ignore_index=True))
    return {metric: sum(tables) / len(tables) for metric, tables in rows.items()}


def redraw(y: np.ndarray, score: np.ndarray, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric for each draw; ``draws[i, j]`` is how often draw i holds row j. Ties are broken as rows come."""
    order = np.argsort(-score, kind="stable")
    units = draws[:, order]
    defects = units * y[order]
    above, found = units.cumsum(axis=1), defects.cumsum(axis=1)
    precision = found / np.maximum(above, 1)
    listed = np.clip(max(1, round(0.05 * len(y))) - (above - units), 0, units)
    loss = -np.log(np.where(y == 1, np.clip(score, 1e-6, 1 - 1e-6), 1 - np.clip(score, 1e-6, 1 - 1e-6)))
    total = defects.sum(axis=1)
    return {
        "average precision": (defects * precision).sum(axis=1) / total,
        "recall at 5 %": (defects * listed / np.maximum(units, 1)).sum(axis=1) / total,
        "log loss": draws @ loss / draws.sum(axis=1),
    }


def print_metric(values: dict[str, pd.DataFrame], sign: int) -> None:
    cells, ranks = {}, {}
    for name, table in values.items():
        low, high = table.iloc[1:].quantile(0.025), table.iloc[1:].quantile(0.975)
        cells[name] = {c: f"{table[c].iloc[0]:.3f} ({low[c]:.3f}-{high[c]:.3f})" for c in table}
        ranks[name] = (sign * table.iloc[0]).rank()
    shown = pd.DataFrame(cells)
    shown.insert(0, "mean rank", pd.DataFrame(ranks).mean(axis=1).round(2))
    print(shown.sort_values("mean rank").to_string())
    print()
    for name, table in values.items():
        best = (sign * table[[c for c in SINGLE if c in table]].iloc[0]).idxmin()
        difference = -sign * (table[OURS] - table[best])
        low, high = difference.iloc[1:].quantile([0.025, 0.975])
        verdict = "WORSE" if high < 0 else "better" if low > 0 else "not distinguishable"
        gain = f"{difference.iloc[0]:+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"{name}: {gain} against {best}, the best single one: {verdict}")


if __name__ == "__main__":
    main()
