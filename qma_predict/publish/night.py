"""A night: what was known at its moment, scored by the champion, as the files of a list.

The list is a function of the pinned tables, the line, the model and the lists before it: made again, it is the same to
the byte.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.errors import ModelError
from qma_predict.features.conditions import conditions
from qma_predict.features.units import feature_units
from qma_predict.learn.base_rate import moved_by
from qma_predict.learn.reference import Reference
from qma_predict.line import Line
from qma_predict.publish import risk_list
from qma_predict.publish.issues.blast_radius import with_places
from qma_predict.publish.issues.courses import courses
from qma_predict.publish.issues.find import Issue, find_issues, recent, why_none
from qma_predict.publish.lists.published import id_of
from qma_predict.publish.models.model import Model
from qma_predict.publish.pages import check_sheet, page, workbook
from qma_predict.publish.pages.facts import Facts
from qma_predict.publish.pages.rows import LONGEST_PAGE, issues_of
from qma_predict.publish.pages.words import Moments
from qma_predict.publish.policy.select import NONE_DRAWN, one_more_hour, select, ten_more_checks
from qma_predict.publish.reaction import NOTHING, SHADOW, Reaction, Scorers, acting, as_listed, shadow_bytes
from qma_predict.publish.reasons.because import because
from qma_predict.publish.scoring import score_candidates
from qma_predict.publish.state import cautions, state_of


@dataclass(frozen=True)
class Night:
    """A list before it is published: its files by name, and what its manifest says of it."""

    contents: dict[str, bytes]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """What became of the lists before this one.

    Attributes
    ----------
    promises : DataFrame, one row an earlier list, newest first
        ``business_date``, ``promised``, ``low``, ``high``, ``listed``, ``checked``, ``found``, ``pending``,
        ``not_checked``, ``verdict`` and ``reason``.
    scores : DataFrame
        ``unit_id``, ``night`` (business date) and ``score``, P(defect) by tonight's champion, that each unit had on its
        first night.
    drawn : Series of float, indexed by unit_id
        Selection probability of the units that were in the draw of one of them.
    reaction : Reaction
        What is done because of them.
    lists : tuple of mapping
        Which ones they are, for the manifest: ``business_date`` with ``revision`` and ``sha256`` (of its manifest), or
        with why it is ``left_out``.
    owners : DataFrame of str, indexed by title, optional
        ``owner`` and ``due`` (YYYY-MM-DD) of issues, as people answered them.
    listed : Series of date, indexed by unit_id
        Business date of the first of them that named the unit among those to check.
    """

    promises: pd.DataFrame
    scores: pd.DataFrame
    drawn: pd.Series = field(default_factory=NONE_DRAWN.copy)
    reaction: Reaction = NOTHING
    lists: tuple[Mapping[str, Any], ...] = ()
    owners: pd.DataFrame | None = None
    listed: pd.Series = field(default_factory=lambda: pd.Series(dtype=object))


@dataclass(frozen=True)
class Provenance:
    """Under what a list is made, beside its data and its model.

    Attributes
    ----------
    champion_log : str
        SHA-256 of the newest entry of the champion log, so that a later rewrite of it shows; empty without a log.
    approved : str
        Who made the model champion and why, in words; empty if that is not recorded.
    next_training : datetime, UTC, optional
        When the next training starts by schedule.
    retrospective : bool
        Whether the list is made after its time, for the record.
    """

    champion_log: str = ""
    approved: str = ""
    next_training: datetime | None = None
    retrospective: bool = False


NOT_RECORDED = Provenance()


def make_night(
    history: History,
    line: Line,
    business_date: date,
    model: Model,
    scorers: Scorers,
    reference: Reference,
    earlier: Earlier,
    provenance: Provenance = NOT_RECORDED,
) -> Night:
    """Score the candidates of a business date and lay out its list.

    Parameters
    ----------
    history : History
        Its `as_of` is the one of the business date.
    line : Line
    business_date : date
    model : Model
        The champion, whose `as_of` is not after the night's.
    scorers : Scorers
        The champion and its simple rule, loaded.
    reference : Reference
        Of the same model.
    earlier : Earlier
    provenance : Provenance

    Raises
    ------
    ModelError
        If the model knows more than the night does, or is not there and no rule can stand in.
    """
    if model.as_of > history.as_of:
        raise ModelError(knows_too_much(line, model, history.as_of.to_pydatetime()))
    list_id = id_of(line.name, business_date)
    champion, (model, predict) = model, acting(earlier.reaction, model, scorers)
    candidates, X = score_candidates(history, line, predict)
    chosen: dict[str, Any] = {"ranges": model.ranges, "ranking": bool(model.ranking)}
    ranked = select(candidates, line, list_id=list_id, drawn_before=earlier.drawn, **chosen)
    caution = cautions(X, reference.siblings, line).reindex(ranked["unit_id"])
    ranked = ranked.assign(
        check=", ".join(line.gate.characteristics),
        caution=caution.to_numpy(),
        listed_since=earlier.listed.reindex(ranked["unit_id"]).to_numpy(),
    )
    unscored = risk_list.not_scored(candidates)
    moments = Moments(line.timezone, business_date, history.as_of.to_pydatetime())
    tags, units = history.all_versions("tags").to_pandas(), feature_units(history, line, list(X.columns))
    scored = _Scored(history, line, business_date, model, ranked, X, reference, earlier, len(unscored))
    issues, drawn, none_because = _issues(scored, tags, units)
    told = ranked.loc[ranked["listed"], "unit_id"].head(LONGEST_PAGE).tolist()
    reasons = because(
        predict,
        reference,
        X,
        told,
        candidates,
        tags=tags,
        units=units,
        line=line,
        moments=moments,
        simple_rule=not model.is_recipe,
    )
    facts = _facts(scored, list_id, none_because, provenance)
    ranked = ranked.assign(
        because=ranked["unit_id"].map(reasons["because"]), issues=ranked["unit_id"].map(issues_of(issues))
    )
    table = risk_list.table(ranked, unscored, list_id=list_id, ranking=bool(model.ranking))
    shown: dict[str, Any] = {
        "issues": issues,
        "because": reasons,
        "promises": earlier.promises,
        "owners": earlier.owners,
    }
    contents = {
        "risk_list.html": page.render(facts, ranked, unscored, **shown, courses=drawn).encode(),
        "check_sheet.html": check_sheet.render(facts, ranked).encode(),
        "risk_list.xlsx": workbook.render(facts, ranked, unscored, **shown),
        "risk_list.csv": risk_list.to_csv(table),
        "scores.parquet": risk_list.to_parquet(table),
        SHADOW: shadow_bytes(X, scorers, as_listed(earlier.reaction, candidates)),
    }
    pinned = {
        "line_digest": line.digest,
        "lake_versions": dict(history.versions),
        "model": _of_model(champion),
        "made_by": model.contestant,
        "earlier_lists": earlier.lists,
        "reaction": asdict(earlier.reaction),
        "provenance": asdict(provenance),
        "candidates": len(candidates),
        "listed": int(ranked["listed"].sum()),
        "not_scored": len(unscored),
        "issues": [asdict(issue) for issue in issues],
        "promises": earlier.promises.astype(object).where(earlier.promises.notna(), None).to_dict("records"),
    }
    return Night(contents, _plain(asdict(facts) | pinned))


def knows_too_much(line: Line, model: Model, moment: datetime) -> str:
    """Say that a model must not make the list of a moment [UTC]."""
    return (
        f"line {line.name}, list as of {moment:%Y-%m-%d %H:%M} UTC: model v{model.version} was trained with what was "
        f"known at {model.as_of:%Y-%m-%d %H:%M} UTC, after it. Train one that knows no more than the list may: "
        f"qma train {line.name} --date {line.current_business_date(moment)}"
    )


@dataclass(frozen=True)
class _Scored:
    """What a list is laid out from once its candidates are scored and selected."""

    history: History
    line: Line
    business_date: date
    model: Model
    ranked: pd.DataFrame
    X: pd.DataFrame
    reference: Reference
    earlier: Earlier
    not_scored: int


def _issues(
    scored: _Scored, tags: pd.DataFrame, units: Mapping[str, str]
) -> tuple[tuple[Issue, ...], dict[int, str], str]:
    """What candidates have in common that puts them at risk, how it went, and else why none can be told."""
    history, line, night, siblings = scored.history, scored.line, scored.business_date, scored.reference.siblings
    if scored.model.ranking:
        return (), {}, "scores are a ranking, which says nothing of how much risk a group has"
    past = pd.concat([scored.reference.past, scored.earlier.scores], ignore_index=True)
    past = recent(past.drop_duplicates("unit_id", keep="last"), night)
    if moved := scored.earlier.reaction.moved:  # as tonight's scores are, or all of them would stand out
        past = past.assign(score=moved_by(past["score"], moved))
    if reason := why_none(past, night):
        return (), {}, reason
    known = conditions(history, [*scored.ranked["unit_id"], *past["unit_id"]], line)
    measured = {"features": scored.X, "siblings": siblings, "units_of_measure": units, "tags": tags}
    issues = find_issues(scored.ranked, known, past, line, night, **measured)
    drawn = courses(issues, known, scored.X, siblings, tags, line)
    return with_places(issues, history, line, siblings), drawn, ""


def _facts(scored: _Scored, list_id: str, no_issues_because: str, provenance: Provenance) -> Facts:
    history, line, model, ranked = scored.history, scored.line, scored.model, scored.ranked
    business_date, promises = scored.business_date, scored.earlier.promises
    listed = ranked.loc[ranked["listed"], "score"]
    found = None if model.ranking else model.spread.interval(listed)  # counts follow from probabilities only
    risks = model.spread.risks(ranked["score"])
    in_minutes = line.list.check_minutes is not None
    tables: list[str] = sorted({source.table for source in line.sources})
    fresh = {table: _newest(history, table) for table in tables}
    state, reasons = state_of(
        history,
        line,
        model,
        fresh=fresh,
        X=scored.X,
        siblings=scored.reference.siblings,
        promises=promises,
        reaction=scored.earlier.reaction,
        not_scored=scored.not_scored,
    )
    times = [moment for moment in fresh.values() if moment is not None]
    return Facts(
        plant=line.plant,
        line=line.title,
        business_date=business_date,
        as_of=history.as_of.to_pydatetime(),
        valid_until=line.as_of(line.next_due(business_date)),
        timezone=line.timezone,
        list_id=list_id,
        state=state,
        state_reasons=reasons,
        data_until=max(times, default=None),
        tables=len(fresh),
        nothing_in=tuple(table for table, newest in fresh.items() if newest is None),
        model=model.contestant,
        model_version=model.version,
        trained_until=model.as_of,
        capacity=None if line.list.minutes else line.list.capacity,
        minutes=line.list.minutes,
        base_rate=model.base_rate,
        expected=found and found.expected,
        low=found and found.low,
        high=found and found.high,
        random_found=None if model.ranking else risk_list.random_would_find(risks, checks=len(listed)),
        more_hour=one_more_hour(ranked, model.spread).expected if in_minutes and not model.ranking else None,
        ten_more=None if in_minutes or model.ranking else ten_more_checks(ranked, model.spread),
        ahead=int((ranked.loc[ranked["listed"], "station"] != line.gate.name).sum()),
        ranking=model.ranking,
        no_issues_because=no_issues_because,
        approved=provenance.approved,
        next_training=provenance.next_training,
        promise_spread=model.spread,
        own_nights=model.spread.nights if model.spread is scored.earlier.reaction.spread else 0,
        retrospective=provenance.retrospective,
    )


def _of_model(model: Model) -> dict[str, Any]:
    said = asdict(model)
    if not model.gate:  # it was kept before models said so: its lists, made again, are the same
        del said["gate"], said["characteristics"]
    return said


def _newest(history: History, table: str) -> datetime | None:
    newest = history.all_versions(table).recorded_at.max().execute()
    return None if pd.isna(newest) else pd.Timestamp(newest).to_pydatetime().astimezone(UTC)


def _plain(value: Any) -> Any:
    """A value as JSON has it: moments and dates as ISO text, tuples as lists, what is not a number as null."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and math.isnan(value) else value
