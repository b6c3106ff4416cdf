"""The risk list: a night's candidates with what was decided of each, and its data files.

A night's candidates come as one frame, one row a unit, in any order (`CANDIDATE_COLUMNS`). `policy.select` orders
those with a score and says which are listed; `not_scored` gives the others. `table` puts both into one frame of
documented columns; `to_csv` and `to_parquet` render that to the same bytes every time.
"""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qma_predict.errors import PublicationError
from qma_predict.publish.text import spreadsheet_text, visible

CANDIDATE_COLUMNS = (
    "unit_id",
    "product",
    "cutoff",
    "first_night",
    "station",
    "machine",
    "since",
    "score",
    "reason",
)

SCHEMA_VERSION = 5
"""Version of `TABLE_SCHEMA`; it rises with every change that a reader of the file could notice."""

SCORE_DECIMALS = 6

_UTC = pa.timestamp("us", tz="UTC")

TABLE_SCHEMA = pa.schema(
    [
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("list_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32()),  # by value, per minute if that is known, 1 is the best; missing: not scored
        pa.field("listed", pa.bool_(), nullable=False),  # to be checked: within the capacity
        pa.field("selected_by", pa.string()),  # why it is listed: "rank" or "audit"
        pa.field("selection_probability", pa.float64()),  # of being listed at all; missing: not scored, so never
        pa.field("unit_id", pa.string(), nullable=False),
        pa.field("product", pa.string()),
        pa.field("station", pa.string()),  # where the unit is, as known at as_of
        pa.field("machine", pa.string()),
        pa.field("since", _UTC),  # when it got there
        pa.field("cutoff", _UTC),  # the last moment whose data the score may use
        pa.field("first_night", pa.date32()),  # business date on which the unit was first a candidate
        pa.field("score", pa.float64()),  # P(recorded as defect if inspected), see score_is; missing: not scored
        pa.field("risk_low", pa.float64()),  # 95 % range of the risk of past units with about this score;
        pa.field("risk_high", pa.float64()),  # missing where it is not known, or the score is no probability
        pa.field("score_is", pa.string()),  # "probability", or "ranking" where only the order means something
        pa.field("minutes", pa.float64()),  # work of its check [min]; missing where the line does not say
        pa.field("value", pa.float64()),  # money that the check is expected to save; missing without costs
        pa.field("check", pa.string()),  # characteristics to check
        pa.field("because", pa.string()),  # what is different about the unit, in words
        pa.field("caution", pa.string()),  # why its score is less certain than others': silent sensors, a new machine
        pa.field("issues", pa.string()),  # numbers of the night's issues that it is part of: "1, 3"
        pa.field("reason", pa.string()),  # why the unit was not scored
    ],
    metadata={"qma_schema": f"risk_list {SCHEMA_VERSION}"},
)


def not_scored(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates without a score, by ``unit_id``; their ``reason`` says why.

    Raises
    ------
    PublicationError
        As for `checked`.
    """
    known = checked(candidates)
    return known[known["score"].isna()].sort_values("unit_id", ignore_index=True)


def random_would_find(scores: np.ndarray | pd.Series, *, checks: int) -> float | None:
    """Return how many defects as many checks would find on average, picked at random from the scored units.

    Parameters
    ----------
    scores : array of shape (n_scored,)
        P(defect) of every scored candidate, listed or not.
    checks : int
        Number of listed units [units].

    Returns
    -------
    float or None
        ``checks`` times the mean score; None where nothing was scored, as there is nothing to pick from.

    Examples
    --------
    >>> random_would_find([0.2, 0.0, 0.0, 0.0], checks=2)
    0.1
    """
    if len(scores) == 0:
        return None
    return checks * float(np.mean(scores))


def table(ranked: pd.DataFrame, not_scored: pd.DataFrame, *, list_id: str, ranking: bool = False) -> pd.DataFrame:
    """Put the whole night into one frame: the ranked units in order, then the units without a score.

    Every number of the page can be computed again from this table and the manifest.

    Parameters
    ----------
    ranked : DataFrame
        As `policy.select` returns it, with the columns ``check``, ``because``, ``caution`` and ``issues`` where these
        are known.
    not_scored : DataFrame
        As `not_scored` returns it.
    list_id : str
    ranking : bool
        Whether the scores are a ranking and no probabilities.

    Returns
    -------
    DataFrame
        The columns of `TABLE_SCHEMA`, in that order.
    """
    night = pd.concat([_table_rows(ranked, list_id), _table_rows(not_scored, list_id)], ignore_index=True)
    night["score_is"] = "ranking" if ranking else "probability"
    return night[list(TABLE_SCHEMA.names)]


def to_parquet(table: pd.DataFrame) -> bytes:
    """Render `table` as Parquet; the same rows give the same bytes (with the same version of pyarrow)."""
    arrays = [_arrow(table[field.name], field.type) for field in TABLE_SCHEMA]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=TABLE_SCHEMA), out)
    return out.getvalue()


def to_csv(table: pd.DataFrame) -> bytes:
    r"""Render `table` as CSV that a spreadsheet can open without running anything.

    UTF-8, comma, ``\n`` line ends, one header line, columns of `TABLE_SCHEMA` in that order. Times are ISO
    8601 UTC with six decimals and ``Z``, dates ISO, numbers have six decimals, but the selection probability nine
    digits (it may be tiny, and is divided by), booleans are ``true`` and ``false``, missing is empty. Text goes
    through `spreadsheet_text`; Parquet has the text as it is.
    """
    cells = pd.DataFrame(index=table.index)
    for field in TABLE_SCHEMA:
        cells[field.name] = _csv_cells(table[field.name], field.type)
    return cells.to_csv(index=False, lineterminator="\n").encode()


def checked(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates with plain dtypes and scores rounded to six decimals, so that all follows from these.

    Raises
    ------
    PublicationError
        Missing columns, a missing or repeated ``unit_id``, a score outside [0, 1], times without a zone.
    """
    missing = [column for column in CANDIDATE_COLUMNS if column not in candidates]
    if missing:
        expected = list(CANDIDATE_COLUMNS)
        raise PublicationError(f"candidates: columns {missing} are missing, expected {expected}")
    frame = candidates[list(CANDIDATE_COLUMNS)].copy()
    nameless = int(frame["unit_id"].isna().sum())
    if nameless:
        raise PublicationError(f"candidates: {nameless} rows have no unit_id, expected none")
    repeated = frame["unit_id"][frame["unit_id"].duplicated()].unique()
    if len(repeated):
        raise PublicationError(
            f"candidates: {len(repeated)} unit_ids occur more than once, for example "
            f"'{visible(str(min(repeated)))}', expected one row a unit; make them unique before ranking"
        )
    frame["score"] = frame["score"].astype("float64").round(SCORE_DECIMALS) + 0.0  # no negative zero
    outside = frame[frame["score"].notna() & ~frame["score"].between(0, 1)]
    if len(outside):
        first = outside.sort_values("unit_id").iloc[0]
        raise PublicationError(
            f"candidates: {len(outside)} scores lie outside [0, 1], for example {first['score']} of unit "
            f"'{visible(str(first['unit_id']))}'; a score must be a probability"
        )
    for column in ("cutoff", "since"):
        frame[column] = _utc(frame[column])
    texts = ["unit_id", "product", "station", "machine", "reason"]
    return frame.astype(dict.fromkeys(texts, "str") | {"first_night": "object"})


def _utc(times: pd.Series) -> pd.Series:
    if isinstance(times.dtype, pd.DatetimeTZDtype) or times.isna().all():
        return pd.to_datetime(times, utc=True).dt.as_unit("us")
    raise PublicationError(f"candidates: {times.name} is {times.dtype}, expected times with a zone (UTC)")


def _table_rows(units: pd.DataFrame, list_id: str) -> pd.DataFrame:
    rows = units.reindex(columns=list(TABLE_SCHEMA.names))
    rows["rank"] = rows["rank"].astype("Int32")
    rows["listed"] = rows["listed"].eq(True)
    return rows.assign(schema_version=SCHEMA_VERSION, list_id=list_id)


def _arrow(column: pd.Series, kind: pa.DataType) -> pa.Array:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        # pandas 3.1 warns when pyarrow reads times with a zone; UTC without the zone is the same instants.
        column = column.dt.tz_convert(None)
    return pa.array(column, type=kind, from_pandas=True)


def _csv_cells(column: pd.Series, kind: pa.DataType) -> list[str]:
    if pa.types.is_timestamp(kind):
        column = column.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    elif column.name == "selection_probability":
        column = column.map("{:.9g}".format, na_action="ignore")
    elif pa.types.is_floating(kind):
        column = column.map(f"{{:.{SCORE_DECIMALS}f}}".format, na_action="ignore")
    elif pa.types.is_boolean(kind):
        column = column.map({True: "true", False: "false"})
    elif pa.types.is_string(kind):
        column = column.astype("object").map(lambda text: spreadsheet_text(str(text)), na_action="ignore")
    return column.astype("object").where(column.notna(), "").astype("str").tolist()
