"""Flow: the lists people would have got, made again with only what was known on each night, and judged."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow

from pipelines.logs import about
from pipelines.nightly import publish_night
from pipelines.steps import step
from pipelines.tonight import Champion, load_champion, load_model, provenance
from pipelines.train import decide
from qma_predict.data.lake import History, Lake
from qma_predict.errors import LakeError, ModelError, PublicationError
from qma_predict.home import Home, open_home
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.dataset import Dataset, make_dataset
from qma_predict.learn.labels import labels
from qma_predict.learn.reference import make_reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.training import Training
from qma_predict.learn.weights import inspection_weights
from qma_predict.line import Line, load_line
from qma_predict.line.operation import firings
from qma_predict.operate import replay_page
from qma_predict.operate.replay_folder import (
    Begun,
    begin,
    compared,
    copy_earlier,
    training_whole,
    undo_training,
)
from qma_predict.operate.replay_ladder import fit_ladder, new_units_scored
from qma_predict.operate.replay_report import LISTS, Replay, evaluate
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.durable import write_whole
from qma_predict.publish.models import champion_log, kept_models
from qma_predict.publish.models.model import Model, described, line_of
from qma_predict.publish.night import Provenance
from qma_predict.publish.reaction import Predict, read_shadow
from qma_predict.review.earlier import lists_before
from qma_predict.review.performance import published_scores
from qma_predict.review.promises import promises

log = logging.getLogger(__name__)

WITHOUT_CALENDAR = timedelta(days=7)
"""How often models are trained in a replay where the line names no times for it."""

LONGEST_CALENDAR = timedelta(days=400)
"""How far back a training by the calendar is looked for that came before the first night."""


@dataclass(frozen=True)
class Replayed:
    """Where a replay lies, and what it found."""

    folder: Path
    replay: Replay


@dataclass(frozen=True)
class _Replay:
    """What the nights of a replay are made from."""

    line: Line
    home: Home
    place: Home
    begun: Begun
    ladders: dict[tuple[datetime, str], Mapping[str, RiskModel]] = field(default_factory=dict)

    @property
    def lists(self) -> Path:
        """Folder of the replayed lists."""
        return self.place.published(self.line.name)

    @property
    def real(self) -> Path:
        """Folder of the lists that were really made."""
        return self.home.published(self.line.name)

    def ladder(self, day: date) -> Path:
        """File with the scores of a night's new candidates by the simple rules."""
        return self.place.folder / "ladder" / f"{day}.parquet"

    def at(self, moment: datetime, versions: Mapping[str, int] | None = None) -> History:
        """What was known at a moment."""
        return Lake(self.home.lake(self.line.name)).at(moment, self.begun.versions if versions is None else versions)


@dataclass(frozen=True)
class _Had:
    """What a night had: what was known, its champion, and when the simple rules were fitted with it."""

    history: History
    champion: Champion
    under: Provenance
    trained_at: datetime


@flow(name="replay")
def replay_flow(line: str, home: str, first: date, last: date, out: str | None = None) -> Replayed:
    """Make the lists from `first` to `last` again, apart from the real ones, and judge them by what became known.

    A night that was really run has the tables and the model that its manifest names; the others have the champion by
    the line's training calendar. What was replayed before is verified and kept, so that a replay that was interrupted
    goes on, and ends in the same bytes.

    Raises
    ------
    PublicationError
        The dates are in the wrong order, or the lake does not reach to them.
    HomeError
        If the folder holds something else.
    """
    definition, source = load_line(line), open_home(home)
    wanted = _begun(definition, source, first, last)
    place = open_home(out or source.folder / "replays" / definition.name / f"{first}_{last}")
    with place.writing(".replay"):
        replay = _Replay(definition, source, place, begin(place, definition, wanted))
        copy_earlier(replay.real, replay.lists, first)
        asked = _asked(replay)
        for number, day in enumerate(asked, start=1):
            with about(line=definition.name, business_date=day):
                step(_night)(replay, day)
                found = compared(replay.real, replay.lists, day)
                log.info("night %d of %d replayed%s", number, len(asked), f", {found}" if found else "")
        judged = _judged(replay, asked)
        for name, content in _files(judged).items():
            write_whole(place.folder / name, content)
    return Replayed(place.folder, judged)


