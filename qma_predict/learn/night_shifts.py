"""How far the probabilities of a night's list are off together: learnt from a backtest, then from the lists themselves.

Given the shift of a night, its units are independent. Over the nights of one fitted model, shifts are normal about the
model's own level. Levels of the models that are fitted one after the other are normal in turn: that of tonight's is
another than any of the backtest's blocks had, and lists of it tell which.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import norm

from qma_predict.learn.backtest import Backtest
from qma_predict.learn.promise import PromiseSpread, shifted

_SHIFTS = np.linspace(-3.0, 3.0, 61)
_LEVELS = np.linspace(-1.5, 1.5, 61)
_BETWEEN_MODELS = np.linspace(0.0, 0.75, 11)
_BETWEEN = np.linspace(0.0, 2.0, 41)
_LEVEL_PRIOR = 0.25
"""Standard deviation [log-odds] of the level of all models of a recipe, before any night is seen."""
_MODELS_PRIOR = 0.5
"""Scale [log-odds] of the half-normal spread between models' levels, before any night is seen."""
_BETWEEN_PRIOR = 0.5
"""Scale [log-odds] of the half-normal spread between nights, before any night is seen."""
_SURE = 1e-6

COLUMNS = ["night", "unit_id", "score", "outcome", "weight"]
"""Of the rows of nights."""


def promise_spread(result: Backtest, contestant: str, capacity: int, weight: pd.Series | None = None) -> PromiseSpread:
    """Learn from a backtest how far the probabilities of a night are off together.

    Of each night, the `capacity` highest scores are taken, and of these the units whose outcome is known. Given a
    night's shift b of the log-odds they are independent, with ``logit P' = logit P + b``. Over the nights of a block,
    b is normal with a level and a spread, such that odds are multiplied by ``exp(level)`` on average; over blocks,
    each of which has a model of its own, the level is normal, too. All have priors (mean level N(0, 0.25), spreads
    between models and between nights half-normal with scale 0.5), which few nights or defects leave as they are. The
    distribution that is returned is the predictive one of a further model's nights, averaged over what is not known.
    It is that of the units which are checked: what the plant did not inspect in the backtest's time tells nothing.

    Parameters
    ----------
    result : Backtest
    contestant : str
        Whose scores the lists will have.
    capacity : int
        Units that a list holds.
    weight : Series of float, indexed by unit_id, optional
        How many units each inspected unit stands for, where the contestant was fitted with it. A night's units
        together count as many as they are worth, ``(sum of w)^2 / sum of w^2`` (Kish 1965).

    Returns
    -------
    PromiseSpread
        That of the priors alone if no outcome of a listed unit is known.
    """
    rows = _would_be_listed(result, contestant, capacity)
    own = 1.0 if weight is None else weight.reindex(rows["unit_id"]).fillna(1.0).to_numpy()
    rows = rows.assign(weight=own)
    mean = norm.logpdf(_LEVELS, scale=_LEVEL_PRIOR)
    models = norm.logpdf(_BETWEEN_MODELS, scale=_MODELS_PRIOR)
    between = norm.logpdf(_BETWEEN, scale=_BETWEEN_PRIOR)
    log = models[:, None, None] + mean[None, :, None] + between[None, None, :]  # (models, mean level, between nights)
    to_level = _levels_about(_BETWEEN_MODELS)
    for _, block in rows.groupby("block"):
        log = log + np.log(to_level @ np.exp(_log_likelihood(block)) + _SURE**2)
    known = np.exp(log - log.max())
    return _predictive(np.einsum("tml,tmb->lb", to_level, known), rows)


def promise_since(before: PromiseSpread, rows: pd.DataFrame) -> PromiseSpread:
    """Learn from a model's own lists what a backtest could not tell: its level.

    Parameters
    ----------
    before : PromiseSpread
        What the backtest taught; one that taught nothing is returned as it is.
    rows : DataFrame
        `COLUMNS`: the units of known outcome that were listed, each on one of the nights; the model's score, 1 for a
        defect and 0 for a good unit, and how many units it stands for.

    Returns
    -------
    PromiseSpread
    """
    if rows.empty or not before.level[1]:
        return before
    level = norm.logpdf(_LEVELS, *before.level)
    between = norm.logpdf(_BETWEEN, before.between[0], max(before.between[1], _SURE))
    log = level[:, None] + between + _log_likelihood(rows)
    return _predictive(np.exp(log - log.max()), rows)


