"""Is everything in order: the machine, the home, and a line? Only looks; nothing is made, mended or locked for long."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime

from qma_predict.errors import LineError
from qma_predict.home import Home
from qma_predict.line import load_line
from qma_predict.operate.check import Check
from qma_predict.operate.line_checks import definition_checks
from qma_predict.operate.machine_checks import machine_checks
from qma_predict.operate.store_checks import home_checks, line_checks
from qma_predict.publish.pages.words import counted


def doctor(
    line: str | None, home: Home, now: datetime, *, environment: Mapping[str, str], server: str | None
) -> list[Check]:
    """Look at everything that a night and a training need.

    Parameters
    ----------
    line : str, optional
        A folder with a line.toml, or its name under models/; without it only the machine and the home.
    home : Home
        Its folder need not exist.
    now : datetime
        Aware; this machine's clock.
    environment : mapping of str
        Of the process: variables of line.toml, `QMA_DESK`.
    server : str, optional
        URL of Prefect's API, where one is set.
    """
    found = [*machine_checks(home.folder, server), *home_checks(home, environment)]
    if line is None:
        return found
    try:
        definition = load_line(line, environment)
    except LineError as error:
        return [*found, Check("line", "failed", str(error))]
    trust = definition.learning.trust
    return [*found, *definition_checks(definition), *line_checks(home, definition.name, now, trust)]


def failed(checks: Iterable[Check]) -> bool:
    """Whether a check failed; warnings do not count."""
    return any(check.state == "failed" for check in checks)


def in_words(checks: Iterable[Check]) -> str:
    """A line a check, what to do below, and a last line that counts."""
    lines, states = [], []
    for check in checks:
        states.append(check.state)
        lines.append(f"{check.state:<9}{check.name:<20}{check.found}")
        if check.what_to_do:
            lines.append(f"{'':<9}{'':<20}-> {check.what_to_do}")
    warnings = counted(states.count("warning"), "warning")
    return "\n".join([*lines, f"{len(states)} checks: {states.count('failed')} failed, {warnings}"])


def as_json(checks: Iterable[Check]) -> str:
    """A list with an object a check."""
    return json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False)
