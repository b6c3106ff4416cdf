import contextlib
import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from qma_predict.data import database
from qma_predict.data.database import answer, from_text, to_text
from qma_predict.data.ingest import ingest
from qma_predict.data.lake import Lake
from qma_predict.line.definition import without_password

NOW = pd.Timestamp("2025-07-01", tz="UTC")
NIGHT = pd.Timestamp("2025-06-01 05:00", tz="UTC")
QUERY = "select * from lots where (:watermark is null or {0} >= :watermark) order by {0}, id"
COUNTS = ["rows", "accepted", "duplicates", "quarantined"]


numbers = itertools.count()


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request, tmp_path):
    """URL of an empty database."""
    if request.param == "sqlite":
        (tmp_path / "plant.db").touch()
        return f"sqlite:///{tmp_path / 'plant.db'}"
    server = request.getfixturevalue("postgres")
    name = f"plant{next(numbers)}"
    with connected(server) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text(f"create database {name}"))
    return server.replace("/postgres?", f"/{name}?")


@contextlib.contextmanager
def connected(url: str):
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection
        connection.commit()
    engine.dispose()


def run(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def lots(url: str, *rows: tuple) -> None:
    """Append rows: id, unit, material, hour of May 1st in which it was changed."""
    run(url, "create table if not exists lots (id int, unit text, material text, made timestamp, changed timestamp)")
    with connected(url) as connection:
        for number, unit, material, hour in rows:
            changed = f"2025-05-01 {hour:02}:00:00"
            values = {"id": number, "unit": unit, "material": material, "changed": changed}
            kind = "timestamp" if url.startswith("postgresql") else "text"
            times = f"cast('2025-05-01 00:00:00' as {kind}), cast(:changed as {kind})"
            connection.execute(sa.text(f"insert into lots values (:id, :unit, :material, {times})"), values)


def of_lots(url: str, **more) -> dict:
    columns = {"unit_id": "unit", "occurred_at": "made", "recorded_at": "changed"}
    by_default = {"table": "materials", "url": url, "columns": columns, "constants": {"lot_id": "L1"}}
    return by_default | {"query": QUERY.format("changed"), "watermark": "changed"} | more


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def take(material_line, tmp_path, lake):
    """Return a function that ingests sources, in parts of `part` rows."""

    def take(*sources: dict, part: int = 2, as_of=NIGHT):
        line = material_line(tmp_path)
        line = line.model_copy(update={"sources": tuple(type(line.sources[0]).model_validate(one) for one in sources)})
        usual, database.PART_ROWS = database.PART_ROWS, part
        try:
            return ingest(line, lake, as_of=as_of, now=NOW)
        finally:
            database.PART_ROWS = usual

    return take


def counted(done) -> list[int]:
    """Rows, accepted, duplicates and quarantined of all parts."""
    assert all(one.rows == one.accepted + one.duplicates + one.quarantined for one in done.files)
    return [sum(getattr(one, name) for one in done.files) for name in COUNTS]


def held(lake: Lake) -> list[tuple[str, str]]:
    rows = lake.read("materials")
    assert len(rows) == lake.read("files")["accepted"].sum()
    assert len(lake.read("quarantine")) == lake.read("files")["quarantined"].sum()
    return sorted(zip(rows["unit_id"], rows["material"].fillna(""), strict=True))


def test_an_answer_is_taken_part_by_part_and_what_is_new_is_asked_for_next(url, take, lake):
    lots(url, (1, "u1", "steel", 1), (2, None, "steel", 2), (3, "u3", "steel", 3), (4, "u4", "steel", 3))
    lots(url, (5, "u5", "steel", 4))
    assert counted(take(of_lots(url))) == [5, 4, 0, 1]
    assert [one.rows for one in take(of_lots(url), part=10).files] == [1]  # the one of the greatest watermark
    lots(url, (6, "u5", "steel", 4), (7, "u6", "steel", 4), (8, "u1", "brass", 5))
    assert counted(take(of_lots(url))) == [4, 2, 2, 0]
    assert held(lake) == [
        ("u1", "brass"), ("u1", "steel"), ("u3", "steel"), ("u4", "steel"), ("u5", "steel"), ("u6", "steel"),
    ]  # fmt: skip


def test_an_answer_that_says_nothing_new_leaves_the_lake_as_it_is(url, take, lake):
    lots(url, (1, "u1", "steel", 1), (2, None, "steel", 2), (3, "u2", "steel", 2), (4, "u2", "brass", 2))
    assert counted(take(of_lots(url))) == [4, 1, 0, 3]
    versions = lake.versions()
    assert counted(take(of_lots(url))) == [3, 0, 3, 0]
    assert counted(take(of_lots(url), part=100)) == [3, 0, 3, 0]
    assert lake.versions() == versions


@pytest.mark.parametrize("part", [1, 2, 100])
def test_without_a_watermark_all_is_asked_each_time_and_what_is_known_is_a_duplicate(url, take, lake, part):
    source = of_lots(url, query="select * from lots order by id desc")
    del source["watermark"]
    lots(url, (1, "u1", "steel", 1), (2, None, "steel", 2), (3, "u2", "steel", 3), (4, "u3", "tin", 1))
    lots(url, (5, "u3", "brass", 1))
    assert counted(take(source, part=100)) == [5, 2, 0, 3]
    lots(url, (6, "u1", "steel", 1), (7, "u4", "steel", 1))
    assert counted(take(source, part=part)) == [7, 1, 6, 0]
    assert held(lake) == [("u1", "steel"), ("u2", "steel"), ("u4", "steel")]
    assert set(lake.read("quarantine")["path"]) == {without_password(url)}


def test_refused_rows_name_their_number_in_the_answer(url, take, lake):
    lots(url, (1, "u1", "steel", 1), (2, "u2", "steel", 2), (3, None, "steel", 3))
    done = take(of_lots(url))
    assert done.refused == (f"{without_password(url)}, row 3: unit_id: missing",)
    [row] = lake.read("quarantine").to_dict("records")
    assert '"id":3,"unit":null,"material":"steel"' in row["content"]


def test_an_answer_in_no_order_loses_nothing(url, take, lake):
    """The greatest watermark comes first; were it kept with its part, an ingest stopped there would skip the rest."""
    lots(url, (1, "u1", "steel", 9), (2, "u2", "steel", 1), (3, "u3", "steel", 5))
    unordered = of_lots(url, query=QUERY.format("changed").replace("order by changed, id", "order by id"))
    take(unordered, part=1)
    marks = lake.read("files").set_index("accepted")["watermark"]
    assert marks.notna().sum() == 1
    assert from_text(marks.dropna().iloc[0]) == from_text(
        "time 2025-05-01T09:00:00" if url.startswith("p") else "text 2025-05-01 09:00:00"
    )
    assert [unit for unit, _ in held(lake)] == ["u1", "u2", "u3"]


def test_after_a_part_that_cannot_be_read_the_same_is_asked_again(postgres, take, lake):
    run(postgres, "drop table if exists lots")
    lots(postgres, (1, "u1", "steel", 1), (2, "u2", "steel", 2), (3, "u3", "steel", 3))
    fails = of_lots(postgres, query=QUERY.format("changed").replace("*", "*, 1 / (3 - id) as x"))
    done = take(fails, part=1)
    assert counted(done)[1] <= 2
    [problem] = done.problems
    assert "cannot answer the query of materials: division by zero. Check the query in line.toml." in problem
    assert lake.read("files")["watermark"].isna().all()
    run(postgres, "update lots set id = 4 where id = 3")
    done = take(fails, part=1)
    assert done.problems == ()
    assert [unit for unit, _ in held(lake)] == ["u1", "u2", "u3"]


def test_an_answer_without_rows_is_checked_and_nothing_is_booked(url, take, lake):
    lots(url)
    done = take(of_lots(url))
    assert (counted(done), done.problems, lake.versions()) == ([0, 0, 0, 0], (), {})
    [problem] = take(of_lots(url, columns={"unit_id": "nobody", "recorded_at": "changed"})).problems
    assert problem.startswith(f"{without_password(url)}: columns missing for materials: nobody")


def test_a_wrong_source_is_told_in_words_and_the_others_go_on(url, take, lake):
    lots(url, (1, "u1", "steel", 1))
    wrong = {
        "select * from nothing": "cannot answer the query of materials: ",
        "selec 1": "cannot answer the query of materials: ",
        "select id, id from lots": "columns named more than once: id",
        "select id from lots": "columns missing for materials: unit, made, changed",
    }
    plain = of_lots(url)
    del plain["watermark"]
    done = take(*(plain | {"query": query} for query in wrong), of_lots(url))
    assert counted(done) == [1, 1, 0, 0]
    assert len(done.problems) == len(wrong)
    for problem, words in zip(done.problems, wrong.values(), strict=True):
        assert problem.startswith(f"{without_password(url)}: {words}")
        assert "\n" not in problem
    [problem] = take(of_lots(url, watermark="changed_at")).problems
    assert "the answer has no column changed_at, the watermark. Found: id, unit, material, made, changed." in problem
    assert len(lake.read("problems")) == len(wrong) + 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://qma:s3cr/t@127.0.0.1:9/plant", "***@127.0.0.1:9/plant: cannot be reached: "),
        ("mysql://qma:s3cr/t@host/plant", "the database's driver is missing. Install the package mysqlclient"),
        ("nope://qma:s3cr/t@host/plant", "Can't load plugin: sqlalchemy.dialects:nope. Expected a URL that"),
        ("plant.db", "no URL of a database. Expected one such as postgresql://user@host/name or sqlite:"),
        ("sqlite:////nowhere/plant.db", "cannot be reached: unable to open database file. Check the URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(take, url, words):
    [problem] = take(of_lots(url)).problems
    assert words in problem
    assert "s3cr" not in problem
    assert "/t@" not in problem


def test_a_missing_file_of_sqlite_is_not_made(take, tmp_path):
    assert len(take(of_lots(f"sqlite:///{tmp_path / 'plant.db'}")).problems) == 1
    assert not (tmp_path / "plant.db").exists()


def test_a_sqlite_file_that_is_damaged_is_told(take, tmp_path):
    (tmp_path / "plant.db").write_bytes(b"no database at all" * 100)
    [problem] = take(of_lots(f"sqlite:///{tmp_path / 'plant.db'}")).problems
    assert "file is not a database" in problem


BERLIN = timezone(timedelta(hours=2))
MARKS = {
    "int": ("bigint", 2**60),
    "numeric": ("numeric(30, 10)", Decimal("12345678901234567890.0123456789")),
    "float": ("float8", 0.1 + 0.2),
    "text": ("text", "x' 7; ä"),
    "date": ("date", date(2025, 5, 1)),
    "local": ("timestamp", datetime(2025, 5, 1, 8, 30, 0, 123457)),  # noqa: DTZ001
    "moment": ("timestamptz", datetime(2025, 5, 1, 8, 30, 0, 123457, tzinfo=BERLIN)),
    "uuid": ("uuid", UUID("12345678-1234-5678-1234-567812345678")),
}


@pytest.mark.parametrize(("kind", "value"), MARKS.values(), ids=MARKS)
def test_a_watermark_of_any_kind_comes_back_exactly(postgres, source, kind, value):
    run(postgres, "drop table if exists marks", f"create table marks (id int, mark {kind})")
    with connected(postgres) as connection:
        insert = sa.text(f"insert into marks values (1, cast(:value as {kind})), (0, null)")
        connection.execute(insert, {"value": str(value)})
    query = "select * from marks where :watermark is null or mark >= :watermark"
    asked = source(path=None, url=postgres, query=query, watermark="mark")
    [first] = answer(asked, None)
    assert len(first.rows) == 2
    assert from_text(first.watermark) == value
    [again] = answer(asked, first.watermark)
    assert [tuple(row) for row in again.rows] == [(1, value)]
    assert again.watermark == first.watermark


@pytest.mark.parametrize(
    "value", [7, -0.1, Decimal("1.10"), "a b", b"\x00\xff", date(2025, 5, 1), datetime(2025, 5, 1, tzinfo=UTC)]
)
def test_a_watermark_as_text_is_the_same_value(value):
    assert from_text(to_text(value)) == value
    assert type(from_text(to_text(value))) is type(value)


def test_a_watermark_that_has_no_order_is_refused(postgres, take):
    source = of_lots(
        postgres, query="select 'u' as unit, true as changed where :watermark is null", watermark="changed"
    )
    [problem] = take(source).problems
    assert "changed cannot be a watermark: found bool. Expected numbers, texts, dates or times" in problem


def test_values_of_any_type_are_read_as_of_a_file_with_types(postgres, source):
    values = {
        "int": "cast(7 as smallint)", "long": "12345678901234567", "longer": "cast('123456789012345678901' as numeric)",
        "decimal": "1.25", "flag": "true", "day": "date '2025-05-01'", "moment": "timestamptz '2025-05-01 10:00+02'",
        "local": "timestamp '2025-05-01 10:00'", "clock": "time '08:30'", "bytes": "cast('ab' as bytea)",
        "json": "cast('{\"a\": 1}' as jsonb)", "list": "array[1, 2]",
        "uuid": "cast('12345678-1234-5678-1234-567812345678' as uuid)",
    }  # fmt: skip
    columns = ", ".join(f'{value} as "{name}"' for name, value in values.items())
    nothing = ", ".join("null" for _ in values)
    asked = source(path=None, url=postgres, query=f"select {columns} union all select {nothing}")
    [part] = answer(asked, None)
    rows = part.raw(asked).rows
    assert rows.index.tolist() == [1, 2]
    assert rows.iloc[1].isna().all()
    assert rows.astype("str").iloc[0].to_dict() == {
        "int": "7", "long": "12345678901234567", "longer": "123456789012345678901", "decimal": "1.25", "flag": "True",
        "day": "2025-05-01", "moment": "2025-05-01 08:00:00+00:00", "local": "2025-05-01 10:00:00",
        "clock": "08:30:00", "bytes": "ab", "json": "{'a': 1}", "list": "[1, 2]",
        "uuid": "12345678-1234-5678-1234-567812345678",
    }  # fmt: skip


def test_a_large_answer_is_read_with_a_cursor_of_the_server(postgres, source, monkeypatch):
    """The first part comes before the query could have been answered as a whole."""
    monkeypatch.setattr(database, "PART_ROWS", 3)
    query = "select n, 1 / (10000 - n) as x from generate_series(1, 20000) n"
    parts = answer(source(path=None, url=postgres, query=query), None)
    assert [row[0] for row in next(parts).rows] == [1, 2, 3]
    assert next(parts).first == 4
    parts.close()


def test_files_are_asked_by_duckdb(take, lake, tmp_path):
    at = pd.to_datetime(["2025-05-01 08:00", "2025-05-01 09:00"])
    frame = pd.DataFrame({"unit": ["u1", "u2"], "material": "steel", "made": at, "changed": at, "id": np.arange(2)})
    frame.to_parquet(tmp_path / "lots-1.parquet")
    files = f"'{tmp_path}/lots-*.parquet'"
    source = of_lots("duckdb:///:memory:", query=QUERY.format("changed").replace("lots", files))
    assert counted(take(source, part=1)) == [2, 2, 0, 0]
    frame.assign(unit="u3", changed=at + pd.Timedelta("1h")).to_parquet(tmp_path / "lots-2.parquet")
    assert counted(take(source, part=1)) == [3, 2, 1, 0]
    (tmp_path / "lots-3.parquet").write_bytes(b"PAR1 cut")
    done = take(source)
    assert counted(done)[1] == 0
    [problem] = done.problems
    assert problem.startswith("duckdb:///:memory:: cannot answer the query of materials: ")
