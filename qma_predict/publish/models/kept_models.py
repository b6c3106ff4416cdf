"""The models of a line as a night finds them: in the home, a folder a version, nothing of it read before its hash fits.

`<home>/models/<line>/v<number>/` has `model.json`, which says what is known of the model and names the hash of every
other file: the model, the best simple rule of its training, its reference, and for people its card and its features.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qma_predict.errors import ModelError
from qma_predict.home import Home
from qma_predict.learn.promise import PromiseSpread
from qma_predict.learn.trust import RiskRanges
from qma_predict.publish.lists.durable import Step, flush_folder, remove_debris, staging, write_flushed
from qma_predict.publish.lists.manifest import as_json, sha256
from qma_predict.publish.models import kept_references, trusted
from qma_predict.publish.models.model import Model

if TYPE_CHECKING:
    from qma_predict.learn.reference import Reference
    from qma_predict.learn.risk_model import RiskModel

FACTS, MODEL, BASELINE = "model.json", "model.skops", "baseline.skops"
CARD, FEATURES = "card.md", "features.csv"
FORMAT = 1
"""Version of `model.json`."""

STEPS = ("written", "kept", "flushed")
"""The moments of keeping a model at which ``step`` is called, in order."""

Words = Callable[[Model], Mapping[str, str]]
"""Files for people by name, of a model whose version is known."""

Predict = Callable[[pd.DataFrame], np.ndarray]
"""P(defect), shape (n_units,), for a feature table; features that it lacks are missing values."""


def keep(
    home: Home,
    model: Model,
    fitted: "RiskModel",
    baseline: "RiskModel",
    reference: "Reference",
    words: Words = lambda model: {},
    *,
    trust: Collection[str] = (),
    step: Step = lambda name: None,
) -> Model:
    """Keep a model for the nights, whole or not at all.

    Must not be called by one who holds the line's lock.

    Parameters
    ----------
    home : Home
    model : Model
        Its version is the number that it gets, or the next one that is free after all that are kept.
    fitted : RiskModel
    baseline : RiskModel
        The best simple rule of its training.
    reference : Reference
    words : callable
        Gives what is kept with it for people, such as `CARD`: by then its version is known, and no other will have it.
    trust : collection of str
        Classes other than ours that it may hold: `learning.trust` of its line.
    step : callable
        Called with each name of `STEPS` once that is done; the crash tests end the process there.

    Returns
    -------
    Model
        With its version and `sha256`.

    Raises
    ------
    ModelError
        If anything in it consists of types that are not trusted, or the home cannot be written.
    """
    fits = {MODEL: fitted, BASELINE: baseline}
    files = {name: trusted.dumped(one, trust)[0] for name, one in fits.items()}
    files |= kept_references.as_files(reference, trust)
    folder = home.models(model.line)
    try:
        with home.writing(model.line):
            folder.mkdir(parents=True, exist_ok=True)
            remove_debris(folder)
            number = max([int(model.version), *(1 + int(one) for one in versions(home, model.line))])
            model = replace(model, version=str(number))
            files |= {name: text.encode() for name, text in words(model).items()}
            facts = _as_facts(model, files)
            draft = staging(folder, f"v{number}")
            draft.mkdir()
            for name, content in {**files, FACTS: facts}.items():
                write_flushed(draft / name, content)
            flush_folder(draft)
            step("written")
            os.rename(draft, folder / f"v{number}")
            step("kept")
            for each in (folder, folder.parent, home.folder):
                flush_folder(each)
            step("flushed")
    except OSError as error:
        raise ModelError(
            f"{folder}: the model cannot be kept ({error}), expected a writable folder with free space. Earlier models "
            f"are unchanged; repair the store and train again: qma train {model.line}"
        ) from error
    return replace(model, sha256=sha256(facts))


def versions(home: Home, line: str) -> list[str]:
    """Versions of a line's models that are kept, oldest first."""
    found = (re.fullmatch(r"v([1-9]\d*)", path.name) for path in home.models(line).glob("v*"))
    return sorted((one[1] for one in found if one), key=int)


def read(home: Home, line: str, version: str, expected: str | None = None) -> Model:
    """What is known of a version of a line's model.

    Parameters
    ----------
    home : Home
    line, version : str
    expected : str, optional
        SHA-256 of its `model.json`, where that is known.

    Raises
    ------
    ModelError
        If it is not kept, or not what it was.
    """
    found, digest = _facts(home, line, version, expected)
    try:
        kept = dict(found["model"])
        kept["as_of"] = datetime.fromisoformat(kept["as_of"])
        kept["also"] = tuple(kept["also"])
        kept["characteristics"] = tuple(kept.get("characteristics", ()))
        kept["ranges"] = RiskRanges(**_tuples(kept["ranges"]))
        kept["spread"] = PromiseSpread(**_tuples(kept["spread"]))
        model = Model(**kept, sha256=digest)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(home, line, version, FACTS, f"it is not understood ({error!r})") from error
    if (model.line, model.version) != (line, version):
        raise _unusable(home, line, version, FACTS, f"it is that of {model.line} v{model.version}")
    return model


