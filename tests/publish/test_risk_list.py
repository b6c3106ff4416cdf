import io
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from qma_predict.errors import PublicationError
from qma_predict.learn.trust import RiskRanges
from qma_predict.publish.risk_list import (
    CANDIDATE_COLUMNS,
    TABLE_SCHEMA,
    expected_found,
    not_scored,
    random_would_find,
    rank,
    table,
    to_csv,
    to_parquet,
)
from qma_predict.publish.text import shortened, spreadsheet_text, visible

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


def published(candidates: pd.DataFrame, capacity: int = 2) -> pd.DataFrame:
    return table(rank(candidates, capacity=capacity), not_scored(candidates), list_id="2026-11-24")


def test_highest_score_comes_first_and_the_capacity_is_listed():
    ranked = rank(night({"a": 0.1, "b": 0.3, "c": 0.2}), capacity=2)
    assert ranked["unit_id"].tolist() == ["b", "c", "a"]
    assert ranked["rank"].tolist() == [1, 2, 3]
    assert ranked["listed"].tolist() == [True, True, False]


def test_scores_that_differ_after_the_sixth_decimal_are_a_tie_ordered_by_unit():
    ranked = rank(night({"b": 0.1000004, "a": 0.1000001}), capacity=1)
    assert ranked["unit_id"].tolist() == ["a", "b"]
    assert ranked["score"].tolist() == [0.1, 0.1]


def test_a_unit_without_score_is_not_ranked():
    candidates = night({"a": np.nan, "b": 0.1})
    assert rank(candidates, capacity=5)["unit_id"].tolist() == ["b"]
    assert not_scored(candidates)[["unit_id", "reason"]].to_numpy().tolist() == [["a", "no oven data"]]


def test_a_night_without_candidates_has_an_empty_list():
    none = pd.DataFrame(columns=CANDIDATE_COLUMNS)
    assert len(rank(none, capacity=3)) == 0
    assert len(not_scored(none)) == 0


@pytest.mark.parametrize(
    ("what_is_wrong", "candidates", "message"),
    [
        ("no score column", night({"a": 0.1}).drop(columns="score"), r"columns \['score'\] are missing"),
        ("unit twice", pd.concat([night({"a": 0.1})] * 2), "occur more than once, for example 'a'"),
        ("unit twice, not scored", pd.concat([night({"a": np.nan})] * 2), "occur more than once"),
        ("unit without id", night({"a": 0.1}, unit_id=[None]), "1 rows have no unit_id"),
        ("score above one", night({"a": 1.2}), "1 scores lie outside.*1.2 of unit 'a'"),
        ("score below zero", night({"a": -0.2}), "lie outside"),
        ("time without zone", night({"a": 0.1}, since=pd.Timestamp("2026-11-23")), "since is .*with a zone"),
    ],
)
def test_wrong_candidates_are_refused(what_is_wrong, candidates, message):
    with pytest.raises(PublicationError, match=message):
        rank(candidates, capacity=1)


def test_a_negative_capacity_is_refused():
    with pytest.raises(PublicationError, match="capacity is -1"):
        rank(night({"a": 0.1}), capacity=-1)


def test_interval_of_two_fair_units_by_hand():
    # P(0) = 0.25, P(1) = 0.5, P(2) = 0.25: the 5 % quantile is 0, the 95 % quantile is 2.
    assert expected_found([0.5, 0.5]) == (1.0, 0, 2)


def test_a_quantile_that_is_hit_exactly_is_taken():
    # P(0) = 0.95 exactly, so that 95 % of such nights find nothing.
    assert expected_found([0.05]) == (0.05, 0, 0)
    assert expected_found([0.95]) == (0.95, 0, 1)


def test_interval_of_equal_risks_is_the_binomial_one():
    # Binomial(20, 0.3): P(X <= 2) = 0.0355, P(X <= 3) = 0.1071; P(X <= 8) = 0.8867, P(X <= 9) = 0.9520.
    assert expected_found([0.3] * 20) == (pytest.approx(6.0), 3, 9)


def test_interval_holds_what_it_says_among_drawn_nights():
    risks = np.array([0.9, 0.4, 0.22, 0.1, 0.1, 0.05, 0.03, 0.01])
    found = (np.random.default_rng(5).random((20_000, len(risks))) < risks).sum(axis=1)
    interval = expected_found(risks)
    assert interval.expected == pytest.approx(found.mean(), abs=0.03)
    assert interval[1:] == (np.quantile(found, 0.05), np.quantile(found, 0.95))


def test_no_listed_unit_finds_nothing():
    assert expected_found([]) == (0.0, 0, 0)


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_what_is_no_probability_has_no_expectation(score):
    with pytest.raises(ValueError, match="must lie in"):
        expected_found([0.5, score])


