"""Published lists written by hand."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from qma_predict.line import Line
from qma_predict.publish import risk_list
from qma_predict.publish.lists import bundle


def put_list(
    folder: Path, line: Line, day: date, units: Mapping[str, float | Mapping[str, Any]], **options: Any
) -> Path:
    """Publish a list of these units, which have a score or several columns, and are listed unless they say otherwise.

    `facts` of the options are said in the manifest beside the list's id and its moment; `more` are files beside the
    scores.
    """
    list_id, as_of = f"{line.name}-{day}", line.as_of(day)
    given = {unit: {"score": one} if isinstance(one, float) else dict(one) for unit, one in units.items()}
    rows = pd.DataFrame(given.values(), index=pd.Index(given, name="unit_id")).reset_index()
    usual = {"listed": True, "selected_by": "rank", "selection_probability": 1.0, "cutoff": pd.Timestamp(as_of)}
    usual |= {"since": pd.Timestamp(as_of), "first_night": day, "score_is": "probability", "check": None}
    for name, value in usual.items():
        rows[name] = rows[name].where(rows[name].notna(), value) if name in rows else value
    rows = rows.assign(rank=range(1, len(rows) + 1), schema_version=risk_list.SCHEMA_VERSION, list_id=list_id)
    contents = {"scores.parquet": risk_list.to_parquet(rows.reindex(columns=risk_list.TABLE_SCHEMA.names))}
    contents |= options.pop("more", {})
    facts = {"list_id": list_id, "as_of": as_of.isoformat(), "state": "OK", **options.pop("facts", {})}
    receipt = {"published_at": options.pop("published_at", as_of).isoformat()}
    return bundle.publish(folder, day, contents, facts=facts, receipt=receipt, **options)
