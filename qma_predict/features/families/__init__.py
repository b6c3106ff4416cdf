"""Families of features, one small file each.

A family is a module with one function

    ``compute(history, points, line) -> ibis.Table``

that returns, for the prediction points it knows something of, rows with ``point`` (the number of the
prediction point), ``of`` (what is described, such as `cast.die_temperature`) and one column a statistic, a
number or a text; point and `of` together occur once. Each cell becomes the feature `{of}.{statistic}`.
`points` is an Ibis table with ``point``, ``unit_id`` and ``cutoff``; a family may use only what was recorded by each
point's cutoff (`known` lets nothing else through), and no clock. A unit may occur at several points.

It also says

    ``UNITS``: statistic to its unit of measure, where `{tag}` stands for the unit of the tag; "" has none
    ``INHERITED``: whether a unit has these features of what it was made from, too
    ``Settings``, where it has any: a pydantic model of what `[learning.family.<name>]` in `line.toml` may set

A new file here is a new family: its name can be listed under `learning.families` in `line.toml`. So can the import path
of a module elsewhere.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

import ibis.expr.types as ir
from pydantic import BaseModel, ValidationError

from qma_predict.errors import LineError
from qma_predict.line import Line

S = TypeVar("S", bound=BaseModel)


def family(name: str, file: str = "line.toml") -> ModuleType:
    """Module of a family that a line's `file` names.

    Raises
    ------
    LineError
        If there is none of that name.
    """
    names = sorted(module.name for module in iter_modules(__path__))
    if name in names:
        return import_module(f"{__name__}.{name}")
    if "." in name:
        try:
            return import_module(name)
        except ImportError as error:
            raise LineError(
                f"{file}: learning.families: {name!r} cannot be imported: {error}. Expected an installed module."
            ) from error
    raise LineError(
        f"{file}: learning.families: no family {name!r}. Expected some of {', '.join(names)}, or an import path."
    )


def settings(model: type[S], line: Line) -> S:
    """Settings of the family whose `Settings` this is, as a line sets them.

    Raises
    ------
    LineError
        If the line sets what the family does not have, or to what cannot be.
    """
    name = model.__module__.removeprefix(f"{__name__}.")
    try:
        return model.model_validate(line.learning.family.get(name, {}))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: found {one['input']!r}, {one['msg']}"
            for one in error.errors(include_url=False)
        )
        known = ", ".join(model.model_fields)
        raise LineError(f"{line.file}: learning.family.{name}: {wrong}. Known are {known}.") from error


def known(rows: ir.Table, points: ir.Table) -> ir.Table:
    """Rows of the points' units that had happened and were recorded by each unit's cutoff."""
    joined = rows.inner_join(points, "unit_id")
    return joined.filter(joined.occurred_at <= joined.cutoff, joined.recorded_at <= joined.cutoff)