def test_random_checks_find_the_mean_risk_each():
    assert random_would_find([0.3, 0.1, 0.0, 0.0], checks=2) == pytest.approx(0.2)
    assert random_would_find([], checks=2) is None


def test_csv_of_a_night_to_the_byte():
    rows = to_csv(published(night({"a": np.nan, "b": 0.25}))).decode()
    assert rows == (
        "schema_version,list_id,rank,listed,unit_id,product,station,machine,since,cutoff,first_night,"
        "score,risk_low,risk_high,score_is,reason\n"
        "2,2026-11-24,1,true,b,A-55,storage,bay 4,2026-11-23T21:00:00.000000Z,2026-11-23T20:00:00.000000Z,"
        "2026-11-24,0.250000,,,probability,\n"
        "2,2026-11-24,,false,a,A-55,storage,bay 4,2026-11-23T21:00:00.000000Z,2026-11-23T20:00:00.000000Z,"
        "2026-11-24,,,,probability,no oven data\n"
    )


def test_the_range_of_a_risk_follows_from_the_published_score():
    candidates = night({"a": 0.2000004, "b": np.nan, "c": 0.9})
    ranked = rank(candidates, capacity=1, ranges=RiskRanges((0.1, 0.3), (0.05, 0.2), (0.2, 0.4)))
    assert ranked[["unit_id", "risk_low", "risk_high"]].to_numpy().tolist() == [["c", 0.2, 0.9], ["a", 0.125, 0.3]]
    rows = table(ranked, not_scored(candidates), list_id="1").set_index("unit_id")
    assert rows.loc["b", ["risk_low", "risk_high"]].isna().all()
    assert ",0.200000,0.125000,0.300000,probability," in to_csv(rows.reset_index()).decode()


def test_a_table_of_a_ranking_says_so_in_every_row():
    candidates = night({"a": 0.2, "b": 0.1})
    rows = table(rank(candidates, capacity=1), not_scored(candidates), list_id="1", ranking=True)
    assert set(rows["score_is"]) == {"ranking"}
    assert pq.read_table(io.BytesIO(to_parquet(rows))).column("score_is").to_pylist() == ["ranking", "ranking"]


def test_csv_has_utc_whatever_the_zone_of_the_input():
    berlin = pd.Timestamp(CUTOFF).tz_convert(timezone(timedelta(hours=1)))
    assert to_csv(published(night({"a": 0.1}, cutoff=berlin))) == to_csv(published(night({"a": 0.1})))


def test_an_empty_night_is_a_header_line_and_an_empty_parquet():
    empty = published(pd.DataFrame(columns=CANDIDATE_COLUMNS))
    assert to_csv(empty).decode() == ",".join(TABLE_SCHEMA.names) + "\n"
    assert pq.read_table(io.BytesIO(to_parquet(empty))).num_rows == 0


def test_missing_texts_and_times_are_empty_cells():
    candidates = night({"a": 0.1}, product=[None], station=[np.nan], machine=[None], since=[pd.NaT])
    assert ",true,a,,,,,2026-11-23T20:00:00.000000Z," in to_csv(published(candidates)).decode()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", r"\t=1"),
        ("\r\n=1", r"\r\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("a;=1", "a;'=1"),
        ("7047-00318", "7047-00318"),
        ("a = b", "a = b"),
    ],
)
def test_no_text_is_a_formula_in_a_spreadsheet(text, cell):
    assert spreadsheet_text(text) == cell
    assert f",{cell}," in to_csv(published(night({"u": 0.1}, product=text))).decode()


def test_parquet_gives_the_rows_back_with_the_text_as_it_was():
    candidates = night({"=b": 0.25, "a": np.nan})
    back = pq.read_table(io.BytesIO(to_parquet(published(candidates))))
    assert back.schema.equals(TABLE_SCHEMA, check_metadata=True)
    assert back.column("unit_id").to_pylist() == ["=b", "a"]
    assert back.column("rank").to_pylist() == [1, None]
    assert back.column("score").to_pylist() == [0.25, None]
    assert back.column("since").to_pylist() == [CUTOFF + timedelta(hours=1)] * 2
    assert back.column("first_night").to_pylist() == [date(2026, 11, 24)] * 2


def test_texts_that_differ_in_hidden_characters_stay_different():
    assert len({visible("ab"), visible("a\u200bb"), visible("a\u202eb"), visible("a\x00b")}) == 4


def test_spaces_of_other_scripts_are_no_hidden_characters():
    assert visible("5\u00a0%") == "5\u00a0%"


def test_a_long_text_keeps_both_ends():
    assert shortened("a" * 50 + "b" * 50, longest=11) == "aaaaaa…bbbb"
    assert shortened("short", longest=5) == "short"
