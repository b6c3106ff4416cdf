"""How long one fit of the default recipe takes, on tables as wide and as long as plants have them, and its size.

    .venv/bin/python benchmarks/training_time.py [--rows 1567 50000] [--columns 590 300] [--jobs 2]

Columns are noise but for four, defects are rare. Goals on two cores: 50,000 x 300 in under three minutes, 1,567 x 590
in under one. A model file is kept for each version and read each night, so that its size counts, too.
"""

import argparse
import os
import pickle
import resource
import time

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from qma_predict.learn.recipes import make_recipe

RATES = {1567: 0.066, 50_000: 0.02}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[1567, 50_000])
    options.add_argument("--columns", type=int, nargs="+", default=[590, 300], help="as many as there are of --rows")
    options.add_argument("--jobs", type=int, default=2, help="threads")
    chosen = options.parse_args()
    for rows, columns in zip(chosen.rows, chosen.columns, strict=True):
        X, y = table(rows, columns)
        began = time.perf_counter()
        model = make_recipe("default").set_params(n_jobs=chosen.jobs).fit(X, y)
        seconds = time.perf_counter() - began
        size, memory = len(pickle.dumps(model)) / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        found = f"{rows} x {columns}, {y.sum()} defects: fit {seconds:.0f} s, model {size:.0f} MB"
        print(f"{found}, most memory so far {memory:.1f} GB", flush=True)
    print(f"load average over 1, 5 and 15 minutes at the end: {os.getloadavg()}, {os.cpu_count()} cores")


def table(rows: int, columns: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((rows, columns), dtype=np.float32)).add_prefix("press.tag_")
    raised = X.iloc[:, 0] + X.iloc[:, 1] * X.iloc[:, 2] + 0.5 * X.iloc[:, 3]
    chance = expit(logit(RATES.get(rows, 0.02)) - 1.0 + 1.2 * raised.to_numpy())
    return X, (rng.random(rows) < chance).astype(int)


if __name__ == "__main__":
    main()
