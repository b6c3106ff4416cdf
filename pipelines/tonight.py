"""Who makes the list of a night, and the list, before anything is published."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.errors import ModelError
from qma_predict.features.points import candidates, prediction_points
from qma_predict.features.table import feature_table
from qma_predict.home import Home
from qma_predict.learn.reference import Reference
from qma_predict.line import Line
from qma_predict.line.operation import firings
from qma_predict.publish.models import champion_log, champion_quotes, kept_models
from qma_predict.publish.models.champion_entries import Entry
from qma_predict.publish.models.model import Model, line_of
from qma_predict.publish.night import Earlier, Night, Provenance, knows_too_much, make_night
from qma_predict.publish.reaction import Predict, Scorers
from qma_predict.review.candidates import earlier_candidates
from qma_predict.review.earlier import EarlierLists
from qma_predict.review.issue_answers import owners
from qma_predict.review.promises import promises
from qma_predict.review.reaction import reaction

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """A kept model, loaded for a night.

    Attributes
    ----------
    model : Model
    predict : callable or None
        None if its file is not what was kept.
    rule : callable or None
        The same of its simple rule.
    reference : Reference
    invalid : str
        Why the model cannot be used; empty if it can.
    instead : str
        Why it is used in place of the champion; empty if it is the champion.
    challenger : tuple of Model and callable, optional
        Whose scores are kept unseen.
    log : tuple of Entry
        The champion log by which it was found; empty if it was found otherwise.
    quoted : str
        Hash of the entry by which it was champion, where a list says so that quotes it and the log does not.
    """

    model: Model
    predict: Predict | None
    rule: Predict | None
    reference: Reference
    invalid: str = ""
    instead: str = ""
    challenger: tuple[Model, Predict] | None = None
    log: tuple[Entry, ...] = ()
    quoted: str = ""


def champion_tonight(home: Home, line: Line, moment: datetime, *, retrospective: bool = False) -> Champion:
    """Load the champion by the log; if that is not what lists quote, the model of the newest list that quotes it.

    Parameters
    ----------
    home, line, moment, retrospective
        As `load_champion` takes them.

    Raises
    ------
    ModelError
        As `load_champion`, or if nothing that those lists name can be used.
    """
    try:
        champion_quotes.checked(home, line.name, champion_quotes.NEWEST)
    except ModelError as error:
        return _by_lists(home, line, moment, str(error))
    return load_champion(home, line, moment, retrospective=retrospective)


def _by_lists(home: Home, line: Line, moment: datetime, wrong: str) -> Champion:
    """The model of the newest list whose model can be used; it is quoted on, so that the log fits once it is restored.

    Parameters
    ----------
    wrong : str
        What is wrong with the log.
    """
    log.error("%s", wrong)
    problems: dict[tuple[str, str], str] = {}
    for one in champion_quotes.quotes(home, line.name, champion_quotes.NEWEST):
        named = (one.version, one.model_sha256)
        if named in problems:
            continue
        try:
            model = kept_models.read(home, line.name, one.version, one.model_sha256 or None)
            if model.as_of > moment:
                raise ModelError(knows_too_much(line, model, moment))
            loaded = load_model(home, model, line.learning.trust)
        except ModelError as error:
            problems[named] = str(error)
            continue
        why = (
            f"the log of champions is not the one that lists quote (qma doctor {line.name}), so that v{one.version} is "
            f"used, as for the list of {one.business_date}, which quotes its entry {one.entry[:12]}..."
        )
        return replace(loaded, instead=why, quoted=one.entry)
    raise ModelError("\n".join([wrong, *problems.values()]))


def load_champion(home: Home, line: Line, moment: datetime, *, retrospective: bool = False) -> Champion:
    """Load the champion; if it cannot be used, what can stand in: its simple rule, else an earlier champion.

    Parameters
    ----------
    home : Home
    line : Line
    moment : datetime
        As which the list is made [UTC]. A champion that knows more than was known then gives way to one before it.
    retrospective : bool
        Whether the champion of that moment is wanted; if there was none yet, as in a home that was set up later, it
        is the one of now.

    Raises
    ------
    ModelError
        If there is no champion, the champion log was changed, or nothing that it names can be used.
    """
    known = champion_log.entries(home, line.name)
    then = champion_log.reigning(known, moment) if retrospective else None
    damaged: list[str] = []
    problems: list[str] = []
    for entry in _reigned(known, then or champion_log.reigning(known)):
        try:
            model = champion_log.model_of(home, line.name, entry)
            loaded = replace(load_model(home, model, line.learning.trust), log=tuple(known))
        except ModelError as error:
            log.error("%s", error)
            damaged.append(str(error))
            problems.append(str(error))
            continue
        if loaded.model.as_of > moment:
            problems.append(knows_too_much(line, loaded.model, moment))
            continue
        if why := damaged if retrospective else problems:
            return replace(loaded, instead=f"v{loaded.model.version}, an earlier champion, is used. {why[0]}")
        newest = entry == champion_log.reigning(known)
        return replace(loaded, challenger=_challenger(home, line, known) if newest else None)
    if problems:
        raise ModelError("\n".join(problems))
    return load_model(home, champion_log.champion(home, line.name))  # says why there is none


def load_model(home: Home, model: Model, trust: Collection[str] = ()) -> Champion:
    """Load a kept model; if its own file is damaged, or holds what is not trusted now, its simple rule stands in.

    Parameters
    ----------
    home : Home
    model : Model
    trust : collection of str
        Classes other than ours that it may hold: `learning.trust` of the line.

    Raises
    ------
    ModelError
        If neither it nor its rule, or not its reference, is what was kept.
    """
    reference = kept_models.load_reference(home, model, trust)
    try:
        predict = _tried(kept_models.load(home, model, trust), model, reference, trust)
    except ModelError as error:
        log.error("%s", error)
        invalid = f"the model cannot be used tonight: {error}"
        if trust:  # refits are of the same classes
            reference = replace(reference, refits=())
        return Champion(model, None, kept_models.load_baseline(home, model, trust), reference, invalid=invalid)
    try:
        return Champion(model, predict, kept_models.load_baseline(home, model, trust), reference)
    except ModelError as error:  # it could only stand in
        log.error("%s", error)
        return Champion(model, predict, None, reference)


def _tried(predict: Predict, model: Model, reference: Reference, trust: Collection[str]) -> Predict:
    """The same, if it scores a unit: classes of the plant's own may have changed since it was kept."""
    if not trust or reference.siblings.empty:
        return predict
    try:
        predict(reference.siblings.head(1))
    except Exception as error:  # whatever a class of the plant's raises
        raise ModelError(
            f"model {model.line} v{model.version} scores no unit: {error!r}. Has one of {', '.join(trust)} changed "
            f"since it was kept? Undo that, or train again: qma train {model.line}"
        ) from error
    return predict


