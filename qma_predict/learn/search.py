"""A search for parameters of the line's recipe, in time order, on what was known before the backtest begins.

What a search was given may not judge what it found. It therefore sees the history as it was known when the first
block of the line's backtest began (`before_backtest`): parameters that it finds are backtested on units and labels
that it could not know, and the figures of a training with them hold with the search included. Searching anew within
each block would say the same of newer parameters, at several times the cost.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, effective_n_jobs

from qma_predict.learn.best_of import best_of
from qma_predict.learn.dataset import Dataset, make_dataset
from qma_predict.learn.recipes import Parameter, make_recipe
from qma_predict.learn.space import Range, search_space
from qma_predict.learn.training import judged_blocks, recipe_of
from qma_predict.learn.trials import Fold, Trial, judge, prune, rows_and_folds, rungs

log = logging.getLogger(__name__)

BATCH = 8
"""Candidates at a time: a fixed number, since what is tried next depends on what was finished, not on the machine."""


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes
    ----------
    recipe : str
    trials : DataFrame
        A row a trial: ``trial`` (0 is what the line has now), ``state`` (`in use`, `complete`, `pruned` or `failed`),
        ``reason`` (why it has failed, else empty), ``folds`` (number judged on), ``log_loss`` (mean over their units,
        NaN if judged on none), ``seconds`` (of work) and a column a parameter.
    folds : DataFrame
        A row a trial and fold: ``trial``, ``fold`` (1 is the oldest), ``units``, ``defects`` and ``log_loss``.
    best : dict
        Parameters of the complete trial with the lowest log loss.
    parameters : dict
        What the line should have as `learning.parameters`: the best, if better than what it has, else what it has.
    better : bool
        Whether the best is better than what the line has, by more than chance.
    sentence : str
        The same in plain words.
    as_of : Timestamp, UTC
        Nothing recorded later was used.
    """

    recipe: str
    trials: pd.DataFrame
    folds: pd.DataFrame
    best: dict[str, Parameter]
    parameters: dict[str, Parameter]
    better: bool
    sentence: str
    as_of: pd.Timestamp


def before_backtest(dataset: Dataset) -> Dataset:
    """The dataset as known when the first block of its backtest begins, features and labels made anew.

    Raises
    ------
    NotEnoughData
        If the history is too short for the backtest.
    """
    origin = judged_blocks(dataset.line).origins(dataset.points["cutoff"], dataset.y)[0]
    return make_dataset(dataset.history.at(origin), dataset.line)


def search(dataset: Dataset, *, minutes: float = 10.0, trials: int | None = None, n_jobs: int | None = -1) -> Search:
    """Look for parameters of the line's recipe that lower the log loss, in time order, on all of a dataset.

    The newer half of the dataset's time is cut into four folds. Each candidate learns from the units that are older
    than a fold by the gate's maturity, with their labels as known when the fold began, and is judged by the log loss
    of the fold's candidates: it counts every unit, while the average precision of a fold with some dozen defects
    is mostly noise. A candidate is judged on the newest fold, then on the one before it, then on the rest, and is
    pruned if worse than the median of all that were judged on the same folds. Candidates come from Optuna's TPE
    sampler, `BATCH` at a time, from around the recipe's own values (`search_space`). One that cannot be fitted has
    failed, with the reason, and the search goes on, unless all that were tried have failed.

    With the same data, seed (the line's) and number of trials the result is the same, wherever the fits run. How
    many trials a time allows depends on the machine. An interrupt (Ctrl-C) ends it after the batches that were
    finished; before the first is, it is raised.

    Parameters
    ----------
    dataset : Dataset
        As known before whatever will judge the result; see `before_backtest`.
    minutes : float, default 10
        A batch is begun only if it should end by then. What the line has now is always judged.
    trials : int, optional
        So many candidates instead, whatever the time.
    n_jobs : int, optional
        Fits at a time, each in one thread, on the joblib backend in use (processes of this machine, or what
        `joblib.parallel_config` says, such as a Dask cluster); -1 is all of its workers.

    Raises
    ------
    LineError
        If the line's recipe or parameters do not exist.
    NotEnoughData
        If the history is too short for the folds, or none of them has defects and good units before it.
    ValueError
        If `trials` is less than 1.
    KeyboardInterrupt
        If interrupted before a batch was finished.
    Exception
        What the line's recipe raises with the parameters that the line has.
    """
    if trials is not None and trials < 1:
        raise ValueError(f"trials: found {trials}, expected 1 or more, or none for as many as the minutes allow")
    started, line = time.perf_counter(), dataset.line
    X, folds = rows_and_folds(dataset)
    recipe = recipe_of(line)
    own = search_space(make_recipe(line.learning.recipe, random_state=line.learning.seed))
    current = {name: recipe.get_params()[name] for name in own}
    space = {name: values.including(current[name]) for name, values in own.items()}
    study = _study(line.learning.seed)
    done = [Trial(current, state="in use")]
    with Parallel(n_jobs=n_jobs) as parallel:
        judge(parallel, recipe, X, folds, done)
        _tell(study, done[0], space)
        taken = time.perf_counter() - started
        _log(done[0], 0, folds, taken)
        should_take = _should_take(done[0].seconds, effective_n_jobs(n_jobs))
        sizes = _batches(trials) if trials is not None else _batches_in(60 * minutes - taken, should_take)
        interrupted = False
        try:
            for size in sizes:
                batch = _ask(study, space, size)
                for first, last in rungs(len(folds)):
                    going_on = [trial for trial in batch if trial.state == "complete"]
                    judge(parallel, recipe, X, folds[first:last], going_on)
                    if last < len(folds):
                        prune([trial for trial in going_on if trial.state == "complete"], [*done, *batch], last)
                for number, trial in enumerate(batch, start=len(done)):
                    _tell(study, trial, space)
                    _log(trial, number, folds, time.perf_counter() - started)
                done += batch
                if all(trial.state == "failed" for trial in done[1:]):
                    break
        except KeyboardInterrupt:
            if len(done) == 1:
                raise
            interrupted = True
    return _found(dataset, done, folds, _too_short(minutes, taken, should_take), interrupted)


