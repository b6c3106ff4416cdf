import hashlib
import os
import sqlite3
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine, Select, Table

from qma_predict.errors import HomeError, PublicationError
from qma_predict.home import Home, open_home
from qma_predict.publish import risk_list
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.desk import open_desk, record_answers, record_list, record_lists, record_promises
from qma_predict.publish.lists.desk_tables import ANSWERS, LIST_ROWS, LISTS, PROMISES

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
MOMENT = pd.Timestamp("2026-11-24 08:30", tz="UTC")

# Python 3.12 and later warn of a fork in a process with threads; the children here only write rows.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")


@pytest.fixture
def home(tmp_path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def desk(home) -> Engine:
    return open_desk(home, {})


def put(
    home: Home, day: date, scores: dict[str, float | None], *, caution: str | None = None, **options: object
) -> Path:
    """Publish a list of units with these scores, of which the first is to be checked."""
    rows = pd.DataFrame({"unit_id": list(scores), "score": pd.Series(scores.values(), dtype=float)})
    rows = rows.assign(listed=rows.index == 0, since=MOMENT, cutoff=MOMENT, first_night=day)
    rows["rank"] = range(1, len(rows) + 1)
    rows = rows.assign(schema_version=risk_list.SCHEMA_VERSION, list_id=f"demo-{day}", score_is="probability")
    rows["caution"] = pd.Series(caution, rows.index, dtype="str")
    table = rows.reindex(columns=risk_list.TABLE_SCHEMA.names)
    contents = {"scores.parquet": risk_list.to_parquet(table)}
    facts = {"list_id": f"demo-{day}", "state": "OK", "capacity": 1}
    return bundle.publish(home.published("demo"), day, contents, facts=facts, receipt={}, **options)


def all_of(engine: Engine, query: Table | Select) -> list[dict]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query.select() if isinstance(query, Table) else query)]


def test_a_published_list_becomes_a_list_and_a_row_a_candidate(home, desk):
    path = put(home, TUESDAY, {"u1": 0.3, "u2": None})
    assert record_list(desk, "demo", path)
    [entry] = all_of(desk, LISTS)
    assert entry.pop("manifest_sha256") == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    assert entry == {
        "list_id": "demo-2026-11-24",
        "revision": 1,
        "line": "demo",
        "business_date": TUESDAY,
        "state": "OK",
        "reason": None,
        "facts": {"list_id": "demo-2026-11-24", "state": "OK", "capacity": 1},
    }
    rows = {row["unit_id"]: row for row in all_of(desk, LIST_ROWS)}
    assert {name: rows["u1"][name] for name in ("rank", "listed", "score", "cutoff", "first_night", "revision")} == {
        "rank": 1,
        "listed": True,
        "score": 0.3,
        "cutoff": MOMENT.to_pydatetime(),
        "first_night": TUESDAY,
        "revision": 1,
    }
    assert rows["u2"]["score"] is None
    assert set(risk_list.TABLE_SCHEMA.names) <= set(rows["u2"])


def test_a_list_is_written_once(home, desk):
    path = put(home, TUESDAY, {"u1": 0.3})
    assert record_list(desk, "demo", path)
    assert not record_list(desk, "demo", path)
    assert len(all_of(desk, LIST_ROWS)) == 1


def test_the_next_run_writes_what_a_stopped_one_left_out_revisions_too(home, desk):
    record_list(desk, "demo", put(home, MONDAY, {"u1": 0.3}))
    put(home, TUESDAY, {"u1": 0.3})
    put(home, TUESDAY, {"u2": 0.4}, replace="late file")
    assert record_lists(desk, "demo", home.published("demo")) == 2
    assert record_lists(desk, "demo", home.published("demo")) == 0
    lists = [(row["list_id"], row["revision"], row["reason"]) for row in all_of(desk, LISTS)]
    assert sorted(lists) == [
        ("demo-2026-11-23", 1, None),
        ("demo-2026-11-24", 1, None),
        ("demo-2026-11-24", 2, "late file"),
    ]


