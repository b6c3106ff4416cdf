"""Checks of the machine: Python, packages, disk, and the Prefect server."""

import http.client
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from qma_predict.line.definition import without_password
from qma_predict.operate.check import Check

PACKAGE = "qma-predict"

LITTLE, TOO_LITTLE = 5e9, 5e8
"""Free space [bytes] below which a training, and a night, may not get through."""

SERVER_SECONDS = 3.0
"""How long the Prefect server may take to answer [s]."""


def machine_checks(home: Path, server: str | None) -> Iterator[Check]:
    """Checks of what the program runs on.

    Parameters
    ----------
    home : Path
        Need not exist.
    server : str, optional
        URL of Prefect's API, where one is set.
    """
    yield python_version(platform.python_version(), str(metadata(PACKAGE)["Requires-Python"]))
    yield packages(requires(PACKAGE) or [])
    yield free_space(home)
    yield prefect_server(server)


def python_version(found: str, wanted: str) -> Check:
    """Whether Python is one that the program is made for."""
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Check("python", "ok", found)
    return Check("python", "failed", f"{found}, expected {wanted}", "Install the program in an environment of such.")


def packages(wanted: list[str]) -> Check:
    """Whether each package that the program needs is there, in a version that it is known to work with."""
    wrong, needed = [], [one for one in map(Requirement, wanted) if one.marker is None or one.marker.evaluate()]
    for one in needed:
        try:
            found = version(one.name)
        except PackageNotFoundError:
            wrong.append(f"{one.name} is missing, expected {one.specifier}")
            continue
        if not one.specifier.contains(found, prereleases=True):
            wrong.append(f"{one.name} is {found}, expected {one.specifier}")
    if wrong:
        return Check("packages", "failed", "; ".join(wrong), "Install them anew: uv pip sync requirements.lock")
    return Check("packages", "ok", f"{len(needed)} packages, each in a version that fits")


def free_space(home: Path) -> Check:
    """Whether a night and a training find room."""
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    state = "failed" if free < TOO_LITTLE else "warning" if free < LITTLE else "ok"
    what_to_do = "" if state == "ok" else "Make room, also by qma tidy; a training takes some GB, a night less."
    return Check("disk", state, f"{free / 1e9:.1f} GB free at {there}", what_to_do)  # type: ignore[arg-type]  # of three words


def prefect_server(url: str | None) -> Check:
    """Whether the Prefect server that is set answers; without one, flows run directly."""
    if url is None:
        return Check("prefect", "ok", "PREFECT_API_URL is not set here: commands run their flows directly")
    place = without_password(url)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=SERVER_SECONDS):
            return Check("prefect", "ok", f"the server at {place} answers")
    except urllib.error.HTTPError as error:
        if error.code < 500:  # one that asks who we are is there
            return Check("prefect", "ok", f"the server at {place} answers (HTTP {error.code})")
        why: object = f"HTTP {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
    return Check(
        "prefect",
        "warning",
        f"the server at {place} does not answer within {SERVER_SECONDS:.0f} s: {why}",
        "Start it (prefect server start), or unset PREFECT_API_URL. Commands then run their flows directly.",
    )
