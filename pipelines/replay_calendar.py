"""The trainings of a replay: when the line's calendar has them, with what was known then, one after the other."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

from pipelines.train import decide
from qma_predict.data.lake import History
from qma_predict.errors import QmaError
from qma_predict.home import Home
from qma_predict.learn.dataset import Dataset, make_dataset
from qma_predict.learn.reference import make_reference
from qma_predict.learn.training import Training
from qma_predict.line import Line
from qma_predict.line.operation import firings
from qma_predict.operate.replay_folder import failed_trainings, note_failed, training_whole, undo_training
from qma_predict.publish.models import champion_log, kept_models
from qma_predict.publish.models.model import Model, described

log = logging.getLogger(__name__)

WITHOUT_CALENDAR = timedelta(days=7)
"""How often models are trained in a replay where the line names no times for it."""

LONGEST_CALENDAR = timedelta(days=400)
"""How far back a training by the calendar is looked for that came before the first night."""


def catch_up(
    place: Home, line: Line, first: datetime, until: datetime, known_at: Callable[[datetime], History]
) -> list[datetime]:
    """Train at every moment of the calendar up to a night at which that was not tried yet.

    A training that fails is noted, and the champion before it stays, as on a night that was really run.

    Parameters
    ----------
    place : Home
        The replay's.
    line : Line
    first, until : datetime, UTC
        As of the replay's first night, and of this one.
    known_at : callable
        What was known at a moment.

    Returns
    -------
    list of datetime, UTC
        Trainings that gave a model, oldest first.
    """
    undo_training(place, line.name)
    failed, done = failed_trainings(place), {entry.at for entry in champion_log.entries(place, line.name)}
    moments = list(_moments(line, first, until))
    for at in (at for at in moments if at not in failed and at not in done):
        log.info("training as of %s UTC", f"{at:%Y-%m-%d %H:%M}")
        try:
            _train(place, line, known_at(at), at)
        except QmaError as error:
            log.warning("no model: %s", error)
            undo_training(place, line.name)
            note_failed(place, at, str(error))
    failed = failed_trainings(place)
    return [at for at in moments if at not in failed]


def _moments(line: Line, first: datetime, until: datetime) -> Iterator[datetime]:
    """Moments [UTC] up to a night at which the calendar trains, from the newest before the replay's first night on."""
    if line.training.cron is None:
        count = (until - first) // WITHOUT_CALENDAR
        yield from (first + number * WITHOUT_CALENDAR for number in range(count + 1))
        return
    fires = firings(line.training.cron, line.timezone, first - LONGEST_CALENDAR)
    moments = list(takewhile(lambda moment: moment <= until, fires))
    before = [moment for moment in moments if moment <= first][-1:]
    yield from before or [first]
    yield from (moment for moment in moments if moment > first)


def _train(place: Home, line: Line, history: History, at: datetime) -> None:
    """Train and decide as the line does, with what was known then; approvals that it asks for are taken to be given."""
    approved = line.training.model_copy(update={"approval": False})
    dataset = make_dataset(history, line.model_copy(update={"training": approved}))
    with training_whole(place, line.name):
        decide(place, dataset, at, keep=_keep)


def _keep(place: Home, dataset: Dataset, training: Training) -> Model:
    """Keep the winner of a training without MLflow, whose numbers of runs are never the same."""
    model = described(dataset, training, (training.practice.sentence, training.shuffled.sentence))
    baseline, reference = training.models[model.baseline], make_reference(dataset, training)
    winner, trust = training.models[training.winner], dataset.line.learning.trust
    return kept_models.keep(place, model, winner, baseline, reference, trust=trust)