def test_a_list_is_written_whole_or_not_at_all(home, desk):
    path = put(home, TUESDAY, {"u1": 0.3, "u2": 0.1})
    with sqlite3.connect(home.desk) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON list_rows WHEN NEW.unit_id = 'u2' "
                      "BEGIN SELECT RAISE(ABORT, 'disk full'); END")  # fmt: skip
    other.close()
    with pytest.raises(HomeError, match=r"desk database sqlite:.*desk\.db: cannot be used: disk full"):
        record_list(desk, "demo", path)
    assert all_of(desk, LISTS) == []
    assert all_of(desk, LIST_ROWS) == []


def test_two_homes_that_share_a_database_and_a_name_are_told(home, desk, tmp_path):
    other = open_home(tmp_path / "other")
    record_list(desk, "demo", put(home, TUESDAY, {"u1": 0.3}))
    with pytest.raises(PublicationError, match="it has another list demo-2026-11-24, revision 1. Do two homes"):
        record_list(desk, "demo", put(other, TUESDAY, {"u2": 0.3}))


def test_a_damaged_list_is_not_written(home, desk):
    path = put(home, TUESDAY, {"u1": 0.3})
    (path / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(PublicationError, match=r"scores\.parquet has SHA-256"):
        record_list(desk, "demo", path)
    assert all_of(desk, LISTS) == []


@pytest.mark.parametrize("name", ["scores.parquet", "manifest.json"])
def test_a_damaged_list_keeps_no_other_one_from_being_written(home, desk, caplog, name):
    path = put(home, TUESDAY, {"u1": 0.3})
    put(home, TUESDAY + timedelta(days=1), {"u2": 0.2})
    (path / name).unlink()
    assert record_lists(desk, "demo", home.published("demo")) == 1
    put(home, TUESDAY, {"u3": 0.3}, replace="damaged files")
    assert record_lists(desk, "demo", home.published("demo")) == 1
    assert [row["unit_id"] for row in all_of(desk, LIST_ROWS)] == ["u2", "u3"]
    first = home.published("demo") / "revisions" / f"{TUESDAY}.r1"
    assert f"not written into the desk database: {first}: the published list is damaged" in caplog.text


def test_any_text_of_the_plant_can_be_written(home, desk):
    names = ["a\0b", "'; DROP TABLE lists; --", "\u202e81300", "=1+1", "ü\n\t"]
    record_list(desk, "demo", put(home, TUESDAY, dict.fromkeys(names, 0.1)))
    assert {row["unit_id"] for row in all_of(desk, LIST_ROWS)} == {"a\\0b", *names[1:]}


def test_a_list_without_candidates_is_a_list(home, desk):
    assert record_list(desk, "demo", put(home, TUESDAY, {}))
    assert len(all_of(desk, LISTS)) == 1
    assert all_of(desk, LIST_ROWS) == []


def test_four_processes_that_open_and_write_at_once_write_each_list_once(home):
    for day in range(1, 6):
        put(home, date(2026, 11, day), {"u1": 0.3, "u2": 0.2})
    children = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                record_lists(open_desk(home, {}), "demo", home.published("demo"))
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    desk = open_desk(home, {})
    assert (len(all_of(desk, LISTS)), len(all_of(desk, LIST_ROWS))) == (5, 10)


def answers(**more: object) -> pd.DataFrame:
    row = {"list_id": "demo-2026-11-24", "unit_id": "u1", "answered_at": MOMENT, "code": "1", "comment": None}
    row |= {"imported_at": MOMENT, "file_digest": "d", "sheet": "Units", "row": 2}
    return pd.DataFrame([row | more])


def test_an_answer_is_written_once_and_a_later_one_beside_it(desk):
    assert record_answers(desk, answers()) == 1
    assert record_answers(desk, answers()) == 0
    both = pd.concat([answers(), answers(answered_at=MOMENT + timedelta(hours=1), code="2")])
    assert record_answers(desk, both) == 1
    assert [(row["code"], row["answered_at"].hour) for row in all_of(desk, ANSWERS)] == [("1", 8), ("2", 9)]


def test_a_moment_of_any_zone_comes_back_in_utc(desk):
    there = datetime(2026, 11, 24, 9, 30, tzinfo=timezone(timedelta(hours=1)))
    record_answers(desk, answers(answered_at=pd.Timestamp(there)))
    [row] = all_of(desk, ANSWERS)
    assert row["answered_at"] == MOMENT
    assert row["answered_at"].utcoffset() == timedelta(0)


def promises(verdict: str) -> pd.DataFrame:
    row = {"business_date": MONDAY, "promised": 2.5, "low": float("nan"), "high": 5.0, "listed": 9, "checked": 7}
    return pd.DataFrame([row | {"found": 3, "pending": 1, "not_checked": 1, "verdict": verdict, "reason": "why"}])


def test_promises_are_told_once_a_moment(desk):
    later = MOMENT + timedelta(days=1)
    for moment, verdict in [(MOMENT, "not enough yet"), (later, "not enough yet"), (later, "kept")]:
        record_promises(desk, "demo", moment, promises(verdict))
    rows = all_of(desk, PROMISES)
    assert [(row["as_of"], row["verdict"], row["low"], row["found"]) for row in rows] == [
        (MOMENT, "not enough yet", None, 3),
        (later, "kept", None, 3),
    ]


def test_a_desk_of_an_earlier_version_gets_the_columns_that_it_lacks(home, tmp_path):
    desk = open_desk(home, {})
    desk.dispose()
    with sqlite3.connect(home.desk) as other:
        for column in ("score_is", "caution"):
            other.execute(f"ALTER TABLE list_rows DROP COLUMN {column}")
    other.close()
    assert record_list(open_desk(home, {}), "demo", put(home, TUESDAY, {"u1": 0.3}, caution="M9 is new"))
    [row] = all_of(desk, LIST_ROWS)
    assert (row["score_is"], row["caution"]) == ("probability", "M9 is new")


def test_the_environment_names_another_database(home, tmp_path):
    desk = open_desk(home, {"QMA_DESK": f"sqlite:///{tmp_path}/other.db"})
    record_list(desk, "demo", put(home, TUESDAY, {"u1": 0.3}))
    assert (tmp_path / "other.db").exists()
    assert not home.desk.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url secret", "QMA_DESK: no URL of a database"),
        ("nosql://x:secret@host/db", "QMA_DESK: .*nosql.*Expected a URL that SQLAlchemy knows"),
        ("sqlite:////no/such/folder/desk.db", "desk database .*cannot be used: unable to open database file"),
        ("postgresql://me:secret@127.0.0.1:1/db", r"desk database postgresql.*me:\*\*\*@.*cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(home, url, message):
    with pytest.raises(HomeError, match=message) as error:
        open_desk(home, {"QMA_DESK": url})
    assert "secret" not in str(error.value)


def test_postgresql_takes_the_same_rows(home, postgres):
    desk = open_desk(home, {"QMA_DESK": postgres})
    assert desk.dialect.name == "postgresql"
    names = ["u1", "a\0b", "\u202e81300"]
    path = put(home, TUESDAY, {"u2": None} | dict.fromkeys(names, 0.1))
    assert record_list(desk, "demo", path)
    assert record_lists(open_desk(home, {"QMA_DESK": postgres}), "demo", home.published("demo")) == 0
    here = open_desk(home, {})
    record_list(here, "demo", path)
    for table in (LISTS, LIST_ROWS):
        there = all_of(desk, table.select().order_by(*table.primary_key))
        assert there == all_of(here, table.select().order_by(*table.primary_key))
    assert record_answers(desk, answers()) == 1
    assert record_answers(desk, answers()) == 0
    record_promises(desk, "demo", MOMENT, promises("kept"))
    record_promises(desk, "demo", MOMENT, promises("broken"))
    assert [(row["as_of"], row["verdict"]) for row in all_of(desk, PROMISES.select())] == [(MOMENT, "broken")]
    assert [row["answered_at"] for row in all_of(desk, ANSWERS.select())] == [MOMENT]
    desk.dispose()
