"""The unit of measure of each feature, the family that it is of, and the tag whose readings it tells of."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

import ibis
from ibis import _

from qma_predict.data.lake import History
from qma_predict.features.families import family
from qma_predict.line import Line


def feature_units(history: History, line: Line, names: Iterable[str]) -> dict[str, str]:
    """Units of measure of features of the line's families, by the features' names.

    Parameters
    ----------
    history : History
    line : Line
    names : iterable of str
        Such as `press.force.last`, or `bottom.press.force.last` of what a unit was made from.

    Returns
    -------
    dict of str to str
        Every name with its unit; empty where there is none or none is known. The unit of a tag is that of the first
        pattern under `units` in `line.toml` that fits `{station}.{tag}`, or else that of the newest row of `tags`.
    """
    templates: dict[str, str] = {}
    for one in line.learning.families:
        templates |= _templates(one, line)
    recorded = _recorded(history)
    return {name: _unit(name, templates, line.units, recorded) for name in names}


def feature_families(line: Line, names: Iterable[str]) -> dict[str, str]:
    """Family of the line that each feature is of, by its statistic; the last one that has it, as for its unit.

    Parameters
    ----------
    line : Line
    names : iterable of str
        As for `feature_units`.

    Returns
    -------
    dict of str to str
        Every name with its family; empty where no family says that it has such a statistic.
    """
    of = {statistic: one for one in line.learning.families for statistic in _templates(one, line)}
    return {name: of.get(name.rpartition(".")[2], "") for name in names}


def feature_tags(line: Line, names: Iterable[str]) -> dict[str, str]:
    """Tag whose readings each feature tells of: of the families in which a statistic has the unit of a tag.

    Parameters
    ----------
    line : Line
    names : iterable of str
        As for `feature_units`.

    Returns
    -------
    dict of str to str
        Names of such features with `{station}.{tag}`; others, such as machines, times and rates, are left out.
    """
    of_tags = {one for one in line.learning.families if any("{tag}" in unit for unit in _templates(one, line).values())}
    families = feature_families(line, names)
    return {name: name.rpartition(".")[0] for name, of in families.items() if of in of_tags}


def _templates(name: str, line: Line) -> Mapping[str, str]:
    return getattr(family(name, line.file), "UNITS", {})


def _unit(name: str, templates: Mapping[str, str], patterns: Mapping[str, str], recorded: Mapping[str, str]) -> str:
    of, _dot, statistic = name.rpartition(".")
    template = templates.get(statistic, "")
    if "{tag}" not in template:
        return template
    tag = next(_units_of_tag(of, patterns, recorded), "")
    return template.replace("{tag}", tag) if tag else ""


def _units_of_tag(of: str, patterns: Mapping[str, str], recorded: Mapping[str, str]) -> Iterator[str]:
    """Units of the tag that a feature is of, or else of one that remains when prefixes of its name are left out."""
    parts = of.split(".")
    for start in range(len(parts) - 1):
        tag = ".".join(parts[start:])
        yield from (unit for pattern, unit in patterns.items() if fnmatchcase(tag, pattern))
        if unit := recorded.get(tag):
            yield unit


def _recorded(history: History) -> dict[str, str]:
    """Unit of each `station.tag` of the table `tags`, as known at the history's `as_of`."""
    tags = history.all_versions("tags").filter(_.unit.notnull())
    order = [ibis.desc("valid_from"), ibis.desc("recorded_at"), "unit"]
    newest = tags.mutate(_order=ibis.row_number().over(group_by=["station", "tag"], order_by=order))
    found = newest.filter(_._order == 0).select(tag=_.station + "." + _.tag, unit="unit").to_pandas()
    return dict(zip(found["tag"], found["unit"], strict=True))
