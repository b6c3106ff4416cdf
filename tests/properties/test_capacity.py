from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qma_predict.line import RiskList
from qma_predict.publish.policy.select import select
from qma_predict.publish.risk_list import CANDIDATE_COLUMNS, not_scored, table, to_csv, to_parquet

SCORES = st.one_of(st.just(float("nan")), st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.1000001, 1.0]))


@st.composite
def nights(draw: st.DrawFn) -> pd.DataFrame:
    """Draw the candidates of a night in any row order, with ties, gaps and odd texts."""
    scores = draw(st.dictionaries(st.text("aZ09-=;é", min_size=1, max_size=3), SCORES, max_size=12))
    n = len(scores)
    moments = pd.Series(pd.date_range("2026-11-23T20:00Z", periods=n, unit="us"), dtype="datetime64[us, UTC]")
    frame = pd.DataFrame(
        {
            "unit_id": pd.Series(list(scores), dtype="str"),
            "score": pd.Series(list(scores.values()), dtype="float64"),
            "product": draw(st.lists(st.sampled_from(["A", None]), min_size=n, max_size=n)),
            "cutoff": moments,
            "since": moments,
            "first_night": [date(2026, 11, 24)] * n,
        }
    )
    return frame.reindex(columns=list(CANDIDATE_COLUMNS)).iloc[draw(st.permutations(range(n)))]


@pytest.fixture(scope="session")
def ranked_by(tiny_line):
    """Return a function that lists as many candidates, with a share of audits."""

    def ranked_by(candidates: pd.DataFrame, capacity: int, audits: float = 0.0) -> pd.DataFrame:
        policy = RiskList.model_validate({"as_of": "05:00", "capacity": capacity, "audits": audits})
        return select(candidates, tiny_line.model_copy(update={"list": policy}), list_id="x")

    return ranked_by


@settings(deadline=None, max_examples=50)
@given(nights(), st.integers(1, 15), st.sampled_from([0.0, 0.2, 1.0]))
def test_the_list_is_never_longer_than_the_capacity_and_never_shorter_than_it_must(
    ranked_by, candidates, capacity, audits
):
    ranked = ranked_by(candidates, capacity, audits)
    assert ranked["listed"].sum() == min(capacity, candidates["score"].notna().sum())


@settings(deadline=None, max_examples=50)
@given(nights(), st.integers(1, 15))
def test_no_unit_left_out_has_a_higher_risk_than_a_listed_one(ranked_by, candidates, capacity):
    ranked = ranked_by(candidates, capacity)
    listed, left_out = (ranked.loc[ranked["listed"] == side, "score"] for side in (True, False))
    assert listed.min() >= left_out.max() or listed.empty or left_out.empty


@settings(deadline=None, max_examples=50)
@given(nights(), st.integers(1, 15))
def test_every_candidate_is_either_ranked_or_not_scored(ranked_by, candidates, capacity):
    parts = [ranked_by(candidates, capacity), not_scored(candidates)]
    assert sorted(np.concatenate([part["unit_id"] for part in parts])) == sorted(candidates["unit_id"])


@settings(deadline=None, max_examples=50)
@given(nights(), st.integers(1, 15), st.randoms(use_true_random=False))
def test_the_row_order_of_the_candidates_changes_no_byte(ranked_by, candidates, capacity, random):
    shuffled = candidates.iloc[random.sample(range(len(candidates)), len(candidates))]
    first, second = (
        table(ranked_by(rows, capacity, 0.3), not_scored(rows), list_id="x") for rows in (candidates, shuffled)
    )
    assert to_csv(first) == to_csv(second)
    assert to_parquet(first) == to_parquet(second)
