"""The reference of a training as files, which are kept with its model."""

import logging
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import pyarrow as pa
import pyarrow.parquet as pq

from qma_predict.errors import ModelError
from qma_predict.publish.models import trusted

if TYPE_CHECKING:
    from qma_predict.learn.reference import Reference
    from qma_predict.learn.risk_model import RiskModel

log = logging.getLogger(__name__)

_PRODUCT = "product"  # no feature is called so: their names have dots
_TABLES = ("siblings.parquet", "groups.parquet", "past.parquet")
_REFIT = "refit_"


def is_part(name: str) -> bool:
    """Whether a file of that name is one of a reference."""
    return name in _TABLES or name.startswith(_REFIT)


def as_files(reference: "Reference", trust: Collection[str] = ()) -> dict[str, bytes]:
    """A reference as files by name: siblings, groups and past scores as Parquet, refits by skops.

    Parameters
    ----------
    reference : Reference
    trust : collection of str
        Classes other than ours that refits may hold.

    Raises
    ------
    ModelError
        If a refit consists of types that are not trusted.
    """
    siblings = reference.siblings.assign(**{_PRODUCT: reference.products})
    groups = reference.groups.rename_axis("feature").rename("group").to_frame()
    past = reference.past.reset_index(drop=True)
    files = {name: table.to_parquet() for name, table in zip(_TABLES, (siblings, groups, past), strict=True)}
    refits = enumerate(reference.refits, start=1)
    return files | {f"{_REFIT}{number}.skops": trusted.dumped(refit, trust)[0] for number, refit in refits}


def of_files(files: Mapping[str, bytes], trust: Collection[str] = ()) -> "Reference":
    """The reference of what `as_files` gave.

    Without its refits if one consists of types that are not trusted now: they only check reasons, and a list that is
    made by another model, such as a simple rule, needs the rest.

    Raises
    ------
    ModelError
        If a file is missing or damaged.
    """
    from qma_predict.learn.reference import Reference  # needs what trains

    try:
        # through a file object of Python, as pandas reads bytes, Arrow's threads may outlive the interpreter and abort
        siblings, groups, past = (pq.read_table(pa.BufferReader(files[name])).to_pandas() for name in _TABLES)
        products = siblings.pop(_PRODUCT)
        refits = _refits([files[name] for name in sorted(files) if name.startswith(_REFIT)], trust)
    except (OSError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise ModelError(f"the reference of the model cannot be read: {error}. Restore the home.") from error
    return Reference(
        siblings=siblings,
        products=products,
        groups=groups["group"].rename(None).rename_axis(None),
        refits=refits,
        past=past,
    )


def _refits(dumps: Sequence[bytes], trust: Collection[str]) -> "tuple[RiskModel, ...]":
    try:
        return tuple(trusted.loaded(data, trust) for data in dumps)
    except ModelError as error:
        log.warning("no reason is checked against other fits: %s", error)
        return ()
