"""Flow: the lists people would have got, made again with only what was known on each night, and judged."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow

from pipelines.logs import about
from pipelines.nightly import publish_night
from pipelines.replay_calendar import catch_up
from pipelines.steps import step
from pipelines.tonight import Champion, load_champion, load_model, provenance
from qma_predict.data.lake import History, Lake
from qma_predict.errors import DamagedList, LakeError, LineError, ModelError, PublicationError
from qma_predict.home import Home, open_home
from qma_predict.learn.baselines import BASELINES
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.labels import labels
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.weights import uncut_weights
from qma_predict.line import Line, load_line
from qma_predict.operate import replay_page
from qma_predict.operate.replay_folder import (
    Begun,
    begin,
    compared,
    copy_earlier,
    failed_trainings,
)
from qma_predict.operate.replay_ladder import fit_ladder, new_units_scored
from qma_predict.operate.replay_report import LISTS, NO_LIST, Replay, evaluate
from qma_predict.publish.lists import bundle, definitions
from qma_predict.publish.lists.durable import write_whole
from qma_predict.publish.models import champion_log, kept_models
from qma_predict.publish.models.model import Model, line_of
from qma_predict.publish.night import Provenance
from qma_predict.publish.reaction import Predict, read_shadow
from qma_predict.review.earlier import EarlierLists, lists_before, lists_named
from qma_predict.review.performance import published_scores
from qma_predict.review.promises import promises

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """Where a replay lies, and what it found."""

    folder: Path
    replay: Replay


@dataclass(frozen=True)
class _Replay:
    """What the nights of a replay are made from, and why some have no list."""

    line: Line
    home: Home
    place: Home
    begun: Begun
    ladders: dict[tuple[datetime, str], Mapping[str, RiskModel]] = field(default_factory=dict)
    without: dict[date, str] = field(default_factory=dict)

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

    def defined(self, digest: str) -> Line:
        """The line as the `line.toml` of this digest defined it, or as today's does where that is not kept."""
        try:
            return definitions.as_defined(self.home, self.line, digest)
        except LineError as error:
            log.warning("taken by today's line.toml: %s", error)
            return self.line


@dataclass(frozen=True)
class _Had:
    """What a night had: its line.toml, what was known, its champion, when the simple rules were fitted with it.

    And the lists before it; None stands for those of the replay.
    """

    line: Line
    history: History
    champion: Champion
    under: Provenance
    trained_at: datetime
    lists: EarlierLists | None = None


@flow(name="replay")
def replay_flow(line: str, home: str, first: date, last: date, out: str | None = None) -> Replayed:
    """Make the lists from `first` to `last` again, apart from the real ones, and judge them by what became known.

    A night that was really run has the line.toml, the tables, the model and the earlier lists that its manifest names;
    the others have today's line.toml, and the champion by its training calendar. A night before there is one has no
    list. What was replayed before is verified and kept, so that a replay that was interrupted goes on, and ends in the
    same bytes.

    Raises
    ------
    PublicationError
        The dates are in the wrong order, the lake does not reach to them, or no list can be made for any.
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
                if why := step(_night)(replay, day):
                    log.warning("night %d of %d has no list: %s", number, len(asked), why)
                    replay.without[day] = why
                    continue
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


def _night(replay: _Replay, day: date) -> str:
    """Score a night's new candidates by the ladder, and publish its list into the replay; else return why not."""
    if day in bundle.published_dates(replay.lists):
        bundle.verify(replay.lists / day.isoformat())
        return ""
    had = _as_it_was(replay, day) or _by_the_calendar(replay, day)
    if isinstance(had, str):
        return had
    line, file = line_of(had.line, had.champion.model), replay.ladder(day)
    file.parent.mkdir(parents=True, exist_ok=True)
    scored = new_units_scored(had.history, line, _ladder(replay, line, had.trained_at), day)
    write_whole(file, scored.to_parquet(index=False))
    publish_night(
        had.history, had.line, day, folder=replay.lists, champion=had.champion, under=had.under, lists=had.lists
    )
    return ""


