"""A look at a line as of a business date: its data, its units, its process, and what became of its lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.features.points import candidates, prediction_points, whereabouts
from qma_predict.features.table import feature_table
from qma_predict.features.units import feature_units
from qma_predict.learn.reference import Reference
from qma_predict.line import Line
from qma_predict.operate.monitor import health
from qma_predict.operate.monitor.alarms import alarms
from qma_predict.operate.monitor.drift import drift, drift_of_scores
from qma_predict.operate.monitor.envelope import envelope
from qma_predict.operate.monitor.rates import BASELINE, JUDGED, defect_rates
from qma_predict.operate.monitor.realised import Level, first_scores, judged, level, realised
from qma_predict.operate.monitor.sample import A_DAY, A_NIGHT, drawn, of_nights, production_day
from qma_predict.operate.monitor.tags import key_features, tag_charts
from qma_predict.publish.lists import bundle
from qma_predict.publish.models.model import Model, line_of
from qma_predict.review.earlier import lists_before
from qma_predict.review.promises import promises

NIGHTS = 7
"""Nights whose candidates are compared with the training."""

PAST_NIGHTS = 28
"""Nights of the backtest, its last ones, whose scores those of the lists are compared with."""


@dataclass(frozen=True)
class Monitoring:
    """What was seen of a line as of a business date.

    Attributes
    ----------
    line : Line
    business_date : date
    as_of : Timestamp, UTC
    model : Model
        The reference of its training is what units are compared with.
    state : str
        Of the list of the date; empty if none is published.
    alarms : tuple of str
        What calls for an act, in sentences; see `qma_predict.operate.monitor.alarms`.
    fresh, volume, sensors, delays, refused, problems : DataFrame
        Of the data; see `qma_predict.operate.monitor.health`.
    units, outside : int
        How many units of the last `NIGHTS` were looked at, and those of them outside the training's envelope.
    envelope : DataFrame
        See `qma_predict.operate.monitor.envelope`.
    drift : DataFrame
        See `qma_predict.operate.monitor.drift`.
    scores : dict of str to float
        The same of the lists' scores.
    rates : DataFrame
        See `qma_predict.operate.monitor.rates`.
    tags : DataFrame
        See `qma_predict.operate.monitor.tags`.
    tag_units : dict of str to str
        Unit of measure of each feature in `tags`; empty where none is known.
    realised : DataFrame
        See `qma_predict.operate.monitor.realised`.
    level : Level
        Defects found against those that these lists promised.
    promises : DataFrame
        See `qma_predict.review.promises`.
    """

    line: Line
    business_date: date
    as_of: pd.Timestamp
    model: Model
    state: str
    alarms: tuple[str, ...]
    fresh: pd.DataFrame
    volume: pd.DataFrame
    sensors: pd.DataFrame
    delays: pd.DataFrame
    refused: pd.DataFrame
    problems: pd.DataFrame
    units: int
    outside: int
    envelope: pd.DataFrame
    drift: pd.DataFrame
    scores: Mapping[str, float]
    rates: pd.DataFrame
    tags: pd.DataFrame
    tag_units: Mapping[str, str]
    realised: pd.DataFrame
    level: Level
    promises: pd.DataFrame


def monitor(
    history: History, line: Line, published: Path, model: Model, reference: Reference, business_date: date
) -> Monitoring:
    """Look at a line as of a business date.

    Parameters
    ----------
    history : History
        Its `as_of` is the one of the business date.
    line : Line
    published : Path
        ``<home>/published/<line>``.
    model : Model
        The one whose training the units are compared with.
    reference : Reference
        Of the same model.
    business_date : date

    Returns
    -------
    Monitoring
        The same history, lists and model give the same.

    Raises
    ------
    PublicationError
        If a published list is damaged.
    """
    as_scored = line_of(line, model)
    points = prediction_points(history, as_scored)
    looked = _looked_at(history, as_scored, points, business_date, reference)
    fresh, rates = health.freshness(history, line), defect_rates(history, points, line)
    earlier = promises(lists_before(published, line, history.as_of.to_pydatetime()), history, line)
    scores = first_scores(published, history, line, business_date)
    outcomes = judged(scores, points, history, line)
    moments = {str(table): _moment(at) for table, at in fresh["recorded"].items()}
    X = looked.X.loc[looked.candidates]
    told = alarms(history, line, model, reference, fresh=moments, X=X, promises=earlier, rates=rates)
    of_units = _of_units(looked, reference, business_date, line.learning.seed)
    return Monitoring(
        line=line,
        business_date=business_date,
        as_of=history.as_of,
        model=model,
        state=_state(published, business_date),
        alarms=told,
        fresh=fresh,
        volume=health.volume(history, line),
        sensors=health.sensors(history, line),
        delays=health.delays(history, line),
        refused=health.refused(history),
        problems=health.problems(history),
        scores=_drift_of_scores(scores, reference.past, business_date, line.learning.seed),
        rates=rates,
        tag_units=feature_units(history, as_scored, of_units["tags"]["feature"].unique()),
        realised=realised(outcomes, capacity=line.list.capacity),
        level=level(outcomes),
        promises=earlier,
        **of_units,
    )


@dataclass(frozen=True)
class _Looked:
    """Units that are looked at: features, products and days, and which of them are the newest, and the candidates."""

    X: pd.DataFrame
    products: pd.Series
    days: pd.Series
    newest: pd.Index
    candidates: pd.Index


def _looked_at(
    history: History, line: Line, points: pd.DataFrame, business_date: date, reference: Reference
) -> _Looked:
    points = points.assign(day=production_day(points["cutoff"], line))
    oldest = pd.Timestamp(business_date) - pd.Timedelta(days=JUDGED + BASELINE)
    newest = drawn(of_nights(points, business_date, NIGHTS), "night", A_NIGHT)
    open_now = drawn(candidates(points, history.as_of).assign(all=0), "all", NIGHTS * A_NIGHT)
    of_days = drawn(points[(points["day"] >= oldest).to_numpy()], "day", A_DAY)
    units = {*newest["unit_id"], *open_now["unit_id"], *of_days["unit_id"]}
    some = points[points["unit_id"].isin(units)]
    X = feature_table(history, some, line).reindex(columns=reference.siblings.columns)
    texts = reference.siblings.columns.difference(reference.siblings.select_dtypes("number").columns)
    X = X.astype(dict.fromkeys(texts, "str"))  # also one that no unit has a value of
    products = whereabouts(history, some["unit_id"])["product"].reindex(X.index)
    days = points.set_index("unit_id")["day"]
    return _Looked(X, products, days, pd.Index(newest["unit_id"]), pd.Index(open_now["unit_id"]))


def _of_units(looked: _Looked, reference: Reference, business_date: date, seed: int) -> dict[str, Any]:
    """What the features of units tell: fields of `Monitoring` by name."""
    newest, products, days = looked.X.loc[looked.newest], looked.products, looked.days
    features, outside = envelope(newest, products, reference)
    key = key_features(reference, seed=seed)
    return {
        "units": len(outside),
        "outside": int(outside.sum()),
        "envelope": features,
        "drift": drift(newest, products, days, reference, days, seed=seed),
        "tags": tag_charts(looked.X, products, days, key, reference, business_date),
    }


def _drift_of_scores(scored: pd.DataFrame, past: pd.DataFrame, business_date: date, seed: int) -> Mapping[str, float]:
    newest, before = of_nights(scored, business_date, NIGHTS), past
    if len(past):
        before = past[past["night"].isin(sorted(past["night"].unique())[-PAST_NIGHTS:]) & past["score"].notna()]
    return drift_of_scores(newest[["night", "score"]], before[["night", "score"]], seed=seed)


def _state(published: Path, business_date: date) -> str:
    if business_date not in bundle.published_dates(published):
        return ""
    facts: dict[str, Any] = bundle.read(published, business_date)["facts"]
    return str(facts["state"])


def _moment(at: Any) -> datetime | None:
    return None if pd.isna(at) else pd.Timestamp(at).to_pydatetime().astimezone(UTC)


def metrics(monitoring: Monitoring) -> dict[str, float]:
    """What was seen as numbers by name, for a store of runs; those that are not known are left out.

    Examples
    --------
    Names are such as `alarms`, `hours_readings`, `rows_readings_ratio`, `drifted_features`, `defect_rate`.
    """
    m, found = monitoring, {"alarms": float(len(monitoring.alarms))}
    found |= {f"hours_{table}": hours for table, hours in m.fresh["hours"].items()}
    last = m.volume[m.volume["ago"] == 0].set_index("table")
    found |= {f"rows_{table}": rows for table, rows in last["rows"].items()}
    found |= {f"rows_{table}_ratio": ratio for table, ratio in last["ratio"].items()}
    found |= {f"delay_q95_{table}": hours for table, hours in m.delays["q95"].items()}
    found |= {f"seen_late_{table}": rows for table, rows in m.delays["seen_late"].items()}
    found |= {"silent_sensors": m.sensors["silent"].sum(), "quarantined": m.refused["rows"].sum()}
    found |= {"problems": len(m.problems), "units": m.units, "outside": m.outside / m.units if m.units else np.nan}
    found |= {"drifted_features": m.drift["drifted"].sum(), "drift_of_scores": m.scores["effect"]}
    found |= {"largest_drift": m.drift["effect"].max(), "observed_over_expected": m.level.shift.ratio}
    for frame, names in ((m.rates, _OF_RATES), (m.realised, _OF_WEEKS)):
        found |= {called: frame[name].iloc[-1] for name, called in names.items() if len(frame)}
    return {name: float(value) for name, value in found.items() if np.isfinite(float(value))}


_OF_RATES = {"rate": "defect_rate", "centre": "defect_rate_before", "average": "defect_rate_ewma"}
_OF_WEEKS = {name: f"week_{name}" for name in ("ratio", "precision", "recall", "average_precision",
             "expected_precision", "expected_recall", "expected_average_precision")}  # fmt: skip
