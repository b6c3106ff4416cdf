"""What is known of a model that is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qma_predict.learn.promise import CHANCE_ALONE, PromiseSpread
from qma_predict.learn.trust import NO_RANGES, RiskRanges
from qma_predict.line import Line

if TYPE_CHECKING:
    from qma_predict.learn.dataset import Dataset
    from qma_predict.learn.training import Training

RECIPE = frozenset({"recipe", "parameters", "families", "family", "keep", "group"})
"""What of a line's `learning` makes the recipe: the rest says how it is judged, and by which seed it is fitted."""


@dataclass(frozen=True)
class Model:
    """A kept version of a line's model.

    Attributes
    ----------
    line, version, run_id : str
    contestant : str
        Name of the recipe or baseline that it is a fit of.
    is_recipe : bool
        False for a baseline, which is used because no recipe was shown to be better.
    as_of : datetime, UTC
        Nothing recorded later was used for it.
    base_rate : float
        Share of defects among the labels it was fitted on.
    finding : str
        What its backtest said, in a sentence.
    leaks : str
        Features that looked like leaks: which it was fitted without, and which were kept; empty if none did.
    also : tuple of str
        What else its backtest said, a sentence each: the plant's practice, the shuffled split, and how often the
        blocks were looked at before.
    ranking : str
        Why its scores are a ranking and not probabilities; empty if they may be read as such.
    ranges : RiskRanges
        Range of the risk by score; without points where scores are a ranking.
    spread : PromiseSpread
        How far a night's probabilities are off together.
    learning : dict
        The recipe, parameters, families and seed it was made by: what of the line's `learning` is not about judging.
    baseline : str
        Name of the best simple rule of its training, which is kept with it.
    dataset : str
        Digest of the features and labels it was fitted on.
    sha256 : str
        SHA-256 of the file that names the hashes of all others, by which the champion log knows it; empty for a
        model that is not kept.
    weighted : bool
        Whether it was fitted with weights of selectively inspected units, and so speaks of all units.
    gate : str
        The gate whose defects it learnt; empty for models of before this was kept.
    characteristics : tuple of str
        What counts there.
    """

    line: str
    version: str
    run_id: str
    contestant: str
    is_recipe: bool
    as_of: datetime
    base_rate: float
    finding: str
    leaks: str = ""
    also: tuple[str, ...] = ()
    ranking: str = ""
    ranges: RiskRanges = NO_RANGES
    spread: PromiseSpread = CHANCE_ALONE
    learning: dict[str, Any] = field(default_factory=dict)
    baseline: str = ""
    dataset: str = ""
    sha256: str = ""
    weighted: bool = False
    gate: str = ""
    characteristics: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What tells it from other models of the line."""
        return identity({"version": self.version, "sha256": self.sha256})


def identity(said: Mapping[str, Any]) -> str:
    """What tells models apart, by what a manifest says of one; empty if it does not.

    Versions of a replay's own models are numbered anew, so that the version alone would not do.

    Examples
    --------
    >>> identity({"version": "3", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"})
    'v3 9f86d081884c'
    """
    return f"v{said['version']} {said.get('sha256', '')[:12]}".strip() if "version" in said else ""


def described(dataset: "Dataset", training: "Training", also: tuple[str, ...]) -> Model:
    """What is known of the winner of a training, before it is kept: as version 1, of no run of MLflow.

    Parameters
    ----------
    dataset : Dataset
    training : Training
    also : tuple of str
        What else its backtest said, a sentence each.
    """
    from qma_predict.learn.baselines import BASELINES  # needs what trains, which a model that is read does not
    from qma_predict.learn.sentinel import in_words

    line, is_recipe = dataset.line, training.winner == dataset.line.learning.recipe
    return Model(
        line=line.name,
        version="1",
        run_id="",
        contestant=training.winner,
        is_recipe=is_recipe,
        as_of=dataset.history.as_of.to_pydatetime(),
        base_rate=float(dataset.y.mean()),
        finding=training.verdict.sentence,
        leaks=in_words(training.leaks),
        also=also,
        ranking=training.ranking,
        ranges=training.ranges,
        spread=training.spread,
        learning=made_by(line),
        baseline=(training.verdict.baseline or BASELINES[0]) if is_recipe else training.winner,
        dataset=str(dataset.identity["digest"]),
        weighted=training.weight_of(training.winner) is not None,
        gate=line.gate.name,
        characteristics=line.gate.characteristics,
    )


def made_by(line: Line) -> dict[str, Any]:
    """What a model says it was made by, of a line's `learning`: JSON values."""
    return line.learning.model_dump(mode="json", include={*RECIPE, "seed"})


def same_recipe(model: Model, line: Line) -> bool:
    """Whether the line would make a model by the same recipe, parameters and families."""
    now = made_by(line)
    return all(model.learning.get(name) == now[name] for name in RECIPE)


def line_of(line: Line, model: Model) -> Line:
    """The line with what the model was made by; how models are judged stays the line's own.

    A model is scored with its own features whatever `line.toml` has said since; the digest stays that of the file.
    """
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in model.learning.items()}
    own.setdefault("group", None)  # models of before there were groups do not say so
    return line.model_copy(update={"learning": line.learning.model_copy(update=own)})
