from dataclasses import replace
from datetime import UTC, datetime

from pipelines import report
from qma_predict.data.ingest import Counts, Ingested
from qma_predict.publish.models.model import Model


def test_an_ingest_tells_counts_by_table_then_refused_rows_then_what_was_not_read():
    files = (
        Counts("visits", "a.csv", 5, 2, 1, 2),
        Counts("visits", "b.csv", 1000, 1000, 0, 0),
        Counts("units", "c", 1, 1, 0, 0),
    )
    done = Ingested(files, ("d.csv: the file is empty.",), ("a.csv, row 2: unit_id: missing",))
    assert report.of_ingest(done).splitlines() == [
        "table         files      rows in     accepted  duplicates  quarantined",
        "visits            2        1,005        1,002           1            2",
        "units             1            1            1           0            0",
        "quarantined: a.csv, row 2: unit_id: missing",
        "quarantined: 1 rows more, all in the lake's table quarantine",
        "not read: d.csv: the file is empty.",
    ]


def test_a_model_tells_its_finding_what_else_was_found_and_whether_its_scores_are_a_ranking():
    as_of = datetime(2026, 3, 1, 4, tzinfo=UTC)
    model = Model("tiny", "3", "abc", "boosted_trees", True, as_of, 0.02, "better", also=("shuffled: gap 0.1",))
    said = report.of_model(replace(model, ranking="3 defects")).splitlines()
    assert said[1:4] == [
        "backtest: better",
        "  shuffled: gap 0.1",
        "  its scores are a ranking and not probabilities: 3 defects",
    ]
    assert len(report.of_model(model).splitlines()) == len(said) - 1


def test_an_ingest_of_nothing_says_so():
    assert report.of_ingest(Ingested((), (), ())) == "nothing new"
