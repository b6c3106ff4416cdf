import gzip

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qma_predict.data.parsing import parse
from qma_predict.data.raw import RawFile
from qma_predict.errors import SourceError


@pytest.fixture
def read(tmp_path, source):
    """Return a function that reads a file's content."""

    def read(content: bytes, name: str = "export.csv", **rules) -> RawFile:
        return parse(str(tmp_path / name), content, source(**rules))

    return read


def as_lists(raw: RawFile) -> dict[int, list[str | None]]:
    return {
        number: [None if pd.isna(v) else v for v in row]
        for number, row in zip(raw.rows.index, raw.rows.values, strict=True)
    }


def as_broken(raw: RawFile) -> dict[int, tuple[str, str]]:
    return {number: tuple(row) for number, row in zip(raw.broken.index, raw.broken.values, strict=True)}


def test_values_are_text_as_written(read):
    raw = read(b"a,b,c\n007, x ,1.50\n,NA,null\n")
    assert list(raw.rows.columns) == ["a", "b", "c"]
    assert as_lists(raw) == {1: ["007", " x ", "1.50"], 2: [None, "NA", "null"]}
    assert as_broken(raw) == {}


def test_quotes_keep_separators_newlines_and_quotes_in_a_value(read):
    raw = read(b'a,b\n"x,y",1\n"first\nsecond",2\n"5"" pipe",3\n')
    assert as_lists(raw) == {1: ["x,y", "1"], 2: ["first\nsecond", "2"], 3: ['5" pipe', "3"]}


def test_rows_with_too_many_or_too_few_values_are_kept_apart_with_their_numbers(read):
    raw = read(b'a,b\n1,2\n3\n"4\n4",5\n6,7,8\n\n9,10\n')
    assert as_lists(raw) == {1: ["1", "2"], 3: ["4\n4", "5"], 5: ["9", "10"]}
    assert as_broken(raw) == {
        2: ("expected 2 values as in the header, found 1", "3"),
        4: ("expected 2 values as in the header, found 3", "6,7,8"),
    }


def test_rows_are_numbered_through_a_file_larger_than_a_block(read):
    rows = [b"%d,%d" % (i, i) if i % 100_000 else b"%d" % i for i in range(1, 300_001)]
    raw = read(b"a,b\n" + b"\n".join(rows))
    assert raw.broken.index.tolist() == [100_000, 200_000, 300_000]
    assert raw.rows.loc[299_999].tolist() == ["299999", "299999"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_header_alone_is_a_file_without_rows(read, end):
    raw = read(b"a,b" + end)
    assert list(raw.rows.columns) == ["a", "b"]
    assert len(raw.rows) == len(raw.broken) == 0


def test_empty_lines_before_the_header_do_not_count(read):
    assert as_lists(read(b"\n\na,b\n007,1\n")) == {1: ["007", "1"]}


def test_lines_of_windows_are_lines(read):
    raw = read(b"a,b\r\n1,2\r\n3\r\n4,5\r\n")
    assert as_lists(raw) == {1: ["1", "2"], 3: ["4", "5"]}


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-8-sig", b"\xef\xbb\xbf"),
        ("latin-1", b""),
        ("cp1252", b""),
        ("utf-16", b""),
    ],
)
def test_encodings(read, encoding, mark):
    text = "größe,b\nä,1\n"
    content = text.encode("utf-8") if mark else text.encode(encoding)
    raw = read(mark + content, encoding=encoding)
    assert list(raw.rows.columns) == ["größe", "b"]
    assert as_lists(raw) == {1: ["ä", "1"]}


def test_another_encoding_than_told_is_refused(read):
    with pytest.raises(SourceError, match=r"export\.csv: cannot be read: .* Expected a whole CSV file in utf-8 with "):
        read("a,b\nä,1\n".encode("latin-1"))


