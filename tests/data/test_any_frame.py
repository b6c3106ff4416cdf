"""Whatever stands in a file, each row is read or refused, and nothing else happens."""

import contextlib
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from qma_predict.data.contract import TABLES, check
from qma_predict.errors import SourceError
from qma_predict.line import Source

NOW = pd.Timestamp("2025-06-01 12:00", tz="UTC")
CELLS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(["2025-05-01 10:00", "2025-05-01", "13:30", "13:30-14:00", "1746093600", "1,5", "OK", "°C", "SN-"]),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.binary(max_size=3),
    st.just(["a", 1]),
)
TYPED = st.sampled_from(
    [
        pd.Series([1, 2], dtype="int64"),
        pd.Series([2**64 - 1, 1], dtype="uint64"),
        pd.Series([-(2**63), None], dtype="Int64"),
        pd.Series([1e300, float("nan")]),
        pd.Series([True, None], dtype="boolean"),
        pd.Series([1 + 2j, 0]),
        pd.Series([timedelta(days=1), timedelta(0)]),
        pd.Series(["a", "1"], dtype="category"),
        pd.Series(pd.to_datetime(["9999-12-31 23:00", "0001-01-01"], format="ISO8601")),
        pd.Series([2**40, -(2**40)]).astype("datetime64[s]"),
        pd.Series([2**40, -(2**40)]).astype("datetime64[s]").dt.tz_localize("UTC"),
        pd.Series([date(2025, 5, 1), None], dtype=object),
        pd.Series([time(13, 30), None], dtype=object),
        pd.Series([Decimal("1.5"), Decimal("NaN")], dtype=object),
        pd.Series([datetime(2025, 5, 1), "x"], dtype=object),  # noqa: DTZ001  # a workbook knows no zones
    ]
)
FORMATS = ["ISO8601", "epoch s", "epoch ms", "epoch us", "epoch ns", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M%z", "%j %y"]


@st.composite
def columns(draw):
    if draw(st.booleans()):
        return draw(TYPED)
    if draw(st.booleans()):
        return pd.Series(draw(st.lists(st.none() | st.text(max_size=20), min_size=2, max_size=2)), dtype="str")
    return pd.Series(draw(st.lists(CELLS, min_size=2, max_size=2)), dtype=object)


@st.composite
def files(draw, table: str):
    """A source of the table, and a file for it."""
    names = [column.name for column in TABLES[table].columns]
    texts = [column.name for column in TABLES[table].columns if column.kind == "text"]
    rules = {
        "delay": "1 min",
        "timezone": draw(st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"])),
        "time_format": draw(st.sampled_from(FORMATS)),
        "decimal": draw(st.sampled_from([".", ","])),
        "normalise": {draw(st.sampled_from(texts)): ["remove prefix SN-", "remove signs", "pad 4"]},
    }
    frame = {name: draw(columns()) for name in names}
    if draw(st.booleans()):
        rules["columns"] = {draw(st.sampled_from(names)): ["part 1", "part 2"]}
        frame |= {"part 1": draw(columns()), "part 2": draw(columns())}
    if table == "readings" and draw(st.booleans()):
        frame["unit"] = draw(columns())
        rules |= {"columns": rules.get("columns", {}) | {"unit": "unit"}, "units": {"*": "degF"}}
    if table == "inspections" and draw(st.booleans()):
        del frame["passed"]
    return Source.model_validate({"table": table, "path": "x.csv"} | rules), pd.DataFrame(frame)


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_whatever_stands_in_a_file_each_row_is_read_or_refused(table, data):
    source, raw = data.draw(files(table))
    with contextlib.suppress(SourceError):
        rows, reasons = check(raw, source, NOW, {"*": "degC"})
        assert len(rows) == len(reasons) == len(raw)
        required = [column.name for column in TABLES[table].columns if column.required]
        assert not rows.loc[reasons == "", [*required, "occurred_at", "recorded_at"]].isna().any(axis=None)