def _batches(trials: int) -> Iterator[int]:
    for first in range(0, trials, BATCH):
        yield min(BATCH, trials - first)


def _batches_in(seconds: float, should_take: Mapping[int, float]) -> Iterator[int]:
    """Sizes of batches that should end within so many seconds; only the last one is smaller than `BATCH`.

    `should_take` says how long so many candidates should take [s]; if a batch takes longer, so will the next.
    """
    end, slower, size = time.perf_counter() + seconds, 1.0, BATCH
    while size == BATCH:
        began = time.perf_counter()
        size = max((n for n in should_take if slower * should_take[n] <= end - began), default=0)
        if size:
            yield size
            slower = max(slower, (time.perf_counter() - began) / should_take[size])


def _should_take(fits: Sequence[float], workers: int) -> dict[int, float]:
    """Time [s] that so many candidates should take at most, by what a fit and the scores of each fold take [s].

    Nobody goes on to the next folds before all are judged on the ones before, however many workers there are.
    """
    steps = [fits[first:last] for first, last in rungs(len(fits))]
    return {n: sum(float(np.ceil(n * len(step) / workers)) * max(step) for step in steps) for n in range(1, BATCH + 1)}


def _too_short(minutes: float, taken: float, should_take: Mapping[int, float]) -> str:
    """Why no candidate could be tried in so many minutes, and how many would do, if so many seconds were taken."""
    enough = _told(float(np.ceil(1.1 * (taken + should_take[BATCH]) / 60)))
    return (
        f"no candidate could be tried in {_told(minutes)}: judging these took {_told(taken / 60)}, and one takes about "
        f"{_told(should_take[1] / 60)}. Search for {enough} or more (--minutes), enough for {BATCH}; until then, keep "
        "what the line has"
    )


def _told(minutes: float) -> str:
    """Minutes in words, rounded up.

    Examples
    --------
    >>> _told(0.0), _told(0.003), _told(1), _told(12.34)
    ('0 minutes', '0.1 minutes', '1 minute', '12.4 minutes')
    """
    up = np.ceil(round(10 * minutes, 6)) / 10
    return f"{up:g} minute{'' if up == 1 else 's'}"