def provenance(line: Line, history: History, champion: Champion, *, retrospective: bool = False) -> Provenance:
    """Under what the list of a champion is made now."""
    known = champion.log
    entry = next((one for one in reversed(known) if one.reigns and one.version == champion.model.version), None)
    moment = history.as_of.to_pydatetime()
    return Provenance(
        champion_log=known[-1].sha256 if known else champion.quoted,
        approved=f"{entry.event} by {entry.by}" if entry else "",
        next_training=next(firings(line.training.cron, line.timezone, moment)) if line.training.cron else None,
        retrospective=retrospective,
    )


def lay_out(
    history: History, line: Line, business_date: date, champion: Champion, lists: EarlierLists, under: Provenance
) -> Night:
    """Make the list of a business date.

    Parameters
    ----------
    history : History
        As of the night.
    line : Line
    business_date : date
    champion : Champion
    lists : EarlierLists
        Those before the night.
    under : Provenance
    """
    line = line_of(line, champion.model)
    told = promises(lists, history, line)
    reacted = reaction(lists, history, line, champion.model, told)
    reacted = replace(reacted, invalid=champion.invalid, instead=champion.instead)
    scorers = Scorers(champion.predict, champion.rule, _unseen(champion.challenger, history, line))
    known = earlier_candidates(lists, champion.model)
    before = Earlier(told, known.scores, known.drawn, reacted, lists.named, owners(history), known.listed)
    return make_night(history, line, business_date, champion.model, scorers, champion.reference, before, under)


def _reigned(known: list[Entry], newest: Entry | None) -> Iterator[Entry]:
    """Entries of a champion and of those before it, newest first, each version once; none that was rolled back."""
    reigned = champion_log.reigns(known[: newest.number if newest else 0])
    versions: dict[str, Entry] = {}
    for entry in reversed(reigned):
        versions.setdefault(entry.version, entry)
    yield from versions.values()


def _challenger(home: Home, line: Line, known: list[Entry]) -> tuple[Model, Predict] | None:
    """A challenger that did not win or is not approved yet; that it cannot be loaded is no matter of the night."""
    try:
        model = champion_log.shadow(home, line.name, known)
        return None if model is None else (model, kept_models.load(home, model, line.learning.trust))
    except ModelError as error:
        log.warning("no shadow list: %s", error)
        return None


def _unseen(challenger: tuple[Model, Predict] | None, history: History, line: Line) -> Predict | None:
    """The challenger's P(defect) for the units of a feature table, from features of its own."""
    if challenger is None:
        return None
    model, predict = challenger
    own = line_of(line, model)

    def score(X: pd.DataFrame) -> np.ndarray:
        try:
            points = candidates(prediction_points(history, own), history.as_of)
            return predict(feature_table(history, points[points["unit_id"].isin(X.index)], own).reindex(X.index))
        except Exception:  # whatever it raises, such as families that are not installed any more, is no matter tonight
            log.exception("no shadow list of v%s", model.version)
            return np.full(len(X), np.nan)

    return score
