"""Recipes: unfitted pipelines that turn a table of features into probabilities of a defect."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from qma_predict.learn.calibration import CalibratedOnLater

RECIPES = ("boosted_trees", "logistic")


def make_recipe(name: str = "boosted_trees", *, random_state: int = 0) -> Pipeline:
    """Return an unfitted recipe.

    Its ``fit(X, y)`` takes a frame of features with the rows in time order, oldest first, and labels
    (1 defect, 0 good); its ``predict_proba(X)[:, 1]`` is P(recorded as defect if inspected), row by row.
    Both recipes take missing values, categories never seen in training, and columns that are constant or
    all missing; an infinite number counts as missing. Columns are found by name, whatever their order.
    Both are calibrated on their newest training rows, see `CalibratedOnLater`.

    ``boosted_trees``
        Many small, slow, strongly regularised trees (LightGBM): made for some hundred defects among
        some hundred columns. The same data give the same model, whatever the number of threads.
    ``logistic``
        Logistic regression on standardised values, with an L2 penalty that grows with the number of
        columns: few defects, wide tables, effects that add up.

    Parameters
    ----------
    name : str, default "boosted_trees"
        One of `RECIPES`.
    random_state : int, default 0
        Seed of what is drawn at random while fitting.

    Raises
    ------
    ValueError
        `name` is not in `RECIPES`.
    NotEnoughData
        Raised by ``fit`` when there are no defects or no goods.

    Examples
    --------
    >>> [step for step, _ in make_recipe("logistic").steps]
    ['columns', 'finite', 'scale', 'classify']
    """
    if name == "boosted_trees":
        return _boosted_trees(random_state)
    if name == "logistic":
        return _logistic(random_state)
    raise ValueError(f"unknown recipe {name!r}; expected one of {', '.join(RECIPES)}")


def infinite_to_missing(values: np.ndarray) -> np.ndarray:
    """Return the values with infinite ones as NaN.

    Examples
    --------
    >>> infinite_to_missing(np.array([1.0, -np.inf]))
    array([ 1., nan])
    """
    return np.where(np.isinf(values), np.array(np.nan, dtype=values.dtype), values)


def share_out(values: np.ndarray) -> np.ndarray:
    """Return standardised values divided by the square root of their number of columns.

    Then the prior of a ridge penalty on the log odds is the same however wide the table is: with C = 1
    and columns that do not correlate, a standard deviation of 1 between units.

    Examples
    --------
    >>> share_out(np.array([[1.0, -1.0, 0.5, 2.0]]))
    array([[ 0.5 , -0.5 ,  0.25,  1.  ]])
    """
    return values / np.sqrt(values.shape[1])


def as_text(columns: pd.DataFrame) -> pd.DataFrame:
    """Return the columns as text, so that a night on which one is all missing looks like any other.

    Examples
    --------
    >>> as_text(pd.DataFrame({"press.machine": ["P1", None]}))["press.machine"].tolist()
    ['P1', nan]
    """
    values = columns.astype(object)
    return values.map(str).where(values.notna(), np.nan)


def _boosted_trees(random_state: int) -> Pipeline:
    from lightgbm import LGBMClassifier  # 1.6 s to import

    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        dtype=np.float32,
    )
    trees = LGBMClassifier(
        n_estimators=400,
        learning_rate=0.02,
        num_leaves=4,
        min_child_samples=20,
        min_child_weight=1.0,  # without it a leaf of sure goods, however many, is split on noise
        colsample_bytree=0.3,
        subsample=0.8,
        subsample_freq=1,
        reg_lambda=10.0,
        max_bin=127,
        deterministic=True,
        force_row_wise=True,  # else the choice of layout, and so the rounding, depends on timing
        n_jobs=1,  # two threads halve the time on an idle machine, and take 50 times as long on a busy one
        random_state=random_state,
        verbosity=-1,
    )
    return Pipeline([*_prepare(encoder), ("classify", CalibratedOnLater(trees))])


def _logistic(random_state: int) -> Pipeline:
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=False, dtype=np.float32
    )
    scale = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(share_out, feature_names_out="one-to-one"),
    )
    regression = LogisticRegression(C=1.0, max_iter=1000, random_state=random_state)
    return Pipeline([*_prepare(encoder), ("scale", scale), ("classify", CalibratedOnLater(regression))])


def _prepare(encoder: BaseEstimator) -> list[tuple[str, BaseEstimator]]:
    text = make_pipeline(FunctionTransformer(as_text, feature_names_out="one-to-one"), encoder)
    columns = ColumnTransformer(
        [
            ("text", text, make_column_selector(dtype_exclude=np.number)),
            ("numbers", "passthrough", make_column_selector(dtype_include=np.number)),
        ],
        verbose_feature_names_out=False,
    )
    return [
        ("columns", columns),
        ("finite", FunctionTransformer(infinite_to_missing, feature_names_out="one-to-one")),
    ]