def _optuna() -> ModuleType:
    """Optuna, imported when it is needed (1 s), and silent."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(seed: int) -> Any:
    sampler = _optuna().samplers.TPESampler(seed=seed, n_startup_trials=BATCH)
    return _optuna().create_study(direction="minimize", sampler=sampler)


def _distributions(space: Mapping[str, Range]) -> dict[str, Any]:
    kinds = _optuna().distributions
    return {
        name: (kinds.IntDistribution(int(one.low), int(one.high), log=True))
        if one.whole
        else kinds.FloatDistribution(one.low, one.high, log=True)
        for name, one in space.items()
    }


def _ask(study: Any, space: Mapping[str, Range], size: int) -> list[Trial]:
    asked = [study.ask(_distributions(space)) for _ in range(size)]
    return [Trial({name: _readable(one.params[name]) for name in space}, one) for one in asked]


def _readable(value: float) -> float:
    """What a person can copy into `line.toml`: three digits do."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def _tell(study: Any, trial: Trial, space: Mapping[str, Range]) -> None:
    optuna = _optuna()
    if trial.asked is None:
        if all(trial.parameters[name] in values for name, values in space.items()):  # 0 has no place in them
            known = {"params": trial.parameters, "distributions": _distributions(space)}
            study.add_trial(optuna.create_trial(value=trial.log_loss(), **known))
    elif trial.state == "failed":
        study.tell(trial.asked, state=optuna.trial.TrialState.FAIL)
    elif trial.state == "pruned":
        trial.asked.report(trial.log_loss(), len(trial.losses))
        study.tell(trial.asked, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial.asked, trial.log_loss())


def _log(trial: Trial, number: int, folds: Sequence[Fold], seconds: float) -> None:
    if trial.state == "failed":
        log.warning("trial %d has failed, %.0f s since the start: %s", number, seconds, trial.reason)
        return
    log.info(
        *("trial %d: log loss %.4f on %d of %d folds (%s), %.0f s since the start", number, trial.log_loss()),
        *(len(trial.losses), len(folds), trial.state, seconds),
    )


def _found(dataset: Dataset, done: Sequence[Trial], folds: Sequence[Fold], too_short: str, interrupted: bool) -> Search:
    """What the trials say; `too_short` is said where there is none but what the line has."""
    learning, now = dataset.line.learning, done[0]
    complete = [trial for trial in done[1:] if trial.state == "complete"]
    reasons = [trial.reason for trial in done if trial.state == "failed"]
    best, better = min([now, *complete], key=lambda trial: trial.log_loss()), False
    sentence = f"{learning.recipe}: log loss {now.log_loss():.4f} with the parameters that the line has"
    if len(done) == 1:
        sentence += f"; {too_short}"
    elif len(reasons) == len(done) - 1:
        sentence += f"; none of {len(reasons)} others could be fitted: keep what the line has"
    elif best is now:
        sentence += f"; none of {len(done) - 1} others tried is lower: keep what the line has"
    else:
        compared = best_of(
            np.concatenate(now.losses),
            [np.concatenate(trial.losses) for trial in complete],
            np.concatenate([fold.night for fold in folds]),
            defects=int(sum(fold.outcome.sum() for fold in folds)),
            tried=len(done) - 1,
        )
        better = compared.better
        sentence += f", {best.log_loss():.4f} with the best of {len(done) - 1} others, {compared.in_words()}"
    if reasons:
        sentence += (
            f". {len(reasons)} of {len(done) - 1} could not be fitted, the first since {reasons[0].splitlines()[0]}"
        )
    if interrupted:
        sentence += ". Interrupted: what was not finished is not counted"
    return Search(
        recipe=learning.recipe,
        trials=_trial_table(done),
        folds=_fold_table(done, folds),
        best=best.parameters,
        parameters=learning.parameters | best.parameters if better else learning.parameters,
        better=better,
        sentence=sentence,
        as_of=dataset.history.as_of,
    )


def _trial_table(done: Sequence[Trial]) -> pd.DataFrame:
    rows = [
        {
            "trial": number,
            "state": trial.state,
            "reason": trial.reason,
            "folds": len(trial.losses),
            "log_loss": trial.log_loss(),
            "seconds": round(sum(trial.seconds), 1),
        }
        | trial.parameters
        for number, trial in enumerate(done)
    ]
    return pd.DataFrame(rows).astype({"state": "str", "reason": "str"})


def _fold_table(done: Sequence[Trial], folds: Sequence[Fold]) -> pd.DataFrame:
    rows = [
        {
            "trial": number,
            "fold": fold.number,
            "units": len(fold.judged),
            "defects": int(fold.outcome.sum()),
            "log_loss": float(values.mean()),
        }
        for number, trial in enumerate(done)
        for fold, values in zip(folds, trial.losses, strict=False)
    ]
    return pd.DataFrame(rows).sort_values(["trial", "fold"], ignore_index=True)
