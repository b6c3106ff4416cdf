"""Flow: from the lake to a model, and to the decision whether it becomes champion.

A model is kept before the log of champions says what became of it: stopped in between, the champion is the one before,
and the training that comes next keeps another version.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
from prefect import flow

from pipelines.logs import about
from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.errors import LineError, ModelError, NotEnoughData
from qma_predict.home import Home, open_home
from qma_predict.learn.dataset import Dataset, make_dataset
from qma_predict.learn.promotion import Decision, judge_challenger, judge_refresh
from qma_predict.learn.rehearsal import faults, overdue, rehearse, side_by_side
from qma_predict.learn.training import Training, train
from qma_predict.line import Line, load_line
from qma_predict.publish.models import champion_log, champion_quotes, kept_looks, kept_models, registry, trusted
from qma_predict.publish.models.champion_entries import Entry, Event, Role
from qma_predict.publish.models.model import Model, line_of, made_by, same_recipe

log = logging.getLogger(__name__)

TRAINING = "training"
"""Who decided, where no person did."""

Keep = Callable[[Home, Dataset, Training], Model]
"""Keeps the winner of a training in a home."""


@dataclass(frozen=True)
class _InUse:
    """The champion of a line: its version, empty if there is none, and what of it can be read."""

    version: str = ""
    model: Model | None = None
    predict: Callable[[pd.DataFrame], np.ndarray] | None = None


@dataclass(frozen=True)
class _Trained:
    """A dataset and the training on it, whose winner is what is kept."""

    dataset: Dataset
    training: Training

    def of(self, contestant: str) -> "_Trained":
        return replace(self, training=replace(self.training, winner=contestant))


def learn(line: str, home: str, as_of: datetime) -> tuple[Model, Training]:
    """Train with what was known at `as_of` [UTC], and decide on the model by its role.

    Without a champion the model is the first, and the winner of its backtest is promoted. If it is by the champion's
    recipe it is a refresh, unless the recipe was shown to be worse than a simple rule, which then takes its place. Else
    it is a challenger; if that does not win, or awaits approval, the champion's recipe is refreshed beside it.

    Returns
    -------
    Model, Training
        The last one that was kept, and its training.

    Raises
    ------
    ModelError
        If the log of champions is not what published lists quote: nothing is added to it then.
    """
    definition, place = load_line(line), open_home(home)
    registry.check(place)
    champion_quotes.checked(place, definition.name)
    return decide(place, make_dataset(Lake(place.lake(definition.name)).at(as_of), definition), datetime.now(UTC))


def decide(
    home: Home, dataset: Dataset, now: datetime, *, keep: Keep = registry.log_training
) -> tuple[Model, Training]:
    """Train on a dataset, and decide on the model by its role, as `learn` does.

    Parameters
    ----------
    home : Home
        Which has the champion that it is held against, and keeps the model.
    dataset : Dataset
    now : datetime, aware
        When, for the log of champions.
    keep : callable
        Keeps the winner of a training.
    """
    line = dataset.line
    trained, used = _backtested(home, dataset), _in_use(home, line)
    finding, deciding = trained.training.verdict, _Deciding(home, line, used, now, keep)
    if used.model is None:
        why = f"the champion v{used.version} cannot be read" if used.version else "there was no champion"
        decision = Decision(True, f"{why}. {finding.sentence}")
        return deciding.take(trained, "first", decision, approval=line.training.approval)
    if used.model.is_recipe and same_recipe(used.model, line):
        if not finding.worse:
            return deciding.refresh(trained, used.model)
        return deciding.take(trained.of(finding.baseline), "simple rule", Decision(True, finding.sentence))
    challenger = trained.of(line.learning.recipe)
    try:
        beside = trained if same_recipe(used.model, line) else _by_recipe_of(home, used.model, dataset)
    except (LineError, NotEnoughData) as error:
        why = f"the champion's recipe cannot be fitted any more, so that a person has to decide: {error}"
        return deciding.take(challenger, "challenger", Decision(True, why), approval=True)
    compared = side_by_side(trained.training, line.learning.recipe, beside.training, used.model.contestant)
    decision = judge_challenger(compared, line.training.margin, finding)
    model, training = deciding.take(challenger, "challenger", decision, approval=line.training.approval)
    if champion_log.champion(home, line.name) == model:
        return model, training
    return deciding.refresh(beside, used.model)


def _by_recipe_of(home: Home, model: Model, dataset: Dataset) -> _Trained:
    """The champion's recipe on the same history, judged on the same blocks."""
    return _backtested(home, make_dataset(dataset.history, line_of(dataset.line, model)))


def _backtested(home: Home, dataset: Dataset) -> _Trained:
    """Train, and note at which blocks that looked, whatever becomes of the model."""
    trusted.check_recipe(dataset)
    kept_looks.read(home, dataset.line.name)  # what cannot be noted is told before hours are spent
    trained = _Trained(dataset, train(dataset))
    kept_looks.note(home, dataset, trained.training)
    return trained