def test_a_wrong_separator_leaves_one_column(read):
    raw = read(b"a;b\n1;2\n", separator=",")
    assert list(raw.rows.columns) == ["a;b"]
    assert list(read(b"a;b\n1;2\n", separator=";").rows.columns) == ["a", "b"]
    assert list(read(b"a\tb\n1\t2\n", separator="\t").rows.columns) == ["a", "b"]


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.parquet"])
@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_refused(read, tmp_path, name, content):
    with pytest.raises(SourceError) as error:
        read(content, name)
    assert str(error.value).startswith(f"{tmp_path / name}: the file is empty. Expected a whole ")


def test_columns_named_twice_are_refused(read):
    with pytest.raises(
        SourceError, match=r"export\.csv: columns named more than once: a, b\. Expected each column once\."
    ):
        read(b"b,a,c,a,b\n1,2,3,4,5\n")


@pytest.mark.parametrize("cut", [b"3", b'"3', b'3,"4\n5,6\n'])
def test_a_row_cut_in_the_middle_is_kept_apart(read, cut):
    raw = read(b"a,b\n1,2\n" + cut)
    assert as_lists(raw) == {1: ["1", "2"]}
    assert raw.broken.index.tolist() == [2]


@pytest.mark.parametrize("cut", [b'3,"', b'3,"4', b'3,"4\n', b'3,"4 ""'])
def test_a_row_cut_inside_quotes_is_kept_apart(read, cut):
    raw = read(b"a,b\n1,2\n" + cut)
    assert as_lists(raw) == {1: ["1", "2"]}
    assert [reason for reason, _ in as_broken(raw).values()] == ["the file ends inside quotes"]


@pytest.mark.parametrize("end", [b'3,"4"', b'3,""', b"3,", b"3,4", b'3,5"', b'3,"4 """', b'3,"a\nb"'])
@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_whole_last_row_is_taken(read, end, newline):
    raw = read(b"a,b\n1,2\n" + end + newline)
    assert raw.rows.index.tolist() == [1, 2]
    assert len(raw.broken) == 0


BODY = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(1000))


def test_compressed_files_are_read(read):
    assert len(read(gzip.compress(BODY), "x.csv.gz").rows) == 1000
    half = len(BODY) // 2
    assert len(read(gzip.compress(BODY[:half]) + gzip.compress(BODY[half:]), "x.csv.gz").rows) == 1000


@pytest.mark.parametrize("keep", [5, 0.5, -4, -1], ids=["header", "half", "checksum", "last byte"])
def test_a_cut_compressed_file_is_refused_as_a_whole(read, tmp_path, keep):
    content = gzip.compress(BODY)
    with pytest.raises(SourceError) as error:
        read(content[: int(len(content) * keep) if keep == 0.5 else keep], "x.csv.gz")
    assert str(error.value) == (
        f"{tmp_path / 'x.csv.gz'}: cannot be read: Truncated compressed stream. Expected a whole CSV file in utf-8 "
        "with a header, separated by ','; is it still being written?"
    )


