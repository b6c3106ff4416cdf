"""What an ingest counted: files, rows, and why rows were refused."""

from collections.abc import Iterator

import pandas as pd
from ibis import _

from qma_predict.data.ingest import Ingested
from qma_predict.data.lake import History
from qma_predict.data.survey.finding import Finding, Weight
from qma_predict.line import Line

_COUNTS = ["rows", "accepted", "duplicates", "quarantined"]


def counts(line: Line, done: Ingested) -> pd.DataFrame:
    """Files and rows by table, in the order of the line's sources."""
    tables = list(dict.fromkeys(source.table for source in line.sources))
    rows = []
    for table in tables:
        files = [one for one in done.files if one.table == table]
        rows.append([table, len(files), *(sum(getattr(one, name) for one in files) for name in _COUNTS)])
    return pd.DataFrame(rows, columns=["table", "files", *_COUNTS])


def reasons(history: History) -> pd.DataFrame:
    """Why rows were refused, the commonest first, each with the place of one of them."""
    refused = history.tables["quarantine"]
    told = refused.reason.re_replace(": '[^']*'|: \"[^\"]*\"", "")
    place = refused.path + ", row " + refused.row.cast("string")
    place = (refused.column == "").ifelse(place, place + ", column " + refused.column)
    grouped = refused.mutate(reason=told, place=place, full=refused.reason).group_by(["table", "reason"])
    found = grouped.agg(rows=_.count(), place=_.place.min(), full=_.full.first(order_by=_.place)).to_pandas()
    found["example"] = found["place"] + ": " + found["full"]
    found = found.sort_values(["rows", "table", "reason"], ascending=[False, True, True], ignore_index=True)
    return found[["table", "reason", "rows", "example"]]


def findings(tables: pd.DataFrame, why: pd.DataFrame, problems: tuple[str, ...]) -> Iterator[Finding]:
    """Sources that cannot be read, tables that stay empty, and what is refused most."""
    for problem in dict.fromkeys(problems):  # two sources may read one file
        yield Finding("blocks", "source not read", problem, 1, "mend the file or the source in line.toml")
    for row in tables.itertuples():
        worst = why[why["table"] == row.table]
        if row.rows and not row.accepted and row.duplicates < row.rows:
            what = f"{row.table}: no row of {row.rows:,} is accepted; {worst['reason'].iloc[0]}"
            yield Finding(
                "blocks", "nothing accepted", what, row.rows, "see the examples; mend the source in line.toml"
            )
            continue
        for one in worst.head(3).itertuples():
            what = f"{row.table}: {one.rows:,} of {row.rows:,} rows refused: {one.reason} ({one.example})"
            weight: Weight = "look" if one.rows >= 0.01 * row.rows or "in the future" in one.reason else "note"
            yield Finding(weight, "rows refused", what, one.rows, _advice(one.reason))


def _advice(reason: str) -> str:
    if "in the future" in reason:
        return "check timezone and time_format of the source, and the plant's clocks"
    if "not a time" in reason:
        return "check time_format and timezone of the source"
    if "not a finite number" in reason:
        return "check decimal of the source, or give the plant's words under values"
    if "not a result" in reason:
        return "give the plant's words under values = { passed = ... } of the source"
    if "conflict" in reason:
        return "the same key has two values at one time: does the key lack a column, or recorded_at?"
    if "recorded before it happened" in reason:
        return "check whether occurred_at and recorded_at are swapped, and the zone of each"
    return "check the mapping of columns, and the file"