@dataclass(frozen=True)
class _Deciding:
    """A training's decisions: against which champion, and when."""

    home: Home
    line: Line
    used: _InUse
    now: datetime
    keep: Keep

    def refresh(self, trained: _Trained, model: Model) -> tuple[Model, Training]:
        """Keep the champion's recipe with newer data, and decide on it."""
        margin, training = self.line.training.margin, trained.training
        late = overdue(training, model.as_of)
        try:
            found = rehearse(trained.dataset, training, model.contestant, model.as_of, self.used.predict, margin)
            decision = judge_refresh(found.result, margin, overdue=late)
            decision = replace(decision, sentence=f"{decision.sentence} ({found.sides})")
        except NotEnoughData as error:
            decision = Decision(late, f"it cannot be held against the champion: {error}")
        if self.used.predict is None:
            decision = Decision(True, f"the champion v{model.version} cannot be loaded")
        return self.take(trained.of(model.contestant), "refresh", decision)

    def take(
        self, trained: _Trained, role: Role, decision: Decision, *, approval: bool = False
    ) -> tuple[Model, Training]:
        """Keep a model, and write into the log what becomes of it."""
        model = self.keep(self.home, trained.dataset, trained.training)
        if wrong := self._wrong(model, trained):
            decision = Decision(False, f"{wrong}. {decision.sentence}")
        event: Event = ("awaiting approval" if approval else "promoted") if decision.promote else "refused"
        over = self.used.version if event == "promoted" else None
        why, name, now = decision.sentence, self.line.name, self.now
        entry = champion_log.append(
            self.home, name, event, model.version, role=role, by=TRAINING, why=why, at=now, over=over
        )
        log.info("%s", champion_log.in_words(entry))
        if entry.reigns and model.run_id:
            registry.follow(self.home, model)
        return model, trained.training

    def _wrong(self, model: Model, trained: _Trained) -> str:
        """What speaks against a model whatever it is compared with; empty if nothing does."""
        before = self.used.model
        if before is not None and model.as_of <= before.as_of:
            known = f"which knows what was known at {before.as_of:%Y-%m-%d %H:%M} UTC"
            if model.as_of < before.as_of:
                return f"it knows less than the champion, {known}"
            if model.learning == before.learning and model.contestant == before.contestant:
                return f"it knows nothing newer than the champion, {known}"
        try:
            predict = kept_models.load(self.home, model, self.line.learning.trust)
            return faults(trained.dataset, trained.training, predict)
        except ModelError as error:
            return str(error)


def _in_use(home: Home, line: Line) -> _InUse:
    """The champion, as far as it can be read: what is damaged is replaced by a training, not in the way of it."""
    entry = champion_log.reigning(champion_log.entries(home, line.name))
    if entry is None:
        return _InUse()
    used = _InUse(entry.version)
    try:
        model = champion_log.model_of(home, line.name, entry)
        used = replace(used, model=model)
        return replace(used, predict=kept_models.load(home, model, line.learning.trust))
    except ModelError as error:
        log.error("%s", error)
        return used


def _done_before(home: Home, dataset: Dataset) -> Entry | None:
    """The last entry of a training on the same dataset by the same recipe: a run that was stopped after it."""
    known = champion_log.entries(home, dataset.line.name)
    for entry in reversed(known):
        try:
            model = kept_models.read(home, dataset.line.name, entry.version)
        except ModelError:
            continue  # removed or damaged since
        same = (model.dataset, model.learning) == (str(dataset.identity["digest"]), made_by(dataset.line))
        if same and model.as_of == dataset.history.as_of:
            return [one for one in known if one.at == entry.at][-1]
    return None


def make_champion(line: str, home: str, as_of: datetime) -> Entry:
    """Do as `learn` does, for a task that may run again: only what is small is returned, and nothing is done twice."""
    definition, place = load_line(line), open_home(home)
    champion_quotes.checked(place, definition.name)
    dataset = make_dataset(Lake(place.lake(definition.name)).at(as_of), definition)
    if done := _done_before(place, dataset):
        log.info("%s: trained before on the same data by the same recipe", definition.name)
        return done
    registry.check(place)
    decide(place, dataset, datetime.now(UTC))
    return champion_log.entries(place, definition.name)[-1]


@flow(name="train")
def train_flow(line: str, home: str, business_date: date | None = None) -> Entry:
    """Train with what the list of a business date could know; by default with what is known now.

    Returns
    -------
    Entry
        What became of the last model that was kept, in the log of champions.
    """
    definition = load_line(line)
    as_of = datetime.now(UTC) if business_date is None else definition.as_of(business_date)
    with about(line=definition.name, business_date=business_date):
        return step(make_champion)(line, home, as_of)
