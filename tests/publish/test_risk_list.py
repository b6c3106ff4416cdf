import io
from datetime import date, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from policies import CUTOFF, night, with_policy

from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.trust import RiskRanges
from qma_predict.line import Line
from qma_predict.publish.policy.audits import draw, inclusion_probabilities
from qma_predict.publish.policy.select import one_more_hour, select, ten_more_checks
from qma_predict.publish.risk_list import (
    CANDIDATE_COLUMNS,
    TABLE_SCHEMA,
    not_scored,
    random_would_find,
    table,
    to_csv,
    to_parquet,
)
from qma_predict.publish.text import shortened, spreadsheet_text, visible

LIST_ID = "2026-11-24"


@pytest.fixture
def published(tiny_line):
    """Return a function that makes the table of a night, by default of a list of two units."""

    def make(candidates: pd.DataFrame, line: Line = tiny_line, **of_table: object) -> pd.DataFrame:
        ranked = select(candidates, line, list_id=LIST_ID)
        return table(ranked, not_scored(candidates), list_id=LIST_ID, **of_table)

    return make


def test_units_without_a_score_are_told_with_why():
    candidates = night({"b": np.nan, "c": 0.1, "a": np.nan})
    expected = [["a", "no oven data"], ["b", "no oven data"]]
    assert not_scored(candidates)[["unit_id", "reason"]].to_numpy().tolist() == expected
    assert len(not_scored(pd.DataFrame(columns=CANDIDATE_COLUMNS))) == 0


def test_random_checks_find_the_mean_risk_each():
    assert random_would_find([0.3, 0.1, 0.0, 0.0], checks=2) == pytest.approx(0.2)
    assert random_would_find([], checks=2) is None


def test_csv_of_a_night_to_the_byte(published, tiny_line):
    line = with_policy(tiny_line, {"escape": 100.0, "inspection": 2.0}, capacity=2, audits=0.5)
    rows = to_csv(published(night({"a": np.nan, "b": 0.25, "c": 0.01, "d": 0.01, "e": 0.01}), line)).decode()
    moments = "2026-11-23T21:00:00.000000Z,2026-11-23T20:00:00.000000Z,2026-11-24"
    assert rows.splitlines()[:2] + rows.splitlines()[-1:] == [
        "schema_version,list_id,rank,listed,selected_by,selection_probability,unit_id,product,station,machine,since,"
        "cutoff,first_night,score,risk_low,risk_high,score_is,minutes,value,check,because,caution,issues,reason",
        f"5,2026-11-24,1,true,rank,1,b,A-55,storage,bay 4,{moments},0.250000,,,probability,,23.000000,,,,,",
        f"5,2026-11-24,,false,,,a,A-55,storage,bay 4,{moments},,,,probability,,,,,,,no oven data",
    ]
    assert rows.count(",audit,0.333333333,") == 1
    assert rows.count(",false,,0.333333333,") == 2


def test_the_range_of_a_risk_follows_from_the_published_score(tiny_line):
    candidates = night({"a": 0.2000004, "b": np.nan, "c": 0.9})
    ranked = select(candidates, tiny_line, list_id="1", ranges=RiskRanges((0.1, 0.3), (0.05, 0.2), (0.2, 0.4)))
    rows = table(ranked, not_scored(candidates), list_id="1").set_index("unit_id")
    assert rows.loc["b", ["risk_low", "risk_high"]].isna().all()
    assert ",0.200000,0.125000,0.300000,probability," in to_csv(rows.reset_index()).decode()


def test_what_is_told_of_a_unit_is_published_with_it(tiny_line):
    candidates = night({"a": 0.2, "b": np.nan})
    ranked = select(candidates, tiny_line, list_id="1")
    ranked = ranked.assign(check="leak, size", because="=hot", caution="M9 is new", issues="1, 3")
    rows = table(ranked, not_scored(candidates), list_id="1")
    told = rows[["check", "because", "caution", "issues"]]
    assert told.iloc[0].tolist() == ["leak, size", "=hot", "M9 is new", "1, 3"]
    assert told.iloc[1].isna().all()
    assert ',"leak, size",\'=hot,M9 is new,"1, 3",' in to_csv(rows).decode()