def _begun(line: Line, home: Home, first: date, last: date) -> Begun:
    if first > last:
        raise PublicationError(f"line {line.name}: found from {first} to {last}, expected the earlier date first")
    lake = Lake(home.lake(line.name))
    ingested = [moment.to_pydatetime() for moment in lake.read("files")["ingested_at"]]
    listed = [line.as_of(day) for day in bundle.published_dates(home.published(line.name))[-1:]]
    if not ingested or line.as_of(last) > (known_until := max(ingested + listed)):
        reaches = f"reaches to {known_until:%Y-%m-%d %H:%M} UTC" if ingested else "is empty"
        raise PublicationError(
            f"line {line.name}: the lake {reaches}, and the list of {last} is as of {line.as_of(last):%Y-%m-%d %H:%M} "
            f"UTC. Expected nights that are over: name earlier dates, or ingest: qma ingest {line.name}"
        )
    return Begun(line.name, line.digest, first, last, lake.versions(), known_until)


def _asked(replay: _Replay) -> list[date]:
    """Business dates that the schedule makes due, and those that were really made."""
    line, first, last = replay.line, replay.begun.first, replay.begun.last
    one = timedelta(days=1)
    due = line.due(first - one, line.as_of(last + one))
    asked = sorted(day for day in {*due, *bundle.published_dates(replay.real)} if first <= day <= last)
    if not asked:
        raise PublicationError(
            f"line {line.name}: no list is due from {first} to {last} by the schedule ({line.nightly_cron}), and "
            "none was made. Expected dates that have a night: name others."
        )
    return asked


def _night(replay: _Replay, day: date) -> None:
    """Score a night's new candidates by the ladder, and publish its list into the replay."""
    if day in bundle.published_dates(replay.lists):
        bundle.verify(replay.lists / day.isoformat())
        return
    had = _as_it_was(replay, day) or _by_the_calendar(replay, day)
    line, file = line_of(replay.line, had.champion.model), replay.ladder(day)
    file.parent.mkdir(parents=True, exist_ok=True)
    scored = new_units_scored(had.history, line, _ladder(replay, line, had.trained_at), day)
    write_whole(file, scored.to_parquet(index=False))
    publish_night(had.history, replay.line, day, folder=replay.lists, champion=had.champion, under=had.under)


def _as_it_was(replay: _Replay, day: date) -> _Had | None:
    """What a night really had that was run, by its manifest; nothing if it was not, or that is not there any more."""
    if day not in bundle.published_dates(replay.real):
        return None
    facts = bundle.read(replay.real, day)["facts"]
    try:
        history = replay.at(replay.line.as_of(day), facts["lake_versions"])
        champion = load_model(replay.home, _model_of(replay, facts), replay.line.learning.trust)
    except (LakeError, ModelError) as error:
        log.warning("cannot be made again as it was: %s", error)
        return None
    said = facts.get("reaction", {"invalid": "", "instead": ""})
    if champion.invalid and not said["invalid"]:
        log.warning("cannot be made again as it was: %s", champion.invalid)
        return None
    predict = None if said["invalid"] else champion.predict
    champion = replace(
        champion,
        predict=predict,
        invalid=said["invalid"],
        instead=said["instead"],
        challenger=_challenger(replay, day, facts),
    )
    under = dict(facts.get("provenance", {}))
    if under.get("next_training"):
        under["next_training"] = datetime.fromisoformat(under["next_training"])
    return _Had(history, champion, Provenance(**under), champion.model.as_of)


def _model_of(replay: _Replay, facts: Mapping[str, Any]) -> Model:
    model = facts["model"]
    return kept_models.read(replay.home, replay.line.name, str(model["version"]), model.get("sha256") or None)


def _challenger(replay: _Replay, day: date, facts: Mapping[str, Any]) -> tuple[Model, Predict] | None:
    """What was scored unseen on a night that was really run; that it is not there any more is no matter of the list."""
    if read_shadow(replay.real / day.isoformat())["challenger"].isna().all():
        return None
    try:
        known = champion_log.entries(replay.home, replay.line.name)
        model = champion_log.shadow(replay.home, replay.line.name, known, facts["provenance"]["champion_log"])
        return None if model is None else (model, kept_models.load(replay.home, model, replay.line.learning.trust))
    except ModelError as error:
        log.warning("no shadow list: %s", error)
        return None


def _by_the_calendar(replay: _Replay, day: date) -> _Had:
    """What a night would have had: the newest tables as known then, and the champion of a training calendar."""
    line, place, moment = replay.line, replay.place, replay.line.as_of(day)
    undo_training(place, line.name)
    trained = {entry.at for entry in champion_log.entries(place, line.name)}
    moments = list(_trainings(replay, day))
    for at in (at for at in moments if at not in trained):
        log.info("training as of %s UTC", f"{at:%Y-%m-%d %H:%M}")
        _train(replay, at)
    history, champion = replay.at(moment), load_champion(place, line, moment, retrospective=True)
    return _Had(history, champion, provenance(line, history, champion), moments[-1])


