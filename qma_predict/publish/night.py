"""A night: what was known at its moment, scored by the champion, as the files of a list.

The list is a function of the pinned tables, the line and the model alone: made again, it is the same to the byte.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.errors import ModelError
from qma_predict.line import Line
from qma_predict.publish import page, risk_list
from qma_predict.publish.model import Model
from qma_predict.publish.scoring import score_candidates

STALE = timedelta(hours=24)
"""Data is called stale when nothing was recorded in a table of the process for so long before the night."""

PROCESS_TABLES = ("visits", "readings")


@dataclass(frozen=True)
class Night:
    """A list before it is published: its files by name, and what its manifest says of it."""

    contents: dict[str, bytes]
    facts: dict[str, Any]


def make_night(
    history: History, line: Line, business_date: date, model: Model, predict: Callable[[pd.DataFrame], np.ndarray]
) -> Night:
    """Score the candidates of a business date and lay out its list.

    Parameters
    ----------
    history : History
        Its `as_of` is the one of the business date.
    line : Line
    business_date : date
    model : Model
        Whose `as_of` is not after the night's.
    predict : callable
        The loaded model: P(defect), shape (n_units,), for a feature table.

    Raises
    ------
    ModelError
        If the model knows more than the night does.
    """
    if model.as_of > history.as_of:
        raise ModelError(
            f"line {line.name}, {business_date}: model v{model.version} was trained with what was known at "
            f"{model.as_of:%Y-%m-%d %H:%M} UTC, after the list's {history.as_of:%Y-%m-%d %H:%M} UTC. "
            f"Train one that knows no more than the list may: qma train {line.name} --date {business_date}"
        )
    candidates = score_candidates(history, line, predict)
    ranked = risk_list.rank(candidates, capacity=line.list.capacity, ranges=model.ranges)
    unscored = risk_list.not_scored(candidates)
    facts = _facts(history, line, business_date, model, ranked)
    table = risk_list.table(ranked, unscored, list_id=facts.list_id, ranking=bool(model.ranking))
    contents = {
        "risk_list.html": page.render(facts, ranked, unscored).encode(),
        "risk_list.csv": risk_list.to_csv(table),
        "scores.parquet": risk_list.to_parquet(table),
    }
    pinned = {
        "line_digest": line.digest,
        "lake_versions": dict(history.versions),
        "model": asdict(model) | {"as_of": model.as_of.isoformat()},
        "candidates": len(candidates),
        "listed": int(ranked["listed"].sum()),
        "not_scored": len(unscored),
    }
    return Night(contents, _plain(asdict(facts)) | pinned)


def _facts(history: History, line: Line, business_date: date, model: Model, ranked: pd.DataFrame) -> page.Facts:
    listed = ranked.loc[ranked["listed"], "score"]
    found = None if model.ranking else risk_list.expected_found(listed)  # counts follow from probabilities only
    at_random = risk_list.random_would_find(ranked["score"], checks=len(listed))
    tables: list[str] = sorted({source.table for source in line.sources})
    fresh = {table: _newest(history, table) for table in tables}
    reasons = [*_model_reasons(model), *_stale(history, fresh), *_problems(history)]
    state = "BASELINE" if not model.is_recipe else "DEGRADED" if reasons else "OK"
    times = [moment for moment in fresh.values() if moment is not None]
    return page.Facts(
        plant=line.plant,
        line=line.title,
        business_date=business_date,
        as_of=history.as_of.to_pydatetime(),
        valid_until=line.as_of(business_date + timedelta(days=1)),
        timezone=line.timezone,
        list_id=f"{line.name}-{business_date.isoformat()}",
        state=state,
        state_reasons=tuple(reasons),
        data_until=max(times, default=None),
        sources=len(line.sources),
        model=model.contestant,
        model_version=model.version,
        trained_until=model.as_of,
        capacity=line.list.capacity,
        base_rate=model.base_rate,
        expected=found and found.expected,
        low=found and found.low,
        high=found and found.high,
        random_found=None if model.ranking else at_random,
        ranking=model.ranking,
    )


def _newest(history: History, table: str) -> datetime | None:
    newest = history.all_versions(table).recorded_at.max().execute()
    return None if pd.isna(newest) else pd.Timestamp(newest).to_pydatetime().astimezone(UTC)


def _model_reasons(model: Model) -> list[str]:
    return [] if model.is_recipe else [f"no model was shown to be better than the simple rule: {model.finding}"]


def _stale(history: History, fresh: dict[str, datetime | None]) -> list[str]:
    reasons = []
    for table in PROCESS_TABLES:
        if table not in fresh:
            continue  # the line has no such source
        newest = fresh[table]
        if newest is None:
            reasons.append(f"no {table} are known")
        elif history.as_of - newest > STALE:
            reasons.append(f"no {table} were recorded in the {STALE.total_seconds() / 3600:.0f} hours before the list")
    return reasons


def _problems(history: History) -> list[str]:
    """Sources and files that the night's own ingest could not read."""
    problems = history.tables["problems"]
    recent = problems.filter(
        problems.ingested_at <= history.as_of.to_pydatetime(),
        problems.ingested_at > (history.as_of - STALE).to_pydatetime(),
    )
    return sorted(set(recent.to_pandas()["problem"]))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: moments and dates as ISO text."""
    return {key: value.isoformat() if isinstance(value, date) else value for key, value in values.items()}
