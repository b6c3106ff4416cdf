"""Candidates of a night and lines with a policy, for the tests of lists."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from qma_predict.line import Costs, Line, RiskList

CUTOFF = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def night(scores: dict[str, float], **columns: object) -> pd.DataFrame:
    """Return one candidate for each unit of ``scores``; NaN is a unit that could not be scored."""
    rows = {
        "unit_id": list(scores),
        "product": "A-55",
        "cutoff": pd.Timestamp(CUTOFF),
        "first_night": date(2026, 11, 24),
        "station": "storage",
        "machine": "bay 4",
        "since": pd.Timestamp(CUTOFF + timedelta(hours=1)),
        "score": list(scores.values()),
        "reason": ["no oven data" if np.isnan(score) else None for score in scores.values()],
    }
    return pd.DataFrame({**rows, **columns})


def with_policy(line: Line, costs: dict | None = None, **of_list: object) -> Line:
    """Return the line with another list, and costs where they are given."""
    policy = RiskList.model_validate({"as_of": "05:00"} | of_list)
    return line.model_copy(update={"list": policy, "costs": Costs.model_validate(costs or {})})
