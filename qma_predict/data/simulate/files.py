"""Files of the plant as its systems would export them: each by what was recorded in its month or day."""

import gzip
import os
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qma_predict.data.simulate.plant import ZONE
from qma_predict.data.simulate.simulation import Plant
from qma_predict.errors import SourceError

GERMAN = "%d.%m.%Y %H:%M:%S"
ISO = "%Y-%m-%dT%H:%M:%S"


def _local(moments: pd.Series, pattern: str) -> pd.Series:
    return moments.dt.tz_convert(ZONE).dt.strftime(pattern)


def _utc(moments: pd.Series) -> pd.Series:
    return moments.dt.strftime(f"{ISO}Z")


def _write_csv(table: pd.DataFrame, path: Path, **habits: str) -> None:
    text = table.to_csv(index=False, lineterminator="\n", **habits).encode()
    path.write_bytes(gzip.compress(text, compresslevel=5, mtime=0) if path.suffix == ".gz" else text)


def _write_months(table: pd.DataFrame, recorded_at: pd.Series, folder: Path, pattern: str, **habits: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for month, rows in table.groupby(_local(recorded_at, "%Y-%m"), sort=True):
        _write_csv(rows, folder / pattern.format(month), **habits)


def _write_mes(plant: Plant, folder: Path) -> None:
    units = plant.units
    table = pd.DataFrame(
        {
            "serial": units["unit_id"],
            "part": units["product"],
            "order_no": units["order_no"],
            "started": _local(units["occurred_at"], GERMAN),
            "booked": _local(units["recorded_at"], GERMAN),
        }
    )
    _write_months(table, units["recorded_at"], folder, "units-{}.csv", sep=";")
    visits = plant.visits
    table = pd.DataFrame(
        {
            "serial": visits["unit_id"],
            "station": visits["station"],
            "machine": visits["machine"],
            "time_in": _local(visits["started_at"], ISO),
            "time_out": _local(visits["ended_at"], ISO),
            "booked": _local(visits["recorded_at"], ISO),
        }
    )
    _write_months(table, visits["recorded_at"], folder, "visits-{}.csv.gz")


def _column(column: pd.Series) -> pa.Array:
    # Array by array: Table.from_pandas of pyarrow 25 meets a deprecation of pandas 3.1 at times with a zone.
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pa.DictionaryArray.from_arrays(column.cat.codes.to_numpy(), column.cat.categories.to_numpy())
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return pa.array(column.dt.tz_convert(None).to_numpy(), pa.timestamp("us", "UTC"))
    return pa.array(column.to_numpy())


def _write_historian(plant: Plant, folder: Path) -> None:
    folder.mkdir(parents=True)
    tags = plant.tags.assign(valid_from=_utc(plant.tags["valid_from"]))
    _write_csv(tags, folder / "tags.csv")
    names = {"unit_id": "serial", "occurred_at": "ts", "recorded_at": "stored"}
    for day, readings in plant.readings():
        pq.write_table(
            pa.table({names.get(name, name): _column(readings[name]) for name in readings}),
            folder / f"readings-{day:%Y-%m-%d}.parquet",
            compression="zstd",
            store_schema=False,  # text stays text for a reader, not the dictionary it is written from
        )


def _write_erp(plant: Plant, folder: Path) -> None:
    materials = plant.materials
    table = pd.DataFrame(
        {
            "serial": materials["unit_id"],
            "lot": materials["lot_id"],
            "material": materials["material"],
            "supplier": materials["supplier"],
            "consumed": _utc(materials["occurred_at"]),
            "booked": _utc(materials["recorded_at"]),
        }
    )
    _write_months(table, materials["recorded_at"], folder, "materials-{}.csv.gz")


def _write_maintenance(plant: Plant, folder: Path) -> None:
    events = plant.events
    table = pd.DataFrame(
        {
            "machine": events["machine"],
            "kind": events["kind"],
            "at": _local(events["occurred_at"], ISO),
            "booked": _local(events["recorded_at"], ISO),
            "text": events["text"],
        }
    )
    folder.mkdir(parents=True)
    _write_csv(table, folder / "events.csv")


def _write_quality(plant: Plant, folder: Path) -> None:
    found = plant.inspections
    table = pd.DataFrame(
        {
            "serial": found["unit_id"],
            "gate": found["gate"],
            "characteristic": found["characteristic"],
            "result": found["passed"].map({True: "OK", False: "NOK"}),
            "measured": found["measured"],
            "lower": found["lower"],
            "upper": found["upper"],
            "code": found["code"],
            "reason": found["reason"],
            "probability": found["probability"],
            "tested": _local(found["occurred_at"], GERMAN),
            "booked": _local(found["recorded_at"], GERMAN),
        }
    )
    _write_months(table, found["recorded_at"], folder, "inspections-{}.csv", sep=";", decimal=",")


def _write_truth(plant: Plant, folder: Path) -> None:
    folder.mkdir(parents=True)
    table = pa.Table.from_pandas(plant.truth, preserve_index=False)
    pq.write_table(table, folder / "units.parquet", compression="zstd")


def write_plant(plant: Plant, folder: str | Path) -> None:
    """Write the plant's files below ``folder/plant``, and apart from them ``folder/truth/units.parquet``.

    The folder appears at once and complete. Files hold what was recorded in their local month or day. Local
    times carry no zone: in the hour that the clock change repeats they are ambiguous, as in a real plant.

    Parameters
    ----------
    plant : Plant
    folder : str or pathlib.Path
        A folder that does not exist yet.

    Raises
    ------
    SourceError
        If the folder exists.
    """
    target = Path(folder)
    if target.exists():
        raise SourceError(
            f"{target}: exists already, but a simulated plant is written to a new folder only; "
            "name another folder, or remove this one"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        draft = Path(scratch) / "draft"
        _write_mes(plant, draft / "plant" / "mes")
        _write_historian(plant, draft / "plant" / "historian")
        _write_erp(plant, draft / "plant" / "erp")
        _write_maintenance(plant, draft / "plant" / "maintenance")
        _write_quality(plant, draft / "plant" / "quality")
        _write_truth(plant, draft / "truth")
        os.rename(draft, target)