def _trainings(replay: _Replay, day: date) -> Iterator[datetime]:
    """Moments [UTC] up to a night at which the calendar trains, from the newest before the replay's first night on."""
    line, until = replay.line, replay.line.as_of(day)
    first = line.as_of(replay.begun.first)
    if line.training.cron is None:
        count = (until - first) // WITHOUT_CALENDAR
        yield from (first + number * WITHOUT_CALENDAR for number in range(count + 1))
        return
    fires = firings(line.training.cron, line.timezone, first - LONGEST_CALENDAR)
    moments = list(takewhile(lambda moment: moment <= until, fires))
    before = [moment for moment in moments if moment <= first][-1:]
    yield from before or [first]
    yield from (moment for moment in moments if moment > first)


def _train(replay: _Replay, at: datetime) -> None:
    """Train and decide as the line does, with what was known then; approvals that it asks for are taken to be given."""
    approved = replay.line.training.model_copy(update={"approval": False})
    dataset = make_dataset(replay.at(at), replay.line.model_copy(update={"training": approved}))
    with training_whole(replay.place, replay.line.name):
        decide(replay.place, dataset, at, keep=_keep)


def _keep(place: Home, dataset: Dataset, training: Training) -> Model:
    """Keep the winner of a training without MLflow, whose numbers of runs are never the same."""
    model = described(dataset, training, (training.practice.sentence, training.shuffled.sentence))
    baseline, reference = training.models[model.baseline], make_reference(dataset, training)
    winner, trust = training.models[training.winner], dataset.line.learning.trust
    return kept_models.keep(place, model, winner, baseline, reference, "", trust=trust)


def _ladder(replay: _Replay, line: Line, at: datetime) -> Mapping[str, RiskModel]:
    """The simple rules as fitted with what was known at a moment."""
    key = (at, repr(line.learning))
    if key not in replay.ladders:
        replay.ladders[key] = fit_ladder(make_dataset(replay.at(at), line))
    return replay.ladders[key]


def _judged(replay: _Replay, asked: list[date]) -> Replay:
    """The replayed lists and the ladder, by all that is known."""
    line, folder = replay.line, replay.lists
    known = replay.at(replay.begun.known_until)
    ladder = pd.concat([pd.read_parquet(replay.ladder(day)).assign(night=day) for day in asked], ignore_index=True)
    ladder = ladder.drop_duplicates("unit_id").astype({"unit_id": "str"})
    units = ladder[["unit_id", "cutoff"]]
    lists = published_scores(folder, asked).reset_index().drop_duplicates("unit_id")
    scores = {LISTS: lists} | {
        name: ladder[["unit_id", "night", name]].rename(columns={name: "score"}) for name in BASELINES
    }
    outcome = labels(known, units, line)
    weight = inspection_weights(known, units, line)
    equal = weight[outcome.notna()].nunique() <= 1
    most = len(bundle.published_dates(folder))
    told = promises(lists_before(folder, line, known.as_of.to_pydatetime(), most=most), known, line, most=most)
    nights = pd.DataFrame([_facts(replay, day) for day in asked])
    return evaluate(line, nights, told, scores, outcome, None if equal else weight, replay.begun.known_until)


def _facts(replay: _Replay, day: date) -> dict[str, Any]:
    facts = bundle.read(replay.lists, day)["facts"]
    return {
        "business_date": day,
        "state": facts["state"],
        "reasons": tuple(facts["state_reasons"]),
        "model": facts["made_by"],
        "version": facts["model"]["version"],
        "trained_until": date.fromisoformat(facts["model"]["as_of"][:10]),
        "candidates": facts["candidates"],
        "listed": facts["listed"],
        "issues": tuple(issue["title"] for issue in facts["issues"]),
        "real": compared(replay.real, replay.lists, day),
    }


def _files(judged: Replay) -> dict[str, bytes]:
    """What is told of a replay, as files by name."""
    tables = {
        "nights": judged.nights,
        "figures": judged.figures,
        "over_all": judged.over_all,
        "differences": judged.differences,
    }
    tables["nights"] = judged.nights.assign(
        **{name: judged.nights[name].map("; ".join) for name in ("reasons", "issues")}
    )
    files = {f"{name}.csv": table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}
    return files | {"report.html": replay_page.render(judged).encode()}