def test_a_table_of_a_ranking_says_so_in_every_row(published):
    rows = published(night({"a": 0.2, "b": 0.1}), ranking=True)
    assert set(rows["score_is"]) == {"ranking"}
    assert pq.read_table(io.BytesIO(to_parquet(rows))).column("score_is").to_pylist() == ["ranking", "ranking"]


@pytest.mark.parametrize("capacity", [{"capacity": 12}, {"minutes": 60.0, "check_minutes_of": {"P": 7.5}}])
def test_every_number_of_a_list_follows_from_its_csv_and_what_the_manifest_keeps(published, tiny_line, capacity):
    costs = {"escape": 90.0, "inspection": 1.7, "false_alarm": 0.3}
    line = with_policy(tiny_line, costs, audits=0.2, **capacity)
    risks = np.random.default_rng(3).beta(0.4, 6, 200)
    candidates = night({f"u{n:03}": risk for n, risk in enumerate(risks)}, product=["P", "Q"] * 100)
    ranked = select(candidates, line, list_id=LIST_ID)
    csv = pd.read_csv(io.BytesIO(to_csv(table(ranked, not_scored(candidates), list_id=LIST_ID))))
    spread = PromiseSpread((-0.5, 0.0, 0.5), (0.25, 0.5, 0.25))
    assert spread.interval(csv.loc[csv["listed"], "score"]) == spread.interval(ranked.loc[ranked["listed"], "score"])
    assert random_would_find(csv["score"], checks=12) == random_would_find(ranked["score"], checks=12)
    assert ten_more_checks(csv) == ten_more_checks(ranked)
    if "minutes" in capacity:
        assert one_more_hour(csv) == one_more_hour(ranked)
    worth = csv["score"] * 90.0 - 1.7 - (1 - csv["score"]) * 0.3
    assert csv["value"].tolist() == pytest.approx(worth.tolist(), abs=1e-6)
    assert csv["minutes"].notna().all() == ("minutes" in capacity)
    assert (csv["value"] / csv["minutes"].fillna(1.0)).is_monotonic_decreasing
    rest = csv[csv["selected_by"] != "rank"]
    probability = inclusion_probabilities(rest["score"], int((csv["selected_by"] == "audit").sum()))
    assert rest["selection_probability"].tolist() == pytest.approx(probability.tolist(), rel=1e-8)
    assert draw(rest["unit_id"], probability, csv["list_id"][0]).tolist() == rest["listed"].tolist()


def test_csv_has_utc_whatever_the_zone_of_the_input(published):
    berlin = pd.Timestamp(CUTOFF).tz_convert(timezone(timedelta(hours=1)))
    assert to_csv(published(night({"a": 0.1}, cutoff=berlin))) == to_csv(published(night({"a": 0.1})))


def test_an_empty_night_is_a_header_line_and_an_empty_parquet(published):
    empty = published(pd.DataFrame(columns=CANDIDATE_COLUMNS))
    assert to_csv(empty).decode() == ",".join(TABLE_SCHEMA.names) + "\n"
    assert pq.read_table(io.BytesIO(to_parquet(empty))).num_rows == 0


def test_missing_texts_and_times_are_empty_cells(published):
    candidates = night({"a": 0.1}, product=[None], station=[np.nan], machine=[None], since=[pd.NaT])
    assert ",true,rank,1,a,,,,,2026-11-23T20:00:00.000000Z," in to_csv(published(candidates)).decode()


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
def test_no_text_is_a_formula_in_a_spreadsheet(published, text, cell):
    assert spreadsheet_text(text) == cell
    assert f",{cell}," in to_csv(published(night({"u": 0.1}, product=text))).decode()


def test_parquet_gives_the_rows_back_with_the_text_as_it_was(published):
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
