"""Families of features, one small file each.

A family is a module with one function

    ``compute(history, points, line) -> ibis.Table``

that returns, for the prediction points it knows something of, rows with ``point`` (the number of the
prediction point), ``of`` (what is described, such as `cast.die_temperature`) and one column a statistic, a
number or a text; point and `of` together occur once. Each cell becomes the feature `{of}.{statistic}`.
`points` is an Ibis table with ``point``, ``unit_id`` and ``cutoff``; a family may use only rows that `known`
lets through, and no clock.

A new file here is a new family: its name can be listed under `learning.families` in `line.toml`.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import ibis.expr.types as ir

from qma_predict.errors import LineError


def family(name: str, file: str = "line.toml") -> ModuleType:
    """Module of a family that a line's `file` names.

    Raises
    ------
    LineError
        If there is none of that name.
    """
    names = sorted(module.name for module in iter_modules(__path__))
    if name not in names:
        raise LineError(f"{file}: learning.families: no family {name!r}. Expected some of {', '.join(names)}.")
    return import_module(f"{__name__}.{name}")


def known(rows: ir.Table, points: ir.Table) -> ir.Table:
    """Rows of the points' units that had happened and were recorded by each unit's cutoff."""
    joined = rows.inner_join(points, "unit_id")
    return joined.filter(joined.occurred_at <= joined.cutoff, joined.recorded_at <= joined.cutoff)