def load(home: Home, model: Model, trust: Collection[str] = ()) -> Predict:
    """Load a kept model.

    Parameters
    ----------
    home : Home
    model : Model
    trust : collection of str
        Classes other than ours that are trusted now: `learning.trust` of the line.

    Raises
    ------
    ModelError
        If it is not what it was when it was kept, or holds types that are not trusted now.
    """
    return _loaded(home, model, MODEL, trust)


def load_baseline(home: Home, model: Model, trust: Collection[str] = ()) -> Predict:
    """Load the best simple rule of a kept model's training, which a night falls back to.

    Raises
    ------
    ModelError
        As `load`.
    """
    return _loaded(home, model, BASELINE, trust)


def load_reference(home: Home, model: Model, trust: Collection[str] = ()) -> "Reference":
    """Load what tonight's units are compared with, as the training of a kept model made it; see `make_reference`.

    Refits that hold types which are not trusted now are left out.

    Raises
    ------
    ModelError
        If it is not what it was when it was kept.
    """
    return kept_references.of_files(_verified(home, model, kept_references.is_part), trust)


def check_types(home: Home, model: Model, trust: Collection[str]) -> None:
    """Say of what a kept model consists that is not trusted now, which a night would not load.

    Raises
    ------
    ModelError
        If there is any, or the model is not what it was when it was kept.
    """
    for name, data in _verified(home, model, lambda one: one == MODEL).items():
        try:
            trusted.check(trusted.types_of(data), trust)
        except ModelError as error:
            raise _refused(home, model, name, error) from error


def verify(home: Home, model: Model) -> None:
    """Compare every file of a kept model with its hash.

    Raises
    ------
    ModelError
        If one is missing or differs.
    """
    _verified(home, model, lambda name: True)


def _loaded(home: Home, model: Model, name: str, trust: Collection[str]) -> Predict:
    data = _verified(home, model, lambda one: one == name)[name]
    try:
        loaded: RiskModel = trusted.loaded(data, trust)
    except ModelError as error:
        raise _refused(home, model, name, error) from error
    return lambda X: np.asarray(loaded.predict(X), dtype=float)


def _refused(home: Home, model: Model, name: str, error: ModelError) -> ModelError:
    file = _folder(home, model.line, model.version) / name
    return ModelError(f"{file}: model {model.line} v{model.version}: {error}")


def _verified(home: Home, model: Model, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The contents of the wanted files, each of which has the hash that `model.json` names."""
    facts, _digest = _facts(home, model.line, model.version, model.sha256 or None)
    contents = {}
    for name, entry in sorted(facts["files"].items()):
        if not wanted(name):
            continue
        data = _content(home, model.line, model.version, name)
        if (found := sha256(data)) != entry["sha256"]:
            raise _other(home, model.line, model.version, name, found, entry["sha256"])
        contents[name] = data
    return contents


def _facts(home: Home, line: str, version: str, expected: str | None) -> tuple[dict[str, Any], str]:
    """What `model.json` says, and its hash."""
    data = _content(home, line, version, FACTS)
    digest = sha256(data)
    if expected is not None and digest != expected:
        raise _other(home, line, version, FACTS, digest, expected)
    try:
        found = json.loads(data)
        number = found["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(home, line, version, FACTS, f"it cannot be read ({error!r})") from error
    if number != FORMAT:
        raise _unusable(home, line, version, FACTS, f"it has format {number!r}, expected {FORMAT}")
    return found, digest


def _as_facts(model: Model, files: Mapping[str, bytes]) -> bytes:
    kept = asdict(model) | {"as_of": model.as_of.isoformat()}
    del kept["sha256"]
    entries = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()}
    return as_json({"format": FORMAT, "model": kept, "files": entries})


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _content(home: Home, line: str, version: str, name: str) -> bytes:
    file = _folder(home, line, version) / name
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unusable(home, line, version, name, error.strerror or str(error)) from error


def _folder(home: Home, line: str, version: str) -> Path:
    return home.models(line) / f"v{version}"


def _other(home: Home, line: str, version: str, name: str, found: str, expected: str) -> ModelError:
    return _unusable(home, line, version, name, f"found SHA-256 {found[:12]}..., expected {expected[:12]}...")


def _unusable(home: Home, line: str, version: str, name: str, what: str) -> ModelError:
    return ModelError(
        f"{_folder(home, line, version) / name}: model {line} v{version} is not what was kept: {what}. Restore it from "
        f"a backup, use an earlier one (qma rollback {line} --by NAME --why TEXT), or train again: qma train {line}"
    )
