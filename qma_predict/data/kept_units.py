"""Rows of readings and tags in the units in which the line keeps them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qma_predict.data.reasons import Reasons
from qma_predict.line import Source
from qma_predict.line.measures import converted, is_unit, unit_of


def keep_units(rows: pd.DataFrame, source: Source, units: Mapping[str, str], reasons: Reasons) -> None:
    """Convert numbers to the units in which the line keeps them; `unit` of tags becomes the line's."""
    if source.table == "tags" and units:
        numbers = ["set_point", "lower", "upper", "plausible_low", "plausible_high"]
    elif source.table == "readings" and ("unit" in rows or (source.units and units)):
        numbers = ["value"]
    else:
        return
    names = rows[["station", "tag"]].assign(unit=rows.get("unit", "")).fillna("")
    number = names.groupby(["station", "tag", "unit"], sort=False).ngroup().to_numpy()
    whys: list[str] = []
    work: dict[tuple[str, str], list[int]] = {}
    for place, (station, tag, told) in enumerate(names.drop_duplicates().itertuples(index=False, name=None)):
        name = f"{station}.{tag}"
        given, ours = told or unit_of(tag, source.units), unit_of(name, units)
        if source.table == "readings" and told and not ours:
            why = f"found {told!r}, but line.toml declares no unit for {name}: declare it under units"
        elif source.table == "readings" and "unit" in rows and ours and not given:
            why = f"missing, expected one to convert to {ours!r}, in which line.toml keeps {name}"
        else:
            why = _contradiction(name, given, ours)
        whys.append(why)
        if not why and given and ours:
            work.setdefault((given, ours), []).append(place)
    if any(whys):
        reasons.add_each("unit", np.array(whys, dtype=object)[number])
    for (given, ours), places in work.items():
        _convert(rows, np.isin(number, places), numbers, (given, ours), reasons)


def _contradiction(name: str, given: str | None, kept: str | None) -> str:
    """Why a value of one unit cannot be kept in another, if so."""
    if not given or not kept:
        return ""
    if not is_unit(given):
        return f"found {given!r}, not a known unit of measure; line.toml keeps {name} in {kept!r}"
    if converted(np.zeros(1), given, kept) is None:
        return f"found {given!r}, which contradicts {kept!r}, in which line.toml keeps {name}"
    return ""


def _convert(
    rows: pd.DataFrame, these: np.ndarray, numbers: list[str], pair: tuple[str, str], reasons: Reasons
) -> None:
    for name in numbers:
        before = rows[name].to_numpy()
        after = np.array(before)
        after[these] = converted(before[these], *pair)
        too_large = np.isfinite(before) & ~np.isfinite(after)
        reasons.add(pd.Series(too_large), name, f"not a finite number in {pair[1]!r}", rows[name])
        rows[name] = after
    if "unit" in rows:
        rows["unit"] = rows["unit"].mask(these, pair[1])
