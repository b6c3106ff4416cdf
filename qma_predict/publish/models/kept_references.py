"""The reference of a training as files, which are kept with its model."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from qma_predict.errors import ModelError
from qma_predict.learn.reference import Reference
from qma_predict.publish.models import trusted

_PRODUCT = "product"  # no feature is called so: their names have dots


def write(folder: Path, reference: Reference) -> None:
    """Write a reference into an empty folder: siblings, groups and past scores as Parquet, refits by skops.

    Raises
    ------
    ModelError
        If a refit consists of types that are not trusted.
    """
    reference.siblings.assign(**{_PRODUCT: reference.products}).to_parquet(folder / "siblings.parquet")
    reference.groups.rename_axis("feature").rename("group").to_frame().to_parquet(folder / "groups.parquet")
    reference.past.to_parquet(folder / "past.parquet", index=False)
    for number, refit in enumerate(reference.refits, start=1):
        (folder / f"refit_{number}.skops").write_bytes(trusted.dumped(refit)[0])


def read(folder: Path) -> Reference:
    """Read what `write` wrote.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or a refit consists of types that are not trusted.
    """
    try:
        siblings = pd.read_parquet(folder / "siblings.parquet")
        groups = pd.read_parquet(folder / "groups.parquet")["group"]
        past = pd.read_parquet(folder / "past.parquet")
        refits = tuple(trusted.loaded(file.read_bytes()) for file in sorted(folder.glob("refit_*.skops")))
    except (OSError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise ModelError(f"{folder}: the reference of the model cannot be read: {error}. Restore the home.") from error
    return Reference(
        siblings=siblings.drop(columns=_PRODUCT),
        products=siblings[_PRODUCT],
        groups=groups.rename(None).rename_axis(None),
        refits=refits,
        past=past,
    )