def test_a_damaged_compressed_file_is_refused_as_a_whole(read):
    content = bytearray(gzip.compress(BODY))
    content[len(content) // 2] ^= 0xFF
    for damaged in (bytes(content), b"not compressed"):
        with pytest.raises(SourceError, match=r"x\.csv\.gz: cannot be read: .*is it still being written\?"):
            read(damaged, "x.csv.gz")


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_parquet_keeps_its_types(read):
    raw = read(parquet(pa.table({"id": [7, 12345678901234567, None], "v": [1.5, None, 2.0]})), "x.parquet")
    assert raw.rows.index.tolist() == [1, 2, 3]
    assert raw.rows["id"].astype("str").tolist()[:2] == ["7", "12345678901234567"]
    assert raw.rows["v"].dtype == "float64"


def test_parquet_columns_that_mean_text_or_numbers_are_that(read):
    table = pa.table(
        {
            "category": pa.array(["a", None]).dictionary_encode(),
            "binary": pa.array([b"x", b"\xc3\xa4"]),
            "decimal": pa.array(["1.25", None]).cast(pa.decimal128(6, 2)),
        }
    )
    rows = read(parquet(table), "x.parquet").rows
    assert rows["category"].tolist()[0] == "a"
    assert rows["binary"].tolist() == ["x", "ä"]
    assert rows["decimal"].tolist()[0] == 1.25
    assert [str(kind) for kind in rows.dtypes] == ["str", "str", "float64"]


def test_a_parquet_file_of_pandas_keeps_its_index_as_a_column(read, tmp_path):
    pd.DataFrame({"v": [1.0]}, index=pd.Index(["u1"], name="unit_id")).to_parquet(tmp_path / "from_pandas.parquet")
    raw = read((tmp_path / "from_pandas.parquet").read_bytes(), "x.parquet")
    assert raw.rows["unit_id"].tolist() == ["u1"]


@pytest.mark.parametrize("keep", [3, 0.5, -1])
def test_a_cut_parquet_file_is_refused(read, tmp_path, keep):
    content = parquet(pa.table({"v": list(range(1000))}))
    with pytest.raises(SourceError) as error:
        read(content[: int(len(content) * keep) if keep == 0.5 else keep], "x.parquet")
    assert str(error.value).startswith(f"{tmp_path / 'x.parquet'}: cannot be read: ")
    assert str(error.value).endswith("Expected a whole Parquet file; is it still being written?")


@settings(deadline=None)
@given(st.data())
def test_a_damaged_parquet_file_is_refused_or_read_but_never_a_traceback(source, data):
    content = bytearray(parquet(pa.table({"id": ["a", "b"] * 50, "v": list(range(100))})))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        raw = parse("x.parquet", bytes(content), source())
    except SourceError:
        return
    assert isinstance(raw.rows, pd.DataFrame)


def test_a_broken_row_that_is_no_text_is_not_lost(source):
    with pytest.raises(SourceError, match=r"x\.csv: cannot be read: 'utf-8' codec can't decode byte 0xa1"):
        parse("x.csv", b"a,b\n1,2\n\xa1,1,2\n", source())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_refused(source, content):
    for name in ("x.csv", "x.csv.gz", "x.parquet"):
        try:
            parse(name, content, source())
        except SourceError:
            continue


def test_the_format_may_be_told(read):
    assert len(read(parquet(pa.table({"v": [1.0]})), "x.dat", format="parquet").rows) == 1
    assert len(read(b"a,b\n1,2\n", "x.dat").rows) == 1


# Lines above and below the table.


def test_lines_above_the_header_are_skipped_and_rows_are_numbered_below_it(read):
    raw = read(b"Press 4\n\nunit,lot\nu1,L1\nu2\nu3,L3\n", skip=2)
    assert as_lists(raw) == {1: ["u1", "L1"], 3: ["u3", "L3"]}
    assert as_broken(raw) == {2: ("expected 2 values as in the header, found 1", "u2")}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_lines_of_any_system_are_skipped(read, newline):
    raw = read(newline.join([b"Press 4", b"by Ada", b"unit,lot", b"u1,L1"]), skip=2)
    assert as_lists(raw) == {1: ["u1", "L1"]}


def test_a_file_shorter_than_what_is_skipped_is_refused(read):
    with pytest.raises(SourceError, match="no line after the 3 to skip"):
        read(b"a,b\n1,2\n", skip=3)


def test_names_are_given_where_the_file_has_none(read):
    raw = read(b"u1,L1\nu2\nu3,L3\n", header=["unit", "lot"])
    assert list(raw.rows.columns) == ["unit", "lot"]
    assert as_lists(raw) == {1: ["u1", "L1"], 3: ["u3", "L3"]}
    assert as_broken(raw) == {2: ("expected 2 names in header, found 1", "u2")}
    assert as_lists(read(b"u1,L1", header=["unit", "lot"])) == {1: ["u1", "L1"]}


def test_a_wrong_header_is_skipped_and_the_right_one_given(read):
    raw = read(b"unit,unit\nu1,L1\n", header=["unit", "lot"], skip=1)
    assert as_lists(raw) == {1: ["u1", "L1"]}
    assert read(b"unit,unit\n", header=["unit", "lot"], skip=1).rows.empty


def test_names_lose_the_blanks_around_them(read):
    assert list(read(b" unit ;\tlot\nu1;L1\n", separator=";").rows.columns) == ["unit", "lot"]


def test_two_names_that_differ_in_blanks_are_one_name_twice(read):
    with pytest.raises(SourceError, match="columns named more than once: unit"):
        read(b"unit, unit\nu1,L1\n")


@pytest.mark.parametrize("content", [b"unit,lot\nu1,L1,1\nu2,L2,2\n", b"Press 4\nunit,lot,n\nu1,L1,1\n"])
def test_a_header_with_fewer_names_than_all_rows_have_values_is_told_with_what_to_do(read, tmp_path, content):
    with pytest.raises(SourceError) as error:
        read(content)
    names = content.split(b"\n")[0].decode().split(",")
    assert str(error.value) == (
        f"{tmp_path / 'export.csv'}: {len(names)} names ({', '.join(names)}) for rows of 3 values. Are there lines "
        "above the header? Give their number as skip. Or does the header lack names? Give them all as header, and "
        "skip the file's own."
    )


def test_one_row_with_a_value_too_many_is_no_wrong_header(read):
    assert len(read(b"a,b\n1,2,3\n").broken) == 1


def test_a_footer_is_no_row(read):
    raw = read(b"unit,lot\nu1,L1\nu2\nTotal;2\n", footer="Total")
    assert as_lists(raw) == {1: ["u1", "L1"]}
    assert list(as_broken(raw)) == [2]


@pytest.mark.parametrize("end", [b"Total,2", b"Total,2\n", b"Total,2\r\n\r\n", b"Total,2\n\nTotal: all\n \n"])
def test_a_footer_has_any_number_of_lines_that_all_match(read, end):
    assert as_lists(read(b"unit,lot\nTotal,1\nu1,L1\n" + end, footer="^Total")) == {1: ["Total", "1"], 2: ["u1", "L1"]}


@pytest.mark.parametrize("content", [b"unit,lot\nu1,L1\nu2,L", b"unit,lot\n", b"unit,lot\nTotal,1\nu1,L1\n"])
def test_a_file_that_does_not_end_with_its_footer_is_cut(read, tmp_path, content):
    with pytest.raises(SourceError) as error:
        read(content, footer="Total")
    assert str(error.value) == (
        f"{tmp_path / 'export.csv'}: is cut or still being written: its last line is no footer. Expected one that "
        "matches 'Total'; nothing of the file was taken, and it is read again next time."
    )


def test_skip_header_and_footer_work_together_in_any_encoding(read):
    text = "Größen\nGröße;Los\n1,5;ä\nEnde der Größen\n"
    for encoding in ("utf-8-sig", "latin-1", "utf-16"):
        raw = read(
            text.encode(encoding),
            encoding=encoding,
            separator=";",
            skip=2,
            header=["size", "lot"],
            footer="Ende der Gr",
        )
        assert as_lists(raw) == {1: ["1,5", "ä"]}


@pytest.mark.parametrize("rules", [{}, {"header": ["a", "b"], "skip": 1}, {"header": ["a", "b"]}])
def test_a_byte_order_mark_is_no_part_of_a_name_or_value(read, rules):
    for content, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        body = "a,b\nu1,1\n" if rules.get("skip") or not rules else "u1,1\n"
        raw = read(content + body.encode(encoding), encoding=encoding, **rules)
        assert list(raw.rows.columns) == ["a", "b"]
        assert as_lists(raw) == {1: ["u1", "1"]}


def test_text_longer_than_a_block_is_recoded_as_a_whole(read):
    text = "a,b\n" + "ä€,1\n" * 300_000
    raw = read(text.encode("utf-16"), encoding="utf-16")
    assert len(raw.rows) == 300_000
    assert set(raw.rows["a"]) == {"ä€"}


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 3), st.booleans())
def test_any_bytes_below_skipped_lines_and_above_a_footer_are_a_file_or_refused(source, content, skip, named):
    rules = {"skip": skip, "footer": "E"} | ({"header": ["a", "b"]} if named else {})
    for encoding in ("utf-8", "latin-1", "utf-16"):
        try:
            parse("x.csv", content + b"\nE", source(encoding=encoding, **rules))
        except SourceError:
            continue
