"""The peers of `accuracy.py`, at their defaults; runs in their environment and knows nothing of this program.

Each gets numbers as they are and texts as its manual asks for them; who takes no gaps gets medians.
"""

import argparse
import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier
from flaml import AutoML
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

OURS = "qma default"
Contestant = Callable[[pd.DataFrame, np.ndarray, pd.DataFrame, int], np.ndarray]


def texts(X: pd.DataFrame) -> list[str]:
    return [name for name in X if not pd.api.types.is_numeric_dtype(X[name].dtype)]


def categories(train: pd.DataFrame, *tables: pd.DataFrame, most: int | None = None) -> list[pd.DataFrame]:
    """Texts as categories of the training rows, at most `most` of each; others are missing."""
    found = {name: train[name].value_counts().index[:most].tolist() for name in texts(train)}
    kinds = {name: pd.CategoricalDtype(values) for name, values in found.items()}
    return [
        table.assign(**{n: table[n].where(table[n].isin(found[n])) for n in kinds}).astype(kinds) for table in tables
    ]


def lightgbm(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, jobs: int) -> np.ndarray:
    X, new = categories(X, X, new)
    return LGBMClassifier(n_jobs=jobs, verbosity=-1, random_state=0).fit(X, y).predict_proba(new)[:, 1]


def hist_gradient_boosting(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, jobs: int) -> np.ndarray:
    X, new = categories(X, X, new, most=200)
    return HistGradientBoostingClassifier(random_state=0).fit(X, y).predict_proba(new)[:, 1]


def catboost(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, jobs: int) -> np.ndarray:
    names = texts(X)
    X, new = (
        table.assign(**{n: table[n].astype(object).where(table[n].notna(), "") for n in names}) for table in (X, new)
    )
    model = CatBoostClassifier(
        verbose=False, allow_writing_files=False, thread_count=jobs, random_seed=0, cat_features=names
    )
    return model.fit(X, y).predict_proba(new)[:, 1]


def logistic(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, jobs: int) -> np.ndarray:
    names = texts(X)
    numbers = [name for name in X if name not in names]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), names),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(X, y).predict_proba(new)[:, 1]


def extra_trees(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, jobs: int) -> np.ndarray:
    names = texts(X)
    numbers = [name for name in X if name not in names]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    columns = make_column_transformer((SimpleImputer(strategy="median"), numbers), (encoder, names))
    model = make_pipeline(columns, ExtraTreesClassifier(n_jobs=jobs, random_state=0))
    return model.fit(X, y).predict_proba(new)[:, 1]


def flaml(X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, jobs: int, seconds: float) -> np.ndarray:
    X, new = categories(X, X, new)
    model = AutoML()
    budget = max(1, round(seconds))
    model.fit(X, y, task="classification", time_budget=budget, n_jobs=jobs, seed=0, verbose=0, split_type="time")
    if model.model is None:  # nothing was fitted within the budget
        return np.full(len(new), y.mean())
    return model.predict_proba(new)[:, 1]


CONTESTANTS: dict[str, Contestant] = {
    "lightgbm": lightgbm,
    "hist_gradient_boosting": hist_gradient_boosting,
    "catboost": catboost,
    "logistic": logistic,
    "extra_trees": extra_trees,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, required=True)
    options.add_argument("folds", type=Path, nargs="+")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    for fold in chosen.folds:
        run(fold, chosen.jobs)


def run(fold: Path, jobs: int) -> None:
    X, new = (pd.read_parquet(fold / f"{part}.parquet") for part in ("train", "test"))
    # numpy's objects: not every peer knows the texts of pandas 3; plain names: LightGBM takes no brackets
    X, new = (table.astype(dict.fromkeys(texts(table), object)) for table in (X, new))
    X.columns = new.columns = [f"column_{place}" for place in range(X.shape[1])]
    y = np.load(fold / "train.npy")
    data = (fold / "digest").read_text()
    for name, contestant in CONTESTANTS.items():
        record(fold, name, data, partial(contestant, X, y, new, jobs))
    seconds = json.loads((fold / f"{OURS}.json").read_text())["seconds"]
    record(fold, "flaml", f"{data}, {seconds} s", partial(flaml, X, y, new, jobs, seconds))


def record(fold: Path, name: str, data: str, predict: Callable[[], np.ndarray]) -> None:
    """Keep the scores, unless those are kept that this code made of this data."""
    file = fold / f"{name}.json"
    made_from = f"{data}, {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"
    if file.exists() and json.loads(file.read_text()).get("made_from") == made_from:
        return
    began = time.perf_counter()
    score = predict()
    found = {"made_from": made_from, "seconds": time.perf_counter() - began, "score": np.asarray(score).tolist()}
    file.write_text(json.dumps(found))
    print(f"{fold.name}: {name} {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