def _predictive(known: np.ndarray, rows: pd.DataFrame) -> PromiseSpread:
    """The distribution of a night's shift, by what is known of level and spread, shape (n_levels, n_between)."""
    known = known / known.sum()
    chance = np.einsum("lb,lbs->s", known, _distributions())
    kept = chance > _SURE
    return PromiseSpread(
        tuple(_SHIFTS[kept].round(6).tolist()),
        tuple((chance[kept] / chance[kept].sum()).round(9).tolist()),
        nights=rows["night"].nunique(),
        checked=len(rows),
        found=int(rows["outcome"].sum()),
        expected=float(rows["score"].sum()),
        level=_moments(_LEVELS, known.sum(axis=1)),
        between=_moments(_BETWEEN, known.sum(axis=0)),
    )


def _moments(points: np.ndarray, chance: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation."""
    mean = float(chance @ points)
    return round(mean, 6), round(float(np.sqrt(chance @ (points - mean) ** 2)), 6)


def _would_be_listed(result: Backtest, contestant: str, capacity: int) -> pd.DataFrame:
    """Units of known outcome on the lists that each night would have had."""
    rows = result.predictions
    rows = rows[rows["contestant"] == contestant].sort_values(["score", "unit_id"], ascending=[False, True])
    rows = rows[rows.groupby("night").cumcount() < capacity]
    return rows[rows["outcome"].notna()].sort_values(["night", "unit_id"], ignore_index=True)


def _log_likelihood(rows: pd.DataFrame) -> np.ndarray:
    """Of a model's nights, by its level and the spread between them; the greatest is 0; shape (n_levels, n_between)."""
    log = np.log(_distributions() @ _of_each_night(rows).T + _SURE**2).sum(axis=-1)
    return log - log.max()


def _of_each_night(rows: pd.DataFrame) -> np.ndarray:
    """Likelihood of each night's outcomes at each of `_SHIFTS`, the greatest being 1; shape (n_nights, n_shifts)."""
    chance = shifted(rows["score"].to_numpy(dtype=float).clip(_SURE, 1 - _SURE), _SHIFTS)
    log = np.log(np.where(rows["outcome"].to_numpy() == 1.0, chance, 1 - chance))
    weight = rows["weight"].to_numpy(dtype=float)
    units = pd.DataFrame({"night": rows["night"].to_numpy(), "w": weight, "squared": weight**2}).groupby("night")
    worth = weight * (units["w"].transform("sum") / units["squared"].transform("sum")).to_numpy()
    by_night = pd.DataFrame((log * worth).T).groupby(rows["night"].to_numpy()).sum().to_numpy()
    return np.exp(by_night - by_night.max(axis=1, keepdims=True))


@cache
def _distributions() -> np.ndarray:
    """Chance of each of `_SHIFTS` by the level and the spread between nights; (n_levels, n_between, n_shifts)."""
    edges = (_SHIFTS[1:] + _SHIFTS[:-1]) / 2
    middle = _LEVELS[:, None] - _BETWEEN**2 / 2  # so that odds are multiplied by exp(level) on average
    up_to = norm.cdf(edges, loc=middle[..., None], scale=np.maximum(_BETWEEN, _SURE)[:, None])
    return np.diff(up_to, prepend=0.0, append=1.0)


def _levels_about(spread: np.ndarray) -> np.ndarray:
    """Chance of each level by the spread between models and their mean level; (n_spreads, n_means, n_levels)."""
    edges = (_LEVELS[1:] + _LEVELS[:-1]) / 2
    up_to = norm.cdf(edges, loc=_LEVELS[:, None], scale=np.maximum(spread, _SURE)[:, None, None])
    return np.diff(up_to, prepend=0.0, append=1.0)
