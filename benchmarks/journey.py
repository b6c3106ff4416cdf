"""Seconds and peak memory of each stage of the journey, on simulated plants of growing size.

    .venv/bin/python benchmarks/journey.py [units per day ...]

Each size runs in a process of its own, so that a peak is that size's. Twice the data should take about twice the
time.
"""

import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.data.simulate import simulate, write_plant
from qma_predict.home import open_home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.recipes import make_recipe
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import fit
from qma_predict.line import load_line
from qma_predict.publish.scoring import score_candidates

DAYS = 120
START = date(2025, 9, 1)
DEMO = Path(__file__).parents[1] / "models" / "demo"


def main(sizes: list[str]) -> None:
    for size in sizes:
        subprocess.run([sys.executable, __file__, "one", size], check=True)


def one(units_per_day: int) -> None:
    began = time.perf_counter()

    def lap(stage: str, what: str) -> None:
        nonlocal began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        seconds = time.perf_counter() - began
        print(f"{units_per_day:>6} units a day  {stage:<10}{seconds:>7.1f} s{peak:>7.2f} GB  {what}")
        began = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        plant = Path(folder) / "plant"
        write_plant(simulate(days=DAYS, units_per_day=units_per_day, start=START.isoformat()), plant)
        lap("simulate", "")
        line = load_line(DEMO, {"QMA_DATA": str(plant)})
        lake = Lake(open_home(Path(folder) / "home").lake(line.name))
        now = datetime.now(UTC)
        files = ingest(line, lake, as_of=now, now=now).files
        lap("ingest", f"{sum(file.rows for file in files):,} rows")
        night = line.as_of(START + timedelta(days=DAYS - 14))
        dataset = make_dataset(lake.at(night), line)
        lap("dataset", f"{dataset.X.shape[0]:,} units x {dataset.X.shape[1]:,} features")
        model = RiskModel.of(fit(make_recipe(line.learning.recipe), dataset), dataset.X)
        lap("fit", f"{int(dataset.y.count()):,} labels")
        scored, _ = score_candidates(lake.at(night), line, model.predict)
        lap("night", f"{len(scored):,} candidates")


if __name__ == "__main__":
    one(int(sys.argv[2])) if sys.argv[1:2] == ["one"] else main(sys.argv[1:] or ["375", "750", "1500"])
