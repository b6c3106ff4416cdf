"""Units beyond what the training has seen: there, a model guesses."""

import numpy as np
import pandas as pd

from qma_predict.learn.reference import Reference

WIDER = 0.1
"""The range of the good units of the training is widened on either side by such a share of it."""

MANY = 0.05
"""A feature is told if so many of the units are outside its range."""

OUTSIDE = 0.1
"""A unit is outside the envelope if so many of its features are."""


def envelope(X: pd.DataFrame, products: pd.Series, reference: Reference) -> tuple[pd.DataFrame, pd.Series]:
    """Where units leave the range that good units of their product had in the training, and what they lack.

    Parameters
    ----------
    X : DataFrame, shape (n_units, n_features), indexed by unit_id
    products : Series of str, shape (n_units,), indexed by unit_id
    reference : Reference

    Returns
    -------
    features : DataFrame, a row a number that a group of features is named after, most outside first
        ``feature``; ``low`` and ``high``, the range of all products [unit of the tag]; ``outside``, share of the known
        values beyond the widened range of their product; ``missing`` and ``missing_before``, the share of units
        without a value, and of the training's; ``units``, how many have one.
    outside : Series of bool, shape (n_units,), indexed by unit_id
        Units with at least `OUTSIDE` of their known features outside.
    """
    siblings = reference.siblings.select_dtypes("number")
    names = sorted(set(reference.groups.astype(str)) & set(siblings.columns) & set(X.columns))
    beyond = pd.DataFrame(False, index=X.index, columns=names)
    product = products.reindex(X.index).fillna("")
    for one in product.unique():
        like = reference.siblings_of(one if one else None)[0][names].replace([np.inf, -np.inf], np.nan)
        low, high = like.min(), like.max()
        margin = WIDER * (high - low)
        rows = X.loc[(product == one).to_numpy(), names]
        beyond.loc[rows.index] = (rows < low - margin) | (rows > high + margin)
    known = X[names].notna()
    features = pd.DataFrame(
        {
            "low": siblings[names].min(),
            "high": siblings[names].max(),
            "outside": beyond.sum() / known.sum().where(known.sum() > 0),
            "missing": 1 - known.mean(),
            "missing_before": siblings[names].isna().mean(),
            "units": known.sum(),
        }
    ).rename_axis("feature")
    found = features.reset_index().sort_values(["outside", "feature"], ascending=[False, True], ignore_index=True)
    share = beyond.sum(axis=1) / known.sum(axis=1).where(known.any(axis=1))
    return found, (share >= OUTSIDE).rename("outside")