def _as_it_was(replay: _Replay, day: date) -> _Had | None:
    """What a night really had that was run, by its manifest; nothing if it was not, or that is not there any more."""
    if day not in bundle.published_dates(replay.real):
        return None
    facts = bundle.read(replay.real, day)["facts"]
    line = replay.defined(facts["line_digest"])
    try:
        history = replay.at(line.as_of(day), facts["lake_versions"])
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
    lists = _lists_of(replay, facts, history)
    return _Had(line, history, champion, Provenance(**under), champion.model.as_of, lists)


def _lists_of(replay: _Replay, facts: Mapping[str, Any], history: History) -> EarlierLists | None:
    """The lists that were read for one that was really made; None if it does not say, or one is not what it was."""
    if "earlier_lists" not in facts:  # of an earlier version of the program
        return None
    try:
        return lists_named(replay.real, facts["earlier_lists"], history.as_of.to_pydatetime())
    except DamagedList as error:
        log.warning("has the replay's lists before it: %s", error)
        return None


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


def _by_the_calendar(replay: _Replay, day: date) -> _Had | str:
    """What a night would have had: the newest tables as known then, and the champion of a training calendar.

    Why it has no list, if there was no champion yet.
    """
    line, place, moment = replay.line, replay.place, replay.line.as_of(day)
    trained = catch_up(place, line, line.as_of(replay.begun.first), moment, replay.at)
    if champion_log.reigning(champion_log.entries(place, line.name)) is None:
        why = [why for at, why in sorted(failed_trainings(place).items()) if at <= moment]
        return f"there is no champion yet: {why[-1] if why else 'no training made one'}"
    history, champion = replay.at(moment), load_champion(place, line, moment, retrospective=True)
    return _Had(line, history, champion, provenance(line, history, champion), trained[-1])


def _ladder(replay: _Replay, line: Line, at: datetime) -> Mapping[str, RiskModel]:
    """The simple rules as fitted with what was known at a moment."""
    key = (at, repr(line))
    if key not in replay.ladders:
        replay.ladders[key] = fit_ladder(make_dataset(replay.at(at), line))
    return replay.ladders[key]


def _judged(replay: _Replay, asked: list[date]) -> Replay:
    """The replayed lists and the ladder, by all that is known."""
    line, folder = replay.line, replay.lists
    made = [day for day in asked if day not in replay.without]
    if not made:
        raise PublicationError(
            f"line {line.name}: no list can be made from {asked[0]} to {asked[-1]}: {replay.without[asked[-1]]} "
            "Name later dates."
        )
    known = replay.at(replay.begun.known_until)
    ladder = pd.concat([pd.read_parquet(replay.ladder(day)).assign(night=day) for day in made], ignore_index=True)
    ladder = ladder.drop_duplicates("unit_id").astype({"unit_id": "str"})
    units = ladder[["unit_id", "cutoff"]]
    lists = published_scores(folder, made).reset_index().drop_duplicates("unit_id")
    scores = {LISTS: lists} | {
        name: ladder[["unit_id", "night", name]].rename(columns={name: "score"}) for name in BASELINES
    }
    outcome = labels(known, units, line)
    weight = uncut_weights(known, units, line)
    equal = weight[outcome.notna()].nunique() <= 1
    most = len(bundle.published_dates(folder))
    told = promises(lists_before(folder, line, known.as_of.to_pydatetime(), most=most), known, line, most=most)
    nights = pd.DataFrame([_facts(replay, day) for day in asked])
    judged = evaluate(line, nights, told, scores, outcome, None if equal else weight, replay.begun.known_until)
    return replace(judged, failed=failed_trainings(replay.place))


def _facts(replay: _Replay, day: date) -> dict[str, Any]:
    real = compared(replay.real, replay.lists, day)
    if day in replay.without:
        return {
            "business_date": day,
            "state": NO_LIST,
            "reasons": (replay.without[day],),
            "model": "",
            "version": "",
            "trained_until": None,
            "candidates": 0,
            "listed": 0,
            "capacity": replay.line.list.capacity,
            "issues": (),
            "real": real,
        }
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
        "capacity": replay.defined(facts["line_digest"]).list.capacity,
        "issues": tuple(issue["title"] for issue in facts["issues"]),
        "real": real,
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
